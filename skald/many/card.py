"""What a table of runs says of one run, read with as few looks at the disk as can be.

Invariant: the card of a closed run is made of three files that are replaced whole, so it holds as long as they are the
same files.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import msgspec

from skald.engine.stored import read_csv_facts, read_facts
from skald.errors import CorruptRunError
from skald.layout import CSV, PARAMS, PARQUET, RUN_JSON, SEGMENTS, check_format
from skald.many.finding import Found, check_path
from skald.many.paramtable import flat
from skald.record.info import Status, total_span
from skald.record.params import read_params
from skald.schema import Kinds


class Card(msgspec.Struct, array_like=True, kw_only=True):
    """What is said of a run.

    Attributes:
        status: as `Run.status`.
        started: as `Run.started`.
        duration: as `Run.duration`, in µs.
        tags: as `Run.tags`.
        rows: how many rows it has.
        params: by their dotted names, each of a kind that a column can have.
        kinds: its ids, where it is closed.
        series: the JSON of the summary of its series, where it is closed; None: they are read from the run.
    """

    status: Status
    started: dt.datetime
    duration: int
    tags: list[str]
    rows: int
    params: dict[str, bool | int | float | str | None]
    kinds: Kinds = {}
    series: bytes | None = None


class _Session(msgspec.Struct):
    """The part of a session that a card is made of."""

    started: dt.datetime
    ended: dt.datetime | None = None
    rows: int = 0


class _Info(msgspec.Struct):
    """The part of run.json that a card is made of."""

    started: dt.datetime
    format: Any = None
    status: Status = "running"
    sessions: list[_Session] = []
    tags: list[str] = []
    params: dict[str, Any] = {}
    params_crc32: int | None = None


def read_card(found: Found) -> Card:
    """Return the card of a run.

    Raises:
        SkaldError: a file of the run cannot be read, or its metrics file is missing.
        OSError: the run was removed meanwhile.
    """
    check_path(found.folder)
    info = _read_info(f"{found.folder}{os.sep}{RUN_JSON}")
    folder = Path(found.folder)
    params = flat(read_params(folder, info)) if info.params or PARAMS in found.holds else {}
    spans = [(session.started, session.ended) for session in info.sessions if session.ended]
    is_missing = not found.holds & {PARQUET, CSV} and any(session.rows for session in info.sessions)
    if is_missing or SEGMENTS in found.holds or info.status == "running" or len(spans) < len(info.sessions):
        return _open_card(folder, info, params)
    rows, kinds, series = _stored(found)
    return Card(
        status=info.status,
        started=info.started,
        duration=_micros(total_span(spans)),
        tags=info.tags,
        rows=rows,
        params=params,
        kinds=kinds,
        series=series,
    )


def check_info(path: str) -> None:
    """Refuse a run.json of which no card can be made.

    Raises:
        CorruptRunError: it cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """
    _read_info(path)


def _open_card(folder: Path, info: _Info, params: dict[str, Any]) -> Card:
    """Return the card of a run that is not closed.

    NOTE: a table of closed runs does without these modules, which take 70 ms to load.
    """
    from skald.engine.count import count_rows
    from skald.engine.snapshot import check_is_there
    from skald.run import Run

    check_is_there(folder)
    run = Run(folder)
    return Card(
        status=run.status,
        started=info.started,
        duration=_micros(run.duration),
        tags=info.tags,
        rows=sum(count_rows(folder)),
        params=params,
    )


def _read_info(path: str) -> _Info:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  of thousands of files every µs counts
            info = msgspec.json.decode(file.read(), type=_Info)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRunError(f"{error}, in {path}") from error
    check_format(info.format, path)
    return info


def _stored(found: Found) -> tuple[int, Kinds, bytes]:
    """Return the number of rows, the ids and the JSON of the series of a closed run."""
    if CSV in found.holds:
        return read_csv_facts(Path(found.folder))
    if PARQUET not in found.holds:
        return 0, {}, b'{"by":[],"metric":[],"ids":{},"last":[],"min":[],"max":[],"min_at":{},"max_at":{}}'
    return read_facts(f"{found.folder}{os.sep}{PARQUET}")


def _micros(span: dt.timedelta) -> int:
    return span // dt.timedelta(microseconds=1)
