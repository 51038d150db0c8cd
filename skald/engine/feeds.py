"""What a compaction reads from: the segments of a stream, and the metrics file written before.

Invariant: a feed gives its rows in log order, and none of a smaller key than it promised.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.engine.arrays import numpy_array, text_array, valid_mask
from skald.engine.coverage import Part
from skald.engine.extraction import read_segment, read_times
from skald.engine.order import NEVER, Clock, Interner
from skald.engine.rewind import Rewind, Rewinds, choose, id_names, on_part
from skald.engine.rows import Codes, IdColumn, Ints, Rows, with_used_names
from skald.engine.segmentfile import read_header
from skald.engine.snapshot import SegmentFile
from skald.engine.stored import Stored, read_tables
from skald.schema import METRIC, TIME, VALUE, Kind, Kinds

BLOCK_ROWS: Final = 1 << 13
"""Rows of a segment whose oldest time is kept, so that they can be read apart."""
SLICE_ROWS: Final = 1 << 18
"""The most rows read at a time: a batch logged in one call can make a large segment."""
TIME_UNIT_NS: Final = 1000
"""How exact the times of a metrics file are."""
_WAITING_ROWS: Final = 1 << 21
"""Rows that are read ahead, as near as blocks allow, however many streams there are."""

_KIND_OF: Final[dict[Any, tuple[Kind, type[np.generic]]]] = {
    pa.int64(): ("int", np.int64),
    pa.float64(): ("float", np.float64),
    pa.bool_(): ("bool", np.bool_),
}


class Rank(NamedTuple):
    """What decides between rows of the same key: the number of their segment; the metrics file comes first."""

    number: int = -1
    writer: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of one feed.

    Attributes:
        rank: of all these rows.
        metric: the run's numbers of the metrics.
        keys: ns, see `order`.
        time: µs since 1970.
        value: the values.
        ids: the ids that any of these rows has.
    """

    rank: Rank
    metric: Codes
    keys: Ints
    time: Ints
    value: npt.NDArray[np.float64]
    ids: dict[str, IdColumn]

    def __len__(self) -> int:
        return len(self.keys)


class Feed(Protocol):
    """Rows in log order, read part by part."""

    bound: int
    """No row still to be read has a smaller key; NEVER where all are read."""

    def read(self) -> Piece:
        """Return the next rows."""


class Surveyed(NamedTuple):
    """A segment that is final, with how many rows it has, and for each block its oldest time in ns."""

    file: SegmentFile
    stream: int
    kinds: Kinds
    capacity: int
    rows: int
    oldest: tuple[int, ...]


def survey(file: SegmentFile) -> Surveyed:
    """Look a final segment over, without its columns.

    Raises:
        CorruptRunError: it cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """
    header = read_header(file.path)
    rows, oldest = 0, []
    for first in range(0, header.capacity, SLICE_ROWS):
        times = read_times(file.path, first=first, stop=first + SLICE_ROWS)
        rows += int(np.count_nonzero(times))
        known = np.where(times == 0, NEVER, times)
        oldest += np.minimum.reduceat(known, range(0, len(times), BLOCK_ROWS)).tolist()
    return Surveyed(file, header.stream, header.kinds, header.capacity, rows, tuple(oldest))


