"""A session: what one process keeps open of one run, shared by the loggers that write it.

Invariant: status, compaction and run.json belong to processes that opened the run, never to a forked child,
which writes rows and nothing else.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
import platform
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skald.amounts import plural
from skald.engine.claim import Claim, run_lock
from skald.engine.functions import Namespace
from skald.engine.lock import PATIENCE_SECS, holds_reentrant, is_held_here
from skald.engine.open_segments import storage_error
from skald.engine.pending import Pending
from skald.engine.registry import merge_kinds
from skald.engine.writer import Writer
from skald.errors import (
    RunNotFoundError,
    SkaldError,
    StorageError,
    folder_gone,
    is_fault,
    is_of_signal,
    logger_closed,
    unless_handlers,
)
from skald.layout import (
    SEGMENTS,
    console_name,
    is_run,
    system_lock_name,
)
from skald.record.capture import Capture
from skald.record.console import note, show
from skald.record.environment import Gathering
from skald.record.info import RunInfo, is_there, read_info
from skald.record.logfile import LogFile
from skald.record.params import Params
from skald.schema import Id
from skald.writing import process
from skald.writing.closing import amend_end, compact_run, last_words, put_end
from skald.writing.ending import Ending, Word, ending, undisturbed
from skald.writing.inflight import InFlight
from skald.writing.losses import Losses
from skald.writing.opening import Description, open_run
from skald.writing.refusals import check_identity
from skald.writing.scratch import end_scratch, open_scratch

if TYPE_CHECKING:
    from skald.engine.newest import Newest
    from skald.record.artifacts import Artifacts
    from skald.writing.system.sampler import Sampler


class Session:
    """One process's recording of a run; with no folder (disabled) nothing is kept."""

    def __init__(
        self,
        name: str,
        run: Path | None,
        claim: Claim | None,
        *,
        joined: bool,
        errors: str,
        ended: frozenset[str] = frozenset(),
        started: dt.datetime | None = None,
    ) -> None:
        """Begin to record.

        Args:
            name: of the run.
            run: the run's folder.
            claim: the writer's place in it.
            joined: whether another process made the run and is writing it.
            errors: what happens to bad input, `raise` or `warn`.
            ended: the writers that had closed or died before.
            started: when the run was begun, by which it is known again.
        """
        self.ended, self.started = ended, started
        self.name, self.run, self.errors, self.joined = name, run, errors, joined
        self.namespace, self.losses = Namespace(), Losses(self.warn, self._loss_folder)
        self._renew()
        self.closed = self.is_ended = False
        self._left = Ending()
        self._last_steps: list[Callable[[], None]] = []
        """What is left to do once the run has ended on disk."""
        self._unclosed: Ending | None = None
        """What the interpreter would say of the run that ends by the error of `close` alone."""
        self.forked = False
        self.context: ContextVar[Mapping[str, Id | None] | None] = ContextVar("skald_ids", default=None)
        self.contextual = False
        self.calls: weakref.WeakSet[Any] = weakref.WeakSet()
        self.params = Params(run, self.warn, started=started)
        self._console = run / console_name(claim.name if joined and claim else None) if run else None
        self.file = LogFile(self._console, self._is_there)
        self.capture = Capture(self.file, claim.folder / self._console.name if claim and self._console else None)
        self._writer: Writer | None = Writer(claim, self.namespace)
        self.writer_name = claim.name if claim else ""
        self._scratch: Path | None = None
        self._artifacts: Artifacts | None = None
        self._rested = False
        """Whether the writer is not the first one of this session."""
        self.environment: Gathering | None = None
        self.constant: Mapping[str, Id | None] = {}
        """The ids of `Logger(ids=)`."""
        self._system: Sampler | None = None
        process.enter(self)

    def writer(self) -> Writer:
        """Return the writer of this process; a forked child, and one that rested, get another at the next call.

        Raises:
            LoggerClosedError: the session is closed.
            RunNotFoundError: another run is in the place of this one, in a forked child or after a rest.
            StorageError: the run's folder is gone.
        """
        writer = self._writer
        if writer is not None and not self.closed:
            return writer
        with self.lock:
            self.check_open()
            if self._writer is None and self.forked:
                writer = Writer(self._claim_in_child(), self.namespace)
                if self._writer is None:  # else a signal handler made one meanwhile
                    self._artifacts, self._writer = None, writer
                    process.end_with_child(self)
            return self._writer or self._join_again()

    def artifacts(self) -> Artifacts:
        """Return what the writer of this process puts under `artifacts/`; loaded at its first use."""
        from skald.record.artifacts import Artifacts

        with self.lock:
            writer = self.writer()
            if self._artifacts is None:
                joined = self.joined or self.forked or self._rested
                self._artifacts = Artifacts(self.run, writer.claim, joined=joined)
            return self._artifacts

    def check_open(self) -> None:
        """Raise LoggerClosedError if the session is closed."""
        if self.closed:
            mode = "join" if self.joined or self.forked else "resume"  # which is refused while others write
            raise logger_closed(self.name, mode if self.run else None)

    @contextlib.contextmanager
    def storing(self) -> Iterator[Artifacts]:
        """Put files into the run meanwhile: `close` in another thread waits for that.

        Raises:
            LoggerClosedError, StorageError: as `writer`.
        """
        with self._in_flight:
            self.writer()
            yield self.artifacts()

    def _claim_in_child(self) -> Claim | None:
        if self.run is None:
            return None
        try:
            with run_lock(self.run):
                check_identity(self.run, read_info(self.run), self.started)
                return Claim(self.run, forked=True)
        except SkaldError:
            raise
        except OSError as error:
            raise folder_gone(self.run) from error

    def _join_again(self) -> Writer:
        """Begin another writer after a rest."""
        if self.run is None:
            self._writer = Writer(None, self.namespace)
            return self._writer
        if not is_run(self.run):
            raise RunNotFoundError(f"the run of this copy of a logger is not there: {self.run}")
        description = Description(daemon=process.is_daemon(), expected=self.started)
        opened = open_run(self.run, "join", description, before=self.writer_name)
        writer = Writer(opened.claim, self.namespace)
        self._writer, self.writer_name, self.ended = writer, opened.claim.name, opened.ended
        self._artifacts, self._rested = None, True
        self.capture = Capture(self.file, opened.claim.folder / Path(self.file.name).name)
        if opened.was_finished:
            self.warn_finished()
        return writer

    def __str__(self) -> str:
        """Return the run's name."""
        return repr(self.name)

    def check_kinds(self, ids: Mapping[str, Id | None]) -> None:
        """Raise IdTypeError if an id has another kind in this run, as far as this process knows."""
        if not self.closed:
            merge_kinds(self.writer().registry.kinds, {name: value for name, value in ids.items() if value is not None})

    @contextlib.contextmanager
    def contextualize(self, ids: Mapping[str, Id | None]) -> Iterator[None]:
        """Give ids to the calls inside, in this thread or task; from the first time on, calls look for them."""
        with self.lock:
            if not self.contextual:
                self.contextual = True
                for calls in list(self.calls):
                    calls.switch()
        token = self.context.set({**(self.context.get() or {}), **ids})
        try:
            yield
        finally:
            self.context.reset(token)

    def _is_there(self) -> bool:
        return self.run is not None and is_there(self.run, self.started)

    def lock_of_writer(self) -> threading.RLock | None:
        """Return the lock that is held by a call which makes segments, if there is a writer."""
        writer = self._writer
        return writer.lock if writer else None

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        self._writer = None
        self.forked = True
        self.environment = self._system = None
        self.losses.after_fork()
        self._renew()
        self.namespace.empty()

    def _renew(self) -> None:
        """Take up what other threads of a parent may hold or be at."""
        self.lock = threading.RLock()  # NOTE: whoever holds it must not wait for a writer's lock
        self._ending, self._is_closing = threading.RLock(), False
        self._in_flight = InFlight()
        self.pending = Pending(self.losses.note_rounded, self.losses.note_failed)

    def _loss_folder(self) -> Path | None:
        claim = self.writer().claim
        return claim.folder if claim else None

    def newest(self) -> dict[str, Newest]:
        """Return the newest value of each metric that was logged lately."""
        return self._writer.newest() if self._writer else {}

    def log_system(self, every: float) -> None:
        """Log system metrics from now on, until the session ends."""
        self.writer()  # raises where the session is closed
        if self.run is None:
            return
        from skald.writing.system.sampler import Sampler

        if self._system:
            self._system.stop()
        lock = self.run / SEGMENTS / system_lock_name(platform.node())
        self._system = Sampler(self._append_system, self.warn, run=self.run, lock=lock, every=every)

    def _append_system(self, rows: list[tuple[str, float]], ids: Mapping[str, str], time_ns: int) -> None:
        constant = {name: value for name, value in self.constant.items() if value is not None}
        self.writer().append(rows, {**constant, **ids}, time_ns)

    def warn(self, text: str) -> None:
        """Warn in the terminal, as from the line that called Skald, and in console.log."""
        self.say("WARNING", text)

    def warn_finished(self) -> None:
        """Warn of a run that was finished before it was joined."""
        self.warn(f"run {self} had finished before it was joined; what is logged now goes on with it")

    def warn_unclosed(self, error: BaseException) -> None:
        """Warn, where nobody can call `close` again, that it did not come to its end."""
        kept = "what had reached the disk is in segments/, what waited in memory is lost"
        if self.file.lost:
            kept = f"{kept}, and of the console {plural(self.file.lost, 'line')}"
        self.warn(f"run {self} was not closed well, {kept}: {error!r}")

    def say(self, level: str, text: str) -> None:
        """Say something in the terminal, as from the line that called Skald, and in console.log."""
        for step in self.saying(level, text):
            step()

    def saying(self, level: str, text: str, file: LogFile | None = None) -> tuple[Callable[[], None], ...]:
        """Return the steps of saying something, each to be done once; where no file is given in that of the console."""
        chosen, said = file or self.file, f"skald: {text}"
        ids = {name: value for name, value in self.constant.items() if value is not None}
        return lambda: note(chosen, level, said), lambda: show(chosen, level, said, ids)

    def folder(self) -> Path:
        """Return the run's folder; of a disabled run one that is there until the interpreter ends."""
        if self.run is not None:
            return self.run
        with self.lock:
            if self._scratch is None:
                self._scratch = open_scratch(self.name)
                process.close_first()  # it says there how it ended, before that is removed
                if self.is_ended:
                    end_scratch(self._scratch, *self._left)
            return self._scratch

    def sync(self) -> None:
        """Put everything on the disk itself.

        Raises:
            StorageError: the disk takes nothing.
        """
        self.pending.finish()
        try:
            self.writer().segments.sync()
        except unless_handlers(StorageError, ValueError):
            self.check_open()  # a signal handler has closed it meanwhile, or a thread
            raise
        try:
            if self._artifacts:
                self._artifacts.sync()
            if self._console:
                with contextlib.suppress(FileNotFoundError), self._console.open("rb+") as file:
                    os.fsync(file.fileno())
        except OSError as error:
            if not is_fault(error):
                raise
            raise storage_error(error) from error

    def close(self, status: Word, exception: str | None = None) -> None:
        """End the session: seal, say how it ended, and by which exception, compact.

        A Ctrl-C amid it is raised once that is done, or not compacted. Where an earlier call was interrupted all the
        same, what it said of a bad end stands; where the disk was full, its error is no bad end.
        """
        said = Ending(status, exception)
        if self._left.status == "finished" and not self.is_ended and said != self._unclosed:
            self._left = said
        if self._is_interrupting():
            if not self._ending.acquire(timeout=PATIENCE_SECS):
                return  # another thread is at it, and waits for the call that this one interrupted
            self._ending.release()
        with self._ending:
            if self.is_ended or self._is_closing:  # NOTE: by the call that a signal handler has interrupted
                return
            self._is_closing = True
            try:
                came = None if self._last_steps else self._end()  # else an earlier call was interrupted there
                for step in self._last_steps.copy():
                    came = undisturbed(step)[1] or came
                    del self._last_steps[0]
                self.is_ended = True
                process.leave(self)
            finally:
                self._is_closing = False
        if came:
            raise came

    def _is_interrupting(self) -> bool:
        """Tell whether this is a signal handler's call amid one that others may wait for."""
        writer = self._writer
        return holds_reentrant() or self._in_flight.is_here or (writer is not None and is_held_here(writer.lock))

    def _end(self) -> BaseException | None:
        """End the run on disk; return what came amid that."""
        try:
            info, came = undisturbed(self._stop)
        except StorageError as error:
            self._unclosed = ending(error)
            raise
        try:
            if info:
                compact_run(self, self.folder())
        except BaseException as error:  # of somebody who does not want to wait
            if not is_of_signal(error):
                raise
            came = error
        words, stopped = undisturbed(lambda: last_words(self, info))
        self._last_steps = [*words, self._part]
        return stopped or came

    def _stop(self) -> RunInfo | None:
        """Take no more, and say how it ended."""
        if self._system:
            self._system.stop()
        self.pending.stop()
        # NOTE: a signal handler's call may be waited for by whom it waits for
        patience_secs = PATIENCE_SECS if self._is_interrupting() else math.inf
        if self.environment:
            self.environment.stop(patience_secs)
        with self.lock:
            self.closed = True
        self._in_flight.wait(patience_secs)
        self.namespace.empty()
        return put_end(self, self._writer, self._left) if self._writer else None

    def _part(self) -> None:
        """Let go of the console; of a disabled run, say to its readers how it ended.

        Not so in a forked child, whose last words may be the traceback of what ends it.
        """
        if self.forked:
            return
        self.file.close()
        if self._scratch:
            end_scratch(self._scratch, *self._left)

    def amend(self, ending: Ending, trace: str = "") -> None:
        """Say, after it was closed, that the process has ended badly after all; a word that is no good one stands."""
        if self.run is None or self.forked or self._left.exception or sys.is_finalizing():
            return
        word = ending.status if self._left.status == "finished" else self._left.status
        left = Ending(word, ending.exception)
        try:
            amend_end(self, self.run, left)
        except (OSError, SkaldError) as error:  # the run may be gone by now
            self.warn(f"run {self} {word} after it was closed, which could not be noted: {error}")
        else:
            file = LogFile(self._console, self._is_there)
            for step in self.saying("WARNING", f"run {self} {word} after it was closed: {ending.exception}", file):
                step()
            file.append(trace)
            file.close()
        self._left = left  # NOTE: last: where a Ctrl-C comes before, it is done again

    def rest(self) -> None:
        """Close the writer of a logger that nobody holds any more, as at the end of the run; a call begins another."""
        with self._ending:
            writer = self._writer
            if self.closed or writer is None or self._system:
                return
            self.pending.finish()
            with self.lock:
                self._writer = None
            self._in_flight.wait()
            self.namespace.empty()
            try:
                info = put_end(self, writer, process.ending_so_far())
                if info:
                    compact_run(self, self.folder())
                for step in last_words(self, info):
                    step()
            except BaseException:
                self._writer, self.closed = writer, True  # it is tried again when the interpreter ends
                raise
