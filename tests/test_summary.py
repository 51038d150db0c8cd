"""Summaries: what each statistic is, per series, with where the extremes and the first NaN stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skald.errors import IdTypeError, InvalidInputError
from skald.reading.summary import summarize

NAN, INF = math.nan, math.inf
IDS = {"epoch": pl.Int64, "rate": pl.Float64, "split": pl.String, "ok": pl.Boolean}

Row = dict[str, Any]


def table(rows: Sequence[Mapping[str, Any]], ids: Mapping[str, Any] = IDS) -> pl.LazyFrame:
    """Return rows as readers see them, without the time, of which a summary knows nothing."""
    return pl.LazyFrame(rows, schema={"metric": pl.String, **ids, "value": pl.Float64})


def losses(*values: float, **ids: Any) -> list[Row]:
    """Return a row of `loss` for each value, with the value's position as its epoch."""
    return [{"metric": "loss", "epoch": epoch, "value": value, **ids} for epoch, value in enumerate(values)]


def model(rows: Sequence[Row], by: Sequence[str], ids: Sequence[str]) -> list[Row]:
    """Return the summary of rows, written as plainly as its definition."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    keys = list(dict.fromkeys((row["metric"], *(row[name] for name in by)) for row in rows))
    keys.sort(key=lambda key: metrics.index(key[0]))
    return [_model_row(key, [row for row in rows if _key(row, by) == key], by, ids) for key in keys]


def _key(row: Row, by: Sequence[str]) -> tuple[Any, ...]:
    return (row["metric"], *(row[name] for name in by))


def _model_row(key: tuple[Any, ...], rows: Sequence[Row], by: Sequence[str], ids: Sequence[str]) -> Row:
    values = [row["value"] for row in rows]
    numbers = [value for value in values if not math.isnan(value)]
    places = [{name: row[name] for name in ids} for row in rows]
    low, high = (min(numbers), max(numbers)) if numbers else (None, None)
    return {
        **dict(zip(["metric", *by], key, strict=True)),
        "count": len(values),
        "nan": len(values) - len(numbers),
        "first": values[0],
        "last": values[-1],
        "min": low,
        "max": high,
        "mean": sum(numbers) / len(numbers) if numbers else None,
        "min_at": places[values.index(low)] if numbers else None,
        "max_at": places[values.index(high)] if numbers else None,
        "nan_at": next((place for place, value in zip(places, values, strict=True) if math.isnan(value)), None),
    }


def comparable(rows: Sequence[Row]) -> list[Row]:
    """Return rows in which NaN equals NaN, and a mean one that was summed up in another order."""
    return [{name: _comparable(value) for name, value in row.items()} for row in rows]


def _comparable(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "NaN" if math.isnan(value) else round(value, 9) if math.isfinite(value) else value


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "metric": st.sampled_from(["loss", "accuracy", "a/b"]),
            "epoch": st.none() | st.integers(0, 3),
            "rate": st.none() | st.sampled_from([0.5, 1.0]),
            "split": st.none() | st.sampled_from(["", "train", "val"]),
            "ok": st.none() | st.booleans(),
            "value": st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 1.5, -2.0, 3.0]),
        }
    ),
    max_size=30,
)


@given(rows=ROWS, by=st.none() | st.lists(st.sampled_from(list(IDS)), unique=True))
def test_summary_equals_its_definition(rows: list[Row], by: list[str] | None) -> None:
    """Whatever was logged, each statistic is what its definition in plain Python says."""
    expected = model(rows, ["split", "ok"] if by is None else by, list(IDS))

    found = summarize(table(rows), by=by).to_dicts()

    assert comparable(found) == comparable(expected)


def test_summary_leaves_nan_out_of_min_max_and_mean() -> None:
    """A NaN is counted and placed, and changes no other number."""
    frame = table(losses(NAN, 3.0, 1.0, NAN, 2.0))

    row = summarize(frame).row(0, named=True)

    assert (row["min"], row["max"], row["mean"]) == (1.0, 3.0, 2.0)
    assert (row["count"], row["nan"], row["nan_at"]["epoch"]) == (5, 2, 0)


def test_summary_counts_nan_as_first_and_last() -> None:
    """First and last are what was logged first and last, also where that is NaN."""
    frame = table(losses(NAN, 1.0, NAN))

    row = summarize(frame).row(0, named=True)

    assert math.isnan(row["first"])
    assert math.isnan(row["last"])


def test_summary_of_nothing_but_nan_has_no_extremes() -> None:
    """Where every value is NaN there is no minimum, no maximum, no mean, and no place for them."""
    frame = table(losses(NAN, NAN))

    row = summarize(frame).row(0, named=True)

    assert [row[name] for name in ("min", "max", "mean", "min_at", "max_at")] == [None] * 5
    assert row["nan_at"]["epoch"] == 0


def test_summary_takes_infinities_for_numbers() -> None:
    """An infinity is an extreme, and is placed."""
    frame = table(losses(1.0, -INF, INF, 2.0))

    row = summarize(frame).row(0, named=True)

    assert (row["min"], row["max"]) == (-INF, INF)
    assert (row["min_at"]["epoch"], row["max_at"]["epoch"]) == (1, 2)


def test_summary_places_an_extreme_where_it_was_logged_first() -> None:
    """Of a million rows that share the extremes the first of each is named, however many cores read."""
    size = 1_000_000
    values = pl.Series("value", [5.0, 5.0, 1.0, 1.0, 5.0] * (size // 5))
    frame = pl.LazyFrame({"metric": pl.repeat("loss", size, eager=True), "step": range(size), "value": values})

    found = [summarize(frame).row(0, named=True) for _ in range(5)]

    assert {(row["min_at"]["step"], row["max_at"]["step"]) for row in found} == {(2, 0)}


def test_summary_has_a_row_for_each_series() -> None:
    """Rows of a metric that differ in a string or bool id are never mixed; numbers are positions."""
    rows = [*losses(3.0, 2.0, split="train"), *losses(5.0, split="val"), *losses(7.0, split="val", ok=True)]

    found = summarize(table(rows))

    assert found.select("split", "ok", "count", "min").rows() == [
        ("train", None, 2, 2.0),
        ("val", None, 1, 5.0),
        ("val", True, 1, 7.0),
    ]


def test_summary_keeps_series_whose_id_is_empty_apart_from_those_without_it() -> None:
    """An empty string is a value of an id, and not the lack of one."""
    frame = table([*losses(1.0, split=""), *losses(2.0)])

    found = summarize(frame)

    assert found.select("split", "last").rows() == [("", 1.0), (None, 2.0)]


def test_summary_stands_in_order_of_first_appearance() -> None:
    """Metrics stand as they were first logged, and so do the series of each, however rows alternate."""
    rows = [
        {"metric": metric, "split": split, "value": 0.0}
        for metric, split in [("z", "b"), ("a", "b"), ("z", "a"), ("a", None), ("z", "b")]
    ]

    found = summarize(table(rows))

    assert found.select("metric", "split").rows() == [("z", "b"), ("z", "a"), ("a", "b"), ("a", None)]


@pytest.mark.parametrize("by", ["epoch", ["epoch"], ("epoch",)])
def test_summary_by_takes_a_name_or_several(by: Any) -> None:
    """`by` names the ids that tell rows apart, numbers too."""
    frame = table([*losses(1.0, 2.0, split="train"), *losses(3.0, 4.0, split="val")])

    found = summarize(frame, by=by)

    assert found.columns[:2] == ["metric", "epoch"]
    assert found.select("epoch", "count", "max").rows() == [(0, 2, 3.0), (1, 2, 4.0)]


def test_summary_by_nothing_has_a_row_a_metric() -> None:
    """An empty `by` mixes all rows of a metric."""
    frame = table([*losses(1.0, split="train"), *losses(3.0, split="val")])

    found = summarize(frame, by=[])

    assert found.select("metric", "count", "mean").rows() == [("loss", 2, 2.0)]


def test_summary_places_hold_every_id() -> None:
    """A place has all ids of the run, those of the series too, and null where the row lacks one."""
    frame = table([*losses(1.0, split="val")])

    row = summarize(frame).row(0, named=True)

    assert row["min_at"] == {"epoch": 0, "rate": None, "split": "val", "ok": None}


def test_summary_keeps_only_rows_with_the_ids_asked_for() -> None:
    """`where` chooses rows; those that lack the id are not among them."""
    frame = table([*losses(1.0, 2.0, split="train"), *losses(3.0, 4.0, split="val"), *losses(5.0)])

    found = summarize(frame, where={"split": "val", "epoch": 1})

    assert found.select("split", "count", "last").rows() == [("val", 1, 4.0)]


@pytest.mark.parametrize("where", [{"epoch": 1}, {"epoch": 1.0}, {"rate": 1}, {"rate": 1.0}, {"ok": True}])
def test_summary_compares_ids_by_their_value(where: dict[str, Any]) -> None:
    """An int finds a float id of that value, and the reverse."""
    rows = [{"metric": "loss", "epoch": n, "rate": float(n), "ok": n == 1, "value": float(n)} for n in range(3)]

    found = summarize(table(rows), where=where)

    assert found["last"].to_list() == [1.0]


@pytest.mark.parametrize("where", [{"epoch": "1"}, {"epoch": True}, {"epoch": 1.5}, {"split": 1}, {"ok": 1}])
def test_summary_refuses_an_id_of_another_kind(where: dict[str, Any]) -> None:
    """A value that no row can have is an error that names the id's kind, not an empty result."""
    frame = table(losses(1.0))

    with pytest.raises(IdTypeError, match=r"id '\w+' is (int|str|bool) here, got"):
        summarize(frame, where=where)


