"""Curves: the course of series over an x, cut into as many columns as a picture has.

Invariant: every row counts. A column of a picture holds the minimum, maximum and mean of all rows that fall into it,
never of a sample; rows are read in batches, so memory does not grow with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import polars as pl

from skald.reading.axis import Axis, Span, X, drawn_span, series_columns, with_x
from skald.reading.groups import OWN, Rows, constant, each_batch, grouped, over
from skald.schema import VALUE

_ROW, _NUMBER, _SMOOTH = f"{OWN}row", f"{OWN}number", f"{OWN}smooth"
COLUMN, X_MEAN, COUNT, NAN, LOW, HIGH, MEAN = (
    f"{OWN}{name}" for name in ("column", "x", "count", "nan", "low", "high", "mean")
)
"""The columns of a curve that was cut, beside the ids of its series, which may be called anything."""
_CUT: Final = (COLUMN, X_MEAN, COUNT, NAN, LOW, HIGH, MEAN)


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
        smooth = over(number.ewm_mean(alpha=1 - smoothing, adjust=True, ignore_nulls=True), varying)
        table = table.with_columns(pl.when(number.is_not_null()).then(smooth).alias(_SMOOTH))
    table = place(table, surveyed, axis, span, columns, is_log=is_log, before=before)
    table = table.select(*varying, COLUMN, X, _NUMBER, *([_SMOOTH] if smoothing else []))
    cut_rows = table.collect() if isinstance(rows, pl.DataFrame) else table
    sums = each_batch(cut_rows, [*varying, COLUMN], _sums(_SMOOTH if smoothing else _NUMBER))
    found = sums[0] if len(sums) == 1 else grouped(pl.concat(sums), [*varying, COLUMN], _TOTALS)
    found = found.with_columns(constant(surveyed[name]) for name in by if name not in varying)
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
    placed = with_x(rows, surveyed, axis, before).filter(pl.col(X).is_between(*span))
    return placed.with_columns(_column(X, span, columns, is_log=is_log))


def join(parts: Sequence[pl.DataFrame], surveyed: pl.DataFrame) -> pl.DataFrame:
    """Put together what was cut alike of different rows of the same series."""
    by = series_columns(surveyed)
    return _in_order(grouped(pl.concat(parts), [*by, COLUMN], _TOTALS), surveyed, by)


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
    return _in_order(grouped(curves, [*by, COLUMN], means), curves, by)


def split(curves: pl.DataFrame, by: Sequence[str]) -> list[tuple[dict[str, Any], pl.DataFrame]]:
    """Return each curve with the values of the columns that tell it apart, in the table's order."""
    if not by:
        return [({}, curves)] if len(curves) else []
    parts = curves.partition_by(by, maintain_order=True)
    return [(part.select(by).row(0, named=True), part) for part in parts]


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
