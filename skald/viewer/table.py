"""A table of any number of rows, of which only those in sight are made; its header and first columns stay in sight.

Invariant: the cursor stays on its row, by the row's key, when rows are added, removed, sorted or filtered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from skald.cli.format import printable
from skald.viewer.lines import LineView, Span, clipped

GAP: Final = 2
_HEADER: Final = 1


class Column(NamedTuple):
    """A column: its title, its width in cells, and on which side its texts stand."""

    title: str
    width: int
    right: bool = False


class Rows(Protocol):
    """What a table shows."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns."""

    @property
    def keys(self) -> Sequence[Any]:
        """What each row is known by."""

    def cells(self, row: int, columns: Sequence[int]) -> Sequence[Span]:
        """Return a row's texts and their tones, in some columns."""


class NoRows:
    """A table without rows."""

    columns: Sequence[Column] = ()
    keys: Sequence[Any] = ()

    def cells(self, row: int, columns: Sequence[int]) -> Sequence[Span]:  # noqa: ARG002
        """Return nothing: it is not asked for."""
        raise IndexError(row)


class Table(LineView):
    """A table with a cursor on one of its rows."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"table--cursor", "table--header", "table--header-chosen"}
    DEFAULT_CSS = """
    Table {
        & > .table--header { text-style: bold; color: $text-muted; background: $surface; }
        & > .table--header-chosen { text-style: bold underline; color: $text-primary; background: $surface; }
        & > .table--cursor { background: $block-cursor-blurred-background; }
        &:focus > .table--cursor { background: $primary-muted; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("home,g", "move_to_end(-1)", "First row", show=False),
        Binding("end,G", "move_to_end(1)", "Last row", show=False),
        Binding("enter", "choose", "Open"),
    ]

    cursor = reactive(0)

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, table: Table, key: Any) -> None:
            self.table, self.key = table, key
            super().__init__()

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    class Chosen(Moved):
        """A row was chosen, with enter or two clicks."""

    class TitleClicked(Message):
        """The title of a column was clicked."""

        def __init__(self, table: Table, column: int) -> None:
            self.table, self.column = table, column
            super().__init__()

        @property
        def control(self) -> Table:
            """The table."""
            return self.table

    def __init__(self, *, fixed: int = 0, **options: Any) -> None:
        """Show nothing yet.

        Args:
            fixed: how many columns stay in sight when the others are scrolled.
            options: of a widget.
        """
        super().__init__(**options)
        self.rows: Rows = NoRows()
        self.chosen_column: int | None = None
        self._fixed = fixed

    @property
    def key(self) -> Any:
        """The key of the row with the cursor; None where there is no row."""
        return self.rows.keys[self.cursor] if self.cursor < len(self.rows.keys) else None

    def show(self, rows: Rows) -> None:
        """Show these rows; the cursor and what is in sight stay where they are, if they are still there."""
        before, offset = self.key, self.cursor - self.scroll_offset.y
        self.rows = rows
        self.set_extent(self._start(len(rows.columns)), len(rows.keys) + _HEADER)
        place = _find(rows.keys, before, self.cursor)
        if place != self.cursor:
            self.cursor = place
            self.scroll_to(y=max(0, place - offset), animate=False, force=True)
        if self.key != before:
            self._tell()
        self.refresh()

    def go_to(self, key: Any) -> None:
        """Put the cursor on a row, if it is there."""
        self.cursor = _find(self.rows.keys, key, self.cursor)

    def render_line(self, y: int) -> Strip:
        """Return a line of the view: the header stays at its top."""
        if not self.rows.columns:
            return Strip.blank(self.size.width, self.base)
        if y < _HEADER:
            return self._header()
        row = self.scroll_offset.y + y - _HEADER
        if row >= len(self.rows.keys):
            return Strip.blank(self.size.width, self.base)
        style = self.base
        if row == self.cursor:
            style += self.get_component_rich_style("table--cursor")
        return self._row(
            lambda columns: [(text, style + self.tone(tone)) for text, tone in self.rows.cells(row, columns)], style
        )

    def line(self, number: int) -> Sequence[Span]:
        """Return a row as a line, for the mouse to copy."""
        if not _HEADER <= number < len(self.rows.keys) + _HEADER:
            return ()
        everything = range(len(self.rows.columns))
        return [(f"{text}  ", tone) for text, tone in self.rows.cells(number - _HEADER, everything)]

    def watch_cursor(self) -> None:
        """Keep the cursor in sight."""
        room = max(1, self.size.height - _HEADER - self.show_horizontal_scrollbar)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + room:
            self.scroll_to(y=self.cursor - room + 1, animate=False, force=True)
        self._tell()

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, len(self.rows.keys) - 1))

    def action_move(self, rows: int) -> None:
        """Move the cursor by some rows."""
        self.cursor += rows

    def action_move_page(self, pages: int) -> None:
        """Move the cursor by what is in sight."""
        self.cursor += pages * max(1, self.size.height - _HEADER - 1)

    def action_move_to_end(self, direction: int) -> None:
        """Move the cursor to the first row (-1) or the last (1)."""
        self.cursor = 0 if direction < 0 else len(self.rows.keys) - 1

    def action_choose(self) -> None:
        """Choose the row with the cursor."""
        if self.key is not None:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row that was clicked; choose it with the second click."""
        if event.y < _HEADER:
            column = self._column_at(event.x)
            if column is not None:
                self.post_message(self.TitleClicked(self, column))
            return
        row = self.scroll_offset.y + event.y - _HEADER
        if row < len(self.rows.keys):
            self.cursor = row
            self.clicked(event.chain)

    def clicked(self, times: int) -> None:
        """Do what clicks on a row mean."""
        if times > 1:
            self.action_choose()

    def reveal_column(self, column: int) -> None:
        """Have a column in sight."""
        fixed, start, end = self._start(self._fixed), self._start(column), self._start(column + 1)
        if column < self._fixed:
            return
        left, room = self.scroll_offset.x, self.size.width
        if start - left < fixed:
            self.scroll_to(x=start - fixed, animate=False, force=True)
        elif end - left > room:
            self.scroll_to(x=min(end - room, start - fixed), animate=False, force=True)

    def _tell(self) -> None:
        if self.key is not None:
            self.post_message(self.Moved(self, self.key))

    def _start(self, column: int) -> int:
        return sum(one.width + GAP for one in self.rows.columns[:column])

    def _column_at(self, x: int) -> int | None:
        if x >= self._start(self._fixed):
            x += self.scroll_offset.x
        return next((place for place in range(len(self.rows.columns)) if x < self._start(place + 1)), None)

    def _header(self) -> Strip:
        base = self.base + self.get_component_rich_style("table--header")
        chosen = self.base + self.get_component_rich_style("table--header-chosen")
        titles = [column.title for column in self.rows.columns]
        return self._row(
            lambda columns: [(titles[place], chosen if place == self.chosen_column else base) for place in columns],
            base,
        )

    def _row(self, cells: Callable[[Sequence[int]], Sequence[tuple[str, Style]]], base: Style) -> Strip:
        """Return a line of the columns that are in sight."""
        width, fixed = self.size.width, self._start(self._fixed)
        left = self._in_sight(0, fixed, range(self._fixed), cells, base)
        others = range(self._fixed, len(self.rows.columns))
        right = self._in_sight(fixed + self.scroll_offset.x, max(0, width - fixed), others, cells, base)
        return Strip([*left, *right]).crop_extend(0, width, base)

    def _in_sight(
        self,
        begin: int,
        width: int,
        places: Sequence[int],
        cells: Callable[[Sequence[int]], Sequence[tuple[str, Style]]],
        base: Style,
    ) -> Strip:
        """Return what is in sight of some columns, between two places of the table."""
        starts = list(accumulate((column.width + GAP for column in self.rows.columns), initial=0))
        seen = [place for place in places if starts[place + 1] > begin and starts[place] < begin + width]
        segments = []
        for place, (text, style) in zip(seen, cells(seen), strict=True):
            column = self.rows.columns[place]
            shown = clipped(printable(text), column.width, right=column.right)
            segments += [Segment(shown, style), Segment(" " * GAP, base)]  # what underlines ends with the column
        offset = begin - starts[seen[0]] if seen else 0
        return Strip(segments).crop_extend(offset, offset + width, base)


def _find(keys: Sequence[Any], key: Any, place: int) -> int:
    """Return where a key is now; where it is not there any more, the place that it had."""
    if key is None or (place < len(keys) and keys[place] == key):
        return place
    try:
        return keys.index(key)
    except ValueError:
        return max(0, min(place, len(keys) - 1))
