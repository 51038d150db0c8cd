"""The rows of many runs as one table: the union of their ids, and one scan of all files that hold closed runs.

Invariant: no row of a run is left out because the ids of another run are of other kinds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import polars as pl

from skald.amounts import plural
from skald.durable import identity
from skald.engine.columns import fit, table_schema
from skald.engine.reader import scan_metrics
from skald.engine.snapshot import check_is_there
from skald.engine.stored import read_kinds
from skald.layout import CSV, PARQUET, RUN_JSON, SEGMENTS
from skald.many.card import check_info
from skald.reading.selection import id_kinds
from skald.schema import RUN, Kind, Kinds, unify, widen

T = TypeVar("T")

_NAMED: Final = 3
"""So many runs, and so many ids, are named in a warning."""
_NAMED_BROKEN: Final = 10
_REASONS: Final = 5
_INTS_AS_FLOATS: Final = pl.ScanCastOptions(integer_cast="allow-float")


class Member(NamedTuple):
    """A run whose rows are in the table.

    Attributes:
        name: what it is called there.
        kinds: its ids.
        file: its metrics file, where that is a parquet file with all its rows; None: they are read through its folder.
        folder: the run's folder, where it is a local one.
    """

    name: str
    kinds: Kinds
    file: str | None
    folder: str = ""


_MOST_KNOWN: Final = 200_000
"""So many files are remembered, a few hundred bytes of each."""


class KnownFiles:
    """What was read of files before, as long as they are the same files."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Any]] = {}

    def read(self, path: str, read: Callable[[str], T]) -> T:
        """Return what a function reads of a file.

        Raises:
            FileNotFoundError: it is not there.
            As `read`.
        """
        now = identity(os.stat(path))  # noqa: PTH116  a Path takes longer than the call
        known = self._known.get(path)
        if known is None or known[0] != now:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[path] = (now, read(path))
        found: T = known[1]
        return found


def member(name: str, folder: str, holds: frozenset[str], known: KnownFiles) -> Member:
    """Return a run as a member of the table.

    Args:
        name: what it is called there.
        folder: the run's folder.
        holds: the names of what is in the folder.
        known: the files that were read before.

    Raises:
        SkaldError: a file of the run cannot be read, or its metrics file is missing.
    """
    known.read(f"{folder}{os.sep}{RUN_JSON}", check_info)
    if SEGMENTS in holds or CSV in holds:
        return Member(name, id_kinds(scan_metrics(Path(folder)).collect_schema()), None, folder)
    if PARQUET not in holds:
        check_is_there(Path(folder))
        return Member(name, {}, None, folder)
    file = f"{folder}{os.sep}{PARQUET}"
    return Member(name, known.read(file, read_kinds), file, folder)


def union_kinds(members: Sequence[Member]) -> tuple[Kinds, dict[str, dict[Kind, list[str]]]]:
    """Join the ids of runs, in order of first appearance.

    Returns:
        the kinds, and of the ids that are only read as strings because runs disagree, the runs by kind.
    """
    found: dict[str, dict[Kind, list[str]]] = {}
    for one in members:
        for name, kind in one.kinds.items():
            found.setdefault(name, {}).setdefault(kind, []).append(one.name)
    joined: Kinds = {}
    disagreed = {}
    for name, by_kind in found.items():
        first, *others = by_kind
        kind = first
        for other in others:
            if widen(kind, other) is None:
                disagreed[name] = by_kind
            kind = unify(kind, other)
        joined[name] = kind
    return joined, disagreed


def mostly_numbers(disagreed: Mapping[str, Mapping[Kind, Sequence[str]]]) -> list[str]:
    """Return those of the ids of which runs disagree that are numbers in more than half of the runs that have them."""
    return [
        name
        for name, by_kind in disagreed.items()
        if sum(len(runs) * (1 if kind in {"int", "float"} else -1) for kind, runs in by_kind.items()) > 0
    ]


def describe_disagreed(disagreed: Mapping[str, Mapping[Kind, Sequence[str]]], outcome: str) -> str:
    """Say which ids are of several kinds, in which runs, and what comes of it."""
    alike: dict[tuple[tuple[Kind, tuple[str, ...]], ...], list[str]] = {}
    for name, by_kind in disagreed.items():
        alike.setdefault(tuple((kind, tuple(runs)) for kind, runs in by_kind.items()), []).append(name)
    texts = [
        f"{'ids' if len(names) > 1 else 'id'} {name_some(names)} {'are' if len(names) > 1 else 'is'} "
        + ", ".join(f"{kind} in {name_some(runs)}" for kind, runs in by_kind)
        for by_kind, names in islice(alike.items(), _NAMED)
    ]
    if len(alike) > _NAMED:
        texts.append(f"{sum(map(len, islice(alike.values(), _NAMED, None))):,} more ids differ likewise")
    return f"{'; '.join(texts)}: {outcome}"


def name_some(runs: Sequence[str], most: int = _NAMED) -> str:
    """Name some runs, and how many more there are."""
    named = ", ".join(repr(run) for run in islice(runs, most))
    return f"{named} and {len(runs) - most:,} more" if len(runs) > most else named


def describe_broken(broken: Mapping[str, BaseException]) -> str:
    """Say which runs are left out, and what is wrong with the first few."""
    reasons = [" ".join(str(error).split()) for error in islice(broken.values(), _REASONS)]
    more = ["..."] if len(broken) > _REASONS else []
    outcome = f"{plural(len(broken), 'run')} cannot be read and {'is' if len(broken) == 1 else 'are'} left out"
    told = f"{outcome}: {name_some([*broken], _NAMED_BROKEN)} ({'; '.join([*reasons, *more])})"
    return f"{told}; hint: skald check tells what is damaged"


def groups(members: Sequence[Member], kinds: Kinds) -> Iterator[tuple[Kinds, list[Member]]]:
    """Put members together whose files can be scanned at once, as polars makes floats of ints there, but no strings.

    Yields:
        the kinds as which the ids of some members are scanned, and these members, all with a file.
    """
    found: dict[tuple[tuple[str, Kind], ...], list[Member]] = {}
    for one in members:
        if one.file is not None:
            odd = tuple(item for item in one.kinds.items() if kinds[item[0]] == "str" != item[1])
            found.setdefault(odd, []).append(one)
    for odd, together in found.items():
        yield kinds | dict(odd), together


def scan_files(
    members: Sequence[Member], scanned: Kinds, kinds: Kinds, options: dict[str, Any] | None = None
) -> pl.LazyFrame:
    """Return the rows of members of one group, run by run.

    Args:
        members: runs with a file.
        scanned: the kinds as which their ids are scanned.
        kinds: the ids of the table.
        options: how to connect to the cloud store that they are in.
    """
    files = [one.file for one in members if one.file is not None]
    frame = pl.scan_parquet(
        files,
        schema=table_schema(scanned),
        missing_columns="insert",
        extra_columns="raise",  # of a file that has come since the look: what it shows must have all ids
        cast_options=_INTS_AS_FLOATS,
        include_file_paths=RUN,
        hive_partitioning=False,  # a folder may be named lr=0.1
        glob=False,
        storage_options=options,
    )
    top = len(files[0]) - len(f"{members[0].name}/{PARQUET}")
    name = pl.col(RUN).str.slice(top).str.head(-len(f"/{PARQUET}"))
    return fit(frame.with_columns(name), scanned, kinds)


def scan_folder(one: Member, kinds: Kinds) -> pl.LazyFrame:
    """Return the rows of a run by way of its folder."""
    return scan_metrics(Path(one.folder), kinds).with_columns(pl.lit(one.name).alias(RUN))
