"""The metrics of a run, or of several over each other: their names, a plot for each, and one of them enlarged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

from skald.viewer.capability import is_ascii_only
from skald.viewer.choice import Choice
from skald.viewer.lines import Span
from skald.viewer.names import found_by, grouped, names_in
from skald.viewer.outline import Outline
from skald.viewer.painter import Painter, Report
from skald.viewer.plot_grid import PlotGrid
from skald.viewer.plot_view import PlotView
from skald.viewer.plotting import Plot, View
from skald.viewer.prompt import Prompt
from skald.viewer.table import Column, Table

SMOOTHINGS: Final = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 0.999)
_WIDE: Final = 100
"""A terminal of so many columns shows the names beside the plots."""
_FEW_NAMES: Final = 60
"""So many names are shown with their groups open."""


class MetricsPane(Widget):
    """The plots of runs.

    Args:
        runs: the folders of the runs by their names; several are drawn over each other.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("x", "choose_x", "Axis"),
        Binding("b", "choose_by", "Split"),
        Binding("s", "smooth(1)", "Smooth"),
        Binding("S", "smooth(-1)", "Smooth less", show=False),
        Binding("l", "log('y')", "Log"),
        Binding("L", "log('x')", "Log x", show=False),
        Binding("t", "toggle_names", "Names"),
        Binding("escape", "clear", "Clear search", show=False),
    ]
    DEFAULT_CSS = """
    MetricsPane { height: 1fr; layers: below above; align: center middle; }
    MetricsPane #names { width: 32; padding: 0 1 0 0; }
    MetricsPane #bar { height: auto; }
    MetricsPane #options { width: 1fr; height: 1; color: $text-muted; padding: 0 1; }
    MetricsPane #search { width: 1fr; }
    MetricsPane ContentSwitcher, MetricsPane PlotGrid, MetricsPane PlotView { height: 1fr; }
    """

    class Told(Message):
        """The painter tells of a look at the runs, of a plot, or of the error that has ended it."""

        def __init__(self, found: Report | Plot | Exception) -> None:
            super().__init__()
            self.found = found

    def __init__(self, runs: Mapping[str, Path], **options: Any) -> None:
        super().__init__(**options)
        self._painter = Painter(runs, lambda found: self.post_message(self.Told(found)))
        self._view = View(ascii_only=is_ascii_only())
        self._report = Report([], [], {})
        self._shows_names: bool | None = None  # as the width has it

    def compose(self) -> ComposeResult:
        """Lay out the names and the plots."""
        with Horizontal():
            columns = [Column("metric", 60), Column("", 5, right=True)]
            yield Outline(columns, _describe, few=_FEW_NAMES, id="names")
            with Vertical():
                with Horizontal(id="bar"):
                    yield Static(id="options")
                    yield Prompt("names, or globs", id="search")
                with ContentSwitcher(initial="grid"):
                    yield PlotGrid(id="grid", ascii_only=self._view.ascii_only)
                    yield PlotView(id="large", ascii_only=self._view.ascii_only)
        yield Choice()

    def on_mount(self) -> None:
        """Begin to draw."""
        self._painter.start()
        self.query_one(PlotGrid).focus(scroll_visible=False)

    def on_unmount(self) -> None:
        """End the thread."""
        self._painter.stop()

    def refresh_live(self) -> None:
        """Look for new rows, in the painter's thread."""
        self._painter.look()

    def on_resize(self, event: events.Resize) -> None:
        """Show the names where there is room."""
        self._names.display = event.size.width >= _WIDE if self._shows_names is None else self._shows_names

    def on_metrics_pane_told(self, event: Told) -> None:
        """Show metrics that are new, put a plot on the screen, or fail as the painter did."""
        match event.found:
            case Plot() as plot:
                self._shown(large=plot.order.is_large).show_plot(plot)
            case Report() as report:
                before, self._report = self._report, report
                if report.metrics != before.metrics or not before.vitals:
                    self._names.show_tree(grouped(report.metrics))
                    self._show_found()
            case error:
                raise error

    def _show_options(self) -> None:
        found, total = len(self.query_one(PlotGrid).metrics), len(self._report.metrics)
        text = Text(f"{total:,} metric{'' if total == 1 else 's'}" if found == total else f"{found:,} of {total:,}")
        said = {
            "x": self._view.x,
            "by": self._view.by,
            "smooth": self._view.smoothing or None,
            "log": " ".join(reversed(self._view.log)) or None,
        }
        for name, value in said.items():
            if value is not None:
                text.append(f"   {name} ").append(str(value), style="bold")
        self.query_one("#options", Static).update(text, layout=False)

    @on(PlotGrid.Wanted)
    def _want_after_answer(self) -> None:
        """Have plots drawn once it is on the screen which ones; until then none, as that takes half of the time."""
        self._painter.ask(self._view, (), self.query_one(PlotGrid).drawn)
        self.call_after_refresh(self.want)

    @on(PlotView.Wanted)
    def want(self) -> None:
        """Have the plots drawn that are on the screen."""
        orders = self._shown(large=self.is_enlarged).orders()
        self._painter.ask(self._view, orders, self.query_one(PlotGrid).drawn)

    @property
    def _names(self) -> Outline:
        return self.query_one("#names", Outline)

    @property
    def _prompt(self) -> Prompt:
        return self.query_one("#search", Prompt)

    def _shown(self, *, large: bool) -> PlotGrid | PlotView:
        return self.query_one(PlotView) if large else self.query_one(PlotGrid)

    @property
    def is_enlarged(self) -> bool:
        """Whether one plot is enlarged."""
        return self.query_one(ContentSwitcher).current == "large"

    def _change(self, **options: Any) -> None:
        before, self._view = self._view, self._view._replace(**options)
        if before.sketched != self._view.sketched:
            self.query_one(PlotView).action_zoom_to_all()  # of another x
        self._show_options()
        self.want()

    # --- names ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer an end of the search only while there is one."""
        return bool(self._prompt.value) if action == "clear" else True

    def action_search(self) -> None:
        """Ask what to search for."""
        self._prompt.ask()

    def action_clear(self) -> None:
        """Show all metrics."""
        self._prompt.action_leave()

    @on(Input.Changed, "#search")
    def _show_found(self) -> None:
        """Show the metrics that the search finds."""
        found = found_by(self._prompt.value, self._report.metrics)
        wanted = set(found)
        self._names.search((lambda _, name: name in wanted) if self._prompt.value else None)
        is_live = any(vitals.status == "running" for vitals in self._report.vitals.values())
        empty = "no metric has this in its name" if self._report.metrics else "no metrics" + " yet" * is_live
        self.query_one(PlotGrid).show_metrics(found, empty)
        self._show_options()
        if self.is_enlarged and found and self.query_one(PlotView).metric not in wanted:
            self._enlarge(found[0], focus=False)

    @on(Prompt.Left, "#search")
    @on(Input.Submitted, "#search")
    def _searched(self) -> None:
        self._prompt.done()

    @on(Table.Moved, "#names")
    def _point(self) -> None:
        """Point at the plot, too."""
        node = self._names.node
        if node is not None and self._names.has_focus:
            metric = names_in(node.value)[0]
            self.query_one(PlotGrid).select(metric)
            if self.is_enlarged:
                self._enlarge(metric, focus=False)

    @on(Table.Chosen, "#names")
    def _enlarge_chosen(self) -> None:
        if self._names.node is not None:
            self._enlarge(self._names.node.value)

    def action_toggle_names(self) -> None:
        """Show the names and let keys reach them, or hide them."""
        self._shows_names = not self._names.display
        if self._shows_names:
            self._names.display = True
            self._names.focus(scroll_visible=False)
        else:
            if self._names.has_focus:
                self.focus_plots()
            self._names.display = False

    def focus_plots(self) -> None:
        """Let keys reach the plots."""
        self._shown(large=self.is_enlarged).focus(scroll_visible=False)

    # --- one plot ---

    def on_plot_grid_enlarged(self, event: PlotGrid.Enlarged) -> None:
        """Enlarge a plot."""
        self._enlarge(event.metric)

    def _enlarge(self, metric: str, *, focus: bool = True) -> None:
        self.query_one(ContentSwitcher).current = "large"
        view = self.query_one(PlotView)
        view.show_metric(metric)
        if focus:
            view.focus(scroll_visible=False)

    def on_plot_view_shrunk(self) -> None:
        """Show all plots."""
        self.query_one(ContentSwitcher).current = "grid"
        self.query_one(PlotGrid).focus(scroll_visible=False)
        self.want()

    def on_plot_view_other(self, event: PlotView.Other) -> None:
        """Enlarge another plot."""
        grid = self.query_one(PlotGrid)
        grid.action_move(event.steps, 0)
        if grid.metric is not None:
            self._enlarge(grid.metric)

    # --- how it is drawn ---

    def action_choose_x(self) -> None:
        """Ask for the x."""
        numbers = self._numbers(self._view.x)
        values = [None, *numbers, "time", "relative"]
        labels = ["chosen for each metric", *numbers, "time", "time since the start"]
        self._choose("x", "Draw over", values, labels)

    def action_choose_by(self) -> None:
        """Ask for the id that has a curve for each of its values."""
        numbers = self._numbers(self._view.by)
        self._choose("by", "A curve for each value of", [None, *numbers], ["strings and bools only", *numbers])

    def _numbers(self, now: str | None) -> list[str]:
        """Return the number ids that the metrics on the screen have, and what is chosen now."""
        shown = self._shown(large=self.is_enlarged).positions or self._report.numbers
        return [name for name in self._report.numbers if name in shown or name == now]

    def _choose(self, option: str, title: str, values: Sequence[str | None], labels: Sequence[str]) -> None:
        now = getattr(self._view, option)
        chosen = values.index(now) if now in values else 0
        self.query_one(Choice).ask(title, labels, chosen, lambda place: self._change(**{option: values[place]}))

    def action_smooth(self, steps: int) -> None:
        """Smooth more, or less; after the most it is not smoothed."""
        place = (SMOOTHINGS.index(self._view.smoothing) + steps) % len(SMOOTHINGS)
        self._change(smoothing=SMOOTHINGS[place])

    def action_log(self, axis: str) -> None:
        """Make an axis logarithmic, or not."""
        log = self._view.log
        self._change(log=log.replace(axis, "") if axis in log else "".join(sorted(log + axis)))


def _describe(_path: object, group: Any) -> Sequence[Span]:
    """Return what stands beside the name of a metric, or of a group: how many are in it."""
    return [("" if isinstance(group, str) else f"{len(names_in(group)):,}", "dim")]
