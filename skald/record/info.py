"""What run.json holds: the identity of a run, its status, and the sessions that wrote it.

Invariant: run.json says `running` from before the first row of a session until after its last;
a run that says so while no writer holds its lock has crashed.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Literal

import msgspec

from skald import layout
from skald.durable import write_atomic
from skald.engine.claim import owners
from skald.errors import CorruptRunError, RunNotFoundError, StorageError

Status = Literal["running", "finished", "stopped", "failed", "crashed"]
MetricsFormat = Literal["parquet", "csv"]


class Session(msgspec.Struct, kw_only=True):
    """One process's time at a run, from opening its writer to closing it; times are UTC."""

    writer: str
    host: str
    pid: int
    started: dt.datetime
    ended: dt.datetime | None = None
    status: Status = "running"
    environment: dict[str, Any] = {}
    """Of a session before the last: what was different then."""


class RunInfo(msgspec.Struct, kw_only=True):
    """All of run.json; times are UTC, `ended` is None while the run is being written."""

    format: int = layout.FORMAT_VERSION
    name: str
    status: Status = "running"
    started: dt.datetime
    ended: dt.datetime | None = None
    sessions: list[Session] = []
    tags: list[str] = []
    notes: str = ""
    metrics_format: MetricsFormat = "parquet"
    exception: str | None = None
    environment: dict[str, Any] = {}


def read_info(run: Path) -> RunInfo:
    """Return what run.json of a run holds.

    Raises:
        RunNotFoundError: there is no run at this path.
        CorruptRunError: run.json does not hold what it should.
        FormatVersionError: a newer Skald wrote the run.
    """
    path = run / layout.RUN_JSON
    found = _read(path)
    if found is None:
        raise RunNotFoundError(f"there is no run at {run}: it has no {layout.RUN_JSON}")
    try:
        return msgspec.convert(found, RunInfo)
    except msgspec.ValidationError as error:
        raise CorruptRunError(f"{error}, in {path}") from error


def write_info(run: Path, info: RunInfo) -> None:
    """Replace run.json; what another Skald of this format wrote there under other names stays.

    Raises:
        CorruptRunError, FormatVersionError: the run.json that is there cannot be read.
        StorageError: the disk takes no more, the folder is gone.
    """
    path = run / layout.RUN_JSON
    fields = (_read(path) or {}) | msgspec.to_builtins(info)
    data = msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"
    try:
        write_atomic(path, data, sync=True)
    except OSError as error:
        raise StorageError(f"the run's status was not written: {error}, in {path}") from error


def read_status(run: Path) -> Status:
    """Return the status of a run: the word written, or `crashed` where its writers left none."""
    info = read_info(run)
    while info.status == "running" and not live_writers(run):
        # NOTE: who closed or opened the run between the two looks has changed run.json meanwhile
        before, info = info, read_info(run)
        if info == before:
            return "crashed"
    return info.status


def live_writers(run: Path) -> list[str]:
    """Return the names of the writers whose processes are alive, oldest first."""
    return list(owners(run))


def _read(path: Path) -> dict[str, Any] | None:
    """Return the fields of run.json, None where there is none."""
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptRunError(f"{error}, in {path}") from error
    if not isinstance(found, dict):
        raise CorruptRunError(f"run.json must hold an object, got {type(found).__name__}, in {path}")
    layout.check_format(found.get("format"), path)
    return found
