"""Work of the viewer's widgets, which goes on beside their keys."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from stage import Show, play
from textual.app import ComposeResult
from textual.widget import Widget
from textual.worker import WorkerFailed

from skald.viewer.work import Pace, start


class Part(Widget):
    """Says when it goes."""

    def __init__(self, gone: asyncio.Event) -> None:
        super().__init__(id="part")
        self._gone = gone

    def on_unmount(self) -> None:
        """Say it."""
        self._gone.set()


class Worker(Widget):
    """Looks for its part, or for what it never had."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self._wanted, self.go_on, self.ended = wanted, asyncio.Event(), False

    def compose(self) -> ComposeResult:
        """Have a part."""
        yield Part(self.go_on)

    async def look(self) -> None:
        """Wait, and look."""
        await self.go_on.wait()
        self.ended = True
        while self.query("#part"):  # noqa: ASYNC110  Textual tells of no later moment
            await asyncio.sleep(0)
        self.query_one(self._wanted)


def test_work_that_outlives_what_it_shows_ends_without_a_word() -> None:
    """The viewer is left while its tabs look at the disk."""
    widgets: list[Worker] = []

    async def scene(show: Show) -> None:
        widgets.append(show.app.query_one(Worker))
        start(widgets[0], widgets[0].look)
        await show.pilot.pause()

    play(lambda: Worker("#part"), scene, size=(40, 10))

    assert widgets[0].ended


def test_work_that_looks_for_what_is_not_there_is_a_fault() -> None:
    """As long as the viewer runs, nothing goes unheard."""

    async def scene(show: Show) -> None:
        worker = show.app.query_one(Worker)
        start(worker, worker.look)
        await worker.query_one(Part).remove()
        await show.until(lambda: worker.ended)
        await show.until(lambda: False)

    with pytest.raises(WorkerFailed, match="never"):
        play(lambda: Worker("#never"), scene, size=(40, 10))


def test_pace_allows_one_look_at_a_time_and_a_rest_after_it() -> None:
    """None begins while one is under way, also one that fails, nor before its rest is over, unless it is asked for."""
    pace = Pace()

    assert pace.begin()
    assert not pace.begin()
    assert not pace.begin(rested=False)
    with suppress(OSError), pace.look():
        time.sleep(0.2)
        raise OSError("on purpose")
    assert not pace.begin()
    assert pace.begin(rested=False)
