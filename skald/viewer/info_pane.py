"""The tab that tells what a run is: identity, exception, sessions, environment."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from skald.viewer.info_page import Facts, as_text, page, read_facts
from skald.viewer.lines import Lines
from skald.viewer.pane import Pane


class InfoPane(Pane[Facts]):
    """What run.json tells, as a page of text."""

    DEFAULT_CSS = """
    InfoPane > Lines { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "copy", "Copy run.json")]

    _facts: Facts | None = None

    def compose(self) -> ComposeResult:
        """Lay out the page."""
        yield self.problem
        yield Lines()

    def look(self) -> Facts:
        """Read run.json, and count what the run holds."""
        return read_facts(self.run)

    def show(self, found: Facts) -> None:
        """Show the page."""
        self._facts = found
        lines = self.query_one(Lines)
        lines.show(page(found, lines.size.width))

    def on_resize(self, _event: events.Resize) -> None:
        """Break lines anew."""
        if self._facts is not None:
            self.show(self._facts)

    def action_copy(self) -> None:
        """Copy run.json into the terminal's clipboard."""
        if self._facts is not None:
            self.app.copy_to_clipboard(as_text(self._facts.info))
            self.notify("copied run.json", markup=False)
