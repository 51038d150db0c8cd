"""A table of runs as people read it: as many columns as fit, those in which the runs differ first."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import polars as pl
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from skald.amounts import duration_text, plural
from skald.cli import terminal
from skald.cli.format import ids_text, local_time, number_text, param_text, printable
from skald.cli.page import STYLES
from skald.cli.runchoice import STATISTICS
from skald.schema import PARAMS_PREFIX, RUN

FACTS: Final = ("status", "started", "duration", "rows", "tags")
"""What every run has besides its name."""
_NARROWEST: Final = 20
"""A name is not cut below so many characters for the sake of other columns."""
_WIDEST_PARAM: Final = 24
_FEW: Final = 4
"""So many params come before times and rows, where there is not room for all."""


def print_table(table: pl.DataFrame, *, sorted_by: str | None, params: Sequence[str]) -> None:
    """Print a table of runs, and below it the params that are the same in all of them.

    Args:
        table: as `skald.runs` returns it.
        sorted_by: the column that it was asked to be sorted by.
        params: columns that were asked for by name: they are shown though the runs do not differ in them.
    """
    console = terminal.stdout()
    if table.is_empty():
        console.print("no run meets the condition", style="dim")
        return
    differing = differing_columns(table)
    asked = [name for name in (sorted_by, *params) if name in _shown(table)]
    order = _by_importance(table, differing, asked)
    if sorted_by and f"{sorted_by}_at" in table.columns:
        order.insert(order.index(sorted_by) + 1, f"{sorted_by}_at")
    columns = _fitting(table, order, console.width)
    placed = [columns[name] for name in _by_place(table, differing) if name in columns]
    console.print(terminal.flat_table(placed, console), end="")
    if console.is_terminal:  # what reads a pipe finds a header and runs
        _print_rest(table, order, columns, differing | set(asked), console)


def differing_columns(table: pl.DataFrame) -> set[str]:
    """Return the columns in which the runs differ; of a single run all."""
    return {name for name in _shown(table) if table.height == 1 or table[name].n_unique() > 1}


def _shown(table: pl.DataFrame) -> list[str]:
    """Return the columns that people are shown: all but paths, and the ids of extremes."""
    return [name for name in table.columns if is_statistic(name) or is_param(name) or name in {RUN, *FACTS}]


def is_param(name: str) -> bool:
    """Tell whether a column holds a param."""
    return name.startswith(PARAMS_PREFIX)


def is_statistic(name: str) -> bool:
    """Tell whether a column holds a number of a metric."""
    return not is_param(name) and name.rpartition(".")[2] in STATISTICS


def is_place(name: str) -> bool:
    """Tell whether a column holds the ids of an extreme of a metric."""
    return not is_param(name) and name.endswith((".min_at", ".max_at"))


def _by_importance(table: pl.DataFrame, differing: set[str], asked: Sequence[str]) -> list[str]:
    """Return the columns in the order in which they get room: what was asked for, what differs, the rest."""
    statistics = sorted(filter(is_statistic, _shown(table)), key=lambda name: not name.endswith(".last"))
    params = [name for name in _shown(table) if is_param(name) and name in differing]
    facts = [name for name in FACTS if name in differing]
    some = [*params[:_FEW], *facts, *params[_FEW:]]
    status = [name for name in facts if name == "status"]
    return list(dict.fromkeys([RUN, *asked[:1], *status, *statistics, *asked, *some, *FACTS]))


def _by_place(table: pl.DataFrame, differing: set[str]) -> list[str]:
    """Return the columns in the order in which they stand: the status, what differs, what is the same."""
    statistics = [name for name in _shown(table) if is_statistic(name)]
    params = [name for name in _shown(table) if is_param(name)]
    differ = [name for name in (*FACTS[1:], *statistics, *params) if name in differing or is_statistic(name)]
    same = [name for name in (*FACTS[1:], *params) if name not in differing]
    return [RUN, "status", *(place for name in differ for place in (name, f"{name}_at")), *same]


def _fitting(table: pl.DataFrame, order: Sequence[str], width: int) -> dict[str, terminal.Column]:
    """Return as many columns as fit, the first in any case; names of runs are cut before all else is left out."""
    columns: dict[str, terminal.Column] = {}
    used = 0
    for name in order:
        if columns and used + terminal.GAP >= width:
            break
        column = _column(table, name)
        if column.is_empty:
            continue
        taken = min(column.width, max(width // 2, _NARROWEST)) if name == RUN else column.width + terminal.GAP
        if not columns or used + taken <= width:
            columns[name] = column
            used += taken
    return columns


def _column(table: pl.DataFrame, name: str) -> terminal.Column:
    tells_seconds = name == "started" and start_together(table[name])
    cells = [
        Text(cell_text(name, value, tells_seconds=tells_seconds), style=_style(name, value))
        for value in table[name].to_list()
    ]
    return terminal.Column(label(name), cells, right=is_number(name))


def is_number(name: str) -> bool:
    """Tell whether the texts of a column stand at its right side."""
    return is_statistic(name) or name in {"duration", "rows"}


def label(name: str) -> str:
    """Return a column's name, of a param without its prefix, unless another column is called so; of places `at`."""
    if is_place(name):
        return "at"
    short = name.removeprefix(PARAMS_PREFIX)
    return name if short in {RUN, *FACTS} else short


