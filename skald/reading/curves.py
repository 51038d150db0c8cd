"""Curves: the course of series over an x, cut into as many columns as a picture has.

Invariant: every row counts. A column of a picture holds the minimum, maximum and mean of all rows that fall into it,
never of a sample; rows are read in batches, so memory does not grow with them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import polars as pl

from skald.errors import InvalidInputError
from skald.reading.selection import check_ids, id_kinds
from skald.schema import BIN_HIGH, BIN_LOW, RUN, TIME, VALUE, Kind, series_ids

_BATCH_ROWS: Final = 500_000
_TOP: Final = sys.float_info.max
_FEW: Final = 0.1
"""Where no more rows lack an id the others are drawn over it: a last test, or a run that named it otherwise."""
_OWN: Final = "\x01"  # no id can be named so
_ROW, _NUMBER, _SMOOTH = f"{_OWN}row", f"{_OWN}number", f"{_OWN}smooth"
X: Final = f"{_OWN}at"
"""The column of the x of a row."""
COLUMN, X_MEAN, COUNT, NAN, LOW, HIGH, MEAN = (
    f"{_OWN}{name}" for name in ("column", "x", "count", "nan", "low", "high", "mean")
)
"""The columns of a curve that was cut, beside the ids of its series, which may be called anything."""
_CUT: Final = (COLUMN, X_MEAN, COUNT, NAN, LOW, HIGH, MEAN)


Rows: TypeAlias = pl.LazyFrame | pl.DataFrame
"""A table: read in batches, or in memory."""


class Axis(NamedTuple):
    """What curves are drawn over.

    Attributes:
        kind: an id, the row's position in its series, the time, or the seconds since the first row of its run.
        label: how it is called.
    """

    kind: Literal["id", "position", "time", "relative"]
    label: str


class Span(NamedTuple):
    """From where to where an axis goes."""

    low: float
    high: float


def drawn_span(span: Span, *, is_log: bool) -> Span:
    """Return where a span begins and ends as it is drawn: the logarithms, where x is logarithmic."""
    return Span(math.log10(span.low), math.log10(span.high)) if is_log else span


def span_drawn(low: float, high: float, *, is_log: bool) -> Span:
    """Return the span that is drawn from here to there, as far as a float reaches."""
    if is_log:
        return Span(10.0 ** max(low, -300.0), 10.0 ** min(high, 300.0))
    return Span(max(low, -_TOP), min(high, _TOP))


def survey(rows: Rows, by: Sequence[str], before: pl.DataFrame | None = None) -> pl.DataFrame:
    """Describe the series of a table in one pass over its rows.

    Args:
        rows: rows of one metric, or of several; read in batches, or in memory.
        by: the columns that tell the series apart; for those of one metric see `series_keys`.
        before: what was said of the rows before these, which are described together with them.

    Returns:
        A row a series, in order of first appearance: the columns in `by`, the structs `value` (`count`: its rows,
        `last`) and `time` (`low`, `high`), and for each other id that is a number a struct of `low`, `high`, `missing`
        (in how many rows there is none), `values` (how many it takes, one after the other), `falls` (whether it is ever
        smaller than in the row before), `first` and `last`.
    """
    numbers = [name for name in position_ids(id_kinds(rows.collect_schema())) if name not in by]
    described = [
        pl.struct(pl.len().cast(pl.Int64).alias("count"), pl.col(VALUE).last().alias("last")).alias(VALUE),
        pl.struct(pl.col(TIME).min().alias("low"), pl.col(TIME).max().alias("high")).alias(TIME),
        *(_describe(pl.col(name)).alias(name) for name in numbers),
    ]
    parts = _each_batch(rows.select(*by, *numbers, TIME, VALUE), by, described)
    known = pl.concat(parts if before is None else [before, *parts])
    joined = [
        pl.struct(_field(VALUE, "count").sum(), _field(VALUE, "last").last()).alias(VALUE),
        pl.struct(_field(TIME, "low").min(), _field(TIME, "high").max()).alias(TIME),
        *(_join(name).alias(name) for name in numbers),
    ]
    return _grouped(known, by, joined)


def series_keys(rows: pl.LazyFrame) -> list[str]:
    """Return the columns that tell the series of one metric apart: the run, where there is one, strings and bools."""
    schema = rows.collect_schema()
    return [*([RUN] if RUN in schema else []), *series_ids(id_kinds(schema))]


def position_ids(kinds: Mapping[str, Kind]) -> list[str]:
    """Return the ids that are positions inside a series: numbers, but for the bins of histograms."""
    return [name for name, kind in kinds.items() if kind in {"int", "float"} and name not in {BIN_LOW, BIN_HIGH}]


def choose_axis(surveyed: pl.DataFrame) -> Axis:
    """Return the x that curves share where none is given.

    Of the ids that all rows of all series have, it is the one that never decreases and takes most values, of several
    the first. Where each of them restarts, it is the position in the series; where there are none, or they never
    change, it is the time. Where no id is in all rows, those count that all but a few have.

    Args:
        surveyed: what `survey` says of the series, of one metric or several.
    """
    facts = {name: surveyed[name].struct.unnest() for name, dtype in surveyed.schema.items() if _is_number(name, dtype)}
    rows = surveyed[VALUE].struct.field("count")
    several = (rows > 1).any()
    few = 0.0 if any(not fact["missing"].sum() for fact in facts.values()) else _FEW * float(rows.sum())
    shared = {
        name: fact
        for name, fact in facts.items()
        if fact["missing"].sum() <= few and ((fact["values"] > 1).any() or not several)
    }
    if not shared or surveyed.is_empty():
        return Axis("time", "time")
    rising = {name: fact["values"].sum() for name, fact in shared.items() if not fact["falls"].any()}
    if not rising:
        return Axis("position", ", ".join(shared))
    return Axis("id", max(rising, key=lambda name: rising[name]))


def named_axis(name: str, kinds: Mapping[str, Kind]) -> Axis:
    """Return the axis of that name: an id that is a number, `time`, or `relative`.

    Raises:
        InvalidInputError: there is no such id, or it is no number.
    """
    if name == "time" or (name == "relative" and name not in kinds):
        return Axis("time", "time") if name == "time" else Axis("relative", "time since the start")
    check_ids([name], kinds)
    if kinds[name] not in {"int", "float"}:
        raise InvalidInputError(f"x must be an id that is a number, time or relative; {name!r} is {kinds[name]} here")
    return Axis("id", name)


def axis_span(rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, *, is_log: bool = False) -> Span | None:
    """Return from where to where curves go along an axis; None where they have no finite x that can be drawn.

    Args:
        rows: the rows that were surveyed.
        surveyed: what `survey` says of them.
        axis: what they are drawn over.
        is_log: only what is greater than 0 counts.
    """
    low, high = _outermost(surveyed, axis)
    if axis.kind == "position" and is_log:
        return Span(1.0, high) if high else None
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high) or (is_log and low <= 0):
        x = pl.col(X)
        where = x.is_finite() & (x > 0) if is_log else x.is_finite()
        kept = _with_x(rows, surveyed, axis).filter(where)
        low, high = kept.select(x.min().alias(LOW), x.max().alias(HIGH)).collect(engine="streaming").row(0)
    return None if low is None or high is None else Span(low, high)


def cut(
    rows: Rows,
    surveyed: pl.DataFrame,
    axis: Axis,
    span: Span,
    columns: int,
    *,
    is_log: bool = False,
    smoothing: float = 0.0,
    before: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Cut the curves of series into columns of equal width along x.

    Args:
        rows: the rows that were surveyed.
        surveyed: what `survey` says of them.
        axis: what they are drawn over.
        span: from where to where; rows beyond it, and those without an x, are left out.
        columns: how many there are.
        is_log: whether columns are of equal width in the logarithm of x.
        smoothing: from 0 to less than 1, the weight of the past in the mean of a column, as TensorBoard smooths: the
            weighted mean of a row and those before it, whose weights shrink by this factor from row to row and add
            up to 1. NaN and infinities are skipped. The minimum and maximum stay those of what was logged.
        before: what a survey says of rows before these, behind which they stand in their series.

    Returns:
        A row for each column of each series in which it has rows, series in the order of the survey: the columns that
        tell the series apart, COLUMN (from 0), X_MEAN, COUNT (rows), NAN (those that are NaN or infinite), and LOW,
        HIGH and MEAN of the others, null where there are none.
    """
    by = series_columns(surveyed)
    varying = [name for name in by if surveyed[name].n_unique() > 1]
    number = pl.col(_NUMBER)
    table = rows.lazy().with_columns(pl.when(pl.col(VALUE).is_finite()).then(pl.col(VALUE)).alias(_NUMBER))
    if smoothing:
        smooth = _over(number.ewm_mean(alpha=1 - smoothing, adjust=True, ignore_nulls=True), varying)
        table = table.with_columns(pl.when(number.is_not_null()).then(smooth).alias(_SMOOTH))
    table = place(table, surveyed, axis, span, columns, is_log=is_log, before=before)
    table = table.select(*varying, COLUMN, X, _NUMBER, *([_SMOOTH] if smoothing else []))
    cut_rows = table.collect() if isinstance(rows, pl.DataFrame) else table
    sums = _each_batch(cut_rows, [*varying, COLUMN], _sums(_SMOOTH if smoothing else _NUMBER))
    found = sums[0] if len(sums) == 1 else _grouped(pl.concat(sums), [*varying, COLUMN], _TOTALS)
    found = found.with_columns(_constant(surveyed[name]) for name in by if name not in varying)
    return _in_order(found, surveyed, by)


