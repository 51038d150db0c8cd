"""Calls that take long, as those that copy files do: who ends the session waits for them."""

from __future__ import annotations

import math
import time
from collections import Counter
from threading import get_ident
from types import TracebackType
from typing import Final, Self

_LOOK_SECS: Final = 0.002


class InFlight:
    """A context manager around such a call, in any thread.

    NOTE: without a lock, which a signal handler that closes in the midst of it could find held.
    """

    def __init__(self) -> None:
        self._threads: Counter[int] = Counter()

    def __enter__(self) -> Self:
        self._threads[get_ident()] += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads[get_ident()] -= 1

    @property
    def is_here(self) -> bool:
        """Whether this thread is in such a call, which a signal handler has interrupted."""
        return self._threads[get_ident()] > 0

    def wait(self, timeout_secs: float = math.inf) -> None:
        """Wait until no other thread is in such a call, or so long."""
        own, deadline = get_ident(), time.monotonic() + timeout_secs
        while any(calls for thread, calls in self._threads.copy().items() if thread != own):
            if time.monotonic() > deadline:
                return
            time.sleep(_LOOK_SECS)
