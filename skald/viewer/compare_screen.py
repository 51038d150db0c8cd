"""The screen of several runs: what they differ in, and their metrics drawn over each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from skald.amounts import plural
from skald.viewer.keys_bar import KeysBar
from skald.viewer.metrics_pane import MetricsPane
from skald.viewer.pane import LIVE_SECS
from skald.viewer.run_rows import Order, RunRows
from skald.viewer.table import Table

MOST_LINES: Final = 7


class CompareScreen(Screen[None]):
    """Some runs.

    Args:
        runs: their folders by their names.
        table: a table of runs that holds these.
    """

    DEFAULT_CSS = """
    CompareScreen > #compare-title { height: 1; padding: 0 1; background: $panel; }
    CompareScreen > MetricsPane { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "app.pop_screen", "Back"),
        Binding("d", "toggle_table", "Params that differ"),
    ]

    def __init__(self, runs: Mapping[str, Path], table: pl.DataFrame) -> None:
        super().__init__()
        self._runs = dict(runs)
        paths = pl.DataFrame({"path": [str(path) for path in runs.values()]})
        chosen = paths.join(table, on="path", maintain_order="left")  # as the legends have them
        self._rows = RunRows(chosen, chosen, set(), Order("", descending=False))

    def compose(self) -> ComposeResult:
        """Lay out the title, the runs, their metrics and the keys."""
        yield Static(
            Content(plural(len(self._runs), "run") + " over each other" * (len(self._runs) > 1)), id="compare-title"
        )
        yield Table(fixed=2, id="compare-runs")
        yield MetricsPane(self._runs)
        yield KeysBar()

    def on_mount(self) -> None:
        """Show the runs, and begin to follow them."""
        table = self.query_one("#compare-runs", Table)
        table.styles.height = min(MOST_LINES, len(self._rows.keys) + 1)
        table.show(self._rows)
        self.set_interval(LIVE_SECS, self.query_one(MetricsPane).refresh_live)

    def action_toggle_table(self) -> None:
        """Show the runs and the params in which they differ, or hide them."""
        table = self.query_one("#compare-runs", Table)
        table.display = not table.display
