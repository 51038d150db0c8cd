"""A terminal of tests in which one widget or screen of the viewer plays, and what is to be read there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widget import Widget

from skald.viewer.keys_bar import KeysBar

LOOKS = 1500


class Stage(App[None]):
    """An application with one widget, or one screen, and the keys below it."""

    def __init__(self, played: Widget) -> None:
        super().__init__()
        self.played = played

    def compose(self) -> ComposeResult:
        """Lay out the widget and the keys."""
        if not isinstance(self.played, Screen):
            yield self.played
            yield KeysBar()

    def on_mount(self) -> None:
        """Begin with the screen."""
        if isinstance(self.played, Screen):
            self.push_screen(self.played)


class Show:
    """A running application: its keys, and its screen."""

    def __init__(self, app: App[None], pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def lines(self) -> list[str]:
        """What stands on the screen, without the spaces at the ends of lines."""
        return [strip.text.rstrip() for strip in self.app.screen._compositor.render_strips()]

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(self.lines)

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self.pilot.press(*keys)

    async def type(self, text: str) -> None:
        """Type a text."""
        await self.pilot.press(*text)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, which must come."""
        for _ in range(LOOKS):
            if self.app._exception is not None:
                raise self.app._exception
            if is_so():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"it did not come to this:\n{self.text}")

    async def until_shown(self, *texts: str) -> None:
        """Wait until some texts stand on the screen."""
        await self.until(lambda: all(text in self.text for text in texts))

    async def until_gone(self, *texts: str) -> None:
        """Wait until some texts stand on the screen no more."""
        await self.until(lambda: not any(text in self.text for text in texts))


def play(widget: Callable[[], Widget], scene: Callable[[Show], Awaitable[None]], *, size: tuple[int, int]) -> None:
    """Play a scene with a widget in a terminal of this size, columns and lines."""

    async def run() -> None:
        app = Stage(widget())
        async with app.run_test(size=size) as pilot:
            await scene(Show(app, pilot))

    asyncio.run(run())
