"""A question with a few answers, over the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList


class ChoiceScreen(ModalScreen[int | None]):
    """Asks for one of several answers; gives its place, or None where nothing was chosen.

    Args:
        title: what is asked.
        answers: what can be chosen.
        chosen: the place of what holds now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Back")]
    DEFAULT_CSS = """
    ChoiceScreen { align: center middle; background: $background 60%; }
    ChoiceScreen Vertical {
        width: 44; max-width: 90%; height: auto; max-height: 80%;
        background: $surface; padding: 1 2;
    }
    ChoiceScreen Label { text-style: bold; padding: 0 1 1 1; }
    ChoiceScreen OptionList { height: auto; max-height: 16; width: 100%; border: none; background: $surface; }
    ChoiceScreen OptionList:focus { border: none; }
    """

    def __init__(self, title: str, answers: Sequence[str], chosen: int = 0) -> None:
        super().__init__()
        self._title, self._answers, self._chosen = title, answers, chosen

    def compose(self) -> ComposeResult:
        """Lay out the question and the answers."""
        with Vertical():
            yield Label(self._title, markup=False)
            yield OptionList(*self._answers, markup=False)

    def on_mount(self) -> None:
        """Point at what holds now."""
        options = self.query_one(OptionList)
        options.highlighted = self._chosen
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the answer."""
        self.dismiss(event.option_index)
