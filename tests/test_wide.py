"""Wide tables: which rows and columns they have, and what stands where rows coincide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skald
from skald.errors import IdTypeError, InvalidInputError
from skald.reading.widening import widen

IDS = {"epoch": pl.Int64, "step": pl.Int64, "split": pl.String}

Row = dict[str, Any]


def table(rows: Sequence[Mapping[str, Any]], ids: Mapping[str, Any] = IDS) -> pl.LazyFrame:
    """Return rows as readers see them; each has its position as its time."""
    timed = [{"time": position, **row} for position, row in enumerate(rows)]
    schema = {"metric": pl.String, **ids, "value": pl.Float64, "time": pl.Datetime("us", "UTC")}
    return pl.LazyFrame(timed, schema=schema)


def row(metric: str, value: float, **ids: Any) -> Row:
    """Return one row."""
    return {"metric": metric, "value": value, **ids}


def content(frame: pl.LazyFrame) -> list[Row]:
    """Return the rows of a wide table."""
    return frame.collect().to_dicts()


def test_wide_has_a_column_a_metric_and_a_row_per_distinct_index() -> None:
    """Values logged with the same ids stand in one row, each in the column of its metric."""
    frame = table([row("loss", 3.0, epoch=0), row("f1", 0.5, epoch=0), row("loss", 2.0, epoch=1)])

    found = widen(frame, ["f1", "loss"])

    assert content(found) == [{"epoch": 0, "f1": 0.5, "loss": 3.0}, {"epoch": 1, "f1": None, "loss": 2.0}]


def test_wide_is_lazy() -> None:
    """What comes back is a LazyFrame whose schema is known before it is collected."""
    found = widen(table([row("loss", 3.0, epoch=0)]), ["loss"])

    assert isinstance(found, pl.LazyFrame)
    assert found.collect_schema() == pl.Schema({"epoch": pl.Int64, "loss": pl.Float64})


def test_wide_of_no_metrics_has_all_of_them() -> None:
    """Where none is named all metrics have their column, in order of first appearance."""
    frame = table([row("z", 1.0, epoch=0), row("a", 2.0, epoch=0)])

    found = widen(frame)

    assert content(found) == [{"epoch": 0, "z": 1.0, "a": 2.0}]


def test_wide_is_sorted_by_the_index() -> None:
    """Rows stand in the order of their index, column by column, not in that of logging."""
    frame = table([row("loss", float(n), epoch=n // 2, step=n % 2) for n in (3, 0, 2, 1)])

    found = widen(frame, ["loss"]).collect()

    assert found.rows() == [(0, 0, 0.0), (0, 1, 1.0), (1, 0, 2.0), (1, 1, 3.0)]


def test_wide_index_is_by_default_what_all_metrics_have() -> None:
    """An id that one of the metrics was never logged with is no index."""
    frame = table([row("loss", 1.0, epoch=0, step=0), row("loss", 2.0, epoch=0, step=1), row("f1", 0.5, epoch=0)])

    both, alone = widen(frame, ["loss", "f1"]), widen(frame, ["loss"])

    assert content(both) == [{"epoch": 0, "loss": 2.0, "f1": 0.5}]
    assert alone.collect_schema().names() == ["epoch", "step", "loss"]


def test_wide_index_counts_only_rows_that_are_kept() -> None:
    """An id that the rows asked for never have does not hide them."""
    frame = table([row("loss", 1.0, epoch=0, step=7, split="train"), row("loss", 2.0, epoch=0, split="val")])

    found = widen(frame, ["loss"], where={"split": "val"})

    assert content(found) == [{"epoch": 0, "split": "val", "loss": 2.0}]


@pytest.mark.parametrize("index", ["step", ["step"], ("step",)])
def test_wide_index_takes_a_name_or_several(index: Any) -> None:
    """The index may be given, as one id or as several in the order wanted."""
    frame = table([row("loss", 1.0, epoch=0, step=5), row("loss", 2.0, epoch=1, step=4)])

    found = widen(frame, ["loss"], index=index)

    assert content(found) == [{"step": 4, "loss": 2.0}, {"step": 5, "loss": 1.0}]


def test_wide_leaves_out_rows_without_an_index_id() -> None:
    """A row that lacks an id of the index has no place, and is not in a row of nulls."""
    frame = table([row("loss", 1.0, epoch=0), row("loss", 2.0, step=1), row("loss", 3.0, epoch=1, step=1)])

    found = widen(frame, ["loss"], index=["epoch", "step"])

    assert content(found) == [{"epoch": 1, "step": 1, "loss": 3.0}]


def test_wide_says_which_rows_lack_an_id_of_the_default_index() -> None:
    """How many of which metric, and what to do; whoever names the index, or chooses rows that have it, knows."""
    train = [row("loss", step, epoch=0, step=step, split="train") for step in range(2)]
    frame = table([*train, *(row("loss", epoch, epoch=epoch, split="val") for epoch in range(3))])

    with pytest.warns(UserWarning, match="leaves out 3 rows of 'loss' without id 'step'; hint: .*--index") as told:
        found = widen(frame, ["loss"])
    widen(frame, ["loss"], index="epoch", columns="split")
    widen(frame, ["loss"], where={"split": "val"})

    assert [one["step"] for one in content(found)] == [0, 1]
    assert [warning.filename for warning in told] == [__file__]


def test_wide_index_may_be_time() -> None:
    """Metrics without ids can be put side by side by their times."""
    frame = table([row("loss", 1.0), row("loss", 2.0)], ids={})

    found = widen(frame, ["loss"], index="time").collect()

    assert found["loss"].to_list() == [1.0, 2.0]


def test_wide_takes_the_row_logged_last_where_numbers_differ() -> None:
    """Of many rows with the same index, which differ in number ids, the last one stands."""
    size = 300_000
    frame = pl.LazyFrame({"metric": pl.repeat("loss", size, eager=True), "step": pl.int_range(size, eager=True)})
    frame = frame.with_columns(epoch=pl.col("step") % 3, value=pl.col("step").cast(pl.Float64), time=pl.lit(0))

    found = [widen(frame, ["loss"], index="epoch").collect()["loss"].to_list() for _ in range(5)]

    assert found == [[size - 3.0, size - 2.0, size - 1.0]] * 5


def test_wide_keeps_nan() -> None:
    """A NaN that was logged is NaN, not the null of a metric that was not."""
    frame = table([row("loss", 1.0, epoch=0), row("loss", math.nan, epoch=0)])

    found = widen(frame, ["loss"]).collect()

    assert math.isnan(found["loss"].item())


def test_wide_refuses_rows_that_differ_in_a_string_id() -> None:
    """Train and val are never mixed: the error names the id, the place and two ways out."""
    frame = table([row("loss", 1.0, epoch=3, split="train"), row("loss", 2.0, epoch=3, split="val")])

    with pytest.raises(InvalidInputError, match=r"'loss' at epoch=3 differ in id 'split': 'train', 'val'") as caught:
        widen(frame, ["loss"], index="epoch")

    assert "columns='split'" in caught.value.__notes__[0]


def test_wide_refuses_rows_of_which_one_lacks_a_string_id() -> None:
    """A row without an id differs from one with it."""
    frame = table([row("loss", 1.0, epoch=3), row("loss", 2.0, epoch=3, split="val")])

    with pytest.raises(InvalidInputError, match="differ in id 'split'"):
        widen(frame, ["loss"], index="epoch")


def test_wide_refuses_rows_that_differ_in_a_bool_id() -> None:
    """Bools tell series apart as strings do."""
    frame = table(
        [row("loss", 1.0, epoch=3, ema=True), row("loss", 2.0, epoch=3, ema=False)], IDS | {"ema": pl.Boolean}
    )

    with pytest.raises(InvalidInputError, match="differ in id 'ema': False, True"):
        widen(frame, ["loss"], index="epoch")


def test_wide_mends_a_difference_as_its_hint_says() -> None:
    """Choosing one value, or a column for each, is what makes it right."""
    frame = table([row("loss", 1.0, epoch=3, split="train"), row("loss", 2.0, epoch=3, split="val")])

    one = widen(frame, ["loss"], index="epoch", where={"split": "val"})
    each = widen(frame, ["loss"], index="epoch", columns="split")

    assert content(one) == [{"epoch": 3, "loss": 2.0}]
    assert content(each) == [{"epoch": 3, "train": 1.0, "val": 2.0}]


def test_wide_takes_strings_that_differ_where_rows_do_not_coincide() -> None:
    """A string id may differ between rows of different places, or of different metrics."""
    frame = table(
        [row("loss", 1.0, epoch=0, split="a"), row("loss", 2.0, epoch=1, split="b"), row("f1", 3.0, epoch=0, split="b")]
    )

    found = widen(frame, ["loss", "f1"], index="epoch")

    assert content(found) == [{"epoch": 0, "loss": 1.0, "f1": 3.0}, {"epoch": 1, "loss": 2.0, "f1": None}]


def test_wide_columns_has_a_column_for_each_value() -> None:
    """The values of an id become columns in their order; rows without it are left out."""
    rows = [row("accuracy", task / 10, epoch=task, step=task) for task in (10, 9, 2)]

    found = widen(table([*rows, row("accuracy", 1.0, epoch=0)]), ["accuracy"], index="epoch", columns="step").collect()

    assert found.columns == ["epoch", "2", "9", "10"]
    assert found.rows() == [(2, 0.2, None, None), (9, None, 0.9, None), (10, None, None, 1.0)]


def test_wide_columns_is_no_index_by_default() -> None:
    """The id that becomes columns is not among the rows' ids."""
    frame = table([row("loss", 1.0, epoch=0, split="train"), row("loss", 2.0, epoch=0, split="val")])

    found = widen(frame, ["loss"], columns="split")

    assert content(found) == [{"epoch": 0, "train": 1.0, "val": 2.0}]


