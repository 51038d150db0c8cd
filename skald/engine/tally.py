"""What is noted of the rows of a metrics file while they are written: the material of its coverage and summary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skald.engine.merge import Chunk
from skald.engine.rows import Ints
from skald.engine.statistics import SeriesTally
from skald.schema import Kinds

_LONG_AGO = -(2**63)


class Tally:
    """Counts rows, chunks and times.

    Attributes:
        rows: how many rows were noted.
        chunks: of each chunk its rows and its oldest time.
        parts: how many of them belong to which writer.
        newest: the newest time, None before the first row.
        ordered: whether the times of each metric never decreased.
        series: the summary of each series.
    """

    def __init__(self, kinds: Kinds) -> None:
        """Begin with nothing, of a run with these ids."""
        self.rows = 0
        self.chunks: list[tuple[int, int]] = []
        self.parts: dict[str, int] = {}
        self._writer = ""
        self.newest: int | None = None
        self.ordered = True
        self.series = SeriesTally(kinds)
        self._last: Ints = np.empty(0, np.int64)  # time of the last row of each metric

    def begin(self, writer: str) -> None:
        """Say whose rows come now."""
        self._writer = writer

    def add(self, chunk: Chunk) -> None:
        """Note the rows of a chunk, which has some."""
        time = chunk.time
        oldest, newest = int(time.min()), int(time.max())
        self.rows += len(chunk)
        self.parts[self._writer] = self.parts.get(self._writer, 0) + len(chunk)
        self.chunks.append((len(chunk), oldest))
        self.newest = newest if self.newest is None else max(self.newest, newest)
        self.ordered = self._continues(chunk) and self.ordered
        self.series.add(chunk)

    def used(self, metrics: Sequence[str]) -> list[str]:
        """Return those of the metrics, given by their numbers, that have rows."""
        return [name for name, last in zip(metrics, self._last.tolist(), strict=False) if last != _LONG_AGO]

    def _continues(self, chunk: Chunk) -> bool:
        """Tell whether no row is older than the one before it of its metric."""
        metric, time = chunk.metric, chunk.time
        changes = metric[1:] != metric[:-1]
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        stops = np.concatenate([starts[1:], [len(metric)]]) - 1
        missing = max(0, len(chunk.names) - len(self._last))
        self._last = np.append(self._last, np.full(missing, _LONG_AGO, np.int64))
        follows = bool((time[starts] >= self._last[metric[starts]]).all())
        self._last[metric[stops]] = time[stops]
        return follows and bool(((time[1:] >= time[:-1]) | changes).all())
