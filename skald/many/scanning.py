"""Many runs as one lazy table.

Invariant: a run that cannot be read costs its own rows and one warning, never the table.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from polars.io.plugins import register_io_source

from skald.engine.columns import first_then_filtered, table_schema
from skald.errors import InvalidInputError, SkaldError
from skald.many.cloud import (
    CloudRun,
    StorageOptions,
    find_cloud_runs,
    is_cloud,
    is_empty,
    read_cloud_kinds,
    read_cloud_params,
)  # fmt: skip
from skald.many.finding import Found, Source, as_list, check_path, check_source, find_runs
from skald.many.paramtable import flat, param_columns, param_names
from skald.many.pushdown import split
from skald.many.union import (
    KnownFiles,
    Member,
    describe_broken,
    describe_disagreed,
    groups,
    member,
    mostly_numbers,
    scan_files,
    scan_folder,
    union_kinds,
)  # fmt: skip
from skald.notice import warn
from skald.reading.selection import as_names
from skald.record.params import read_params
from skald.schema import RUN, Kind, Kinds

_FAULTS: Final = (SkaldError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_REQUESTS: Final = 32
"""Requests to a cloud store under way at a time: each waits for its answer longer than it takes."""
_KNOWN: Final = KnownFiles()
"""Of all scans of this process: people ask the same runs again and again."""
_AS_TEXT: Final = "read as string, so that each value is a series of its own"
_AS_NUMBER: Final = "drawn as a number, as it is one in most runs"
_BATCH_ROWS: Final = 200_000
"""Rows are handed to polars so many at a time: a batch a file would take as long as the reading."""


def scan(source: Source, *, params: Sequence[str] | str = (), storage_options: StorageOptions = None) -> pl.LazyFrame:
    """Return the rows of many runs: `run`, `metric`, the ids of all runs, `value`, `time`, and params if asked for.

    Conditions on the metric, the run, ids and params, and the columns that are asked for, reach the files, so little is
    read. The frame may be kept: what is there is found out anew whenever it is collected.

    Runs that cannot be read are left out with one warning. An id that is int in some runs and float in others is
    float; one of which runs disagree otherwise is read as string, with one warning.

    Args:
        source: a folder of runs, which is searched at every depth, a run, a glob, or several paths and Runs; or the
            same in a cloud store (`s3://bucket/runs`, also `gs://`, `az://`, `hf://`), of which closed runs are read.
        params: dotted names of params, or globs of them, to add as columns `params.NAME`; `"*"` for all.
        storage_options: how to connect to the cloud store, as polars takes it; None: as the environment says.

    Raises:
        RunNotFoundError: a path does not exist, nothing matches a glob, or a cloud store has no closed runs there.
        InvalidInputError: the source is nothing of that kind, or no run has such a param.
        StorageError: the cloud store does not answer.
    """
    runs = _Runs(source, as_names(params, "params"), storage_options)
    runs.check()
    return register_io_source(runs.read, schema=runs.schema)


def scan_for_plots(source: Source) -> pl.LazyFrame:
    """Return the rows of many runs, for curves: an id that is a number in most runs is a number, null in others."""
    runs = _Runs(source, [], None, for_plots=True)
    runs.schema()
    rows = register_io_source(runs.read, schema=runs.schema)
    return rows.with_columns(pl.col(name).cast(pl.Float64, strict=False) for name in mostly_numbers(runs.disagreed))


def scan_told(source: Source, broken: Iterable[str]) -> pl.LazyFrame:
    """Return the rows of many runs without a word of those that are known to be broken."""
    runs = _Runs(source, [], None)
    runs.told_runs.update(broken)
    return register_io_source(runs.read, schema=runs.schema)


class _Query(NamedTuple):
    """What a collect wants."""

    options: StorageOptions
    kinds: Kinds
    columns: Sequence[str]
    conditions: Sequence[pl.Expr]
    n_rows: int | None
    facts: pl.DataFrame | None
    """What the query wants of the runs themselves."""

    def of(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows and columns that are wanted, and the run."""
        if self.facts is not None:
            rows = rows.join(self.facts.lazy(), on=RUN, how="left", maintain_order="left")
        rows = rows.filter(*self.conditions) if self.conditions else rows
        rows = rows.select(*dict.fromkeys([*self.columns, RUN]))
        return rows if self.n_rows is None else rows.head(self.n_rows)