@pytest.mark.parametrize("options", [{"by": "fold"}, {"by": ["epoch", "fold"]}, {"where": {"fold": 1}}])
def test_summary_names_the_ids_that_exist_when_one_does_not(options: dict[str, Any]) -> None:
    """A wrong id name is told together with the right ones."""
    frame = table(losses(1.0))

    with pytest.raises(InvalidInputError, match="no id 'fold': the ids are epoch, rate, split, ok"):
        summarize(frame, **options)


def test_summary_of_a_run_without_rows_has_the_same_columns() -> None:
    """A run that has logged nothing yet gives no rows, of the same types."""
    found, full = summarize(table([])), summarize(table(losses(1.0)))

    assert found.is_empty()
    assert found.schema == full.schema


def test_summary_of_a_run_without_ids_has_structs_without_fields() -> None:
    """Without ids there is nothing to place, but whether there is a place is still told."""
    frame = table([{"metric": "a", "value": 1.0}, {"metric": "b", "value": NAN}], ids={})

    found = summarize(frame)

    assert found.select("min_at", "nan_at").rows() == [({}, None), (None, {})]
    assert found.schema["min_at"] == pl.Struct([])


def test_summary_of_a_run_without_rows_and_ids_is_empty() -> None:
    """The emptiest run has a summary too."""
    found = summarize(table([], ids={}))

    assert found.is_empty()
    assert found.columns[:3] == ["metric", "count", "nan"]


def test_summary_tells_an_id_from_a_statistic_of_its_name() -> None:
    """An id may be called `max`: its column says that it is an id."""
    rows = [{"metric": "loss", "max": "a", "first": 1, "value": 2.0}]

    found = summarize(table(rows, ids={"max": pl.String, "first": pl.Int64}))

    assert found.select("max (id)", "max", "first").rows() == [("a", 2.0, 2.0)]
    assert found["max_at"].to_list() == [{"max": "a", "first": 1}]


def test_summary_spans_are_the_positions_of_a_series() -> None:
    """Where they are asked for, the first and last row of each series in its table are told."""
    rows = [*losses(1.0, split="a"), *losses(2.0, 3.0, split="b"), *losses(4.0, split="a")]

    found = summarize(table(rows), span=True)

    assert found.select("split", "first_row", "last_row").rows() == [("a", 0, 3), ("b", 1, 2)]


def test_summary_by_what_is_no_name_is_refused() -> None:
    """By a word of ours."""
    by: Any = 5
    with pytest.raises(InvalidInputError, match="by must be a name, or several"):
        summarize(table([]), by=by)
