"""Plots as the viewer shows them: a sketch of a metric made a picture, and that lines of a terminal."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip

from skald.cli.chart import FRAME_LINES, Drawing, Style, color_of, plot
from skald.cli.picture import Line, Picture, color_lines, heat_picture, notes_on
from skald.reading.axis import Axis, Span, X, with_x
from skald.reading.curves import COUNT, HIGH, LOW, MEAN, NAN, X_MEAN, split
from skald.reading.sketch import Sketch
from skald.schema import BIN_HIGH, BIN_LOW, TIME, VALUE

MOST_LINES: Final = 50
"""Curves of one plot: more could not be told apart, and evenly spaced ones stand for all."""
_LABELS: Final = 7
_CONSOLE: Final = Console(color_system="truecolor", force_terminal=True, legacy_windows=False, _environ={})


class View(NamedTuple):
    """What holds for all plots.

    Attributes:
        x: what they are drawn over; None: chosen for each.
        by: a number id that has a curve for each of its values.
        smoothing: as TensorBoard's, from 0 to less than 1.
        log: the axes that are logarithmic: a part of `xy`.
        ascii_only: whether the terminal shows nothing else.
    """

    x: str | None = None
    by: str | None = None
    smoothing: float = 0.0
    log: str = ""
    ascii_only: bool = False

    @property
    def sketched(self) -> tuple[str | None, str | None, bool]:
        """What a sketch depends on."""
        return self.x, self.by, "x" in self.log


class Order(NamedTuple):
    """A plot that is wanted.

    Attributes:
        metric: of which metric.
        width: in characters.
        height: in lines.
        is_large: whether it is the one that is enlarged.
        series: which one, of histograms.
        span: from where to where along x; None: all.
    """

    metric: str
    width: int
    height: int
    is_large: bool = False
    series: int = 0
    span: Span | None = None

    @property
    def columns(self) -> int:
        """Into how many columns curves are cut: two for each character."""
        return max(self.width - _LABELS, 1) * 2


class Reading(NamedTuple):
    """What a curve says at one place: of the rows there the mean and the extremes, and how many of them are NaN."""

    x: float
    low: float | None
    high: float | None
    mean: float | None
    rows: int
    nan: int


class Course(NamedTuple):
    """A curve's columns, from left to right."""

    x: npt.NDArray[np.float64]
    low: list[float | None]
    high: list[float | None]
    mean: list[float | None]
    rows: list[int]
    nan: list[int]

    def at(self, x: float) -> Reading:
        """Return what it says nearest to an x."""
        place = int(np.abs(self.x - x).argmin())
        low, high, mean = (values[place] for values in (self.low, self.high, self.mean))
        return Reading(float(self.x[place]), low, high, mean, self.rows[place], self.nan[place])


class Plot(NamedTuple):
    """A plot that was drawn.

    Attributes:
        order: what was wanted.
        picture: what is drawn.
        courses: of each curve the columns; of histograms one, of their fullest bins.
        lasts: of each curve its last value.
        drawing: where the canvas is; None where there is nothing to draw.
        lines: the drawing.
        series: how many series there are.
        drawn: how many of them are drawn.
        positions: the number ids that the metric has.
        whole: from where to where x goes when all is drawn.
    """

    order: Order
    picture: Picture
    courses: list[Course]
    lasts: list[float | None]
    drawing: Drawing | None
    lines: list[Strip]
    series: int
    drawn: int
    positions: frozenset[str]
    whole: Span | None


def make_plot(sketch: Sketch, order: Order, view: View) -> Plot:
    """Draw a plot."""
    lasts: list[float | None] = []
    if sketch.histograms is not None:
        picture, courses = _heat_map(sketch, order, view)
    else:
        picture, lasts = _curves(sketch, order, view)
        courses = [_course(line) for line in picture.lines]
    drawing = None
    if picture.span is not None and (picture.lines or picture.heat):
        style = Style(order.width, order.height, has_colors=True, ascii_only=view.ascii_only, has_label=order.is_large)
        drawing = plot(picture, picture.span, style)
    lines = strips(drawing.text) if drawing else []
    count = len(sketch.surveyed)
    drawn = len(picture.lines) or min(count, 1)
    return Plot(order, picture, courses, lasts, drawing, lines, count, drawn, _positions(sketch), sketch.span)


def _positions(sketch: Sketch) -> frozenset[str]:
    """Return the number ids that rows of a metric have."""
    table = sketch.surveyed.drop(VALUE, TIME)
    described = (values.struct.field("low") if values.dtype == pl.Struct else values for values in table)
    return frozenset(
        name for name, values in zip(table.columns, described, strict=True)
        if values.dtype.is_numeric() and values.count()
    )  # fmt: skip


def strips(text: Text) -> list[Strip]:
    """Return lines of text as they are put on the screen."""
    return [Strip([_plain(part) for part in line.render(_CONSOLE) if part.text]) for line in text.split("\n")]


