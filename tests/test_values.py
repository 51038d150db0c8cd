"""The values of a metric: every kind of number, and those that a device has still to produce."""

from __future__ import annotations

import datetime as dt
import enum
import math
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import ids, program, rows, values

import skald
from skald import InvalidInputError, ValueTypeError

REALS = [np.float16, np.float32, np.float64, np.longdouble]
INTEGERS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


class Level(enum.IntEnum):
    """An enum over int."""

    HIGH = 3


class OnlyFloat:
    """A number of a library that Skald does not know."""

    def __float__(self) -> float:
        return 2.5


class OnlyIndex:
    """An integer of a library that Skald does not know."""

    def __index__(self) -> int:
        return 7


def named(value: object) -> str:
    """Return the name of a test of a value: the same in each process."""
    return f"{type(value).__name__} {value!r:.40}".partition(" at 0x")[0]


GOOD: list[tuple[Any, float]] = [
    *[(3, 3.0), (2.5, 2.5), (True, 1.0), (False, 0.0), (-0.0, -0.0), (2**53, 2.0**53), (Level.HIGH, 3.0)],
    *[(Decimal("0.25"), 0.25), (Fraction(1, 8), 0.125), (OnlyFloat(), 2.5), (OnlyIndex(), 7.0)],
    *[(kind(2.5), 2.5) for kind in REALS],
    *[(kind(5), 5.0) for kind in INTEGERS],
    *[(np.array(2.5, kind), 2.5) for kind in REALS],
    *[(np.bool_(1), 1.0), (np.array([True]).reshape(()), 1.0), (np.array(4), 4.0), (np.array(Decimal("0.5")), 0.5)],
]


@pytest.mark.parametrize(("given", "expected"), GOOD, ids=named)
def test_value_may_be_anything_with_a_float_value(logger: skald.Logger, given: Any, expected: float) -> None:
    """Python's numbers, NumPy's scalars and 0-d arrays of each dtype, and whatever has a float, by every call."""
    for step in range(4):
        logger.log_metric("loss", given, step=step)
        logger.log_metrics({"loss": given, "b": given}, step=step)
    logger.log_metrics({"loss": given, **{str(k): 1.0 for k in range(20)}})

    assert values(logger) == [expected] * 9


@pytest.mark.parametrize("given", [math.nan, math.inf, -math.inf, Decimal("NaN"), np.float32("inf"), 5e-324])
def test_value_may_be_no_finite_number(logger: skald.Logger, given: Any) -> None:
    """NaN and the infinities are values, and are there when they are read."""
    logger.log_metric("loss", given)

    (found,) = values(logger)
    assert found == float(given) or (math.isnan(found) and math.isnan(given))


BAD: list[Any] = [
    *["0.5", b"0.5", np.str_("0.5"), np.array("0.5"), None, [1.0], (1.0,), {1.0}, np.zeros(2), np.array([1.0])],
    *[1j, np.complex64(1), np.array(1j), object(), print, dt.timedelta(1), np.datetime64(5, "ns")],
    *[np.timedelta64(5, "D"), np.timedelta64(5, "ns"), np.array("x", dtype=object), Decimal("sNaN"), np.zeros((0,))],
    np.ma.masked,
]


@pytest.mark.parametrize("given", BAD, ids=named)
def test_value_that_is_no_number_is_refused(logger: skald.Logger, given: Any) -> None:
    """Text, arrays and whatever has no float value raise ValueTypeError that names the metric and what was found."""
    logger.log_metric("loss", 0.5, step=1)

    calls: list[Callable[[], object]] = [
        lambda: logger.log_metric("loss", given, step=2),
        lambda: logger.log_metrics({"fine": 1.0, "loss": given}, step=2),
        lambda: logger.log_metrics({"loss": given, **{str(k): 1.0 for k in range(20)}}),
    ]
    for call in calls:
        with pytest.raises(ValueTypeError, match=rf"'loss' .*{type(given).__name__}"):
            call()

    logger.log_metric("loss", 0.5, step=3)
    assert ids(logger) == [{"step": 1}, {"step": 3}]
    assert rows(logger, "fine") == []


