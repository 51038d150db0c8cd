"""The order of streams: which one got what first, where several wait to be put into the log."""

from __future__ import annotations

from typing import Final, Protocol

MOST_TURNS: Final = 1000
"""Of so many the order is kept until they are drained: each costs as much as many texts."""


class Waiting(Protocol):
    """A stream whose texts wait."""

    is_alone: bool
    """Whether it takes no turns."""
    drained: int
    """How many of its texts have been put into the log."""

    @property
    def got(self) -> int:
        """How many it has got, those that wait among them."""

    def drain(self, most: int | None) -> int:
        """Put so many into the log; return what that costs, in small texts."""


class Turns:
    """The streams of the process, one after the other, as the terminal shows what they print."""

    def __init__(self) -> None:
        """Begin with none."""
        self.last: Waiting | None = None
        """The one that was printed on last."""
        self._ended: list[tuple[Waiting, int]] = []
        """The turns before that, and how many texts their stream had got when they ended."""

    @property
    def are_many(self) -> bool:
        """Whether the order is kept no more."""
        return len(self._ended) >= MOST_TURNS

    def take(self, tee: Waiting) -> None:
        """Note that another stream is printed on now."""
        if self.are_many:
            return
        last, self.last = self.last, tee
        if last is not None:
            last.is_alone = False  # so that it takes a turn when it goes on
            self._ended.append((last, last.got))

    def drain(self) -> int:
        """Drain what the streams got in the turns that have ended; return what that costs, in small texts."""
        ended = self._ended[:]
        del self._ended[: len(ended)]
        return sum(tee.drain(got - tee.drained) for tee, got in ended if got > tee.drained)

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what waits."""
        self.last = None
        self._ended.clear()
