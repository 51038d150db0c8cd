"""Repair: a run whose damaged files are put aside, and which holds all that can be read of them.

Invariant: nothing is deleted: what was damaged stands under `damaged/`, as it was found.
"""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import NamedTuple

from skald import layout
from skald.amounts import plural
from skald.durable import write_atomic
from skald.engine.claim import owners, run_lock
from skald.engine.looserows import open_loosely
from skald.engine.mending import mend
from skald.engine.salvage import open_damaged, salvage, write_empty
from skald.errors import CorruptRunError, RunExistsError
from skald.record.artifacts import note_missing, restore_list
from skald.record.info import RunInfo, read_info, write_info
from skald.record.params import restore_params
from skald.upkeep.compacting import compact
from skald.upkeep.verification import Fault, find_faults


class Repaired(NamedTuple):
    """A file that was damaged, and what was done about it."""

    fault: Fault
    done: str


def repair(run: Path) -> list[Repaired]:
    """Put the damaged files of a run aside, keep what can be read of them, and compact the run.

    Raises:
        RunNotFoundError: there is no run.
        RunExistsError: the run is being written.
        StorageError: the disk takes no more.
    """
    faults = list(find_faults(run))
    if not faults:
        return []
    with run_lock(run):
        if owners(run):
            raise RunExistsError(f"run {run.name!r} is being written, so it is not repaired, in {run.parent}")
        done = [Repaired(fault, _repair(run, fault)) for fault in faults]
    compact(run)
    return done


def _repair(run: Path, fault: Fault) -> str:
    """Do what can be done about a fault, and return what that was."""
    if fault.path.is_relative_to(run / layout.ARTIFACTS):
        return _repair_artifact(run, fault.path)
    if fault.path.name == layout.PARAMS:
        kept = restore_params(run)
        return f"those of before the edit are back, moved to {kept.relative_to(run)}" if kept else "it is there again"
    if not fault.path.exists():
        return _repair_missing(run, fault.path)
    aside = layout.aside(run, fault.path)
    aside.parent.mkdir(parents=True, exist_ok=True)
    if fault.is_whole:
        shutil.copy2(fault.path, aside)
        is_list = fault.path in layout.artifact_lists(run)
        if is_list:
            restore_list(fault.path)
        return f"{'other lines' if is_list else plural(fault.rows, 'row')} kept, copied to {aside.relative_to(run)}"
    return f"{_replace(run, fault.path, aside)}moved to {aside.relative_to(run)}"


def _replace(run: Path, path: Path, aside: Path) -> str:
    """Move a file aside, and put in its place what can be read of it; return what that is."""
    info = _made_up(run) if path.name == layout.RUN_JSON else None
    path.rename(aside)
    if info:
        write_info(run, info)
        return "made up anew, "
    if path.name == layout.IDS:
        return ""
    if path.name == layout.CSV:
        rows = _salvage_csv(run, aside)
    else:
        is_table = path.name == layout.PARQUET or layout.is_rewound_name(path.name)
        rows = _salvage(path, aside) if is_table else _mend(path, aside)
    if layout.is_rewound_name(path.name) and not rows:
        write_empty(path)
    if path.name in (layout.PARQUET, layout.CSV) and not (run / layout.PARQUET).exists():
        _put_aside_rewound(run)
        _forget_rows(run)
    return f"{plural(rows, 'row')} kept, "


def _repair_missing(run: Path, path: Path) -> str:
    if path.name == layout.RUN_JSON:
        write_info(run, _made_up(run), new=True)
        return "made up anew"
    if layout.is_rewound_name(path.name):
        write_empty(path)
        return "nothing is left of it, and one without rows stands there"
    _forget_rows(run)
    return "nothing is left of it, and the run counts as one without rows"


def _repair_artifact(run: Path, path: Path) -> str:
    aside = layout.aside(run, path)
    is_there = path.exists()
    if is_there:
        aside.parent.mkdir(parents=True, exist_ok=True)
        path.rename(aside)
    note_missing(run, path.relative_to(run / layout.ARTIFACTS).as_posix())
    return f"moved to {aside.relative_to(run)}" if is_there else "noted, so that it is not missed again"


def _forget_rows(run: Path) -> None:
    """Say of no process any more that it has left rows."""
    info = read_info(run)
    for session in info.sessions:
        session.rows = 0
    write_info(run, info)


def _put_aside_rewound(run: Path) -> None:
    """Put rows that were taken back aside: without the file that names them a compaction takes them for rubbish."""
    for path in [path for path in run.iterdir() if layout.is_rewound_name(path.name)]:
        path.rename(layout.aside(run, path))


def _salvage(target: Path, aside: Path) -> int:
    try:
        stored = open_damaged(aside)
        assert stored is not None
        with stored:
            return salvage(stored, target)
    except CorruptRunError:  # as its fault has told: nothing can be read without the footer
        return 0


def _salvage_csv(run: Path, aside: Path) -> int:
    """Write what can be read of a csv as parquet, of which compaction makes a csv with its description."""
    description = run / layout.CSV_DESCRIPTION
    if description.exists():
        description = description.rename(layout.aside(run, description))
    if (run / layout.PARQUET).exists():  # a change of format was cut off
        return 0
    stored = open_loosely(run, aside, description)
    if stored is None:
        return 0
    with stored:
        return salvage(stored, run / layout.PARQUET)


def _mend(target: Path, aside: Path) -> int:
    """Write what is left of a segment that was cut off as a segment; return how many rows these are."""
    mended = mend(aside.read_bytes()) if layout.segment_number(target.name) is not None else None
    if mended is None:
        return 0
    write_atomic(target, mended.data)
    return mended.rows


def _made_up(run: Path) -> RunInfo:
    """Return what the other files tell of a run."""
    started = min(path.stat().st_mtime for path in run.iterdir())
    is_csv = (run / layout.CSV).exists()
    return RunInfo(
        name=run.name,
        status="crashed",
        started=dt.datetime.fromtimestamp(started, dt.UTC),
        metrics_format="csv" if is_csv else "parquet",
    )