def test_value_that_is_masked_is_told_to_be_missing(logger: skald.Logger) -> None:
    """As the mean of values that all are; of those that are there it is a number."""
    losses = np.ma.array([0.5, 2.0], mask=[False, True])
    missing: list[Any] = [losses[1:].mean(), np.ma.array(0.25, mask=True)]

    logger.log_metric("loss", losses.mean())
    logger.log_metric("loss", np.ma.array(0.25))
    for masked in missing:
        with pytest.raises(ValueTypeError, match=r"'loss' needs one number, got Masked") as told:
            logger.log_metric("loss", masked)

        assert told.value.__notes__ == ["hint: it is missing, so log NaN, or nothing"]
    assert values(logger) == [0.5, 0.25]


def test_value_error_of_a_number_is_told_with_its_reason(logger: skald.Logger) -> None:
    """What the number itself raises is named, and stands as the cause."""

    class Broken:
        def __float__(self) -> float:
            raise RuntimeError("no device")

    with pytest.raises(ValueTypeError, match=r"got Broken: .*RuntimeError\('no device'\)") as caught:
        logger.log_metric("loss", Broken())

    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("given", [2**53 + 1, -(2**53) - 1, 2**64 + 1, np.int64(2**53 + 1), np.array(2**63 - 1)])
def test_value_too_large_for_a_float_is_rounded(logger: skald.Logger, given: Any) -> None:
    """An int that is no float64 is logged as the nearest one."""
    logger.log_metric("loss", given)
    logger.log_metrics({"loss": given})
    logger.log_batch({"loss": [int(given)]})

    assert values(logger) == [float(int(given))] * 3


@pytest.mark.parametrize("given", [10**400, -(10**400), Fraction(10**400)])
def test_value_beyond_all_floats_is_infinite(logger: skald.Logger, given: Any) -> None:
    """The nearest float64 of a number beyond the largest is infinity, and that it is logged so is told."""
    logger.log_metric("loss", given)

    assert values(logger) == [math.inf if given > 0 else -math.inf]
    assert logger.run.console.count("rounded, beyond 1.8e308 to infinity") == 1


@pytest.mark.parametrize("first", ["log_metric", "log_metrics", "log_batch array", "log_batch list"])
def test_value_that_is_rounded_is_warned_of_once_a_run(logger: skald.Logger, first: str) -> None:
    """Whichever call meets the first, one warning names its metric, and no more follow."""
    calls: dict[str, Callable[[int], None]] = {
        "log_metric": lambda big: logger.log_metric("loss", big),
        "log_metrics": lambda big: logger.log_metrics({"loss": big, "b": 1}),
        "log_batch array": lambda big: logger.log_batch({"loss": np.array([big])}),
        "log_batch list": lambda big: logger.log_batch({"loss": [1, 2**70, big]}),
    }

    calls[first](2**53 + 1)
    warned = logger.run.console.count("rounded")
    for call in calls.values():
        call(2**53 + 3)

    assert (warned, logger.run.console.count("rounded")) == (1, 1)
    assert "'loss'" in logger.run.console


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_value_that_is_rounded_is_warned_of_once_by_all_processes_of_a_run(tmp_path: Path) -> None:
    """By the first of those that join, and of forked children."""
    source = """
import os, sys, skald
with skald.Logger("run", ".", mode="join") as logger:
    for _ in range(2):
        if os.fork() == 0:
            logger.log_metric("loss", 2**53 + 1)
            os._exit(0)
        os.wait()
    logger.log_metric("loss", 2**53 + 1)
"""
    told = [program(source, folder=tmp_path).stderr for _ in range(2)]

    assert [each.count("it, and others like it, are logged rounded") for each in told] == [1, 0]


def test_value_is_exact_without_a_word_up_to_two_to_the_53(logger: skald.Logger) -> None:
    """Ints that are floats, also beyond 2**53, are no reason to warn."""
    for number in (2**53, -(2**53), 2**53 + 2, 2**60, np.int64(2**60)):
        logger.log_metric("loss", number)

    assert "rounded" not in logger.run.console


