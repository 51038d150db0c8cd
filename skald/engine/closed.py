"""Closed runs, remembered: what the metrics file of a run without segments says, as long as it is the same file.

NOTE: polars takes 3 ms for one metric of 2 million rows. To read each time what the file says costs half a millisecond
more, as after the threads of polars all that Python does is cold.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Final, NamedTuple

from skald.durable import identity
from skald.engine.rewind import Rewinds
from skald.engine.standing import read_rewinds
from skald.engine.stored import Stored, open_parquet
from skald.errors import CorruptRunError
from skald.layout import CSV, PARQUET, RUN_JSON, SEGMENTS

_MOST: Final = 100
"""Runs that are remembered."""
_MOST_BYTES: Final = 1 << 16
"""Of what a file says of its metrics and series; one that says more is not remembered."""


class ClosedRun(NamedTuple):
    """A run that has no rows but those in its parquet file.

    Attributes:
        stored: what the file says; it is closed.
        of_file: by what the file is told from one that replaces it.
        rewinds: those of the run.
    """

    stored: Stored
    of_file: tuple[int, ...]
    rewinds: Rewinds

    def open(self) -> Stored | None:
        """Open the file; None where it has been replaced."""
        known = self.stored
        try:
            file = open(known.path, "rb", buffering=0)  # noqa: PTH123, SIM115  a Path takes longer
        except FileNotFoundError:
            return None
        if identity(os.fstat(file.fileno())) == self.of_file:
            return Stored(known.path, file, known.coverage, metrics=known.metrics_json, series=known.series_json)
        file.close()
        return None


def closed_run(run: Path) -> ClosedRun | None:
    """Return what a closed run holds; None where it has segments, or a csv, or very many series.

    Raises:
        CorruptRunError: the metrics file cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """
    folder = f"{run}/"
    try:
        # NOTE: first: whatever is in no segment then, is in the file that is there after it
        if _is_there(folder + SEGMENTS) or _is_there(folder + CSV):
            return None
        return _read(run, identity(os.stat(folder + PARQUET)), identity(os.stat(folder + RUN_JSON)))  # noqa: PTH116
    except OSError:
        return None


def _is_there(path: str) -> bool:
    """Tell whether a file is there; NOTE: a "stale" one of a network file system is none that is not."""
    try:
        os.stat(path)  # noqa: PTH116  as below
    except FileNotFoundError:
        return False
    return True


@functools.lru_cache(_MOST)
def _read(run: Path, of_file: tuple[int, ...], _of_run_json: tuple[int, ...]) -> ClosedRun | None:
    stored = open_parquet(run / PARQUET)
    if stored is None:
        return None
    with stored:
        is_same = identity(os.fstat(stored.file.fileno())) == of_file
    if not is_same or len(stored.metrics_json) + len(stored.series_json) > _MOST_BYTES:
        return None
    try:
        return ClosedRun(stored, of_file, read_rewinds(run))
    except CorruptRunError:  # of run.json: whoever needs it says so
        return None
