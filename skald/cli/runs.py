"""A table of runs: what each is, how much it holds, and what was asked of its metrics and params."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.text import Text

from skald.amounts import duration_text
from skald.cli import terminal
from skald.cli.choice import parse_ids
from skald.cli.format import ids_text, local_time, number_text, param_text, path_text
from skald.cli.page import STYLES
from skald.cli.shapes import to_csv, to_json
from skald.errors import RunNotFoundError
from skald.overview import runs
from skald.scanning import scan
from skald.schema import PARAMS_PREFIX
from skald.selection import id_kinds


def show_runs(folders: Sequence[Path], *, metrics: Sequence[str], ids: Sequence[str], form: str) -> None:
    """Print the runs among and inside the folders, newest first; those that cannot be read are told on stderr.

    Args:
        folders: runs, and folders of runs.
        metrics: globs of metrics to add.
        ids: `NAME=VALUE`: which series of these.
        form: table, json or csv.

    Raises:
        RunNotFoundError: there are none.
        InvalidInputError: there is no such metric or id.
    """
    source = folders[0] if len(folders) == 1 else folders
    where = parse_ids(ids, id_kinds(scan(source).collect_schema())) if ids else {}
    table = runs(source, metrics=metrics, **where)
    if table.is_empty():
        raise RunNotFoundError(f"there are no runs in {', '.join(map(path_text, folders))}")
    table = table.sort("started", descending=True, maintain_order=True)
    if form == "table":
        _print_table(table)
        return
    rows = [_plain(row) for row in table.iter_rows(named=True)]
    if form == "json":
        sys.stdout.write(to_json(rows))
    else:
        sys.stdout.write(to_csv(table.columns, ([_csv_cell(cell) for cell in row.values()] for row in rows)))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its duration in seconds, and of places the ids that are there."""
    return {name: _given(value) if isinstance(value, dict) else value for name, value in row.items()} | {
        "duration": row["duration"].total_seconds()
    }


def _given(ids: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in ids.items() if value is not None}


def _csv_cell(value: Any) -> Any:
    if isinstance(value, dict):
        return ids_text(value, exact=True)
    return " ".join(value) if isinstance(value, list) else value


def _print_table(table: pl.DataFrame) -> None:
    """Print as many columns as fit: what the runs are, the metrics asked for, and the params that differ."""
    console = terminal.stdout()
    columns = list(_own_columns(table))
    for column in (*_metric_columns(table), *_param_columns(table)):
        if terminal.total_width([one for one in (*columns, column) if not one.is_empty]) <= console.width:
            columns.append(column)
    console.print(terminal.flat_table(columns, console), end="")


def _own_columns(table: pl.DataFrame) -> Iterable[terminal.Column]:
    yield terminal.Column("run", [Text(name) for name in table["run"]])
    yield terminal.Column("status", [Text(status, style=STYLES[status]) for status in table["status"]])
    yield terminal.Column("started", [Text(local_time(started)) for started in table["started"]])
    yield terminal.Column("duration", [Text(duration_text(duration)) for duration in table["duration"]], right=True)
    yield terminal.Column("rows", [Text(f"{rows:,}") for rows in table["rows"]], right=True)
    yield terminal.Column("tags", [Text(" ".join(tags), style="magenta") for tags in table["tags"]])


def _metric_columns(table: pl.DataFrame) -> Iterable[terminal.Column]:
    """Yield the last value and the extremes of each series."""
    for name in table.columns:
        if name.endswith((".last", ".min", ".max")) and not name.startswith(PARAMS_PREFIX):
            yield terminal.Column(name, [_number(value) for value in table[name]], right=True)


def _number(value: float | None) -> Text:
    return Text("" if value is None else number_text(value), style="bold red" if value != value else "")  # noqa: PLR0124


def _param_columns(table: pl.DataFrame) -> Iterable[terminal.Column]:
    """Yield the params in which the runs differ."""
    for name in table.columns:
        if name.startswith(PARAMS_PREFIX) and table[name].n_unique() > 1:
            cells = [Text("" if value is None else _param(value), style="dim") for value in table[name]]
            yield terminal.Column(name.removeprefix(PARAMS_PREFIX), cells)


def _param(value: Any) -> str:
    return number_text(value) if isinstance(value, float) else param_text(value)
