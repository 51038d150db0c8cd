"""Work of a widget that waits for threads while the event loop goes on, and when it is done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from textual.css.query import NoMatches
from textual.widget import Widget
from textual.worker import WorkType

LIVE_SECS: Final = 0.5
"""How often what is shown is looked at again."""
_PATIENCE: Final = 5
"""After a look, so many times as long as it took until the next: at most a sixth of a core."""


class Pace:
    """When something is looked at again: not while that is under way, and after a rest."""

    def __init__(self) -> None:
        """Be ready for a look."""
        self._is_looking = False
        self._next_look = 0.0

    def begin(self, *, rested: bool = True) -> bool:
        """Tell whether a look is due, which then is under way; without a rest it is unless one is."""
        if self._is_looking or (rested and time.monotonic() < self._next_look):
            return False
        self._is_looking = True
        return True

    @contextmanager
    def look(self) -> Iterator[None]:
        """Look, and rest."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._is_looking = False
            self._next_look = time.monotonic() + _PATIENCE * (time.monotonic() - began)


def start(widget: Widget, work: Callable[..., Coroutine[Any, Any, None]], *args: Any, exclusive: bool = False) -> None:
    """Start work of a widget, which ends with the widget.

    Args:
        widget: whose work it is.
        work: an async method of it.
        args: what it is called with.
        exclusive: whether the same work that is still under way is ended.
    """
    # NOTE: no coroutine is handed over, as one that is ended before it begins is warned of as never awaited
    call: WorkType[None] = partial(_until_the_end, widget, work, *args)
    widget.run_worker(call, group=work.__name__, exclusive=exclusive)


async def _until_the_end(widget: Widget, work: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> None:
    """Work; as a screen or the viewer ends, what stands in a widget goes before the widget does."""
    try:
        await work(*args)
    except NoMatches:
        if widget.is_attached and widget.app.is_running:
            raise
