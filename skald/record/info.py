"""What run.json holds: the identity of a run, its status, and the sessions that wrote it.

Invariant: run.json says `running` of a process from before its first row until after its last; one of which it says
so while it does not hold its writer's lock has crashed. Forked children are not in run.json.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from skald import layout
from skald.durable import read_atomic, write_atomic
from skald.engine.claim import owners
from skald.errors import (
    CorruptRunError,
    RunExistsError,
    RunNotFoundError,
    SkaldError,
    StorageError,
    is_fault,
    unless_handlers,
)

Status = Literal["running", "finished", "stopped", "failed", "crashed"]
MetricsFormat = Literal["parquet", "csv"]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORST_FIRST: Final = ("crashed", "failed", "stopped", "finished")


class Session(msgspec.Struct, kw_only=True):
    """One process's time at a run, from opening its writer to closing it; times are UTC."""

    writer: str
    host: str
    pid: int
    parent: int = 0
    """The process that started it."""
    started: dt.datetime
    ended: dt.datetime | None = None
    status: Status = "running"
    joined: bool = False
    """Whether another process was writing the run as this one came: a run is begun or resumed by those that did not."""
    daemon: bool = False
    """Whether it is a copy of a logger in a daemon process, as workers of a pool are: its parent ends it like that."""
    exception: str | None = None
    refused: dict[str, int] = {}
    """How many calls were refused, by kind of error."""
    failed_values: int = 0
    """How many values a device did not produce."""
    rounded: int = 0
    """How many ints were logged rounded."""
    lost_lines: int = 0
    """How many lines of the console were not written, or only in part."""
    rows: int = 0
    """How many rows were in its segments when it ended: so many at least it has logged."""
    environment: dict[str, Any] = {}
    """Of a session before the last: what was different then."""


class Lost(msgspec.Struct):
    """What a process got and did not keep as it was; see `Session`."""

    refused: dict[str, int] = {}
    failed_values: int = 0
    rounded: int = 0


class Child(Lost, kw_only=True):
    """A forked child, whose end does not count."""

    writer: str


class RunInfo(msgspec.Struct, kw_only=True):
    """All of run.json; times are UTC, `ended` is None while the run is being written."""

    format: int = layout.FORMAT_VERSION
    name: str
    status: Status = "running"
    started: dt.datetime
    ended: dt.datetime | None = None
    sessions: list[Session] = []
    children: list[Child] = []
    """Forked children that lost something."""
    tags: list[str] = []
    notes: str = ""
    metrics_format: MetricsFormat = "parquet"
    exception: str | None = None
    environment: dict[str, Any] = {}
    params: dict[str, Any] = {}
    """What params.yaml holds, for readers: JSON is parsed a hundred times faster."""
    params_crc32: int | None = None
    """The CRC-32 of the params.yaml that holds exactly `params`; None where JSON cannot say them (NaN, dates)."""


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


def is_there(run: Path, started: dt.datetime | None) -> bool:
    """Tell whether there is a run at a path, and it is the one that began at `started`, if that is known."""
    try:
        return started in (None, read_info(run).started)
    except RunNotFoundError:
        return False
    except unless_handlers(OSError, SkaldError):  # nothing says that it is another
        return True


def write_info(run: Path, info: RunInfo, *, new: bool = False) -> None:
    """Replace run.json; what another Skald of this format wrote there under other names stays.

    Args:
        run: the run's folder.
        info: what it holds then.
        new: make it, where there is none.

    Raises:
        RunExistsError: there is one, which must be new.
        CorruptRunError, FormatVersionError: the run.json that is there cannot be read.
        StorageError: the disk takes no more, the folder is gone.
    """
    path = run / layout.RUN_JSON
    fields = (_read(path) or {}) | msgspec.to_builtins(info)
    data = msgspec.json.format(_encoded(fields), indent=2) + b"\n"
    try:
        write_atomic(path, data, sync=True, new=new)
    except FileExistsError as error:
        raise RunExistsError(f"there is a run already at {run}") from error
    except OSError as error:
        if not is_fault(error):
            raise
        text = f"the run's status was not written: {error.strerror}, in {path}"
        raise StorageError(error.errno, text) from error


def read_status(run: Path) -> Status:
    """Return the status of a run: `running` while a process writes it, then the worst word of its last processes."""
    info = read_info(run)
    while info.status == "running" and not writing(info, live_writers(run)):
        # NOTE: who closed or opened the run between the two looks has changed run.json meanwhile
        before, info = info, read_info(run)
        if info == before:
            settle(info, writing=())
    return info.status


def writing(info: RunInfo, alive: Collection[str]) -> list[str]:
    """Return which of the living writers belong to processes that have not said their last word."""
    return [session.writer for session in info.sessions if session.status == "running" and session.writer in alive]


def settle(info: RunInfo, *, writing: Collection[str]) -> None:
    """Say of processes that are gone without a word that they crashed; end the run if none is writing it.

    Its status is then the worst word of the processes since it was begun or last resumed. The exception is the one
    of the worst of them that has one: where a process fails others are killed.
    """
    for session in info.sessions:
        if session.status == "running" and session.writer not in writing:
            session.status = "finished" if session.daemon else "crashed"
    ended = [session for session in last_sessions(info) if session.status != "running"]
    last = sorted(ended, key=lambda session: _WORST_FIRST.index(session.status))
    info.exception = next((session.exception for session in last if session.exception), None)
    if not writing:
        info.status = last[0].status if last else "crashed"
        info.ended = max((session.ended for session in last if session.ended), default=None)


def last_sessions(info: RunInfo) -> Sequence[Session]:
    """Return those of the processes since the run was begun or last resumed."""
    begun = max((number for number, session in enumerate(info.sessions) if not session.joined), default=0)
    return info.sessions[begun:]


def last_children(info: RunInfo) -> Iterator[Child]:
    """Go through the forked children of those processes."""
    begun = next((session.writer for session in last_sessions(info)), "")
    return (child for child in info.children if child.writer > begun)


def total_span(spans: Iterable[tuple[dt.datetime, dt.datetime]]) -> dt.timedelta:
    """Return how long at least one of the spans lasted."""
    total, reached = dt.timedelta(0), dt.datetime.min.replace(tzinfo=dt.UTC)
    for started, ended in sorted(spans):
        total += max(dt.timedelta(0), ended - max(started, reached))
        reached = max(reached, ended)
    return total


def live_writers(run: Path) -> list[str]:
    """Return the names of the writers whose processes are alive, oldest first."""
    return list(owners(run))


def _encoded(fields: dict[str, Any]) -> bytes:
    """Return the fields as JSON; bytes that are no UTF-8, for which Python has half characters, are escaped."""
    try:
        return msgspec.json.encode(fields)
    except UnicodeEncodeError:  # an argument, a variable, a folder, the text of an exception
        text = json.dumps(fields, ensure_ascii=False)
        return _SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text).encode()


def _read(path: Path) -> dict[str, Any] | None:
    """Return the fields of run.json, None where there is none."""
    try:
        found = msgspec.json.decode(read_atomic(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptRunError(f"{error}, in {path}") from error
    except unless_handlers(OSError) as error:
        raise StorageError(error.errno, f"cannot be read: {error.strerror}, in {path}") from error
    if not isinstance(found, dict):
        raise CorruptRunError(f"run.json must hold an object, got {type(found).__name__}, in {path}")
    layout.check_format(found.get("format"), path)
    return found