def slice_rows(streams: int) -> int:
    """Return how many rows of each stream to read at a time: the fewer, the more streams there are."""
    return max(BLOCK_ROWS, min(SLICE_ROWS, _WAITING_ROWS // max(1, streams) // BLOCK_ROWS * BLOCK_ROWS))


class _Slice(NamedTuple):
    """Rows of a segment that are read at once."""

    file: SegmentFile
    first: int
    stop: int
    oldest: int


def _slices(segment: Surveyed, rows: int) -> Iterator[_Slice]:
    """Cut a segment into slices; those without rows are left out."""
    for first in range(0, segment.capacity, rows):
        oldest = min(segment.oldest[first // BLOCK_ROWS : (first + rows) // BLOCK_ROWS])
        if oldest != NEVER:
            yield _Slice(segment.file, first, first + rows, oldest)


class Choice(NamedTuple):
    """Which rows a compaction writes: those that count, or those that were taken back."""

    rewinds: Rewinds
    taken: bool = False

    def of_segment(self, rows: Rows, file: SegmentFile) -> Rows:
        """Return the chosen rows of a segment."""
        return choose(rows, self.rewinds.on_segment(file.writer, file.number), taken=self.taken)

    def of_part(self, rows: Rows, writer: str, applied: int) -> Rows:
        """Return the chosen rows of a part of a metrics file that reflects the first `applied` rewinds."""
        rewinds = on_part(self.rewinds.on_stored(applied), writer)
        return choose(rows, rewinds, taken=self.taken, unit_ns=TIME_UNIT_NS)


class StreamFeed:
    """The segments of one stream, in their order."""

    def __init__(
        self, segments: Sequence[Surveyed], interner: Interner, clock: Clock, *, rows: int, choice: Choice
    ) -> None:
        """Begin at the first of `segments`.

        Args:
            segments: in their order.
            interner: numbers the metrics.
            clock: knows the part of the stream before these.
            rows: how many to read at a time, see `slice_rows`.
            choice: which rows to give.
        """
        self._interner, self.clock, self._choice = interner, clock, choice
        self._unread = [part for segment in segments for part in _slices(segment, rows)][::-1]
        self._bounds: list[int] = np.minimum.accumulate([NEVER, *(part.oldest for part in self._unread)]).tolist()
        self.bound = self._bounds[-1]
        self.damaged = 0

    def read(self) -> Piece:
        """Return the rows of the next segment, or of a part of it."""
        part = self._unread.pop()
        self._bounds.pop()
        self.bound = self._bounds[-1]
        found = read_segment(part.file.path, first=part.first, stop=part.stop)
        self.damaged += found.damaged
        rows = self._choice.of_segment(found, part.file)
        metric = self._interner.number(rows.metric, rows.names)
        keys = self.clock.keys(metric, rows.time)
        assert rows.value is not None
        ids = {name: with_used_names(column) for name, column in rows.ids.items()}
        rank = Rank(part.file.number, part.file.writer)
        return Piece(rank, metric, keys, rows.time // 1000, rows.value, ids)


class StoredFeed:
    """The rows of a part of a metrics file, as they stand there."""

    def __init__(self, stored: Stored, part: Part, interner: Interner, choice: Choice) -> None:
        """Begin at the first row of a part of an open file."""
        self._interner, self._choice, self._writer = interner, choice, part.writer
        self._applied = stored.coverage.rewinds
        self._clock = None if stored.coverage.ordered else Clock(interner)
        self._tables = read_tables(stored, rows=(part.first, part.stop))
        stops = itertools.accumulate(rows for rows, _ in stored.coverage.chunks)
        chunks = [
            (stop, oldest * TIME_UNIT_NS)
            for stop, (_, oldest) in zip(stops, stored.coverage.chunks, strict=True)
            if part.first < stop <= part.stop
        ]
        self._bounds: list[int] = np.minimum.accumulate([NEVER, *(oldest for _, oldest in reversed(chunks))]).tolist()
        self._stops = [stop for stop, _ in reversed(chunks)]
        self._read = part.first
        self.bound = self._bounds[-1]

    def read(self) -> Piece:
        """Return the rows of the next part of the file."""
        table = next(self._tables)
        self._read += len(table)
        while self._stops and self._stops[-1] <= self._read:
            self._stops.pop()
            self._bounds.pop()
        self.bound = self._bounds[-1]
        rows = self._choice.of_part(stored_rows(table), self._writer, self._applied)
        metric = self._interner.number(rows.metric, rows.names)
        keys = rows.time if self._clock is None else self._clock.keys(metric, rows.time)
        assert rows.value is not None
        ids = {name: with_used_names(column) for name, column in rows.ids.items()}
        return Piece(Rank(), metric, keys, rows.time // TIME_UNIT_NS, rows.value, ids)


def stored_rows(table: pa.Table) -> Rows:
    """Return a part of a metrics file as rows, whatever of its columns but metric and time was read."""
    columns = {name: _flat(table.column(name)) for name in table.column_names}
    metrics, times = columns.pop(METRIC), columns.pop(TIME)
    value = columns.pop(VALUE, None)
    return Rows(
        time=numpy_array(times, np.int64) * TIME_UNIT_NS,
        metric=numpy_array(metrics.indices, np.int32),
        names=metrics.dictionary,
        value=None if value is None else numpy_array(value, np.float64),
        ids={name: _id_column(data) for name, data in columns.items()},
    )


def read_counting(stored: Stored, part: Part, rewinds: Sequence[Rewind], ids: Collection[str] = ()) -> Iterator[Rows]:
    """Read metrics, times and some ids of the rows that count in a part of a metrics file, piece by piece.

    Args:
        stored: the file.
        part: of the file.
        rewinds: those that concern the file.
        ids: which ids are wanted.
    """
    concerning = on_part(rewinds, part.writer)
    wanted = {METRIC, TIME, *ids, *id_names(concerning)}
    for table in read_tables(stored, wanted, rows=(part.first, part.stop)):
        yield choose(stored_rows(table), concerning, unit_ns=TIME_UNIT_NS)


def _flat(column: Any) -> Any:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _id_column(column: Any) -> IdColumn:
    given = valid_mask(column)
    if not isinstance(column.type, pa.DictionaryType):
        kind, stored = _KIND_OF[column.type]
        return IdColumn(kind, numpy_array(column, stored), given=given)
    names = column.dictionary if len(column.dictionary) else text_array([""])
    codes = numpy_array(column.indices, np.int32)
    return IdColumn("str", codes if given is None else np.where(given, codes, 0), names, given)