def place(
    rows: pl.LazyFrame,
    surveyed: pl.DataFrame,
    axis: Axis,
    span: Span,
    columns: int,
    *,
    is_log: bool = False,
    before: pl.DataFrame | None = None,
) -> pl.LazyFrame:
    """Return the rows inside a span with their X and the COLUMN into which they fall; arguments as of `cut`."""
    placed = _with_x(rows, surveyed, axis, before).filter(pl.col(X).is_between(*span))
    return placed.with_columns(_column(X, span, columns, is_log=is_log))


def join(parts: Sequence[pl.DataFrame], surveyed: pl.DataFrame) -> pl.DataFrame:
    """Put together what was cut alike of different rows of the same series."""
    by = series_columns(surveyed)
    return _in_order(_grouped(pl.concat(parts), [*by, COLUMN], _TOTALS), surveyed, by)


def coarsen(
    curves: pl.DataFrame, surveyed: pl.DataFrame, span: Span, columns: int, *, is_log: bool = False
) -> pl.DataFrame:
    """Cut curves, which were cut before, into other columns: wherever the middle of what they have in one falls.

    Args:
        curves: what `cut` returns, of more columns.
        surveyed: the survey of their series.
        span: from where to where; what lies beyond is left out.
        columns: how many there are.
        is_log: whether x is logarithmic.
    """
    inside = curves.filter(pl.col(X_MEAN).is_between(*span))
    return join([inside.with_columns(_column(X_MEAN, span, columns, is_log=is_log))], surveyed)


