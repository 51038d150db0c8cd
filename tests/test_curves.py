"""Curves: which x they get, and that every row counts in the columns they are cut into."""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from skald.errors import InvalidInputError
from skald.reading.axis import Axis, Span, axis_span, choose_axis, named_axis, seconds, series_keys, survey
from skald.reading.curves import COLUMN, COUNT, HIGH, LOW, MEAN, NAN, X_MEAN, band, cut, split
from skald.reading.selection import id_kinds

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NO_VALUE = float("nan")


def rows_of(rows: Sequence[Mapping[str, Any]]) -> pl.LazyFrame:
    """Return rows as a run has them; each is a second after the one before."""
    names = dict.fromkeys(name for row in rows for name in row)
    table = [{name: row.get(name) for name in names} for row in rows]
    frame = pl.DataFrame(table, infer_schema_length=None) if names else pl.DataFrame({"none": [0] * len(rows)})
    times = pl.Series("time", [START + dt.timedelta(seconds=second) for second in range(len(rows))])
    return frame.drop("none", strict=False).with_columns(
        pl.col("value") if "value" in names else pl.lit(0.0).alias("value"),
        times.cast(pl.Datetime("us", "UTC")),
        pl.lit("loss").alias("metric"),
    ).lazy()  # fmt: skip


def chosen(rows: Sequence[Mapping[str, Any]]) -> Axis:
    """Return the x that rows get where none is given."""
    frame = rows_of(rows)
    return choose_axis(survey(frame, series_keys(frame)))


def curves_of(frame: pl.LazyFrame, columns: int, axis: Axis | None = None, **options: Any) -> pl.DataFrame:
    """Cut rows over the x that they get, or another."""
    surveyed = survey(frame, series_keys(frame))
    axis = axis or choose_axis(surveyed)
    span = axis_span(frame, surveyed, axis, is_log=options.get("is_log", False))
    assert span is not None
    return cut(frame, surveyed, axis, span, columns, **options)


