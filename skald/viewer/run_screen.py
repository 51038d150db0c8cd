"""The screen of one run: what it is doing, and tabs for what it recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Input, TabbedContent, TabPane, Tabs

from skald.viewer.artifacts_pane import ArtifactsPane
from skald.viewer.console_pane import ConsolePane
from skald.viewer.header import RunHeader
from skald.viewer.info_pane import InfoPane
from skald.viewer.keys_bar import KeysBar, KeysScreen
from skald.viewer.metrics_pane import MetricsPane
from skald.viewer.painter import Report
from skald.viewer.params_pane import ParamsPane
from skald.viewer.work import LIVE_SECS

_LOW: Final = 14
"""A terminal of fewer lines has them for what is shown, not for what stands around it."""


PANES: Final[dict[str, Callable[[Path], Widget]]] = {
    "metrics": lambda run: MetricsPane({run.name: run}),
    "params": ParamsPane,
    "console": ConsolePane,
    "artifacts": ArtifactsPane,
    "info": InfoPane,
}
"""What is in the tabs, in their order."""
_FIRST: Final = "metrics"


class RunScreen(KeysScreen):
    """One run, live.

    Args:
        run: the run's folder.
    """

    DEFAULT_CSS = """
    RunScreen TabbedContent { height: 1fr; }
    RunScreen ContentSwitcher { height: 1fr; }
    RunScreen TabPane { padding: 0; height: 1fr; }
    RunScreen.-low Tabs { height: 1; }
    RunScreen.-low Underline, RunScreen.-low #options { display: none; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (_LOW, "-high")]  # noqa: RUF012  as the base class has it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("slash", "search", "Search", key_display="/", priority=True),  # before what is typed right behind it
        *(
            Binding(str(number), f"show_tab('{name}')", name.capitalize(), show=False)
            for number, name in enumerate(PANES, 1)
        ),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._run = run

    def compose(self) -> ComposeResult:
        """Lay out the header, the tabs and the keys."""
        yield RunHeader(self._run.name)
        with TabbedContent():
            for name, make in PANES.items():
                with TabPane(name, id=f"tab-{name}"):
                    if name == _FIRST:  # the others are made as they are shown: the first picture comes sooner
                        yield make(self._run)
        yield KeysBar()

    def on_mount(self) -> None:
        """Begin to follow the run."""
        self.set_interval(LIVE_SECS, self._refresh_live)

    def action_show_tab(self, name: str) -> None:
        """Show a tab; what has the focus has it no more, else Textual looks for it in the tab that is left."""
        tabs = self.query_one(TabbedContent)
        if tabs.active != f"tab-{name}" and not isinstance(self.focused, Tabs):
            self.set_focus(None)
        tabs.active = f"tab-{name}"

    async def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Fill a tab as it is shown for the first time, and let keys reach it."""
        pane = event.pane
        if not pane.children:
            await pane.mount(PANES[str(pane.id).removeprefix("tab-")](self._run))
        if not isinstance(self.focused, Tabs):
            self.call_after_refresh(self._focus, pane)

    def _focus(self, pane: TabPane) -> None:
        """Focus the first widget of a tab that takes keys, unless one has them."""
        if pane.has_focus_within or pane is not self.query_one(TabbedContent).active_pane:
            return
        if self._metrics in pane.children:
            self._metrics.focus_plots()
            return
        shown = (widget for widget in pane.walk_children() if isinstance(widget, Widget) and widget.focusable)
        first = next((widget for widget in shown if not isinstance(widget, Input)), None)
        if first is not None:
            first.focus()

    @property
    def _metrics(self) -> MetricsPane:
        return self.query_one(MetricsPane)

    def on_metrics_pane_told(self, event: MetricsPane.Told) -> None:
        """Tell how the run is, which the metrics are always looked at for."""
        if isinstance(event.found, Report):
            self.query_one(RunHeader).show(event.found.vitals[self._run.name])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer the way back where there is one, and a search where a tab has one and nothing is typed."""
        if action == "search":
            return self._searched is not None and not isinstance(self.focused, Input)
        return len(self.app.screen_stack) > 1 if action == "back" else True

    @property
    def _searched(self) -> Widget | None:
        """What is searched of the tab that is shown."""
        pane = self.query_one(TabbedContent).active_pane
        return next((child for child in pane.children if hasattr(child, "action_search")), None) if pane else None

    async def action_search(self) -> None:
        """Search what is shown while the tabs themselves have the focus."""
        if self._searched is not None:
            await self.app.run_action("search", self._searched)

    def action_back(self) -> None:
        """Go back to the runs."""
        self.app.pop_screen()

    def _refresh_live(self) -> None:
        self._metrics.refresh_live()
        pane = self.query_one(TabbedContent).active_pane
        for child in pane.children if pane else ():
            if not isinstance(child, MetricsPane) and hasattr(child, "refresh_live"):
                child.refresh_live()
