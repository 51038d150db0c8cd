"""log_metrics: many metrics with the same ids and time, all of them or none."""

from __future__ import annotations

import collections
import random
import sys
import threading
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from logged import ids, rows, values

import skald
from skald import IdTypeError, InvalidInputError, SkaldError, ValueTypeError
from skald.engine.writer import Writer


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


def table(logger: skald.Logger) -> dict[str, list[float]]:
    """Return the values of each metric in log order."""
    found: dict[str, list[float]] = {}
    for metric, value in logger.run.metrics.collect().select("metric", "value").iter_rows():
        found.setdefault(metric, []).append(value)
    return found


@pytest.mark.parametrize("count", [0, 1, 3, 10, 11, 1000, 5000])
def test_log_metrics_logs_any_number_of_metrics(logger: skald.Logger, count: int) -> None:
    """Each call gives a row a metric, in code made for it and without."""
    calls = 5

    for step in range(calls):
        logger.log_metrics({f"m{k}": k + step / 10 for k in range(count)}, step=step)

    assert table(logger) == {f"m{k}": [k + step / 10 for step in range(calls)] for k in range(count)}


@pytest.mark.parametrize("count", [3, 30])
def test_log_metrics_gives_all_rows_of_a_call_its_ids_and_one_time(logger: skald.Logger, count: int) -> None:
    """The rows of a call share ids and time; another call has another time."""
    for step in range(4):
        logger.log_metrics({f"m{k}": 0.5 for k in range(count)}, step=step, split="val")

    found = logger.run.metrics.collect()
    assert found.select("step", "split", "time").unique().height == 4
    assert found.group_by("step").len()["len"].to_list() == [count] * 4


def test_log_metrics_takes_nested_mappings(logger: skald.Logger) -> None:
    """The names of nested mappings are joined with a slash, at any depth."""
    metrics = {"loss": 1, "val": {"loss": 2, "top": {"1": 3, "5": 4}}, "empty": {}}

    for _ in range(3):
        logger.log_metrics(metrics)

    assert table(logger) == {"loss": [1] * 3, "val/loss": [2] * 3, "val/top/1": [3] * 3, "val/top/5": [4] * 3}


def test_log_metrics_takes_nested_and_flat_metrics_of_one_name_in_turn(logger: skald.Logger) -> None:
    """A name that holds a number in one call and a mapping in the next is right in both."""
    for _ in range(4):
        logger.log_metrics({"a": 1.0})
        logger.log_metrics({"a": {"b": 2.0}})

    assert table(logger) == {"a": [1.0] * 4, "a/b": [2.0] * 4}


@pytest.mark.parametrize(
    "make", [dict, collections.OrderedDict, types.MappingProxyType, lambda pairs: collections.ChainMap(dict(pairs))]
)
def test_log_metrics_takes_any_mapping(logger: skald.Logger, make: Any) -> None:
    """What has names and values is a mapping."""
    for step in range(3):
        logger.log_metrics(make({"a": step, "b": 2.5}), step=step)

    assert table(logger) == {"a": [0, 1, 2], "b": [2.5] * 3}


@pytest.mark.parametrize("size", [4, 40])
def test_log_metrics_takes_every_kind_of_number(logger: skald.Logger, size: int) -> None:
    """Ints, bools and NumPy's numbers may stand among floats, first or last or in between."""
    kinds = [float, int, np.float32, np.int64]
    metrics = {f"m{k}": kinds[k % 4](k) for k in range(size)}

    for step in range(5):
        logger.log_metrics(metrics, step=step)

    assert table(logger) == {f"m{k}": [float(k)] * 5 for k in range(size)}


@pytest.mark.parametrize("size", [3, 30])
def test_log_metrics_follows_names_that_change(logger: skald.Logger, size: int) -> None:
    """Calls of other names, in another order, and of more and fewer names are kept apart."""
    expected: dict[str, list[float]] = {}
    for step in range(300):
        names = [f"m{(k * 7 + step) % (size + step % 3)}" for k in range(size)]
        metrics = {name: float(step + k) for k, name in enumerate(names)}
        logger.log_metrics(metrics, step=step)
        for name, value in metrics.items():
            expected.setdefault(name, []).append(value)

    assert table(logger) == expected


def test_log_metrics_keeps_equal_names_of_one_call_apart(logger: skald.Logger) -> None:
    """A name that comes twice, flat and nested, gives two rows in their order."""
    logger.log_metrics({"a/b": 1, "a": {"b": 2}})

    assert table(logger) == {"a/b": [1, 2]}


