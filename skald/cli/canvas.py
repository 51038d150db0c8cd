"""A canvas of characters: lines drawn in dots of braille, or in signs, with a frame and ticks around them.

Places are parts of the canvas, from 0 to 1: from the left, and from the bottom.

NOTE: it draws a plot in a millisecond, NaN among its values. plotext 6 takes twelve, and 110 for its import, which a
viewer that draws a screen of plots twice a second does not have; and a NaN in a curve aborts its process.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.cells import cell_len, set_cell_size
from rich.text import Text

Parts = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

_BRAILLE: Final = 0x2800
_DOTS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)
"""The bits of the dots of a character of braille, by line and column. Source: Unicode, Braille Patterns."""
_ACROSS, _DOWN = 2, 4
_FRAME: Final = "┌─┐│┤└┬┘"
_ASCII_FRAME: Final = "+-+|++++"


class Mark(NamedTuple):
    """A tick of an axis: where it stands, and its label."""

    part: float
    label: str


class Canvas:
    """Characters, each with a style.

    Args:
        columns: how many stand beside each other.
        lines: how many below each other.
    """

    def __init__(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self._signs = np.full((lines, columns), " ", "<U1")
        self._dots = np.zeros((lines, columns), np.uint8)
        self._looks = np.zeros((lines, columns), np.int16)
        self._styles = [""]

    def line(self, right: Parts, up: Parts, sign: str, style: str) -> None:
        """Draw a line through places.

        Args:
            right: from the left.
            up: from the bottom; one for each.
            sign: what it is drawn with; empty: dots of braille.
            style: its style.
        """
        lines, columns = self._places(right, up, sign)
        steps = np.maximum(np.maximum(abs(np.diff(lines)), abs(np.diff(columns))), 1)
        begins = np.repeat(np.arange(len(steps)), steps)
        part = (np.arange(len(begins)) - np.repeat(np.cumsum(steps) - steps, steps)) / steps[begins]
        drawn = [
            np.append(np.rint(ends[begins] + part * np.diff(ends)[begins]).astype(np.int64), ends[-1:])
            for ends in (lines, columns)
        ]
        self._put(drawn[0], drawn[1], sign, style)

    def points(self, right: Parts, up: Parts, sign: str, style: str) -> None:
        """Draw signs at places; arguments as of `line`."""
        self._put(*self._places(right, up, sign), sign, style)

    def shade(self, right: Parts, low: Parts, high: Parts, sign: str, style: str) -> None:
        """Fill the columns at places, and between them, from one height to another with a sign.

        Args:
            right: from the left, ascending.
            low: from the bottom; NaN where nothing is filled, nor between that place and its neighbours.
            high: likewise.
            sign: what it is filled with.
            style: its style.
        """
        between = (np.arange(self.columns) + 0.5) / self.columns
        between = between[(between > right.min(initial=1.0)) & (between < right.max(initial=0.0))]
        right, low, high = (
            np.append(ends, np.interp(between, right, ends) if len(between) else between) for ends in (right, low, high)
        )
        is_filled = np.isfinite(low) & np.isfinite(high)
        right, low, high = right[is_filled], low[is_filled], high[is_filled]
        bottom, columns = self._places(right, low, sign)
        top, _ = self._places(right, high, sign)
        rows = np.arange(self.lines)[:, None]
        line, place = np.nonzero((rows >= top) & (rows <= bottom))
        self._put(line, columns[place], sign, style)

    def cells(self, levels: Numbers, signs: Sequence[str], styles: Sequence[str]) -> None:
        """Fill the canvas by a level for each character, from the top; -1 leaves it free."""
        for level in np.unique(levels[levels >= 0]).tolist():
            lines, columns = np.nonzero(levels == level)
            self._put(lines, columns, signs[level], styles[level])

    def framed(
        self, across: Sequence[Mark], upward: Sequence[Mark], label: str | None, *, ascii_only: bool
    ) -> tuple[list[Text], int]:
        """Return the lines with a frame and ticks around, and how many characters stand before the canvas.

        Args:
            across: the ticks below.
            upward: the ticks on the left.
            label: what stands below the ticks; None: nothing.
            ascii_only: whether the frame has only ASCII.
        """
        left_top, rule, right_top, side, tick, left_bottom, down, right_bottom = _ASCII_FRAME if ascii_only else _FRAME
        width = max((len(mark.label) for mark in upward), default=0)
        labels = {self._line_of(mark.part): mark.label for mark in upward}
        rows = [Text(f"{'':{width}}{left_top}{rule * self.columns}{right_top}")]
        for number, line in enumerate(self._drawn()):
            edge = f"{labels[number]:>{width}}{tick}" if number in labels else f"{'':{width}}{side}"
            rows.append(Text(edge).append_text(line).append(side))
        marks = [(self._column_of(mark.part), mark.label) for mark in across]
        bottom = [rule] * self.columns
        for column, _ in marks:
            bottom[column] = down
        rows.append(Text(f"{'':{width}}{left_bottom}{''.join(bottom)}{right_bottom}"))
        total = width + self.columns + 2
        rows.append(Text(_labels([(width + 1 + column, text) for column, text in marks], total)))
        if label is not None:
            rows.append(Text((" " * (width + 1 + max(self.columns - len(label), 0) // 2) + label)[:total].rstrip()))
        return rows, width + 1

    def _line_of(self, part: float) -> int:
        return round((1 - part) * (self.lines * _DOWN - 1)) // _DOWN

    def _column_of(self, part: float) -> int:
        return round(part * (self.columns * _ACROSS - 1)) // _ACROSS

    def _places(self, right: Parts, up: Parts, sign: str) -> tuple[Numbers, Numbers]:
        """Return the lines and columns of places: of dots, or of characters for a sign."""
        lines = np.rint((1 - up) * (self.lines * _DOWN - 1)).astype(np.int64)
        columns = np.rint(right * (self.columns * _ACROSS - 1)).astype(np.int64)
        return (lines // _DOWN, columns // _ACROSS) if sign else (lines, columns)

    def _put(self, lines: Numbers, columns: Numbers, sign: str, style: str) -> None:
        if style not in self._styles:
            self._styles.append(style)
        if sign:
            self._signs[lines, columns], self._dots[lines, columns] = sign, 0
        else:
            bits = _DOTS[lines % _DOWN, columns % _ACROSS]
            lines, columns = lines // _DOWN, columns // _ACROSS
            np.bitwise_or.at(self._dots, (lines, columns), bits)
        self._looks[lines, columns] = self._styles.index(style)

    def _drawn(self) -> list[Text]:
        dots = (self._dots.astype(np.uint32) + _BRAILLE).view("<U1")
        signs = np.where(self._dots != 0, dots, self._signs)
        rows = []
        for row, looks in zip(signs, self._looks, strict=True):
            ends = [0, *(np.flatnonzero(np.diff(looks)) + 1).tolist(), self.columns]
            text = Text()
            for first, stop in itertools.pairwise(ends):
                text.append("".join(row[first:stop]), self._styles[looks[first]] or None)
            rows.append(text)
        return rows


def _labels(places: Sequence[tuple[int, str]], width: int) -> str:
    """Return labels in a line, each in the middle of its place; one that would touch the one before is left out."""
    line = ""
    for column, label in places:
        size, end = cell_len(label), cell_len(line)
        start = max(0, min(column - size // 2, width - size))
        if not line or start > end:
            line += " " * (start - end) + label
    return set_cell_size(line, min(cell_len(line), width)).rstrip()
