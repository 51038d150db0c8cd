"""log_batch: columns of values and ids at once, from any container, all of them or none."""

from __future__ import annotations

import datetime as dt
import decimal
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from logged import ids, rows, values

import skald
from skald import IdTypeError, InvalidInputError, SkaldError, ValueTypeError

SMALL, LARGE = 10, 30_000


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


def times(logger: skald.Logger) -> list[dt.datetime]:
    """Return the times of all rows in log order."""
    return logger.run.metrics.collect()["time"].to_list()


class Tensor:
    """A tensor that must be detached and fetched before it is an array, as Torch's."""

    null_count = 0

    def __init__(self, array: Any, *, ready: bool = False) -> None:
        self.array, self.ready = np.asarray(array), ready
        self.dtype = self

    @property
    def is_floating_point(self) -> bool:
        """Tell whether it holds floats."""
        return self.array.dtype.kind == "f"

    def __len__(self) -> int:
        return len(self.array)

    def detach(self) -> Tensor:
        """Leave the graph."""
        return self

    def cpu(self) -> Tensor:
        """Fetch it from its device."""
        return Tensor(self.array, ready=True)

    def double(self) -> Tensor:
        """Return it as float64."""
        return Tensor(self.array.astype(np.float64), ready=self.ready)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return the array, which must be on the CPU."""
        assert self.ready
        return self.array


NUMBERS = [1.0, 2.0, 3.0]
CONTAINERS: dict[str, Any] = {
    "list": NUMBERS,
    "tuple": tuple(NUMBERS),
    "deque": deque(NUMBERS),
    "range": range(1, 4),
    "ints and floats": [1, 2.0, 3],
    "bools and ints": [True, 2, 3],
    "decimals": [decimal.Decimal(number) for number in NUMBERS],
    "0-d arrays": [np.array(number) for number in NUMBERS],
    **{f"numpy {kind.__name__}": np.array(NUMBERS, kind) for kind in (np.float16, np.float64, np.int8, np.uint64)},
    "numpy strided": np.array([1.0, 0, 2, 0, 3])[::2],
    "numpy objects": np.array(NUMBERS, object),
    "numpy big-endian": np.array(NUMBERS, ">f4"),
    "numpy unmasked": np.ma.array(NUMBERS, mask=False),
    "arrow": pa.array(NUMBERS),
    "arrow int": pa.array([1, 2, 3], pa.int16()),
    "arrow chunked": pa.chunked_array([[1.0], [2.0, 3.0]]),
    "polars": pl.Series(NUMBERS),
    "polars int": pl.Series([1, 2, 3], dtype=pl.UInt8),
    "polars chunked": pl.concat([pl.Series([1.0]), pl.Series([2.0, 3.0])], rechunk=False),
    "pandas": pd.Series(NUMBERS),
    "tensor": Tensor(NUMBERS),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_log_batch_takes_values_in_any_container(logger: skald.Logger, container: str) -> None:
    """NumPy, Arrow, Polars, tensors and sequences of any kind of number."""
    logger.log_batch({"loss": CONTAINERS[container]}, split="val")

    assert rows(logger) == [{"value": number, "split": "val"} for number in NUMBERS]


ID_COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "ints": ([1, 2, 3], [1, 2, 3]),
    "range": (range(3), [0, 1, 2]),
    "numpy ints": (np.arange(3, dtype=np.int16), [0, 1, 2]),
    "unsigned": (np.arange(3, dtype=np.uint64), [0, 1, 2]),
    "floats": ([0.5, 1.5, 2.5], [0.5, 1.5, 2.5]),
    "ints and floats": ([1, 1.5, 2], [1.0, 1.5, 2.0]),
    "bools": ([True, False, True], [True, False, True]),
    "numpy bools": (np.array([True, False, True]), [True, False, True]),
    "strings": (["a", "", "a"], ["a", "", "a"]),
    "numpy strings": (np.array(["a", "bb", "a"]), ["a", "bb", "a"]),
    "numpy scalars": ([np.int64(1), np.int8(2), 3], [1, 2, 3]),
    "arrow strings": (pa.array(["a", "é", "a"]), ["a", "é", "a"]),
    "arrow dictionary": (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    "arrow chunked": (pa.chunked_array([["a"], ["b", "a"]]), ["a", "b", "a"]),
    "polars strings": (pl.Series(["a", "b", "a"]), ["a", "b", "a"]),
    "polars categories": (pl.Series(["a", "b", "a"], dtype=pl.Categorical), ["a", "b", "a"]),
    "polars bools": (pl.Series([True, False, True]), [True, False, True]),
    "pandas strings": (pd.Series(["a", "b", "a"]), ["a", "b", "a"]),
    "tensor": (Tensor([1, 2, 3]), [1, 2, 3]),
}


@pytest.mark.parametrize("column", ID_COLUMNS)
@pytest.mark.parametrize("copies", [1, LARGE // 3], ids=["small", "large"])
def test_log_batch_takes_ids_as_arrays(logger: skald.Logger, column: str, copies: int) -> None:
    """Arrays of ids of each kind stand beside the values, in small and large batches."""
    given, expected = ID_COLUMNS[column]

    for _ in range(copies if copies == 1 else 1):
        logger.log_batch({"loss": NUMBERS, "b": NUMBERS}, k=given, fold=7)
    if copies > 1:
        size = 3 * copies
        logger.log_batch({"loss": np.arange(size)}, k=list(expected) * copies, fold=7)

    found = ids(logger)
    assert found == [{"k": value, "fold": 7} for value in expected] * (copies + (copies > 1))
    assert {type(row["k"]) for row in found} == {type(expected[0])}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_log_batch_takes_scalar_ids_and_those_of_the_logger(logger: skald.Logger, size: int) -> None:
    """Scalars hold for all rows; the logger's own ids are under those of the call."""
    logger.set_ids(epoch=1, split="train")

    logger.log_batch({"loss": np.arange(size), "b": np.arange(size) * 2}, split="val", flag=True, lr=0.5)

    expected = {"epoch": 1, "split": "val", "flag": True, "lr": 0.5}
    assert ids(logger) == [expected] * size
    assert values(logger) == list(range(size))
    assert values(logger, "b") == list(range(0, 2 * size, 2))


