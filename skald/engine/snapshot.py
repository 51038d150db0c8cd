"""One state of a run while others write, compact and remove: its segments, and the metrics file behind them.

Invariant: every row that was there when a snapshot began is in it once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from skald.amounts import plural
from skald.engine.closed import ClosedRun, closed_run
from skald.engine.registry import read_kinds
from skald.engine.rewind import Rewind, Rewinds
from skald.engine.rows import Rows
from skald.engine.segmentfile import read_header
from skald.engine.standing import logged_rows, read_rewinds
from skald.engine.stored import FILES, Stored, open_stored, stored_kinds
from skald.errors import CorruptRunError, RunNotFoundError
from skald.layout import SEGMENTS, segment_number
from skald.notice import warn
from skald.schema import Kinds, unify, widen

T = TypeVar("T")


class SegmentFile(NamedTuple):
    """A segment's file; the order of these is the log order where times are equal."""

    number: int
    writer: str
    path: Path


class Snapshot(NamedTuple, Generic[T]):
    """A metrics file, opened (None: there is none), and what was copied of the segments that it lacks.

    Attributes:
        stored: the file.
        segments: the others, with what was copied of each.
        rewinds: those that concern the rows of the file.
        made: how many rewinds the run had.
    """

    stored: Stored | None
    segments: list[tuple[SegmentFile, T]]
    rewinds: tuple[Rewind, ...] = ()
    made: int = 0


