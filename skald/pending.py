"""Values that an accelerator has not produced yet: rows whose value is stored when it is there.

Invariant: a log call never waits for a device; the row has the time of its call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from skald.values import as_value
from skald.writer import Slot, Writer

POLL_SECS: Final = 0.01
"""How often to ask the devices: a value is committed at most 50 ms late."""


class Snapshot(Protocol):
    """A device's value as it was at the call."""

    def is_ready(self) -> bool:
        """Tell whether `result` would return at once."""

    def result(self) -> Any:
        """Return the value on the host."""


class _Deferred:
    """A value that says itself when it is there, as JAX arrays do; it never changes."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def is_ready(self) -> bool:
        return bool(self._value.is_ready())

    def result(self) -> Any:
        return float(self._value)


class _CudaTensor:
    """A copy of a 0-d CUDA tensor on its way to pinned memory of the host."""

    def __init__(self, tensor: Any) -> None:
        import torch

        self._host = torch.empty((), dtype=tensor.dtype, pin_memory=True)
        with torch.cuda.device(tensor.device):
            self._host.copy_(tensor.detach(), non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def is_ready(self) -> bool:
        return bool(self._event.query())

    def result(self) -> Any:
        self._event.synchronize()
        return self._host.item()


class _OtherTensor:
    """A copy of a 0-d tensor on a device that cannot be asked: the thread that commits it waits for it."""

    def __init__(self, tensor: Any) -> None:
        self._copy = tensor.detach().clone()

    def is_ready(self) -> bool:
        return True

    def result(self) -> Any:
        return self._copy.item()


def snapshot(value: Any) -> Snapshot | None:
    """Return a handle on a 0-d value that its device may still be computing, None for all other values."""
    if getattr(value, "shape", None) != ():
        return None
    if callable(getattr(value, "is_ready", None)):
        return _Deferred(value)
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if type(value).__module__.partition(".")[0] != "torch" or device == "cpu":
        return None
    return _CudaTensor(value) if device == "cuda" else _OtherTensor(value)


class _Row(NamedTuple):
    value: Snapshot
    slot: Slot
    writer: Writer
    name: str
    time_ns: int


class Pending:
    """The rows of a run that wait for their values, and the one thread that commits them."""

    def __init__(self, fail: Callable[[str, Exception], None]) -> None:
        """Begin with none.

        Args:
            fail: told the metric and the error of a device that did not produce its value.
        """
        self._rows: list[_Row] = []
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._fail = fail
        self._thread: threading.Thread | None = None

    def add(self, value: Snapshot, slot: Slot, writer: Writer, name: str, time_ns: int) -> None:
        """Take a row under care; commits those that are ready."""
        self._commit(wait=False)
        with self._lock:
            self._rows.append(_Row(value, slot, writer, name, time_ns))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="skald-pending", daemon=True)
                self._thread.start()
        self._some.set()

    def finish(self) -> None:
        """Wait for all values and commit them."""
        self._commit(wait=True)

    def _run(self) -> None:
        while self._some.wait():
            self._commit(wait=False)
            if self._rows:
                time.sleep(POLL_SECS)
            else:
                self._some.clear()
                if self._rows:
                    self._some.set()

    def _commit(self, *, wait: bool) -> None:
        with self._lock:
            waiting: list[_Row] = []
            for row in self._rows:
                if wait or _is_ready(row.value):
                    self._fill(row)
                else:
                    waiting.append(row)
            self._rows = waiting

    def _fill(self, row: _Row) -> None:
        number = None
        try:
            number = as_value(row.name, row.value.result()).number
        except Exception as error:  # noqa: BLE001 whatever a device driver raises: told in the last word
            self._fail(row.name, error)
        row.writer.fill(row.slot, number, row.time_ns)


def _is_ready(value: Snapshot) -> bool:
    try:
        return value.is_ready()
    except Exception:  # noqa: BLE001 a failed computation: `result` raises it again
        return True