def _param(value: Any) -> str:
    text = number_text(value) if isinstance(value, float) else param_text(value)
    return text if len(text) <= _WIDEST_PARAM else f"{text[: _WIDEST_PARAM - 1]}…"


def start_together(started: pl.Series) -> bool:
    """Tell whether several runs started in the same minute: only seconds tell them apart."""
    return bool(started.drop_nulls().dt.truncate("1m").is_duplicated().any())


def cell_text(name: str, value: Any, *, tells_seconds: bool = False) -> str:
    """Return a value of a column as people read it; of a start also the seconds, where they are to be told."""
    if value is None:
        return ""
    if tells_seconds:
        return local_time(value)
    if is_param(name):
        return _param(value)
    if is_place(name):  # strings and bools tell series apart, and their column has them in its name
        return ids_text({id_: place for id_, place in value.items() if not isinstance(place, (str, bool))})
    return number_text(value) if is_statistic(name) else _TEXTS[name](value)


def _style(name: str, value: Any) -> str:
    if is_param(name):
        return "dim"
    if is_statistic(name):
        return "bold red" if value is not None and math.isnan(value) else ""
    return {"status": STYLES.get(value, "") if name == "status" else "", "tags": "magenta"}.get(name, "")


_TEXTS: Final[Mapping[str, Callable[[Any], str]]] = {
    RUN: str,
    "status": str,
    "started": lambda moment: moment.astimezone().strftime("%Y-%m-%d %H:%M"),
    "duration": duration_text,
    "rows": lambda rows: f"{rows:,}",
    "tags": " ".join,
}


def _print_rest(
    table: pl.DataFrame, order: Sequence[str], shown: Collection[str], wanted: Collection[str], console: Console
) -> None:
    """Say on one line which params are the same in all runs, and on another how many columns had no room."""
    same = [name for name in _shown(table) if is_param(name) and name not in order and table[name][0] is not None]
    if same:
        pairs = [f"{printable(label(name))}={_param(table[name][0])}" for name in same]
        console.print(Text(_line("in all: ", pairs, console.width), style="dim"), soft_wrap=True)
    missing = [name for name in order if name in wanted and name not in shown]
    if missing:
        text = f"{plural(len(missing), 'column')} had no room: --format csv has all"
        console.print(Text(text, style="dim"), soft_wrap=True)


def _line(head: str, parts: Sequence[str], width: int) -> str:
    """Return as many parts as fit a line, and how many more there are."""
    for count in range(len(parts), -1, -1):
        more = f"and {len(parts) - count:,} more" if count < len(parts) else ""
        line = head + "  ".join([*parts[:count], *([more] if more else [])])
        if cell_len(line) <= width:
            return line
    return ""
