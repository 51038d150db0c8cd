"""A session: what one process keeps open of one run, shared by the loggers that write it.

Invariant: status, compaction and run.json belong to processes that opened the run, never to a forked child,
which writes rows and nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import os
import threading
import weakref
from collections import Counter
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from skald.claim import Claim, owners, run_lock
from skald.console import format_line
from skald.errors import LoggerClosedError, SkaldError, StorageError
from skald.functions import Namespace
from skald.info import read_info, write_info
from skald.layout import PARAMS, RUN_LOCK, SEGMENTS, console_name
from skald.logfile import LogFile
from skald.params import Params
from skald.pending import Pending
from skald.schema import Id
from skald.writer import Writer

if TYPE_CHECKING:
    from skald.info import Status

_sessions: Final[dict[Path | int, Session]] = {}
"""The open sessions of this process, by run."""


class Session:
    """One process's recording of a run; with no folder (disabled) nothing is kept."""

    def __init__(self, run: Path | None, claim: Claim | None, *, joined: bool, errors: str) -> None:
        """Begin to record.

        Args:
            run: the run's folder.
            claim: the writer's place in it.
            joined: whether another process made the run and is writing it.
            errors: what happens to bad input, `raise` or `warn`.
        """
        self.run, self.errors = run, errors
        self.namespace = Namespace()
        self.lock = threading.RLock()
        self.closed = False
        self.forked = False
        self.refused: Counter[str] = Counter()
        self.rounded = 0
        self.context: ContextVar[Mapping[str, Id | None] | None] = ContextVar("skald_ids", default=None)
        self.contextual = False
        self.calls: weakref.WeakSet[Any] = weakref.WeakSet()
        self.params = Params(run, run / SEGMENTS / RUN_LOCK if run else None)
        self.file = LogFile(run / console_name(claim.name if joined and claim else None) if run else None)
        self.pending = Pending(self._device_failed)
        self._writer: Writer | None = Writer(claim, self.namespace)
        self.name = claim.name if claim else ""
        _sessions[run or id(self)] = self

    def writer(self) -> Writer:
        """Return the writer of this process; a forked child gets its own at its first call.

        Raises:
            LoggerClosedError: the session is closed.
            StorageError: the run's folder is gone.
        """
        writer = self._writer
        if writer is not None and not self.closed:
            return writer
        with self.lock:
            if self.closed:
                raise LoggerClosedError(f"the logger of {self} is closed")
            if self._writer is None:
                self._writer = Writer(self._claim_in_child(), self.namespace)
            return self._writer

    def _claim_in_child(self) -> Claim | None:
        if self.run is None:
            return None
        try:
            with run_lock(self.run):
                return Claim(self.run, forked=True)
        except OSError as error:
            raise StorageError(error.errno, f"the run's folder is gone: {self.run}") from error

    def __str__(self) -> str:
        """Return the run's name."""
        return repr(self.run.name) if self.run else "a disabled run"

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        writer, self._writer = self._writer, None
        self.forked = True
        self.lock = threading.RLock()
        self.pending = Pending(self._device_failed)
        self.namespace.empty()
        if writer is not None:
            writer.abandon()

    def refuse(self, error: SkaldError) -> None:
        """Count bad input that was refused, and warn of it once a kind."""
        kind = type(error).__name__
        self.refused[kind] += 1
        if self.refused[kind] == 1:
            self.warn(f"refused, and so will be all of its kind: {error}")

    def note_rounded(self, name: str) -> None:
        """Count a number that is no float64, and warn of the first."""
        self.rounded += 1
        if self.rounded == 1:
            self.warn(f"metric {name!r} got an int that is no float64; it, and others like it, are logged rounded")

    def _device_failed(self, name: str, error: Exception) -> None:
        self.refused["DeviceError"] += 1
        if self.refused["DeviceError"] == 1:
            self.warn(f"the device did not produce a value of metric {name!r}: {error}")

    def warn(self, text: str) -> None:
        """Warn in the terminal and in console.log."""
        from loguru import logger

        logger.opt(depth=2).warning("skald: {}", text)
        now = dt.datetime.now().astimezone()
        self.file.append(format_line(now, "WARNING", {}, f"skald: {text}"))

    def sync(self) -> None:
        """Put everything on the disk itself."""
        self.pending.finish()
        self.writer().sync()
        if self.run:
            for name in (console_name(), PARAMS):
                with contextlib.suppress(FileNotFoundError), (self.run / name).open("rb+") as file:
                    os.fsync(file.fileno())

    def close(self, status: Status) -> None:
        """End the session: seal, say how it ended, compact."""
        with self.lock:
            if self.closed:
                return
            self.pending.finish()
            self.closed = True
            self.namespace.empty()
            _sessions.pop(self.run or id(self), None)
            fault = self._end(status)
            self.file.close()
        if fault:
            raise StorageError(fault.errno, f"some rows did not reach the disk: {fault}")

    def _end(self, status: Status) -> OSError | None:
        writer, run = self._writer, self.run
        if writer is None:
            return None
        fault = writer.seal()
        if run is not None and not self.forked and run.exists():
            self._write_status(run, status)
        writer.release()
        if run is not None and not self.forked and run.exists() and not fault:
            self._compact(run)
        return fault

    def _write_status(self, run: Path, status: Status) -> None:
        """Say how this session ended; the run has ended with its last writer."""
        now = dt.datetime.now(dt.UTC)
        with run_lock(run):
            info = read_info(run)
            for session in info.sessions:
                if session.writer == self.name:
                    session.status, session.ended = status, now
            if set(owners(run)) <= {self.name}:
                info.status, info.ended = status, now
            write_info(run, info)

    def _compact(self, run: Path) -> None:
        """Compact the run if this was its last writer; its rows are safe in the segments if that fails."""
        from skald.compaction import compact

        if owners(run):
            return  # the last one out does it
        try:
            compact(run, metrics_format=read_info(run).metrics_format)
        except (OSError, SkaldError) as error:
            self.warn(f"not compacted, every row is in segments/: {error}; run: skald compact {run}")


def open_session(run: Path) -> Session | None:
    """Return the open session of this process on a run, if it has one."""
    return _sessions.get(run)


def _after_fork() -> None:
    for session in list(_sessions.values()):
        session.after_fork()


def _at_exit() -> None:
    for session in list(_sessions.values()):
        session.close("finished")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
