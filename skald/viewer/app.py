"""The viewer's application: which screen comes first, themes, help, and what the terminal can show."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from skald import layout
from skald.many.finding import find_runs
from skald.many.overview import runs
from skald.viewer.capability import AsciiFilter, is_ascii_only
from skald.viewer.compare_screen import CompareScreen
from skald.viewer.run_screen import RunScreen
from skald.viewer.runs_screen import RunsScreen

DARK: Final = "textual-dark"
LIGHT: Final = "textual-light"
_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code of a process that was asked to end, as shells have it."""


class ViewerApp(App[None]):
    """Shows a run, or a folder of runs.

    Args:
        paths: a run, a folder of runs, or several of these.
    """

    TITLE = "skald"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit"),
        Binding("question_mark", "toggle_help", "Help", key_display="?"),
        Binding("escape", "close_help", "Close the help", show=False, priority=True),
        Binding("ctrl+t", "toggle_theme", "Light or dark", show=False),
    ]

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self._paths = [path.absolute() for path in paths]
        self._show_warning = warnings.showwarning
        self._is_ascii_only = is_ascii_only()
        if self._is_ascii_only:
            self._filters.append(AsciiFilter())

    def get_key_display(self, binding: Binding) -> str:
        """Return how a key is called; what has a sign of no letters elsewhere has its name in ASCII."""
        shown = super().get_key_display(binding)
        return binding.key if self._is_ascii_only and shown == "⏎" else shown

    def get_default_screen(self) -> Screen[None]:
        """Return the screen of what was asked for."""
        path = self._paths[0]
        if len(self._paths) > 1:
            found = {run.name: Path(run.folder) for run in find_runs(self._paths)}
            return CompareScreen(found, runs(self._paths))
        return RunScreen(path) if layout.is_run(path) else RunsScreen(path)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Offer in the palette what keys do here, beside what every application has."""
        told = set()
        for key, active in screen.active_bindings.items():
            binding = active.binding
            if active.enabled and binding.description and not binding.system and binding.description not in told:
                told.add(binding.description)
                run = partial(self.run_action, binding.action, active.node)
                yield SystemCommand(binding.description, f"Key: {binding.key_display or key}", run)
        yield from (command for command in super().get_system_commands(screen) if command.title not in told)

    def on_mount(self) -> None:
        """Show warnings on the screen, which they would tear; when told to end, leave the terminal as it was."""
        with contextlib.suppress(NotImplementedError):  # Windows has no such signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, partial(self.exit, return_code=_TERMINATED))
        told: set[str] = set()

        def show_warning(message: Warning | str, *_: object) -> None:
            text = str(message)
            if text not in told:
                told.add(text)
                self.notify(text, severity="warning", markup=False)

        warnings.showwarning = show_warning  # type: ignore[assignment]

    def on_unmount(self) -> None:
        """Leave warnings as they were."""
        warnings.showwarning = self._show_warning

    def action_toggle_theme(self) -> None:
        """Change between light and dark."""
        self.theme = DARK if self.theme == LIGHT else LIGHT

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave escape to others where no help is shown."""
        return (
            bool(self.screen.query("HelpPanel")) if action == "close_help" else super().check_action(action, parameters)
        )

    def action_close_help(self) -> None:
        """Hide the keys."""
        self.action_hide_help_panel()

    def action_toggle_help(self) -> None:
        """Show the keys, or hide them."""
        if self.screen.query("HelpPanel"):
            self.action_hide_help_panel()
        else:
            self.action_show_help_panel()
