"""The line at the bottom of each screen that names the keys which do something now.

NOTE: one widget, whose line is made anew as the focus moves. Textual's own makes a widget of each key: 20 ms, and the
whole screen laid out again, with each key that moves the focus.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App
from textual.reactive import Reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget


class KeysScreen(Screen[None]):
    """A screen with such a line.

    NOTE: Textual paints all of a screen anew, 140 kB of a large terminal, with each key that moves the focus; what it
    looks like lies with the widgets here.
    """

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)


class Hint(NamedTuple):
    """A key, how it is called on the screen, and what it does."""

    key: str
    label: str
    does: str

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return cell_len(self.label) + cell_len(self.does) + 3


class KeysBar(Widget):
    """The keys of what has the focus and of the screen, and at the right those of the application, always in sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keys--key"}
    DEFAULT_CSS = """
    KeysBar { dock: bottom; height: 1; background: $footer-background; color: $footer-description-foreground; }
    KeysBar > .keys--key { color: $footer-key-foreground; text-style: bold; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._hints: list[Hint] = []
        self._last: list[Hint] = []

    def on_mount(self) -> None:
        """Learn of it when other keys do something."""
        self.screen.bindings_updated_signal.subscribe(self, self._learn)

    def _learn(self, screen: Screen[Any]) -> None:
        """Take in which keys do something now, of several that do the same the first."""
        self._hints, self._last = [], []
        told = set()
        for node, binding, is_enabled, _ in screen.active_bindings.values():
            if binding.show and is_enabled and binding.action not in told:
                told.add(binding.action)
                hint = Hint(binding.key, self.app.get_key_display(binding), binding.description)
                (self._last if isinstance(node, App) else self._hints).append(hint)
        self.refresh()

    def shown(self) -> list[Hint]:
        """Return the keys that there is room for; the application's are there before the others."""
        room = self.size.width - sum(hint.width for hint in self._last)
        kept = []
        for hint in self._hints:
            room -= hint.width
            if room >= 0:
                kept.append(hint)
        return [*kept, *self._last]

    def render_line(self, y: int) -> Strip:  # noqa: ARG002  it has one
        """Return the line."""
        base = self.rich_style
        key = base + Style(color=self.get_component_rich_style("keys--key").color, bold=True)
        parts = [
            segment
            for hint in self.shown()
            for segment in (Segment(f" {hint.label} ", key), Segment(f"{hint.does} ", base))
        ]
        return Strip(parts).adjust_cell_length(self.size.width, base)

    async def on_click(self, event: events.Click) -> None:
        """Press the key that is clicked on."""
        end = 0
        for hint in self.shown():
            end += hint.width
            if event.x < end:
                self.app.simulate_key(hint.key)
                return
