"""The newest values of a writer's metrics, read from the memory that log calls fill, at no cost to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from skald.engine.segment import Segment
from skald.schema import BIN_LOW

LAST_ROWS: Final = 64
"""Of each segment so many rows are looked at."""


class Newest(NamedTuple):
    """The last value of a metric."""

    time_ns: int
    value: float


def newest_values(segments: Iterable[Segment]) -> dict[str, Newest]:
    """Return the newest value of each metric among the last rows of active segments; counts of bins are no values."""
    found: dict[str, Newest] = {}
    for segment in segments:
        if any(name == BIN_LOW for name, _ in segment.shape.columns.ids):
            continue
        try:
            _look(segment, found)
        except ValueError:  # it is being sealed, and its views are gone
            continue
    return found


def _look(segment: Segment, found: dict[str, Newest]) -> None:
    stop = _used_rows(segment)
    for row in range(max(0, stop - LAST_ROWS), stop):
        time_ns, code = segment.time[row], segment.metric[row]
        if time_ns and code:
            name = segment.names.name_of(code)
            if name not in found or found[name].time_ns <= time_ns:
                found[name] = Newest(time_ns, segment.value[row])


def _used_rows(segment: Segment) -> int:
    """Return the first row without a time, or nearly: one that waits for its value may be taken for it."""
    low, high = 0, segment.shape.rows
    while low < high:
        middle = (low + high) // 2
        if segment.time[middle]:
            low = middle + 1
        else:
            high = middle
    return low