def test_wide_columns_of_several_metrics_are_named_by_both() -> None:
    """With more than one metric a column is called METRIC/VALUE."""
    frame = table([row("loss", 1.0, epoch=0, split="val"), row("f1", 2.0, epoch=0, split="train")])

    found = widen(frame, ["loss", "f1"], columns="split")

    assert content(found) == [{"epoch": 0, "loss/train": None, "loss/val": 1.0, "f1/train": 2.0, "f1/val": None}]


def test_wide_refuses_an_id_of_too_many_values_as_columns() -> None:
    """An id with thousands of values is a position, and no set of columns."""
    frame = table([row("loss", 1.0, epoch=0, step=step) for step in range(10_001)])

    with pytest.raises(InvalidInputError, match="at most 10,000 values, got 10,001"):
        widen(frame, ["loss"], columns="step")


def test_wide_keeps_only_rows_with_the_ids_asked_for() -> None:
    """Ids choose rows, as in a summary."""
    frame = table([row("loss", 1.0, epoch=0, step=0), row("loss", 2.0, epoch=1, step=1)])

    found = widen(frame, ["loss"], index="epoch", where={"step": 1})

    assert content(found) == [{"epoch": 1, "loss": 2.0}]


def test_wide_puts_the_run_first_for_rows_of_many_runs() -> None:
    """Rows of different runs never coincide."""
    rows = [row("loss", 1.0, epoch=0, run="b"), row("loss", 2.0, epoch=0, run="a")]

    found = widen(table(rows, {"run": pl.String, "epoch": pl.Int64}), ["loss"], run_in_index=True)

    assert content(found) == [{"run": "a", "epoch": 0, "loss": 2.0}, {"run": "b", "epoch": 0, "loss": 1.0}]


