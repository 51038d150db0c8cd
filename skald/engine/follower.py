"""Following a run: what came into it since the last look, each row handed out once.

Invariant: what `read` returns and all that `poll` handed out since are together the rows that the run had at the last
poll; where that can no longer be had, because files or ids changed, it is said, and following begins anew.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from skald.engine.columns import holds, table_schema
from skald.engine.count import count_stored
from skald.engine.coverage import Coverage
from skald.engine.extraction import NOTHING, Mark, read_marked, read_new
from skald.engine.reader import Query, read_frames, stored_names
from skald.engine.rewind import Rewinds, choose, id_names
from skald.engine.rows import Rows
from skald.engine.segmentfile import read_header
from skald.engine.snapshot import SegmentFile, Snapshot, join_kinds, on_stored, segment_files, warn_damaged
from skald.engine.standing import read_rewinds
from skald.engine.stored import FILES, Stored, open_stored
from skald.errors import CorruptRunError, RunNotFoundError
from skald.schema import METRIC, Kinds

_PART_ROWS: Final = 1 << 17
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class ChangedError(Exception):
    """The files of a run are others than at the last poll: the next one begins anew."""


class News(NamedTuple):
    """What a poll found.

    Attributes:
        is_anew: whether what was read before holds no more: at the first poll, after a compaction or a rewind, and
            where ids changed. There are no new rows then, but all can be read.
        rows: the rows that are new, as `scan_metrics` has them.
    """

    is_anew: bool
    rows: pl.DataFrame


class Follower:
    """Looks at a run again and again, and reads only what is new.

    Attributes:
        names: the metrics, in order of first appearance.
        rows: how many rows there are.
        kinds: the ids.
    """

    def __init__(self, run: Path) -> None:
        """Look at nothing yet.

        Args:
            run: the run's folder.
        """
        self._run = run
        self._files: object = None
        self._rewinds = Rewinds()
        self._coverage: Coverage | None = None
        self._marks: dict[SegmentFile, Mark] = {}
        self._names: dict[str, None] = {}
        self._newest_ns: int | None = None
        self._is_csv = False
        self.rows = 0
        self.kinds: Kinds = {}

    @property
    def names(self) -> list[str]:
        """The metrics, in order of first appearance."""
        return list(self._names)

    @property
    def reads_apart(self) -> bool:
        """Whether rows of one metric are read without those of others: all are in a metrics file that is no csv."""
        return not self._marks and not self._is_csv

    @property
    def newest(self) -> dt.datetime | None:
        """When the newest row was logged, be it one that a rewind took back; None where there is none."""
        return None if self._newest_ns is None else _EPOCH + dt.timedelta(microseconds=self._newest_ns // 1000)

    def poll(self) -> News:
        """Look for what is new.

        Raises:
            RunNotFoundError: the run is gone.
            CorruptRunError: the metrics file or run.json cannot be read.
            FormatVersionError: a newer Skald wrote the run.
        """
        if not self._run.is_dir():
            raise RunNotFoundError(f"there is no run at {self._run} any more")
        files = segment_files(self._run)
        is_anew = self._is_changed(files)
        if is_anew:
            try:
                self._begin(files)
            except ChangedError:  # compacted just now
                return self.poll()
        return News(is_anew, self._read_new(files, only_names=is_anew))

    def read(self, metrics: Collection[str]) -> pl.DataFrame:
        """Return the rows of some metrics that were there at the last poll.

        Raises:
            ChangedError: that cannot be told any more.
            CorruptRunError, FormatVersionError: as `poll`.
        """
        query = Query(self.kinds, table_schema(self.kinds).names(), pl.col(METRIC).is_in(list(metrics)), None)
        try:
            segments = [
                (file, self._copy(file, mark, metrics))
                for file, mark in self._marks.items()
                if mark.first or len(mark.beyond)
            ]
        except FileNotFoundError:
            raise ChangedError from None
        with self._stored() as stored:
            snapshot = Snapshot(stored, segments, on_stored(self._rewinds, stored))
            return _joined(query, list(read_frames(query, snapshot)))

    def _is_changed(self, files: Collection[SegmentFile]) -> bool:
        """Tell whether what was read before holds no more."""
        state = _identity(self._run), read_rewinds(self._run)
        if state != (self._files, self._rewinds) or not self._marks.keys() <= set(files):
            return True
        new = [file for file in files if file not in self._marks]
        return any(not holds(self.kinds, name, kind) for file in new for name, kind in _kinds(file).items())

    def _begin(self, files: Collection[SegmentFile]) -> None:
        """Forget what was read, and learn what the metrics file says."""
        self._files, self._rewinds = _identity(self._run), read_rewinds(self._run)
        self._coverage, self._marks, self._names, self._newest_ns, self.rows = None, {}, {}, None, 0
        with self._stored() as stored:
            kinds, self._is_csv = (stored.kinds, stored.format == "csv") if stored else ({}, False)
            if stored:
                self._coverage = stored.coverage
                self._names = dict.fromkeys(stored_names(stored, on_stored(self._rewinds, stored)))
                self.rows = count_stored(stored, on_stored(self._rewinds, stored))
                self._newest_ns = None if stored.coverage.newest is None else stored.coverage.newest * 1000
        self.kinds = join_kinds(self._run, [kinds, *map(_kinds, files)])[0]

    @contextmanager
    def _stored(self) -> Iterator[Stored | None]:
        """Open the metrics file that was there at the last poll.

        Raises:
            ChangedError: there is another one now.
        """
        stored = open_stored(self._run)
        try:
            if _identity(self._run) != self._files:
                raise ChangedError
            yield stored
        finally:
            if stored:
                stored.close()

    def _read_new(self, files: Collection[SegmentFile], *, only_names: bool) -> pl.DataFrame:
        """Return the rows that are new in the segments, and count them."""
        query = Query(self.kinds, table_schema(self.kinds).names(), None, None)
        columns = id_names(self._rewinds.standing) if only_names else None
        found = []
        for file in files:
            mark = self._marks.get(file, NOTHING)
            if mark.is_last or (self._coverage and self._coverage.covers(file.writer, file.number)):
                continue
            try:
                rows, self._marks[file] = read_new(file.path, mark, columns=columns)
            except FileNotFoundError:  # compacted just now: the next poll begins anew
                continue
            except CorruptRunError as error:
                warn_damaged(error)
                self._marks[file] = mark._replace(is_last=True)
                continue
            rows = choose(rows, self._rewinds.on_segment(file.writer, file.number))
            if len(rows):
                self._count(rows)
                found.append((file, rows))
        return _joined(query, [] if only_names else list(read_frames(query, Snapshot(None, found))))

    def _count(self, rows: Rows) -> None:
        self.rows += len(rows)
        self._newest_ns = max(int(rows.time.max()), self._newest_ns or 0)
        is_used = np.zeros(len(rows.names), np.bool_)
        for first in range(0, len(rows), _PART_ROWS):  # NOTE: 2 ms for a million rows; at once up to 30, for its memory
            counts = np.bincount(rows.metric[first : first + _PART_ROWS], minlength=len(is_used))
            is_used |= counts > 0
        # NOTE: an Arrow array's `take` would load pyarrow.compute, which takes longer than reading ten million rows
        names = itertools.compress(rows.names.to_pylist(), is_used.tolist())
        self._names.update(dict.fromkeys(names))

    def _copy(self, file: SegmentFile, mark: Mark, metrics: Collection[str]) -> Rows:
        rows = read_marked(
            file.path, mark, wants=lambda names: np.fromiter((name in metrics for name in names), np.bool_)
        )
        return choose(rows, self._rewinds.on_segment(file.writer, file.number))


def _identity(run: Path) -> object:
    """Return what tells the metrics files of a run from others."""
    found: list[tuple[int, ...] | None] = []
    for name in (".", *FILES.values()):
        try:
            status = os.stat(run / name)  # noqa: PTH116  a Path has no more to say
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, *((status.st_size, status.st_mtime_ns) if name != "." else ())))
    return found


def _kinds(file: SegmentFile) -> Kinds:
    try:
        return read_header(file.path).kinds
    except (FileNotFoundError, CorruptRunError):  # compacted just now, or warned of where it is read
        return {}


def _joined(query: Query, frames: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(frames) if frames else pl.DataFrame(schema=table_schema(query.kinds))
