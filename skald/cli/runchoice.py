"""Which runs a table of runs holds, and in which order: `--where`, `--sort`, `--desc` and `--last`."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from skald.cli.choice import parse_ids
from skald.cli.mixedparams import (
    SQL_TEXT,
    compared_with_numbers,
    mixed_params,
    names_in,
    warn_of_numbers,
    warn_of_text,
    with_numbers,
)
from skald.cli.sqlerror import answered
from skald.errors import InvalidInputError
from skald.many.overview import read_runs, runs
from skald.many.scanning import scan
from skald.many.union import describe_broken
from skald.reading.selection import close_matches
from skald.schema import PARAMS_PREFIX, RUN

STATISTICS: Final = ("last", "min", "max")
"""The numbers of a metric that a table of runs shows."""
_LIKE_METRIC: Final = re.compile(r"(?P<metric>.+?)(?P<key>\{.*\})?\.(?:last|min|max)(?:_at(?:\..*)?)?$", re.DOTALL)
_BARE_SPAN: Final = re.compile(r'(?<![\w."])"?duration"?\s*(?:[<>=!]+|between\b)\s*[\d.]', re.IGNORECASE)
_ROW: Final = "__row"
_NAMED: Final = 6
"""So many columns a message names."""


class RunWish(NamedTuple):
    """What is asked of a table of runs.

    Attributes:
        metrics: globs of metrics to add.
        params: globs of params to show.
        ids: `NAME=VALUE`: which series of the metrics.
        where: a condition in SQL over the columns; a param may be written without `params.`.
        sort: a column; a param without `params.`, or a metric, which is its last value.
        descending: whether the largest comes first.
        last: only so many runs, those that were started last.
    """

    metrics: Sequence[str] = ()
    params: Sequence[str] = ()
    ids: Sequence[str] = ()
    where: str | None = None
    sort: str | None = None
    descending: bool = False
    last: int | None = None


class Chosen(NamedTuple):
    """A table of runs, and the column that it is sorted by."""

    table: pl.DataFrame
    sorted_by: str


def choose_runs(source: Path | Sequence[Path], wish: RunWish) -> Chosen:
    """Return the table of the runs that are wished for; those that cannot be read cost a warning.

    Raises:
        InvalidInputError: there is no such metric, id or column, or the SQL is wrong.
    """
    facts = runs(source)
    if facts.is_empty():
        return Chosen(facts, "started")
    metrics = list(dict.fromkeys([*wish.metrics, *_metrics_meant(wish, facts.columns)]))
    table = facts
    if metrics:
        ids = parse_ids(wish.ids, scan(source)) if wish.ids else {}
        table = _with_metrics(source, metrics, ids, wish.sort, facts.columns)
    elif wish.ids:
        raise InvalidInputError(f"--id chooses series of metrics: name one with --metric too, got {wish.ids[0]}")
    found = table if wish.where is None else matching(table, wish.where)
    found = found.sort("started", descending=True, maintain_order=True).slice(0, wish.last)
    if wish.sort is None:
        return Chosen(found, "started")
    column = _column(wish.sort, found.columns)
    return Chosen(in_order(found, column, descending=wish.descending), column)


def rows_where(
    rows: pl.LazyFrame, source: Path | Sequence[Path], condition: str | None, ids: Sequence[str]
) -> pl.LazyFrame:
    """Return the rows of the runs of which a condition in SQL holds; all where there is none.

    Args:
        rows: those of the runs, as `scan` has them.
        source: the runs.
        condition: as in RunWish.
        ids: `NAME=VALUE`: which series of the metrics that it names.

    Raises:
        InvalidInputError: as `choose_runs`, or it holds of no run.
    """
    return rows if condition is None else rows.filter(pl.col(RUN).is_in(names_where(source, condition, ids)))


def names_where(source: Path | Sequence[Path], condition: str, ids: Sequence[str]) -> list[str]:
    """Return the names of the runs of which a condition in SQL holds.

    Raises:
        InvalidInputError: as `choose_runs`, or it holds of no run.
    """
    wish = RunWish(where=condition, ids=ids)
    if ids and not _metrics_meant(wish, runs(source).columns):
        wish = wish._replace(ids=())  # they choose rows, and none of a series is asked for
    names: list[str] = choose_runs(source, wish).table[RUN].to_list()
    if not names:
        raise InvalidInputError(f"no run meets the condition {condition!r}")
    return names


def _with_metrics(
    source: Path | Sequence[Path], metrics: Sequence[str], ids: Mapping[str, Any], sort: str | None, columns: list[str]
) -> pl.DataFrame:
    try:
        table, broken = read_runs(source, metrics, ids, skips_crowded=True)
    except InvalidInputError as error:
        if sort is not None and str(error).startswith(f"there is no metric {_metric(sort)!r}; the"):  # nor a near one
            raise _no_column(sort, columns) from None
        raise
    if broken:
        warnings.warn(describe_broken(broken), stacklevel=2)
    return table


def _metrics_meant(wish: RunWish, columns: Sequence[str]) -> list[str]:
    """Return the metrics that the order and the condition speak of."""
    found = []
    if wish.sort is not None and not _of_runs(wish.sort, columns):
        found.append(_metric(wish.sort))
    for name in names_in(wish.where or ""):
        place = _LIKE_METRIC.match(name)
        if place and not _of_runs(name, columns):
            found.append(place["metric"])
    return found


def _metric(name: str) -> str:
    """Return the metric of which a column tells."""
    place = _LIKE_METRIC.match(name)
    return place["metric"] if place else name


def _of_runs(name: str, columns: Sequence[str]) -> bool:
    return name in columns or f"{PARAMS_PREFIX}{name}" in columns


def _column(name: str, columns: Sequence[str]) -> str:
    """Return the column that is meant: a column itself, a param, the last value of a metric, or that of one series."""
    _check_single(name, columns)
    for one in (name, f"{PARAMS_PREFIX}{name}", f"{name}.last"):
        if one in columns:
            return one
    raise _no_column(name, columns)


def _check_single(name: str, columns: Sequence[str]) -> None:
    """Raise InvalidInputError if a name means the columns of several series; warn if it means one beside others."""
    metric, _, statistic = name.rpartition(".")
    metric, statistic = (metric, statistic) if statistic in STATISTICS else (name, "last")
    several = [one for one in columns if one.startswith(f"{metric}{{") and one.endswith(f"}}.{statistic}")]
    if not several or f"{PARAMS_PREFIX}{name}" in columns:
        return
    named = f"{', '.join(several[:_NAMED])}{f' and {len(several) - _NAMED} more' if len(several) > _NAMED else ''}"
    choose = "name one of them (in SQL in double quotes), or choose a series with --id NAME=VALUE"
    if f"{metric}.{statistic}" in columns:
        warnings.warn(f"{metric}.{statistic} leaves out the series of {named}; hint: {choose}", stacklevel=2)
        return
    error = InvalidInputError(f"{name} means {len(several)} columns: {named}")
    error.add_note(f"hint: {choose}")
    raise error


def _no_column(name: str, columns: Sequence[str]) -> InvalidInputError:
    plain = list(dict.fromkeys(one.removeprefix(PARAMS_PREFIX) for one in columns))
    return InvalidInputError(f"there is no column and no metric {name!r}{close_matches(name, plain, 'columns')}")


def in_order(table: pl.DataFrame, column: str, *, descending: bool) -> pl.DataFrame:
    """Return a table in order; NaN, and runs that have no value, come last in either, text after numbers.

    Raises:
        InvalidInputError: the column holds what has no order.
    """
    dtype = table[column].dtype
    if dtype.is_nested() and dtype != pl.List(pl.String):
        raise InvalidInputError(f"{column} holds places, which have no order: sort by {column.removesuffix('_at')}")
    key = pl.col(column).list.join(" ") if dtype == pl.List(pl.String) else pl.col(column)
    key = key.fill_nan(None) if dtype.is_float() else key
    keys = [key]
    if dtype == pl.String and column.startswith(PARAMS_PREFIX):
        keys.insert(0, pl.col(column).cast(pl.Float64, strict=False).fill_nan(None))
    return table.sort(keys, descending=descending, nulls_last=True, maintain_order=True)


def matching(table: pl.DataFrame, condition: str) -> pl.DataFrame:
    """Return the rows of a table of runs of which a condition in SQL holds.

    A param that is a number in some runs only is compared as one, null in the others, wherever that can be asked.

    NOTE: polars compares a duration with a number as microseconds, so that every run takes longer than 60.

    Raises:
        InvalidInputError: the SQL is wrong.
    """
    if _BARE_SPAN.search(SQL_TEXT.sub("", condition)):
        error = InvalidInputError(f"a duration is compared with a bare number in {condition!r}")
        error.add_note("hint: write duration > interval '60 seconds'")
        raise error
    for name in names_in(condition):
        _check_single(name, table.columns)
    mixed = mixed_params(table, condition)
    first_error: InvalidInputError | None = None
    for numbers in itertools.chain.from_iterable(
        itertools.combinations(mixed, count) for count in range(len(mixed), -1, -1)
    ):
        try:
            rows = _holding(with_numbers(table, numbers), condition)
        except InvalidInputError as error:  # that of the numbers is about what was meant
            first_error = first_error or error
            continue
        warn_of_numbers(table, numbers)
        warn_of_text(table, compared_with_numbers([name for name in mixed if name not in numbers], condition))
        return table[rows]
    assert first_error is not None
    raise first_error


def _holding(table: pl.DataFrame, condition: str) -> pl.Series:
    """Return the places of the rows of which a condition holds."""
    tables = {"runs": table.with_row_index(_ROW)}
    around = (f"select {_ROW} from runs where (\n", "\n)")  # noqa: S608  who writes it asks of their own runs
    try:
        rows = answered(tables, condition, table.columns, around=around)
    except InvalidInputError as error:
        if "there is no column" in str(error):
            error.add_note("hint: of a metric write NAME.last, NAME.min or NAME.max")
        raise
    return rows[_ROW]
