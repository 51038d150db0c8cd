"""Sketches: what is drawn of one metric, kept so finely that pictures of any width are made of it.

Invariant: a sketch that grew with new rows tells what one of all rows at once tells; where it cannot, it says so.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import polars as pl

from skald.reading.curves import (
    Axis,
    Span,
    axis_span,
    choose_axis,
    coarsen,
    cut,
    join,
    named_axis,
    series_keys,
    smooth,
    survey,
)  # fmt: skip
from skald.reading.heatmap import is_histogram

_COLUMNS: Final = 2048
"""Columns of a sketch; a terminal has a tenth of them."""
_FEWEST_COLUMNS: Final = 256
_MOST_CELLS: Final = 400_000
"""Columns of all series together: where series are many each has fewer."""


class Sketch:
    """The curves of one metric, or its histograms.

    Attributes:
        by: the columns that tell its series apart.
        surveyed: what `skald.reading.curves.survey` says of these.
        axis: what x is.
        span: from where to where it goes; None where no row has an x that can be drawn.
        histograms: the rows, where they are bins of histograms.
    """

    def __init__(
        self, rows: pl.DataFrame, *, x: str | None = None, by: str | None = None, is_log: bool = False
    ) -> None:
        """Sketch rows.

        Args:
            rows: all rows of the metric.
            x: what they are drawn over, as `curves.named_axis` takes it; None, and where these rows have no such id:
                chosen.
            by: an id that tells series apart, beside those that do.
            is_log: whether x is logarithmic.
        """
        frame = rows.lazy()
        self._x, self.is_log = x, is_log
        self.by = list(dict.fromkeys([*series_keys(frame), *([by] if by in rows.columns else [])]))
        self.surveyed = survey(rows, self.by)
        self.axis = self._choose(self.surveyed)
        self.span = axis_span(frame, self.surveyed, self.axis, is_log=is_log)
        self.histograms = rows if is_histogram(frame) else None
        self._columns = max(_FEWEST_COLUMNS, min(_COLUMNS, _MOST_CELLS // max(len(self.surveyed), 1)))
        self._reach = self.span or Span(0.0, 0.0)
        drawn = rows.head(0) if self.histograms is not None or self.span is None else rows
        self._parts = [cut(drawn, self.surveyed, self.axis, self._reach, self._columns, is_log=is_log)]

    def extend(self, rows: pl.DataFrame) -> bool:
        """Take in rows that came after the others; return whether that was possible.

        Args:
            rows: of the same metric, with the same columns.
        """
        frame, before = rows.lazy(), self.surveyed
        surveyed = survey(rows, self.by, before)
        found = axis_span(frame, surveyed, self.axis, is_log=self.is_log)
        if self.span is None or self._choose(surveyed) != self.axis:
            return False
        self.surveyed = surveyed
        if found:
            self.span = Span(min(self.span.low, found.low), max(self.span.high, found.high))
        if self.histograms is not None:
            self.histograms = pl.concat([self.histograms, rows])
            return True
        self._reach_out(self.span)
        new = cut(rows, surveyed, self.axis, self._reach, self._columns, is_log=self.is_log, before=before)
        self._parts.append(new)
        if sum(map(len, self._parts)) > 2 * self._columns * len(surveyed):
            self._parts = [join(self._parts, surveyed)]
        return True

    def curves(self, columns: int, smoothing: float = 0.0) -> pl.DataFrame:
        """Return the curves, cut into columns as `skald.reading.curves.cut` cuts them.

        Args:
            columns: how many.
            smoothing: as there.
        """
        table = pl.concat(self._parts)
        if smoothing:
            table = smooth(join(self._parts, self.surveyed), self.by, smoothing)
        return coarsen(table, self.surveyed, self.span or self._reach, columns, is_log=self.is_log)

    def _choose(self, surveyed: pl.DataFrame) -> Axis:
        if self._x in {"time", "relative"} or (self._x in surveyed.columns and surveyed[self._x].dtype == pl.Struct):
            given = surveyed[self._x].struct.field("low").count() if self._x in surveyed.columns else 1
            if self._x and given:
                return named_axis(self._x, {self._x: "float"} if self._x in surveyed.columns else {})
        return choose_axis(surveyed)

    def _reach_out(self, span: Span) -> None:
        """Make room for a span, and for as much again."""
        low, high = self._reach
        if low <= span.low and span.high <= high:
            return
        ends = [math.log10(end) if self.is_log else end for end in (*span, *self._reach)]
        room = ends[1] / 2 - ends[0] / 2  # halves stay inside a float
        low = ends[2] if low <= span.low else ends[0] - room
        high = ends[3] if span.high <= high else ends[1] + room
        if self.is_log:
            low, high = 10.0 ** max(low, -300.0), 10.0 ** min(high, 300.0)
        top = np.finfo(float).max
        self._reach = Span(max(min(low, span.low), -top), min(max(high, span.high), top))
        known = pl.concat(self._parts)
        self._parts = [coarsen(known, self.surveyed, self._reach, self._columns, is_log=self.is_log)]
