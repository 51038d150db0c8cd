"""What the tabs of a run have in common: each looks at the disk in a thread, and shows what it found.

Invariant: a run that is damaged or gone leaves on the screen what was seen of it, below a line that says so.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Generic, TypeVar

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from skald import layout
from skald.errors import RunNotFoundError
from skald.viewer.watch import FAULTS
from skald.viewer.work import Pace, start

Found = TypeVar("Found")


class Problem(Static):
    """A line that says what is wrong; not there while nothing is."""

    DEFAULT_CSS = """
    Problem {
        height: auto;
        max-height: 4;
        padding: 0 1;
        background: $error-muted;
        color: $text-error;
        display: none;
        &.-told { display: block; }
    }
    """

    def tell(self, text: str) -> None:
        """Say what is wrong; nothing is with an empty text."""
        self.set_class(bool(text), "-told")
        self.update(Content(text))


class Pane(Vertical, Generic[Found]):
    """A tab of a run.

    Args:
        run: the run's folder.
    """

    DEFAULT_CSS = """
    Pane { height: 1fr; }
    """

    def __init__(self, run: Path, **options: Any) -> None:
        super().__init__(**options)
        self.run = run
        self.problem = Problem()
        self._pace = Pace()

    def on_mount(self) -> None:
        """Look, if it is in sight already."""
        if self.region.area:
            self.look_now()

    def on_show(self) -> None:
        """Look as soon as the tab comes into sight."""
        self.look_now()

    def refresh_live(self) -> None:
        """Look again, unless that is under way, or was just now."""
        self.look_now(rested=True)

    def look_now(self, *, rested: bool = False) -> None:
        """Look again, unless that is under way."""
        if self.is_mounted and self._pace.begin(rested=rested):
            start(self, self._refresh)

    def look(self) -> Found:
        """Return what is on the disk; called in a thread."""
        raise NotImplementedError

    def show(self, found: Found) -> None:
        """Show what was found; called on the event loop."""
        raise NotImplementedError

    async def _refresh(self) -> None:
        with self._pace.look():
            try:
                found = await asyncio.to_thread(self.look)
                self.problem.tell("")
                self.show(found)
            except FAULTS as error:
                self.problem.tell(problem_text(self.run, error))


def problem_text(run: Path, error: BaseException) -> str:
    """Return what is wrong with a run, in a sentence."""
    if isinstance(error, RunNotFoundError) or not layout.is_run(run):
        return "This run is gone: its folder was removed or renamed. Below stands what was last seen of it."
    return " ".join(" ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())]).split())
