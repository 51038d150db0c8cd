"""One plot enlarged, with a cursor that reads its values."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar, Final

from rich.segment import Segment
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from skald.cli.chart import x_label
from skald.cli.format import number_text
from skald.reading.axis import Span, drawn_span, span_drawn
from skald.viewer.lines import Drawn, clipped
from skald.viewer.plotting import Order, Plot, Reading, legend_item, strips
from skald.viewer.zoom import panned, zoomed

_SIDE: Final = 38
"""Columns of the legend beside the plot."""
_WIDE: Final = 110
"""A place of so many columns has the legend beside the plot, a narrower one below it."""
_LEGEND_LINES: Final = 5
"""Lines of the legend below the plot; of more curves up to a third of the height."""
_INDENT: Final = "   "
"""What is before the second line of a curve."""
_LEAST_LINES: Final = 6
"""Lines of the lowest plot; the legend below it has what is left."""


class PlotView(Drawn, can_focus=True):
    """The plot of one metric."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "shrink", "All plots", key_display="esc"),
        Binding("left", "step(-1)", "Cursor", key_display="←→"),
        Binding("right", "step(1)", "Right", show=False),
        Binding("shift+left", "step(-10)", "Left by ten", show=False),
        Binding("shift+right", "step(10)", "Right by ten", show=False),
        Binding("plus,equals_sign", "zoom(0.5)", "Zoom", key_display="+-"),
        Binding("minus", "zoom(2)", "Zoom out", show=False),
        Binding("0", "zoom_to_all", "Zoom out to all", show=False),
        Binding("pageup", "pan(-0.5)", "Half a screen to the left", show=False),
        Binding("pagedown", "pan(0.5)", "Half a screen to the right", show=False),
        Binding("home", "jump(0)", "First", show=False),
        Binding("end", "jump(1)", "Last", show=False),
        Binding("up", "legend(-1)", "Legend up", show=False),
        Binding("down", "legend(1)", "Legend down", show=False),
        Binding("n", "other(1)", "Next", key_display="n p"),
        Binding("p", "other(-1)", "Previous", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"view--title", "view--cursor", "view--dim", "view--frame"}
    DEFAULT_CSS = """
    PlotView .view--title { background: $primary-muted; color: $text-primary; text-style: bold; }
    PlotView .view--cursor { background: $primary-muted; }
    PlotView .view--dim { color: $text-muted; }
    PlotView .view--frame { color: $foreground 40%; }
    """

    cursor: reactive[int | None] = reactive(None)
    """The column of the canvas where values are read; None: at its end, as new rows come."""

    class Wanted(Message):
        """Another plot is wanted than before."""

    class Shrunk(Message):
        """All plots are wanted again."""

    class Other(Message):
        """The plot of another metric is wanted."""

        def __init__(self, steps: int) -> None:
            super().__init__()
            self.steps = steps

    def __init__(self, *, ascii_only: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._metric: str | None = None
        self._plot: Plot | None = None
        self._series = 0
        self._zoomed: Span | None = None  # the part of x that is shown
        self._kept_x: float | None = None  # where the cursor is put when a plot of another part comes
        self._first = 0  # the first line of the legend that is shown
        self._legend: list[Strip] = []
        self._ascii_only = ascii_only
        self._asked_size = Size(0, 0)

    @property
    def metric(self) -> str | None:
        """What is shown."""
        return self._metric

    def show_metric(self, metric: str) -> None:
        """Have another metric shown."""
        if metric != self._metric:
            self._metric, self._plot, self._series, self._first, self.cursor = metric, None, 0, 0, None
            self._zoomed = self._kept_x = None
        self._want()
        self.refresh()

    @property
    def positions(self) -> frozenset[str]:
        """The number ids of the metric."""
        return self._plot.positions if self._plot else frozenset()

    def show_plot(self, plot: Plot) -> None:
        """Put a plot on the screen."""
        if plot.order.metric == self._metric:
            before, self._plot = self._legend_lines, plot
            if before != self._legend_lines:
                self._want()
            if plot.order.span == self._zoomed and self._kept_x is not None:
                self.set_reactive(PlotView.cursor, self._column_of(self._kept_x))
                self._kept_x = None
            self._read()

    def orders(self) -> list[Order]:
        """Return the plot that is on the screen."""
        if self._metric is None or not self.size.width:
            return []
        beside = self.size.width >= _WIDE
        width = self.size.width - (_SIDE if beside else 0)
        height = self.size.height - 1 - (0 if beside else self._legend_lines)
        lines = max(height, _LEAST_LINES)
        return [Order(self._metric, width, lines, is_large=True, series=self._series, span=self._zoomed)]

    @property
    def _legend_lines(self) -> int:
        """How many lines the legend has below the plot."""
        curves = len(self._plot.picture.lines) if self._plot else 0
        most = max(_LEGEND_LINES, min(curves, self.size.height // 3))
        return max(0, min(most, self.size.height - 1 - _LEAST_LINES))

    @property
    def _span(self) -> Span | None:
        return self._plot.picture.span if self._plot else None

    @property
    def _column(self) -> int:
        """The column of the canvas where values are read."""
        last = self._plot.drawing.columns - 1 if self._plot and self._plot.drawing else 0
        return last if self.cursor is None else max(0, min(self.cursor, last))

    @property
    def x(self) -> float | None:
        """The x where values are read."""
        if self._plot is None or self._plot.drawing is None or self._span is None:
            return None
        part = self._column / max(self._plot.drawing.columns - 1, 1)
        low, high = drawn_span(self._span, is_log=self._is_log)
        at = low * (1 - part) + high * part
        return span_drawn(at, at, is_log=self._is_log).low

    def _column_of(self, x: float) -> int | None:
        """Return the column of the canvas where an x is; None: at its end."""
        if self._plot is None or self._plot.drawing is None or self._span is None:
            return None
        (low, high), at = drawn_span(self._span, is_log=self._is_log), drawn_span(Span(x, x), is_log=self._is_log).low
        last = self._plot.drawing.columns - 1
        column = round((at - low) / (high - low) * last) if low < high else last
        return None if column >= last else max(column, 0)

    @property
    def _is_log(self) -> bool:
        return self._plot is not None and "x" in self._plot.picture.log

    def on_resize(self, _: events.Resize) -> None:
        """Fill the new size, unless it is the one for which the plot was asked."""
        if self.size != self._asked_size:
            self._want()

    def _want(self) -> None:
        self._asked_size = self.size
        self.post_message(self.Wanted())

    def watch_cursor(self) -> None:
        """Read what is there."""
        self._read()

    def action_step(self, steps: int) -> None:
        """Move the cursor; beyond the edge of a part that is zoomed into, move the part."""
        if self._plot and self._plot.drawing:
            last = self._plot.drawing.columns - 1
            to = max(0, min(self._column + steps, last))
            beyond = self._column + steps - to
            self.cursor = None if to == last else to
            if beyond:
                self.action_pan(beyond / max(last, 1))

    def action_jump(self, end: int) -> None:
        """Move the cursor to an end."""
        self.cursor = None if end else 0

    def action_zoom(self, factor: float) -> None:
        """Show a smaller part of x, or a greater, around the cursor."""
        shown = self._zoomed or self._span
        if self._plot and self._plot.whole and shown:
            x = shown.low if self.x is None else self.x  # where nothing is drawn there is no cursor
            self._show_part(zoomed(shown, self._plot.whole, x, factor, is_log=self._is_log), x)

    def action_pan(self, part: float) -> None:
        """Move what is zoomed into by a part of its width."""
        if self._plot and self._plot.whole and self._zoomed:
            self._show_part(panned(self._zoomed, self._plot.whole, part, is_log=self._is_log), None)

    def action_zoom_to_all(self) -> None:
        """Show all of x."""
        self._show_part(None, self.x)

    def _show_part(self, part: Span | None, x: float | None) -> None:
        """Show a part of x, and put the cursor on an x, or leave it in its column."""
        if part != self._zoomed:
            self._zoomed, self._kept_x = part, x
            self._want()

    def action_legend(self, lines: int) -> None:
        """Scroll the legend; of histograms, show another series."""
        if self._plot and self._plot.picture.heat is not None:
            self._series = (self._series + lines) % max(self._plot.series, 1)
            self._want()
            return
        self._first = max(0, min(self._first + lines, len(self._legend) - 1))
        self.refresh()

    def action_other(self, steps: int) -> None:
        """Show another metric."""
        self.post_message(self.Other(steps))

    def action_shrink(self) -> None:
        """Go back to all plots."""
        self.post_message(self.Shrunk())

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where it is clicked."""
        self._point(event.x)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Let the cursor follow the mouse while its button is held."""
        if event.button:
            self._point(event.x)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out around the mouse."""
        self._point(event.x)
        self.action_zoom(2)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in around the mouse."""
        self._point(event.x)
        self.action_zoom(0.5)

    def _point(self, column: int) -> None:
        if self._plot and self._plot.drawing:
            to = max(0, column - self._plot.drawing.left)
            self.cursor = None if to >= self._plot.drawing.columns - 1 else to

    def _read(self) -> None:
        """Read the values at the cursor into the legend."""
        self._legend = []
        x = self.x
        if self._plot is not None and x is not None:
            dim = self.ink("view--dim")
            if self._plot.picture.heat is not None:
                self._legend += [strip for course in self._plot.courses for strip in strips(_bin_text(course.at(x)))]
            place = _nearest(self._plot, x)
            for line, course in zip(self._plot.picture.lines, self._plot.courses, strict=False):  # a heat map has none
                found = course.at(x)
                value = self._value_text(found, x, place)
                self._legend += strips(legend_item(self._plot.picture, line, value, ascii_only=self._ascii_only))
                more = _details(found)
                if more:
                    self._legend += strips(Text(f"{_INDENT}{more}", style=dim))
            self._legend += [strip for note in self._plot.picture.notes for strip in strips(Text(note, style=dim))]
        self.refresh()

    def _value_text(self, found: Reading, x: float, nearest: float) -> str:
        """Return a value at the cursor: whether it is a mean, and from where, if nothing is in the cursor's column."""
        assert self._plot is not None
        value = f"{'mean ' if found.rows > 1 and found.mean is not None else ''}{number_text(found.mean)}"
        if found.x == nearest or self._is_in_column(found.x, x):
            return value
        return f"{value} at {_x_text(self._plot, found.x)}"

    def _is_in_column(self, place: float, x: float) -> bool:
        """Tell whether a place is drawn less than half a column from the cursor's x."""
        if self._plot is None or self._plot.drawing is None or self._span is None:
            return False
        (low, high), (at, other) = (drawn_span(span, is_log=self._is_log) for span in (self._span, Span(x, place)))
        return abs(other / 2 - at / 2) * max(self._plot.drawing.columns - 1, 1) <= (high / 2 - low / 2) / 2

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        width, base = self.size.width, self.base
        beside = width >= _WIDE
        if y == 0:
            return self._title(width)
        if beside:
            left = self._canvas_line(y - 1, width - _SIDE)
            return Strip.join([left, self._legend_line(y - 1, _SIDE, self.size.height - 1)]).apply_style(base)
        bottom = self.size.height - self._legend_lines
        if y < bottom:
            return self._canvas_line(y - 1, width).apply_style(base)
        return self._legend_line(y - bottom, width, self._legend_lines).apply_style(base)

    def _title(self, width: int) -> Strip:
        title = self._plot.picture.title if self._plot else self._metric or ""
        title += "  zoomed, 0 shows all" if self._zoomed else ""
        x = self.x
        place = "" if x is None or self._plot is None else f"{_place_text(self._plot, x)} "
        if x is not None and self._plot and self._plot.picture.lines and not self._legend_lines and width < _WIDE:
            nearest = _nearest(self._plot, x)
            place += "".join(f"{self._value_text(course.at(x), x, nearest)} " for course in self._plot.courses)
            place = clipped(place, max(width - 2, 0)).rstrip() + " "
        text = f" {title}"[: max(width - len(place) - 1, 0)].ljust(width - len(place)) + place
        return Strip([Segment(text, self.get_component_rich_style("view--title"))], width)

    def _canvas_line(self, y: int, width: int) -> Strip:
        plot = self._plot
        if plot is None or plot.drawing is None:
            words = "" if y != 3 else "reading" if plot is None else "nothing to draw"  # noqa: PLR2004
            return Strip([Segment(words.center(width), self.ink("view--dim"))])
        line = (plot.lines[y] if y < len(plot.lines) else Strip.blank(width)).adjust_cell_length(width)
        line = line.apply_style(self.ink("view--frame"))
        if not 0 < y <= plot.drawing.lines:
            return line
        at = plot.drawing.left + self._column
        under = line.crop(at, at + 1).apply_style(self.get_component_rich_style("view--cursor", partial=True))
        return Strip.join([line.crop(0, at), under, line.crop(at + 1, width)])

    def _legend_line(self, y: int, width: int, lines: int) -> Strip:
        """Return a line of the legend; where it has more than there is room for, the last says how many curves."""
        place = y + self._first
        line = self._legend[place] if 0 <= place < len(self._legend) else Strip.blank(0)
        more = sum(not hidden.text.startswith(_INDENT) for hidden in self._legend[place:])
        if y == lines - 1 and place + 1 < len(self._legend) and more:
            line = Strip([Segment(f"... and {more} more", self.ink("view--dim"))])
        return Strip.join([Strip.blank(1), line]).adjust_cell_length(width)


def _details(found: Reading) -> str:
    """Return what more is known of a place than its mean."""
    parts = []
    if found.rows > 1 and found.low is not None:
        parts.append(f"{number_text(found.low)} to {number_text(found.high)}, {found.rows:,} rows")
    if found.nan:
        parts.append(f"{found.nan:,} NaN or infinite")
    return ", ".join(parts)


def _bin_text(found: Reading) -> Text:
    """Return what is known of the fullest bin of a histogram."""
    edges = f"{number_text(found.low)} to {number_text(found.high)}"
    return Text(f"fullest bin {edges}: ").append(number_text(found.mean), style="bold")


def _place_text(plot: Plot, x: float) -> str:
    """Return where the cursor is; where curves have a value only there, exactly."""
    picture, text = plot.picture, _x_text(plot, _nearest(plot, x))
    if picture.axis.kind == "time":
        return text
    if picture.axis.kind == "relative":
        return f"{text} since the start"
    return f"{x_label(picture, picture.span or Span(x, x))} {text}"


def _nearest(plot: Plot, x: float) -> float:
    """Return the place nearest to an x where a curve has a value."""
    nearest = [course.at(x).x for course in plot.courses]
    return min(nearest, key=lambda place: abs(place - x)) if nearest else x


def _x_text(plot: Plot, x: float) -> str:
    """Return an x in words."""
    if plot.picture.axis.kind == "time":
        return f"{dt.datetime.fromtimestamp(x, dt.UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    return str(dt.timedelta(seconds=round(x))) if plot.picture.axis.kind == "relative" else number_text(x)