def smooth(curves: pl.DataFrame, by: Sequence[str], weight: float) -> pl.DataFrame:
    """Smooth the means of curves, each from left to right, as `cut` does where the rows of a column are alike.

    Args:
        curves: what `cut` returns.
        by: the columns that tell the curves apart.
        weight: that of the past from one row to the next, from 0 to less than 1.
    """
    means, counts = curves[MEAN].to_list(), (curves[COUNT] - curves[NAN]).to_list()
    starts = curves.select(pl.struct(by).rle_id().alias(COLUMN))[COLUMN].to_list() if by else [0] * len(curves)
    smoothed: list[float | None] = []
    total = left = 0.0
    for place, (mean, count) in enumerate(zip(means, counts, strict=True)):
        if not place or starts[place] != starts[place - 1]:
            total, left = 0.0, 1.0
        kept = weight**count
        total, left = total * kept + (mean or 0.0) * (1 - kept), left * kept
        smoothed.append(None if mean is None else total / (1 - left))
    return curves.with_columns(pl.Series(MEAN, smoothed, pl.Float64))


def band(curves: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Return the mean of curves that were cut alike, with their standard deviation around it.

    Args:
        curves: what `cut` returns, perhaps with more columns.
        by: the columns that tell the groups apart, whose curves are averaged.

    Returns:
        As from `cut`, a row for each column of each group: MEAN is that of the curves' means, LOW and HIGH are one
        sample standard deviation from it (none where only one curve comes there), and COUNT is how many curves came.
    """
    mean = pl.col(MEAN)
    spread = mean.std(ddof=1).fill_null(0.0)
    means = [
        pl.col(X_MEAN).mean(),
        mean.count().cast(pl.Int64).alias(COUNT),
        pl.col(NAN).sum(),
        (mean.mean() - spread).alias(LOW),
        (mean.mean() + spread).alias(HIGH),
        mean.mean().alias(MEAN),
    ]
    return _in_order(_grouped(curves, [*by, COLUMN], means), curves, by)


def split(curves: pl.DataFrame, by: Sequence[str]) -> list[tuple[dict[str, Any], pl.DataFrame]]:
    """Return each curve with the values of the columns that tell it apart, in the table's order."""
    if not by:
        return [({}, curves)] if len(curves) else []
    parts = curves.partition_by(by, maintain_order=True)
    return [(part.select(by).row(0, named=True), part) for part in parts]


def series_columns(surveyed: pl.DataFrame) -> list[str]:
    """Return the columns of a survey that tell its series apart."""
    return [name for name, dtype in surveyed.schema.items() if dtype != pl.Struct]


def _is_number(name: str, dtype: pl.DataType) -> bool:
    return dtype == pl.Struct and name not in {VALUE, TIME}


def _describe(x: pl.Expr) -> pl.Expr:
    """Return what a batch says of an id."""
    return pl.struct(
        x.min().cast(pl.Float64).alias("low"),
        x.max().cast(pl.Float64).alias("high"),
        (x.is_null() | x.cast(pl.Float64).is_nan()).sum().cast(pl.Int64).alias("missing"),
        ((x != x.shift(1)).sum() + 1).cast(pl.Int64).alias("values"),
        (x < x.shift(1)).any().alias("falls"),
        x.first().alias("first"),
        x.last().alias("last"),
    )


def _join(name: str) -> pl.Expr:
    """Return what the batches together say of an id."""
    first, before = _field(name, "first"), _field(name, "last").shift(1)
    return pl.struct(
        _field(name, "low").min(),
        _field(name, "high").max(),
        _field(name, "missing").sum(),
        (_field(name, "values").sum() - (first == before).sum()).cast(pl.Int64).alias("values"),
        (_field(name, "falls").any() | (first < before).any()).alias("falls"),
        first.first(),
        _field(name, "last").last(),
    )


def _field(column: str, name: str) -> pl.Expr:
    return pl.col(column).struct.field(name)


def _outermost(surveyed: pl.DataFrame, axis: Axis) -> tuple[float | None, float | None]:
    """Return the smallest and the greatest x that a survey knows of."""
    if axis.kind == "position":
        count = surveyed[VALUE].struct.field("count").max()
        return (None, None) if count is None else (0.0, float(count) - 1)  # type: ignore[arg-type]
    if axis.kind == "id":
        low, high = _field(axis.label, "low").min(), _field(axis.label, "high").max()
    else:
        low, high = (seconds(_field(TIME, end)) for end in ("low", "high"))
        if axis.kind == "relative":
            start = _over(low.min(), [RUN] if RUN in surveyed.columns else [])
            low, high = low - start, high - start
        low, high = low.min(), high.max()
    return surveyed.select(low.alias(LOW), high.alias(HIGH)).row(0)


def seconds(time: pl.Expr) -> pl.Expr:
    """Return times as seconds since 1970."""
    return time.dt.epoch("us") / 1e6


def _with_x(rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, before: pl.DataFrame | None = None) -> pl.LazyFrame:
    """Return the rows with their x."""
    if axis.kind == "id":
        return rows.with_columns(pl.col(axis.label).cast(pl.Float64).alias(X))
    if axis.kind == "position":
        by = series_columns(surveyed)
        varying = [name for name in by if surveyed[name].n_unique() > 1]
        rows = rows.with_columns(_over(pl.int_range(pl.len()), varying).cast(pl.Float64).alias(X))
        if before is None:
            return rows
        counts = before.lazy().select(*by, _field(VALUE, "count").alias(_ROW))
        if by:
            rows = rows.join(counts, on=by, how="left", nulls_equal=True, maintain_order="left")
        else:
            rows = rows.with_columns(pl.lit(before[VALUE].struct.field("count").sum()).alias(_ROW))
        return rows.with_columns(pl.col(X) + pl.col(_ROW).fill_null(0))
    if axis.kind == "time":
        return rows.with_columns(seconds(pl.col(TIME)).alias(X))
    start = seconds(_field(TIME, "low").min())
    if RUN not in surveyed.columns:
        return rows.with_columns((seconds(pl.col(TIME)) - surveyed.select(start).item()).alias(X))
    starts = surveyed.group_by(RUN).agg(start.alias(_ROW)).lazy()
    joined = rows.join(starts, on=RUN, how="left", maintain_order="left")
    return joined.with_columns((seconds(pl.col(TIME)) - pl.col(_ROW)).alias(X))


def _column(name: str, span: Span, columns: int, *, is_log: bool) -> pl.Expr:
    """Return the column into which the x of that name falls."""
    if span.low == span.high:
        return pl.lit(0, pl.Int32).alias(COLUMN)
    low, high = drawn_span(span, is_log=is_log)
    x = pl.col(name).log(10) if is_log else pl.col(name)
    part = (x / 2 - low / 2) / (high / 2 - low / 2)  # halves: the difference may be beyond a float
    return (part * columns).floor().clip(0, columns - 1).cast(pl.Int32).alias(COLUMN)


def _sums(number: str) -> list[pl.Expr]:
    """Return what a batch says of a column of a curve."""
    return [
        pl.len().cast(pl.Int64).alias(COUNT),
        _mean(X).alias(X_MEAN),
        pl.col(_NUMBER).null_count().cast(pl.Int64).alias(NAN),
        pl.col(_NUMBER).min().alias(LOW),
        pl.col(_NUMBER).max().alias(HIGH),
        _mean(number).alias(MEAN),
    ]


def _mean(name: str) -> pl.Expr:
    """Return a mean that is finite, also where the sum is not."""
    return pl.col(name).mean().clip(pl.col(name).min(), pl.col(name).max())


def _weighted(name: str, weight: pl.Expr) -> pl.Expr:
    """Return the mean of the means of parts, null where no part has one."""
    part = pl.col(name) * (weight / weight.sum())
    return pl.when(pl.col(name).count() > 0).then(part.sum()).clip(pl.col(name).min(), pl.col(name).max()).alias(name)


_TOTALS: Final = [
    pl.col(COUNT).sum(),
    _weighted(X_MEAN, pl.col(COUNT)),
    pl.col(NAN).sum(),
    pl.col(LOW).min(),
    pl.col(HIGH).max(),
    _weighted(MEAN, pl.col(COUNT) - pl.col(NAN)),
]


def _in_order(found: pl.DataFrame, like: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Sort curves as their series first appear in another table, each from left to right."""
    if by:
        order = like.select(by).unique(maintain_order=True).with_row_index(_ROW)
        found = found.join(order, on=list(by), nulls_equal=True).sort(_ROW, COLUMN)
    return found.sort(COLUMN).select(_CUT) if not by else found.select(*by, *_CUT)


def _over(expression: pl.Expr, by: Sequence[str]) -> pl.Expr:
    return expression.over(by) if by else expression


def _each_batch(rows: Rows, by: Sequence[str], wanted: Sequence[pl.Expr]) -> list[pl.DataFrame]:
    """Return what is wanted of the rows of each batch that have the columns in `by` in common; of no rows nothing."""
    parts = [_grouped(batch, by, wanted) for batch in _batches(rows)]
    return parts or [_grouped(rows.lazy().head(0).collect(), by, wanted).head(0)]


def _batches(rows: Rows) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from [rows] if len(rows) else []
        return
    for batch in rows.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True, engine="streaming"):
        if batch.height:
            yield batch


def _grouped(table: pl.DataFrame, by: Sequence[str], wanted: Sequence[pl.Expr]) -> pl.DataFrame:
    """Return what is wanted of each group of rows, in order of first appearance.

    NOTE: grouping is most of the work, and a column of one value, or one that ascends, makes it ten times cheaper.
    """
    same = table.select(pl.col(name).eq_missing(pl.col(name).first()).all() for name in by) if by else pl.DataFrame()
    fixed = [name for name in by if table.height and same[name].item()]
    varying = [name for name in by if name not in fixed]
    if len(varying) == 1 and table[varying[0]].dtype == pl.Int32 and table[varying[0]].is_sorted():
        table = table.with_columns(pl.col(varying[0]).set_sorted())
    found = table.group_by(varying, maintain_order=True).agg(wanted) if varying else table.select(wanted)
    return found.with_columns(_constant(table[name]) for name in fixed).select(*by, pl.exclude(by))


def _constant(column: pl.Series) -> pl.Expr:
    return pl.lit(column.first(), column.dtype).alias(column.name)
