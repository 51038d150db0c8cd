"""A question with a few answers, over what is asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import OptionList


class Choice(OptionList):
    """Asks for one of several answers; there only while it asks.

    NOTE: no screen of its own, as Textual draws what lies behind one five times over: 60 ms.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back")]
    DEFAULT_CSS = """
    Choice {
        layer: above; display: none;
        width: 44; max-width: 90%; height: auto; max-height: 80%;
        background: $surface; border: round $primary; border-title-color: $foreground; border-title-style: bold;
        &:focus { border: round $primary; }
    }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, **options)
        self._asker: Widget | None = None
        self._take: Callable[[int], object] = int

    def ask(self, title: str, answers: Sequence[str], chosen: int, take: Callable[[int], object]) -> None:
        """Ask.

        Args:
            title: what is asked.
            answers: what can be chosen.
            chosen: the place of what holds now.
            take: called with the place of the answer, if one is given.
        """
        if not self.has_focus:
            self._asker = self.screen.focused
        self._take = take
        self.border_title = title
        self.set_options(answers)
        self.highlighted = chosen
        self.display = True
        self.focus(scroll_visible=False)

    def action_leave(self) -> None:
        """Go, without an answer."""
        self.display = False
        if self._asker is not None and self._asker.is_attached:
            self._asker.focus(scroll_visible=False)

    def on_blur(self) -> None:
        """Go, as something else is wanted."""
        self.display = not self.app.app_focus

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the answer."""
        event.stop()
        self.action_leave()
        self._take(event.option_index)
