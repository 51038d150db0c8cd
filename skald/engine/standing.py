"""The rewinds of a run that are not yet compacted: they stand in run.json.

Invariant: they change only under the run's lock, and one goes only when nothing on the disk needs it any more.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec

from skald.durable import read_atomic, write_atomic
from skald.engine.rewind import Rewind, Rewinds
from skald.errors import CorruptRunError
from skald.layout import RUN_JSON

_FIELD: Final = "rewinds"


class _RunJson(msgspec.Struct):
    """What the engine wants of run.json."""

    rewinds: Rewinds = Rewinds()
    sessions: list[_Session] = []


class _Session(msgspec.Struct):
    rows: int = 0


def read_rewinds(run: Path) -> Rewinds:
    """Return the rewinds of a run.

    Raises:
        CorruptRunError: run.json does not hold what it should.
    """
    return _read(run).rewinds


def logged_rows(run: Path) -> int:
    """Return how many rows the writers of a run have said that they leave behind.

    Raises:
        CorruptRunError: as `read_rewinds`.
    """
    return sum(session.rows for session in _read(run).sessions)


def _read(run: Path) -> _RunJson:
    path = run / RUN_JSON
    try:
        data = read_atomic(path)
        return msgspec.json.decode(data, type=_RunJson) if data else _RunJson()
    except FileNotFoundError:
        return _RunJson()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRunError(f"{error}, in {path}") from error


def add_rewind(run: Path, rewind: Rewind, *, applied: int) -> None:
    """Put down a rewind under the next number; the run's lock is held. When this returns it is on the disk.

    Args:
        run: the run's folder.
        rewind: the rewind, its number left open.
        applied: how many rewinds the metrics file reflects: as many as are known, unless run.json was lost.

    Raises:
        OSError: the disk takes no more; nothing was changed.
    """
    known = read_rewinds(run)
    number = max(known.made, applied) + 1
    _write(run, Rewinds(made=number, standing=(*known.standing, msgspec.structs.replace(rewind, number=number))))


def forget_rewinds(run: Path, *, applied: int, left: Collection[tuple[str, int]]) -> None:
    """Remove the rewinds that nothing needs any more; the run's lock is held.

    Args:
        run: the run's folder.
        applied: how many the metrics file reflects.
        left: writer and number of each segment that is there.
    """
    known = read_rewinds(run)
    needed = tuple(
        rewind for rewind in known.standing if rewind.number > applied or any(rewind.on_segment(*file) for file in left)
    )
    if needed != known.standing:
        _write(run, Rewinds(made=known.made, standing=needed))


def _write(run: Path, rewinds: Rewinds) -> None:
    """Replace run.json; all else that it holds stays."""
    path = run / RUN_JSON
    fields: dict[str, Any] = msgspec.json.decode(read_atomic(path))
    fields[_FIELD] = rewinds
    data = msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"
    write_atomic(path, data, sync=True)  # DURABILITY: before any row that is logged after a rewind
