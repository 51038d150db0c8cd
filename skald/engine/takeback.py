"""Taking rows back: what a rewind finds in a run, and how it is put down.

Invariant: the one write of run.json is the commit; before it nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from skald.engine.claim import change_run, run_lock
from skald.engine.coverage import ENDED
from skald.engine.extraction import read_segment
from skald.engine.feeds import SLICE_ROWS, TIME_UNIT_NS, read_counting
from skald.engine.order import NEVER
from skald.engine.rewind import Bound, Rewind, choose, compare, id_names, is_own, is_taken
from skald.engine.rows import Ints, Mask, Rows, take
from skald.engine.segmentfile import read_header, with_segment
from skald.engine.snapshot import SegmentFile, Snapshot, take_snapshot
from skald.engine.standing import add_rewind, read_rewinds
from skald.errors import StorageError, is_fault

_LONG_AGO: Final = -NEVER


class Scope(NamedTuple):
    """Whose rows a rewind concerns; see `Rewind`."""

    writer: str
    stop: int
    ended: tuple[str, ...]
    ranks: tuple[str, ...] = ()
    own: Bound = ()


@dataclass(slots=True)
class Taken:
    """What a rewind took back.

    Attributes:
        metrics: how many rows of which metrics.
        concerned: how many rows there were to look at.
        complete: how many of them have all the ids.
        left: how many rows are beyond the ids and stay, as they are of another rank.
        restarts: whether a writer logged rows that are not beyond the ids after rows that are.
        ended_restarts: the same of the writers that had ended when the metrics file was written, which it does not tell
            apart: of several at a time one is always ahead.
    """

    metrics: Counter[str] = field(default_factory=Counter)
    concerned: int = 0
    complete: int = 0
    left: int = 0
    restarts: bool = False
    ended_restarts: bool = False


def take_back(run: Path, ids: Bound, scope: Scope) -> Taken:
    """Let rows of a run no longer count; a rewind that concerns no row is not put down.

    Raises:
        CorruptRunError: the metrics file, or run.json, cannot be read.
        StorageError: the disk takes no more; nothing was changed.
    """
    while True:
        known = read_rewinds(run)
        rewind = Rewind(number=0, ids=ids, since=NEVER if ids else 0, **scope._asdict())
        snapshot = take_snapshot(run, _look_at)
        applied = snapshot.stored.coverage.rewinds if snapshot.stored else 0
        try:
            rewind, taken = _judge(rewind, snapshot)
        except FileNotFoundError:  # compacted meanwhile
            continue
        finally:
            if snapshot.stored:
                snapshot.stored.close()
        if snapshot.made != known.made:
            continue
        if not taken.metrics:
            return taken
        if change_run(partial(_put_down, run, rewind, made=known.made, applied=applied)):
            return taken


def _put_down(run: Path, rewind: Rewind, *, made: int, applied: int) -> bool:
    """Put a rewind down, unless another process has rewound meanwhile; return whether that is done."""
    with run_lock(run):
        if read_rewinds(run).made != made:
            return False
        try:
            add_rewind(run, rewind, applied=applied)
        except OSError as error:
            if not is_fault(error):
                raise
            raise StorageError(error.errno, f"nothing was taken back: {error.strerror}, in {run}") from error
    return True


def _look_at(file: SegmentFile, rewinds: Sequence[Rewind]) -> tuple[Rewind, ...]:
    """Make sure that a segment can be read, and say which rewinds apply to it."""
    return with_segment(file.path, lambda *_: tuple(rewinds))


def _judge(rewind: Rewind, snapshot: Snapshot[tuple[Rewind, ...]]) -> tuple[Rewind, Taken]:
    """Find the first row beyond, then the rows that no longer count."""
    parts = _Parts(rewind, snapshot)
    taken, spans = Taken(), dict[str, _Span]()
    for part in parts:
        beyond, complete = compare(rewind.ids, part.rows.ids, len(part.rows))
        taken.concerned += len(part.rows)
        taken.complete += int(np.count_nonzero(complete))
        taken.left += part.left
        spans.setdefault(part.writer, _Span()).add(part.rows.time, beyond & complete, ~beyond & complete)
    if rewind.ids:
        since = min((span.first_beyond for span in spans.values()), default=NEVER)
        rewind = msgspec.structs.replace(rewind, since=since)
        if rewind.since == NEVER:
            return rewind, taken
        taken.restarts = _restarts(spans)
        taken.ended_restarts = ENDED in spans and spans[ENDED].restarts
    beyond_all = msgspec.structs.replace(rewind, own=())  # the parts have the rows that it concerns alone
    for part in parts:
        gone = is_taken([beyond_all], part.rows.ids, part.rows.time, unit_ns=part.unit_ns)
        names = part.rows.names.to_pylist()
        counts = np.bincount(part.rows.metric[gone], minlength=len(names))
        taken.metrics.update({names[code]: int(counts[code]) for code in np.flatnonzero(counts).tolist()})
    return rewind, taken


class _Part(NamedTuple):
    """Some rows that a rewind concerns, and that count so far."""

    rows: Rows
    unit_ns: int
    writer: str
    """ENDED for those that had ended when the metrics file was written."""
    left: int
    """How many rows are beyond the ids, and of another rank, which it does not concern."""


class _Parts:
    """The rows that a rewind concerns, in parts of bounded size, as often as they are wanted."""

    def __init__(self, rewind: Rewind, snapshot: Snapshot[tuple[Rewind, ...]]) -> None:
        self._rewind, self._snapshot = rewind, snapshot
        self._segments = [
            (file, rewinds, concerning)
            for file, rewinds in snapshot.segments
            if (concerning := rewind.on_segment(file.writer, file.number))
        ]
        self._names = id_names([rewind])

    def __iter__(self) -> Iterator[_Part]:
        stored = self._snapshot.stored
        for part in stored.coverage.rows_of() if stored else ():
            if stored and (rewind := self._rewind.on_part(part.writer)):
                for rows in read_counting(stored, part, self._snapshot.rewinds, self._names):
                    yield _part(rows, rewind, TIME_UNIT_NS, part.writer)
        for file, rewinds, rewind in self._segments:
            yield from self._segment_parts(file, rewinds, rewind)

    def _segment_parts(self, file: SegmentFile, rewinds: tuple[Rewind, ...], rewind: Rewind) -> Iterator[_Part]:
        wanted = {*self._names, *id_names(rewinds)}
        for first in range(0, read_header(file.path).capacity, SLICE_ROWS):
            rows = read_segment(file.path, columns=wanted, first=first, stop=first + SLICE_ROWS)
            yield _part(choose(rows, rewinds), rewind, 1, file.writer)


def _part(rows: Rows, rewind: Rewind, unit_ns: int, writer: str) -> _Part:
    if not rewind.own:
        return _Part(rows, unit_ns, writer, 0)
    own = is_own(rewind, rows.ids, len(rows))
    beyond, complete = compare(rewind.ids, rows.ids, len(rows))
    left = ~own & (beyond & complete if rewind.ids else True)
    return _Part(take(rows, own, damaged=rows.damaged), unit_ns, writer, int(np.count_nonzero(left)))


@dataclass(slots=True)
class _Span:
    """When a writer logged rows that have all the ids: beyond them, and not beyond."""

    first: int = NEVER
    last: int = _LONG_AGO
    first_beyond: int = NEVER
    last_within: int = _LONG_AGO

    def add(self, time: Ints, beyond: Mask, within: Mask) -> None:
        """Take in some rows."""
        for mask in (beyond, within):
            self.first = min(self.first, int(time.min(initial=NEVER, where=mask)))
            self.last = max(self.last, int(time.max(initial=_LONG_AGO, where=mask)))
        self.first_beyond = min(self.first_beyond, int(time.min(initial=NEVER, where=beyond)))
        self.last_within = max(self.last_within, int(time.max(initial=_LONG_AGO, where=within)))

    @property
    def restarts(self) -> bool:
        """Whether rows not beyond the ids were logged after rows beyond."""
        return self.last_within > self.first_beyond


def _restarts(spans: dict[str, _Span]) -> bool:
    """Tell whether a writer logged rows not beyond after rows beyond, or after another had ended with such rows.

    Writers at the same time are not compared: of several ranks one is always ahead.
    """
    return any(span.restarts for writer, span in spans.items() if writer != ENDED) or any(
        late.last_within > early.first_beyond
        for early in spans.values()
        for late in spans.values()
        if early.last < late.first
    )
