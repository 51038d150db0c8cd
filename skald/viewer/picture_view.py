"""A picture in a terminal: two pixels a character, the upper half of a block and what is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.strip import Strip

from skald.viewer.capability import is_ascii_only
from skald.viewer.lines import Drawn
from skald.viewer.work import start

if TYPE_CHECKING:
    from PIL.Image import Image


class PictureView(Drawn, can_focus=True):
    """A picture, as large as fits."""

    DEFAULT_CSS = """
    PictureView { height: 1fr; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._image: Image | None = None
        self._strips: Sequence[Strip] = ()

    def show(self, image: Image | None) -> None:
        """Show a picture; None: no more."""
        self._image, self._strips = image, ()
        self.refresh()
        self._draw()

    def on_resize(self, _event: events.Resize) -> None:
        """Draw it as large as fits now."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """Return a line of the picture."""
        if y >= len(self._strips):
            return Strip.blank(self.size.width, self.base)
        return self._strips[y].adjust_cell_length(self.size.width, self.base)

    def _draw(self) -> None:
        if self._image is not None and self.size.width and self.size.height:
            start(self, self._drawn, self._image, exclusive=True)

    async def _drawn(self, image: Image) -> None:
        strips = await asyncio.to_thread(blocks, image, self.size.width, self.size.height, halves=not is_ascii_only())
        if image is self._image:
            self._strips = strips
            self.refresh()


def blocks(image: Image, width: int, height: int, *, halves: bool) -> list[Strip]:
    """Return an image in lines of characters.

    Args:
        image: in red, green and blue.
        width: columns that there are.
        height: lines that there are.
        halves: two pixels a character, where the terminal has half blocks; otherwise one, and it is twice as high.
    """
    rows = 2 if halves else 1
    scale = min(width / image.width, 2 * height / image.height)
    columns = max(1, min(width, round(image.width * scale)))
    lines = max(1, min(height, -(-round(image.height * scale) // 2)))
    small = image.resize((columns, lines * rows))
    pixels = small.load()
    assert pixels is not None
    strips = []
    for line in range(lines):
        cells = [_cell(pixels[x, line * rows], pixels[x, line * rows + 1] if halves else None) for x in range(columns)]
        strips.append(Strip(cells, columns))
    return strips


@lru_cache(maxsize=1 << 14)
def _cell(upper: Any, lower: Any) -> Segment:
    if lower is None:
        return Segment(" ", Style(bgcolor=Color.from_rgb(*upper)))
    return Segment("▀", Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
