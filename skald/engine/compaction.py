"""Compaction: the segments of a run become one metrics file, and then go.

Invariant: at every instant each row is in exactly one place that counts: in a segment that the metrics file
does not cover, or in the metrics file.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from skald.durable import make_folder, remove, sync_folder, unlink
from skald.engine.claim import gives_sign, lock_of_compaction, lock_of_run, owners
from skald.engine.feeds import Surveyed, survey
from skald.engine.lock import PATIENCE_SECS, FileLock, holds_reentrant, is_locked
from skald.engine.rewrite import Plan, Progress, remove_other_format, rewrite
from skald.engine.segmentfile import is_sealed
from skald.engine.snapshot import SegmentFile, on_stored, segment_files, warn_damaged, writer_folders
from skald.engine.standing import forget_rewinds, read_rewinds
from skald.engine.stored import FILES, MetricsFormat, Stored, open_stored
from skald.errors import CorruptRunError, RunNotFoundError, SkaldError, StorageError, unless_handlers
from skald.layout import (
    COMPACTION_LOCK,
    CSV,
    CSV_DESCRIPTION,
    IDS,
    PARAMS,
    PARQUET,
    RUN_JSON,
    SEGMENTS,
    SYSTEM_LOCK_PREFIX,
    TEMPORARY_PREFIX,
    WRITER_LOCK,
    is_rewound_name,
    is_run,
    temporaries,
    temporary_for,
)  # fmt: skip

_MOST_DEAD: Final = 256
"""Dead writers compacted at a time: the lock of each is a descriptor."""


@dataclass(slots=True, kw_only=True)
class Compaction:
    """What a compaction did.

    Attributes:
        rows: rows that were taken out of segments.
        segments: segments that they came from.
        bytes_written: size of the new metrics file; 0 where none was written.
        seconds: how long it took.
        damaged: segments that could not be read; they are left where they are.
        damaged_rows: rows in readable segments that are damaged themselves, see `Rows`; they are gone.
        rewound_rows: rows that were moved out of the way, as a rewind had taken them back.
        file: the run's metrics file, None where it has none.
        complete: whether nothing is left in segments.
    """

    rows: int = 0
    segments: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    damaged: list[Path] = field(default_factory=list)
    damaged_rows: int = 0
    rewound_rows: int = 0
    file: Path | None = None
    complete: bool = True


class _Writers(NamedTuple):
    """The writers of a run, as a compaction finds them."""

    dead: dict[Path, FileLock]
    """Folders, and the locks that this process holds of them."""
    alive: list[Path]
    is_all: bool
    """Whether there are no more."""


def compact(
    run: Path | str,
    *,
    metrics_format: MetricsFormat | None = None,
    last_out: bool = False,
    progress: Progress | None = None,
) -> Compaction:
    """Put the segments of a run that will not change any more into its metrics file.

    These are all segments of writers that closed or died, and the sealed ones of those that live. A compaction
    of the run that is under way elsewhere is waited for.

    Args:
        run: the run's folder.
        metrics_format: what to write; None: what the run has, else parquet.
        last_out: do nothing while a writer lives: it will do it when it closes.
        progress: is told how many rows are written, and of how many.

    Raises:
        RunNotFoundError: there is no run.
        CorruptRunError: the run's metrics file cannot be read; nothing was changed.
        FormatVersionError: a newer Skald wrote the run.
        StorageError: the disk takes no more; every row is where it was.
    """
    run, done = Path(run), Compaction()
    started = time.perf_counter()
    if not is_run(run) and not (run / SEGMENTS).is_dir():
        raise RunNotFoundError(f"there is no run at {run}")
    try:
        with _compaction_lock(run, wanted=metrics_format) as lock:
            if lock:
                _compact(run, metrics_format, done, last_out=last_out, progress=_kept(lock, progress))
    except SkaldError:
        raise
    except unless_handlers(OSError) as error:
        raise StorageError(error.errno, f"cannot compact {run}: {error.strerror or error}") from error
    done.complete = not (run / SEGMENTS).exists()
    done.file = next((path for path in (run / name for name in FILES.values()) if path.exists()), None)
    done.seconds = time.perf_counter() - started
    return done


@contextmanager
def _compaction_lock(run: Path, *, wanted: MetricsFormat | None) -> Iterator[FileLock | None]:
    """Wait for the right to compact; yields None where there is nothing to compact."""
    lock = lock_of_compaction(run)
    try:
        while not lock.held:
            try:
                lock.acquire()
            except FileNotFoundError:
                others = (run / name for format_, name in FILES.items() if format_ != wanted)
                if wanted is None or not any(other.exists() for other in others):
                    yield None
                    return
                make_folder(run / SEGMENTS)
        yield lock
    finally:
        lock.release()
        # NOTE: network file systems keep what is removed while it is open, as this lock, under another name until then
        with contextlib.suppress(OSError):  # not empty: there are writers, or a compaction has made a lock anew
            (run / SEGMENTS).rmdir()


def _kept(lock: FileLock, progress: Progress | None) -> Progress:
    """Return what is told of the progress, and keeps the lock meanwhile."""

    def told(rows: int, of: int) -> None:
        lock.keep()
        if progress:
            progress(rows, of)

    return told


def _compact(
    run: Path, wanted: MetricsFormat | None, done: Compaction, *, last_out: bool, progress: Progress | None
) -> None:
    _remove_rubbish(run)
    finished: set[Path] = set()
    while True:
        with _seized(run, finished) as writers:
            if last_out and writers.alive:
                return
            _compact_writers(run, wanted, writers, done, progress)
            finished.update(writers.dead)
        if writers.is_all:
            break
    _forget_rewinds(run)
    if not writer_folders(run):
        _empty_segments_folder(run)


@contextmanager
def _seized(run: Path, finished: Collection[Path]) -> Iterator[_Writers]:
    """Tell dead writers from living ones, and hold the locks of the dead.

    The run's lock keeps a writer that is just being opened, whose folder is there and not yet locked, from
    looking dead.
    """
    writers = _Writers({}, [], is_all=True)
    try:
        with lock_of_run(run):
            for folder in writer_folders(run):
                lock = FileLock(folder / WRITER_LOCK)
                if folder in finished:
                    continue
                if len(writers.dead) == _MOST_DEAD:
                    writers = writers._replace(is_all=False)
                    break
                if _is_dead(lock):
                    writers.dead[folder] = lock
                else:
                    writers.alive.append(folder)
        yield writers
    finally:
        for lock in writers.dead.values():
            lock.release()


def _is_dead(lock: FileLock) -> bool:
    """Take the lock of a dead writer, with others, so that to a reader its writer still is dead."""
    if os.name != "nt" and is_locked(lock.path):  # nobody but its writer holds it alone
        return False
    return not gives_sign(lock.path.parent) and lock.acquire(PATIENCE_SECS, shared=True)


def _compact_writers(
    run: Path, wanted: MetricsFormat | None, writers: _Writers, done: Compaction, progress: Progress | None
) -> None:
    """Take in what is final of some writers, and remove it."""
    files = _final_files(run, writers)
    stored = open_stored(run)
    with stored or contextlib.nullcontext():
        format_ = wanted or (stored.format if stored else "parquet")
        if stored:
            remove_other_format(run, keep=stored.format)
        _remove_unnamed(run, stored)
        new = [file for file in files if not stored or not stored.coverage.covers(file.writer, file.number)]
        segments, damaged = _survey(new)
        rows = sum(segment.rows for segment in segments)
        rewinds = read_rewinds(run)  # NOTE: after the segments were listed, so rows logged after one come after it
        is_shared = not owners(run).keys() <= {folder.name for folder in writers.dead}
        is_worn = stored and (stored.format != format_ or (stored.coverage.is_patchy() and not is_shared))
        if rows or is_worn or on_stored(rewinds, stored):
            folders = writer_folders(run)
            plan = Plan(
                run=run,
                stored=stored,
                segments=segments,
                damaged=damaged,
                writers=frozenset(folder.name for folder in folders),
                alive=frozenset(folder.name for folder in folders if folder not in writers.dead),
                format=format_,
                rewinds=rewinds,
                is_shared=is_shared,
            )
            left_out = rewrite(plan, progress=progress)
            done.damaged_rows += left_out.damaged
            done.rewound_rows += left_out.taken
            done.rows += rows - left_out.damaged
            done.segments += sum(segment.rows > 0 for segment in segments)
            done.bytes_written = (run / FILES[format_]).stat().st_size
    done.damaged = sorted({*done.damaged, *(file.path for file in damaged)})
    if len(new) < len(files):
        sync_folder(run)  # DURABILITY: the compaction that covered them may have died before it did this
    for file in files:
        if file not in damaged:  # what is left of them is covered, or has no rows
            unlink(file.path)
    for folder, lock in writers.dead.items():
        _remove_writer(folder, lock)


def _final_files(run: Path, writers: _Writers) -> list[SegmentFile]:
    """Return the segments that will never change again."""
    living = [file for file in segment_files(run, writers.alive) if is_sealed(file.path)]
    return sorted([*segment_files(run, writers.dead), *living])


def _survey(files: Iterable[SegmentFile]) -> tuple[list[Surveyed], list[SegmentFile]]:
    """Look segments over; those that cannot be read are warned of, and returned apart."""
    segments, damaged = [], []
    for file in files:
        try:
            segments.append(survey(file))
        except CorruptRunError as error:
            warn_damaged(error)
            damaged.append(file)
    return segments, damaged


def _remove_writer(folder: Path, lock: FileLock) -> None:
    """Remove a dead writer's folder, unless a damaged segment or something foreign is left in it."""
    for path in list(folder.iterdir()):
        if path.name.startswith(TEMPORARY_PREFIX):
            remove(path)
    if [path.name for path in folder.iterdir()] == [WRITER_LOCK]:
        lock.remove()  # DURABILITY: after the last segment: what has no lock has no rows
        folder.rmdir()


