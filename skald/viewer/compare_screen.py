"""The screen of several runs: what they differ in, and their metrics drawn over each other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final

import polars as pl
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from skald import layout
from skald.amounts import plural
from skald.many.overview import read_runs
from skald.schema import RUN
from skald.viewer.keys_bar import KeysBar, KeysScreen
from skald.viewer.metrics_pane import MetricsPane
from skald.viewer.run_rows import Order, RunRows
from skald.viewer.table import Table
from skald.viewer.watch import FAULTS
from skald.viewer.work import LIVE_SECS, Pace, start

MOST_LINES: Final = 7


class CompareScreen(KeysScreen):
    """Some runs, live.

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
        Binding("slash", "search", "Search", key_display="/"),
        Binding("d", "toggle_table", "Params that differ"),
    ]

    def __init__(self, runs: Mapping[str, Path], table: pl.DataFrame) -> None:
        super().__init__()
        self._runs = dict(runs)
        self._known = _as_named(self._runs, table)
        self._rows = _rows(self._known)
        self._pace = Pace()

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
        self.set_interval(LIVE_SECS, self._refresh_live)

    def _refresh_live(self) -> None:
        self.query_one(MetricsPane).refresh_live()
        if self.is_current and self._pace.begin():
            start(self, self._look)

    async def _look(self) -> None:
        """Look at the runs again."""
        with self._pace.look(), contextlib.suppress(*FAULTS):  # one went away meanwhile: the next look tells of it
            self._known = await asyncio.to_thread(_looked_at, self._runs, self._known)
            self._rows = await asyncio.to_thread(_rows, self._known)
            self.query_one("#compare-runs", Table).show(self._rows)

    def action_search(self) -> None:
        """Search the metrics while the table of runs has the focus."""
        self.query_one(MetricsPane).action_search()

    def action_toggle_table(self) -> None:
        """Show the runs and the params in which they differ, or hide them."""
        table = self.query_one("#compare-runs", Table)
        table.display = not table.display


def _as_named(runs: Mapping[str, Path], table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of some runs with the names and in the order of the legends."""
    named = pl.DataFrame({"path": [str(path) for path in runs.values()], RUN: list(runs)})
    return named.join(table.drop(RUN), on="path", maintain_order="left")


def _looked_at(runs: Mapping[str, Path], known: pl.DataFrame) -> pl.DataFrame:
    """Return the table of runs as they are now; of one that is gone what was known."""
    there = [path for path in runs.values() if layout.is_run(path)]
    table = read_runs(there, (), {})[0] if there else known.head(0)
    gone = known.join(table, on="path", how="anti").with_columns(pl.lit("gone").alias("status"))
    return _as_named(runs, pl.concat([table, gone], how="diagonal_relaxed"))


def _rows(table: pl.DataFrame) -> RunRows:
    return RunRows(table, table, set(), Order("", descending=False))
