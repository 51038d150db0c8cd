"""How a process's part in a run ends on disk: sealed, said in `run.json`, compacted, and told in a last word."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from skald.durable import is_full, unlink
from skald.engine.claim import Claim, lock_of_run, run_lock
from skald.engine.lock import PATIENCE_SECS
from skald.engine.staged import FLUSH_SECS
from skald.engine.writer import Writer
from skald.errors import SkaldError, StorageError, unless_handlers
from skald.layout import is_run
from skald.notice import tell
from skald.record.capture import Capture
from skald.record.info import RunInfo, is_there, live_writers, read_info, settle, write_info, writing
from skald.record.logfile import LogFile
from skald.upkeep.latebar import late_bar
from skald.writing.ending import Ending
from skald.writing.losses import Losses
from skald.writing.refusals import check_identity

_TRY_AGAIN: Final = "hint: make room, then call close() again; it is tried once more when the interpreter ends"


class Recording(Protocol):
    """What a process keeps open of a run, as far as its end is concerned."""

    name: str
    run: Path | None
    writer_name: str
    started: dt.datetime | None
    forked: bool
    losses: Losses
    file: LogFile
    capture: Capture

    def saying(self, level: str, text: str) -> Sequence[Callable[[], None]]:
        """Return the steps of saying something, in the terminal and in console.log."""

    def warn(self, text: str) -> None:
        """Warn there."""


def put_end(session: Recording, writer: Writer, ending: Ending) -> RunInfo | None:
    """Seal what a writer wrote, and say how it ended; return what run.json holds now, None where nothing is said.

    Raises:
        StorageError: the disk is full, and rows wait; it may be tried again.
    """
    run = session.run
    fault = writer.seal()
    if run is not None and not is_there(run, session.started):
        session.warn(
            f"the run's folder was removed while it was written: {run}; "
            "if it was only moved, its rows are in it, and skald compact ends it"
        )
        run = None
    elif fault:
        raise _rows_wait(writer.segments.flusher.waiting_rows, fault)
    elif writer.claim and not writer.claim.folder.is_dir():
        session.warn(f"rows are lost: their folder was removed while they were written, {writer.claim.folder}")
    if writer.claim and session.forked:
        session.losses.save(writer.claim.folder)
    try:
        info = None if run is None or session.forked else _put_status(session, run, writer, ending)
    except unless_handlers(Exception) as error:
        if not (isinstance(error, OSError) and is_full(error)):  # else it is this process that is to say it
            _leave(session, writer)
        raise
    _leave(session, writer)  # NOTE: not where a Ctrl-C came: until it has said how it ended nobody is to miss it
    return info


def compact_run(session: Recording, run: Path) -> None:
    """Compact the run if this was its last writer; its rows are safe in the segments if that fails."""
    from skald.upkeep.compacting import compact

    try:
        with late_bar(f"compacting {session.name}") as advance:
            compact(run, last_out=True, progress=advance)
    except unless_handlers(OSError, SkaldError) as error:
        session.warn(f"not compacted, every row is in segments/: {error}; run: skald compact {run}")


def last_words(session: Recording, info: RunInfo | None) -> Sequence[Callable[[], None]]:
    """Return what says what was kept, and what was not, once the run has ended with this process; in steps."""
    if session.run is None or info is None or info.status == "running":
        return ()
    try:
        from skald.writing.lastword import last_word, was_last  # what reads metrics files is not needed before

        word = last_word(session.run, info)
        if was_last(session.run, info):
            return session.saying("SUCCESS", word)
    except unless_handlers(Exception) as error:  # told, and the run has ended, whatever can be said of it
        return session.saying("WARNING", f"run {session} {info.status}, more cannot be said of it: {error!r}")
    return ()


def amend_end(session: Recording, run: Path, ending: Ending) -> None:
    """Say in run.json that it has ended otherwise after all."""
    from skald.engine.snapshot import segment_files  # loaded by now

    _amend(run, session.writer_name, ending, session.started)
    if not segment_files(run):
        compact_run(session, run)  # the folder of the lock goes again


def abandon(claim: Claim, ending: Ending) -> None:
    """Say in run.json how a process ended that was interrupted as it opened the run, and let go of that."""
    lock = lock_of_run(claim.run)
    with contextlib.suppress(OSError, SkaldError):  # what remains is for the next who opens it
        try:
            # NOTE: not for ever, as a Ctrl-C may have come where a lock was to be released
            if is_run(claim.run) and lock.acquire(PATIENCE_SECS):
                _amend(claim.run, claim.name, ending)
        finally:
            lock.release()
            claim.release()


def _amend(run: Path, writer: str, ending: Ending, started: dt.datetime | None = None) -> None:
    with run_lock(run):
        info = read_info(run)
        check_identity(run, info, started)
        for each in info.sessions:
            if each.writer == writer:
                each.status, each.exception = ending
                each.ended = each.ended or dt.datetime.now(dt.UTC)
        settle(info, writing=writing(info, live_writers(run)))
        write_info(run, info)


def _put_status(session: Recording, run: Path, writer: Writer, ending: Ending) -> RunInfo:
    """Say how this process ended; wait for a full disk as long as for rows."""
    deadline, is_told = writer.segments.flusher.deadline or 0.0, False
    while True:
        try:
            return _write_status(session, run, writer, ending)
        except OSError as error:
            if not is_full(error):
                raise
            if time.monotonic() >= deadline:
                error.add_note(_TRY_AGAIN)
                raise
            if not is_told:
                tell(f"the end of the run waits for the disk: {error}")
            is_told = True
        time.sleep(FLUSH_SECS)


def _write_status(session: Recording, run: Path, writer: Writer, ending: Ending) -> RunInfo:
    """Say how this process ended; the run has ended with its last one, which is gone when the next one looks."""
    from skald.record.lossfile import enter_losses  # it is not needed before

    if session.file.source:
        session.file.source.catch_up()  # what is lost is counted then
    with run_lock(run):
        info, alive = read_info(run), live_writers(run)
        entered = enter_losses(run, info, {*alive} - {session.writer_name})
        lost = session.losses.lost
        for each in info.sessions:
            if each.writer == session.writer_name:
                each.status, each.exception = ending
                each.ended = dt.datetime.now(dt.UTC)
                each.refused, each.failed_values, each.rounded = lost.refused, lost.failed_values, lost.rounded
                each.lost_lines = session.file.lost
                each.rows = _written_rows(writer)
        settle(info, writing=writing(info, alive))
        write_info(run, info)
        for path in entered:
            unlink(path)
        _leave(session, writer)
    return info


def _leave(session: Recording, writer: Writer) -> None:
    session.capture.leave_folder()
    writer.release()


def _rows_wait(rows: int, fault: OSError) -> StorageError:
    error = StorageError(fault.errno, f"up to {rows:,} rows wait in memory, the disk does not take them: {fault}")
    error.add_note(_TRY_AGAIN)
    return error


def _written_rows(writer: Writer) -> int:
    from skald.engine.count import count_written  # what reads segments is not needed before

    return count_written(writer.claim.folder) if writer.claim else 0
