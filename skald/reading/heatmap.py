"""Heat maps: histograms over an x, as the share of the values of a column of a picture that each of its lines holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from skald.reading.curves import COLUMN, Axis, Span, place
from skald.reading.selection import id_kinds
from skald.schema import BIN_HIGH, BIN_LOW, VALUE


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


def heat_map(  # the histograms are those of one series
    rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, span: Span, size: tuple[int, int], *, is_log: bool = False
) -> HeatMap | None:
    """Draw the histograms of one series over x; the counts of a bin are spread evenly over its width.

    Args:
        rows: the bins.
        surveyed: what `skald.reading.curves.survey` says of them.
        axis: what they are drawn over.
        span: from where to where.
        size: how many columns and lines there are.
        is_log: whether x is logarithmic.

    Returns:
        The picture; None where no bin has a count.
    """
    columns, lines = size
    counted = place(rows, surveyed, axis, span, columns, is_log=is_log).filter(pl.col(VALUE) > 0)
    bins = (
        counted.filter(pl.col(VALUE).is_finite())
        .group_by(COLUMN, BIN_LOW, BIN_HIGH)
        .agg(pl.col(VALUE).sum())
        .collect(engine="streaming")
    )
    if bins.is_empty():
        return None
    column, low, high, count = (bins[name].cast(pl.Float64).to_numpy() for name in (COLUMN, BIN_LOW, BIN_HIGH, VALUE))
    values = Span(float(low.min()), float(high.max()))
    scale = max(values.high - values.low, np.finfo(float).tiny)
    below, above = ((edge - values.low) / scale * lines for edge in (low, high))
    totals = np.zeros((lines, columns))
    _spread(totals, column.astype(np.int64), below, above, count)
    with np.errstate(invalid="ignore"):  # of a column without a histogram the shares are 0 / 0
        return HeatMap(totals / totals.sum(axis=0), values)


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
