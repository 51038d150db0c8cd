"""Log order: the keys of rows, held against the definition."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from skald.engine.order import Clock, Interner

LINES = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 20)), max_size=30)


def keys_of(clock: Clock, lines: Sequence[tuple[int, int]]) -> list[int]:
    """Return the keys of rows given as metric and time."""
    metric = np.array([metric for metric, _ in lines], np.int32)
    keys: list[int] = clock.keys(metric, np.array([time for _, time in lines], np.int64)).tolist()
    return keys


def defined(lines: Sequence[tuple[int, int]]) -> list[int]:
    """Return the keys as the definition has them: the largest time of the metric so far."""
    return [max(time for other, time in lines[: row + 1] if other == metric) for row, (metric, _) in enumerate(lines)]


@given(LINES)
def test_key_is_the_largest_time_of_the_metric_so_far(lines: list[tuple[int, int]]) -> None:
    """Whatever the clock did, a row counts as no older than those of its metric before it."""
    clock = Clock(Interner())

    keys = keys_of(clock, lines)

    assert keys == defined(lines)


@given(LINES, st.lists(st.integers(0, 30), max_size=4))
def test_keys_do_not_depend_on_where_segments_begin(lines: list[tuple[int, int]], cuts: list[int]) -> None:
    """A stream read in parts has the keys of the whole."""
    clock = Clock(Interner())
    borders = [0, *sorted(min(cut, len(lines)) for cut in cuts), len(lines)]

    keys = [key for first, stop in itertools.pairwise(borders) for key in keys_of(clock, lines[first:stop])]

    assert keys == defined(lines)


@given(LINES, LINES)
def test_keys_go_on_behind_a_compacted_part(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> None:
    """What a coverage keeps of a stream is enough to go on with the keys of the whole."""
    interner = Interner("abcd")
    first = Clock(interner)
    keys_of(first, before)

    second = Clock(interner, first.newest(interner.numbers, most=10))

    assert keys_of(second, after) == defined([*before, *after])[len(before) :]


def test_keys_behind_a_part_of_very_many_metrics_never_fall_behind_it() -> None:
    """Where only one time of all metrics is kept, rows count as no older than that."""
    interner = Interner("abc")
    first = Clock(interner)
    keys_of(first, [(0, 5), (1, 9)])

    second = Clock(interner, first.newest(interner.numbers, most=1))

    assert keys_of(second, [(0, 6), (2, 1), (0, 12), (3, 2)]) == [9, 9, 12, 9]


def test_metrics_are_numbered_in_order_of_first_appearance() -> None:
    """The numbers follow the first appearance in the run, whatever a segment's own codes are."""
    interner = Interner(["x"])

    first = interner.number(np.array([2, 1, 2], np.int32), pa.array(["", "a", "b", "unused"]))
    second = interner.number(np.array([1, 2], np.int32), pa.array(["", "c", "a"]))

    assert first.tolist() == [2, 1, 2]
    assert second.tolist() == [3, 1]
    assert list(interner.numbers) == ["x", "a", "b", "c"]
