"""Threads of our own, which no signal handler can break.

`threading.Event` and `Condition`, and a `Thread` as it is started or joined, are Python code that takes locks. Where a
signal handler raises amid that the lock is held for ever; where it prints, it may wait for a thread that waits for it.
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from skald.errors import unless_handlers

_LOOK_SECS: Final = 0.05
"""How often who waits for the end looks, where another has waited, too, and was told."""


class Background:
    """A daemon thread: it works until it has ended, or is asked to."""

    is_stopping = False
    """Whether it is asked to end."""

    def __init__(self, name: str | None) -> None:
        """Begin with none; without a name it is one of which `threading` knows nothing."""
        self._name = name
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._ends: SimpleQueue[None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pid = self._ident = 0
        self._has_ended = False

    def start(self, work: Callable[[], object]) -> None:
        """Have it do some work.

        Raises:
            RuntimeError: the interpreter is ending, or the system has no more threads.
        """
        self._has_ended, self._ends = False, SimpleQueue()  # NOTE: in the queue of one that has ended its end stays
        self._pid = os.getpid()
        try:
            # NOTE: the thread is started by another, as no signal handler is called there
            _thread.start_new_thread(self._run if self._name is None else self._begin, (work,))
        except unless_handlers(RuntimeError, MemoryError):
            self._pid = 0
            raise

    def _begin(self, work: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            self._run(work)

    def _run(self, work: Callable[[], object]) -> None:
        self._ident = threading.get_ident()
        try:
            work()
        finally:
            self._has_ended = True
            self._ends.put(None)

    @property
    def is_alive(self) -> bool:
        """Whether it has begun and not ended; a forked child has none of its parent's."""
        return self._pid == os.getpid() and not self._has_ended

    @property
    def is_current(self) -> bool:
        """Whether this is called in it."""
        return self.is_alive and self._ident == threading.get_ident()

    def wake(self) -> None:
        """End its sleep, or the next."""
        if self._calls.empty():
            self._calls.put(None)

    def sleep(self, secs: float | None = None) -> bool:
        """Wait for so long, in the thread itself, or until it is woken; return whether to go on."""
        if not self.is_stopping:
            with contextlib.suppress(Empty):
                self._calls.get(timeout=secs)
        return not self.is_stopping

    def stop(self) -> None:
        """Ask it to end."""
        self.is_stopping = True
        self.wake()

    def join(self, timeout_secs: float = math.inf) -> None:
        """Wait for its end, if it has begun, and is another than the thread that calls this."""
        deadline = time.monotonic() + timeout_secs
        while self.is_alive and not self.is_current and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                self._ends.get(timeout=min(left, _LOOK_SECS))
                self._ends.put(None)  # for others that wait
        while self._is_leaving() and time.monotonic() < deadline:
            time.sleep(0)

    def _is_leaving(self) -> bool:
        is_other = not self.is_alive and self._ident != threading.get_ident()
        return is_other and self._thread in running()


def running() -> list[threading.Thread]:
    """Return the threads that are running.

    NOTE: `threading.enumerate` takes a lock, without which none begins: a signal handler amid it would wait for ever.
    """
    return list(threading._active.values())  # type: ignore[attr-defined]


def apart(action: Callable[[], object]) -> None:
    """Do something in another thread, where no signal handler is called; what one raises here is raised after that.

    Raises:
        BaseException: the action has raised it, or a signal handler here meanwhile.
    """
    raised: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 it is raised below
            raised.append(error)

    thread = Background(None)  # NOTE: one that is listed does not begin where a lock of `threading` was interrupted
    try:
        thread.start(work)
    except unless_handlers(RuntimeError):  # there are no more threads
        work()
    except BaseException as error:
        if not thread.is_alive:
            raise
        raised.append(error)
    while True:
        try:
            thread.join()
            break
        except BaseException as error:  # noqa: BLE001 as above
            raised.append(error)
    first = raised[0] if raised else None
    raised.clear()
    try:
        if first is not None:
            raise first
    finally:
        del first  # NOTE: else it would hold this frame, and this frame it, with all that it is about
