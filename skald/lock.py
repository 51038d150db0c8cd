"""Locks between processes: a file that the system unlocks when its holder dies.

Invariant: a FileLock is held on the file that stands under its name, never on one that was
removed or replaced meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECS = 0.01
PATIENCE_SECS = 1.0
"""How long to try before a lock counts as held by somebody alive: readers probe in passing."""

if os.name == "nt":
    import msvcrt

    _FAR = 1 << 30  # NOTE: Windows forbids reading locked bytes, so the lock is beyond what the file says

    def _try_lock(descriptor: int, *, shared: bool) -> bool:  # noqa: ARG001 Windows knows no shared ones
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]
else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


class FileLock:
    """An exclusive lock on a file, which is made where it is missing (its folder must stand)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, timeout_secs: float | None = None, *, create: bool = True) -> bool:
        """Take the lock; tell whether it was had in time (None: wait for ever).

        Raises:
            FileNotFoundError: the folder is not there, or the file is not and `create` is False.
        """
        deadline = None if timeout_secs is None else time.monotonic() + timeout_secs
        while True:
            descriptor = os.open(self.path, os.O_RDWR | (os.O_CREAT if create else 0), 0o666)
            if _try_lock(descriptor, shared=False):
                if _stands(descriptor, self.path):
                    self._descriptor = descriptor
                    return True
                os.close(descriptor)
                continue
            os.close(descriptor)
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECS)

    def write(self, data: bytes) -> None:
        """Put `data` into the locked file, for those who find it locked."""
        assert self._descriptor is not None
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, data)

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # closing unlocks in any case
                _unlock(descriptor)
            os.close(descriptor)

    def remove(self) -> None:
        """Give the lock back and remove its file, so that nobody is left waiting on it."""
        if os.name == "nt":
            self.release()  # an open file cannot be removed there
            with contextlib.suppress(OSError):
                self.path.unlink()
            return
        self.path.unlink(missing_ok=True)
        self.release()

    def abandon(self) -> None:
        """Forget, in a forked child, the lock of the parent, which goes on holding it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)  # NOTE: no unlock: parent and child share the open file and its lock

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held_here(lock: threading.RLock) -> bool:
    """Tell whether the calling thread holds a reentrant lock: then it is in a signal handler or the like."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock on `path`, without getting in anybody's way."""
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        if not _try_lock(descriptor, shared=True):
            return True
        _unlock(descriptor)
        return False
    finally:
        os.close(descriptor)


def _stands(descriptor: int, path: Path) -> bool:
    """Tell whether the open file is still the one under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
