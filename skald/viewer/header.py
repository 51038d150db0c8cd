"""The line at the top of a run's screen: its status, its duration, its rows, and how old the newest of them is."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rich.text import Text
from textual.widgets import Static

from skald.amounts import duration_text, plural
from skald.reading.portrait import RICH_COLORS
from skald.viewer.watch import Vitals


class RunHeader(Static):
    """What is told of a run in one line.

    Args:
        name: the run's.
    """

    DEFAULT_CSS = """
    RunHeader { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(Text(name, style="bold"), **options)
        self._run_name = name

    def show(self, vitals: Vitals) -> None:
        """Tell what a look at the run found."""
        self.update(header_text(self._run_name, vitals, dt.datetime.now(dt.UTC)), layout=False)


def header_text(name: str, vitals: Vitals, now: dt.datetime) -> Text:
    """Return the line: what it says fits 80 columns, the most important first."""
    text = Text.assemble((name, "bold"), "  ", (f"● {vitals.status}", f"bold {RICH_COLORS.get(vitals.status, 'red')}"))
    parts = [duration_text(vitals.duration), plural(vitals.rows, "row")]
    if vitals.rows:
        parts.append(f"{_rate(vitals.per_sec)} points/s")
    if vitals.newest is not None and vitals.rows:
        parts.append(f"newest {duration_text(max(now - vitals.newest, dt.timedelta(0)))} ago")
    for part in parts:
        text.append(f"  {part}")
    return text.append(f"  {vitals.fault}", style="red") if vitals.fault else text


def _rate(per_sec: float) -> str:
    return f"{per_sec:,.0f}" if per_sec >= 10 or per_sec == 0 else f"{per_sec:.1f}"  # noqa: PLR2004
