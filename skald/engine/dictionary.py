"""Dictionaries: the strings of a segment's column, added in place to a valid Arrow array.

Invariant: at every instant the offsets and bytes are a valid Arrow array; a code is in the dict only when
its bytes and its offset are in the file.
"""

from __future__ import annotations

import mmap
import threading
from array import array

from skald.engine.blueprint import Capacity
from skald.engine.lock import holds_reentrant, reentrant

FIRST = Capacity(64, 1024)
KEEP = Capacity(1 << 17, 1 << 22)
"""A dictionary beyond this is not carried over a roll: memory and segments would grow with the names."""

_HARMLESS_CHARS = 256


class DictionaryFull(LookupError):  # noqa: N818 no error: a reason to roll
    """There is no room for another name: the segment must roll."""


class Dictionary(dict[str, int]):
    """The codes of a column's strings; looking an unknown one up adds it.

    A dict, because a lookup is part of every log call, and a hit then costs what it costs in a dict. Code 0 is
    the empty entry, which no string gets: a committed row that has it was damaged.
    """

    __slots__ = ("_data", "_is_held_here", "_last", "_lock", "_memory", "_of_metrics", "_offsets", "_size")

    def __init__(
        self,
        memory: mmap.mmap,
        places: tuple[int, int],
        capacity: Capacity,
        older: Dictionary | None,
        lock: threading.RLock,
        *,
        of_metrics: bool,
    ) -> None:
        """Open a dictionary over memory that holds an `image`.

        Args:
            memory: the segment's.
            places: where in it the offsets begin, entries + 1 int32, and where the bytes of all entries.
            capacity: how many entries and bytes that is.
            older: the dictionary whose names the image took over.
            lock: the writer's, held by whoever adds.
            of_metrics: whether the strings are names of metrics, of which fewer are legal than of ids.
        """
        super().__init__(older or ())
        first, self._data = places
        with memoryview(memory) as whole:
            self._offsets = whole[first : first + 4 * (capacity.entries + 1)].cast("i")
        self._memory, self._lock = memory, lock
        self._last, self._size, self._of_metrics = capacity.entries - 1, capacity.bytes, of_metrics
        self._is_held_here = lock._is_owned  # type: ignore[attr-defined]

    def __missing__(self, name: str) -> int:
        """Add a harmless string that a log call has met; all others are left to its slow path."""
        if type(name) is not str or len(name) > _HARMLESS_CHARS:
            raise KeyError(name)
        if self._of_metrics and not (name and name.isprintable()):
            raise KeyError(name)
        is_held_here, lock = self._is_held_here, self._lock
        if is_held_here() or (reentrant and holds_reentrant()):
            raise KeyError(name)  # NOTE: a signal handler, inside `add` perhaps: two names would share a code
        try:  # NOTE: `with` takes twice as long, and it counts where every call brings another string
            lock.acquire()
            return self[name] if name in self else self._append(name)
        finally:
            if is_held_here():  # and not interrupted before
                lock.release()

    def add(self, name: str) -> int:
        """Return the code of `name`, added if need be; the lock is held.

        Raises:
            DictionaryFull: the segment must roll.
            UnicodeEncodeError: the string is not valid Unicode.
        """
        return self.get(name) or self._append(name)

    def _append(self, name: str) -> int:
        data = name.encode()
        code = len(self) + 1
        offsets = self._offsets
        start = offsets[code]
        stop = start + len(data)
        if code >= self._last or stop > self._size:
            raise DictionaryFull(name)
        self._memory[self._data + start : self._data + stop] = data
        offsets[code + 1] = stop  # the entry after the last name begins here and owns the free bytes
        self[name] = code
        return code

    def content(self) -> tuple[memoryview, bytes]:
        """Return the offsets in use, as they stand in memory, and the bytes."""
        count, size = self.extent
        return self._offsets[: count + 1], self._memory[self._data : self._data + size]

    def name_of(self, code: int) -> str:
        """Return the string that has a code."""
        start, stop = self._offsets[code], self._offsets[code + 1]
        return self._memory[self._data + start : self._data + stop].decode()

    @property
    def extent(self) -> tuple[int, int]:
        """How many entries are in use, the empty one among them, and how many bytes."""
        count = len(self) + 1
        return count, self._offsets[count]

    def release(self) -> None:
        """Let go of the memory."""
        self._offsets.release()


def next_capacity(
    dictionary: Dictionary | None, capacity: Capacity, *, room_for: int = 0, keep: bool = False
) -> tuple[Capacity, bool]:
    """Decide how large a column's dictionary is in the next segment, and whether it takes the names over.

    Args:
        dictionary: the one of the segment that rolls, None where there was none.
        capacity: its capacity.
        room_for: bytes of the name that did not fit, if one did not.
        keep: whether it takes them over however many they are.

    Returns:
        the capacity, and whether it does.
    """
    count, size = dictionary.extent if dictionary is not None else (1, 0)
    if not keep and (count > KEEP.entries or size > KEEP.bytes):
        # room for half as many names of that length as are kept
        entries = KEEP.entries // 2 + 2
        return Capacity(entries, _power_of_2(max(size * entries // count, 2 * room_for))), False
    entries = capacity.entries * 2 if 2 * count > capacity.entries else capacity.entries
    return Capacity(entries, max(capacity.bytes, _power_of_2(2 * (size + room_for)))), True


def _power_of_2(size: int) -> int:
    """Round up, since few shapes need few blueprints."""
    return 1 << (size - 1).bit_length()


def image(capacity: Capacity, older: Dictionary | None) -> tuple[array[int], bytes]:
    """Return the first offsets and bytes of a dictionary, with the names of `older` where there is one.

    Unused entries are empty, but for the one after the last name, which owns all free bytes.
    """
    offsets = array("i", [0, 0]) + array("i", [capacity.bytes]) * (capacity.entries - 1)
    if not older:
        return offsets, b""
    used, data = older.content()
    memoryview(offsets)[: len(used)] = used
    return offsets, data
