"""The floor: the least that a log call written by hand can do, which the log calls are measured against.

It takes its ids as keyword arguments, reserves a row, looks the columns up by the names of the ids, and makes the
same stores as Skald into memory that was faulted in before. It checks nothing, keeps nothing, and never rolls.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Sequence
from itertools import count

ROW_BYTES = 36


class Floor:
    """Rows of two int ids in anonymous memory."""

    def __init__(self, rows: int, names: Sequence[str], id_sets: Sequence[tuple[str, ...]]) -> None:
        """Take and fault in the memory of `rows` rows; `names` are the metrics, `id_sets` the ids of a call."""
        self._memory = mmap.mmap(-1, rows * ROW_BYTES)
        self._memory.write(bytes(rows * ROW_BYTES))
        whole, ends = memoryview(self._memory), [rows * width for width in (8, 16, 24, 32, 36)]
        self._value, self._time = whole[: ends[0]].cast("d"), whole[ends[0] : ends[1]].cast("q")
        ids = whole[ends[1] : ends[2]].cast("q"), whole[ends[2] : ends[3]].cast("q")
        self._metric = whole[ends[3] : ends[4]].cast("i")
        self._codes = {name: code for code, name in enumerate(names, 1)}
        self._columns: dict[tuple[str, ...], tuple[memoryview[int], ...]] = dict.fromkeys(id_sets, ids)
        self.restart()

    def restart(self) -> None:
        """Begin at the first row again."""
        self._counter = count()

    def log(self, name: str, value: float, **ids: int) -> None:
        """Store one row."""
        row = next(self._counter)
        self._metric[row] = self._codes[name]
        self._value[row] = value
        for column, number in zip(self._columns[tuple(ids)], ids.values()):  # noqa: B905 `strict` would cost 0.1 µs
            column[row] = number
        self._time[row] = time.time_ns()

    def log_two(self, name: str, value: float, **ids: int) -> None:
        """Store one row, unrolled: it can have two ids and no other number of them."""
        row = next(self._counter)
        first, second = self._columns[tuple(ids)]
        self._metric[row] = self._codes[name]
        self._value[row] = value
        first[row], second[row] = ids.values()
        self._time[row] = time.time_ns()
