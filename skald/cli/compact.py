"""`skald compact`: segments into metrics files, a line a run that had some."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from skald.amounts import plural, size_text
from skald.cli.format import path_text
from skald.cli.paths import matching, no_runs, runs_in
from skald.cli.report import report
from skald.engine.compaction import Compaction
from skald.errors import SkaldError
from skald.record.info import read_status
from skald.upkeep.compacting import compact
from skald.upkeep.latebar import late_bar
from skald.upkeep.leftovers import remove_leftovers


def compact_paths(paths: Sequence[str]) -> bool:
    """Compact runs, and of folders all runs that ended; tell whether all went well.

    A path or a run that fails is told on stderr, and the others are compacted all the same.
    """
    runs: dict[Path, None] = {}
    faults = 0
    for path in paths:
        try:
            runs.update(dict.fromkeys(_runs(matching(path))))
        except SkaldError as error:
            report(error)
            faults += 1
    for folder in dict.fromkeys(run.parent for run in runs):
        count = remove_leftovers(folder, {run.name for run in runs if run.parent == folder})
        if count:
            _say(f"{path_text(folder)}: removed {plural(count, 'folder')} that a killed overwrite had left")
    done = {run: _compact(run) for run in runs}
    idle = [run for run, found in done.items() if found and not _did_something(found)]
    if idle:
        _say(f"{path_text(idle[0]) if len(idle) == 1 else plural(len(idle), 'run')}: nothing to compact")
    return all(done.values()) and not faults


def _runs(folders: Sequence[Path]) -> Iterator[Path]:
    """Go through what a path names: runs, and of folders the runs that have ended.

    Raises:
        RunNotFoundError: these are neither runs nor folders with runs.
    """
    found = runs_in(folders)
    if not found:
        raise no_runs(folders)
    named = {os.path.realpath(folder) for folder in folders}
    for run in found:
        if str(run) not in named and _is_running(run):
            _say(f"{path_text(run)}: is being written, left as it is")
        else:
            yield run


def _is_running(run: Path) -> bool:
    """Tell whether a run is being written; one that cannot be read is not, and its compaction will tell why."""
    try:
        return read_status(run) == "running"
    except SkaldError:
        return False


def _compact(run: Path) -> Compaction | None:
    """Compact a run and say what was done, if anything was; None where it failed."""
    try:
        with late_bar(f"compacting {run.name}") as advance:
            done = compact(run, progress=advance)
    except (SkaldError, OSError) as error:
        report(error)
        return None
    if _did_something(done):
        _say(f"{path_text(run)}: {describe(done)}")
    return done


def _did_something(done: Compaction) -> bool:
    return bool(done.segments or done.damaged or done.damaged_rows)


def describe(done: Compaction) -> str:
    """Return what a compaction did, in one line."""
    text = "nothing to compact"
    if done.segments:
        text = f"{plural(done.rows, 'row')} from {plural(done.segments, 'segment')} in {done.seconds:.1f} s"
        text += f", {size_text(done.bytes_written)}"
    if done.damaged:
        text += f"; {plural(len(done.damaged), 'damaged segment')} left where they are"
    if done.damaged_rows:
        text += f"; {plural(done.damaged_rows, 'damaged row')} left out"
    return text


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
