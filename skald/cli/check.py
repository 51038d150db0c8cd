"""`skald check`: every file of runs read and held against what was written, a line a fault."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skald import layout
from skald.amounts import plural
from skald.cli.format import path_text
from skald.cli.paths import no_runs, resolve_all, runs_in
from skald.cli.report import report
from skald.cli.shapes import to_csv, to_json
from skald.errors import SkaldError
from skald.upkeep.latebar import late_bar
from skald.upkeep.repair import Repaired, repair
from skald.upkeep.verification import Fault, find_faults, is_lost_run

_HEADER = ("run", "path", "problem", "rows", "repaired")


def check_paths(paths: Sequence[str], *, mend: bool, form: str) -> bool:
    """Print what is damaged in runs; tell whether nothing is, or all of it was mended.

    Args:
        paths: runs and folders.
        mend: whether to put what is damaged aside, and to keep what of it can be read.
        form: table, json or csv.

    Raises:
        RunNotFoundError: a path is neither a run nor a folder with runs.
    """
    folders = resolve_all(paths)
    runs = [*runs_in(folders), *(run for folder in folders for run in _lost_runs(folder))]
    if not runs:
        raise no_runs(folders)
    found: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    with late_bar("checking runs") as progress:
        for number, run in enumerate(runs):
            if progress:
                progress(number, len(runs))
            try:
                found += _check(run, mend=mend)
            except (SkaldError, OSError) as error:
                report(error)
                problem = " ".join(str(error).split())
                failed.append({"run": path_text(run), "path": "", "problem": problem, "rows": 0, "repaired": ""})
    if form == "json":
        sys.stdout.write(to_json(found + failed))
    elif form == "csv":
        sys.stdout.write(to_csv(_HEADER, [[*fault.values()] for fault in found + failed]))
    else:
        _print(found, failed, len(runs), mend=mend)
    return not failed and (mend or not found)


def _lost_runs(top: Path) -> Iterator[Path]:
    """Yield the folders in a folder that were runs, and have lost their run.json."""
    for folder, inner, names in os.walk(os.path.realpath(top)):
        inner[:] = [name for name in inner if not name.startswith(layout.TEMPORARY_PREFIX)]
        if layout.RUN_JSON in names:
            inner.clear()
        elif {*names, *inner} & {layout.PARQUET, layout.CSV, layout.SEGMENTS} and is_lost_run(Path(folder)):
            inner.clear()
            yield Path(folder)


def _check(run: Path, *, mend: bool) -> list[dict[str, Any]]:
    faults = repair(run) if mend else [Repaired(fault, "") for fault in find_faults(run)]
    return [
        {
            "run": path_text(run),
            "path": fault.path.relative_to(run).as_posix(),
            "problem": _problem(fault),
            "rows": fault.rows,
            "repaired": done,
        }
        for fault, done in faults
    ]


def _problem(fault: Fault) -> str:
    """Return what is wrong with a file on one line, without its path, which stands before it."""
    place = f", in {fault.path}"
    return " ".join(fault.problem.removesuffix(place).replace(f"{place},", ",").split())


def _saved(fault: Mapping[str, Any]) -> str:
    """Return how many rows of a file can be read; nothing of a file that holds none."""
    folder, _, name = fault["path"].rpartition("/")
    if fault["rows"]:
        return f"{plural(fault['rows'], 'row')} can be read"
    is_table = name in {layout.PARQUET, layout.CSV} and not folder and Path(fault["run"], name).exists()
    return "no row of it can be read" if is_table or layout.segment_number(name) is not None else ""


def _print(found: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]], runs: int, *, mend: bool) -> None:
    for fault in failed:
        sys.stdout.write(f"{fault['run']}: {fault['problem']}\n")
    for fault in found:
        outcome = fault["repaired"] or _saved(fault)
        sys.stdout.write(f"{fault['run']}/{fault['path']}: {fault['problem']}{f'; {outcome}' if outcome else ''}\n")
    damaged = len({fault["run"] for fault in found})
    is_repaired = any(fault["repaired"] for fault in found)
    others = f", {len(failed):,} could not be {'repaired' if mend else 'checked'}" if failed else ""
    outcome = "repaired" if is_repaired else "damaged"
    sys.stdout.write(f"{plural(runs - len(failed), 'run')} checked, {damaged or 'none'} {outcome}{others}\n")
    if found and not is_repaired:
        sys.stdout.write("--repair keeps what can be read, and puts the damaged files aside\n")
