"""Lines of text that are made when they come into view: the base of everything here that may be long.

Invariant: a line shows nothing but what it is given: no markup in it is obeyed, and no control character reaches the
terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, TypeAlias

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from skald.cli.format import printable

TONES: Final = ("plain", "dim", "strong", "name", "good", "bad", "warm", "cool", "tag", "match", "heading")
STATUS_TONES: Final = {"running": "cool", "finished": "good", "stopped": "warm", "failed": "bad", "crashed": "bad"}
"""How each status is coloured; what cannot be read is `bad` too."""
MOST_COPIED_LINES: Final = 10_000

Span: TypeAlias = tuple[str, str]
"""A text and its tone."""


def clipped(text: str, width: int, *, right: bool = False) -> str:
    """Return a text as wide as it is to be: filled with spaces, or cut, with a mark that it is."""
    size = cell_len(text)
    if size <= width:
        return " " * (width - size) + text if right else text + " " * (width - size)
    kept = text[: max(0, width - 1)]
    while kept and cell_len(kept) > width - 1:
        kept = kept[:-1]
    return (kept + "…" + " " * (width - 1 - cell_len(kept)))[:width] if width else ""


class Drawn(Widget):
    """A widget that makes its own lines.

    Attributes:
        base: its style, looked up once for all lines, as that takes as long as many a line.
    """

    base: Style = Style()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines of a part of it."""
        self.base = self.rich_style
        return super().render_lines(crop)

    def ink(self, name: str) -> Style:
        """Return the colour of a component alone, as it is on the background."""
        return Style(color=self.get_component_rich_style(name).color)


class LineView(ScrollView, Drawn, can_focus=True):
    """A view of lines, of which only those in sight are made."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{tone}" for tone in TONES}
    DEFAULT_CSS = """
    LineView {
        height: 1fr;
        background: $background;
        color: $foreground;
        scrollbar-size-horizontal: 0;
        scrollbar-size-vertical: 1;
        & > .lines--dim { color: $text-muted; }
        & > .lines--strong { text-style: bold; }
        & > .lines--name { color: $text-accent; }
        & > .lines--good { color: $text-success; }
        & > .lines--bad { color: $text-error; text-style: bold; }
        & > .lines--warm { color: $text-warning; }
        & > .lines--cool { color: $text-primary; text-style: bold; }
        & > .lines--tag { color: $text-secondary; }
        & > .lines--match { background: $warning; color: $background; text-style: bold; }
        & > .lines--heading { color: $text-primary; text-style: bold; }
    }
    """

    def line(self, number: int) -> Sequence[Span]:
        """Return a line of those that there are."""
        raise NotImplementedError

    def set_extent(self, width: int, height: int) -> None:
        """Say how many columns and lines there are."""
        size = Size(width, height)
        if size != self.virtual_size:  # NOTE: as Textual sets it the whole screen would be laid out anew
            self.set_reactive(Widget.virtual_size, size)
            self._scroll_update(size)

    def tone(self, name: str) -> Style:
        """Return the style of a tone in this theme."""
        style = self.get_component_rich_style(f"lines--{name}")  # its colour is blended with the view's background
        return Style(color=style.color, bgcolor=style.bgcolor if name == "match" else None, bold=style.bold or None)

    def render_line(self, y: int) -> Strip:
        """Return a line of the view."""
        number = self.scroll_offset.y + y
        if number >= self.virtual_size.height:
            return Strip.blank(self.size.width, self.base)
        return self.strip(number, self.line(number)).apply_offsets(self.scroll_offset.x, number)

    def strip(self, number: int, spans: Sequence[Span], style: Style | None = None) -> Strip:
        """Return what is in sight of a line, over the style of the view or another."""
        base, left = self.base if style is None else style, self.scroll_offset.x
        segments = [Segment(printable(text), base + self.tone(tone)) for text, tone in spans if text]
        selected = self.text_selection.get_span(number) if self.text_selection else None
        if selected:
            segments = _selected(segments, selected, self.screen.get_component_rich_style("screen--selection"))
        return Strip(segments).crop_extend(left, left + self.size.width, base)

    def action_scroll_left(self) -> None:
        """Go a good step to the left."""
        self._scroll_across(-1)

    def action_scroll_right(self) -> None:
        """Go a good step to the right."""
        self._scroll_across(1)

    def _scroll_across(self, direction: int) -> None:
        step = max(1, self.size.width // 4)
        self.scroll_to(x=self.scroll_offset.x + direction * step, animate=False, force=True)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the text that the mouse has selected."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.virtual_size.height - 1
        last = min(last, self.virtual_size.height - 1, first + MOST_COPIED_LINES)
        texts = []
        for number in range(first, last + 1):
            text = "".join(printable(text) for text, _ in self.line(number))
            start, end = selection.get_span(number) or (0, -1)
            texts.append(text[start : len(text) if end == -1 else end].rstrip())
        return "\n".join(texts), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002
        """Show what is selected."""
        self.refresh()


class Lines(LineView):
    """Some lines that are known."""

    def __init__(self, **options: Any) -> None:
        """Show nothing yet."""
        super().__init__(**options)
        self._lines: Sequence[Sequence[Span]] = ()

    def show(self, lines: Sequence[Sequence[Span]]) -> None:
        """Show these lines; those in sight stay in sight."""
        if lines != self._lines:
            self._lines = lines
            self.set_extent(max(map(_width, lines), default=0), len(lines))
            self.refresh()

    def line(self, number: int) -> Sequence[Span]:
        """Return a line."""
        return self._lines[number] if number < len(self._lines) else ()


def _width(spans: Sequence[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)


def _selected(segments: Sequence[Segment], span: tuple[int, int], style: Style) -> list[Segment]:
    """Return segments with a style over a part of them, in characters; -1 is the end."""
    start, end = span
    found, place = [], 0
    for text, own, _ in segments:
        stop = len(text) if end == -1 else max(0, min(len(text), end - place))
        begin = max(0, min(len(text), start - place))
        inner = text[begin:stop] if begin < stop else ""
        cut = begin if inner else len(text)
        found += [Segment(text[:cut], own)]
        found += [Segment(inner, (own or Style()) + style), Segment(text[stop:], own)] if inner else []
        place += len(text)
    return [segment for segment in found if segment.text]
