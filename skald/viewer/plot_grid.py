"""The grid of plots: as many as fit, drawn elsewhere, put on the screen here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from skald.cli.format import number_text
from skald.viewer.lines import LineView, clipped
from skald.viewer.plotting import Order, Plot, legend_item, strips

CELL: Final = (44, 12)
"""Columns and lines that a plot should have."""
_LEAST: Final = (34, 8)
_LOWEST: Final = 6
"""In fewer lines nothing can be drawn: of each metric its last values stand there."""
_GAP: Final = 1
_MOST_PLOTS: Final = 256
"""So many are kept for when they are scrolled or searched back to."""
_ZOOMS: Final = (0.7, 0.85, 1.0, 1.4, 2.0, 3.0)


class Tiling(NamedTuple):
    """How plots are laid out.

    Attributes:
        across: how many stand beside each other.
        width: of each, with the gap behind it.
        height: of each.
    """

    across: int
    width: int
    height: int


def tile(count: int, width: int, height: int, zoom: float = 1.0) -> Tiling:
    """Return the layout of plots that fills a place: a few are large, of many some are beyond its end.

    Args:
        count: how many plots there are.
        width: of the place.
        height: likewise.
        zoom: how much larger than usual a plot should be.
    """
    across = max(1, min(round(width / CELL[0] / zoom), width // _LEAST[0]))
    if height < _LOWEST:
        return Tiling(across, max(width // across, 1), 1)
    down = max(1, min(round(height / CELL[1] / zoom), height // _LEAST[1]))
    if count <= across * down:
        across = min(range(1, across + 1), key=lambda n: (-(-count // n) > down, n * -(-count // n) - count, -n))
        down = max(-(-count // across), 1)
    return Tiling(across, max(width // across, 1), max(height // down, 1))


class PlotGrid(LineView):
    """Plots of metrics, one of which is selected."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enlarge", "Enlarge"),
        Binding("left", "move(-1, 0)", "Left", show=False),
        Binding("right", "move(1, 0)", "Right", show=False),
        Binding("up", "move(0, -1)", "Up", show=False),
        Binding("down", "move(0, 1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown,space", "page(1)", "Page down", show=False),
        Binding("home", "select(0)", "First", show=False),
        Binding("end", "select(-1)", "Last", show=False),
        Binding("plus,equals_sign", "zoom(1)", "Larger plots", show=False),
        Binding("minus", "zoom(-1)", "Smaller plots", show=False),
    ]
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"grid--title", "grid--selected", "grid--frame"}
    DEFAULT_CSS = """
    PlotGrid { overflow-x: hidden; }
    PlotGrid .grid--title { text-style: bold; }
    PlotGrid .grid--selected { background: $panel; text-style: bold; }
    PlotGrid:focus .grid--selected { background: $primary-muted; color: $text-primary; text-style: bold; }
    PlotGrid .grid--frame { color: $foreground 40%; }
    """

    selected: reactive[int] = reactive(0)

    class Wanted(Message):
        """Other plots are on the screen than before."""

    class Enlarged(Message):
        """The selected plot is to be enlarged."""

        def __init__(self, metric: str) -> None:
            super().__init__()
            self.metric = metric

    def __init__(self, *, ascii_only: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._metrics: list[str] = []
        self._empty = ""
        self._plots: dict[str, Plot] = {}
        self._cells: dict[str, list[Strip]] = {}  # the lines of plots, as they are put on the screen
        self._colors: list[Style] = []
        self._zoom = _ZOOMS.index(1.0)
        self._tiling = Tiling(1, *CELL)
        self._ascii_only = ascii_only

    @property
    def metrics(self) -> Sequence[str]:
        """The metrics that have a plot here."""
        return self._metrics

    @property
    def metric(self) -> str | None:
        """The metric of the selected plot."""
        return self._metrics[self.selected] if self._metrics else None

    def show_metrics(self, metrics: Sequence[str], empty: str = "") -> None:
        """Have a plot for each of these metrics; where there are none, these words."""
        self._empty = empty
        if list(metrics) == self._metrics:
            return
        before = self.metric
        self._metrics = list(metrics)
        self.selected = self._metrics.index(before) if before in self._metrics else 0
        self._lay_out()

    def show_plot(self, plot: Plot) -> None:
        """Put a plot on the screen."""
        self._plots[plot.order.metric] = plot
        if len(self._plots) > _MOST_PLOTS:
            shown = {order.metric for order in self.orders()}
            self._plots = {name: plot for name, plot in self._plots.items() if name in shown}
        self._renew(plot.order.metric)

    @property
    def positions(self) -> frozenset[str]:
        """The number ids of the metrics on the screen."""
        shown = (self._plots.get(order.metric) for order in self.orders())
        return frozenset[str]().union(*(plot.positions for plot in shown if plot))

    def select(self, metric: str) -> None:
        """Select the plot of a metric."""
        if metric in self._metrics:
            self.selected = self._metrics.index(metric)

    @property
    def drawn(self) -> set[Order]:
        """The plots that are here, also those that are not on the screen."""
        return {plot.order for plot in self._plots.values()}

    def orders(self) -> list[Order]:
        """Return the plots that are on the screen, the selected one first."""
        tiling = self._tiling
        if not self.size.width:  # it is not laid out
            return []
        first = int(self.scroll_offset.y) // tiling.height * tiling.across
        rows = -(-max(self.size.height, 1) // tiling.height) + bool(int(self.scroll_offset.y) % tiling.height)
        shown = self._metrics[first : first + rows * tiling.across]
        if self.metric in shown:
            shown = sorted(shown, key=lambda name: name != self.metric)
        return [Order(name, tiling.width - _GAP, max(tiling.height - 2, 1)) for name in shown]

    def _lay_out(self) -> None:
        size = self.scrollable_content_region.size
        tiling = tile(len(self._metrics), size.width, size.height, _ZOOMS[self._zoom])
        if tiling != self._tiling:
            self._cells.clear()
        self._tiling = tiling
        rows = -(-len(self._metrics) // self._tiling.across)
        self.set_extent(size.width, rows * self._tiling.height)
        self._show_selected()
        self.refresh()
        self.post_message(self.Wanted())

    def on_resize(self, _: events.Resize) -> None:
        """Fill the new size."""
        self._lay_out()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Have other plots drawn."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.post_message(self.Wanted())

    def watch_selected(self, before: int) -> None:
        """Show what is selected."""
        for place in (before, self.selected):
            if place < len(self._metrics):
                self._renew(self._metrics[place])
        self._show_selected()

    def _show_selected(self) -> None:
        top = self.selected // self._tiling.across * self._tiling.height
        height = self.size.height
        if top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
        elif top + self._tiling.height > self.scroll_offset.y + height:
            self.scroll_to(y=top + self._tiling.height - height, animate=False, force=True)

    def action_move(self, across: int, down: int) -> None:
        """Select a neighbour."""
        to = self.selected + across + down * self._tiling.across
        if 0 <= to < len(self._metrics):
            self.selected = to

    def action_page(self, pages: int) -> None:
        """Select what is a page further."""
        rows = max(self.size.height // self._tiling.height, 1)
        to = self.selected + pages * rows * self._tiling.across
        self.selected = max(0, min(to, len(self._metrics) - 1))

    def action_select(self, place: int) -> None:
        """Select the plot at a place."""
        self.selected = place % max(len(self._metrics), 1)

    def action_zoom(self, steps: int) -> None:
        """Make the plots larger or smaller."""
        self._zoom = max(0, min(self._zoom + steps, len(_ZOOMS) - 1))
        self._lay_out()

    def action_enlarge(self) -> None:
        """Enlarge the selected plot."""
        if self.metric is not None:
            self.post_message(self.Enlarged(self.metric))

    def on_click(self, event: events.Click) -> None:
        """Select what is clicked on; a second click enlarges it."""
        x, y = event.x + int(self.scroll_offset.x), event.y + int(self.scroll_offset.y)
        place = y // self._tiling.height * self._tiling.across + min(x // self._tiling.width, self._tiling.across - 1)
        if place < len(self._metrics):
            is_again = place == self.selected
            self.selected = place
            if is_again or event.chain > 1:
                self.action_enlarge()

    def render_line(self, y: int) -> Strip:
        """Return a line of the screen."""
        if not self._metrics:
            words = f" {self._empty}" if y == 1 else ""
            return Strip([Segment(words, self.tone("dim"))]).adjust_cell_length(self.size.width, self.base)
        row, inside = divmod(y + int(self.scroll_offset.y), self._tiling.height)
        first = row * self._tiling.across
        parts = [self._cell(name)[inside] for name in self._metrics[first : first + self._tiling.across]]
        base = self.base
        return Strip.join(parts).adjust_cell_length(self.size.width, base).apply_style(base)

    def _renew(self, metric: str) -> None:
        """Put the plot of a metric on the screen anew."""
        self._cells.pop(metric, None)
        if metric in self._metrics:
            row, across = divmod(self._metrics.index(metric), self._tiling.across)
            left, top = across * self._tiling.width, row * self._tiling.height - int(self.scroll_offset.y)
            self.refresh(Region(left, top, self._tiling.width, self._tiling.height))

    def notify_style_update(self) -> None:
        """Show the selected plot as one that has the focus, or has it no more."""
        super().notify_style_update()
        if self.metric is not None:
            self._cells.pop(self.metric, None)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a part of it, in the colours of the theme."""
        colors = [self.ink("grid--frame"), self.tone("dim")]
        if colors != self._colors:
            self._colors = colors
            self._cells.clear()
        return super().render_lines(crop)

    def _cell(self, name: str) -> list[Strip]:
        """Return the lines of a plot."""
        if name not in self._cells:
            width, plot = self._tiling.width - _GAP, self._plots.get(name)
            frame = self.ink("grid--frame")
            lines = [line.apply_style(frame) for line in plot.lines] if plot else []
            lines = [*self._header(name, plot, width), *lines]
            if not plot or not plot.drawing:
                words = "reading" if plot is None else "nothing to draw"
                lines += [Strip.blank(width)] * (self._tiling.height // 2 - len(lines))
                lines.append(Strip([Segment(words.center(width), self.tone("dim"))]))
            lines += [Strip.blank(width)] * (self._tiling.height - len(lines))
            self._cells[name] = [line.adjust_cell_length(self._tiling.width) for line in lines]
        return self._cells[name]

    def _header(self, name: str, plot: Plot | None, width: int) -> list[Strip]:
        """Return a plot's title with the last value, and below it what its colours mean."""
        is_selected = self.metric == name
        style = self.get_component_rich_style("grid--selected" if is_selected else "grid--title", partial=True)
        values = plot.lasts if plot and (len(plot.lasts) == 1 or self._tiling.height == 1) else []
        last = clipped(" ".join(map(number_text, values)), width // 2).rstrip()
        title = Text(plot.picture.title if plot else name)
        title.truncate(max(width - len(last) - 2, 1), overflow="ellipsis")
        line = f" {title.plain}".ljust(width - len(last) - 1) + f"{last} "
        return [Strip([Segment(line[:width], style)], width), self._legend(plot, width)]

    def _legend(self, plot: Plot | None, width: int) -> Strip:
        if plot is None:
            return Strip.blank(width)
        text = Text(" ")
        dim = self.tone("dim")
        if len(plot.picture.lines) > 1:
            for line, last in zip(plot.picture.lines[:8], plot.lasts, strict=False):
                short = line._replace(label=_short(line.label))
                value = "" if last is None else number_text(last)
                text.append_text(legend_item(plot.picture, short, value, ascii_only=self._ascii_only)).append("  ")
        for note in plot.picture.notes:
            text.append(note, style=dim).append("  ")
        x = plot.picture.axis.label
        text.truncate(max(width - cell_len(x) - 2, 0), overflow="ellipsis", pad=True)
        text.append(f" {x}"[: max(width - 1, 0)], style=dim)
        return strips(text)[0]


def _short(label: str) -> str:
    """Return `train` for `split=train`, which there is room for; numbers and several ids keep their names."""
    _, _, value = label.partition("=")
    return value if value.isidentifier() else label
