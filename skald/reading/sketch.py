"""Sketches: what is drawn of one metric, kept so finely that pictures of any width are made of it.

Invariant: a sketch that grew with new rows tells what one of all rows at once tells; where it cannot, it says so.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from skald.reading.axis import (
    Axis,
    Span,
    axis_span,
    choose_axis,
    drawn_span,
    named_axis,
    series_keys,
    span_drawn,
    survey,
)
from skald.reading.curves import COLUMN, X_MEAN, coarsen, cut, join, smooth
from skald.reading.heatmap import is_histogram, thin_out

_COLUMNS: Final = 2048
"""Columns of a sketch; a terminal has a tenth of them."""
_FEWEST_COLUMNS: Final = 256
_MOST_CELLS: Final = 400_000
"""Columns of all series together: where series are many each has fewer."""
_MOST_BINS: Final = 1_000_000
"""So many bins of histograms are kept as they are."""


class Sketch:
    """The curves of one metric, or its histograms.

    Attributes:
        by: the columns that tell its series apart.
        surveyed: what `skald.reading.axis.survey` says of these.
        axis: what x is.
        span: from where to where it goes; None where no row has an x that can be drawn.
        histograms: the rows, where they are bins of histograms; of millions fewer that are drawn alike.
    """

    def __init__(
        self, rows: pl.DataFrame, *, x: str | None = None, by: str | None = None, is_log: bool = False
    ) -> None:
        """Sketch rows.

        Args:
            rows: all rows of the metric.
            x: what they are drawn over, as `named_axis` takes it; None, and where these rows have no such id:
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
        self._is_thin, self._most_bins = False, _MOST_BINS
        self._columns = max(_FEWEST_COLUMNS, min(_COLUMNS, _MOST_CELLS // max(len(self.surveyed), 1)))
        self._reach = self.span or Span(0.0, 0.0)
        drawn = rows.head(0) if self.histograms is not None or self.span is None else rows
        self._parts = [self._cut(drawn, self._reach)]
        self._fine_reach: Span | None = None  # a part that is zoomed into, cut more finely
        self._fine: list[pl.DataFrame] = []
        self._thin_out()

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
            self.histograms = pl.concat([self.histograms, rows], how="vertical_relaxed")
            self._fine_reach, self._fine = None, []
            self._thin_out()
            return True
        self._reach_out(self.span)
        for reach, parts in ((self._reach, self._parts), (self._fine_reach, self._fine)):
            if reach:
                parts.append(self._cut(rows, reach, before))
                if sum(map(len, parts)) > 2 * self._columns * len(surveyed):
                    parts[:] = [join(parts, surveyed)]
        return True

    def is_fine(self, span: Span, columns: int) -> bool:
        """Tell whether a part of the curves can be drawn in so many columns without reading its rows again."""
        if self.histograms is not None and not self._is_thin:
            return True
        return self._has(self._reach, span, columns) or self._has(self._fine_reach, span, columns)

    def refine(self, rows: pl.DataFrame, span: Span) -> None:
        """Cut a part of the curves, and as much again on each side, more finely; another that was is forgotten.

        Args:
            rows: all rows of the metric, those that the sketch has taken in.
            span: from where to where along x.
        """
        whole, (low, high) = self.span or span, drawn_span(span, is_log=self.is_log)
        reach = span_drawn(2 * low - high, 2 * high - low, is_log=self.is_log)
        self._fine_reach = Span(max(reach.low, whole.low), min(reach.high, whole.high))
        if self.histograms is not None:
            self._fine = [thin_out(rows, self.surveyed, self.axis, self._fine_reach, self._columns, is_log=self.is_log)]
        else:
            self._fine = [self._cut(rows, self._fine_reach)]

    def bins(self, columns: int, span: Span | None = None) -> pl.DataFrame:
        """Return the bins of histograms, fine enough for so many columns of a part of x."""
        assert self.histograms is not None
        is_coarse = self._is_thin and span and not self._has(self._reach, span, columns)
        return self._fine[0] if is_coarse and self._fine else self.histograms

    def curves(self, columns: int, smoothing: float = 0.0, span: Span | None = None) -> pl.DataFrame:
        """Return the curves, cut into columns as `skald.reading.curves.cut` cuts them.

        Args:
            columns: how many.
            smoothing: as there.
            span: from where to where; None: all.
        """
        parts, wanted = self._parts, span or self.span or self._reach
        if self._fine_reach and span and not self._has(self._reach, span, columns):
            left = pl.concat(self._parts).filter(pl.col(X_MEAN) < self._fine_reach.low)  # what smoothing begins with
            parts = [left, pl.concat(self._fine).with_columns(pl.col(COLUMN) + self._columns)]
        table = smooth(join(parts, self.surveyed), self.by, smoothing) if smoothing else pl.concat(parts)
        return coarsen(table, self.surveyed, wanted, columns, is_log=self.is_log)

    def _thin_out(self) -> None:
        """Keep of millions of bins as many as a picture tells apart."""
        if self.histograms is None or self.span is None or self.axis.kind == "position":
            return
        if len(self.histograms) > self._most_bins:
            table, reach = self.histograms, self.span
            self.histograms = thin_out(table, self.surveyed, self.axis, reach, self._columns, is_log=self.is_log)
            self._is_thin, self._reach = True, reach
            self._most_bins = max(_MOST_BINS, 2 * len(self.histograms))

    def _cut(self, rows: pl.DataFrame, reach: Span, before: pl.DataFrame | None = None) -> pl.DataFrame:
        return cut(rows, self.surveyed, self.axis, reach, self._columns, is_log=self.is_log, before=before)

    def _has(self, reach: Span | None, span: Span, columns: int) -> bool:
        """Tell whether what was cut over a reach has so many columns in a span."""
        if reach is None or not reach.low <= span.low <= span.high <= reach.high:
            return False
        (low, high), (first, last) = drawn_span(span, is_log=self.is_log), drawn_span(reach, is_log=self.is_log)
        return (high / 2 - low / 2) * self._columns >= columns * (last / 2 - first / 2)

    def _choose(self, surveyed: pl.DataFrame) -> Axis:
        if self._x in {"time", "relative"} or (self._x in surveyed.columns and surveyed[self._x].dtype == pl.Struct):
            given = surveyed[self._x].struct.field("low").count() if self._x in surveyed.columns else 1
            if self._x and given:
                return named_axis(self._x, {self._x: "float"} if self._x in surveyed.columns else {})
        return choose_axis(surveyed)

    def _reach_out(self, span: Span) -> None:
        """Make room for a span, and for as much again."""
        before = self._reach
        if before.low <= span.low and span.high <= before.high:
            return
        low, high = drawn_span(span, is_log=self.is_log)
        room = high / 2 - low / 2  # halves stay inside a float
        wide = span_drawn(low - room, high + room, is_log=self.is_log)
        low = before.low if before.low <= span.low else min(wide.low, span.low)
        high = before.high if span.high <= before.high else max(wide.high, span.high)
        self._reach = Span(low, high)
        known = pl.concat(self._parts)
        self._parts = [coarsen(known, self.surveyed, self._reach, self._columns, is_log=self.is_log)]
