"""The order of streams: which one got what first, where several wait to be put into the log."""

from __future__ import annotations

import time
from typing import Final, Protocol

MOST_TURNS: Final = 1000
"""Of so many the order is kept in a period: each costs as much as many texts."""
PERIOD_SECS: Final = 0.05
REST_SECS: Final = 0.5
"""How long it is not kept after there were more, unless the program calms down."""


class Waiting(Protocol):
    """A stream whose texts wait."""

    drained: int
    """How many of its texts have been put into the log."""

    @property
    def got(self) -> int:
        """How many it has got, those that wait among them."""

    def slow_down(self) -> None:
        """Take a turn when it goes on."""

    def collect(self) -> None:
        """Have all that it has got wait, where some has been left elsewhere."""

    def drain(self, most: int) -> int:
        """Put so many into the log; return what that costs, in small texts."""


class Turns:
    """The streams of the process, one after the other, as the terminal shows what they print."""

    def __init__(self) -> None:
        """Begin with none."""
        self.last: Waiting | None = None
        """The one that was printed on last."""
        self._ended: list[tuple[Waiting, int]] = []
        """The turns before that, and how many texts their stream had got when they ended."""
        self.are_many = False
        """Whether the order is kept no more."""
        self._left = MOST_TURNS
        self._renewed = 0.0

    def take(self, tee: Waiting) -> None:
        """Note that another stream is printed on now."""
        if self.are_many:
            return
        self._left -= 1
        self.are_many = self._left <= 0
        last, self.last = self.last, tee
        if last is not None:
            last.slow_down()
            last.collect()
            self._ended.append((last, last.got))

    def drain(self) -> int:
        """Drain what the streams got in the turns that have ended; return what that costs, in small texts."""
        if time.monotonic() - self._renewed > (REST_SECS if self.are_many else PERIOD_SECS):
            self.renew()
        ended = self._ended[:]
        if not ended:
            return 0
        del self._ended[: len(ended)]
        return sum(tee.drain(got - tee.drained) for tee, got in ended)

    def renew(self) -> None:
        """Keep the order of as many turns again."""
        self._left, self._renewed, self.are_many = MOST_TURNS, time.monotonic(), False

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what waits."""
        self.last = None
        self._ended.clear()
