"""The pace at which a console file is written: at once, or 20 times a second by a thread while much is printed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

PERIOD_SECS: Final = 0.05
BURST_TEXTS: Final = 2000
"""How many texts in a row are written at once, then so many in a second; `print` writes two."""
CALM_TEXTS: Final = 100
"""When so few come in a period they are written at once again."""
PATIENCE_SECS: Final = 1.0
"""How long to wait for the end of the thread: a signal handler may hold up what it waits for."""


class SetHasty(Protocol):
    """Says whether texts are only left in lists, which the thread takes up."""

    def __call__(self, *, hasty: bool) -> None:
        """Say so."""


class Pace:
    """How often the file is written: at once, or by a thread while much is printed."""

    def __init__(self, lock: AbstractContextManager[bool], drain: Callable[[], int], set_hasty: SetHasty) -> None:
        """Begin with what may be written at once.

        Args:
            lock: held by who drains.
            drain: writes what is pending, and returns how many texts that was.
            set_hasty: called as the thread begins and ends.
        """
        self._lock, self._drain, self._set_hasty = lock, drain, set_hasty
        self._left = float(BURST_TEXTS)
        self._refilled = time.monotonic()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def spend(self, texts: int) -> None:
        """Count texts that were written at once; after too many start the thread."""
        self._left -= texts
        if self._left >= 0:
            return
        now = time.monotonic()
        self._left = min(BURST_TEXTS, self._left + (now - self._refilled) * BURST_TEXTS)
        self._refilled = now
        if self._left < 0 and self._thread is None:
            thread = threading.Thread(target=self._follow, name="skald-console", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter is ending, or there are no more threads
                thread.start()
                self._thread = thread
                self._set_hasty(hasty=True)

    def _follow(self) -> None:
        while not self._stopped.wait(PERIOD_SECS):
            with self._lock:
                if self._drain() <= CALM_TEXTS:
                    break
        with self._lock:
            self._set_hasty(hasty=False)
            self._thread = None
            self._drain()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE_SECS)
