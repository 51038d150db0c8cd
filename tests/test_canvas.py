"""The canvas: lines in braille and signs, shades, a frame with ticks."""

from __future__ import annotations

import numpy as np
import pytest

from skald.cli.canvas import Canvas, Mark


def drawn(canvas: Canvas) -> list[str]:
    """Return what is on a canvas, without its frame."""
    lines, left = canvas.framed([], [], None, ascii_only=True)
    return [line.plain[left:-1] for line in lines[1:-2]]


def line(canvas: Canvas, *places: tuple[float, float], sign: str = "", style: str = "") -> None:
    """Draw a line through places."""
    right, up = np.array(places, np.float64).T
    canvas.line(right, up, sign, style)


def test_line_of_braille_goes_from_corner_to_corner() -> None:
    """A character has two dots across and four down, and each dot of the line is set."""
    canvas = Canvas(4, 2)

    line(canvas, (0, 0), (1, 1))

    assert drawn(canvas) == ["  ⡠⠊", "⡠⠊  "]


def test_line_of_signs_has_one_for_each_column_or_line_it_crosses() -> None:
    """Steep or flat, no gap is left between two places."""
    flat, steep = Canvas(6, 3), Canvas(3, 6)

    line(flat, (0, 0), (1, 1), sign="*")
    line(steep, (0, 1), (1, 0), sign="*")

    assert all(any(row[column] == "*" for row in drawn(flat)) for column in range(6))
    assert all("*" in row for row in drawn(steep))


def test_line_of_one_place_is_a_dot() -> None:
    """The first row of a run is seen."""
    canvas = Canvas(3, 1)

    line(canvas, (0.5, 1))

    assert drawn(canvas) == [" ⠁ "]


def test_lines_share_a_character_and_the_last_gives_it_its_style() -> None:
    """Dots of two curves that meet are both there."""
    canvas = Canvas(1, 1)

    line(canvas, (0, 1), style="red")
    line(canvas, (1, 0), style="blue")
    lines, _ = canvas.framed([], [], None, ascii_only=False)

    assert lines[1].plain == "│⢁│"
    assert [str(span.style) for span in lines[1].spans] == ["blue"]


def test_shade_fills_from_one_height_to_another() -> None:
    """What is drawn later stands over it."""
    canvas = Canvas(3, 4)

    canvas.shade(np.array([0.0, 1.0]), np.array([0.0, 0.6]), np.array([1.0, 1.0]), ":", "")
    line(canvas, (0, 1), sign="*")

    assert drawn(canvas) == ["*::", ":::", ":::", ":  "]


def test_shade_leaves_a_gap_where_nothing_is_to_be_filled() -> None:
    """As a line does, which is broken there."""
    canvas = Canvas(9, 1)

    heights = np.array([1.0, 1.0, np.nan, 1.0, 1.0])
    canvas.shade(np.linspace(0, 1, 5), heights - 1, heights, ":", "")

    assert drawn(canvas) == [":::   :::"]


def test_cells_are_filled_by_their_level() -> None:
    """A level has its sign and its style; none leaves the cell free."""
    canvas = Canvas(3, 2)

    canvas.cells(np.array([[0, 1, -1], [1, -1, 0]]), ".#", ["", "red"])

    assert drawn(canvas) == [".# ", "# ."]


def test_frame_has_ticks_and_labels_at_their_places() -> None:
    """Labels on the left end at the tick, those below stand in its middle, and the x is named in the middle."""
    canvas = Canvas(11, 3)

    lines, left = canvas.framed([Mark(0, "0"), Mark(0.5, "500"), Mark(1, "1k")], [Mark(0, "-1"), Mark(1, "1")], "step",
                                ascii_only=False)  # fmt: skip

    assert left == 3
    assert [text.plain for text in lines] == [
        "  ┌───────────┐",
        " 1┤           │",
        "  │           │",
        "-1┤           │",
        "  └┬────┬────┬┘",
        "   0   500  1k",
        "      step",
    ]


@pytest.mark.parametrize("columns", [1, 7, 20])
def test_frame_leaves_out_labels_that_would_touch(columns: int) -> None:
    """However narrow it is, no line is longer, and labels stand apart."""
    marks = [Mark(part / 10, f"{part}000") for part in range(11)]

    lines, _ = Canvas(columns, 2).framed(marks, [Mark(0, "0")], "a long label of the x", ascii_only=False)

    assert max(text.cell_len for text in lines) <= columns + 3
    assert all(label.endswith("000") for label in lines[-2].plain.split()) or columns == 1
