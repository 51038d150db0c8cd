"""A transcript: what is printed into a run's console file, in whole lines, and apart what is not finished.

The console file is only appended to, whole lines at a time, so `tail -f` and forked processes get along with it.
The line that is not finished, a progress bar above all, stands in a small file in the writer's folder, which is
replaced whole. Readers show it below the console file, and whoever comes after a crash appends it there.

Invariant: a line stands in the console file once no later text can change it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

from skald.durable import unlink, write_atomic
from skald.errors import is_fault
from skald.record.logfile import LogFile
from skald.record.screen import Screen

_SHARE: Final = 0.02
"""The part of the time that may be spent on the small file: a bar may be drawn at each step."""
_LONGEST_SECS: Final = 0.1
"""How long it may be as it was, however slow the disk is, or busy the program."""


class Unfinished(NamedTuple):
    """What stands in the small file: the unfinished lines, below the size that the console file had then."""

    console_bytes: int
    text: str

    def encoded(self) -> bytes:
        """Return the file's content."""
        return f"{self.console_bytes}\n{self.text}".encode(errors="backslashreplace")

    @classmethod
    def decoded(cls, data: bytes) -> Unfinished:
        """Return what a file's content says; nothing where a power cut has left zeros in it."""
        size, _, text = data.decode(errors="replace").partition("\n")
        return cls(int(size), text) if size.isdecimal() else cls(0, "")

    def missing_from(self, console: Path) -> str:
        """Return what a console file lacks: nothing where the lines were finished or appended meanwhile."""
        try:
            with console.open("rb") as file:
                file.seek(self.console_bytes)
                return "" if self.text.encode() in file.read() else self.text
        except FileNotFoundError:
            return self.text


class Transcript:
    """The screens of a run's streams, and the files that show them. Its user sees to it that threads take turns."""

    def __init__(self, file: LogFile, unfinished: Path | None) -> None:
        """Write into a console file.

        Args:
            file: takes the lines that are finished.
            unfinished: shows the others; None in a process that shares the console file.
        """
        self.file = file
        self._unfinished = unfinished
        self._screens: dict[str, Screen] = {}
        self._fed: str | bytes | memoryview | None = None
        """What is final of the text that is being printed, until the file has it: it is not to be printed twice."""
        self._shown = ""
        self.in_order = True
        """Whether what other streams have printed before has come, so that a text may end a line which they began."""
        self.is_alone = True
        """Whether no forked process may have ended it."""
        self._show_at = 0.0
        """From when on they may be put there again."""

    @property
    def is_amid_line(self) -> bool:
        """Whether a line has begun whose end is to be expected at once."""
        return any(screen.is_amid_line for screen in self._screens.values())

    def feed(self, stream: str, text: str | bytes) -> None:
        """Print a text on a stream's screen.

        Args:
            stream: its name; one of several words has what is written by other ways to where these streams show.
            text: what is printed; bytes in UTF-8.
        """
        if self._fed is None:
            self._fed = self._final_of(stream, text)
        try:
            if self._fed:
                self.file.append(self._fed)
        except BaseException:  # a signal handler's; whoever feeds it comes again, unless it was so late
            if self.file.is_writing:
                self._fed = None
            raise
        self._fed = None

    def _final_of(self, stream: str, text: str | bytes) -> str | bytes | memoryview:
        """Print a text on a stream's screen; return what is final."""
        screen = self._screens.get(stream)
        if screen is None:
            screen = self._screens[stream] = Screen()
        final = ""
        if len(self._screens) > 1:
            if self.in_order and self.is_alone and not screen.is_amid_line:
                final, text = self._end_line(stream, text if isinstance(text, str) else text.decode())
            final += self._settled(besides=stream)
        fed = screen.feed(text) if isinstance(text, str) else screen.feed_bytes(text)
        if final:
            fed = final + (fed if isinstance(fed, str) else str(fed, "utf-8"))
        return fed

    def _end_line(self, stream: str, text: str) -> tuple[str, str]:
        """Print the beginning of a text where another stream has begun the line; return what is final, and the rest."""
        for other, screen in self._screens.items():
            if (other in stream.split() or stream in other.split()) and screen.is_amid_line:
                line, end, rest = text.partition("\n")
                if "\r" not in line:  # a bar has a line of its own
                    return screen.feed(line + end), rest
        return "", text

    def settle(self) -> None:
        """Let go what a message is to stand below."""
        final = self._settled()
        if final:
            self.file.append(final)

    def show(self) -> bool:
        """Have the unfinished lines on disk; return whether that is to come, as it was done a moment ago."""
        is_blank = all(screen.is_blank for screen in self._screens.values())
        if (is_blank and not self._shown) or self._unfinished is None:
            return False
        start = time.monotonic()
        if not is_blank and start < self._show_at and not any(screen.has_ended for screen in self._screens.values()):
            return True
        for screen in self._screens.values():
            screen.has_ended = False
        text = self._text()
        if text == self._shown:
            return False
        # NOTE: a full disk or a folder that is gone is told by the console file and by the metrics
        try:
            if text:
                write_atomic(self._unfinished, Unfinished(self.file.size(), text).encoded())
            else:
                unlink(self._unfinished)
            self._shown = text
        except OSError as error:
            if not is_fault(error):
                raise
        now = time.monotonic()
        self._show_at = now + min((now - start) / _SHARE, _LONGEST_SECS)
        return False

    def finish(self) -> None:
        """Write everything into the console file; what is printed after it begins on a line of its own."""
        text = self._text()
        self.file.is_writing = False
        try:
            if text:
                self.file.append(text)
        except BaseException:  # a signal handler's; who finishes it comes again, unless it was so late
            if self.file.is_writing:
                self._screens = {}
            raise
        self._screens = {}
        self.show()

    def leave_folder(self) -> None:
        """Finish, and use the writer's folder no more."""
        self.finish()
        self._unfinished = None

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent has begun to print and will finish."""
        self._screens = {}
        self._unfinished = None

    def _text(self) -> str:
        return "".join([screen.text for screen in self._screens.values()])

    def _settled(self, *, besides: str | None = None) -> str:
        others = (screen for stream, screen in self._screens.items() if stream != besides)
        return "".join([screen.settle() for screen in others])
