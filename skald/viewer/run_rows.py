"""A table of runs as rows on the screen: which runs in which order, which columns in which place.

Everything here takes a table of `skald.runs` and is called in threads; texts are made when a row comes into view.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from rich.cells import cell_len

from skald.cli.runchoice import in_order, matching
from skald.cli.runs_table import (
    FACTS,
    cell_text,
    differing_columns,
    is_number,
    is_param,
    is_statistic,
    label,
    start_together,
)  # fmt: skip
from skald.many.overview import read_runs
from skald.schema import RUN
from skald.viewer.lines import STATUS_TONES, Span
from skald.viewer.table import Column

UNREADABLE: Final = "unreadable"
_PATH: Final = "path"
_WIDEST_NAME: Final = 40
_WIDEST: Final = 24
_NUMBER_WIDTH: Final = 11
"""The widest number of five digits: -1.2345e-10."""
_FEW_VALUES: Final = 300
"""Of so many different values all are measured."""
_CONDITION: Final = re.compile(r"[<>=]")


class Order(NamedTuple):
    """By which column a table is sorted."""

    column: str = "started"
    descending: bool = True


class Folder(NamedTuple):
    """What a folder of runs holds: the table, and what is wrong with runs that cannot be read, by their paths."""

    table: pl.DataFrame
    broken: Mapping[str, str]


def read_folder(folder: Path, metrics: Sequence[str]) -> Folder:
    """Return the runs in a folder, also those that cannot be read.

    Raises:
        RunNotFoundError: the folder is gone.
        InvalidInputError: there is no such metric.
    """
    table, broken = read_runs(folder, metrics, {})
    if not broken:
        return Folder(table, {})
    paths = {name: os.path.join(os.path.realpath(folder), name) for name in broken}  # noqa: PTH118
    rows = [{RUN: name, _PATH: path, "status": UNREADABLE} for name, path in paths.items()]
    both = pl.concat([table, pl.DataFrame(rows, schema_overrides={RUN: pl.String})], how="diagonal")
    return Folder(both, {paths[name]: str(error) or type(error).__name__ for name, error in broken.items()})


def choose(table: pl.DataFrame, wanted: str, order: Order) -> pl.DataFrame:
    """Return the runs that are wanted, in order.

    Args:
        table: the runs.
        wanted: words, each of which must be in the run's name, its status, a tag or a param; or a condition in SQL.
        order: by which column; the newest first where it is not there.

    Raises:
        InvalidInputError: the condition is wrong.
    """
    if table.is_empty():
        return table
    if _CONDITION.search(wanted):
        table = matching(table, wanted)
    elif wanted.strip():
        text = _text(table)
        for word in wanted.lower().split():
            table, text = _holding(table, text, word)
    column, descending = order if order.column in table.columns else Order()
    return in_order(table.sort("started", descending=True, nulls_last=True), column, descending=descending)


def columns_of(table: pl.DataFrame) -> list[str]:
    """Return the columns that are shown: first metrics and the params in which the runs differ."""
    differing = differing_columns(table)
    params = [name for name in table.columns if is_param(name)]
    first = [name for name in table.columns if is_statistic(name)] + [name for name in params if name in differing]
    facts = [name for name in FACTS[1:] if name != "tags" or table["tags"].list.len().sum()]
    return [RUN, "status", *first, *facts, *(name for name in params if name not in differing)]


class RunRows:
    """Rows of runs, each known by its path.

    Args:
        table: the runs that are shown, in order.
        everything: all runs of the folder: what differs is told, and how wide columns are, of all.
        marked: the paths of the runs that are marked; it may change.
        order: how they are sorted.
    """

    def __init__(self, table: pl.DataFrame, everything: pl.DataFrame, marked: set[str], order: Order) -> None:
        self.names = columns_of(everything)
        self.keys: Sequence[str] = table[_PATH].to_list()
        self._shown = table.select(self.names)
        self._marked = marked
        arrows = {order.column: " ▼" if order.descending else " ▲"}
        titles = [label(name) + arrows.get(name, "") for name in self.names]
        self._tells_seconds = start_together(everything["started"])
        widths = [self._width(name, everything[name]) for name in self.names]
        found = zip(self.names, titles, widths, strict=True)
        self.columns: Sequence[Column] = [
            Column("", 1),
            *(
                Column(title, max(width, min(cell_len(title), _WIDEST)), is_number(name))
                for name, title, width in found
            ),
        ]

    def cells(self, row: int, columns: Sequence[int]) -> Sequence[Span]:
        """Return the texts of a run; the first column is the mark."""
        values = self._shown.row(row)
        return [self._cell(self.names[place - 1], values[place - 1]) if place else self._mark(row) for place in columns]

    def _mark(self, row: int) -> Span:
        return "●" if self.keys[row] in self._marked else "", "warm"

    def _cell(self, name: str, value: Any) -> Span:
        return self._text(name, value), _tone(name, value)

    def _text(self, name: str, value: Any) -> str:
        return cell_text(name, value, tells_seconds=self._tells_seconds and name == "started")

    def _width(self, name: str, values: pl.Series) -> int:
        """Return how wide a column is: as its widest text, where there are too many to make them all about as wide."""
        if name == RUN:
            return min(_WIDEST_NAME, max(map(cell_len, values), default=0))
        different = values.unique()
        if len(different) > _FEW_VALUES and different.dtype.is_float():
            return _NUMBER_WIDTH
        texts = (self._text(name, value) for value in different.head(_FEW_VALUES))
        return min(_WIDEST, max(map(cell_len, texts), default=0))


def _text(table: pl.DataFrame) -> pl.Series:
    """Return all that can be looked for in each run, in lower case."""
    params = [
        pl.format("{}={}", pl.lit(label(name)), pl.col(name).cast(pl.String).fill_null(""))
        for name in table.columns
        if is_param(name)
    ]
    parts = [pl.col(RUN), pl.col("status"), pl.col("tags").list.join(" "), *params]
    return table.select(pl.concat_str(parts, separator=" ", ignore_nulls=True).str.to_lowercase()).to_series()


def _holding(table: pl.DataFrame, text: pl.Series, word: str) -> tuple[pl.DataFrame, pl.Series]:
    is_wanted = text.str.contains(word, literal=True)
    return table.filter(is_wanted), text.filter(is_wanted)


def _tone(name: str, value: Any) -> str:
    if name == "status":
        return STATUS_TONES.get(value, "bad")
    if is_statistic(name):
        return "bad" if value is not None and value != value else "plain"  # noqa: PLR0124
    return {RUN: "strong", "tags": "tag"}.get(name, "plain" if is_param(name) else "dim")
