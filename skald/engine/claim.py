"""Claims: a writer's own folder in a run, held by a lock that the system frees when the process dies."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from skald.engine.lock import PATIENCE_SECS, FileLock, is_locked
from skald.engine.storage import choose_mode, locks_reach
from skald.layout import COMPACTION_LOCK, RUN_LOCK, SEGMENTS, WRITER_LOCK, new_writer_name

SIGN_SECS: Final = 60.0
"""A writer on another host, whose lock is not seen here, counts as gone when its files are older than this."""


class Owner(msgspec.Struct):
    """Who writes: what the lock file of a writer says to those who find it locked."""

    host: str
    pid: int
    forked: bool = False
    storage: str = "mapped"
    """How it stores its rows: mapped or staged."""


class Claim:
    """A writer's folder, and the lock that says its process is alive."""

    def __init__(self, run: Path, *, forked: bool = False) -> None:
        """Make a new writer's folder; the run's lock is held.

        Raises:
            OSError: the folder cannot be made.
        """
        self.run = run
        while True:
            self.name = new_writer_name()
            self.folder = run / SEGMENTS / self.name
            self.folder.mkdir()
            self._lock = FileLock(self.folder / WRITER_LOCK)
            try:
                if self._lock.acquire(PATIENCE_SECS):
                    break
            except FileNotFoundError:
                continue  # a compaction took the folder for a dead writer's
        owner = Owner(host=platform.node(), pid=os.getpid(), forked=forked, storage=choose_mode(self.folder))
        self._lock.write(msgspec.json.encode(owner))

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
    with _standing_lock(FileLock(run / SEGMENTS / RUN_LOCK, reentrant=True)):
        yield


@contextmanager
def sole_lock(run: Path) -> Iterator[None]:
    """Hold all locks of a run: nobody opens it, compacts it or tidies it up meanwhile. A compaction is waited for.

    Raises:
        FileNotFoundError: the run's folder is gone.
    """
    with _standing_lock(FileLock(run / SEGMENTS / COMPACTION_LOCK)), run_lock(run):
        yield


@contextmanager
def _standing_lock(lock: FileLock) -> Iterator[None]:
    """Hold a lock in `segments/`, which comes and goes."""
    while not lock.held:
        lock.path.parent.mkdir(exist_ok=True)
        try:
            lock.acquire()
        except FileNotFoundError:
            continue  # the last writer out has removed the folder meanwhile
    try:
        yield
    finally:
        lock.release()


def writer_names(run: Path) -> frozenset[str]:
    """Return the names of all writers whose folders are there."""
    return frozenset(entry.name for entry in (run / SEGMENTS).iterdir() if entry.is_dir())


def owners(run: Path) -> dict[str, Owner | None]:
    """Return the writers of a run that are alive; None where a lock file does not say who it is."""
    folder = run / SEGMENTS
    entries = sorted(folder.iterdir()) if folder.is_dir() else ()
    return {entry.name: _owner(entry) for entry in entries if is_locked(entry / WRITER_LOCK) or gives_sign(entry)}


def gives_sign(folder: Path) -> bool:
    """Tell whether a writer whose lock is not seen here lives: on another host, and its files are young."""
    owner = _owner(folder)
    if owner is None or owner.host == platform.node() or locks_reach(folder):
        return False
    with contextlib.suppress(FileNotFoundError):
        return time.time() - max(entry.stat().st_mtime for entry in folder.iterdir()) < SIGN_SECS
    return False  # removed meanwhile, and nobody removes what lives


def _owner(folder: Path) -> Owner | None:
    try:
        return msgspec.json.decode((folder / WRITER_LOCK).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None
