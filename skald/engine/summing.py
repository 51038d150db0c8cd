"""The summary of each series of a run: from its metrics file, and of rows in segments summed up while these are read.

Invariant: it is what the run's table would give, with the same places; where that cannot be had so, there is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skald.engine.closed import closed_run
from skald.engine.columns import without_later
from skald.engine.extraction import read_segment
from skald.engine.rewind import Rewind, choose
from skald.engine.rows import IdColumn, Ints
from skald.engine.series import SeriesTable
from skald.engine.snapshot import (
    SegmentFile,
    Snapshot,
    on_stored,
    segment_files,
    table_kinds,
    take_snapshot,
    warn_damaged_rows,
)
from skald.engine.standing import read_rewinds
from skald.engine.statistics import MAX_SERIES, Part, SeriesTally, Values, known_part, sum_up
from skald.engine.stored import Stored, open_stored
from skald.schema import Kinds, series_ids


class _Segment(NamedTuple):
    """What is kept of a segment: its series (None: too many), and the times of its rows in ns."""

    stream: int
    part: Part | None
    time: Ints


class _Ranked(NamedTuple):
    """A segment with its rank, which decides between rows of the same time."""

    rank: int
    part: Part
    time: Ints


def read_series(run: Path) -> tuple[Kinds, SeriesTable] | None:
    """Return the ids of a run and the summary of its series; None where only the run's table can tell.

    Raises:
        As `scan_metrics`.
    """
    return _read_stored(run) or _read_all(run)


def _read_stored(run: Path) -> tuple[Kinds, SeriesTable] | None:
    """Return what the metrics file says, where all rows are in it and count."""
    rewinds = read_rewinds(run)
    files = segment_files(run)
    stored = open_stored(run)
    if stored is None:
        return None
    with stored:
        if any(not stored.coverage.covers(file.writer, file.number) for file in files) or on_stored(rewinds, stored):
            return None
        return (stored.kinds, stored.series) if stored.series and not stored.coverage.is_patchy() else None


def _read_all(run: Path) -> tuple[Kinds, SeriesTable] | None:
    """Return what the metrics file says, continued with the rows of the segments."""
    kinds, disagreed = table_kinds(run, closed_run(run))
    if disagreed:
        return None
    snapshot = take_snapshot(run, partial(_sum_up, kinds))
    with snapshot.stored or contextlib.nullcontext():
        series = _join(snapshot, kinds)
    return (kinds, series) if series else None


def _sum_up(kinds: Kinds, file: SegmentFile, rewinds: Sequence[Rewind]) -> _Segment:
    rows = without_later(choose(read_segment(file.path), rewinds), kinds)
    warn_damaged_rows(file, rows)
    assert rows.value is not None
    values = Values(IdColumn("str", rows.metric, rows.names), rows.value, rows.ids)
    part = sum_up(values, series_ids(kinds)) if len(rows.names) <= MAX_SERIES else None
    return _Segment(rows.stream, part, rows.time)


def _join(snapshot: Snapshot[_Segment], kinds: Kinds) -> SeriesTable | None:
    tally, before = SeriesTally(kinds), 0
    streams: dict[tuple[str, int], list[_Ranked]] = {}
    for rank, (file, segment) in enumerate(snapshot.segments):
        if segment.part is None:
            return None
        if segment.part.rows:
            streams.setdefault((file.writer, segment.stream), []).append(_Ranked(rank, segment.part, segment.time))
    if len(streams) > 1 and not all(map(_is_steady, streams.values())):
        return None
    if snapshot.stored:
        oldest = min((int(segment.time.min()) for segments in streams.values() for segment in segments), default=None)
        if snapshot.rewinds or not snapshot.stored.series or not _can_continue(snapshot.stored, oldest):
            return None
        before = snapshot.stored.coverage.rows
        tally.take([known_part(snapshot.stored.series, before, kinds)], lambda rows: rows)
    for stream, own in streams.items():
        others = [segment for name, segments in streams.items() if name != stream for segment in segments]
        tally.take([segment.part for segment in own], partial(_places, before, own, others))
    return tally.table()


def _can_continue(stored: Stored, oldest: int | None) -> bool:
    """Tell whether the summary in a metrics file is of each series, and of rows older than those in segments."""
    if stored.series is None or stored.series.by != series_ids(stored.kinds) or stored.coverage.is_patchy():
        return False
    newest = stored.coverage.newest
    return oldest is None or newest is None or oldest >= newest * 1000


def _is_steady(segments: Sequence[_Ranked]) -> bool:
    """Tell whether no row of a stream is older than the one before it, so that times are its order among others."""
    borders = np.concatenate([segment.time[[0, -1]] for segment in segments])
    return all(bool((time[1:] >= time[:-1]).all()) for time in (borders, *(segment.time for segment in segments)))


def _places(before: int, own: Sequence[_Ranked], others: Sequence[_Ranked], rows: Ints) -> Ints:
    """Return where rows of a stream stand among all rows.

    Args:
        before: how many rows stand before all of these.
        own: the segments of the stream.
        others: those of other streams.
        rows: positions in the stream.
    """
    if not others:
        return rows + before
    starts = np.cumsum([0, *(len(segment.time) for segment in own[:-1])])
    numbers = np.searchsorted(starts, rows, "right") - 1
    offsets = (rows - starts[numbers]).tolist()
    times = np.array([own[number].time[row] for number, row in zip(numbers.tolist(), offsets, strict=True)])
    ranks = np.array([segment.rank for segment in own])[numbers]
    places = rows + before
    for other in others:
        older, no_newer = (np.searchsorted(other.time, times, side) for side in ("left", "right"))
        places += np.where(other.rank < ranks, no_newer, older)
    return places
