"""Summaries: one row a series, with where its extremes and its first NaN were logged.

Two passes over the rows, both streaming. The first finds the numbers; the second keeps only rows
that hold an extreme or NaN, of which there are few, and takes the ids of the first of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from skald.engine.columns import POLARS_TYPES
from skald.engine.reader import scan_metrics
from skald.engine.series import Number, SeriesTable
from skald.engine.summing import read_series
from skald.errors import InvalidInputError
from skald.reading.selection import check_ids, has_ids, id_kinds, in_series
from skald.schema import METRIC, RUN, VALUE, Id, Kinds, series_ids

STATISTICS: Final = ("count", "nan", "first", "last", "min", "max", "mean", "min_at", "max_at", "nan_at")
SPAN: Final = ("first_row", "last_row")
"""Positions of a series' first and last row in its table, where `summarize` is asked for them."""

_OWN: Final = "\x01"  # no metric and no id can be named so: inner columns cannot meet theirs


def summarize(
    frame: pl.LazyFrame,
    *,
    by: Sequence[str] | str | None = None,
    where: Mapping[str, Id] | None = None,
    span: bool = False,
    runs: bool = False,
) -> pl.DataFrame:
    """Return a row for each series of a table; bins of histograms are in none.

    Args:
        frame: rows as `Run.metrics` has them.
        by: the ids that tell rows of the result apart; None: the string and bool ids.
        where: only rows that have these ids.
        span: add the columns of SPAN.
        runs: the rows are of many runs, as `scan` has them: a row for each run and series, with `run` first.

    Returns:
        `metric`, the ids in `by`, `count`, `nan` (how many values are NaN), `first`, `last`, `min`, `max`, `mean`
        (these three over values that are not NaN; null where there are none), and the structs `min_at`, `max_at`
        and `nan_at`: all ids of the row where the minimum, the maximum or a NaN was logged first; `nan_at` is null
        where no value is NaN. In a table without ids the structs have no fields. An id in `by` that is named like
        a statistic has the column `NAME (id)`. Metrics stand in order of their first row, and so do the series of each.

    Raises:
        InvalidInputError: `by` or `where` names an id that does not exist.
        IdTypeError: an id in `where` has another kind than in the table.
    """
    kinds = id_kinds(frame.collect_schema())
    if not (by is None or isinstance(by, (str, Iterable))):
        raise InvalidInputError(f"by must be a name, or several, got {type(by).__name__}: {by!r:.80}")
    by = series_ids(kinds) if by is None else list(dict.fromkeys([by] if isinstance(by, str) else by))
    check_ids(by, kinds)
    rows = frame.filter(has_ids(where, kinds)) if where else frame

    keys = [*([RUN] if runs else []), METRIC]
    numbers = _numbers(rows, [*keys, *by], in_series(kinds))
    places = _places(rows.filter(in_series(kinds)), [*keys, *by], list(kinds), numbers)
    return places.select(
        *keys,
        *(pl.col(name).alias(_result_name(name, span=span)) for name in by),
        *(pl.col(_OWN + name).alias(name) for name in ((*STATISTICS, *SPAN) if span else STATISTICS)),
    )


def read_summary(
    run: Path, *, by: Sequence[str] | str | None = None, where: Mapping[str, Id] | None = None, span: bool = False
) -> pl.DataFrame:
    """Return a row for each series of a run, as `summarize` does; where it can be, no table is made of its rows.

    Raises:
        As `summarize`.
        CorruptRunError: the metrics file cannot be read.
        FormatVersionError: a newer Skald wrote the run.
    """
    found = read_series(run)
    if found:
        kinds, series = found
        asked = series_ids(kinds) if by is None else [by] if isinstance(by, str) else list(by)
        if asked == series.by and set(where or ()) <= set(series.by):
            return from_series(series, kinds, where=where, span=span)
    return summarize(scan_metrics(run), by=by, where=where, span=span)


def from_series(
    series: SeriesTable, kinds: Kinds, *, where: Mapping[str, Id] | None = None, span: bool = False
) -> pl.DataFrame:
    """Return what a metrics file says of its series as `summarize` returns it.

    Args:
        series: the summaries in the file.
        kinds: the ids in the file.
        where: only series that have these ids, none of which is a number.
        span: add the columns of SPAN.
    """
    ids = [pl.Series(name, series.ids[name], POLARS_TYPES[kinds[name]]) for name in series.by]
    there = {
        "min_at": [value is not None for value in series.min],
        "max_at": [value is not None for value in series.max],
        "nan_at": [count > 0 for count in series.nan],
    }
    columns = [
        pl.Series(METRIC, series.metric, pl.String),
        *(column.alias(_result_name(column.name, span=span)) for column in ids),
        pl.Series("count", series.count, pl.Int64),
        pl.Series("nan", series.nan, pl.Int64),
        *(pl.Series(name, map(as_float, getattr(series, name)), pl.Float64) for name in STATISTICS[2:7]),
        *(_place_column(name, getattr(series, name), kinds, is_there) for name, is_there in there.items()),
        *(pl.Series(name, getattr(series, name), pl.Int64) for name in (SPAN if span else ())),
    ]
    table = pl.DataFrame(columns)
    return table.filter(pl.DataFrame(ids).select(has_ids(where, kinds)).to_series()) if where else table


