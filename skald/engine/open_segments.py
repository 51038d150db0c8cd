"""The segments that a writer has open, and the files that it makes of them in its folder.

Invariant: a segment stays open until all its reserved rows are there, and is sealed before it is let go.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from skald.durable import is_full, sync_file, sync_folder
from skald.engine.blueprint import Shape, blueprint
from skald.engine.claim import Claim
from skald.engine.dictionary import Dictionary
from skald.engine.filled import Filled
from skald.engine.segment import Segment, content
from skald.engine.staged import MOST_WAITING_BYTES, Flusher, Staged
from skald.engine.storage import Mapped, Parts, Storage, Volatile, choose_mode, fill, is_network
from skald.errors import StorageError, folder_gone, is_fault
from skald.layout import WRITER_LOCK, segment_name, segment_number


class OpenSegments:
    """Makes, flushes and seals the segments of one writer.

    Attributes:
        depth: how many calls have interrupted each other in the slow path.
    """

    def __init__(self, claim: Claim | None, lock: threading.RLock, check: Callable[[], None]) -> None:
        """Begin without any.

        Args:
            claim: whose folder the files are made in; None: in memory that nobody keeps.
            lock: the writer's, held by who makes or retires a segment.
            check: raises where the writer may make none any more.
        """
        self._claim, self._lock, self._check = claim, lock, check
        self._process = os.getpid()
        self._mode = choose_mode(claim.folder) if claim else "volatile"
        self._network = bool(claim) and self._mode == "staged" and is_network(claim.folder)  # type: ignore[union-attr]
        self.flusher = Flusher(claim.folder / WRITER_LOCK if claim and not claim.is_seen else None)
        self._numbers = itertools.count()
        self._open: dict[int, Segment] = {}
        self._synced = 0  # segments with a smaller number are on the disk itself
        self.depth = 0

    def __iter__(self) -> Iterator[Segment]:
        """Go through those that are open now."""
        return iter(list(self._open.values()))

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a forked child of the one that they belong to."""
        return os.getpid() != self._process

    def take_number(self) -> int:
        """Return a number between those of the segments made so far and of all that follow."""
        return next(self._numbers)

    def make(self, shape: Shape, older: Sequence[Dictionary | None]) -> Segment:
        """Make a segment, with the names of older dictionaries."""
        number = self.take_number()
        storage = self._store(number, shape, content(shape, older))
        segment = Segment(number, shape, storage, older, self._lock)
        if self.is_inherited:  # NOTE: forked since `_store`, when it was not there to be abandoned
            segment.abandon()
            self._check()
        self._open[number] = segment
        return segment

    def make_filled(self, filled: Filled) -> None:
        """Make a segment that is full, and sealed at once."""
        storage = self._store(self.take_number(), filled.shape, filled.head)
        fill(storage.memory, filled.columns)
        self._check()  # NOTE: a forked child must not seal what its parent still fills
        storage.seal()
        storage.close()

    def _store(self, number: int, shape: Shape, parts: Parts) -> Storage:
        """Make the memory of a segment, and its file; in memory at first where calls interrupt each other too often."""
        size = blueprint(shape).size
        self._check()
        if self._claim is None:
            return Volatile(size, parts)
        path = self._claim.folder / segment_name(number)
        if self._mode == "mapped" and self.depth <= 1:
            try:
                return Mapped(path, size, parts, self._check)
            except OSError as error:
                if not is_fault(error):
                    raise
                if not is_full(error):
                    raise storage_error(error) from error
        return self._stage(path, shape, parts)

    def _stage(self, path: Path, shape: Shape, parts: Parts) -> Staged:
        """Make the memory of a segment whose file follows it."""
        if self.flusher.waiting_bytes > MOST_WAITING_BYTES:
            text = f"the disk takes no rows, and {MOST_WAITING_BYTES >> 20} MiB wait in memory: {path.parent}"
            raise StorageError(errno.ENOSPC, text)
        staged = Staged(path, shape, parts, network=self._network)
        if self.depth <= 1:
            try:
                staged.open(self._check)
            except FileNotFoundError as error:
                raise storage_error(error) from error
            except OSError as error:  # tried again, and told, by the flush
                if not is_fault(error):
                    raise
        self.flusher.add(staged)
        return staged

    def retire(self, segment: Segment) -> None:
        """Seal a segment that gets no new rows, once the last reserved one is there."""
        segment.retired = True
        if not segment.reserved:
            segment.seal()
            self._open.pop(segment.number, None)

    def seal(self) -> OSError | None:
        """Seal all of them; return the fault that keeps rows from the disk, if there is one."""
        for segment in self:
            segment.seal()
        self._open.clear()
        return self.flusher.stop()

    def flush(self) -> None:
        """Put the rows that wait in memory into the files.

        Raises:
            StorageError: the disk takes nothing.
        """
        with self._lock:
            fault = self.flusher.flush()
            if fault:
                raise StorageError(fault.errno, f"rows wait in memory, the disk does not take them: {fault}")

    def sync(self) -> None:
        """Wait until the disk itself has every row.

        Raises:
            StorageError: the disk takes nothing.
        """
        try:
            with self._lock:
                self.flush()
                for segment in self:
                    segment.storage.sync()
                still_open = list(self._open)
            if self._claim:
                self._sync_sealed(self._claim.folder, still_open)
        except OSError as error:
            if isinstance(error, StorageError) or not is_fault(error):
                raise
            raise storage_error(error) from error

    def _sync_sealed(self, folder: Path, still_open: Collection[int]) -> None:
        """Wait for the segments that were sealed since the last time."""
        numbers = {number for path in folder.iterdir() if (number := segment_number(path.name)) is not None}
        for number in sorted(number for number in numbers.difference(still_open) if number >= self._synced):
            with contextlib.suppress(FileNotFoundError):  # compacted, which waits for the disk too
                sync_file(folder / segment_name(number))
        sync_folder(folder)
        self._synced = min(still_open, default=max(numbers, default=0))


def storage_error(error: OSError) -> StorageError:
    """Say in our words that the disk, or the run's folder, is not there to write to."""
    if isinstance(error, FileNotFoundError):
        return folder_gone(error.filename)
    return StorageError(error.errno, f"cannot write to the run: {error.strerror}", error.filename)
