"""How long a run has been written, told from its sessions, and from the rows of those that ended without a word.

NOTE: without polars: a process that resumed such a run asks for it as it closes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from skald.engine.arrays import numpy_array
from skald.engine.extraction import read_times
from skald.engine.rows import Ints
from skald.engine.segmentfile import read_header
from skald.engine.snapshot import segment_files
from skald.engine.stored import open_stored, read_tables
from skald.errors import CorruptRunError
from skald.layout import SEGMENTS, console_name
from skald.record.info import RunInfo, Session, live_writers, total_span
from skald.schema import TIME

_EPOCH: Final = dt.datetime.fromtimestamp(0, dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def duration_of(run: Path, info: RunInfo) -> dt.timedelta:
    """Return how long a run has been written: its sessions together, those at the same time counted once.

    Args:
        run: the run's folder.
        info: what its run.json holds.

    Raises:
        CorruptRunError, FormatVersionError: the rows of a session without an end cannot be read.
    """
    alive = set(live_writers(run))
    stops = (session.ended or _last_sign(run, info, session, alive) for session in info.sessions)
    return total_span(zip((session.started for session in info.sessions), stops, strict=True))


def _last_sign(run: Path, info: RunInfo, session: Session, alive: set[str]) -> dt.datetime:
    """Return until when a session without an end was alive."""
    now = dt.datetime.now(dt.UTC)
    if session.writer in alive:
        return now
    until = min((other.started for other in info.sessions if other.started > session.started), default=now)
    newest = _last_time(run, session.writer) or _newest_row(run, session.started, until)
    if newest > session.started:
        return newest
    console = run / console_name(session.writer if session.joined else None)
    times = [*_file_times(run / SEGMENTS / session.writer), *(time for time in _file_time(console) if time < until)]
    return max([session.started, *times])


def _last_time(run: Path, writer: str) -> dt.datetime | None:
    """Return the newest time in a writer's segments, which is in the last one of a stream; None: they have no rows."""
    try:
        last = {read_header(file.path).stream: file for file in segment_files(run, [run / SEGMENTS / writer])}
        newest = max((int(read_times(file.path).max(initial=0)) for file in last.values()), default=0)
    except (FileNotFoundError, CorruptRunError):
        return None
    return _EPOCH + newest // 1000 * _MICROSECOND if newest else None


def _newest_row(run: Path, since: dt.datetime, until: dt.datetime) -> dt.datetime:
    """Return the time of the newest row in a span, whoever has logged it; without one, when the span begins."""
    first, last = ((when - _EPOCH) // _MICROSECOND for when in (since, until))
    newest = first
    for times in _times(run):
        newest = max(newest, int(times[(times >= first) & (times <= last)].max(initial=first)))
    return _EPOCH + newest * _MICROSECOND


def _times(run: Path) -> Iterator[Ints]:
    """Go through the times of a run's rows, in microseconds since 1970; a damaged segment has none."""
    for file in segment_files(run):
        with contextlib.suppress(FileNotFoundError, CorruptRunError):
            yield read_times(file.path) // 1000
    with open_stored(run) or contextlib.nullcontext() as stored:
        for table in read_tables(stored, [TIME]) if stored else ():
            yield from (numpy_array(chunk, np.int64) for chunk in table[TIME].chunks)


def _file_times(folder: Path) -> Iterator[dt.datetime]:
    """Return when each file in a folder was last written; of a folder that is gone, nothing."""
    with contextlib.suppress(FileNotFoundError):
        for entry in folder.iterdir():
            yield from _file_time(entry)


def _file_time(path: Path) -> Iterator[dt.datetime]:
    with contextlib.suppress(FileNotFoundError):
        yield dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