ONE_EPOCH_AFTER_THE_OTHER = [{"epoch": epoch, "step": step} for epoch in range(3) for step in range(4)]


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([{"step": step} for step in range(5)], "step"),
        ([{"epoch": step // 2, "step": step} for step in range(6)], "step"),
        (ONE_EPOCH_AFTER_THE_OTHER, "epoch"),
        ([{"epoch": step, "step": step * 100} for step in range(6)], "epoch"),
        ([{"lr": 0.5**step, "tokens": step / 4} for step in range(6)], "tokens"),
        ([{"step": step, "split": split} for split in ("train", "val") for step in range(5)], "step"),
        ([{"step": step, "fold": 1} for step in range(5)], "step"),
        ([{"step": 3}], "step"),
        ([{"step": 5, "run": "a"}, {"step": 3, "run": "b"}, {"step": 4, "run": "b"}], "step"),
    ],
)
def test_x_is_the_number_id_that_never_decreases_and_takes_most_values(
    rows: Sequence[Mapping[str, Any]], label: str
) -> None:
    """Strings tell series apart, and an id that falls inside a series is no x."""
    assert chosen(rows) == Axis("id", label)


def test_x_is_the_position_when_each_id_restarts() -> None:
    """Where no id only rises, rows are counted, and the label names the ids."""
    rows = [{"epoch": epoch, "step": step} for _ in range(2) for epoch in range(3) for step in range(4)]

    assert chosen(rows) == Axis("position", "epoch, step")
    assert chosen([{"step": step} for step in (5, 3, 9, 1)]) == Axis("position", "row (step)")


@pytest.mark.parametrize(
    "rows",
    [
        [{}, {}],
        [{"split": "val"}, {"split": "val"}],
        [{"rank": 3}, {"rank": 3}],
        [{"step": 1}, {}],
        [{"step": 1, "run": "a"}, {"epoch": 1, "run": "b"}],
        [{"step": float("nan")}, {"step": 1.0}],
    ],
)
def test_x_is_the_time_when_rows_share_no_number(rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows without ids, with one that never changes, or with none that all have, are drawn over time."""
    assert chosen(rows) == Axis("time", "time")


def test_x_is_the_id_that_all_but_a_few_rows_have() -> None:
    """A last test without a step, or a run that named it otherwise, takes the x from no other curve."""
    steps = [{"step": step, "split": "train"} for step in range(20)]

    assert chosen([*steps, {"split": "test"}]) == Axis("id", "step")
    assert chosen([*steps, *({"split": "test", "epoch": epoch} for epoch in range(20))]) == Axis("time", "time")
    assert chosen([*({"step": step, "epoch": step // 5} for step in range(20)), {"epoch": 3}]) == Axis("id", "epoch")


def test_x_is_one_choice_for_several_runs() -> None:
    """An id that falls in one run is the x of none of them."""
    rising = [{"run": "a", "epoch": step // 3, "step": step} for step in range(6)]
    falling = [{"run": "b", "epoch": step // 3, "step": step % 3} for step in range(6)]

    assert chosen(rising) == Axis("id", "step")
    assert chosen([*rising, *falling]) == Axis("id", "epoch")


def test_x_counts_values_across_batches_and_sees_a_fall_between_them() -> None:
    """A table is surveyed in parts, and what happens between two of them counts too."""
    rows = 1_200_000
    step = np.arange(rows)
    frame = rows_of([]).head(0).collect()
    table = pl.DataFrame({"metric": "loss", "step": step, "up": step // 7, "value": 0.0, "time": START}).cast(
        {"time": frame.schema["time"]}
    )
    surveyed = survey(table.lazy(), [])

    falls = [survey(table.with_columns(pl.Series("step", (step + at) % rows)).lazy(), []) for at in (500_000, 700_000)]

    assert surveyed["up"].struct.field("values").item() == -(-rows // 7)
    assert surveyed["step"][0] == {
        "low": 0.0, "high": rows - 1.0, "missing": 0, "values": rows, "falls": False, "first": 0, "last": rows - 1
    }  # fmt: skip
    assert [found["step"].struct.field("falls").item() for found in falls] == [True, True]
    assert choose_axis(surveyed).label == "step"


def test_x_leaves_out_the_bins_of_histograms() -> None:
    """The edges of bins are no positions."""
    rows = [{"step": step, "bin_low": low, "bin_high": low + 0.5} for step in range(4) for low in (0.0, 0.5)]

    assert chosen(rows) == Axis("id", "step")


def test_named_x_is_an_id_time_or_relative() -> None:
    """Any number is an x, strings are not, and an id that is called relative is that id."""
    kinds = id_kinds(rows_of([{"step": 1, "split": "val"}]).collect_schema())

    assert named_axis("step", kinds) == Axis("id", "step")
    assert named_axis("time", kinds).kind == "time"
    assert named_axis("relative", kinds).kind == "relative"
    assert named_axis("relative", {"relative": "int"}) == Axis("id", "relative")
    with pytest.raises(InvalidInputError, match="'split' is str"):
        named_axis("split", kinds)
    with pytest.raises(InvalidInputError, match="there is no id 'stop': the ids are step, split"):
        named_axis("stop", kinds)


def test_curve_counts_every_row_in_its_column() -> None:
    """A column holds the minimum, maximum and mean of all of its rows, the single spike too."""
    random = np.random.default_rng(0)
    values = random.normal(size=1_300_000)
    values[777_777] = 1e6
    table = pl.DataFrame({"metric": "loss", "step": np.arange(len(values)), "value": values, "time": START})

    found = curves_of(table.lazy(), 7)

    parts = np.array_split(values, [math.ceil((len(values) - 1) * part / 7) for part in range(1, 7)])
    assert found[COUNT].to_list() == [len(part) for part in parts]
    assert found[LOW].to_list() == [part.min() for part in parts]
    assert found[HIGH].to_list() == [part.max() for part in parts]
    assert found[MEAN].to_list() == pytest.approx([part.mean() for part in parts])
    assert found[X_MEAN].is_sorted()


def test_curve_of_few_rows_has_each_where_it_was_logged() -> None:
    """With more columns than rows nothing is averaged or moved."""
    frame = rows_of([{"step": step, "value": float(value)} for step, value in ((0, 5), (3, 1), (10, 2))])

    found = curves_of(frame, 80)

    assert found.select(COLUMN, X_MEAN, COUNT, MEAN).rows() == [(0, 0, 1, 5), (24, 3, 1, 1), (79, 10, 1, 2)]


def test_curve_marks_nan_and_infinities() -> None:
    """They are counted apart, and the numbers beside them stay."""
    values = [1.0, NO_VALUE, 3.0, math.inf, -math.inf, NO_VALUE]
    frame = rows_of([{"step": step // 3, "value": value} for step, value in enumerate(values)])

    found = curves_of(frame, 2)

    assert found.select(COUNT, NAN, LOW, HIGH, MEAN).rows() == [(3, 1, 1, 3, 2), (3, 3, None, None, None)]


def test_curves_are_split_by_run_and_by_strings_and_bools() -> None:
    """Train and val are never mixed, and keep their order."""
    keys = [("b", "val", True), ("a", "val", True), ("a", "val", None), ("a", "train", False)]
    rows = [
        {"run": run, "split": part, "ema": ema, "step": step, "value": float(number)}
        for step in range(2)
        for number, (run, part, ema) in enumerate(keys)
    ]
    frame = rows_of(rows)

    found = split(curves_of(frame, 10), series_keys(frame))

    assert [tuple(ids.values()) for ids, _ in found] == keys
    assert [part[MEAN].unique().to_list() for _, part in found] == [[0], [1], [2], [3]]


@pytest.mark.parametrize("logged_between", [1, 2])
def test_curve_over_positions_counts_the_rows_of_its_series(logged_between: int) -> None:
    """The position is that among the rows of the same series."""
    splits = [f"split{number}" for number in range(logged_between)]
    frame = rows_of([{"split": split, "value": float(row)} for row in range(4) for split in splits])

    found = curves_of(frame, 4, Axis("position", "row"))

    assert found[X_MEAN].to_list() == [0, 1, 2, 3] * logged_between


def test_curve_over_relative_time_begins_with_its_run() -> None:
    """Each run begins at 0, all its series together."""
    rows = [{"run": run, "split": split} for run in "ab" for split in ("train", "val") for _ in range(2)]

    found = curves_of(rows_of(rows), 4, Axis("relative", ""))

    assert found[X_MEAN].to_list() == [0, 1, 2, 3] * 2


def test_moment_is_the_same_alone_as_among_others() -> None:
    """Where all rows are of one moment it is the first and the last, and they are drawn there."""
    times = pl.Series("time", [START + dt.timedelta(microseconds=7919 * number) for number in range(500)])

    together = times.to_frame().select(seconds(pl.col("time"))).to_series().to_list()

    assert together == [times[k : k + 1].to_frame().select(seconds(pl.col("time"))).item() for k in range(500)]


def test_curve_over_time_is_in_seconds_since_1970() -> None:
    """Times are exact to the microsecond's neighbourhood."""
    found = curves_of(rows_of([{}, {}, {}]), 3)

    assert found[X_MEAN].to_list() == [START.timestamp() + second for second in range(3)]


def test_curve_over_a_logarithm_has_columns_of_equal_ratio() -> None:
    """What has no logarithm is left out."""
    frame = rows_of([{"step": step, "value": float(step)} for step in range(1001)])

    found = curves_of(frame, 3, is_log=True)

    assert found[COUNT].to_list() == [9, 90, 901]


def test_curves_without_an_x_to_draw_have_no_span() -> None:
    """An id that no row has, or that is nowhere finite, gives no picture."""
    frame = rows_of([{"step": float("nan"), "epoch": 0, "value": 1.0}])
    surveyed = survey(frame, [])

    assert axis_span(frame, surveyed, Axis("id", "step")) is None
    assert axis_span(frame, surveyed, Axis("id", "epoch"), is_log=True) is None
    assert axis_span(frame, surveyed, Axis("id", "epoch")) == Span(0, 0)


def test_curve_is_cut_anew_for_a_part_of_it() -> None:
    """What lies beyond the span is left out, so a part can be looked at closely."""
    frame = rows_of([{"step": step, "value": float(step)} for step in range(100)])
    surveyed = survey(frame, [])

    found = cut(frame, surveyed, Axis("id", "step"), Span(50, 59), 10)

    assert found[MEAN].to_list() == list(range(50, 60))


def test_curve_of_huge_numbers_stays_finite() -> None:
    """Neither the span of x nor the sum of values needs to be a float."""
    rows = [{"x": sign * 1.7e308, "value": 1.7e308} for sign in (-1, 1) for _ in range(3)]

    found = curves_of(rows_of(rows), 2)

    assert found[X_MEAN].to_list() == [-1.7e308, 1.7e308]
    assert found[MEAN].to_list() == [1.7e308] * 2


def tensorboard(values: Sequence[float], weight: float) -> list[float]:
    """Smooth as TensorBoard does: the debiased mean, NaN and infinities passed over."""
    last, count, smoothed = 0.0, 0, []
    for value in values:
        if math.isfinite(value):
            last, count = last * weight + (1 - weight) * value, count + 1
        smoothed.append(last / (1 - weight**count) if math.isfinite(value) else value)
    return smoothed


@pytest.mark.parametrize("weight", [0.3, 0.9, 0.999])
def test_smoothing_is_that_of_tensorboard(weight: float) -> None:
    """The mean is debiased and skips NaN; what was logged stays as minimum and maximum; series do not mix."""
    values = [*np.random.default_rng(1).normal(size=50).tolist(), NO_VALUE, math.inf, 3.0, 4.0]
    rows = [
        {"step": step, "split": split, "value": sign * value}
        for step, value in enumerate(values)
        for split, sign in (("train", 1.0), ("val", -1.0))
    ]
    frame = rows_of(rows)

    (_, train), (_, val) = split(curves_of(frame, len(values), smoothing=weight), ["split"])

    expected = [number if math.isfinite(number) else None for number in tensorboard(values, weight)]
    assert train[MEAN].to_list() == pytest.approx(expected)
    assert val[MEAN].to_list() == pytest.approx([None if number is None else -number for number in expected])
    assert train[LOW].to_list() == [value if math.isfinite(value) else None for value in values]


def test_band_is_the_mean_and_the_standard_deviation_of_curves() -> None:
    """Each group has its own; where one curve comes alone the band has no width; NaN is left out and told."""
    values = {("x", 1): [1.0, 2, 9], ("x", 2): [3.0, 4, NO_VALUE], ("x", 3): [8.0, 6, 5], ("y", 1): [1.0, 1, 1]}
    rows = [
        {"group": group, "member": str(member), "step": step, "value": value}
        for (group, member), course in values.items()
        for step, value in enumerate(course)
    ]

    found = band(curves_of(rows_of(rows), 3), ["group"])

    (_, first), (_, second) = split(found, ["group"])
    courses = [[1, 3, 8], [2, 4, 6], [9, 5]]
    means, spreads = [statistics.mean(course) for course in courses], [statistics.stdev(course) for course in courses]
    assert first[MEAN].to_list() == pytest.approx(means)
    assert first[HIGH].to_list() == pytest.approx(np.add(means, spreads).tolist())
    assert first[LOW].to_list() == pytest.approx(np.subtract(means, spreads).tolist())
    assert first[NAN].to_list() == [0, 0, 1]
    assert first[COUNT].to_list() == [3, 3, 2]
    assert second.select(LOW, MEAN, HIGH).rows() == [(1, 1, 1)] * 3
