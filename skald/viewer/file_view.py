"""A view of a text file of any size, which may grow: shown from its end or its beginning, and searched.

Invariant: the event loop reads no more of the file than what is in sight.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from skald.viewer.lines import LineView, Span
from skald.viewer.textfile import SEARCH_BYTES, Part, TextFile, count_ends, find, state_of
from skald.viewer.work import start

TAB: Final = 8
_WAIT_SECS: Final = 0.02

Painter = Callable[[str], list[Span]]


def plain(text: str) -> list[Span]:
    """Return a line without colours."""
    return [(text, "plain")]


class FileView(LineView):
    """A text file.

    Args:
        from_end: whether it is shown from its end, and followed while it grows.
        painter: what gives a line its colours.
    """

    DEFAULT_CSS = """
    FileView { padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("home,g", "scroll_home", "To the beginning", show=False),
        Binding("end,G", "scroll_end", "To the end", show=False),
        Binding("n", "search_next(1)", "Next match"),
        Binding("N,p", "search_next(-1)", "Previous match", key_display="N"),
    ]

    class Changed(Message):
        """What the view says of itself has changed."""

    def __init__(self, *, from_end: bool = False, painter: Painter = plain, **options: Any) -> None:
        super().__init__(**options)
        self.following = from_end
        self.words = ""
        self.note = ""
        """What became of the search."""
        self.file: TextFile | None = None
        self._from_end, self._painter = from_end, painter
        self._path: Path | None = None
        self._extra: Sequence[str] = ()
        self._found: int | None = None
        self._widest = 0
        self._reading = False

    def open(self, path: Path | None, extra: Sequence[str] = ()) -> None:
        """Show a file from now on; the one that is shown is followed.

        Args:
            path: the file; None: none.
            extra: lines that stand below it.
        """
        if path != self._path:
            self._path, self.file, self._widest, self._found, self.note = path, None, 0, None, ""
            self.following = self._from_end
            self.scroll_to(0, 0, animate=False, force=True)
        if path is None or extra != self._extra:
            self._extra = extra
            self._extend(0)
        if path and not self._reading:
            self._reading = True
            start(self, self._read)

    def line(self, number: int) -> Sequence[Span]:
        """Return a line, its matches marked."""
        count = self.file.line_count if self.file else 0
        if self.file and number < count:
            spans = self._painter(self.file.line(number).expandtabs(TAB))
        elif number - count < len(self._extra):
            spans = [(self._extra[number - count].expandtabs(TAB), "dim")]
        else:
            return ()
        width = sum(cell_len(text) for text, _ in spans)
        if width > self._widest:
            self._widest = width
            self.call_later(self._extend, 0)
        return _marked(spans, self.words) if self.words else spans

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end from when it is in sight."""
        super().watch_scroll_y(old_value, new_value)
        following = new_value >= self.max_scroll_y
        if following != self.following:
            self.following = following
            self.post_message(self.Changed())

    def on_resize(self, _event: events.Resize) -> None:
        """Keep the end in sight."""
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def action_scroll_end(self) -> None:
        """Go to the end, and follow it."""
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True)

    def action_scroll_home(self) -> None:
        """Go to the beginning, as far as it is known."""
        self.scroll_to(y=0, animate=False, force=True)

    def action_page_up(self) -> None:
        """Go up by what is in sight."""
        self.scroll_page_up(animate=False)

    def action_page_down(self) -> None:
        """Go down by what is in sight."""
        self.scroll_page_down(animate=False)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Offer the next match only while there is something to match."""
        return bool(self.words) if action == "search_next" else True

    def search(self, words: str) -> None:
        """Look for a text, of any case; the next from what is in sight on."""
        self.words, self.note, self._found = words, "", None
        self.refresh()
        self.refresh_bindings()
        self.post_message(self.Changed())
        if words:
            self.action_search_next(-1 if self.following else 1)

    def action_search_next(self, direction: int) -> None:
        """Go to the next match (1) or the one before (-1)."""
        if self.words and self.file:
            start(self, self._search, self.file, direction, exclusive=True)

    async def _read(self) -> None:
        """Take in what has come, and what is not known yet."""
        try:
            while self._path is not None:
                path = self._path
                state = await asyncio.to_thread(state_of, path)
                if self.file is None or self.file.path != path or not self.file.update(state):
                    self.file = TextFile(path, state, from_end=self._from_end)
                if await self._count(self.file):
                    return
        except OSError as error:  # what was read stays in sight
            self.note = error.strerror or str(error)
            self.post_message(self.Changed())
        finally:
            self._reading = False

    async def _count(self, file: TextFile) -> bool:
        """Count the lines of a file; tell whether it is still the one to show."""
        while file is self.file and (part := file.next_part()):
            ends = await asyncio.to_thread(count_ends, file.path, part)
            if file is self.file:
                self._extend(file.take(part, ends))
        return file is self.file and file.path == self._path

    def _extend(self, before: int) -> None:
        """Show that there are more lines, some of them before those that were known."""
        count = (self.file.line_count if self.file else 0) + len(self._extra)
        following = self.following
        self.set_extent(self._widest, count)
        if self._found is not None:
            self._found += before
        if following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
            self.following = True
        elif before:
            self.scroll_to(y=self.scroll_offset.y + before, animate=False, force=True)
        self.refresh()
        self.post_message(self.Changed())

    async def _search(self, file: TextFile, direction: int) -> None:
        words = self.words.encode().lower()  # as of a file that is not decoded, other cases only of ASCII
        start = self._search_start(file, direction)
        self.note = "searching"
        self.post_message(self.Changed())
        try:
            place = await self._find(file, _parts(start, file.state.size, len(words), direction), words, direction)
            note = ""
            if place is None:
                whole = file.state.size if direction < 0 else 0
                place = await self._find(file, _parts(whole, file.state.size, len(words), direction), words, direction)
                note = "search went on from the end" if direction < 0 else "search went on from the beginning"
            self._arrive(file, place, note)
        except OSError as error:
            self.note = error.strerror or str(error)
        self.post_message(self.Changed())

    def _search_start(self, file: TextFile, direction: int) -> int:
        """Return the place to search from: the match that was found, or else what is in sight."""
        top = self.scroll_offset.y
        if self._found is not None and top <= self._found < top + max(1, self.size.height):
            return file.start(self._found + (direction > 0))
        return file.start(top if direction > 0 else top + self.size.height)

    async def _find(self, file: TextFile, parts: Sequence[Part], words: bytes, direction: int) -> int | None:
        for part in parts:
            place = await asyncio.to_thread(find, file.path, part, words, last=direction < 0)
            if place is not None:
                return place
        return None

    def _arrive(self, file: TextFile, place: int | None, note: str) -> None:
        if place is None:
            self.note = "not found"
        elif file.known.start <= place < file.known.stop:
            self.note = note
            self._found = file.line_at(place)
            self.scroll_to(y=max(0, self._found - self.size.height // 2), animate=False, force=True)
            self.refresh()
        else:  # what is counted has not reached it yet
            self.set_timer(_WAIT_SECS, lambda: self._arrive(file, place, note))


def _parts(start: int, size: int, overlap: int, direction: int) -> list[Part]:
    """Return the parts of a file from a place on in a direction, each of which holds what begins in it."""
    step = SEARCH_BYTES
    if direction > 0:
        return [Part(at, min(at + step + overlap, size)) for at in range(start, size, step)]
    stops = range(start, 0, -step)
    return [Part(max(0, at - step), min(at + overlap * (at < start), size)) for at in stops]


def _marked(spans: Sequence[Span], words: str) -> list[Span]:
    """Return spans with what matches marked; a match that lies in several is not."""
    found: list[Span] = []
    pattern = re.compile(f"({re.escape(words)})", re.IGNORECASE)
    for text, tone in spans:
        pieces = pattern.split(text)
        found += [(piece, "match" if place % 2 else tone) for place, piece in enumerate(pieces)]
    return found