@pytest.mark.parametrize("name", ["log", "log_metrics"])
def test_log_is_the_same_call(logger: skald.Logger, name: str) -> None:
    """`log` and `log_metrics` take the same."""
    getattr(logger, name)({"loss": 0.5}, step=1)

    assert rows(logger) == [{"value": 0.5, "step": 1}]


@pytest.mark.parametrize("name", ["log", "log_metrics"])
def test_log_of_a_string_names_info(logger: skald.Logger, name: str) -> None:
    """Who logs a message by `log` is told of `info`."""
    for _ in range(3):
        with pytest.raises(InvalidInputError, match="mapping of names to values, got str") as caught:
            getattr(logger, name)("epoch 3 done")

        assert any("info(" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("name", ["log", "log_metrics"])
def test_log_with_a_level_and_a_message_names_info(logger: skald.Logger, name: str) -> None:
    """As loguru's own `log` takes them, with arguments of the message too, also where there is code for such calls."""
    for step in range(3):
        logger.log({"loss": 0.5}, step=step)
        with pytest.raises(InvalidInputError, match="mapping of names to values, got str") as caught:
            getattr(logger, name)("INFO", "epoch {} done", 3, step=step)

        assert any("info(" in note for note in caught.value.__notes__)


def test_log_metrics_takes_one_positional_argument(logger: skald.Logger) -> None:
    """A second one, as a step in other libraries, is told as Python tells it, and nothing is logged."""
    for _ in range(3):
        logger.log_metrics({"loss": 0.5}, step=1)
        with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
            logger.log_metrics({"loss": 0.5}, 7)  # type: ignore[call-arg]

    assert len(rows(logger)) == 3


@pytest.mark.parametrize("given", [[("a", 1)], {"a"}, 3, None, object()], ids=["list", "set", "int", "None", "object"])
def test_log_metrics_refuses_what_is_no_mapping(logger: skald.Logger, given: Any) -> None:
    """What has no names is refused with its type."""
    with pytest.raises(InvalidInputError, match=type(given).__name__):
        logger.log_metrics(given)


BAD: list[tuple[Mapping[Any, Any], Mapping[str, Any], type[SkaldError]]] = [
    ({"good": 1.0, "bad": "x"}, {}, ValueTypeError),
    ({"good": 1.0, "bad": np.zeros(2)}, {}, ValueTypeError),
    ({"good": 1.0, "deep": {"bad": None}}, {}, ValueTypeError),
    ({"good": 1.0, "": 1.0}, {}, InvalidInputError),
    ({"good": 1.0, "a\nb": 1.0}, {}, InvalidInputError),
    ({"good": 1.0, "x" * 1025: 1.0}, {}, InvalidInputError),
    ({"good": 1.0, "x" * 1000: {"y" * 30: 1.0}}, {}, InvalidInputError),
    ({"good": 1.0, 3: 1.0}, {}, InvalidInputError),
    ({"good": 1.0, "deep": {3: 1.0}}, {}, InvalidInputError),
    ({"good": 1.0, "\ud800": 1.0}, {}, InvalidInputError),
    ({"good": 1.0}, {"value": 1}, InvalidInputError),
    ({"good": 1.0}, {"step": "x"}, IdTypeError),
]


@pytest.mark.parametrize("fill", [0, 8, 30], ids=["few", "ten", "many"])
@pytest.mark.parametrize(("metrics", "given", "error"), BAD, ids=[str(k) for k in range(len(BAD))])
def test_log_metrics_logs_all_or_nothing(
    logger: skald.Logger, metrics: Mapping[Any, Any], given: Mapping[str, Any], error: type[SkaldError], fill: int
) -> None:
    """One bad name, value or id among good ones refuses the whole call, and the run stays usable."""
    good = {f"fill{k}": 1.0 for k in range(fill)}
    for step in range(4):
        logger.log_metrics({**good, "good": 1.0, "bad": 2.0}, step=step)

    with pytest.raises(error):
        logger.log_metrics({**good, **metrics}, **{"step": 4, **given})

    logger.log_metrics({**good, "good": 1.0}, step=5)
    assert [row["step"] for row in ids(logger, "good")] == [0, 1, 2, 3, 5]
    assert len(logger.run.metrics.collect()) == 4 * (fill + 2) + fill + 1


@pytest.mark.parametrize("count", [1, 3, 7, 10, 11, 700])
def test_log_metrics_keeps_every_row_where_segments_roll(logger: skald.Logger, count: int) -> None:
    """A call that meets the end of a segment in its middle logs each of its rows once, in order."""
    calls = 9000 // count

    for step in range(calls):
        logger.log_metrics({f"m{k}": step for k in range(count)}, step=step)

    times = logger.run.metrics.collect().group_by("step").agg(pl.col("time").n_unique())
    assert table(logger) == {f"m{k}": [float(step) for step in range(calls)] for k in range(count)}
    assert times["time"].unique().to_list() == [1]


@pytest.mark.parametrize("count", [1, 2, 10, 11, 50])
def test_log_metrics_of_known_names_asks_the_writer_no_more(
    logger: skald.Logger, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some calls of a kind, all others are served by the code that was made for it."""
    metrics = {f"m{k}": 0.5 for k in range(count)}
    for step in range(3):
        logger.log_metrics(metrics, step=step)

    monkeypatch.setattr(Writer, "append", None)
    for step in range(3, 9):
        logger.log_metrics(metrics, step=step)

    monkeypatch.undo()
    assert table(logger) == {name: [0.5] * 9 for name in metrics}


@pytest.mark.parametrize("count", [3, 10, 700])
def test_log_metrics_keeps_every_row_where_segments_roll_and_names_change_places(
    logger: skald.Logger, count: int
) -> None:
    """The rows of a call may be stored in another order than they were given, and are all there."""
    names = [f"m{k}" for k in range(count)]
    calls, generator = 9000 // count, random.Random(0)

    for step in range(calls):
        order = generator.sample(names, count)
        logger.log_metrics({name: float(name[1:]) for name in order}, step=step)

    assert table(logger) == {name: [float(name[1:])] * calls for name in names}


@pytest.mark.parametrize("size", [2, 10, 30])
@pytest.mark.parametrize("make", [collections.Counter, lambda pairs: collections.defaultdict(float, pairs)])
def test_log_metrics_asks_a_mapping_for_no_name_that_it_has_not(logger: skald.Logger, make: Any, size: int) -> None:
    """Mappings that have a value for any name are neither changed nor believed."""
    known = {f"m{k}": 1.0 for k in range(size)}
    other = make({f"n{k}": 2.0 for k in range(size)})

    for step in range(3):
        logger.log_metrics(known, step=step)
        logger.log_metrics(other, step=step)

    assert [*other] == [f"n{k}" for k in range(size)]
    assert table(logger) == {name: [value] * 3 for name, value in {**known, **other}.items()}


@pytest.mark.parametrize("count", [3, 10, 40])
def test_log_metrics_keeps_every_row_of_threads(logger: skald.Logger, count: int) -> None:
    """Threads that log at once lose and double nothing, and each one's rows stay in its order."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def log(thread: int) -> None:
        for step in range(300):
            logger.log_metrics({f"m{k}": step for k in range(count)}, thread=thread)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    for k in (0, count - 1):
        found = rows(logger, f"m{k}")
        for number in range(4):
            assert [row["value"] for row in found if row["thread"] == number] == list(range(300))


def test_log_metric_refuses_bad_names(logger: skald.Logger) -> None:
    """A name is a string that is not empty, without control characters, of at most 1,024 bytes of UTF-8."""
    for name in ("", "a\nb", "\x7f", "\x85", "x" * 1025, "é" * 513, "\ud800", 3, None, b"loss", ["loss"]):
        with pytest.raises(InvalidInputError, match="a metric's name must"):
            logger.log_metric(name, 0.5)  # type: ignore[arg-type]

    assert logger.run.metric_names == []


@pytest.mark.parametrize("name", ["x" * 1024, "é" * 512, " ", "a/b/c", "/", "🙂", "metric", "value", "a'\"\\{}%"])
def test_log_metric_takes_any_other_name(logger: skald.Logger, name: str) -> None:
    """Names of any script and length up to the limit are kept as they are."""
    for step in range(4):
        logger.log_metric(name, step)
        logger.log_metrics({name: step})

    assert values(logger, name) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_log_metrics_refuses_a_mapping_that_contains_itself(tmp_path: Path) -> None:
    """A clear error, and nothing was logged."""
    metrics: dict[str, Any] = {"loss": 0.5}
    metrics["inner"] = metrics

    with skald.Logger("run", tmp_path) as logger:
        with pytest.raises(skald.InvalidInputError, match="contain itself"):
            logger.log_metrics(metrics)

        assert values(logger) == []
