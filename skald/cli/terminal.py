"""Where the command line prints: a terminal of some width, a pipe without one, and what they can show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.segment import Segment, Segments
from rich.table import Table
from rich.text import Text

from skald.cli.format import printable

WIDE: Final = 10_000
"""Columns of a pipe: nothing is cut there."""

GAP: Final = 2

_READABLE: Final = 16
"""A column that has to be made smaller than this is better left out."""


class Column:
    """A column of a table: its header and a cell a row, each of which may have several lines."""

    def __init__(self, header: str, cells: Sequence[Text], *, right: bool = False) -> None:
        self.header = printable(header)
        self.cells = cells
        self.right = right

    @property
    def is_empty(self) -> bool:
        """Whether no row has anything here."""
        return not any(cell.plain for cell in self.cells)

    @property
    def width(self) -> int:
        """How wide the column is with its widest line."""
        lines = [line for cell in self.cells for line in cell.plain.split("\n")]
        return max(map(cell_len, [self.header, *lines]))


def stdout() -> Console:
    """Return the console that prints to stdout: as wide as the terminal or as $COLUMNS says; a pipe cuts nothing."""
    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def total_width(columns: Sequence[Column]) -> int:
    """Return how wide a table of these columns is."""
    return sum(column.width for column in columns) + GAP * len(columns) - GAP


def table(columns: Sequence[Column]) -> Table:
    """Return a table of those columns that are not empty."""
    shown = [column for column in columns if not column.is_empty]
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for column in shown:
        grid.add_column(Text(column.header), justify="right" if column.right else "left", overflow="ellipsis")
    for cells in zip(*(column.cells for column in shown), strict=True):
        grid.add_row(*cells)
    return grid


def print_columns(columns: Sequence[Column], console: Console) -> None:
    """Print a table of which as many columns are shown as have room, and name those that have not."""
    shown = [column for column in columns if not column.is_empty]
    while len(shown) > 1 and sum(min(column.width, _READABLE) + GAP for column in shown) - GAP > console.width:
        shown.pop()
    console.print(flat_table(shown, console), end="")
    left_out = [column.header for column in columns if column not in shown and not column.is_empty]
    if left_out:
        text = f"no room for {', '.join(left_out)}"
        text = text if cell_len(text) <= console.width else set_cell_size(text, console.width - 1) + "…"
        console.print(Text(text, style="dim"), soft_wrap=True)


def flat_table(columns: Sequence[Column], console: Console) -> Segments:
    """Return a table whose cells are of one line and one style each, cut to the console's width.

    NOTE: of a thousand rows, which `table` takes a second to lay out, it takes 10 ms.
    """
    shown = [column for column in columns if not column.is_empty]
    widths = _fitting([column.width for column in shown], console.width - GAP * (len(shown) - 1))
    rows = zip(*(column.cells for column in shown), strict=True)
    segments: list[Segment] = []
    for cells in ([Text(column.header, style="bold") for column in shown], *rows):
        for column, width, cell in zip(shown, widths, cells, strict=True):
            is_last = column is shown[-1]
            style = console.get_style(cell.style) if cell.style else None
            segments.append(Segment(_padded(cell.plain, width, right=column.right, is_last=is_last), style))
            segments.append(Segment("\n" if is_last else " " * GAP))
    return Segments(segments)


def _fitting(widths: Sequence[int], room: int) -> list[int]:
    """Return widths that fit, the widest made smaller."""
    fitted = list(widths)
    while sum(fitted) > max(room, len(fitted)):
        widest = max(range(len(fitted)), key=fitted.__getitem__)
        others = sum(fitted) - fitted[widest]
        second = max((width for place, width in enumerate(fitted) if place != widest), default=0)
        fitted[widest] = max(1, min(fitted[widest] - 1, max(room - others, second)))
    return fitted


def _padded(text: str, width: int, *, right: bool, is_last: bool) -> str:
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…"
    if right:
        return " " * (width - size) + text
    return text if is_last else text + " " * (width - size)