def test_wide_keeps_the_params_of_a_scan(tmp_path: Path) -> None:
    """Each run has its own, also one that lacks a param; they add no row."""
    for name, params in {"a": {"lr": 0.1, "seed": 1}, "b": {"seed": 2}}.items():
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_params(params)
            for step in range(2):
                logger.log_metrics({"loss": step / 2, "accuracy": step / 4}, step=step)

    found = skald.wide(skald.scan(tmp_path, params="*"), "loss").collect()

    assert found.columns == ["run", "step", "params.lr", "params.seed", "loss"]
    assert found.rows() == [
        ("a", 0, 0.1, 1, 0.0), ("a", 1, 0.1, 1, 0.5), ("b", 0, None, 2, 0.0), ("b", 1, None, 2, 0.5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "columns", "first"),
    [
        ({"columns": "run"}, ["step", "a", "b"], (0, 1.0, 2.0)),
        ({"columns": "run", "index": ["run", "step"]}, ["step", "a", "b"], (0, 1.0, 2.0)),
        ({"columns": "run", "index": "params.seed"}, ["params.seed", "a", "b"], (7, 1.5, 2.5)),
        ({"index": ["params.lr", "step"]}, ["run", "params.lr", "step", "params.seed", "loss"], ("a", 0.1, 0, 7, 1.0)),
        ({"columns": "params.lr"}, ["run", "step", "params.seed", "0.1", "0.2"], ("a", 0, 7, 1.0, None)),
    ],
    ids=str,
)
def test_wide_takes_runs_and_params_of_a_scan_as_columns_and_index(
    options: dict[str, Any], columns: list[str], first: tuple[Any, ...], tmp_path: Path
) -> None:
    """Where each run is a column, params are none but those in the index: they would tell its rows from others'."""
    for name, lr in (("a", 0.1), ("b", 0.2)):
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_params({"lr": lr, "seed": 7})
            for step in range(2):
                logger.log_metric("loss", lr * 10 + step / 2, step=step)

    found = skald.wide(skald.scan(tmp_path, params="*"), "loss", **options).collect()

    assert found.columns == columns
    assert found.row(0) == first


@pytest.mark.parametrize("options", [{"columns": "params.lr"}, {"index": "params.lr"}])
def test_wide_takes_no_params_that_the_table_lacks(options: dict[str, Any]) -> None:
    """They are joined by `scan`, where it is asked to."""
    frame = table([row("loss", 1.0, epoch=0, run="a")], {"run": pl.String, "epoch": pl.Int64})

    with pytest.raises(InvalidInputError, match=r"no id 'params\.lr'"):
        skald.wide(frame, "loss", **options)


