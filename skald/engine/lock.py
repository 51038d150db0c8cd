"""Locks between processes: a file that the system unlocks when its holder dies.

Invariant: a FileLock is held on the file that stands under its name, never on one that was
removed or replaced meanwhile.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from skald.durable import unstale
from skald.engine.mark import Mark
from skald.engine.storage import locks_reach

POLL_SECS = 0.01
PATIENCE_SECS = 1.0
"""How long to try before a lock counts as held by somebody alive: readers probe in passing."""

if os.name == "nt":
    import msvcrt

    _FAR = 1 << 30  # NOTE: Windows forbids reading locked bytes, so the lock is beyond what the file says

    def _try_lock(descriptor: int, *, shared: bool) -> bool | None:  # noqa: ARG001 Windows knows no shared ones
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

    _LOCKLESS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
    """What a file system answers that knows no locks: Lustre mounted without them, NFS without its lock daemon."""

    def _try_lock(descriptor: int, *, shared: bool) -> bool | None:
        """Tell whether the lock was had; None where there are none."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno == errno.ESTALE:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
            if error.errno not in _LOCKLESS:
                raise
            return None
        return True

    def _unlock(descriptor: int) -> None:
        with contextlib.suppress(OSError):  # there are none
            fcntl.flock(descriptor, fcntl.LOCK_UN)


_Held = dict[tuple[Path, int], "weakref.ref[FileLock]"]
_held: Final[_Held] = {}
"""The locks held by this process, by file and thread."""
reentrant: Final[_Held] = {}
"""Those of them that a thread may take again, also while it is about to have them or to give them back.

NOTE: no WeakValueDictionary, which takes 0.1 µs to tell it is empty.
"""


def _note(locks: _Held, key: tuple[Path, int], lock: FileLock) -> None:
    """Keep a lock in mind for as long as it lives."""

    def forget(gone: weakref.ref[FileLock]) -> None:
        if locks.get(key) is gone:
            locks.pop(key, None)

    locks[key] = weakref.ref(lock, forget)


def _noted(locks: _Held, key: tuple[Path, int]) -> FileLock | None:
    found = locks.get(key)
    return None if found is None else found()


class _LockFile(io.FileIO):
    """A file that closes itself wherever an exception between two bytecodes has dropped it."""

    def __del__(self) -> None:
        self.close()  # here, as the base class would warn of it

    def close(self) -> None:
        """Close it, be it gone already: on network file systems that is an error."""
        with contextlib.suppress(OSError):
            super().close()


