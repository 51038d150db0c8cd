"""A progress bar on stderr for work that turns out to take a while; on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from skald.notice import is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress

AFTER_SECS: Final = 1.0
DRAW_SECS: Final = 0.1

Advance = Callable[[int, int | None], None]


class _LateBar:
    """A bar that appears after a second; until then nothing of Rich is loaded."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._drawn_at = time.monotonic() + AFTER_SECS - DRAW_SECS
        self._bar: Progress | None = None

    def advance(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` rows, files or folders are done; of how many need not be known."""
        now = time.monotonic()
        if now - self._drawn_at < DRAW_SECS:
            return
        self._drawn_at = now
        if self._bar is None:
            self._bar = _new_bar(self._title)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, refresh=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


def _new_bar(title: str) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # NOTE: no refreshing thread: a closing run may be compacted at interpreter exit, where none can start
    bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
    bar.add_task(title, total=None)
    bar.start()
    return bar


@contextmanager
def late_bar(title: str) -> Iterator[Advance | None]:
    """Yield what shows how far a compaction is, None where nobody looks."""
    if not is_terminal(sys.stderr):
        yield None
        return
    bar = _LateBar(title)
    try:
        yield bar.advance
    finally:
        bar.close()
