"""Calls that take long, as those that copy files do: who ends the session waits for them."""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Self


class InFlight:
    """A context manager around such a call, in any thread."""

    def __init__(self) -> None:
        self._threads: Counter[int] = Counter()
        self._changed = threading.Condition()  # NOTE: reentrant, for a signal handler that closes in the midst of it

    def __enter__(self) -> Self:
        with self._changed:
            self._threads[threading.get_ident()] += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._threads[threading.get_ident()] -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until no other thread is in such a call."""
        own = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not any(self._threads[thread] for thread in self._threads if thread != own))