def test_value_warning_points_at_the_line_that_logged(logger: skald.Logger) -> None:
    """The file and line of a warning in the terminal are the caller's, not Skald's."""
    from loguru import logger as terminal

    found: list[str] = []
    handler = terminal.add(found.append, format="{file}:{function}")
    try:
        logger.log_metric("loss", 2**53 + 1)
    finally:
        terminal.remove(handler)

    assert found == ["test_values.py:test_value_warning_points_at_the_line_that_logged\n"]


class Lazy:
    """A 0-d value that a device produces later, as JAX's arrays are."""

    shape = ()

    def __init__(self, number: Any) -> None:
        self.number = number
        self.produced = threading.Event()

    def is_ready(self) -> bool:
        """Tell whether the device is done."""
        return self.produced.is_set()

    def __float__(self) -> float:
        self.produced.wait()
        if isinstance(self.number, Exception):
            raise self.number
        return float(self.number)


def produce(*some: Lazy) -> None:
    """Have the device produce these."""
    for value in some:
        value.produced.set()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something another thread does is done."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_value_of_a_device_is_not_waited_for(logger: skald.Logger) -> None:
    """The call returns before the value is there, and the row appears when it is, with no further call."""
    value = Lazy(0.5)

    logger.log_metric("loss", value, step=1)
    before = rows(logger)
    value.produced.set()
    wait_for(lambda: bool(rows(logger)))

    assert before == []
    assert rows(logger) == [{"value": 0.5, "step": 1}]


def test_value_of_a_device_that_is_there_is_logged_at_once(logger: skald.Logger) -> None:
    """What the device has produced already needs no thread."""
    value = Lazy(0.5)
    value.produced.set()
    before = threading.active_count()

    logger.log_metric("loss", value)

    assert values(logger) == [0.5]
    assert threading.active_count() <= before


def test_value_of_a_device_has_the_time_and_the_place_of_its_call(logger: skald.Logger) -> None:
    """Rows are in log order, whenever their values come."""
    first, third = Lazy(1), Lazy(3)

    logger.log_metric("loss", first)
    logger.log_metric("loss", 2)
    logger.log_metrics({"loss": third})
    called = dt.datetime.now(dt.UTC)
    wait_for(lambda: dt.datetime.now(dt.UTC) > called + dt.timedelta(milliseconds=50))
    third.produced.set()
    first.produced.set()
    logger.sync()

    found = logger.run.metrics.collect()
    assert found["value"].to_list() == [1.0, 2.0, 3.0]
    assert all(when <= called for when in found["time"])
    assert found["time"].is_sorted()


