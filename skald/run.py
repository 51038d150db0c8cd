"""One run, read: a view of its folder.

Invariant: nothing is remembered but the path, so each attribute tells what is on the disk at that moment.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from skald import layout
from skald.engine.reader import metric_names, scan_metrics, scan_rewound
from skald.errors import RunNotFoundError
from skald.reading.artifact_table import artifact_table
from skald.reading.portrait import facts_of, page, panel
from skald.reading.summary import read_summary
from skald.reading.widening import widen
from skald.record.artifacts import read_artifacts
from skald.record.consolefiles import read_console
from skald.record.info import Status, read_info, read_status
from skald.record.lifetime import duration_of
from skald.record.params import read_params
from skald.schema import Id

if TYPE_CHECKING:
    from rich.panel import Panel


class Run:
    """A run on the disk, being written, ended or crashed; each attribute looks at the disk anew.

    Args:
        path: the run's folder.

    Raises:
        RunNotFoundError: there is no run at this path.
        CorruptRunError: its run.json cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = layout.absolute(path, what="the path of a run")
        try:
            read_info(self._path)
        except RunNotFoundError as error:
            named = layout.runs_dir(None) / path
            if layout.is_run(named):
                error.add_note(f"hint: Run takes a path, and there is a run of that name at {named}")
            raise

    @property
    def path(self) -> Path:
        """The run's folder, absolute."""
        return self._path

    @property
    def name(self) -> str:
        """The run's name, which is its folder's."""
        return self._path.resolve().name

    @property
    def info(self) -> dict[str, Any]:
        """All of run.json: identity, sessions and environment; times are datetimes in UTC."""
        found: dict[str, Any] = msgspec.to_builtins(read_info(self._path), builtin_types=(dt.datetime,))
        return found

    @property
    def status(self) -> Status:
        """How the run is: running, finished, stopped, failed, or crashed (its writer is gone without a word)."""
        return read_status(self._path)

    @property
    def started(self) -> dt.datetime:
        """When the run began, in UTC."""
        return read_info(self._path).started

    @property
    def ended(self) -> dt.datetime | None:
        """When the run ended, in UTC; None while it is being written, and where its writer is gone without a word."""
        return read_info(self._path).ended

    @property
    def duration(self) -> dt.timedelta:
        """How long the run has been written: its sessions together, those at the same time counted once.

        A session of a live writer lasts until now, one of a writer that is gone without a word until its newest row,
        or, where it has none, until the newest of its files was written, which a copy of the run may not tell.
        """
        return duration_of(self._path, read_info(self._path))

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        return read_info(self._path).tags

    @property
    def notes(self) -> str:
        """The run's notes."""
        return read_info(self._path).notes

    @property
    def metrics(self) -> pl.LazyFrame:
        """All rows: `metric`, the ids, `value`, `time`.

        It may be kept: collected later it holds what is there then, whatever happened to the run meanwhile.
        """
        return scan_metrics(self._existing())

    @property
    def rewound(self) -> pl.LazyFrame:
        """The rows that a rewind took back, with the columns of `metrics`; it may be kept too."""
        return scan_rewound(self._existing())

    @property
    def metric_names(self) -> list[str]:
        """The names of the metrics, in order of first appearance."""
        return metric_names(self._path)

    @property
    def params(self) -> dict[str, Any]:
        """The parameters, nested as they were logged."""
        return read_params(self._path)

    @property
    def artifacts(self) -> pl.DataFrame:
        """The files under `artifacts/`, oldest first: `path` (relative to it), `size`, `sha256`, `time`, and the ids.

        Files that a program put there itself are among them, without sum, as are those that were linked or changed
        since. An id that is named like one of the columns before has the column `NAME (id)`.
        """
        return artifact_table(read_artifacts(self._existing()))

    @property
    def console(self) -> str:
        """What was logged and printed, also the line that is not finished yet; empty where there is nothing.

        First console.log, then what each process that joined has said, below a line with its file's name.
        """
        return read_console(self._existing())

    def summary(self, /, *, by: Sequence[str] | str | None = None, **ids: Id) -> pl.DataFrame:
        """Return a row for each series: counts, first, last, min, max, mean, and the ids where they were logged.

        Args:
            by: the ids that tell rows of the result apart; by default the string and bool ids.
            ids: only rows that have these ids: `run.summary(split="val")`.

        Returns:
            `metric`, the ids in `by`, `count`, `nan`, `first`, `last`, `min`, `max`, `mean`, and the structs
            `min_at`, `max_at`, `nan_at`; `skald.reading.summary.summarize` says what each holds. Of a run whose rows
            are all in its metrics file they stand there too, so none is read where only string and bool ids are named.

        Raises:
            InvalidInputError: there is no such id.
            IdTypeError: an id of another kind than in this run.
        """
        return read_summary(self._path, by=by, where=ids)

    def wide(
        self, /, *metrics: str, index: Sequence[str] | str | None = None, columns: str | None = None, **ids: Id
    ) -> pl.LazyFrame:
        """Return a table with a column a metric and a row per distinct value of `index`, sorted by it.

        Args:
            metrics: names of metrics; none: all but histograms.
            index: ids (or `time`); by default those that all these metrics have.
            columns: an id, each of whose values gets a column.
            ids: only rows that have these ids: `run.wide("loss", split="val")`.

        Raises:
            InvalidInputError: a metric or an id does not exist; rows coincide that differ in a string or bool id.
            IdTypeError: an id of another kind than in this run.
        """
        return widen(self.metrics, metrics, index=index, columns=columns, where=ids)

    def __fspath__(self) -> str:
        """Return the path: a run can be given wherever its folder can."""
        return str(self._path)

    def __repr__(self) -> str:
        """Return one line: name, status, rows and path."""
        return facts_of(self._path).line("Run")

    def __rich__(self) -> Panel:
        """Return a small panel for Rich."""
        return panel(facts_of(self._path))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: status, params, and series with their curves."""
        return page(facts_of(self._path), self)

    def _existing(self) -> Path:
        """Return the path, where there is still a run."""
        if not layout.is_run(self._path):
            raise RunNotFoundError(f"there is no run at {self._path} any more")
        return self._path
