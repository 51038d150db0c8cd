"""Which runs a source means, and what each is called: the same in `scan`, `runs`, `query` and on the command line.

Invariant: a name is the path relative to the folder that was searched, so it is unique among the runs that were found.
"""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from skald import layout
from skald.errors import InvalidInputError, RunNotFoundError
from skald.notice import warn

Source: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A folder of runs, a run (its path or a `Run`), a glob, or several of these."""


class Found(NamedTuple):
    """A run that was found.

    Attributes:
        name: what it is called.
        folder: its absolute path, by way of the link that led to it; as text, since to make a Path takes as long as to
            look into the folder.
        holds: the names of what its folder holds.
    """

    name: str
    folder: str
    holds: frozenset[str]


def find_runs(source: Source, *, progress: Callable[[int, None], object] | None = None) -> list[Found]:
    """Return the runs that a source means, in the order of their names.

    A folder is searched at every depth, down to the first folder with a `run.json`. Symbolic links inside it are
    followed to folders outside of it, to each once; one that stays inside names nothing that is not found anyway.
    Folders without runs are not mentioned.

    Args:
        source: a folder of runs, a run, a glob, or several of these.
        progress: is told how many folders were looked into so far, of how many is not known.

    Returns:
        the runs, each named by its path relative to the folder; for a run, a glob or several, to the deepest folder
        common to all. Names have `/` on every system.

    Raises:
        RunNotFoundError: a path does not exist, or nothing matches a glob.
        InvalidInputError: the source is nothing of that kind.
    """
    paths = as_list(source)
    folders = [os.path.realpath(folder) for path in paths for folder in _folders(path)]
    looks = itertools.count(1)
    look = (lambda: progress(next(looks), None)) if progress else (lambda: None)
    links: list[str] = []
    found = {path: holds for folder in folders for path, holds in _search(folder, look, links)}
    found.update(_linked(sorted(links), folders, found, look))
    if not found:
        return []
    top = os.path.realpath(paths[0])
    if not isinstance(source, (str, os.PathLike)) or not Path(top).is_dir() or top in found:
        top = os.path.commonpath([path.rpartition(os.sep)[0] or os.sep for path in found])
    start = len(top.rstrip(os.sep)) + 1
    runs = [Found(path[start:].replace(os.sep, "/"), path, holds) for path, holds in found.items()]
    return sorted(runs, key=lambda run: run.name)


def check_source(source: Source) -> None:
    """Refuse a source that cannot be searched for runs.

    Raises:
        As `find_runs`.
    """
    for path in as_list(source):
        _folders(path)


def check_path(folder: str) -> None:
    """Refuse the path of a run that is no text, as no table can hold it.

    Raises:
        InvalidInputError: it is not UTF-8.
    """
    try:
        folder.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"the path of a run must be UTF-8, got {folder!r}: rename the folder") from None


def as_list(source: Source) -> list[str]:
    """Return the paths and globs that a source consists of.

    Raises:
        InvalidInputError: it is neither a path nor several.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        return [_text(source)]
    if not isinstance(source, Iterable):
        raise _wrong(source)
    return [_text(item) for item in source]


def _text(item: object) -> str:
    if isinstance(item, os.PathLike):
        item = os.fspath(item)
    if not isinstance(item, str):
        raise _wrong(item)
    return os.path.expanduser(item)  # noqa: PTH111  a Path's raises where there is no home


def _wrong(found: object) -> InvalidInputError:
    return InvalidInputError(
        f"expected a folder of runs, a glob, or several paths and Runs, got {type(found).__name__}: {found!r:.80}"
    )


def _folders(path: str) -> list[str]:
    """Return the folder of this path, or the folders that match it as a glob."""
    place = Path(path)
    if path and place.is_dir():
        return [path]
    if path and place.exists():
        raise RunNotFoundError(f"expected a run or a folder of runs, found a file, at {path}")
    if not glob.has_magic(path):
        raise RunNotFoundError(f"there is no run or folder of runs at {path or repr(path)}")
    folders = folders_like(path)
    if not folders:
        raise RunNotFoundError(f"there is no folder that matches {path}")
    return [str(folder) for folder in folders]


def folders_like(pattern: str, *, inside: Path | None = None) -> list[Path]:
    """Return the folders that match a glob, in the order of their names.

    Args:
        pattern: `**` matches folders at every depth.
        inside: where a relative one begins; None: the working directory.
    """
    found = sorted(glob.glob(pattern, root_dir=inside, recursive=True))  # noqa: PTH207  a Path's takes no absolute ones
    return [folder for folder in (Path(inside or "", match) for match in found) if folder.is_dir()]


def has_runs(folders: Iterable[str | os.PathLike[str]]) -> bool:
    """Tell whether there is a run in one of some folders; no further than to the first is looked."""
    plain = (run for folder in folders for run in _search(os.path.realpath(folder), lambda: None, []))
    return any(plain) or any(find_runs(folder) for folder in folders)


def _linked(
    links: Sequence[str], folders: Sequence[str], found: Collection[str], look: Callable[[], object]
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the runs in folders outside of those that were searched, to which links lead, by the paths of the links."""
    searched, known = set(folders), set(found)
    above = {parent for folder in folders for parent in _lineage(folder)}
    left = list(links)
    for link in left:
        target = os.path.realpath(link)
        if target in above or not os.path.isdir(target) or not searched.isdisjoint(_lineage(target)):  # noqa: PTH112
            continue
        searched.add(target)
        inner: list[str] = []
        for path, holds in _search(target, look, inner):
            if path not in known:
                known.add(path)
                yield link + path[len(target) :], holds
        left += [link + path[len(target) :] for path in sorted(inner)]


def _lineage(path: str) -> list[str]:
    """Return a path and the folders above it."""
    return [path, *map(str, Path(path).parents)]


def _search(folder: str, look: Callable[[], object], links: list[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the runs in a folder, which may be one itself, with the names of what they hold; add the links in it."""
    look()
    try:
        names = frozenset(os.listdir(folder))  # noqa: PTH208  a Path for each file would take thrice as long
        if layout.RUN_JSON in names:
            yield folder, names
            return
        inner = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                elif entry.is_symlink():
                    links.append(entry.path)
    except (FileNotFoundError, NotADirectoryError):  # removed just now
        return
    except OSError as error:
        warn(f"a folder cannot be searched for runs: {error.strerror}, {folder}")
        return
    for path in inner:
        if not path.rpartition(os.sep)[2].startswith(layout.TEMPORARY_PREFIX):
            yield from _search(path, look, links)
