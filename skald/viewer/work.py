"""Work of a widget that waits for threads while the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from textual.css.query import NoMatches
from textual.widget import Widget
from textual.worker import WorkType


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
