"""Log order across streams: what decides which row of a metric came first.

Inside a stream (one id set of one writer) rows stand as they were logged, whatever the clock did. Between
streams time decides: each row counts as logged at its *key*, the largest time of its metric in its stream up
to it. Rows merged by key, stable, keep both orders; and the largest time so far of a metric in the merged
rows is again the key, so that merging in steps gives the same as merging at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from skald.engine.rows import Codes, Ints, Texts, renumber

NEVER: Final = 2**63 - 1
"""The key that no row has: of a stream that is read to its end."""
_ALWAYS: Final = -(2**63)


class Interner:
    """The metrics of a run, numbered in order of first appearance."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Start with names that are known; their numbers begin at 0."""
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(names)}

    def number(self, codes: Codes, names: Texts) -> Codes:
        """Return the run's numbers for a dictionary column."""
        local, used = renumber(codes, names)
        numbers = [self.numbers.setdefault(name, len(self.numbers)) for name in used.to_pylist()]
        return np.array(numbers, np.int32)[local]

    def __len__(self) -> int:
        return len(self.numbers)


class Clock:
    """The keys of one stream, whose rows are handed in as they were logged."""

    def __init__(self, interner: Interner, newest: Mapping[str, int] | None = None) -> None:
        """Begin behind a part of the stream that was compacted.

        Args:
            interner: numbers the metrics.
            newest: the newest time of each metric in that part, in ns; under the empty name, of all.
        """
        newest = newest or {}
        self._latest = max(newest.values(), default=_ALWAYS)
        self._newest = np.full(len(interner) + 1, newest.get("", _ALWAYS), np.int64)
        self._rest = newest.get("", _ALWAYS)
        for name, time in newest.items():
            number = interner.numbers.get(name)
            if number is not None:
                self._newest[number] = time

    def keys(self, metric: Codes, time: Ints) -> Ints:
        """Return the keys of the next rows, in ns."""
        if not len(time):
            return time
        self._make_room(int(metric.max()) + 1)
        steady = bool(time[0] >= self._latest and (time[1:] >= time[:-1]).all())
        keys = time if steady else _running_max(metric, np.maximum(time, self._newest[metric]))
        self._newest[metric] = keys  # of the rows of a metric the last one is stored last, and is the largest
        self._latest = max(self._latest, int(keys.max()))
        return keys

    def newest(self, names: Iterable[str], *, most: int) -> dict[str, int]:
        """Return the newest time of each metric so far; above `most` metrics one of all, under the empty name.

        Args:
            names: the metrics by their numbers.
            most: how many times to tell apart.
        """
        known = {name: int(time) for name, time in zip(names, self._newest, strict=False) if time != _ALWAYS}
        return known if len(known) <= most else {"": self._latest}

    def _make_room(self, count: int) -> None:
        missing = count - len(self._newest)
        if missing > 0:
            self._newest = np.append(self._newest, np.full(max(missing, count), self._rest, np.int64))


def _running_max(metric: Codes, time: Ints) -> Ints:
    """Return for each row the largest time of its metric up to it."""
    by_metric = np.argsort(metric, kind="stable")
    levels, ranks = np.unique(time[by_metric], return_inverse=True)
    # Above the ranks stands the metric, which never decreases here: one running maximum serves all metrics.
    base = metric[by_metric].astype(np.int64) * len(levels)
    keys = np.empty_like(time)
    keys[by_metric] = levels[np.maximum.accumulate(base + ranks) - base]
    return keys
