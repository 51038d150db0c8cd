"""A program in a pseudo-terminal: what it draws, when, and keys that are pressed."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

_CONTROL: Final = re.compile(
    r"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P^_X].*?\x1b\\|\x1b[()][AB0]|\x1b.", re.DOTALL
)
_OVERLAP: Final = 4096
"""Bytes of what was drawn before that are looked at with what is drawn next."""
PLOT: Final = "[\u2801-\u28ff]"
"""What only a curve draws: dots of braille."""


class Terminal:
    """A pseudo-terminal and the program in it."""

    def __init__(self, command: Sequence[str], *, columns: int = 80, lines: int = 24, **environment: str) -> None:
        """Start a program."""
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.started = time.perf_counter()
        given = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **environment}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=given, start_new_session=True
        )
        os.close(theirs)
        self._parts: list[tuple[float, bytes]] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # the program has ended
                data = b""
            came = time.perf_counter()
            with self._came:
                self._parts.append((came, data))
                self._came.notify_all()
            if not data:
                return

    def press(self, keys: str) -> int:
        """Press keys, and return where what is drawn after them begins."""
        with self._came:
            begin = len(self._parts)
            os.write(self._ours, keys.encode())
        return begin

    def text(self, begin: int = 0) -> str:
        """Return what was drawn, without control codes."""
        return _plain(self.raw(begin))

    def raw(self, begin: int = 0) -> bytes:
        """Return what was drawn, with control codes."""
        return b"".join(data for _, data in self._parts[begin:])

    def wait_for(self, pattern: str, *, begin: int = 0, secs: float = 30.0) -> float:
        """Wait until something was drawn, and return when it came.

        Args:
            pattern: a regular expression of what is drawn, without control codes; empty: anything.
            begin: where to look from, as `press` returns it.
            secs: how long to wait.

        Raises:
            TimeoutError: it did not come.
        """
        until, place, data = time.perf_counter() + secs, begin, b""
        while True:
            with self._came:
                while len(self._parts) <= place:
                    if not self._came.wait(max(until - time.perf_counter(), 0)):
                        drawn = self.text(begin)[-2000:]
                        raise TimeoutError(f"{pattern!r} was not drawn in {secs} s; drawn was: {drawn}")
                came, part = self._parts[place]
            data, place = data[-_OVERLAP:] + part, place + 1  # all of it again would take longer than it is drawn
            if re.search(pattern, _plain(data)):
                return came

    def close(self) -> int:
        """Wait for the program's end, and return its exit code."""
        code = self.process.wait(30)
        self._reader.join(30)  # else it might read from the next terminal, which gets the same number
        os.close(self._ours)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.close()


def _plain(data: bytes) -> str:
    """Return what is drawn, without control codes."""
    return _CONTROL.sub("", data.decode(errors="replace"))