class FileLock:
    """An exclusive lock on a file, which is made where it is missing (its folder must stand)."""

    def __init__(self, path: Path, *, reentrant: bool = False, everywhere: bool = False) -> None:
        """Name the lock.

        Args:
            path: the file.
            reentrant: whether a thread that holds it may take it again through another object, as a signal
                handler does that interrupted the holder, for which it would wait for ever.
            everywhere: whether it keeps out processes too that do not see it, as their file system has no locks or
                ends them at the host; who holds such a lock for long calls `keep`.
        """
        self.path, self._reentrant, self._everywhere = path, reentrant, everywhere
        self._file: _LockFile | None = None
        self._locked = False
        self._mark: Mark | None = None
        self._outer: FileLock | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._locked or self._outer is not None

    def acquire(self, timeout_secs: float | None = None, *, create: bool = True, shared: bool = False) -> bool:
        """Take the lock; tell whether it was had in time (None: wait for ever).

        A shared one (where the system knows such) keeps others from holding it alone, and `is_locked` says no.

        Raises:
            FileNotFoundError: the folder is not there, or the file is not and `create` is False.
        """
        key = (self.path, threading.get_ident())
        outer = _noted(reentrant, key) if self._reentrant else None
        deadline = None if timeout_secs is None else time.monotonic() + timeout_secs
        while True:
            if outer is None or not outer._is_shareable():
                is_had = self._try(key, create=create, shared=shared)
            else:
                is_had = outer._locked or _try_lock(outer._descriptor(), shared=shared) is not False
                self._outer = outer if is_had else None
            if is_had:
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECS)

    def _try(self, key: tuple[Path, int], *, create: bool, shared: bool) -> bool:
        """Take the lock if nobody has it; from before that on a signal handler knows that this thread may have it."""
        try:
            while True:
                self._file = unstale(lambda: _LockFile(self.path, "r+", opener=_create if create else None))
                for locks in (_held, reentrant) if self._reentrant else (_held,):
                    _note(locks, key, self)
                is_had = self._takes(self._descriptor(), shared=shared)
                if is_had:
                    self._locked = True
                    return True
                self.release()
                if is_had is False:
                    return False
        except BaseException:
            self.release()
            raise

    def _takes(self, descriptor: int, *, shared: bool) -> bool | None:
        """Take the lock of an open file, and the mark beside it where it needs one; None: another file stands there."""
        try:
            is_had = _try_lock(descriptor, shared=shared)
        except FileNotFoundError:
            return None
        if is_had is False:
            return False
        if not _stands(descriptor, self.path):
            return None
        if not self._everywhere or (is_had and locks_reach(self.path.parent)):
            return True
        self._mark = Mark(self.path)
        return self._mark.take()

    def _descriptor(self) -> int:
        assert self._file is not None
        return self._file.fileno()

    def _is_shareable(self) -> bool:
        """Tell whether who interrupts this object has the lock, or may lock its file for both: it stands."""
        return self._locked or (
            self._file is not None and not self._file.closed and _stands(self._descriptor(), self.path)
        )

    def keep(self) -> None:
        """Say that the lock is still held, to those who do not see it."""
        if self._mark:
            self._mark.keep()

    def write(self, data: bytes) -> None:
        """Put `data` into the locked file, in place of what is there, for those who find it locked."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(data)

    def release(self) -> None:
        """Give the lock back; does nothing where it is not held."""
        self._outer = None
        if self._file is not None:
            self._locked = False
            if self._mark:
                self._mark.drop()
                self._mark = None
            with contextlib.suppress(OSError, ValueError):  # closing unlocks in any case
                _unlock(self._file.fileno())
            self._file.close()
            self._file = None
            self._forget()

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
        self._outer = self._mark = None
        if self._file is not None:
            self._file.close()  # NOTE: no unlock: parent and child share the open file and its lock
            self._file, self._locked = None, False

    def _forget(self) -> None:
        for locks in (_held, reentrant):
            for key in [key for key, lock in list(locks.items()) if lock() is self]:
                locks.pop(key, None)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)


def _abandon_all() -> None:
    for found in list(_held.values()):
        lock = found()
        if lock is not None:
            lock.abandon()
    _held.clear()
    reentrant.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)


def holds_reentrant() -> bool:
    """Tell whether the calling thread holds a reentrant FileLock: what it waits for might wait for that."""
    if not reentrant:
        return False
    thread = threading.get_ident()
    return any(holder == thread for _, holder in list(reentrant))


def is_held_here(lock: threading.RLock) -> bool:
    """Tell whether the calling thread holds a reentrant lock: then it is in a signal handler or the like."""
    return lock._is_owned()  # type: ignore[attr-defined,no-any-return]


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds the lock on `path` alone, without getting in anybody's way."""
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        had = _try_lock(descriptor, shared=True)
        if had:
            _unlock(descriptor)
        return had is False
    except FileNotFoundError:
        return False
    finally:
        os.close(descriptor)


def knows_locks(path: Path) -> bool:
    """Tell whether there are locks on a file's file system at all; a file that is gone may have had one."""
    try:
        descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except OSError:
        return True
    try:
        had = _try_lock(descriptor, shared=True)
        if had:
            _unlock(descriptor)
        return had is not None
    except FileNotFoundError:
        return True
    finally:
        os.close(descriptor)


def _stands(descriptor: int, path: Path) -> bool:
    """Tell whether the open file is still the one under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return False
