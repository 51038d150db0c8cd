"""Heat maps of histograms: every count lands in the lines that its bin overlaps."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from skald.reading.axis import Axis, Span, survey
from skald.reading.heatmap import count_unbounded, heat_map, is_histogram


def bins(*found: tuple[int, float, float, float]) -> pl.LazyFrame:
    """Return rows of histograms: epoch, the edges of a bin, its count."""
    frame = pl.DataFrame(found, ["epoch", "bin_low", "bin_high", "value"], orient="row")
    return frame.with_columns(
        pl.lit("w").alias("metric"), pl.lit(dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).alias("time")
    ).lazy()


def shares(rows: pl.LazyFrame, columns: int, lines: int) -> list[list[float]]:
    """Return the lines of a heat map over epochs, from the lowest values."""
    found = heat_map(rows, survey(rows, []), Axis("id", "epoch"), Span(0, 1), (columns, lines))
    assert found is not None
    return np.round(found.shares, 6).tolist()  # type: ignore[no-any-return]


def test_heat_map_has_the_share_of_each_line_in_a_column() -> None:
    """Columns add up to 1, however many values their histograms counted."""
    rows = bins((0, 0, 1, 30), (0, 1, 2, 10), (1, 0, 1, 1), (1, 1, 2, 1))

    assert shares(rows, 2, 2) == [[0.75, 0.5], [0.25, 0.5]]


def test_heat_map_spreads_a_bin_over_the_lines_it_overlaps() -> None:
    """A wide bin is spread evenly, one across an edge by its parts, one without a width stays where it is."""
    rows = bins((0, 0, 4, 8), (1, 0.5, 1.5, 1), (1, 3.5, 3.5, 1))

    assert shares(rows, 2, 4) == [[0.25, 0.25], [0.25, 0.25], [0.25, 0], [0.25, 0.5]]


def test_heat_map_leaves_columns_without_a_histogram_empty() -> None:
    """Nothing is NaN, which is not 0."""
    found = shares(bins((0, 0, 1, 1), (1, 0, 1, 1)), 3, 1)

    assert np.isnan(found[0][1])
    assert (found[0][0], found[0][2]) == (1, 1)


def test_heat_map_of_no_counts_is_none() -> None:
    """Where nothing was counted there is no picture."""
    rows = bins((0, 0, 1, 0))

    assert heat_map(rows, survey(rows, []), Axis("id", "epoch"), Span(0, 1), (2, 2)) is None


def test_heat_map_leaves_out_bins_that_reach_too_far() -> None:
    """Infinite edges, those that are NaN, and bins wider than a float: the others are drawn, and these counted."""
    nan, inf = float("nan"), float("inf")
    too_far = [(0, 2, inf, 1), (1, -inf, 0, 1), (1, nan, 1, 1), (1, 0, nan, 1), (1, -1.7e308, 1.7e308, 1)]
    rows = bins((0, 0, 1, 30), (0, 1, 2, 10), (1, 0, 2, 1), *too_far, (1, -inf, inf, 0))

    assert shares(rows, 2, 2) == [[0.75, 0.5], [0.25, 0.5]]
    assert count_unbounded(rows) == len(too_far)


def test_histograms_are_known_by_their_bins() -> None:
    """Rows without edges are curves, also in a table that has histograms."""
    rows = bins((0, 0, 1, 1))

    assert is_histogram(rows)
    assert not is_histogram(rows.with_columns(pl.lit(None, pl.Float64).alias("bin_low")))
    assert not is_histogram(rows.drop("bin_low"))