def writer_folders(run: Path) -> list[Path]:
    """Return the folders of a run's writers, the oldest first."""
    try:
        with os.scandir(run / SEGMENTS) as entries:
            return sorted(run / SEGMENTS / entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


def segment_files(run: Path, writers: Iterable[Path] | None = None) -> list[SegmentFile]:
    """Return the segments of a run, or of some of its writers, by number."""
    found = []
    for folder in writer_folders(run) if writers is None else writers:
        try:
            names = [path.name for path in folder.iterdir()]
        except FileNotFoundError:  # compacted just now
            continue
        numbered = ((segment_number(name), name) for name in names)
        found += [SegmentFile(number, folder.name, folder / name) for number, name in numbered if number is not None]
    return sorted(found)


def take_snapshot(run: Path, copy: Callable[[SegmentFile, Sequence[Rewind]], T]) -> Snapshot[T]:
    """Copy what is in the segments, and open the metrics file; the caller closes it.

    A segment that cannot be read is left out with a warning, and so are damaged rows where `copy` returns Rows.

    Args:
        run: the run's folder.
        copy: returns what is wanted of a segment, to which these rewinds apply; it is called for all segments, also
            those that the file turns out to hold.

    Raises:
        RunNotFoundError: the run's folder is gone.
        CorruptRunError: the metrics file cannot be read.
        FormatVersionError: a newer Skald wrote a file.
    """
    return of_closed(closed_run(run)) or _of_open(run, copy)


def of_closed(closed: ClosedRun | None) -> Snapshot[Any] | None:
    """Open the metrics file of a run that was closed; None where it was not, or another file has come since."""
    stored = closed.open() if closed else None
    return Snapshot(stored, [], on_stored(closed.rewinds, stored), closed.rewinds.made) if closed and stored else None


def _of_open(run: Path, copy: Callable[[SegmentFile, Sequence[Rewind]], T]) -> Snapshot[T]:
    if not run.is_dir():
        raise RunNotFoundError(f"there is no run at {run} any more")
    while True:
        rewinds = read_rewinds(run)
        copied: dict[SegmentFile, T] = {}
        damaged: dict[SegmentFile, CorruptRunError] = {}
        for file in segment_files(run):
            try:
                copied[file] = copy(file, rewinds.on_segment(file.writer, file.number))
            except FileNotFoundError:  # compacted just now, so it is in the file that is opened below
                continue
            except CorruptRunError as error:
                damaged[file] = error
        stored = open_stored(run)
        left = [
            file for file in (*copied, *damaged) if not stored or not stored.coverage.covers(file.writer, file.number)
        ]
        # NOTE: gone and not covered: two compactions have passed, and the second no longer names its writer. A rewind
        # that came meanwhile may have been followed by rows in the segments copied last.
        if not left or (all(file.path.exists() for file in left) and read_rewinds(run).made == rewinds.made):
            if stored is None and not left:
                _warn_if_missing(run)
            segments = [(file, copied[file]) for file in left if file in copied]
            _warn_left_out([damaged[file] for file in damaged.keys() & left], segments)
            return Snapshot(stored, segments, on_stored(rewinds, stored), rewinds.made)
        if stored:
            stored.close()


def missing_rows(run: Path) -> int:
    """Return how many rows at least were in a metrics file that somebody removed; 0 where there is one, or was none.

    NOTE: the folder of segments goes after the file has come, so it is looked for first.
    """
    is_open = (run / SEGMENTS).exists()
    if is_open or any((run / name).exists() for name in FILES.values()):
        return 0
    return logged_rows(run)


def on_stored(rewinds: Rewinds, stored: Stored | None) -> tuple[Rewind, ...]:
    """Return the rewinds that concern the rows of a metrics file."""
    return rewinds.on_stored(stored.coverage.rewinds) if stored else ()


def join_kinds(run: Path, parts: Iterable[Kinds]) -> tuple[Kinds, list[str]]:
    """Join the kinds of ids from several places, in order of first appearance.

    Args:
        run: whose `ids.json` comes behind the first part; what stands there alone is an id of artifacts.
        parts: the kinds in the metrics file, then those in the segments.

    Returns:
        the kinds, and the ids that are only read as strings because places disagree.
    """
    stored, *others = parts
    of_rows = stored.keys() | {name for kinds in others for name in kinds}
    joined: Kinds = {}
    disagreed = []
    for kinds in (stored, registered_kinds(run), *others):
        for name, kind in kinds.items():
            if name not in of_rows:
                continue
            known = joined.get(name, kind)
            if widen(known, kind) is None and name not in disagreed:
                disagreed.append(name)
            joined[name] = unify(known, kind)
    return joined, disagreed


def table_kinds(run: Path, closed: ClosedRun | None) -> tuple[Kinds, list[str]]:
    """Return the kinds of the ids in a run's table now, and those that are only read as strings, see `join_kinds`.

    Args:
        run: the run's folder.
        closed: what it holds, if it is closed.

    Raises:
        CorruptRunError: the metrics file cannot be read.
        FormatVersionError: a newer Skald wrote a file.
    """
    if closed:
        return closed.stored.kinds, []
    headers = []
    for file in segment_files(run):
        try:
            headers.append(read_header(file.path).kinds)
        except (FileNotFoundError, CorruptRunError):  # it is in the file opened below, or warned of by `take_snapshot`
            continue
    return join_kinds(run, [stored_kinds(run), *headers])


def registered_kinds(run: Path) -> Kinds:
    """Return the kinds in `segments/ids.json`; none where it is missing or damaged, as each segment repeats its own."""
    try:
        return read_kinds(run)
    except CorruptRunError:
        return {}


def _warn_if_missing(run: Path) -> None:
    if missing_rows(run):
        warn(_missing(run))


def _warn_left_out(damaged: Iterable[CorruptRunError], segments: Iterable[tuple[SegmentFile, object]]) -> None:
    for error in damaged:
        warn_damaged(error)
    for file, part in segments:
        if isinstance(part, Rows):
            warn_damaged_rows(file, part)


def check_is_there(run: Path) -> None:
    """Refuse a run whose metrics file somebody removed.

    Raises:
        CorruptRunError: its rows are gone, or its run.json cannot be read.
    """
    if missing_rows(run):
        raise CorruptRunError(_missing(run))


def _missing(run: Path) -> str:
    return f"the metrics file of run {run.name!r} is missing, in {run.parent}"


def warn_damaged(error: CorruptRunError) -> None:
    """Say that a segment is left out."""
    warn(f"a damaged segment is left out: {error}")


def warn_damaged_rows(file: SegmentFile, rows: Rows) -> None:
    """Say how many rows of a segment are left out, if any."""
    if rows.damaged:
        warn(f"{plural(rows.damaged, 'damaged row')} of a segment left out, in {file.path}")


def warn_disagreed(run: Path, ids: Iterable[str]) -> None:
    """Say that ids are read as strings, because processes of the run logged different kinds."""
    for name in ids:
        warn(f"id {name!r} has several kinds in run {run.name!r}: it is read as string")
