"""The pace at which a console file is written: at once, or 20 times a second by a thread while much is printed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from skald.background import Background, running
from skald.errors import unless_handlers

PERIOD_SECS: Final = 0.05
BURST_TEXTS: Final = 2000
"""How many texts in a row are written at once, then so many in a second; `print` writes two."""
FAST_SECS: Final = 0.01
"""How often what is gathered is collected."""
CALM_TEXTS: Final = 100
"""When so few come in a period they are written at once again."""
PATIENCE_SECS: Final = 1.0
"""How long to wait for the end of the thread: a signal handler may hold up what it waits for."""


def is_only_thread() -> bool:
    """Tell whether no other thread runs but Skald's own."""
    others = (each.name for each in running() if each is not threading.current_thread())
    return all(name.startswith("skald-") for name in others)


class SetHasty(Protocol):
    """Says whether texts are only left in lists, which the thread takes up."""

    def __call__(self, *, hasty: bool) -> bool:
        """Say so; return whether they are gathered, which is to be collected."""


class Pace:
    """How often the file is written: at once, or by a thread while much is printed, or where something is put off."""

    def __init__(
        self,
        lock: AbstractContextManager[bool],
        collect: Callable[[], None],
        drain: Callable[[], int],
        set_hasty: SetHasty,
    ) -> None:
        """Begin with what may be written at once.

        Args:
            lock: held by who drains.
            collect: has what was gathered pending.
            drain: writes what is pending, and returns what that costs, in small texts.
            set_hasty: called as texts are left to the thread, and again while they are, and as it ends.
        """
        self._lock, self._collect, self._drain, self._set_hasty = lock, collect, drain, set_hasty
        self._texts = 0
        """How many have come in this period."""
        self._left = float(BURST_TEXTS)
        self._refilled = time.monotonic()
        self._thread = Background("skald-console")
        self._is_called = False
        self.is_hasty = False
        """Whether texts are left to the thread."""

    def spend(self, texts: int) -> None:
        """Count texts that were written at once, as of so many small ones; after too many leave them to the thread."""
        self._texts += texts
        self._left -= texts
        if self._left >= 0:
            return
        now = time.monotonic()
        self._left = min(BURST_TEXTS, self._left + (now - self._refilled) * BURST_TEXTS)
        self._refilled = now
        if self._left < 0 and not self.is_hasty and self.call():
            self.is_hasty = True
            self._set_hasty(hasty=True)

    def call(self) -> bool:
        """Have the thread drain in a moment; return whether there is one. The lock is held."""
        self._is_called = True
        if not self._thread.is_alive:
            try:
                self._thread.start(self._follow)
            except unless_handlers(RuntimeError):  # the interpreter is ending, or there are no more threads
                return False
        return True

    def _follow(self) -> None:
        began, wait_secs = time.monotonic(), FAST_SECS
        while self._thread.sleep(wait_secs):
            self._collect()
            with self._lock:
                self._is_called = False
                self._texts += self._drain()
                if time.monotonic() - began >= PERIOD_SECS:
                    if self._texts <= CALM_TEXTS and not self._is_called:
                        break
                    self._texts, began = 0, time.monotonic()
                # NOTE: again, as it may have ended for a message
                is_fast = self.is_hasty and self._set_hasty(hasty=True)
            wait_secs = FAST_SECS if is_fast else PERIOD_SECS
        with self._lock:
            self.is_hasty = False
            self._set_hasty(hasty=False)
            self._thread = Background("skald-console")
        self._collect()
        with self._lock:
            self._drain()

    def wake(self) -> None:
        """Have the thread write now."""
        self._thread.wake()

    def stop(self) -> None:
        """End the thread."""
        thread = self._thread
        thread.stop()
        thread.join(PATIENCE_SECS)
