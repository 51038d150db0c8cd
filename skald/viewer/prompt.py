"""A line to type into, which is there only while it is asked for: what to search for, or which rows to show."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input


class Prompt(Input):
    """A line to type into.

    Args:
        placeholder: what is to be typed.
    """

    DEFAULT_CSS = """
    Prompt {
        display: none;
        height: 1;
        border: none;
        padding: 0 1;
        background: $surface;
        &.-textual-compact { padding: 0 1; }
        &.-asked { display: block; }
        &:focus { border: none; background: $boost; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Clear"),
        Binding("down", "submit", "Done", show=False),
    ]

    class Left(Message):
        """It was left with escape, and is empty: `done` is called when what was searched for is no more."""

        def __init__(self, prompt: Prompt) -> None:
            self.prompt = prompt
            super().__init__()

        @property
        def control(self) -> Prompt:
            """The prompt."""
            return self.prompt

    def __init__(self, placeholder: str, **options: Any) -> None:
        super().__init__(placeholder=placeholder, compact=True, **options)
        self._asker: Widget | None = None

    def ask(self) -> None:
        """Come into sight; who had the focus gets it back."""
        if not self.has_focus:
            self._asker = self.screen.focused
        self.add_class("-asked")
        self.screen.set_focus(self, scroll_visible=False)  # at once: what is typed behind the key is for it

    def done(self) -> None:
        """Give the focus back; what was typed stays in sight, if there is something."""
        self.set_class(bool(self.value), "-asked")
        if self._asker is not None and self._asker.is_attached:
            self._asker.focus(scroll_visible=False)

    def action_leave(self) -> None:
        """Clear it, and wait to be done: the screen is laid out once, after what comes back into sight."""
        self.value = ""
        self.post_message(self.Left(self))
