"""Heat maps: histograms over an x, as the share of the values of a column of a picture that each of its lines holds."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from skald.reading.axis import Axis, Span, series_columns
from skald.reading.curves import COLUMN, place
from skald.reading.selection import id_kinds
from skald.schema import BIN_HIGH, BIN_LOW, TIME, VALUE

_LEVELS: Final = 64
"""So finely are the edges of bins told apart inside of a line."""
_THIN_LEVELS: Final = 1024
"""So finely they are in all where they are thinned out: of millions of bins few are left that differ."""

FARTHEST: Final = 1e300
"""Bins that reach further are not drawn: infinite ones cannot be, and the width of others is beyond a float."""


class HeatMap(NamedTuple):
    """A picture of histograms.

    Attributes:
        shares: of each line (from the lowest values) and each column the share of the column's values that lie there;
            NaN in columns without a histogram.
        values: from which to which value the lines go.
    """

    shares: npt.NDArray[np.float64]
    values: Span


def is_histogram(rows: pl.LazyFrame) -> bool:
    """Tell whether rows of one metric are bins of histograms."""
    kinds = id_kinds(rows.collect_schema())
    if BIN_LOW not in kinds or BIN_HIGH not in kinds:
        return False
    first = rows.select(BIN_LOW, BIN_HIGH).head(1).collect(engine="streaming")
    return not first.is_empty() and None not in first.row(0)


def count_unbounded(rows: pl.LazyFrame) -> int:
    """Return how many bins count something and are not drawn, as they reach too far."""
    return int(_counting(rows).filter(~_is_bounded()).select(pl.len()).collect(engine="streaming").item())


def heat_map(  # the histograms are those of one series
    rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, span: Span, size: tuple[int, int], *, is_log: bool = False
) -> HeatMap | None:
    """Draw the histograms of one series over x; the counts of a bin are spread evenly over its width.

    Args:
        rows: the bins.
        surveyed: what `skald.reading.axis.survey` says of them.
        axis: what they are drawn over.
        span: from where to where.
        size: how many columns and lines there are.
        is_log: whether x is logarithmic.

    Returns:
        The picture; None where no bin has a count.
    """
    columns, lines = size
    placed = _counted(place(rows, surveyed, axis, span, columns, is_log=is_log))
    values = _values(placed)
    if values is None:
        return None
    edges = [_level(name, values, lines * _LEVELS) / _LEVELS for name in (BIN_LOW, BIN_HIGH)]
    bins = placed.group_by(COLUMN, *edges).agg(pl.col(VALUE).sum()).collect(engine="streaming")
    column, below, above, count = (bins[name].to_numpy() for name in (COLUMN, BIN_LOW, BIN_HIGH, VALUE))
    totals = np.zeros((lines, columns))
    _spread(totals, column.astype(np.int64), below, above, count)
    with np.errstate(invalid="ignore"):  # of a column without a histogram the shares are 0 / 0
        return HeatMap(totals / totals.sum(axis=0), values)


def thin_out(
    rows: pl.DataFrame, surveyed: pl.DataFrame, axis: Axis, span: Span, columns: int, *, is_log: bool = False
) -> pl.DataFrame:
    """Return fewer bins that are drawn as these are: those of a column together, their edges a little moved.

    Args:
        rows: the bins.
        surveyed: what `skald.reading.axis.survey` says of them.
        axis: what they are drawn over; no position, which the rows that are left would not have.
        span: from where to where; what lies beyond is left out.
        columns: how many columns there are at most.
        is_log: whether x is logarithmic.
    """
    placed = _counted(place(rows.lazy(), surveyed, axis, span, columns, is_log=is_log))
    values = _values(placed)
    if values is None:
        return rows.head(0)
    by = series_columns(surveyed)
    level = (values.high - values.low) / _THIN_LEVELS
    edges = [_level(name, values, _THIN_LEVELS) * level + values.low for name in (BIN_LOW, BIN_HIGH)]
    own = {*by, VALUE, BIN_LOW, BIN_HIGH}
    others = [pl.col(name).mean() if name in {axis.label, TIME} else pl.col(name).first()
              for name in rows.columns if name not in own]  # fmt: skip
    found = placed.group_by(*by, COLUMN, *edges).agg(pl.col(VALUE).sum(), *others)
    return found.select(rows.columns).collect(engine="streaming")


def _counted(placed: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bins that count something and lie somewhere."""
    return _counting(placed).filter(_is_bounded())


def _counting(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter((pl.col(VALUE) > 0) & pl.col(VALUE).is_finite())


def _is_bounded() -> pl.Expr:
    return pl.all_horizontal(pl.col(BIN_LOW, BIN_HIGH).is_between(-FARTHEST, FARTHEST))


def _values(placed: pl.LazyFrame) -> Span | None:
    """Return from which to which value bins go; None where there are none."""
    low, high = placed.select(pl.col(BIN_LOW).min(), pl.col(BIN_HIGH).max()).collect(engine="streaming").row(0)
    return None if low is None or high is None else Span(float(low), float(high))


def _level(name: str, values: Span, levels: int) -> pl.Expr:
    """Return at which of so many levels of the values an edge lies."""
    scale = max(values.high - values.low, np.finfo(float).tiny)
    return ((pl.col(name).cast(pl.Float64) - values.low) / scale * levels).round()


def _spread(
    totals: npt.NDArray[np.float64],
    column: npt.NDArray[np.int64],
    below: npt.NDArray[np.float64],
    above: npt.NDArray[np.float64],
    count: npt.NDArray[np.float64],
) -> None:
    """Add the counts of bins to the lines that they overlap; their edges are measured in lines."""
    lines = len(totals)
    first = np.clip(np.floor(below).astype(np.int64), 0, lines - 1)
    crossed = np.clip(np.ceil(above).astype(np.int64), first + 1, lines) - first
    bin_of = np.repeat(np.arange(len(count)), crossed)
    line = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[bin_of]
    overlap = np.minimum(above[bin_of], line + 1) - np.maximum(below[bin_of], line)
    width = (above - below)[bin_of]
    share = np.divide(overlap, width, out=1.0 / crossed[bin_of], where=width > 0)
    np.add.at(totals, (line, column[bin_of]), count[bin_of] * share)
