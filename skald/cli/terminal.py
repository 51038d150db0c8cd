"""Where the command line prints: a terminal of some width, a pipe without one, and what they can show."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE: Final = 10_000
"""Columns of a pipe: nothing is cut there."""

GAP: Final = 2


class Column:
    """A column of a table: its header and a cell a row, each of which may have several lines."""

    def __init__(self, header: str, cells: Sequence[Text], *, right: bool = False) -> None:
        self.header = header
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