def test_value_of_a_device_is_committed_by_later_calls(logger: skald.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log call takes along what has become ready, however seldom the thread looks."""
    monkeypatch.setattr("skald.engine.pending.POLL_SECS", 1.0)
    first, second = Lazy(1), Lazy(2)

    logger.log_metric("loss", first)
    time.sleep(0.05)  # the thread has looked, and looks again in a second
    first.produced.set()
    logger.log_metric("loss", second)
    found = values(logger)
    second.produced.set()

    assert found == [1.0]


@pytest.mark.parametrize("method", ["sync", "close"])
def test_sync_and_close_wait_for_values_of_devices(tmp_path: Path, method: str) -> None:
    """When sync or close returns, every row is there."""
    logger = skald.Logger("run", tmp_path)
    some = [Lazy(number) for number in range(20)]
    for value in some:
        logger.log_metric("loss", value)
    timer = threading.Timer(0.1, produce, args=some)
    timer.start()

    getattr(logger, method)()

    assert values(tmp_path / "run") == list(range(20))
    logger.close()


def test_value_of_a_device_keeps_its_segment_open_until_it_is_there(logger: skald.Logger) -> None:
    """A roll does not lose the rows that still wait in the segment before."""
    value = Lazy(-1)

    logger.log_metric("loss", value, step=-1)
    for step in range(5000):
        logger.log_metric("loss", step, step=step)
    value.produced.set()
    logger.sync()

    assert [row["step"] for row in ids(logger)] == list(range(-1, 5000))


def test_value_whose_device_fails_is_told_and_left_out(logger: skald.Logger) -> None:
    """A failed computation warns once, names the metric, and takes no other row with it."""
    failing = [Lazy(RuntimeError("device lost")) for _ in range(2)]
    for value in failing:
        logger.log_metric("loss", value)
        value.produced.set()
    logger.log_metric("loss", 0.5)
    logger.sync()

    assert values(logger) == [0.5]
    assert logger.run.console.count("device lost") == 1


def test_value_of_a_device_is_copied_at_the_call(logger: skald.Logger) -> None:
    """What happens to the value later, as in a donated buffer, does not reach the row."""

    class Donated(Lazy):
        def __copy__(self) -> Lazy:
            copied = Lazy(self.number)
            copied.produced = self.produced
            return copied

    value = Donated(0.5)
    logger.log_metric("loss", value)
    value.number = RuntimeError("deleted")
    value.produced.set()
    logger.sync()

    assert values(logger) == [0.5]


def test_value_of_a_device_is_refused_as_others_are(logger: skald.Logger) -> None:
    """Names and ids are checked at the call, and nothing is left waiting."""
    logger.log_metric("loss", 0.5, step=1)

    with pytest.raises(InvalidInputError):
        logger.log_metric("", Lazy(1))
    with pytest.raises(skald.IdTypeError):
        logger.log_metrics({"loss": Lazy(1), "b": 1.0}, step="a")

    logger.sync()
    assert values(logger) == [0.5]
    assert rows(logger, "b") == []


def test_value_of_a_device_that_is_complex_is_refused(logger: skald.Logger) -> None:
    """What can be known before the value is there is told at the call."""
    value = Lazy(1)
    value.dtype = np.dtype(complex)  # type: ignore[attr-defined]
    value.number = TypeError("complex")
    value.produced.set()

    with pytest.raises(ValueTypeError):
        logger.log_metric("loss", value)


class Tensor:
    """A 0-d Torch tensor on a device that cannot be asked whether it is done, as Apple's."""

    shape = ()

    def __init__(self, produced: threading.Event) -> None:
        self.device = types.SimpleNamespace(type="mps")
        self.produced = produced

    def detach(self) -> Tensor:
        """Leave the graph."""
        return self

    def clone(self) -> Tensor:
        """Copy it on its device."""
        return Tensor(self.produced)

    def item(self) -> float:
        """Wait for the device, and return the number."""
        self.produced.wait()
        return 0.5


Tensor.__module__ = "torch"


def test_value_of_a_device_that_cannot_be_asked_is_waited_for_elsewhere(logger: skald.Logger) -> None:
    """No log call waits for it, whichever comes later, nor one of a value that is done."""
    produced = threading.Event()

    for step in range(3):
        logger.log_metric("loss", Tensor(produced), step=step)
    before = values(logger)
    produced.set()
    wait_for(lambda: len(values(logger)) == 3)

    assert before == []
    assert ids(logger) == [{"step": 0}, {"step": 1}, {"step": 2}]


def test_values_of_devices_need_a_thread_only_while_their_run_is_open(tmp_path: Path) -> None:
    """A sweep of many runs leaves no threads behind."""
    for number in range(3):
        with skald.Logger(f"run{number}", tmp_path) as logger:
            value = Lazy(1)
            logger.log_metric("loss", value)
            value.produced.set()

    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("skald")])


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals are POSIX's")
def test_error_of_a_handler_amid_the_wait_for_a_device_is_raised_and_loses_no_value(logger: skald.Logger) -> None:
    """It is none of the device's, and the value comes later."""

    class PreemptedError(Exception):
        pass

    class Interrupted(Lazy):
        def __float__(self) -> float:
            if not self.produced.is_set():
                self.produced.set()
                signal.raise_signal(signal.SIGUSR1)
            return super().__float__()

    def handle(*_: object) -> None:
        raise PreemptedError

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        logger.log_metric("loss", Interrupted(0.5), step=1)
        with pytest.raises(PreemptedError):
            logger.sync()
    finally:
        signal.signal(signal.SIGUSR1, before)
    logger.sync()

    assert values(logger) == [0.5]


def test_value_of_a_device_that_was_deleted_is_refused(logger: skald.Logger) -> None:
    """As any other that has no number."""

    class Deleted:
        shape = ()

        def is_ready(self) -> bool:
            raise RuntimeError("it has been deleted")

        __float__ = is_ready

    with pytest.raises(ValueTypeError, match="it has been deleted"):
        logger.log_metric("loss", Deleted())
