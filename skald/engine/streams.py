"""Streams: which segments the rows of an id set go to.

Each id set has a stream of its own, up to a number; further ones share mixed streams, whose segments have a column for
each id of any of them and say of each row which it has.

Invariant: one store is each step's only commit, so an exception anywhere leaves the streams before it or after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from skald.engine.blueprint import Columns
from skald.engine.segment import Segment
from skald.schema import Kinds

MOST_STREAMS: Final = 64
"""Id sets with an open segment of their own; each costs a descriptor."""
MOST_MIXED_IDS: Final = 63
"""Id columns of a mixed segment: bits of an int64 but its sign."""
_MOST_CACHED: Final = 256


class Stream:
    """The segments of one id set, of which one is active."""

    __slots__ = ("activated", "columns", "kinds", "mixed", "names", "number", "segment")

    def __init__(
        self, number: int, names: tuple[str, ...], *, mixed: bool = False, segment: Segment | None = None
    ) -> None:
        """Begin a stream of rows with these ids, or (mixed) some of them; its first row makes its first segment."""
        self.number, self.names, self.mixed, self.segment = number, names, mixed, segment
        self.activated: Segment | None = None  # what calls store into, once all else that follows is done too
        self.kinds: Kinds | None = None
        self.columns = Columns(())

    def columns_in(self, kinds: Kinds) -> Columns:
        """Return the columns by the kinds that the ids have now: the same object while they are the same."""
        if self.kinds is not kinds:
            columns = Columns(tuple((name, kinds[name]) for name in self.names), mixed=self.mixed)
            if columns != self.columns:
                self.columns = columns
            self.kinds = kinds
        return self.columns


class Streams:
    """The streams of one writer.

    Attributes:
        aside: the number of the stream of calls that interrupted others.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._numbers = itertools.count()
        self.aside = next(self._numbers)
        self._own: dict[tuple[str, ...], Stream] = {}
        self._mixed: list[Stream] = []
        self._by_call: dict[tuple[str, ...], Stream] = {}

    def __iter__(self) -> Iterator[Stream]:
        """Go through all of them."""
        return iter((*self._own.values(), *self._mixed))

    def known(self, ids: Iterable[str]) -> Stream | None:
        """Return the stream that calls with these ids, in this order, were found to have of their own."""
        return self._by_call.get(tuple(ids))

    def find(self, ids: Iterable[str], kinds: Kinds) -> Stream:
        """Return the stream of a call's ids, all of which have a kind; a new one where there is none."""
        call = tuple(ids)
        stream = self._by_call.get(call)
        if stream is None:
            names = tuple(name for name in kinds if name in call)
            stream = self._own.get(names) or self._new(names, kinds)
            if len(self._by_call) >= _MOST_CACHED:
                self._by_call.clear()
            if not stream.mixed:
                self._by_call[call] = stream
        return stream

    def _new(self, names: tuple[str, ...], kinds: Kinds) -> Stream:
        if len(self._own) < MOST_STREAMS or len(names) > MOST_MIXED_IDS:
            stream = self._own[names] = Stream(next(self._numbers), names)
            return stream
        for mixed in self._mixed:
            if set(names) <= set(mixed.names):
                return mixed
        newest = self._mixed[-1] if self._mixed else None
        if newest is None or len({*newest.names, *names}) > MOST_MIXED_IDS:
            self._mixed.append(Stream(next(self._numbers), names, mixed=True))
        else:
            wider = tuple(name for name in kinds if name in {*newest.names, *names})
            self._mixed[-1] = Stream(newest.number, wider, mixed=True, segment=newest.segment)
        return self._mixed[-1]
