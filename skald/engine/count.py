"""How many rows a run has, counted without reading more of them than a rewind makes necessary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skald.engine.extraction import read_segment, read_times
from skald.engine.feeds import read_counting
from skald.engine.rewind import Rewind, choose, id_names
from skald.engine.snapshot import SegmentFile, segment_files, take_snapshot
from skald.engine.stored import Stored
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
        return count_stored(stored, snapshot.rewinds), sum(count for _, count in snapshot.segments)


def count_stored(stored: Stored, rewinds: Sequence[Rewind]) -> int:
    """Return how many rows of a metrics file count, where these rewinds concern it."""
    if not rewinds:
        return stored.coverage.rows
    parts = stored.coverage.rows_of()
    return sum(len(rows) for part in parts for rows in read_counting(stored, part, rewinds))


def count_written(folder: Path) -> int:
    """Return how many rows stand in the segments of a writer that is sealed; those compacted before are not there."""
    files = segment_files(folder.parent.parent, [folder])
    return sum(_count(file, ()) for file in files if file.path.exists())


def _count(file: SegmentFile, rewinds: Sequence[Rewind]) -> int:
    try:
        if rewinds:
            return len(choose(read_segment(file.path, columns=id_names(rewinds)), rewinds))
        return int(np.count_nonzero(read_times(file.path)))
    except CorruptRunError:
        return 0
