"""Sparklines: the course of a series in a few characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl
import pytest

from skald.cli.sparkline import INFINITY, curves, draw
from skald.cli.sparkline import NAN as NAN_SIGN
from skald.reading.summary import summarize

NAN, INF = math.nan, math.inf


def drawn(values: Sequence[float], width: int = 10, *, ascii_only: bool = False) -> str:
    """Return the sparkline of one series."""
    rows = pl.LazyFrame({"metric": ["loss"] * len(values), "value": pl.Series(values, dtype=pl.Float64)})
    (curve,) = curves(rows, summarize(rows, span=True), [])
    return draw(curve, width, ascii_only=ascii_only)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0], "▄"),
        ([5.0, 5.0, 5.0], "▄▄▄"),
        ([0.0, 7.0], "▁█"),
        ([float(n) for n in range(8)], "▁▂▃▄▅▆▇█"),
        ([2.0, NAN, 1.0], "█×▁"),  # noqa: RUF001  the sign is meant
        ([NAN, NAN], "××"),  # noqa: RUF001
        ([1.0, INF, 2.0, -INF], "▁∞█∞"),
        ([1e308, -1e308], "█▁"),
        ([0.0, 5e-324], "▄▄"),  # of which there is no half
        ([0.0, 1e-322], "▁█"),
    ],
)
def test_sparkline_has_a_character_a_row(values: list[float], expected: str) -> None:
    """A short series is drawn row by row, the lowest as the lowest block; NaN and infinities are marked."""
    assert drawn(values) == expected


@pytest.mark.parametrize("size", [11, 79, 80, 81, 1000, 123_457])
def test_sparkline_of_a_long_series_has_the_width(size: int) -> None:
    """However many rows there are, they fill the width, and a rise is drawn as one."""
    text = drawn([float(n) for n in range(size)], width=8)

    assert text == "▁▂▃▄▅▆▇█"


def test_sparkline_marks_one_nan_among_many_rows() -> None:
    """A single NaN in a hundred thousand rows is seen: nothing is a sample."""
    values = [0.0] * 50_000 + [NAN] + [1.0] * 50_000

    text = drawn(values, width=11)

    assert text == "▁▁▁▁▁×█████"  # noqa: RUF001  the sign is meant


def test_sparkline_is_drawn_in_ascii_where_blocks_are_not_to_be_had() -> None:
    """Letters and signs rise as the blocks do."""
    assert drawn([float(n) for n in range(8)], ascii_only=True) == "_.-~=+*#"
    assert drawn([1.0, NAN, INF, 0.0], ascii_only=True) == "#x!_"


def test_sparklines_of_series_that_alternate_are_their_own() -> None:
    """Each series has its curve, in the order of the summary, however their rows stand."""
    size = 10_000
    rows = pl.LazyFrame(
        {
            "metric": ["loss"] * size,
            "split": [("train", "val", None)[n % 3] for n in range(size)],
            "value": [float(n if n % 3 else -n) for n in range(size)],
        }
    )

    found = [draw(curve, 8) for curve in curves(rows, summarize(rows, span=True), ["split"])]

    assert found == ["█▇▆▅▄▃▂▁", "▁▂▃▄▅▆▇█", "▁▂▃▄▅▆▇█"]


def test_sparkline_gives_rows_that_came_in_bursts_their_room() -> None:
    """Place in the line goes by the rows of the series, not by what was logged between them."""
    rows = pl.concat(
        [
            pl.LazyFrame({"metric": "loss", "value": [float(n) for n in range(400)]}),
            pl.LazyFrame({"metric": "other", "value": [0.0] * 40_000}),
            pl.LazyFrame({"metric": "loss", "value": [float(n) for n in range(400, 800)]}),
        ]
    )

    loss = draw(curves(rows, summarize(rows, span=True), [])[0], 8)

    assert loss == "▁▂▃▄▅▆▇█"


def test_sparklines_of_no_series_are_none() -> None:
    """A run without rows has no curve."""
    rows = pl.LazyFrame(schema={"metric": pl.String, "value": pl.Float64})

    assert curves(rows, summarize(rows, span=True), []) == []


def test_curve_of_millions_of_rows_is_that_of_a_sample_and_hides_no_nan() -> None:
    """Metrics that take turns are sampled alike; a single NaN, an infinity and a short series are there whole."""
    size = 3_000_000
    values = pl.int_range(size, eager=True).cast(pl.Float64)
    values[size - 2], values[size // 2] = float("nan"), float("inf")
    names = pl.Series(["a", "b"] * (size // 2))
    short = pl.LazyFrame({"metric": ["short"] * 3, "value": [1.0, 2.0, 3.0]})
    rows = pl.concat([pl.LazyFrame({"metric": names, "value": values}), short])
    summary = summarize(rows, span=True)

    first, second, third = curves(rows, summary, [])

    assert draw(first, 4) == f"▁▃{INFINITY}{NAN_SIGN}"
    assert draw(second, 4) == "▁▃▆█"
    assert draw(third, 4) == "▁▅█"
    assert first.rows.sum() < size / 2 > second.rows.sum()