class _Runs:
    """What polars asks for the columns and the rows of many runs."""

    def __init__(
        self, source: Source, params: Sequence[str], options: StorageOptions, *, for_plots: bool = False
    ) -> None:
        paths = [one if is_cloud(one) or not one else os.path.abspath(one) for one in as_list(source)]  # noqa: PTH100  globs
        self._source: Source = paths[0] if isinstance(source, (str, os.PathLike)) else paths
        self._cloud = paths if any(map(is_cloud, paths)) else []
        if not all(map(is_cloud, self._cloud)):
            raise InvalidInputError(f"expected addresses in a cloud store, got paths among them: {paths}")
        self._params, self._options, self._for_plots = params, options, for_plots
        self._members: list[Member] = []
        self._kinds: Kinds = {}
        self._facts = pl.DataFrame({RUN: []}, {RUN: pl.String})
        self.disagreed: dict[str, dict[Kind, list[str]]] = {}
        self.told_runs: set[str] = set()

    def check(self) -> None:
        """Raise what polars would wrap; NOTE: a look at all runs, as for params, takes as long as reading a tenth."""
        if self._params or self._cloud:
            self.schema()
        else:
            check_source(self._source)

    def schema(self) -> pl.Schema:
        """Return the columns that there are now."""
        self._members, params = self._load()
        told = self.disagreed
        self._kinds, self.disagreed = union_kinds(self._members)
        new = {name: runs for name, runs in self.disagreed.items() if name not in told}
        numbers = mostly_numbers(new) if self._for_plots else []
        for outcome, ids in ((_AS_TEXT, new.keys() - numbers), (_AS_NUMBER, numbers)):
            if ids:
                chosen = {name: new[name] for name in new if name in ids}
                warn(describe_disagreed(chosen, outcome))
        names = pl.Series(RUN, [one.name for one in self._members], pl.String)
        self._facts = pl.DataFrame([names, *param_columns(params, param_names(params, self._params))])
        return pl.Schema({RUN: pl.String(), **table_schema(self._kinds), **self._facts.drop(RUN).schema})

    def _load(self) -> tuple[list[Member], list[dict[str, Any]]]:
        """Return the runs that there are, and their params."""
        members, params, broken = [], [], {}
        for name, look in self._find():
            try:
                one, given = look()
            except _FAULTS as error:
                broken[name] = error
            else:
                members.append(one)
                params.append(flat(given))
        self._warn(broken)
        return members, params

    def _find(self) -> Iterator[tuple[str, Callable[[], tuple[Member, dict[str, Any]]]]]:
        """Yield the names of the runs, and calls that look at them."""
        if not self._cloud:
            for found in find_runs(self._source):
                yield found.name, partial(self._look, found)
            return
        runs = find_cloud_runs(self._cloud, self._options)
        with ThreadPoolExecutor(_REQUESTS) as pool:
            for run, answer in [(run, pool.submit(self._ask, run)) for run in runs]:
                yield run.name, answer.result

    def _look(self, found: Found) -> tuple[Member, dict[str, Any]]:
        check_path(found.folder)
        return member(*found, _KNOWN), read_params(Path(found.folder)) if self._params else {}

    def _ask(self, run: CloudRun) -> tuple[Member, dict[str, Any]]:
        try:
            one = Member(run.name, read_cloud_kinds(run.file, self._options), run.file)
        except FileNotFoundError:
            if not is_empty(run.file, self._options):
                raise
            one = Member(run.name, {}, None)
        return one, read_cloud_params(run.file, self._options) if self._params else {}

    def _warn(self, broken: Mapping[str, BaseException]) -> None:
        """Name runs that are left out, once."""
        new = {name: error for name, error in broken.items() if name not in self.told_runs}
        if new:
            warn(describe_broken(new))
            self.told_runs.update(new)

    def read(
        self, columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows that there are now, as the IO sources of polars do."""
        if predicate is not None and n_rows is not None:
            yield from first_then_filtered(self.read, columns, predicate, n_rows)
            return
        about_runs, others = split(predicate, self._facts.columns)
        chosen = set(self._facts.filter(*about_runs)[RUN]) if about_runs else None
        members = [one for one in self._members if chosen is None or one.name in chosen]
        every = [RUN, *table_schema(self._kinds).names(), *self._facts.columns[1:]]
        # NOTE: of no columns, as a cross join asks, a frame would have no rows either
        wanted = every if columns is None else columns or [RUN]
        used = {*wanted, *(name for part in others for name in part.meta.root_names())}
        facts = self._facts.select(name for name in self._facts.columns if name == RUN or name in used)
        query = _Query(self._options, self._kinds, wanted, others, n_rows, facts if facts.width > 1 else None)
        left = n_rows
        for frame in self._frames(query, members):
            rows = frame.select(wanted) if left is None else frame.select(wanted).head(left)
            yield rows
            left = None if left is None else left - rows.height
            if left == 0:
                return

    def _frames(self, query: _Query, members: Sequence[Member]) -> Iterator[pl.DataFrame]:
        """Yield what a query wants of some runs: first of those whose files can be scanned at once."""
        broken: dict[str, BaseException] = {}
        for scanned, together in groups(members, query.kinds):
            yield from _together(query, together, scanned, broken)
        for one in members:
            if one.file is None and one.folder:
                yield from _alone(query, one, scan_folder(one, query.kinds), broken)
        self._warn(broken)


def _together(
    query: _Query, members: Sequence[Member], scanned: Kinds, broken: dict[str, BaseException]
) -> Iterator[pl.DataFrame]:
    """Yield the rows of files that are scanned at once; where one of them fails, of one after the other."""
    last, given = members[0].name, 0  # the run that comes just now, and how many of its rows were given
    try:
        rows = query.of(scan_files(members, scanned, query.kinds, query.options))
        for frame in rows.collect_batches(maintain_order=True, lazy=True, chunk_size=_BATCH_ROWS):
            yield frame
            if frame.height:
                given = given if frame.item(-1, RUN) == last else 0
                last = frame.item(-1, RUN)
                given += _rows_of_last(frame[RUN])
        return
    except _FAULTS:
        pass  # told below, with the run whose it is
    names = [one.name for one in members]
    for one in members[names.index(last) :]:
        # NOTE: by its folder a run is read also where its file has been replaced since the look
        rows = scan_folder(one, query.kinds) if one.folder else scan_files([one], scanned, query.kinds, query.options)
        found = _alone(query, one, rows, broken)
        yield from (frame.slice(given) if one.name == last else frame for frame in found)


def _rows_of_last(runs: pl.Series) -> int:
    """Return how many rows at the end are of one run; NOTE: to compare all of them takes 2 % of the reading."""
    return len(runs) - bisect_left(range(len(runs)), 1, key=lambda row: runs[row] == runs[-1])


def _alone(query: _Query, one: Member, rows: pl.LazyFrame, broken: dict[str, BaseException]) -> Iterator[pl.DataFrame]:
    """Yield what a query wants of one run; nothing where its rows cannot be read."""
    try:
        yield query.of(rows).collect(engine="streaming")
    except _FAULTS:
        try:
            rows.select(pl.all().last()).collect(engine="streaming")
        except _FAULTS as error:
            broken[one.name] = error
        else:
            raise  # it is the query that fails
