"""The metrics of a run, or of several over each other: a tree of names, and a plot for each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Static


class MetricsPane(Widget):
    """The plots of runs.

    Args:
        runs: the folders of the runs by their names; several are drawn over each other.
    """

    def __init__(self, runs: Mapping[str, Path]) -> None:
        super().__init__()
        self._runs = dict(runs)

    def compose(self) -> ComposeResult:
        """Lay out the names and the plots."""
        yield Static(", ".join(self._runs))

    def refresh_live(self) -> None:
        """Look for new rows, in a thread."""
