"""Where the loops of a process are shown: on a terminal, in a notebook, or as lines of text.

On a terminal the bars stand below everything else that is printed: while they are there, whatever is written to a
stream of that terminal first takes them away and then puts them back. They are drawn past the stream objects
and the capture of descriptors, so whoever listens sees only what is left at the end.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from skald.notice import is_terminal
from skald.record.screen import Screen
from skald.record.tees import write_unheard

if TYPE_CHECKING:
    from rich.table import Table

DRAW_SECS: Final = 0.1
LINE_SECS: Final = 30.0
"""Between two lines of text."""
BAR_WIDTH: Final = 24
NOTEBOOK_WIDTH: Final = 110

_HTML: Final = (
    "<pre style='white-space:pre;overflow-x:auto;line-height:normal;margin:0;"
    'font-family:Menlo,"DejaVu Sans Mono",consolas,"Courier New",monospace\'>{code}</pre>'
)


class Loop:
    """A loop that is being gone through."""

    def __init__(self, description: str, total: int | None, start: int) -> None:
        """Begin at item `start` of `total`, where that is known."""
        self.description, self.total, self.start = description, total, start
        self.done = start
        self.began = time.monotonic()

    def count(self) -> str:
        """Return how far it is: `3/10`."""
        return f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"

    def clock(self) -> str:
        """Return how long it has taken, and how long it will still take where that can be told."""
        taken, done = time.monotonic() - self.began, self.done - self.start
        if self.total is None or not 0 < done < self.total - self.start:
            return _duration(taken)
        return f"{_duration(taken)} < {_duration(taken / done * (self.total - self.done))}"


class Board(ABC):
    """A place to show loops on."""

    period_secs = DRAW_SECS
    """How often."""
    shows_first = True
    """Whether a loop is shown as it begins."""

    @abstractmethod
    def draw(self, loops: Sequence[Loop], values: Mapping[str, float]) -> None:
        """Show loops, the outermost first, and the newest values of some metrics."""

    def finish(self, loop: Loop, values: Mapping[str, float]) -> None:
        """Leave the last state of the outermost loop."""
        self.draw([loop], values)

    def abandon(self) -> None:  # noqa: B027  most have nothing to forget
        """Forget it all, in a forked child."""


class Lines(Board):
    """Lines of text, a few: for log files and CI."""

    period_secs, shows_first = LINE_SECS, False

    def draw(self, loops: Sequence[Loop], values: Mapping[str, float]) -> None:
        """Write a line."""
        bars = ", ".join(f"{loop.description} {loop.count()} {loop.clock()}" for loop in loops)
        sys.stderr.write(f"{'  '.join(filter(None, [bars, values_text(values)]))}\n")


class Terminal(Board):
    """Bars at the bottom of a terminal."""

    def __init__(self, stream: Any) -> None:
        """Draw on the terminal that a stream leads to."""
        self._stream, self._descriptor = stream, stream.fileno()
        self._image = ""
        self._height = 0  # lines that stand there now
        self._others: Screen | None = None  # what others have written; None: nobody knows
        self._restorers: list[Callable[[], None]] = []

    def draw(self, loops: Sequence[Loop], values: Mapping[str, float]) -> None:
        """Draw the bars anew."""
        if not self._restorers:
            self._watch_streams()
        self._image = self._rendered(loops, values)
        self._paint()

    def finish(self, loop: Loop, values: Mapping[str, float]) -> None:
        """Take the bars away, and print the last state as a line that stays."""
        self._clear()
        if self._others is None:  # nothing was drawn yet
            self._send(self._line_start())
        start = "" if self._is_free() else "\n"
        self._image, self._others = "", None
        for restore in self._restorers:
            restore()
        self._restorers = []
        self._stream.write(f"{start}{self._rendered([loop], values)}\n")
        self._stream.flush()

    def abandon(self) -> None:
        """Let what the child prints pass."""
        self._image, self._height = "", 0

    def _rendered(self, loops: Sequence[Loop], values: Mapping[str, float]) -> str:
        from rich.console import Console

        console = Console(file=self._stream, force_terminal=True, legacy_windows=False)
        with console.capture() as drawn:
            console.print(_grid(loops, values))
        return "\n".join(line.rstrip() for line in drawn.get().rstrip("\n").split("\n"))

    def _is_free(self) -> bool:
        """Tell whether the cursor's line is: there may be a prompt, or the bar of another library."""
        return self._others is None or self._others.is_blank_below

    def _paint(self) -> None:
        if self._image and self._is_free():
            self._send((self._erasure() or self._line_start()) + self._image)
            self._height = self._image.count("\n") + 1
            self._others = self._others or Screen()

    def _line_start(self) -> str:
        """Return what goes to the start of the cursor's line, or of the next where that may hold something.

        NOTE: nobody tells where the cursor is, but spaces for a whole line pass its end unless they began at its start.
        """
        if self._others is not None:
            return "\r"
        spaces = " " * os.get_terminal_size(self._descriptor).columns
        return spaces and f"{spaces}\r"

    def _clear(self) -> None:
        if self._height:
            self._send(self._erasure())
            self._height = 0

    def _erasure(self) -> str:
        return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * (self._height - 1) if self._height else ""

    def _send(self, text: str) -> None:
        self._stream.flush()
        write_unheard(self._descriptor, text.encode(self._stream.encoding or "utf-8", errors="replace"))

    def _watch_streams(self) -> None:
        streams = {id(stream): stream for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)}
        for stream in streams.values():
            if is_terminal(stream) and hasattr(stream, "__dict__"):
                self._restorers.append(self._watch(stream))

    def _watch(self, stream: Any) -> Callable[[], None]:
        """Make way for what is written to a stream; return what leaves the stream as it was found."""
        before, original = vars(stream).get("write"), stream.write

        def write(text: str, /) -> Any:
            if not self._image or not text:
                return original(text)
            self._clear()
            written = original(text)
            self._others = self._others or Screen()
            self._others.feed(text)
            if self._is_free():
                stream.flush()
                self._paint()
            return written

        def restore() -> None:
            if vars(stream).get("write") is not write:  # replaced by others since: it passes everything on
                return
            if before is None:
                del stream.write
            else:
                stream.write = before

        stream.write = write
        return restore


