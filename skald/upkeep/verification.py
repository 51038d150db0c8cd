"""Verification: every file of a run read to its end, and held against what the run says of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from skald import layout
from skald.amounts import plural
from skald.engine.checksum import is_as_written
from skald.engine.claim import owners, run_lock
from skald.engine.extraction import read_segment
from skald.engine.feeds import SLICE_ROWS
from skald.engine.looserows import open_loosely
from skald.engine.mending import mend
from skald.engine.registry import read_kinds
from skald.engine.salvage import count_readable, open_damaged
from skald.engine.segmentfile import read_header
from skald.engine.snapshot import SegmentFile, missing_rows, segment_files
from skald.engine.stored import FILES, open_parquet, open_stored, read_tables
from skald.errors import CorruptRunError, RunNotFoundError, SkaldError
from skald.record.artifacts import Artifact, broken_lines, missing_artifacts, read_sums
from skald.record.info import read_info
from skald.record.params import decode_params

_OTHER: Final = "expected what was written, found other content of the same size"


class Fault(NamedTuple):
    """A file that is not what it should be.

    Attributes:
        path: the file.
        problem: what is wrong with it.
        rows: how many rows of it can be read all the same.
        is_whole: whether it can be read to its end, so that readers and compaction take what is good.
    """

    path: Path
    problem: str
    rows: int = 0
    is_whole: bool = False


def find_faults(run: Path) -> Iterator[Fault]:
    """Read every file of a run, and yield those that are damaged, missing or not as they were written.

    A run may be written meanwhile. What other programs have put into the folder is not looked at.

    Args:
        run: the run's folder; or one that has only lost its run.json.

    Raises:
        RunNotFoundError: there is no run.
        FormatVersionError: a newer Skald wrote the run.
    """
    if layout.is_run(run):
        yield from _document(run / layout.RUN_JSON, lambda: read_info(run))
    elif is_lost_run(run):
        yield Fault(run / layout.RUN_JSON, "it is missing, so the folder counts as no run")
    else:
        raise RunNotFoundError(f"there is no run at {run}")
    yield from _document(run / layout.PARAMS, lambda: _read_params(run))
    yield from _document(run / layout.SEGMENTS / layout.IDS, lambda: read_kinds(run))
    for file in segment_files(run):
        yield from _segment(file)
    yield from _metrics(run)
    yield from _artifacts(run)


def _document(path: Path, read: Callable[[], Any]) -> Iterator[Fault]:
    try:
        read()
    except CorruptRunError as error:
        yield Fault(path, str(error))


def is_lost_run(folder: Path) -> bool:
    """Tell whether a folder without run.json holds metrics as only a run does."""
    if layout.is_run(folder):
        return False
    with contextlib.suppress(SkaldError, OSError):  # a table of another program is no fault of ours
        stored = open_stored(folder)
        if stored:
            stored.close()
            return True
    return bool(segment_files(folder))


def _read_params(run: Path) -> None:
    """Read params.yaml whatever run.json says of it: that may be what is damaged."""
    path = run / layout.PARAMS
    with contextlib.suppress(FileNotFoundError):
        decode_params(path.read_bytes(), path)
        return
    if _noted_params(run):
        raise CorruptRunError(f"it is missing, {layout.RUN_JSON} has the params that were logged")


def _noted_params(run: Path) -> bool:
    try:
        return bool(read_info(run).params)
    except (CorruptRunError, RunNotFoundError):  # which has been told
        return False


def _segment(file: SegmentFile) -> Iterator[Fault]:
    """Read a segment part by part; one that is gone was compacted just now."""
    rows = damaged = 0
    try:
        capacity = read_header(file.path).capacity
        for first in range(0, capacity, SLICE_ROWS):
            part = read_segment(file.path, first=first, stop=first + SLICE_ROWS)
            rows, damaged = rows + len(part), damaged + part.damaged
    except FileNotFoundError:
        return
    except CorruptRunError as error:
        mended = mend(file.path.read_bytes())
        yield Fault(file.path, str(error), mended.rows if mended else rows)
        return
    if damaged:
        yield Fault(file.path, f"{plural(damaged, 'row')} without a name or a time", rows, is_whole=True)


def _metrics(run: Path) -> Iterator[Fault]:
    """Read the metrics file, and count its rows."""
    try:
        stored = open_stored(run)
    except CorruptRunError as error:
        paths = (run / name for name in FILES.values())
        yield from (Fault(path, str(error), _readable_rows(path)) for path in paths if path.exists())
        return
    if stored is None:
        missing = missing_rows(run)
        if missing:
            said = f"it is missing, and with it at least {plural(missing, 'row')} that were logged"
            yield Fault(run / FILES[read_info(run).metrics_format], said)
        return
    with stored:
        try:
            rows = sum(map(len, read_tables(stored)))
        except CorruptRunError as error:
            yield Fault(stored.path, str(error), _readable_rows(stored.path))
            return
        if not is_as_written(stored):
            yield Fault(stored.path, _OTHER, rows)
        elif rows != stored.coverage.rows:
            yield Fault(stored.path, f"expected {plural(stored.coverage.rows, 'row')}, found {rows:,}", rows)
    for name in stored.coverage.rewound:
        yield from _rewound(run, name)


def _readable_rows(path: Path) -> int:
    """Return how many rows of a metrics file that cannot be read to its end can be read all the same."""
    run = path.parent
    try:
        is_csv = path.name == layout.CSV
        stored = open_loosely(run, path, run / layout.CSV_DESCRIPTION) if is_csv else open_damaged(path)
        if stored is None:
            return 0
        with stored:
            return count_readable(stored)
    except CorruptRunError:  # which is what is told of it
        return 0


def _rewound(run: Path, name: str) -> Iterator[Fault]:
    """Read rows that a rewind took back."""
    path = run / name
    try:
        stored = open_parquet(path)
        if stored is None:
            yield Fault(path, "it is missing, and with it rows that a rewind took back")
            return
        with stored:
            rows = sum(map(len, read_tables(stored)))
            if not is_as_written(stored):
                yield Fault(path, _OTHER, rows)
    except CorruptRunError as error:
        yield Fault(path, str(error), _readable_rows(path))


def _artifacts(run: Path) -> Iterator[Fault]:
    """Hold the files that were logged against their sums, and name those that are missing; what was linked is not read.

    NOTE: a run that is being written may replace a file meanwhile, whose line comes before the file.
    """
    for listed in layout.artifact_lists(run):
        broken = broken_lines(listed)
        if broken:
            yield Fault(listed, f"{plural(broken, 'line')} without an artifact", is_whole=True)
    for path, sums in read_sums(run).items():
        file = run / layout.ARTIFACTS / path
        try:
            with file.open("rb") as opened:
                size, sha256 = os.fstat(opened.fileno()).st_size, hashlib.file_digest(opened, "sha256").hexdigest()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            continue
        if sha256 not in sums and sha256 not in read_sums(run).get(path, {sha256: size}):
            logged = list(sums.values())[-1]
            found = "other content" if size == logged else f"{size:,} bytes"
            yield Fault(file, f"expected the {plural(logged, 'byte')} that were logged, found {found}")
    for artifact in _missing(run):
        said = f"expected the {plural(artifact.size, 'byte')} that were logged, found no file"
        yield Fault(run / layout.ARTIFACTS / artifact.path, said)


def _missing(run: Path) -> list[Artifact]:
    missing = missing_artifacts(run)
    if missing and owners(run):
        with run_lock(run):  # under which a writer adds a line, and then its file
            missing = missing_artifacts(run)
    return missing