@pytest.mark.parametrize(("size", "metrics"), [(1, 1), (SMALL, 3), (1023, 1), (1025, 3), (1025, 40), (LARGE, 1)])
def test_log_batch_keeps_rows_of_batches_of_any_size(logger: skald.Logger, size: int, metrics: int) -> None:
    """Batches smaller and larger than a segment give each row once, in order."""
    for step in range(2):
        logger.log_batch({f"m{k}": np.arange(size) + step * size for k in range(metrics)}, i=np.arange(size))

    for metric in ("m0", f"m{metrics - 1}"):
        assert values(logger, metric) == list(range(2 * size))
        assert [row["i"] for row in ids(logger, metric)] == [*range(size)] * 2


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_log_batch_keeps_the_order_of_single_calls_beside_it(logger: skald.Logger, size: int) -> None:
    """Single calls and batches of the same ids, small and large, stand in the order they were made."""
    expected: list[float] = []
    for _ in range(4):
        for _ in range(5):
            logger.log_metric("loss", len(expected), step=len(expected))
            expected.append(len(expected))
        batch = [*range(len(expected), len(expected) + size)]
        logger.log_batch({"loss": batch}, step=batch)
        expected += batch
        logger.log_metrics({"loss": len(expected)}, step=len(expected))
        expected.append(len(expected))

    assert values(logger) == expected
    logger.close()
    assert values(logger) == expected


@pytest.mark.parametrize("metrics", [{}, {"loss": []}, {"loss": np.zeros(0), "b": ()}], ids=["none", "one", "two"])
def test_log_batch_of_nothing_logs_nothing(logger: skald.Logger, metrics: dict[str, Any]) -> None:
    """An empty batch is fine, and what comes after it too."""
    logger.log_batch(metrics, step=[])
    logger.log_batch(metrics, step=3)
    logger.log_metric("loss", 0.5, step=1)

    assert rows(logger) == [{"value": 0.5, "step": 1}]


NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
NOON_SECS = NOON.timestamp()
LATER = NOON + dt.timedelta(seconds=1.5)


@pytest.mark.parametrize(
    "given",
    [
        *[
            NOON,
            NOON_SECS,
            int(NOON_SECS),
            np.float64(NOON_SECS),
            np.datetime64("2026-01-01T12:00"),
            pd.Timestamp(NOON),
        ],
        NOON.astimezone(dt.timezone(dt.timedelta(hours=5))),
        NOON.astimezone().replace(tzinfo=None),
    ],
    ids=lambda value: f"{type(value).__name__} {value}",
)
def test_log_batch_takes_one_time(logger: skald.Logger, given: Any) -> None:
    """Datetimes (those without a zone are local) and seconds since the epoch, one for all rows."""
    logger.log_batch({"loss": [1.0, 2.0]}, time=given)

    assert times(logger) == [NOON, NOON]


