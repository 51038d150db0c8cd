"""The tab of what a run's processes have logged and printed, live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from skald import layout
from skald.amounts import plural, size_text
from skald.cli.format import printable
from skald.errors import RunNotFoundError
from skald.record.consolefiles import console_files, read_unfinished
from skald.viewer.file_view import FileView
from skald.viewer.lines import Span
from skald.viewer.pane import Pane
from skald.viewer.prompt import Prompt

_MESSAGE: Final = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \| )([A-Z]+)( \| )")
_LEVELS: Final = {
    "TRACE": "dim",
    "DEBUG": "dim",
    "INFO": "name",
    "SUCCESS": "good",
    "WARNING": "warm",
    "ERROR": "bad",
    "CRITICAL": "bad",
}
_LOUD: Final = frozenset({"warm", "bad"})


class Consoles(NamedTuple):
    """The console files of a run, the one that is shown, and what is not finished of it."""

    files: Sequence[Path]
    shown: Path | None
    unfinished: list[str]


class ConsolePane(Pane[Consoles]):
    """What was logged and printed: its end, which is followed unless the view is scrolled up."""

    DEFAULT_CSS = """
    ConsolePane > #console-state {
        height: 1;
        padding: 0 1;
        background: $surface;
        color: $text-muted;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("f", "next_file", "Next file"),
        Binding("escape", "clear", "Clear search", show=False),
    ]

    def __init__(self, run: Path) -> None:
        super().__init__(run)
        self._consoles = Consoles((), None, [])
        self._wanted: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out the text, the line to type into, and a line that tells what is in sight."""
        yield self.problem
        yield FileView(from_end=True, painter=painted, id="console-text")
        yield Prompt("search for…", id="console-search")
        yield Static(id="console-state")

    def look(self) -> Consoles:
        """Find the console files, and what is not finished of the one that is shown."""
        if not layout.is_run(self.run):
            raise RunNotFoundError(self.run)
        files = console_files(self.run)
        shown = next((path for path in files if path.name == self._wanted), files[0] if files else None)
        unfinished = read_unfinished(self.run, shown or self.run / layout.CONSOLE)
        return Consoles(files, shown, unfinished.splitlines())

    def show(self, found: Consoles) -> None:
        """Follow the file."""
        self._consoles = found
        self._view.open(found.shown, found.unfinished)
        self.refresh_bindings()
        self._tell()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer another file only where there is one, and an end of the search only while there is one."""
        if action == "clear":
            return bool(self._view.words)
        return len(self._consoles.files) > 1 if action == "next_file" else True

    def action_search(self) -> None:
        """Ask what to search for."""
        self._prompt.ask()

    def action_clear(self) -> None:
        """Search for nothing any more."""
        self._prompt.action_leave()

    def action_next_file(self) -> None:
        """Show the console of the next process."""
        names = [path.name for path in self._consoles.files]
        shown = self._consoles.shown.name if self._consoles.shown else ""
        self._wanted = names[(names.index(shown) + 1) % len(names)] if shown in names else None
        self.look_now()

    @on(Prompt.Left)
    @on(Input.Submitted)
    def _search(self) -> None:
        self._prompt.done()
        self._view.focus()
        self._view.search(self._prompt.value)

    @on(FileView.Changed)
    def _tell(self) -> None:
        view, (files, shown, unfinished) = self._view, self._consoles
        if shown is None and not unfinished:
            text = "nothing was logged or printed"
        else:
            parts = [printable(shown.name)] if shown else []
            if shown and len(files) > 1:
                parts.append(f"{files.index(shown) + 1} of {len(files)}")
            if view.file:
                more = "" if view.file.is_complete else " so far"
                parts += [size_text(view.file.state.size), plural(view.file.line_count, "line") + more]
            parts += ["at the end" if view.following else "scrolled up", view.note]
            text = "  ".join(filter(None, parts))
        self.query_one("#console-state", Static).update(Content(text), layout=False)

    @property
    def _view(self) -> FileView:
        return self.query_one(FileView)

    @property
    def _prompt(self) -> Prompt:
        return self.query_one(Prompt)


def painted(text: str) -> list[Span]:
    """Return a line of a console: of a message of the logger its time dim, and its level in a colour."""
    message = _MESSAGE.match(text)
    if message is None:
        return [(text, "plain")]
    tone = _LEVELS.get(message[2], "plain")
    rest = text[message.end() :]
    return [(message[1], "dim"), (message[2], tone), (message[3], "dim"), (rest, tone if tone in _LOUD else "plain")]
