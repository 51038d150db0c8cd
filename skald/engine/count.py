"""How many rows a run has, counted without reading them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skald.engine.extraction import read_times
from skald.engine.snapshot import SegmentFile, take_snapshot
from skald.errors import CorruptRunError


def count_rows(run: Path) -> tuple[int, int]:
    """Return how many rows are in the metrics file of a run, and how many in its segments; damaged ones have none.

    Raises:
        RunNotFoundError, CorruptRunError, FormatVersionError: as `take_snapshot`.
    """
    snapshot = take_snapshot(run, _count)
    if snapshot.stored is None:
        return 0, sum(count for _, count in snapshot.segments)
    with snapshot.stored as stored:
        return stored.coverage.rows, sum(count for _, count in snapshot.segments)


def _count(file: SegmentFile) -> int:
    try:
        return int(np.count_nonzero(read_times(file.path)))
    except CorruptRunError:
        return 0
