"""Claims: a writer's own folder in a run, held by a lock that the system frees when the process dies."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from skald.engine.lock import PATIENCE_SECS, FileLock, is_locked
from skald.engine.storage import choose_mode
from skald.layout import RUN_LOCK, SEGMENTS, WRITER_LOCK, new_writer_name


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
        self._lock.release()


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Hold the run's lock, for what must not happen in two processes at once: opening, new ids, tidying up.

    Raises:
        FileNotFoundError: the run's folder is gone.
    """
    lock = FileLock(run / SEGMENTS / RUN_LOCK, reentrant=True)
    while not lock.held:
        (run / SEGMENTS).mkdir(exist_ok=True)
        try:
            lock.acquire()
        except FileNotFoundError:
            continue  # the last writer out has removed segments/ meanwhile
    try:
        yield
    finally:
        lock.release()


def owners(run: Path) -> dict[str, Owner | None]:
    """Return the writers of a run that are alive; None where a lock file does not say who it is."""
    alive: dict[str, Owner | None] = {}
    folder = run / SEGMENTS
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        path = entry / WRITER_LOCK
        if is_locked(path):
            try:
                alive[entry.name] = msgspec.json.decode(path.read_bytes(), type=Owner)
            except (OSError, msgspec.DecodeError):
                alive[entry.name] = None
    return alive
