"""The writer: one process's hold on a run, its streams of rows, and the slow path of a log call.

Invariant: `stream.segment` is the one truth, and changes by one store; the published state and the sealing of
what came before follow from it, and where an exception has cut them off, the next call makes up for it. So an
exception between any two bytecodes, a signal handler and another thread meet the state before it or after it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from skald.engine.batch import Batch
from skald.engine.blueprint import Capacity, Columns, Shape
from skald.engine.claim import Claim
from skald.engine.dictionary import FIRST, Dictionary, DictionaryFull, next_capacity
from skald.engine.filled import FILLED_ROWS, as_kind, filled_segments
from skald.engine.functions import Namespace
from skald.engine.lock import holds_reentrant, is_held_here
from skald.engine.newest import Newest, newest_values
from skald.engine.open_segments import OpenSegments, storage_error
from skald.engine.registry import Registry, merge_kinds
from skald.engine.segment import FIRST_ROWS, MOST_ROWS, InterleavedError, Segment
from skald.engine.source import BLOCK_ROWS
from skald.engine.streams import Stream, Streams
from skald.errors import InvalidInputError, LoggerClosedError, SkaldError, StorageError, is_fault
from skald.notice import tell
from skald.schema import METRIC, Id, Kind, Kinds, fit_id

Row = tuple[str, float]
T = TypeVar("T")


class Slot(NamedTuple):
    """A row whose value is not there yet."""

    segment: Segment
    row: int


class Writer:
    """Appends rows to a run; every method may be called from any thread and from signal handlers."""

    def __init__(self, claim: Claim | None, namespace: Namespace) -> None:
        """Write through a claimed folder, or (None) into memory that nobody keeps.

        Args:
            claim: the writer's folder and lock.
            namespace: where the states of the streams are published for generated functions.
        """
        self.claim, self.namespace = claim, namespace
        self.registry = Registry(claim.run if claim else None)
        self.lock = threading.RLock()
        self.closed = False
        self.segments = OpenSegments(claim, self.lock, self._check_open)
        self._streams = Streams()
        self._unknown: deque[Mapping[str, Id]] = deque()  # ids of such calls, for the interrupted one to learn

    def append(self, rows: Sequence[Row], ids: Mapping[str, Id], time_ns: int) -> None:
        """Append rows that share ids and time; names, values and ids are plain and legal.

        Raises:
            IdTypeError: an id has another kind in this run; no row was appended.
            LoggerClosedError: the writer is closed.
            StorageError: neither the disk nor the memory set aside takes more.
        """
        if self._is_nested():
            self._append_aside(rows, ids, time_ns)
        else:
            self._slowly(partial(self._append, rows, ids, time_ns))

    def append_batch(self, batch: Batch) -> None:
        """Append a row for each place of each metric: few into the active segment, many as segments of their own.

        Raises:
            IdTypeError, LoggerClosedError, StorageError: as `append`.
        """
        if self._is_nested():
            self._check_open()
            self._fill_all(batch, self._streams.aside, self._kinds_aside(batch.samples))
        else:
            self._slowly(partial(self._append_batch, batch))

    def learn(self, ids: Mapping[str, Id]) -> None:
        """Fix the kinds of ids before a row has them, as an artifact does.

        Raises:
            IdTypeError, LoggerClosedError, StorageError: as `append`.
        """
        if self._is_nested():
            self._kinds_aside(ids)
        else:
            self._slowly(partial(self._learn, ids))

    def columns_of(self, ids: Mapping[str, Id]) -> tuple[tuple[str, Kind], ...] | None:
        """Return the id columns of the segment that these ids go to, None where there is none, or a mixed one."""
        stream = self._streams.known(ids)
        segment = stream.segment if stream else None
        return segment.shape.columns.ids if segment else None

    def reserve(self, name: str, ids: Mapping[str, Id]) -> Slot:
        """Take a row now whose value comes later; its segment is sealed after `fill` of it."""
        if self._is_nested():
            segment, fitted = self._segment_aside((name,), ids)
            slot = Slot(segment, segment.hold(name, fitted))
            self.segments.retire(segment)
            return slot
        return self._slowly(partial(self._reserve, name, ids))

    def fill(self, slot: Slot, value: float | None, time_ns: int) -> None:
        """Commit a reserved row, or leave it a hole where its value never came (None)."""
        with self.lock:
            if value is not None:
                slot.segment.value[slot.row] = value
                slot.segment.time[slot.row] = time_ns
            slot.segment.reserved -= 1
            if slot.segment.retired:
                self.segments.retire(slot.segment)

    def newest(self) -> dict[str, Newest]:
        """Return the newest value of each metric that was logged lately."""
        return newest_values(list(self.segments))

    def cut(self) -> int:
        """Seal all active segments; return a number between those of the rows logged so far and of all that follow.

        Raises:
            InvalidInputError: the call interrupted a log call, which has its row half stored.
            LoggerClosedError: the writer is closed.
        """
        if self._is_nested():
            raise InvalidInputError("a signal handler cannot rewind while it interrupts a log call")
        return self._slowly(self._cut)

    def _cut(self) -> int:
        for stream in self._streams:
            stream.segment = None
            self._activate(stream)
        return self.segments.take_number()

    def seal(self) -> OSError | None:
        """Let no call append any more; return the fault that keeps rows from the disk, if there is one.

        When it returns every row for which a call returned is in a segment that never changes again.
        """
        with self.lock:
            self.closed = True
            self.namespace.empty()
            return self.segments.seal()

    def release(self) -> None:
        """Say that this writer is done, after `seal`."""
        if self.claim:
            self.claim.release()

    # --- the slow path; the lock is held ---

    def _is_nested(self) -> bool:
        """Tell whether this call interrupted one that holds what the slow path waits for: a signal handler's may."""
        return is_held_here(self.lock) or holds_reentrant()

    def _slowly(self, action: Callable[[], T]) -> T:
        # NOTE: no context manager written in Python: an exception as it is entered would leave the lock held
        try:
            with self.lock:
                self.segments.depth = 0
                try:
                    self._check_open()
                    return action()
                except (ValueError, StorageError):
                    self._check_open()  # closed under this call by a signal handler that interrupted it, or forked
                    raise
                finally:
                    self._learn_unknown()
        except BaseException:
            if is_held_here(self.lock):  # NOTE: Python 3.14 lets a Ctrl-C in between `with`'s taking it and its block
                self.lock.release()
            raise

    def _check_open(self) -> None:
        if self.closed:
            raise LoggerClosedError("the logger is closed, so nothing more can be logged to this run")
        if self.segments.is_inherited:  # NOTE: a forked child must make no file in its parent's folder
            raise LoggerClosedError("the process was forked in the midst of this call: in the child it logs nothing")

    def _append(self, rows: Sequence[Row], ids: Mapping[str, Id], time_ns: int) -> None:
        stream, fitted = self._stream(ids)
        if len(rows) > BLOCK_ROWS and not stream.mixed:
            self._into(stream, lambda segment: segment.store_rows(rows, fitted, time_ns), rows=len(rows))
        else:
            for name, value in rows:
                self._into(stream, lambda segment: segment.store(name, value, fitted, time_ns))  # noqa: B023
        if stream.segment:
            stream.segment.learn(tuple(name for name, _ in rows))

    def _append_batch(self, batch: Batch) -> None:
        stream, samples = self._stream(batch.samples)
        kinds = self.registry.kinds
        if len(batch.values) * batch.length < FILLED_ROWS and not stream.mixed:
            ids = {name: as_kind(name, batch.ids[name], kinds[name]) for name in samples}
            for name, values in batch.values.items():
                store = partial(Segment.store_column, name=name, values=values, ids=ids, times=batch.times)
                self._into(stream, store, rows=batch.length)
            return
        stream.segment = None  # the next row comes after these
        self._activate(stream)
        self._fill_all(batch, stream.number, kinds)

    def _reserve(self, name: str, ids: Mapping[str, Id]) -> Slot:
        stream, fitted = self._stream(ids)
        return self._into(stream, lambda segment: Slot(segment, segment.hold(name, fitted)))

    def _fill_all(self, batch: Batch, stream: int, kinds: Kinds) -> None:
        names = [name for name in kinds if name in batch.ids]
        columns = Columns(tuple((name, kinds[name]) for name in names))
        ids = {name: as_kind(name, batch.ids[name], kinds[name]) for name in names}
        for filled in filled_segments(batch, stream, columns, ids):
            self.segments.make_filled(filled)

    def _into(self, stream: Stream, store: Callable[[Segment], T], *, rows: int = 1) -> T:
        """Store into the active segment of a stream, which rolls as often as that takes."""
        is_again = False
        while True:
            segment = self._active(stream, rows=rows)
            try:
                return store(segment)
            except InterleavedError:
                continue
            except IndexError:
                self._roll(stream, rows=rows, is_full=True)
            except DictionaryFull as full:
                # NOTE: names that come together must all have room, however many they are
                self._roll(stream, rows=rows, room_for=len(str(full.args[0]).encode()), keep=is_again)
                is_again = True

    def _active(self, stream: Stream, *, rows: int) -> Segment:
        """Return the segment of a stream, a new one where its columns are not the stream's any more."""
        segment = stream.segment
        if segment is None or segment.shape.columns != stream.columns_in(self.registry.kinds):
            return self._roll(stream, rows=rows)
        if stream.activated is not segment:
            self._activate(stream)
        return segment

    def _append_aside(self, rows: Sequence[Row], ids: Mapping[str, Id], time_ns: int) -> None:
        """Append from a signal handler that interrupted the slow path: nothing that it was changing is touched."""
        segment, fitted = self._segment_aside([name for name, _ in rows], ids)
        for name, value in rows:
            segment.store(name, value, fitted, time_ns)
        self._check_open()  # NOTE: without the lock `seal` may have missed this segment
        self.segments.retire(segment)

    def _segment_aside(self, names: Sequence[str], ids: Mapping[str, Id]) -> tuple[Segment, Mapping[str, Id]]:
        """Make a small segment for rows of one interrupting call; return it, and the ids as its columns store them."""
        self._check_open()
        kinds = self._kinds_aside(ids)
        columns = Columns(tuple((name, kinds[name]) for name in ids))
        fitted = {name: fit_id(name, value, kinds[name]) for name, value in ids.items()}
        room = FIRST.bytes
        while room < sum(len(text.encode()) for text in (*names, *map(str, ids.values()))):
            room *= 2
        capacity = Capacity(len(names) + FIRST.entries, room)
        shape = self._shape(self._streams.aside, columns, len(names), lambda _: capacity)
        self.segments.depth += 1
        try:
            return self.segments.make(shape, [None] * len(shape.dictionaries)), fitted
        finally:
            self.segments.depth -= 1

    def _kinds_aside(self, ids: Mapping[str, Id]) -> Kinds:
        known = self.registry.kinds
        kinds = merge_kinds(known, ids)
        if kinds != known:
            self._unknown.append(dict(ids))
        return kinds

    def _learn_unknown(self) -> None:
        """Learn the ids of calls that have interrupted this one."""
        while self._unknown and not self.closed:
            try:
                self._learn(self._unknown[0])
            except SkaldError as error:  # its call is long over: nobody else could be told
                tell(f"other processes do not know of an id that a signal handler logged: {error}")
            self._unknown.popleft()

    def _stream(self, ids: Mapping[str, Id]) -> tuple[Stream, Mapping[str, Id]]:
        """Return the stream of an id set, and the ids as its columns store them."""
        self._learn(ids)
        kinds = self.registry.kinds
        if "float" in kinds.values():
            ids = {name: fit_id(name, value, kinds[name]) for name, value in ids.items()}
        return self._streams.find(ids, kinds), ids

    def _learn(self, ids: Mapping[str, Id]) -> None:
        try:
            if not self.registry.knows(ids):
                self.registry.learn(ids)
        except OSError as error:
            if not is_fault(error):
                raise
            raise storage_error(error) from error

    def _roll(
        self, stream: Stream, *, rows: int = 1, room_for: int = 0, is_full: bool = False, keep: bool = False
    ) -> Segment:
        """Open the next segment of a stream, publish it, and seal the one before."""
        old = stream.segment
        columns = stream.columns_in(self.registry.kinds)
        named = _by_name(old)
        size = max(rows, _next_rows(old, grow=is_full))
        carried: list[Dictionary | None] = []

        def decide(name: str) -> Capacity:
            dictionary, capacity = named.get(name, (None, FIRST))
            capacity, carry = next_capacity(dictionary, capacity, room_for=room_for, keep=keep)
            carried.append(dictionary if carry else None)
            return capacity

        shape = self._shape(stream.number, columns, size, decide)
        segment = self.segments.make(shape, carried)
        stream.segment = segment
        self._activate(stream)
        return segment

    def _activate(self, stream: Stream) -> None:
        """Send all calls to the active segment of a stream, and seal the stream's others; safe to do again."""
        active = stream.segment
        if not stream.mixed:
            self.namespace.publish(stream.names, active.state if active else ())
        for segment in self.segments:
            if segment.shape.stream == stream.number and segment is not active:
                self.segments.retire(segment)
        stream.activated = active

    def _shape(self, stream: int, columns: Columns, rows: int, capacity_of: Callable[[str], Capacity]) -> Shape:
        names = [METRIC, *(name for name, kind in columns.ids if kind == "str")]
        return Shape(stream, columns, rows, tuple(capacity_of(name) for name in names))


def _next_rows(old: Segment | None, *, grow: bool) -> int:
    if old is None:
        return FIRST_ROWS
    return min(old.shape.rows * 2 if grow else old.shape.rows, MOST_ROWS)


def _by_name(old: Segment | None) -> dict[str, tuple[Dictionary, Capacity]]:
    """Return the dictionaries of a segment by column."""
    if old is None:
        return {}
    names = [METRIC, *(name for name, kind in old.shape.columns.ids if kind == "str")]
    return dict(zip(names, zip(old.dictionaries, old.shape.dictionaries, strict=True), strict=True))
