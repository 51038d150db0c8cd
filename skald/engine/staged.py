"""Staged segments: memory whose committed rows a thread writes into the file every half second.

Invariant: what is in the file is a segment as a reader expects it: a row's time is written after everything
that it needs, and the times written are the ones that were copied before.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from skald.background import Background, apart
from skald.durable import is_full, sync_folder
from skald.engine.blueprint import SEALED_AT, Shape, blueprint
from skald.engine.storage import Parts, create, fill, write_at
from skald.errors import is_fault
from skald.notice import tell
from skald.schema import MAX_ID_BYTES

FLUSH_SECS: Final = 0.5
WHOLE_BYTES: Final = 1 << 18
"""Up to this size a segment is written whole."""
PATIENCE_SECS: Final = 10.0
"""How long `stop` waits for a full disk."""
SIGN_SECS: Final = 15.0
"""How often a writer says to hosts that do not see its lock that it lives."""
MOST_WAITING_BYTES: Final = 1 << 28
"""How much memory may wait for a disk that takes nothing."""

_TIME_AT: Final = 2


class Staged:
    """Anonymous memory of a segment, and the file that follows it."""

    def __init__(self, path: Path, shape: Shape, parts: Parts, *, network: bool) -> None:
        """Take the memory; `open` makes the file, or the next flush."""
        self.path, self.network = path, network
        self._shape, self._layout = shape, blueprint(shape)
        self._parts = parts
        self.memory = mmap.mmap(-1, self._layout.size)
        fill(self.memory, parts)
        self._descriptor: int | None = None
        self._written = [0] * len(shape.dictionaries)  # bytes of names that are in the file
        self._times = b""  # those in the file after them
        self._flushed = 0  # rows before the first hole that are in the file
        self._sealed = False
        self.is_done = False  # sealed, and all of it in the file
        self._failed = False

    def open(self, check: Callable[[], None] = lambda: None) -> int:
        """Make the file, if it is not there yet, unless `check` raises just before it appears; return its descriptor.

        Raises:
            OSError: no space, no folder.
        """
        if self._descriptor is None:
            self._descriptor = create(self.path, self._layout.size, self._parts, reserve=False, check=check)
            self._parts = ()
        return self._descriptor

    def flush(self) -> None:
        """Write the rows committed so far; of two threads one at a time.

        Raises:
            OSError: the disk takes nothing now; nothing is lost, and the next flush tries again.
        """
        if self.is_done:
            return
        sealed = self._sealed  # NOTE: before the times are copied: what is committed later is not in the copy
        try:
            descriptor = self.open()
            self._write(descriptor)
            if sealed:
                write_at(descriptor, b"\x01", SEALED_AT)
        except OSError:
            self._failed = True
            raise
        self._failed = False
        if sealed:
            self.is_done = True
            self.abandon()

    def _write(self, descriptor: int) -> None:
        first = self._flushed
        begin = self._layout.columns[_TIME_AT]
        copied = self.memory[begin + 8 * first : begin + 8 * self._shape.rows]
        committed = np.frombuffer(copied, np.int64) != 0
        rows = int(committed.nonzero()[0][-1]) + 1 if committed.any() else 0
        if copied[: 8 * rows] == self._times:
            return
        is_small = self._layout.size <= WHOLE_BYTES
        self._write_pieces(descriptor, self._whole(first) if is_small else self._changes(first, first + rows))
        if self.network:
            _data_sync(descriptor)
        write_at(descriptor, copied[: 8 * rows], begin + 8 * first)  # DURABILITY: after what they vouch for
        done = rows if committed[:rows].all() else int(committed.argmin())
        self._flushed, self._times = first + done, copied[8 * done : 8 * rows]

    def _write_pieces(self, descriptor: int, pieces: Iterable[tuple[int, Any]]) -> None:
        for position, data in pieces:
            write_at(descriptor, data, position)

    def _whole(self, first: int) -> Iterator[tuple[int, Any]]:
        """Return a small segment as two pieces, around the times that are not in the file yet.

        NOTE: after each write this thread waits up to 5 ms for the GIL of a program that computes, so with many id
        sets a write a column took seconds.
        """
        begin = self._layout.columns[_TIME_AT] + 8 * first
        end = self._layout.columns[_TIME_AT] + 8 * self._shape.rows
        yield 0, self.memory[:begin]
        yield end, self.memory[end:]

    def _changes(self, first: int, last: int) -> Iterator[tuple[int, Any]]:
        """Return the names that are new, and the columns of these rows but their times."""
        for k, ((offsets, data), capacity) in enumerate(
            zip(self._layout.dictionaries, self._shape.dictionaries, strict=True)
        ):
            copied = self.memory[offsets : offsets + 4 * (capacity.entries + 1)]
            numbers = np.frombuffer(copied, np.int32)
            # NOTE: from here on is the last name, or what is free: a full dictionary looks like one with room
            name = int(numbers[numbers < capacity.bytes].max(initial=0))
            end = min(capacity.bytes, name + MAX_ID_BYTES)
            yield data + self._written[k], self.memory[data + self._written[k] : data + end]
            yield offsets, copied
            self._written[k] = name
        widths = [4, 8, 8, *[8] * self._shape.columns.mixed]
        widths += [{"int": 8, "float": 8, "bool": 1, "str": 4}[kind] for _, kind in self._shape.columns.ids]
        for column, (position, width) in enumerate(zip(self._layout.columns, widths, strict=True)):
            if column != _TIME_AT:
                yield position + width * first, self.memory[position + width * first : position + width * last]

    @property
    def waiting_rows(self) -> int:
        """How many rows are not in the file."""
        if self.is_done:
            return 0
        begin = self._layout.columns[_TIME_AT]
        times = self.memory[begin + 8 * self._flushed : begin + 8 * self._shape.rows]
        return int(np.count_nonzero(np.frombuffer(times, np.int64)))

    @property
    def waiting_bytes(self) -> int:
        """How much of the memory the disk would not take."""
        return self._layout.size if self._failed or (self._descriptor is None and not self.is_done) else 0

    def seal(self) -> None:
        """Let the next flush write the rest, mark the file as final and free the memory."""
        self._sealed = True

    def sync(self) -> None:
        """Wait until the disk has what was flushed."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            sync_folder(self.path.parent)

    def close(self) -> None:
        """Keep the memory until the flusher is done with it."""

    def abandon(self) -> None:
        """Forget, in a forked child, what the parent goes on writing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        with contextlib.suppress(BufferError):
            self.memory.close()


def _data_sync(descriptor: int) -> None:
    (os.fdatasync if hasattr(os, "fdatasync") else os.fsync)(descriptor)


class Flusher:
    """The one thread of a writer that writes its staged segments."""

    def __init__(self, sign: Path | None = None) -> None:
        """Start with nothing to write; the thread starts with the first segment.

        Args:
            sign: a file to touch now and then, from now on: its time says that the writer lives.
        """
        self._sign = sign
        self._staged: list[Staged] = []
        self._lock = threading.Lock()
        self._thread = Background("skald-flush")
        self._fault = ""
        self.deadline: float | None = None
        """Until when `stop` waits for a full disk, however often it is called."""
        if sign:
            self._thread.start(self._run)

    def add(self, staged: Staged) -> None:
        """Take a segment under care until it is sealed and written."""
        self._staged.append(staged)
        if not self._thread.is_alive:
            self._thread.start(self._run)

    @property
    def waiting_bytes(self) -> int:
        """How much memory waits for the disk."""
        return sum(staged.waiting_bytes for staged in self._staged)

    def _run(self) -> None:
        touched = time.monotonic()
        while self._thread.sleep(FLUSH_SECS):
            self._flush()
            if self._sign and time.monotonic() - touched >= SIGN_SECS:
                touched = time.monotonic()
                with contextlib.suppress(OSError):  # what is wrong with the folder is told where rows are written
                    os.utime(self._sign)

    def flush(self) -> OSError | None:
        """Write everything committed; return the fault of the disk, if it has one.

        NOTE: apart, so that a signal handler that closes the run amid it can wait for it, and do it again.
        """
        faults: list[OSError | None] = []
        apart(lambda: faults.append(self._flush()))
        return faults[0]

    def _flush(self) -> OSError | None:
        fault: OSError | None = None
        with self._lock:
            for staged in list(self._staged):
                try:
                    staged.flush()
                except OSError as error:
                    if not is_fault(error):
                        raise
                    fault = error
                else:
                    if staged.is_done:
                        self._staged.remove(staged)
            self._tell(fault)
        return fault

    def _tell(self, fault: OSError | None) -> None:
        """Say once that the disk takes nothing, and once that it does again."""
        said = str(fault) if fault else ""
        if said and not self._fault:
            tell(f"rows wait in memory, the disk does not take them: {said}")
        elif self._fault and not said:
            tell("the disk takes rows again, nothing was lost")
        self._fault = said

    def stop(self) -> OSError | None:
        """End the thread and write the rest; return the fault that keeps something in memory.

        A disk that takes nothing is given a while: it is often somebody else who fills it, and empties it again.
        """
        self._thread.stop()
        self._thread.join()
        if self.deadline is None:
            self.deadline = time.monotonic() + PATIENCE_SECS
        while (fault := self.flush()) and is_full(fault) and time.monotonic() < self.deadline:
            time.sleep(FLUSH_SECS)
        return fault

    @property
    def waiting_rows(self) -> int:
        """How many rows are in memory only."""
        return sum(staged.waiting_rows for staged in self._staged)
