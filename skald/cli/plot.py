"""`skald plot`: metrics over x, in the terminal or as a file."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skald.cli import terminal
from skald.cli.chart import FRAME_LINES, Style, draw
from skald.cli.composing import Wish, compose
from skald.cli.paths import check_place
from skald.cli.picture import Picture
from skald.cli.report import UsageError
from skald.durable import write_atomic
from skald.errors import InvalidInputError

if TYPE_CHECKING:
    from skald.cli.chartfile import Form

FORMS: Final[dict[str, Form]] = {".png": "png", ".svg": "svg", ".html": "html"}

_PIPE_WIDTH: Final = 80
_LEAST_WIDTH, _LEAST_HEIGHT = 30, 8
_HEIGHTS: Final = (12, 24)
_AROUND: Final = 5
"""Lines of a terminal that a picture leaves free."""
_LABELS: Final = 8
"""About how many characters stand beside a picture."""
_PIXELS: Final = (720, 400)
_HEAT_LINES: Final = 64


def plot_paths(paths: Sequence[str], wish: Wish, *, output: Path | None, width: int | None, height: int | None) -> None:
    """Draw metrics of runs.

    Args:
        paths: as given on the command line; none: the default folder.
        wish: what is asked for.
        output: the file, whose suffix says the format; None: the terminal.
        width: in characters, or of a file in pixels; None: what fits.
        height: likewise.
    """
    if output is not None:
        _write(paths, wish, output, (width or _PIXELS[0], height or _PIXELS[1]))
        return
    console = terminal.stdout()
    style = Style(
        max(width or (_PIPE_WIDTH if console.width == terminal.WIDE else console.width), _LEAST_WIDTH),
        max(height or _fitting_height(), _LEAST_HEIGHT),
        console.color_system is not None and not console.no_color,
        console.options.ascii_only,
    )
    columns = max(style.width - _LABELS, 1)
    pictures = compose(paths, wish, columns * 2, (columns, style.height - FRAME_LINES))
    for number, picture in enumerate(pictures):
        if number:
            console.print()
        console.print(draw(picture, style), soft_wrap=True)


def _fitting_height() -> int:
    """Return how many lines a picture has, of a terminal or a pipe."""
    if not sys.stdout.isatty():
        return 20
    return min(max(shutil.get_terminal_size().lines - _AROUND, _HEIGHTS[0]), _HEIGHTS[1])


def _write(paths: Sequence[str], wish: Wish, output: Path, size: tuple[int, int]) -> None:
    form = FORMS.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"-o must end in one of {', '.join(FORMS)}, got {output.name!r}")
    check_place(output)
    try:
        from skald.cli.chartfile import render
    except ImportError as error:
        missing = InvalidInputError(f"drawing into {form} files needs altair and vl-convert-python ({error})")
        missing.add_note("hint: install them with: pip install skald[plot]")
        raise missing from None
    width, height = size
    pictures: list[Picture] = compose(paths, wish, width, (width // 4, min(height // 4, _HEAT_LINES)))
    write_atomic(output.absolute(), render(pictures, form, width, height))
