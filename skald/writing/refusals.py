"""Which folders may not be opened for writing, whoever asks, and what is said then and what to do."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from skald.engine.claim import owners
from skald.engine.lock import PATIENCE_SECS, POLL_SECS
from skald.engine.mark import host_name
from skald.errors import CorruptRunError, FormatVersionError, RunExistsError, RunNotFoundError
from skald.layout import CSV, PARQUET, SEGMENTS, TEMPORARY_PREFIX, WRITER_LOCK, is_run
from skald.record.info import read_info

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection
    from pathlib import Path

    from skald.engine.claim import Owner
    from skald.record.info import RunInfo


def check_free(run: Path, *, is_new: bool) -> None:
    """Raise RunExistsError for what must not be written into: a run that is to be new, and other people's folders."""
    names = [entry.name for entry in run.iterdir()] if run.is_dir() else []
    foreign = [name for name in names if name != SEGMENTS and not name.startswith(TEMPORARY_PREFIX)]
    if is_run(run):  # NOTE: asked after the listing: another process may be making the run right now
        if is_new:
            raise already_there(run)
    elif foreign:
        raise taken(f"{run} is a folder with other things in it, and no run")


def check_own(run: Path) -> None:
    """Raise RunExistsError for a folder that another program's run.json makes look like a run."""
    try:
        read_info(run)
    except FormatVersionError:
        return
    except CorruptRunError as error:
        if (run / PARQUET).exists() or (run / CSV).exists() or any((run / SEGMENTS).glob(f"*/{WRITER_LOCK}")):
            return  # it is one, and damaged
        raise taken(f"{run} is no run, as its run.json is not Skald's") from error


def check_sole(run: Path, own: Collection[str]) -> None:
    """Raise RunExistsError if others than some writers are writing a run."""
    if own and (alive := alive_writers(run, patient=True, beside=own)):
        raise being_written(run, alive, overwrites=True)


def check_identity(run: Path, info: RunInfo, expected: dt.datetime | None) -> None:
    """Raise RunNotFoundError if the run at a path is not the one that was begun at `expected`, if that is known."""
    if expected not in (None, info.started):
        raise RunNotFoundError(f"the run of this copy of a logger is gone, and another stands in its place: {run}")


def alive_writers(run: Path, *, patient: bool, beside: Collection[str] = ()) -> dict[str, Owner | None]:
    """Return who is writing beside some; patiently, since a process that is just ending still holds its lock."""
    deadline = time.monotonic() + (PATIENCE_SECS if patient else 0)
    while alive := {name: owner for name, owner in owners(run).items() if name not in beside}:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECS)
    return alive


def taken(text: str) -> RunExistsError:
    """Return the error of a path at which something else stands than a run."""
    error = RunExistsError(text)
    error.add_note("hint: choose another name, or another dir=, or move what stands there away")
    return error


def already_there(run: Path) -> RunExistsError:
    """Return the error of a run that is to be made and is there."""
    if alive := owners(run):
        return being_written(run, alive)
    error = RunExistsError(f"run {run.name!r} is there already, in {run.parent}")
    error.add_note(
        "hint: choose another name, or mode='resume' to continue it (mode='auto' also makes it where there is none), "
        "or mode='overwrite' to delete it"
    )
    return error


def being_written(run: Path, alive: dict[str, Owner | None], *, overwrites: bool = False) -> RunExistsError:
    """Return the error of a run that others are writing, or loggers of this process."""
    who = ", ".join(map(_described, alive.values()))
    error = RunExistsError(f"run {run.name!r} is being written by {who}, in {run.parent}")
    if all(map(_is_here, alive.values())) and overwrites:  # those that are known have been closed
        error.add_note("hint: mode='join' writes beside it; it is free when this process ends")
    elif all(map(_is_here, alive.values())):
        error.add_note(
            "hint: close() its logger before; if that is lost, mode='join' writes beside it; "
            "mode='overwrite' closes it and deletes what it has logged"
        )
    else:
        error.add_note("hint: mode='join' writes beside it; it is free when that ends")
    return error


def _described(owner: Owner | None) -> str:
    if owner is None:
        return "a process that is just starting"
    this = "this process, " if _is_here(owner) else "process "
    return f"{this}{owner.pid} on {owner.host}"


def _is_here(owner: Owner | None) -> bool:
    """Tell whether it is this process."""
    return owner is not None and (owner.host, owner.pid) == (host_name(), os.getpid())