def _forget_rewinds(run: Path) -> None:
    """Remove from run.json the rewinds that are compacted."""
    if not read_rewinds(run).standing:
        return
    with lock_of_run(run):
        left = [(file.writer, file.number) for file in segment_files(run)]
        stored = open_stored(run)
        with stored or contextlib.nullcontext():
            covered = stored.coverage.rewinds if stored else read_rewinds(run).made
            forget_rewinds(run, applied=covered, left=left)


def _remove_unnamed(run: Path, stored: Stored | None) -> None:
    """Remove the rows that a compaction put aside which then did not come to its end."""
    named = stored.coverage.rewound if stored else ()
    for path in list(run.iterdir()):
        if is_rewound_name(path.name) and path.name not in named:
            unlink(path)


def _remove_rubbish(run: Path) -> None:
    """Remove metrics files that were never finished."""
    for path in list(run.iterdir()):
        name = temporary_for(path.name)
        if name in (PARQUET, CSV, CSV_DESCRIPTION) or (name and is_rewound_name(name)):
            unlink(path)


def _empty_segments_folder(run: Path) -> None:
    """Remove what is left in `segments/`, unless a writer has come meanwhile."""
    folder = run / SEGMENTS
    lock = lock_of_run(run)
    is_interrupting = holds_reentrant()  # a signal handler's, and the call below it may be writing run.json
    with lock:
        if writer_folders(run):
            return
        for path in () if is_interrupting else (*temporaries(run / RUN_JSON), *temporaries(run / PARAMS)):
            unlink(path)  # of writers that were killed
        for path in list(folder.iterdir()):
            if path.name == IDS or path.name.startswith((TEMPORARY_PREFIX, SYSTEM_LOCK_PREFIX)):
                unlink(path)
        unlink(folder / COMPACTION_LOCK)
        lock.remove()