def test_wide_tells_a_metric_from_an_id_of_its_name() -> None:
    """A metric that is called like an index id keeps its column, which says that it is the metric."""
    frame = table([row("epoch", 5.0, epoch=0), row("loss", 1.0, epoch=0)])

    found = widen(frame)

    assert content(found) == [{"epoch": 0, "epoch (metric)": 5.0, "loss": 1.0}]


def test_wide_refuses_two_columns_of_one_name() -> None:
    """A value that is called like an index id is an error that says so."""
    frame = table([row("loss", 1.0, epoch=0, split="epoch")])

    with pytest.raises(InvalidInputError, match="2 columns would be named 'epoch'"):
        widen(frame, ["loss"], index="epoch", columns="split")


def test_wide_names_close_matches_of_an_unknown_metric() -> None:
    """A slip of the pen is told with what was meant."""
    frame = table([row("accuracy", 1.0, epoch=0)])

    with pytest.raises(InvalidInputError, match="no metric 'acuracy'; did you mean 'accuracy'"):
        widen(frame, ["acuracy"])


@pytest.mark.parametrize("options", [{"index": "fold"}, {"columns": "fold"}, {"where": {"fold": 1}}])
def test_wide_names_the_ids_that_exist_when_one_does_not(options: dict[str, Any]) -> None:
    """A wrong id name is told together with the right ones."""
    frame = table([row("loss", 1.0, epoch=0)])

    with pytest.raises(InvalidInputError, match="no id 'fold': the ids are epoch, step, split"):
        widen(frame, ["loss"], **options)


@pytest.mark.parametrize("options", [{"index": []}, {"index": ["split"], "columns": "split"}])
def test_wide_refuses_an_index_of_nothing_or_of_the_columns(options: dict[str, Any]) -> None:
    """Something must tell the rows apart."""
    frame = table([row("loss", 1.0, epoch=0, split="val")])

    with pytest.raises(InvalidInputError, match="index= must name ids"):
        widen(frame, ["loss"], **options)


def test_wide_refuses_metrics_given_as_a_list() -> None:
    """A list where a name belongs is an error that says what came."""
    frame = table([row("loss", 1.0, epoch=0)])

    with pytest.raises(InvalidInputError, match="must be a str, got list"):
        widen(frame, [["loss"]])  # type: ignore[list-item]


def test_wide_refuses_an_id_of_another_kind() -> None:
    """A value that no row can have is an error."""
    frame = table([row("loss", 1.0, epoch=0)])

    with pytest.raises(IdTypeError, match="id 'epoch' is int here, got str"):
        widen(frame, ["loss"], where={"epoch": "0"})


def test_wide_refuses_metrics_without_a_common_id() -> None:
    """Where nothing puts the metrics side by side, the hint says what can."""
    frame = table([row("loss", 1.0, epoch=0), row("f1", 1.0, step=0)])

    with pytest.raises(InvalidInputError, match="no id in common") as caught:
        widen(frame)

    assert 'index="time"' in caught.value.__notes__[0]


def test_wide_of_a_run_without_rows_is_empty() -> None:
    """A run that has logged nothing yet gives a table of its ids, without rows."""
    found = widen(table([])).collect()

    assert found.is_empty()
    assert found.columns == list(IDS)


ROWS = st.lists(
    st.builds(
        row,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1.0, 2.0, 3.0]),
        epoch=st.none() | st.integers(0, 2),
        step=st.none() | st.integers(0, 1),
        split=st.none() | st.sampled_from(["train", "val"]),
    ),
    min_size=1,
    max_size=20,
)


@given(rows=ROWS, index=st.lists(st.sampled_from(list(IDS)), min_size=1, unique=True))
def test_wide_equals_its_definition(rows: list[Row], index: list[str]) -> None:
    """The last row of each place stands, or rows that differ in a string id are refused."""
    placed = [row for row in rows if all(row[name] is not None for name in index)]
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells: dict[tuple[Any, ...], dict[str, Row]] = {}
    mixed = False
    for logged in placed:
        cell = cells.setdefault(tuple(logged[name] for name in index), {})
        mixed |= logged["split"] != cell.get(logged["metric"], logged)["split"]
        cell[logged["metric"]] = logged
    expected = [
        (*place, *(cell[metric]["value"] if metric in cell else None for metric in metrics))
        for place, cell in sorted(cells.items())
    ]

    if mixed:
        with pytest.raises(InvalidInputError, match="differ in id 'split'"):
            widen(table(rows), index=index)
    else:
        assert widen(table(rows), index=index).collect().rows() == expected


def test_wide_of_a_run_without_metrics_says_so(tmp_path: Path) -> None:
    """It is not the ids that are missing."""
    skald.Logger("empty", tmp_path, capture=False).close()

    with pytest.raises(InvalidInputError, match="there are no metrics"):
        skald.Run(tmp_path / "empty").wide()
