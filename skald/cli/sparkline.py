"""Sparklines: the course of a series in a few characters.

A series is cut into buckets of neighbouring rows, all series in one pass over the rows, and each character is the mean
of the rows that it stands for; of millions of rows it is that of an even sample. A character whose rows hold NaN or an
infinity says so instead, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from skald.reading.selection import id_kinds, in_series
from skald.schema import METRIC, VALUE

ALL_BUCKETS: Final = 200_000
FEWEST_BUCKETS, MOST_BUCKETS = 80, 1000
"""Into how many buckets a series is cut, so that all have about ALL_BUCKETS; shorter ones have one a row.

They are cut by position in the table, so a series that was logged in bursts needs more of them than characters.
"""

MOST_ROWS: Final = 1_000_000
"""Of more rows only about so many go into the means: those of ten millions would take a second."""

BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS: Final = "_.-~=+*#"
NAN, INFINITY = "×", "∞"  # noqa: RUF001  the sign is meant
ASCII_NAN, ASCII_INFINITY = "x", "!"

_OWN: Final = "\x01"  # no metric and no id can be named so


class Curve(NamedTuple):
    """A series in buckets, in log order: of each the rows, how many are NaN or infinite, the mean of the others."""

    rows: np.ndarray[tuple[int], np.dtype[np.float64]]
    nan: np.ndarray[tuple[int], np.dtype[np.float64]]
    infinite: np.ndarray[tuple[int], np.dtype[np.float64]]
    mean: np.ndarray[tuple[int], np.dtype[np.float64]]


def curves(rows: pl.LazyFrame, summary: pl.DataFrame, by: Sequence[str]) -> list[Curve]:
    """Return the curve of each series of a summary that was made with its span.

    Args:
        rows: the rows that were summarized.
        summary: its result, of which the ids in `by` and the columns `count`, `first_row`, `last_row` are used.
        by: the ids that tell the series apart.
    """
    if summary.is_empty():
        return []
    series, row, count = pl.col(f"{_OWN}series"), pl.col(f"{_OWN}row"), pl.col(f"{_OWN}count")
    first, last = pl.col(f"{_OWN}first"), pl.col(f"{_OWN}last")
    spans = summary.lazy().select(
        METRIC,
        *by,
        pl.int_range(pl.len(), dtype=pl.Int64).alias(f"{_OWN}series"),
        pl.col("count").alias(f"{_OWN}count"),
        pl.col("first_row").alias(f"{_OWN}first"),
        pl.col("last_row").alias(f"{_OWN}last"),
    )
    buckets = min(MOST_BUCKETS, max(FEWEST_BUCKETS, ALL_BUCKETS // len(summary)))
    # a running run may have grown since the summary: what came later falls into the last bucket
    cut = ((row - first) * buckets // (last - first + 1)).clip(0, buckets - 1)
    value = pl.col(VALUE)
    found = (
        rows.with_row_index(f"{_OWN}row")
        .filter(in_series(id_kinds(rows.collect_schema())))
        .filter(_sampled(summary, buckets))
        .select(METRIC, *by, VALUE, row.cast(pl.Int64))
        .join(spans, on=[METRIC, *by], nulls_equal=True)
        .group_by(series, pl.when(count <= buckets).then(row).otherwise(cut).alias(f"{_OWN}bucket"))
        .agg(
            pl.len().alias("rows"),
            value.is_nan().sum().alias("nan"),
            value.is_infinite().sum().alias("infinite"),
            pl.when(value.is_finite()).then(value).mean().fill_null(float("nan")).alias("mean"),
        )
        .collect(engine="streaming")
        .sort(series, f"{_OWN}bucket")
    )
    return _split(found, len(summary))


def _sampled(summary: pl.DataFrame, buckets: int) -> pl.Expr:
    """Return which rows count: of millions a sample, but all of short series, and all that are no numbers."""
    step = summary["count"].sum() // MOST_ROWS + 1
    if step == 1:
        return pl.lit(value=True)
    short = summary.filter(pl.col("count") <= buckets * step)[METRIC].unique()
    # NOTE: not each n-th row: where metrics take turns that would be all of one and none of another
    is_chosen = pl.col(f"{_OWN}row").hash() % step == 0
    return is_chosen | ~pl.col(VALUE).is_finite() | pl.col(METRIC).is_in(short.implode())


def _split(found: pl.DataFrame, series: int) -> list[Curve]:
    starts = np.searchsorted(found[f"{_OWN}series"].to_numpy(), np.arange(series + 1))
    columns = [found[name].cast(pl.Float64).to_numpy() for name in Curve._fields]
    return [Curve(*(column[start:stop] for column in columns)) for start, stop in pairwise(starts)]


def draw(curve: Curve, width: int, *, ascii_only: bool = False) -> str:
    """Return a curve in at most `width` characters, from left to right in log order.

    Heights span the means of the characters, so the lowest is the lowest block; all are equal where nothing changes.
    """
    parts = _resample(curve, min(width, len(curve.rows)))
    blocks = ASCII_BLOCKS if ascii_only else BLOCKS
    finite = [part.mean[0] for part in parts if np.isfinite(part.mean[0])]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_character(part, low, high, blocks, ascii_only=ascii_only) for part in parts)


def _character(part: Curve, low: float, high: float, blocks: str, *, ascii_only: bool) -> str:
    if part.nan[0]:
        return ASCII_NAN if ascii_only else NAN
    if part.infinite[0]:
        return ASCII_INFINITY if ascii_only else INFINITY
    span = high / 2 - low / 2  # halves: the difference may be beyond a float
    if not span:
        return blocks[len(blocks) // 2 - 1]
    height = (part.mean[0] / 2 - low / 2) / span
    return blocks[round(float(height) * (len(blocks) - 1))]


def _resample(curve: Curve, width: int) -> list[Curve]:
    """Return `width` parts of one bucket each, of about as many rows each."""
    ends = curve.rows.cumsum()
    if not len(ends):
        return []
    middles, edges = ends - curve.rows / 2, np.linspace(0, ends[-1], width + 1)
    starts = np.searchsorted(middles, edges)
    centres = np.searchsorted(ends, (edges[1:] + edges[:-1]) / 2)
    spans = [
        slice(start, stop) if start < stop else slice(centre, centre + 1)
        for (start, stop), centre in zip(pairwise(starts), centres, strict=True)
    ]
    return [_merge(Curve(*(column[span] for column in curve))) for span in spans]


def _merge(part: Curve) -> Curve:
    """Return one bucket instead of several."""
    weights = part.rows - part.nan - part.infinite
    numbers = weights > 0
    mean = np.average(part.mean[numbers], weights=weights[numbers]) if numbers.any() else np.nan
    return Curve(*(np.array([total]) for total in (part.rows.sum(), part.nan.sum(), part.infinite.sum(), mean)))
