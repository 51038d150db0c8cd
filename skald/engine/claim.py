"""Claims: a writer's own folder in a run, held by a lock that the system frees when the process dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from skald.background import apart
from skald.durable import make_folder
from skald.engine.lock import PATIENCE_SECS, FileLock, holds_reentrant, is_locked, knows_locks
from skald.engine.mark import host_name, is_young, pid_exists
from skald.engine.storage import choose_mode, locks_reach
from skald.errors import unless_handlers
from skald.layout import COMPACTION_LOCK, RUN_LOCK, SEGMENTS, WRITER_LOCK, new_writer_name

T = TypeVar("T")


class Owner(msgspec.Struct):
    """Who writes: what the lock file of a writer says to those who find it locked."""

    host: str
    pid: int
    forked: bool = False
    storage: str = "mapped"
    """How it stores its rows: mapped or staged."""


class Claim:
    """A writer's folder, and the lock that says its process is alive."""

    def __init__(self, run: Path, *, forked: bool = False, made: list[Claim] | None = None) -> None:
        """Make a new writer's folder; the run's lock is held.

        Args:
            run: the run's folder.
            forked: whether it is a forked child's.
            made: gets the claim before it holds its lock, so that it is released where a Ctrl-C comes amid this.

        Raises:
            OSError: the folder cannot be made.
        """
        self.run = run
        while True:
            self.name = new_writer_name()
            self.folder = run / SEGMENTS / self.name
            self.folder.mkdir()
            self._lock = FileLock(self.folder / WRITER_LOCK)
            if made is not None:
                made.append(self)
            try:
                if self._lock.acquire(PATIENCE_SECS):
                    break
            except FileNotFoundError:
                continue  # a compaction took the folder for a dead writer's
        self.is_seen = knows_locks(self.folder / WRITER_LOCK) and locks_reach(self.folder)
        """Whether its lock says to everybody that the process lives; else its files do, which must be touched."""
        owner = Owner(host=host_name(), pid=os.getpid(), forked=forked, storage=choose_mode(self.folder))
        self._lock.write(msgspec.json.encode(owner))

    @property
    def held(self) -> bool:
        """Whether the writer is not done."""
        return self._lock.held

    def release(self) -> None:
        """Say that the writer is done; its folder stays for compaction."""
        if self._lock.held:
            self._lock.write(b"")  # for hosts that do not see the lock: its files are still young
            self._lock.release()


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold the run's lock, for what must not happen in two processes at once: opening, new ids, tidying up.

    Raises:
        FileNotFoundError: the run's folder is gone.
    """
    with _standing_lock(lock_of_run(run)):
        yield


def change_run(change: Callable[[], T]) -> T:
    """Call what takes the run's lock and changes its files; return what that returns.

    NOTE: in another thread, where no signal handler closes the run in the midst of it, whose word of the end would be
    written over; but for a handler whose own thread has the lock.
    """
    if holds_reentrant():
        return change()
    changed: list[T] = []
    apart(lambda: changed.append(change()))
    return changed[0]


def lock_of_run(run: Path) -> FileLock:
    """Return the run's lock, which `run_lock` holds."""
    return FileLock(run / SEGMENTS / RUN_LOCK, reentrant=True, everywhere=True)


def lock_of_compaction(run: Path) -> FileLock:
    """Return the lock that a compaction holds."""
    return FileLock(run / SEGMENTS / COMPACTION_LOCK, everywhere=True)


@contextmanager
def sole_lock(run: Path) -> Iterator[None]:
    """Hold all locks of a run: nobody opens it, compacts it or tidies it up meanwhile. A compaction is waited for.

    Raises:
        FileNotFoundError: the run's folder is gone.
    """
    with _standing_lock(lock_of_compaction(run)), run_lock(run):
        yield


@contextmanager
def _standing_lock(lock: FileLock) -> Iterator[None]:
    """Hold a lock in `segments/`, which comes and goes."""
    try:
        while not lock.held:
            make_folder(lock.path.parent)
            try:
                lock.acquire()
            except FileNotFoundError:
                continue  # the last writer out has removed the folder meanwhile
        yield
    finally:
        lock.release()


def writer_names(run: Path) -> frozenset[str]:
    """Return the names of all writers whose folders are there."""
    return frozenset(entry.name for entry in (run / SEGMENTS).iterdir() if entry.is_dir())


def owners(run: Path) -> dict[str, Owner | None]:
    """Return the writers of a run that are alive; None where a lock file does not say who it is."""
    folder = run / SEGMENTS
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):  # it was closed
        return {}
    return {entry.name: _owner(entry) for entry in entries if is_alive(entry)}


def is_alive(folder: Path) -> bool:
    """Tell whether a writer's process lives: it holds its lock or, where that is not seen, gives a sign."""
    return is_locked(folder / WRITER_LOCK) or gives_sign(folder)


def gives_sign(folder: Path) -> bool:
    """Tell whether a writer whose lock is not seen here lives: its files are young, and one of this host is running."""
    owner = _owner(folder)
    if owner is None:
        return False
    is_known = knows_locks(folder / WRITER_LOCK)
    if owner.host == host_name():
        is_possible = not is_known and pid_exists(owner.pid)
    else:
        is_possible = not (is_known and locks_reach(folder))
    try:
        return is_possible and any(map(is_young, folder.iterdir()))
    except FileNotFoundError:
        return False  # removed meanwhile, and nobody removes what lives


def _owner(folder: Path) -> Owner | None:
    try:
        return msgspec.json.decode((folder / WRITER_LOCK).read_bytes(), type=Owner)
    except unless_handlers(OSError, msgspec.DecodeError):
        return None