@pytest.mark.parametrize(
    "given",
    [
        [NOON, LATER],
        [NOON_SECS, NOON_SECS + 1.5],
        np.array([NOON_SECS, NOON_SECS + 1.5]),
        np.array(["2026-01-01T12:00:00", "2026-01-01T12:00:01.5"], "datetime64[ms]"),
        pl.Series([NOON, LATER]),
        pa.array([NOON, LATER]),
        pd.Series([NOON, LATER]),
        Tensor(np.array([NOON_SECS, NOON_SECS + 1.5])),
    ],
    ids=["datetimes", "seconds", "numpy seconds", "numpy", "polars", "arrow", "pandas", "tensor"],
)
def test_log_batch_takes_a_time_a_row(logger: skald.Logger, given: Any) -> None:
    """Arrays of datetimes or of seconds since the epoch."""
    logger.log_batch({"loss": [1.0, 2.0]}, time=given)

    assert times(logger) == [NOON, LATER]


def test_log_batch_has_the_time_of_the_call_by_default(logger: skald.Logger) -> None:
    """Without `time` all rows have the time of the call."""
    before = dt.datetime.now(dt.UTC) - dt.timedelta(milliseconds=1)
    logger.log_batch({"loss": [1.0, 2.0]})

    first, second = times(logger)
    assert before <= first == second <= dt.datetime.now(dt.UTC)


def test_log_batch_keeps_rows_at_the_epoch(logger: skald.Logger) -> None:
    """A time of 0 or before 1970 is a time."""
    logger.log_batch({"loss": [1.0, 2.0, 3.0]}, time=np.array([0, -(10**9), -1], "datetime64[ns]"))

    logger.log_batch({"loss": [4.0, 5.0]}, time=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))

    assert sorted(values(logger)) == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_log_batch_takes_times_of_six_centuries(logger: skald.Logger) -> None:
    """As many as int64 holds in nanoseconds."""
    given = [dt.datetime(1677, 10, 1, tzinfo=dt.UTC), dt.datetime(2262, 4, 1, tzinfo=dt.UTC)]
    logger.log_batch({"loss": [1.0, 2.0]}, time=given)

    assert times(logger) == given


@pytest.mark.parametrize("rows", [2, 20_000])
def test_log_batch_takes_the_empty_string_as_the_only_one(logger: skald.Logger, rows: int) -> None:
    """In segments of its own, and among so many id sets that they share one."""
    logger.log_batch({"loss": range(rows)}, split="", step=range(rows))
    for k in range(70):
        logger.log_metric("other", 1, **{f"k{k}": 1})
    logger.log_batch({"loss": range(rows)}, split=[""] * rows, k0=1, k1=2)

    table = logger.run.metrics.filter(metric="loss", split="").collect()
    assert table["value"].to_list() == [*range(rows), *range(rows)]


FIRST_YEAR = dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=5)))  # not a time in UTC