def as_float(number: Number) -> float | None:
    """Return a number of a metrics file's summary as a float."""
    return None if number is None else float(number)


def _result_name(name: str, *, span: bool) -> str:
    """Return the column of an id in `by`."""
    return f"{name} (id)" if name in ((*STATISTICS, *SPAN) if span else STATISTICS) else name


def _numbers(rows: pl.LazyFrame, keys: list[str], counts: pl.Expr) -> pl.DataFrame:
    """Return the keys of each series with its numbers and its span among all rows, in order of first appearance."""
    value, row = pl.col(VALUE), pl.col(f"{_OWN}row")
    # NOTE: polars leaves NaN out of a minimum but not out of a mean, so NaN is made null for all three
    number = value.fill_nan(None)
    numbers = {
        "count": pl.len().cast(pl.Int64),
        "nan": value.is_nan().sum().cast(pl.Int64),
        "first": value.first(),
        "last": value.last(),
        "min": number.min(),
        "max": number.max(),
        "mean": number.mean(),
        "first_row": row.first().cast(pl.Int64),
        "last_row": row.last().cast(pl.Int64),
    }
    found = (
        rows.with_row_index(row.meta.output_name())
        .filter(counts)
        .group_by(keys)
        .agg(expression.alias(_OWN + name) for name, expression in numbers.items())
        .collect(engine="streaming")
    )
    first_row = pl.col(f"{_OWN}first_row")
    return found.sort(first_row.min().over(METRIC), first_row)


def _places(rows: pl.LazyFrame, keys: list[str], ids: list[str], numbers: pl.DataFrame) -> pl.DataFrame:
    """Return `numbers` with the ids where the extremes and the first NaN of each series stand."""
    if not ids:
        return numbers.with_columns(
            _no_ids(f"{_OWN}min_at", there=numbers[f"{_OWN}min"].is_not_null()),
            _no_ids(f"{_OWN}max_at", there=numbers[f"{_OWN}max"].is_not_null()),
            _no_ids(f"{_OWN}nan_at", there=numbers[f"{_OWN}nan"] > 0),
        )
    value, low, high = pl.col(VALUE), pl.col(f"{_OWN}min"), pl.col(f"{_OWN}max")
    extremes = pl.concat([numbers[f"{_OWN}min"], numbers[f"{_OWN}max"]]).drop_nulls().unique()
    # NOTE: `min_by` would take one pass less, but of several rows with the minimum it takes any (measured: 10 of 200)
    place = pl.struct(ids)
    places = (
        rows.filter(value.is_nan() | value.is_in(extremes.implode()))
        .join(numbers.lazy().select(*keys, low, high), on=keys, nulls_equal=True, maintain_order="left")
        .group_by(keys)
        .agg(
            place.filter(value == low).first().alias(f"{_OWN}min_at"),
            place.filter(value == high).first().alias(f"{_OWN}max_at"),
            place.filter(value.is_nan()).first().alias(f"{_OWN}nan_at"),
        )
        .collect(engine="streaming")
    )
    # a row that was logged between the passes must not be the NaN of a series that had none
    had_nan = pl.when(pl.col(f"{_OWN}nan") > 0).then(f"{_OWN}nan_at")
    return numbers.join(places, on=keys, how="left", nulls_equal=True, maintain_order="left").with_columns(had_nan)


def _place_column(name: str, ids: Mapping[str, Sequence[Any]], kinds: Kinds, there: Sequence[bool]) -> pl.Series:
    """Return the ids at a place as structs, null where a series has no such place."""
    is_there = pl.Series(name, there, pl.Boolean)
    columns = [
        pl.Series(id_, map(as_float, values) if kinds[id_] == "float" else values, POLARS_TYPES[kinds[id_]])
        for id_, values in ids.items()
    ]
    if not columns:
        return _no_ids(name, there=is_there)
    frame = pl.DataFrame(columns)
    return frame.select(pl.when(is_there).then(pl.struct(frame.columns)).alias(name)).to_series()


def _no_ids(name: str, *, there: pl.Series) -> pl.Series:
    """Return a column of structs without fields, null where nothing is there."""
    return pl.Series(name, [{} if is_there else None for is_there in there], dtype=pl.Struct([]))
