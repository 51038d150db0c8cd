"""Progress bars: one line on a terminal that is redrawn a few times a second, nothing elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final

DRAW_SECS: Final = 0.1


class Bar:
    """How far a loop is."""

    def __init__(self, description: str, total: int | None) -> None:
        """Begin at nothing done."""
        self._description, self._total = description, total
        self._drawn_at = 0.0
        self._drawn = False

    def show(self, done: int) -> None:
        """Draw, if the last drawing is long enough ago."""
        now = time.monotonic()
        if now - self._drawn_at >= DRAW_SECS and sys.stderr is not None and sys.stderr.isatty():
            self._drawn_at, self._drawn = now, True
            self._draw(done)

    def advance(self, done: int) -> None:
        """Note that so many items are done."""
        if self._drawn and done == self._total:
            self._draw(done)

    def _draw(self, done: int) -> None:
        of = f"/{self._total}" if self._total is not None else ""
        sys.stderr.write(f"\r{self._description} {done}{of} ")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._drawn:
            sys.stderr.write("\n")