BAD: dict[str, tuple[Any, dict[str, Any], type[SkaldError], str]] = {
    "no mapping": ([1.0], {}, InvalidInputError, "mapping.*list"),
    "string": ("loss", {}, InvalidInputError, "mapping.*str"),
    "name": ({"": [1.0]}, {}, InvalidInputError, "name"),
    "text": ({"loss": "abc"}, {}, ValueTypeError, "'loss'.*str"),
    "texts": ({"loss": ["a", "b"]}, {}, ValueTypeError, "'loss'.*numbers"),
    "number": ({"loss": 0.5}, {}, ValueTypeError, "'loss'.*shape"),
    "matrix": ({"loss": np.zeros((2, 2))}, {}, ValueTypeError, r"'loss'.*\(2, 2\)"),
    "ragged": ({"loss": [[1.0], [1.0, 2.0]]}, {}, InvalidInputError, "'loss'"),
    "complex": ({"loss": np.zeros(2, complex)}, {}, ValueTypeError, "'loss'.*complex"),
    "dates": ({"loss": np.zeros(2, "datetime64[s]")}, {}, ValueTypeError, "'loss'.*datetime"),
    "None": ({"loss": [1.0, None]}, {}, ValueTypeError, "'loss'.*None"),
    "polars null": ({"loss": pl.Series([1.0, None])}, {}, InvalidInputError, "'loss'.*missing"),
    "arrow null": ({"loss": pa.array([1.0, None])}, {}, InvalidInputError, "'loss'.*missing"),
    "masked": ({"loss": np.ma.array([1.0, 2.0], mask=[False, True])}, {}, InvalidInputError, "'loss'.*missing"),
    "lengths": ({"good": [1.0], "loss": [1.0, 2.0]}, {}, InvalidInputError, "'good' has 1, metric 'loss' has 2"),
    "id length": ({"loss": [1.0, 2.0]}, {"k": [1]}, InvalidInputError, "'loss' has 2, id 'k' has 1"),
    "time length": ({"loss": [1.0, 2.0]}, {"time": [1.0]}, InvalidInputError, "'loss' has 2, time has 1"),
    "id kind": ({"loss": [1.0]}, {"step": ["a"]}, IdTypeError, "'step' is int in this run, got str"),
    "id bool": ({"loss": [1.0]}, {"step": [True]}, IdTypeError, "'step' is int in this run, got bool"),
    "id mixed": ({"loss": [1.0, 2.0]}, {"k": [1, "a"]}, IdTypeError, "'k'.*int, str"),
    "id mixed bool": ({"loss": [1.0, 2.0]}, {"k": [True, 2]}, IdTypeError, "'k'.*bool, int"),
    "id None": ({"loss": [1.0, 2.0]}, {"k": ["a", None]}, IdTypeError, "'k'.*None"),
    "id null": ({"loss": [1.0, 2.0]}, {"k": pl.Series(["a", None])}, InvalidInputError, "'k'.*missing"),
    "id object": ({"loss": [1.0]}, {"k": [object()]}, IdTypeError, "'k'.*object"),
    "id bytes": ({"loss": [1.0]}, {"k": np.array([b"a"])}, IdTypeError, "'k'.*bytes"),
    "id matrix": ({"loss": [1.0]}, {"k": np.zeros((1, 1))}, InvalidInputError, "'k'.*shape"),
    "id large": ({"loss": [1.0]}, {"k": [2**63]}, InvalidInputError, "'k'.*64 bits"),
    "id unsigned": ({"loss": [1.0]}, {"k": np.array([2**63], np.uint64)}, InvalidInputError, "'k'.*64 bits"),
    "id broken": ({"loss": [1.0]}, {"k": ["\ud800"]}, InvalidInputError, "'k'.*Unicode"),
    "id name": ({"loss": [1.0]}, {"value": [1]}, InvalidInputError, "'value'"),
    "time text": ({"loss": [1.0]}, {"time": "noon"}, InvalidInputError, "time.*seconds"),
    "time object": ({"loss": [1.0]}, {"time": object()}, InvalidInputError, "time.*seconds"),
    "time NaN": ({"loss": [1.0]}, {"time": float("nan")}, InvalidInputError, "time.*seconds"),
    "time NaT": ({"loss": [1.0]}, {"time": np.datetime64("NaT", "us")}, InvalidInputError, "time.*missing"),
    "time in ms": ({"loss": [1.0]}, {"time": 1_800_000_000_000}, InvalidInputError, "time.*seconds.*1800000000000"),
    "time far": (
        {"loss": [1.0]},
        {"time": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)},
        InvalidInputError,
        "2262, got 9999-12-31",
    ),
    "time first": ({"loss": [1.0]}, {"time": FIRST_YEAR}, InvalidInputError, "1677.*got 0001-01-01"),
    "times far": (
        {"loss": [1.0]},
        {"time": [dt.datetime(2263, 1, 1, tzinfo=dt.UTC)]},
        InvalidInputError,
        "2262, got 2263-01-01",
    ),
    "time old": ({"loss": [1.0]}, {"time": np.array(["1600-01-01"], "M8[us]")}, InvalidInputError, "1677.*got 1600"),
    "time null": ({"loss": [1.0]}, {"time": pa.array([None], pa.float64())}, InvalidInputError, "time.*missing"),
    "time matrix": ({"loss": [1.0]}, {"time": np.zeros((1, 1))}, InvalidInputError, "time.*shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_log_batch_logs_all_or_nothing(logger: skald.Logger, case: str) -> None:
    """What is no column of numbers, ids or times is refused as a whole, by name, and the run stays usable."""
    metrics, given, error, message = BAD[case]
    logger.log_metric("loss", 0.5, step=1)

    with pytest.raises(error, match=message):
        logger.log_batch(metrics, **given)

    logger.log_batch({"loss": [0.25]}, step=2)
    assert rows(logger) == [{"value": 0.5, "step": 1}, {"value": 0.25, "step": 2}]
    assert logger.run.metric_names == ["loss"]


def test_log_batch_widens_an_id_from_int_to_float(logger: skald.Logger) -> None:
    """A column of floats widens the id for rows before and after it."""
    for size in (SMALL, LARGE):
        logger.log_batch({"loss": np.zeros(size)}, k=np.arange(size))
        logger.log_batch({"loss": np.zeros(2)}, k=[0.5, 1.5])
    logger.log_metric("loss", 0.0, k=3)

    found = [row["k"] for row in ids(logger)]
    assert found == [*map(float, range(SMALL)), 0.5, 1.5, *map(float, range(LARGE)), 0.5, 1.5, 3.0]
