"""Values that an accelerator has not produced yet: rows whose value is stored when it is there.

Invariant: a log call never waits for a device; the row has the time of its call.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from skald.background import Background
from skald.engine.writer import Slot, Writer
from skald.errors import LoggerClosedError, unless_handlers
from skald.values import as_value

POLL_SECS: Final = 0.01
"""How often to ask the devices: a value is committed at most 50 ms late."""
PATIENCE_SECS: Final = 1.0
"""How long to wait for the end of the thread: a signal handler may hold up what it waits for."""
MOST_AT_ONCE: Final = 16
"""Rows that one log call commits at most."""


class Snapshot(Protocol):
    """A device's value as it was at the call."""

    can_be_asked: bool
    """Whether `is_ready` knows; else only the thread that may wait calls `result`."""

    def is_ready(self) -> bool:
        """Tell whether `result` would return at once."""

    def result(self) -> Any:
        """Return the value on the host."""


class _Deferred:
    """A value that says itself when it is there, as JAX arrays do.

    NOTE: a copy (13 µs in JAX), since a donated array is deleted, whoever else still refers to it.
    """

    can_be_asked = True

    def __init__(self, value: Any) -> None:
        self._value = copy.copy(value) if hasattr(value, "__copy__") else value

    def is_ready(self) -> bool:
        return bool(self._value.is_ready())

    def result(self) -> Any:
        return self._value


class _CudaTensor:
    """A copy of a 0-d CUDA tensor on its way to pinned memory of the host."""

    can_be_asked = True

    def __init__(self, tensor: Any) -> None:
        torch: Any = sys.modules["torch"]
        self._host = torch.empty((), dtype=tensor.dtype, pin_memory=True)
        with torch.cuda.device(tensor.device):
            self._host.copy_(tensor.detach(), non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def is_ready(self) -> bool:
        return bool(self._event.query())

    def result(self) -> Any:
        self._event.synchronize()
        return self._host


class _OtherTensor:
    """A copy of a 0-d tensor on a device that cannot be asked."""

    can_be_asked = False

    def __init__(self, tensor: Any) -> None:
        self._copy = tensor.detach().clone()

    def is_ready(self) -> bool:
        return False

    def result(self) -> Any:
        return self._copy


def snapshot(value: Any) -> Snapshot | None:
    """Return a handle on a 0-d value that its device is still computing, None for all other values."""
    try:
        return _snapshot(value)
    except unless_handlers(Exception):  # it was deleted, or has failed: so who asks for its number is told
        return None


def _snapshot(value: Any) -> Snapshot | None:
    if getattr(value, "shape", None) != () or _is_complex(value):
        return None
    if callable(getattr(value, "is_ready", None)):
        return None if value.is_ready() else _Deferred(value)
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device == "cpu" or not any(base.__module__.partition(".")[0] == "torch" for base in type(value).__mro__):
        return None
    return _CudaTensor(value) if device == "cuda" else _OtherTensor(value)


def _is_complex(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return getattr(dtype, "kind", "") == "c" or bool(getattr(dtype, "is_complex", False))


class _Row(NamedTuple):
    value: Snapshot
    slot: Slot
    writer: Writer
    name: str
    time_ns: int

    def is_ready(self, *, patient: bool) -> bool:
        """Tell whether the value is there; patiently, whether it may be waited for."""
        try:
            return self.value.is_ready() if self.value.can_be_asked else patient
        except unless_handlers(Exception):  # a failed computation: `result` raises it again
            return True


class Pending:
    """The rows of a run that wait for their values, and the one thread that commits them."""

    def __init__(self, rounded: Callable[[str], None], failed: Callable[[str, Exception], None]) -> None:
        """Begin with none.

        Args:
            rounded: told the metric of an int that is no float64.
            failed: told the metric and the error of a device that did not produce its value.
        """
        self._rounded, self._failed = rounded, failed
        self._rows: dict[int, _Row] = {}
        self._numbers = itertools.count()
        self._thread = Background("skald-pending")

    def add(self, value: Snapshot, slot: Slot, writer: Writer, name: str, time_ns: int) -> None:
        """Take a row under care; commits the oldest that are ready."""
        self._rows[next(self._numbers)] = _Row(value, slot, writer, name, time_ns)
        if self._thread.is_stopping:  # another thread closes the run
            self.finish()
            return
        self._commit_oldest()
        if not self._thread.is_alive:
            self._thread.start(self._run)
        self._thread.wake()

    def finish(self) -> None:
        """Wait for all values and commit them."""
        while self._rows:
            for number in list(self._rows):
                self._fill(number)

    def stop(self) -> None:
        """Wait for all values, and end the thread."""
        self.finish()
        self._thread.stop()
        self._thread.join(PATIENCE_SECS)  # it may still tell of the last value

    def _run(self) -> None:
        while self._thread.sleep():
            while self._rows and not self._thread.is_stopping:
                for number, row in list(self._rows.items()):
                    if row.is_ready(patient=True):
                        self._fill(number)
                time.sleep(POLL_SECS)

    def _commit_oldest(self) -> None:
        for number, row in list(itertools.islice(self._rows.items(), MOST_AT_ONCE)):
            if not row.is_ready(patient=False):
                return
            self._fill(number)

    def _fill(self, number: int) -> None:
        """Commit a row, unless another thread or a signal handler did so meanwhile.

        NOTE: whoever has the row also has the writer's lock, so who finds none left and takes that lock finds all
        committed; and no other lock is held, for which a handler that interrupts a log call would wait for ever.
        """
        row = self._rows.get(number)
        if row is None:
            return
        value, tell = self._value_of(row)
        with row.writer.lock:
            if self._rows.pop(number, None) is None:
                return
            try:
                row.writer.fill(row.slot, value, row.time_ns)
            except ValueError as error:  # its segment is sealed
                text = f"the logger was closed before a value of metric {row.name!r} was there"
                raise LoggerClosedError(text) from error
        tell()

    def _value_of(self, row: _Row) -> tuple[float | None, Callable[[], None]]:
        """Return a value, and what tells of one that is not as it was given."""
        try:
            value, rounded = as_value(row.name, row.value.result())
        except unless_handlers(Exception) as error:  # whatever a device driver raises: told in the last word
            return None, functools.partial(self._failed, row.name, error)
        return value, functools.partial(self._rounded, row.name) if rounded else _nothing


def _nothing() -> None:
    """Tell nothing."""
