"""A text file of any size as numbered lines, of which only the number of line ends in each block is kept.

It is looked at from its end or from its beginning, and what is known of it grows from there, so it can be shown before
it has been read. Whoever shows it asks which part to count next, has it counted in a thread, and takes the result in.

Invariant: what is known is a part of the file without gaps; a line is in it from its first byte on.
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

BLOCK: Final = 1 << 16
FIRST_BYTES: Final = 4 * BLOCK
"""So much is counted before anything is shown: a thousand lines or more."""
STEP_BYTES: Final = 512 * BLOCK
SEARCH_BYTES: Final = 16 * BLOCK
"""NOTE: a step of a search holds the interpreter's lock for a millisecond; with 32 MB keys waited for 50."""
LONGEST_LINE: Final = 4096
"""Bytes of a line that are shown."""


class Part(NamedTuple):
    """Bytes of a file, from one place to another."""

    start: int
    stop: int


class State(NamedTuple):
    """What tells whether a file is the same as before, and whether it grew."""

    number: int
    size: int


def state_of(path: Path) -> State:
    """Return what a file is known by."""
    facts = path.stat()
    return State(facts.st_ino, facts.st_size)


def count_ends(path: Path, part: Part) -> list[int]:
    """Return the number of line ends in each block of a part of a file."""
    with path.open("rb") as file:
        file.seek(part.start)
        sizes = (min(BLOCK, part.stop - at) for at in range(part.start, part.stop, BLOCK))
        return [file.read(size).count(b"\n") for size in sizes]


def find(path: Path, part: Part, words: bytes, *, last: bool) -> int | None:
    """Return where the first, or last, occurrence of some text in lower case begins in a part of a file."""
    with path.open("rb") as file:
        file.seek(part.start)
        data = file.read(part.stop - part.start).lower()
    place = data.rfind(words) if last else data.find(words)
    return None if place < 0 else part.start + place


class TextFile:
    """What is known of a text file.

    Args:
        path: the file.
        state: how it is now.
        from_end: whether it is shown from its end.
    """

    def __init__(self, path: Path, state: State, *, from_end: bool) -> None:
        self.path, self.state = path, state
        begin = max(0, state.size - FIRST_BYTES) // BLOCK * BLOCK if from_end else 0
        self.known = Part(begin, begin)
        self._ends: list[int] = []
        self._sums: list[int] = []
        self._last_byte = b""
        self._block = functools.lru_cache(maxsize=16)(self._read_block)
        self._places = functools.lru_cache(maxsize=16)(self._find_ends)

    @property
    def line_count(self) -> int:
        """How many lines are known."""
        ends = self._sums[-1] if self._sums else 0
        if self.known.start == self.known.stop:
            return 0
        is_torn = self._last_byte != b"\n"
        return max(0, ends + is_torn - (self.known.start > 0))

    @property
    def is_complete(self) -> bool:
        """Whether all of it is known."""
        return self.known == (0, self.state.size)

    def update(self, state: State) -> bool:
        """Take in how the file is now; tell whether it is still the file that was looked at, longer at most."""
        if state.number != self.state.number or state.size < self.state.size:
            return False
        self.state = state
        return True

    def next_part(self) -> Part | None:
        """Return what is to be counted next; None where all is known."""
        start, stop = self.known
        if stop < self.state.size:
            begin = stop // BLOCK * BLOCK  # the last block is counted again: it was not full
            longest = STEP_BYTES if self._ends else FIRST_BYTES + BLOCK
            return Part(begin, min(begin + longest, self.state.size))
        return Part(max(0, start - STEP_BYTES), start) if start else None

    def take(self, part: Part, ends: list[int]) -> int:
        """Take in what was counted; return how many lines came before those that were known."""
        before = self.line_count
        if part.start < self.known.start:
            self._ends = ends + self._ends
            self.known = Part(part.start, self.known.stop)
        else:
            kept = (part.start - self.known.start) // BLOCK
            self._ends[kept:] = ends
            self.known = Part(self.known.start, part.stop)
            self._block.cache_clear()
            self._places.cache_clear()
        self._sums = list(accumulate(self._ends))
        if part.stop == self.known.stop:
            self._last_byte = self._read(part.stop - 1, part.stop)
            return 0
        return self.line_count - before

    def line(self, number: int) -> str:
        """Return a line that is known, without its end; of a very long one the beginning."""
        start = self._start(number)
        data = self._read(start, min(start + LONGEST_LINE + 1, self.known.stop))
        text, end, _ = data.partition(b"\n")
        more = "" if end or len(text) <= LONGEST_LINE else "…"
        return text[:LONGEST_LINE].decode(errors="replace").rstrip("\r") + more

    def line_at(self, place: int) -> int:
        """Return the number of the line that has a byte that is known."""
        block = (place - self.known.start) // BLOCK
        before = self._sums[block - 1] if block else 0
        inside = self._block(place // BLOCK).count(b"\n", 0, place % BLOCK)
        return max(0, before + inside - (self.known.start > 0))

    def start(self, number: int) -> int:
        """Return where a line begins; of one beyond the last, where the known part ends."""
        return self._start(number) if number < self.line_count else self.known.stop

    def _start(self, number: int) -> int:
        """Return the place after the end of the line before."""
        end = number + (self.known.start > 0)
        if end == 0:
            return 0
        block = bisect_left(self._sums, end)
        before = self._sums[block - 1] if block else 0
        number = self.known.start // BLOCK + block
        return number * BLOCK + int(self._places(number)[end - before - 1]) + 1

    def _find_ends(self, number: int) -> npt.NDArray[np.intp]:
        """Return where lines end in a block of the file."""
        return np.flatnonzero(np.frombuffer(self._block(number), np.uint8) == ord("\n"))

    def _read_block(self, number: int) -> bytes:
        """Return a block of the file, as far as it is known; of a file that is gone as many line ends."""
        start = number * BLOCK
        size = min(start + BLOCK, self.known.stop) - start
        return self._read_file(start, start + size).ljust(size, b"\n")

    def _read(self, start: int, stop: int) -> bytes:
        if stop <= start:
            return b""
        first = start // BLOCK
        data = b"".join(self._block(number) for number in range(first, (stop - 1) // BLOCK + 1))
        return data[start - first * BLOCK : stop - first * BLOCK]

    def _read_file(self, start: int, stop: int) -> bytes:
        """Return bytes of the file; of one that is gone, nothing."""
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(stop - start)
        except OSError:
            return b""
