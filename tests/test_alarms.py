"""Alarms: what a signal handler raises amid a call is the program's, and comes out as it is."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import skald
from skald.errors import is_fault, is_of_handler

SKALD = Path(skald.__file__).parent
STEP = 13

if not hasattr(signal, "setitimer"):
    pytest.skip("signals are POSIX's", allow_module_level=True)


class AlarmError(Exception):
    """What a handler raises that is no error of the system."""


def handler_of(error: type[Exception]) -> Callable[[int, FrameType | None], None]:
    """Return a handler that raises an error."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        raise error("the step took too long")

    return handle


def raised_at(place: int, error: type[Exception], action: Callable[[], object]) -> Exception | None:
    """Do something with an alarm at the n-th call of a function of ours; return what comes out; None: no such call."""
    left = place

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        file = Path(frame.f_code.co_filename)
        if event == "call" and SKALD in file.parents and file.name != "lock.py":  # a lock goes back all the same
            left -= 1
            if left < 0:
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, handler_of(error))
    sys.setprofile(interrupt)
    try:
        action()
    except Exception as found:  # noqa: BLE001 it is looked at
        return found
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGALRM, before)
    return None if left >= 0 else AssertionError("it was swallowed")


CALLS: dict[str, Callable[[skald.Logger, int], object]] = {
    "log_params": lambda logger, place: logger.log_params({"place": place, "nested": {"path": Path("a")}}),
    "rewind": lambda logger, place: logger.rewind(step=place + 10**6),
    "status": lambda logger, _: logger.run.status,
    "console": lambda logger, _: logger.run.console,
    "value": lambda logger, place: logger.log_metric("loss", Decimal(place), step=place),
    "batch": lambda logger, place: logger.log_batch({"loss": [1, 2]}, step=[place, place + 1]),
}


@pytest.mark.parametrize("error", [TimeoutError, AlarmError])
@pytest.mark.parametrize("call", CALLS)
def test_error_of_an_alarm_amid_a_call_comes_out_as_it_is(tmp_path: Path, call: str, error: type[Exception]) -> None:
    """Not as a fault of the disk, of the run, or of what was given; the run goes on."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(10):
            logger.log_metric("loss", 0.5, step=step)
        place, found = 0, []
        while (raised := raised_at(place, error, lambda: CALLS[call](logger, place))) is not None:  # noqa: B023
            found.append(raised)
            place += 1 if place < 2 * STEP else STEP
        logger.log_metric("loss", 0.5, step=10**5)

    assert found
    assert {type(each) for each in found} == {error}
    assert {0, 9, 10**5} <= set(skald.Run(tmp_path / "run").metrics.collect()["step"].to_list())


@pytest.mark.parametrize("error", [TimeoutError, AlarmError])
def test_alarm_amid_the_end_of_a_run_is_raised_once_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Wherever it comes in `close`, as a Ctrl-C is; the status is that of the block, and the run is free."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # where it comes as something is let go
    place, found, statuses = 12, list[type[Exception]](), set[str]()
    while True:
        logger = skald.Logger(f"run{place}", tmp_path, capture=False)
        logger.log_metric("loss", 0.5, step=1)
        raised = raised_at(place, error, lambda: logger.__exit__(None, None, None))  # noqa: B023
        statuses.add(logger.run.status)
        skald.Logger(f"run{place}", tmp_path, capture=False, mode="resume").close()
        if raised is None:
            break
        found.append(type(raised))
        place += 31
    gc.collect()  # of files that were just being opened

    assert statuses == {"finished"}
    assert found.count(error) > 5
    assert set(found) <= {error, AssertionError}  # the latter where Python itself swallows it


def test_names_of_a_program_are_left_alone() -> None:
    """The frames that an error has passed are looked at, and before 3.13 Python gives `locals()` the same names."""
    kept: list[dict[str, Any]] = []

    def fail(lr: float) -> None:
        kept.append(locals())
        raise ValueError(lr)

    assert not is_of_handler(raised_by(lambda: fail(0.1)))
    assert kept[0]["lr"] == 0.1


def test_handlers_errors_are_told_from_others() -> None:
    """By the frame that a handler is called with, however deep it raises, and not by who else has frames."""

    def look(*_: Any) -> None:
        raise AlarmError

    assert not is_of_handler(raised_by(lambda: look(sys._getframe())))
    assert not is_of_handler(raised_by(lambda: look(signal.SIGALRM, None)))
    assert not is_of_handler(raised_by(lambda: open("/nowhere")))  # noqa: PTH123, SIM115
    assert is_fault(raised_by(lambda: open("/nowhere")))  # noqa: PTH123, SIM115
    signal.signal(signal.SIGALRM, lambda *_: look(None))
    assert is_of_handler(raised_by(lambda: os.kill(os.getpid(), signal.SIGALRM)))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def raised_by(action: Callable[[], object]) -> Exception:
    """Return what something raises."""
    with pytest.raises(Exception) as found:  # noqa: PT011 it is looked at
        action()
    return found.value
