"""Sketches: curves that grow with new rows are those of all rows at once."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from skald.reading.axis import Axis, Span, axis_span, series_keys, survey
from skald.reading.curves import COUNT, HIGH, LOW, MEAN, NAN, X_MEAN, cut
from skald.reading.heatmap import heat_map
from skald.reading.sketch import Sketch

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def table(count: int, seed: int = 0, **ids: Any) -> pl.DataFrame:
    """Return rows as a run has them, a second apart; one in fifty is NaN."""
    chance = np.random.default_rng(seed)
    values = np.where(chance.random(count) < 0.02, np.nan, chance.normal(size=count))
    times = pl.Series("time", np.arange(count) * 1_000_000 + int(START.timestamp() * 1e6)).cast(
        pl.Datetime("us", "UTC")
    )
    columns = {name: values if isinstance(values, (np.ndarray, list)) else [values] * count
               for name, values in ids.items()}  # fmt: skip
    return pl.DataFrame({"metric": ["loss"] * count, **columns, "value": values}).with_columns(times)


def grown(rows: pl.DataFrame, cuts: list[int], **options: Any) -> Sketch:
    """Return a sketch of the rows before the first cut that took in the others part by part."""
    ends = [*cuts, len(rows)]
    sketch = Sketch(rows.head(ends[0]), **options)
    for first, stop in itertools.pairwise(ends):
        assert sketch.extend(rows.slice(first, stop - first))
    return sketch


SPLITS = [["train", "val"][number % 3 == 0] for number in range(900)]


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("x", [None, "step", "time", "relative"])
@pytest.mark.parametrize(
    "rows",
    [
        table(900, step=np.arange(900)),
        table(900, step=np.arange(900), split=SPLITS),
        table(900, step=np.arange(900) % 30, epoch=np.arange(900) % 90 // 30, split=SPLITS),
        table(900, lr=0.5 ** (np.arange(900) / 90)),
    ],
)
def test_sketch_that_grew_draws_what_one_of_all_rows_draws(rows: pl.DataFrame, x: str | None, is_log: bool) -> None:  # noqa: FBT001
    """Rows may come in any portions: x, spans and curves are the same, also over positions in a series."""
    cuts = sorted(random.Random(1).sample(range(100, 900), 5))

    sketch, whole = grown(rows, cuts, x=x, is_log=is_log), Sketch(rows, x=x, is_log=is_log)

    assert sketch.axis == whole.axis
    assert sketch.span == whole.span
    assert_frame_equal(sketch.surveyed, whole.surveyed)
    found, expected = sketch.curves(60), whole.curves(60)
    # columns of a logarithm are narrower than a step at its left end only: one may fall on the other side of an edge
    assert_frame_equal(found.select(*sketch.by, X_MEAN), expected.select(*sketch.by, X_MEAN), rel_tol=0.01)
    assert found.select(COUNT, NAN).sum().row(0) == expected.select(COUNT, NAN).sum().row(0)
    if not is_log:
        assert_frame_equal(found, expected)


def test_sketch_draws_as_rows_are_cut() -> None:
    """Of fewer points than a sketch has columns nothing is lost: it is what `skald plot` draws."""
    rows = table(900, step=np.arange(900), split=SPLITS)
    surveyed = survey(rows.lazy(), series_keys(rows.lazy()))
    axis = Axis("id", "step")
    span = axis_span(rows.lazy(), surveyed, axis)
    assert span is not None

    found = grown(rows, [3, 4, 500]).curves(80)

    assert_frame_equal(found, cut(rows.lazy(), surveyed, axis, span, 80))


def test_sketch_counts_every_row_of_a_long_curve() -> None:
    """Of more points than columns each row counts, in minimum, maximum and mean, however often the curve grew."""
    rows = table(200_000, step=np.arange(200_000))
    values = rows["value"].fill_nan(None)
    mean = values.to_frame().select(pl.col("value").mean()).item()

    sketch = grown(rows, [1, 10, 5_000, 70_000, 70_001])
    found = sketch.curves(150)

    assert found[COUNT].sum() == 200_000
    assert found[NAN].sum() == values.null_count()
    assert (found[LOW].min(), found[HIGH].max()) == (values.min(), values.max())
    weights = (found[COUNT] - found[NAN]).to_numpy()
    assert np.average(found[MEAN].to_numpy(), weights=weights) == pytest.approx(mean)
    assert sketch.span == Span(0.0, 199_999.0)
    assert (found[X_MEAN].diff().drop_nulls() > 1_000).all()


def test_sketch_smooths_as_rows_are_smoothed() -> None:
    """Where a column holds one row it is TensorBoard's smoothing, for each series alone, and NaN are skipped."""
    rows = table(300, step=np.arange(300), split=SPLITS[:300])
    surveyed = survey(rows.lazy(), ["split"])

    found = Sketch(rows).curves(300, smoothing=0.9)

    expected = cut(rows.lazy(), surveyed, Axis("id", "step"), Span(0, 299), 300, smoothing=0.9)
    assert_frame_equal(found, expected)