def _plain(part: Segment) -> Segment:
    """Return a part of a line; of the terminal's own colour without a style, so that the theme gives it one."""
    is_plain = part.style is None or part.style.color is None or part.style.color.is_default
    return Segment(part.text) if is_plain and not (part.style and part.style.bold) else part


def legend_item(picture: Picture, line: Line, value: str, *, ascii_only: bool) -> Text:
    """Return a curve's colour, name and value."""
    sign, label = "-" if ascii_only else "━", "value" if line.label == "-" else line.label
    text = Text.assemble((sign * 2, f"color({color_of(picture, line.color)})"), " ", label)
    return text.append(f" {value}", style="bold") if value else text


def _curves(sketch: Sketch, order: Order, view: View) -> tuple[Picture, list[float | None]]:
    found = sketch.curves(order.columns, view.smoothing, order.span)
    notes = notes_on(found, sketch.surveyed.head(0) if order.span else sketch.surveyed, view.log)
    kept = _spread_out(sketch.surveyed)
    if len(kept) < len(sketch.surveyed):
        notes.append(f"{len(kept)} of {len(sketch.surveyed):,} curves are drawn")
        found = found.join(kept, on=sketch.by, how="semi", nulls_equal=True, maintain_order="left")
    color_by = view.by if view.by in sketch.by else None
    whole = sketch.curves(1) if order.span else found
    lines, legend, scale = color_lines(whole, sketch.by, color_by)
    if order.span:
        tables = {tuple(ids.values()): table for ids, table in split(found, sketch.by)}
        keys = [tuple(ids.values()) for ids, _ in split(whole, sketch.by)]
        lines = [line._replace(table=tables[key]) for key, line in zip(keys, lines, strict=True) if key in tables]
    has_range = bool(view.smoothing or (found[LOW] < found[HIGH]).any())
    picture = Picture(
        order.metric, sketch.axis, order.span or sketch.span, view.log, lines, legend, scale, has_range, None, notes
    )
    return picture, _lasts(sketch, found)


def _spread_out(surveyed: pl.DataFrame) -> pl.DataFrame:
    """Return the series that are drawn."""
    step = -(-len(surveyed) // MOST_LINES)
    return surveyed.gather_every(step) if step > 1 else surveyed


def _lasts(sketch: Sketch, found: pl.DataFrame) -> list[float | None]:
    """Return the last value of each curve that is drawn, in their order."""
    last = sketch.surveyed.select(*sketch.by, pl.col(VALUE).struct.field("last"))
    if sketch.by:
        drawn = found.select(sketch.by).unique(maintain_order=True)
        last = drawn.join(last, on=sketch.by, how="left", nulls_equal=True, maintain_order="left")
    return last["last"].to_list()


def _heat_map(sketch: Sketch, order: Order, view: View) -> tuple[Picture, list[Course]]:
    """Return the histograms of one series, and where each has its fullest bin."""
    number = order.series % len(sketch.surveyed)
    part = sketch.surveyed.slice(number, 1)
    own = [pl.col(key).eq_missing(pl.lit(part.item(0, key))) for key in sketch.by]
    cells = max(order.width - _LABELS, 1), max(order.height - FRAME_LINES, 1)
    bins = sketch.bins(cells[0], order.span).lazy()
    rows = bins.filter(own) if own else bins
    picture = heat_picture(order.metric, rows, part, sketch.axis, cells, view.log.replace("y", ""), order.span)
    courses = _fullest_bins(rows, part, sketch.axis, picture.span)
    if len(sketch.surveyed) == 1:
        return picture, courses
    named = " ".join(f"{key}={part.item(0, key)}" for key in sketch.by if part.item(0, key) is not None)
    notes = [*picture.notes, f"series {number + 1} of {len(sketch.surveyed)}"]
    return picture._replace(title=f"{order.metric} {named}", notes=notes), courses


def _fullest_bins(rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, span: Span | None) -> list[Course]:
    """Return of the histograms in a span the edges of the fullest bin, and its count as the mean; none without any."""
    placed = with_x(rows, surveyed, axis).filter(pl.col(X).is_between(*(span or (0.0, -1.0))), pl.col(VALUE) > 0)
    fullest = pl.col(BIN_LOW, BIN_HIGH, VALUE).get(pl.col(VALUE).arg_max())
    found = placed.filter(pl.col(VALUE).is_finite()).group_by(X).agg(fullest).sort(X).collect(engine="streaming")
    low, high, count = (found[name].to_list() for name in (BIN_LOW, BIN_HIGH, VALUE))
    return [Course(found[X].to_numpy(), low, high, count, [1] * len(found), [0] * len(found))] if len(found) else []


def _course(line: Line) -> Course:
    table = line.table
    return Course(table[X_MEAN].to_numpy(), *(table[name].to_list() for name in (LOW, HIGH, MEAN, COUNT, NAN)))
