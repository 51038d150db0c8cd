"""What a PATH on the command line means: a run, a folder of runs, or the name of a run."""

from __future__ import annotations

import contextlib
import difflib
import glob
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from skald import layout
from skald.cli.format import path_text
from skald.errors import InvalidInputError, RunNotFoundError, SkaldError
from skald.many.cloud import is_cloud
from skald.many.finding import find_runs, folders_like, has_runs
from skald.record.info import read_info
from skald.upkeep.latebar import late_bar


def resolve(given: str | None) -> Path:
    """Return the one folder that a PATH names; None is the default folder of runs.

    Raises:
        RunNotFoundError: there is no such folder.
        InvalidInputError: it is a glob that several match.
    """
    if given is None:
        return _default_folder()
    first, *others = matching(given)
    if others:
        raise InvalidInputError(f"expected one run, got {1 + len(others):,} folders that match {given!r}")
    return first


def resolve_all(paths: Sequence[str]) -> list[Path]:
    """Return the folders that PATHs name; the default folder of runs, where none is given.

    Raises:
        RunNotFoundError: there is no such folder.
    """
    return [folder for path in paths for folder in matching(path)] or [resolve(None)]


def matching(given: str) -> list[Path]:
    """Return the folder that a PATH names, or those that match it as a glob, as a shell would have found them.

    Raises:
        RunNotFoundError: there is none.
    """
    is_name = _is_name(given)
    path = Path(os.path.expanduser(given))  # noqa: PTH111  a Path's raises where there is no home
    named = layout.runs_dir(None) / given
    if given and path.is_dir():
        return [path]
    if given and is_name and named.is_dir():
        return [named]
    if not glob.has_magic(given):
        raise _not_found(given)
    found = folders_like(str(path)) or (folders_like(given, inside=named.parent) if is_name else [])
    if not found:
        beside = f", nor a run in {named.parent} that does" if is_name else ""
        raise RunNotFoundError(f"there is no run or folder that matches {given!r}{beside}")
    return found


def as_source(folders: Sequence[Path]) -> Path | list[Path]:
    """Return what `scan` takes for folders: one is what runs are named from."""
    return folders[0] if len(folders) == 1 else list(folders)


def runs_in(folders: Iterable[Path]) -> list[Path]:
    """Return the runs among and inside some folders; of a search that takes long it is shown how far it is."""
    with late_bar("searching for runs") as progress:
        found = [run for folder in folders for run in find_runs(folder, progress=progress)]
    return list(dict.fromkeys(Path(run.folder) for run in found))


def check_place(target: Path) -> None:
    """Hold a file to write to a folder that is there, and to none of a run but `artifacts/`, where files are welcome.

    Raises:
        InvalidInputError: it would stand elsewhere.
    """
    if not target.parent.is_dir():
        raise InvalidInputError(f"there is no folder {path_text(target.parent)} to write {target.name} into")
    folder = target.parent.resolve()
    for run in (folder, *folder.parents):
        if layout.is_run(run) and not folder.is_relative_to(run / layout.ARTIFACTS):
            error = InvalidInputError(
                f"-o must not be in the folder of a run, whose files are its own, got {path_text(target)}"
            )
            error.add_note(f"hint: write it elsewhere, or into {layout.ARTIFACTS}/ of the run")
            raise error


def no_runs(folders: Sequence[Path]) -> RunNotFoundError:
    """Return the error of folders that hold no run."""
    return RunNotFoundError(f"there are no runs in {', '.join(map(path_text, folders))}")


def check_runs(folders: Sequence[Path]) -> None:
    """Refuse folders that hold no run.

    Raises:
        RunNotFoundError: there is none.
    """
    if not has_runs(folders):
        raise no_runs(folders)


def newest_run(folder: Path) -> Path:
    """Return the run in a folder that was started last.

    Raises:
        RunNotFoundError: there is none that can be read.
    """
    started = {}
    for run in runs_in([folder]):
        with contextlib.suppress(SkaldError):
            started[run] = read_info(run).started
    if not started:
        raise no_runs([folder])
    return max(started, key=lambda run: started[run])


def _default_folder() -> Path:
    folder = layout.runs_dir(None)
    if not folder.is_dir():
        error = RunNotFoundError(f"there is no folder of runs at {folder}")
        error.add_note("hint: name a run or a folder, or set SKALD_DIR")
        raise error
    return folder


def _is_name(given: str) -> bool:
    return not any(separator in given for separator in ("/", os.sep, os.altsep) if separator)


def _not_found(given: str) -> RunNotFoundError:
    if given and Path(given).exists():
        return RunNotFoundError(f"{given} is a file, not a run or a folder of runs")
    if not given or not _is_name(given):
        missing = RunNotFoundError(f"there is no run or folder {given!r}")
        if is_cloud(given):
            missing.add_note("hint: of runs in a cloud store skald.scan reads the rows, the command line reads folders")
        return missing
    folder = layout.runs_dir(None)
    names = [run.name for run in folder.iterdir() if layout.is_run(run)] if folder.is_dir() else []
    near = difflib.get_close_matches(given, names)
    error = RunNotFoundError(f"there is no run or folder {given!r}, nor a run of that name in {folder}")
    if near:
        error.add_note(f"hint: did you mean {' or '.join(near)}?")
    return error