class Notebook(Board):
    """Bars in the output of a notebook's cell."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._handle: Any = None

    def draw(self, loops: Sequence[Loop], values: Mapping[str, float]) -> None:
        """Show the bars, in place of those before."""
        from IPython.display import display
        from rich.console import Console

        console = Console(
            file=io.StringIO(), record=True, force_terminal=True, force_jupyter=False, width=NOTEBOOK_WIDTH, _environ={}
        )
        console.print(_grid(loops, values))
        html = console.export_html(inline_styles=True, code_format=_HTML, clear=False)
        data = {"text/html": html, "text/plain": console.export_text().rstrip()}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)

    def finish(self, loop: Loop, values: Mapping[str, float]) -> None:
        """Leave the last state."""
        super().finish(loop, values)
        self._handle = None


def find_board() -> Board | None:
    """Return the place where the user looks; None where nobody does."""
    if is_notebook():
        return Notebook()
    if sys.stderr is None:
        return None
    if is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
        return Terminal(sys.stderr)
    return Lines()


def is_notebook() -> bool:
    """Tell whether the process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def values_text(values: Mapping[str, float]) -> str:
    """Return metrics as `loss=0.31 accuracy=0.9`."""
    return " ".join(f"{name}={value:.4g}" for name, value in values.items())


def _grid(loops: Sequence[Loop], values: Mapping[str, float]) -> Table:
    """Return bars, a line each, with the values beside the last."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    for is_fixed in (False, False, True, True, False):  # where it is narrow, the others give way to count and clock
        grid.add_column(no_wrap=is_fixed)
    for loop in loops:
        bar = ProgressBar(total=loop.total, completed=loop.done, width=BAR_WIDTH) if loop.total else ""
        grid.add_row(
            Text(loop.description, no_wrap=True, overflow="ellipsis"),
            bar,
            Text(loop.count(), style="green"),
            Text(loop.clock(), style="cyan"),
            Text(values_text(values) if loop is loops[-1] else "", no_wrap=True, overflow="ellipsis"),
        )
    return grid


def _duration(secs: float) -> str:
    return str(dt.timedelta(seconds=round(secs)))