def test_sketch_has_a_curve_for_each_value_of_an_id_that_is_asked_for() -> None:
    """A number tells curves apart where one wants it to; the others are drawn over what is left."""
    rows = table(90, step=np.arange(90) % 30, epoch=np.arange(90) // 30)

    sketch = Sketch(rows, by="epoch")

    assert sketch.surveyed["epoch"].to_list() == [0, 1, 2]
    assert sketch.axis == Axis("id", "step")


@pytest.mark.parametrize("x", ["step", "no such id", "split"])
def test_sketch_falls_back_on_the_usual_x_where_rows_have_no_such_id(x: str) -> None:
    """One choice of x is for all metrics of a run, of which some do not have that id."""
    rows = table(10, epoch=np.arange(10), split=["val"] * 10).with_columns(pl.lit(None, pl.Int64).alias("step"))

    assert Sketch(rows, x=x).axis == Axis("id", "epoch")


def test_sketch_says_when_new_rows_change_the_x() -> None:
    """An id that falls for the first time is no x any more, and the sketch must be made anew."""
    sketch = Sketch(table(10, epoch=np.arange(10) // 5, step=np.arange(10)))

    assert not sketch.extend(table(1, epoch=[2], step=[0]))


def test_sketch_begins_with_one_row_and_reaches_far() -> None:
    """The first row has no width, and those that follow may be anywhere."""
    sketch = Sketch(table(1, step=[5.0]))

    assert sketch.extend(table(2, step=[5.0, 1e300]))
    assert sketch.extend(table(1, step=[float("inf")]))

    assert sketch.span == Span(5.0, 1e300)
    assert sketch.curves(10)[COUNT].to_list() == [2, 1]


def test_sketch_without_a_row_that_can_be_drawn_has_no_span() -> None:
    """On a logarithmic x nothing at or below 0 has a place, and what comes later is drawn by a new sketch."""
    sketch = Sketch(table(3, step=[-2, -1, 0]), x="step", is_log=True)

    assert sketch.span is None
    assert sketch.curves(10).is_empty()
    assert not sketch.extend(table(1, step=[1]))


def test_sketch_keeps_the_bins_of_histograms() -> None:
    """Histograms are drawn from their bins, and grow with new ones."""
    rows = table(8, step=np.arange(8) // 2, bin_low=[0.0, 1.0] * 4, bin_high=[1.0, 2.0] * 4)

    sketch = grown(rows, [4])

    assert sketch.histograms is not None
    assert_frame_equal(sketch.histograms, rows)
    assert sketch.span == Span(0, 3)
    assert sketch.axis == Axis("id", "step")


@pytest.mark.parametrize("is_log", [False, True])
def test_sketch_of_a_part_is_as_fine_as_its_rows_are_cut(is_log: bool) -> None:  # noqa: FBT001
    """A part that the whole has too few columns for is cut anew, and counts every row in it, also those that come."""
    rows = table(100_000, step=np.arange(1, 100_001), split=["train", "val"] * 50_000)
    sketch, part = Sketch(rows.head(50_500), is_log=is_log), Span(50_000.0, 50_900.0)

    assert sketch.is_fine(Span(1.0, 100_000.0), 60) is False  # beyond what it knows of
    assert not sketch.is_fine(part, 600)
    sketch.refine(rows.head(50_500), part)
    assert sketch.extend(rows.slice(50_500))
    if not sketch.is_fine(part, 600):
        sketch.refine(rows, part)

    found = sketch.curves(600, span=part)
    expected = cut(rows, sketch.surveyed, sketch.axis, part, 600, is_log=is_log)
    assert found[COUNT].sum() == expected[COUNT].sum() == 901
    assert found[NAN].sum() == expected[NAN].sum()
    assert_frame_equal(found.group_by("split").agg(pl.col(LOW).min(), pl.col(HIGH).max()).sort("split"),
                       expected.group_by("split").agg(pl.col(LOW).min(), pl.col(HIGH).max()).sort("split"))  # fmt: skip
    assert max(found[COUNT].to_list()) <= 4


def test_sketch_of_a_part_is_smoothed_with_what_was_before_it() -> None:
    """Smoothing does not begin anew where a part begins."""
    rows = table(20_000, step=np.arange(20_000)).with_columns(
        pl.when(pl.col("step") < 9_000).then(10.0).otherwise(0.0).alias("value")
    )
    sketch, part = Sketch(rows), Span(9_010.0, 9_090.0)

    sketch.refine(rows, part)

    found = sketch.curves(80, 0.999, part)
    expected = cut(rows, sketch.surveyed, sketch.axis, part, 80, smoothing=0.999)
    assert_frame_equal(found.select(X_MEAN, MEAN), expected.select(X_MEAN, MEAN), rel_tol=0.01)


def test_sketch_that_knows_a_part_finely_enough_reads_nothing_again() -> None:
    """Also next to a part that was cut anew."""
    rows = table(100_000, step=np.arange(100_000))
    sketch = Sketch(rows)

    assert sketch.is_fine(Span(0.0, 50_000.0), 300)
    sketch.refine(rows, Span(1000.0, 2000.0))
    assert sketch.is_fine(Span(500.0, 1500.0), 300)
    assert not sketch.is_fine(Span(5000.0, 6000.0), 300)


def test_sketch_of_millions_of_bins_keeps_those_that_a_picture_tells_apart() -> None:
    """Its heat map is that of all bins but for a hundredth; a part is read again, and new bins come on top."""
    steps = 30_000
    low = np.tile(np.arange(64) / 64, steps) + np.repeat(np.sin(np.arange(steps) / 3000), 64)
    count = np.tile(np.arange(64) + 1.0, steps)
    rows = table(64 * steps, step=np.repeat(np.arange(steps), 64), bin_low=low, bin_high=low + 1 / 64).with_columns(
        pl.Series("value", count)
    )
    sketch, part = Sketch(rows.head(-64)), Span(10_000.0, 10_100.0)
    assert sketch.extend(rows.tail(64))

    assert len(sketch.bins(150)) < 500_000
    for span in (Span(0.0, steps - 1.0), part):
        if not sketch.is_fine(span, 150):
            sketch.refine(rows, span)
        found = heat_map(sketch.bins(150, span).lazy(), sketch.surveyed, sketch.axis, span, (101, 40))
        expected = heat_map(rows.lazy(), sketch.surveyed, sketch.axis, span, (101, 40))
        assert found is not None
        assert expected is not None
        np.testing.assert_allclose(found.shares, expected.shares, atol=0.01)
    assert not sketch.is_fine(Span(0.0, 100.0), 150)
