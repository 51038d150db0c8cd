"""A text file that grows by whole pieces, whatever happens to the process that writes it.

Invariant: a text is in the file when its call has returned, and no other text stands inside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from skald.errors import folder_gone, is_fault
from skald.notice import tell


class Source(Protocol):
    """Who writes into a file what is printed."""

    def catch_up(self) -> None:
        """Write what has been printed so far."""

    def stop(self) -> None:
        """Write it, and take no more."""


class LogFile:
    """A file appended to by threads and forked processes alike.

    A fault of the disk raises nothing: it is told once on stderr, and `lost` counts the lines
    that are not in the file, or only in part.
    """

    def __init__(self, path: Path | None, is_there: Callable[[], bool] = lambda: True) -> None:
        """Append to a file.

        Args:
            path: where it is made by the first text; None takes nothing.
            is_there: tells whether the run is still there whose file this is.
        """
        self.name = str(path)
        self._is_there = is_there
        self.lost = 0
        self.is_writing = False
        """Whether a text has got so far that the system has it."""
        self.source: Source | None = None
        self._path = path
        self._descriptor: _Descriptor | None = None
        self._torn = False

    @property
    def is_open(self) -> bool:
        """Whether texts are still taken."""
        return self._path is not None

    def size(self) -> int:
        """Return how many bytes are in it."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.stat().st_size if self._path else 0
        return 0

    def log(self, text: str) -> None:
        """Append a message, below what was printed before it."""
        if self.source is not None:
            self.source.catch_up()
        self.append(text)

    def append(self, text: str | bytes | memoryview) -> None:
        """Append a text in one system call."""
        path = self._path
        if path is None:
            return
        encoded = text.encode(errors="backslashreplace") if isinstance(text, str) else text
        data = b"\n" + encoded if self._torn else encoded
        # NOTE: no lock, which a fork or a signal handler could find held: the local name keeps the file open
        descriptor = self._descriptor
        try:
            if descriptor is None or not descriptor.holds():
                if not self._is_there():
                    raise folder_gone(path.parent)
                descriptor = self._descriptor = _Descriptor(path)
            self.is_writing = True
            while data:  # a second round only where the disk had room for a part, to be told why
                data = data[os.write(descriptor.number, data) :]
                self._torn = bool(data)
        except OSError as error:
            if not is_fault(error):
                raise
            if not self.lost:
                tell(f"{path} takes no more, so messages are lost from it: {error}")
            self.lost += min(bytes(encoded).count(b"\n"), bytes(data).count(b"\n")) or 1

    def close(self) -> None:
        """Take no more; the file is closed as soon as the calls that are writing have done so."""
        if self.source is not None:
            self.source.stop()
        self._path = self._descriptor = None


class _Descriptor:
    """A file open for appending until nobody refers to it."""

    number = -1
    _status: os.stat_result | None = None

    def __init__(self, path: Path) -> None:
        self._pid = os.getpid()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self.number = os.open(path, flags, 0o666)
        self._status = os.fstat(self.number)

    def holds(self) -> bool:
        """Tell whether the file is open: a forked child may have closed all it has inherited, and opened others."""
        if os.getpid() == self._pid or self._is_same():
            return True
        self.number = -1  # NOTE: it may be that of the next one here
        return False

    def _is_same(self) -> bool:
        try:
            return self._status is None or os.path.samestat(os.fstat(self.number), self._status)
        except OSError:
            return False

    def __del__(self) -> None:
        if self.number >= 0 and self._is_same():
            os.close(self.number)
