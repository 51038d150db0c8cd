"""The relay of `capture="fd"`: a program that passes a process's output on to where it went before, and a copy back.

A process of its own, because a thread would not do: C code that holds Python's lock and fills the pipe would wait for
ever for a thread that needs that lock; and what was written before a SIGKILL, or is written by a child that outlives
the run, must still reach the terminal. It is run by its path, imports nothing of Skald, and ends with the last writer.

Arguments: a descriptor to send copies to; one of a file of 24 bytes (1 while the relay has something in hand that it
has not sent; 1 while it has something that it has not shown; how often it has read, the last byte of it; 1 once it
runs; 1 while the process prints so much that it is to be passed on in large pieces; from the eighth on how many bytes
of copies the process has taken in; from the sixteenth on how many there have been); the file to which is appended what
a process that was killed has not taken in; then `SOURCE,TARGET` for each channel. A copy is sent as a frame: the number
of the channel and of its bytes (two unsigned ints), then the bytes. Copies wait in memory while nobody reads.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import select
import signal
import struct
import sys
import termios
import time
from collections import deque
from typing import Final

HEADER: Final = struct.Struct("=II")
OWN: Final = b"\x1b_Skald+\x1b\\"
"""Begins what needs no copy: what Python prints is in the log already."""
OTHER: Final = b"\x1b_Skald-\x1b\\"
"""Ends it."""
FRAME_BYTES: Final = 4096 - len(OWN) - len(OTHER)
"""What goes marked into a pipe in one piece."""
END: Final = b"\x1b_Skald.\x1b\\"
"""No more copies are wanted: once all channels said so and everything is passed on, the copies end."""

IN_HAND: Final = 0
SHOWING: Final = 1
READS: Final = 2
RUNS: Final = 3
HASTY: Final = 4
TAKEN: Final = slice(8, 16)
MADE: Final = slice(16, 24)
COUNT: Final = struct.Struct("=Q")
STATE_BYTES: Final = 24
"""The bytes that tell what the relay has."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
"""Those that mean the process whose output it is."""

MARK: Final = re.compile(rb"(\x1b_Skald[+.-]\x1b\\)")
_COLOR: Final = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]")
_CHUNK: Final = 1 << 16
_NAP_SECS: Final = 0.001


class Channel:
    """A descriptor that is read, and the one that gets what is read."""

    def __init__(self, number: int, source: int, target: int) -> None:
        self.number, self.source, self.target = number, source, target
        self.rest = b""
        """What may be the beginning of a mark."""
        self._own = False
        self.is_ahead = False
        """Whether all was read that was there, some of it the process's own."""
        self.ended = False
        self._is_terminal = os.isatty(source)

    def read(self) -> tuple[bytes, bytes] | None:
        """Return what is to be shown, and what of it is to be copied; None at the end."""
        try:
            data = os.read(self.source, _CHUNK)
        except OSError:  # so a terminal says that its last writer is gone
            data = b""
        if not data and not self.rest:
            return None
        self.is_ahead = len(data) < _CHUNK and OWN in data
        data, self.rest = _cut(self.rest + data) if data else (self.rest, b"")
        shown, copied = [], []
        for part in MARK.split(data.replace(OTHER + OWN, b"")):
            if part in (OWN, OTHER):
                self._own = part == OWN
            elif part == END:
                self.ended = True
            else:
                shown.append(part)
                if not self._own and not self.ended:
                    copied.append(part)
        return b"".join(shown), b"".join(copied)

    def show(self, data: bytes) -> bool:
        """Pass something on; return whether anybody is there."""
        self.take_size()
        while data:
            try:
                data = data[os.write(self.target, data) :]
            except BlockingIOError:
                _wait({self.target: select.POLLOUT})
            except OSError:
                return False
        return True

    def take_size(self) -> None:
        """Give a terminal the size of the one behind it."""
        if not self._is_terminal:
            return
        size = bytes(8)
        try:
            size = fcntl.ioctl(self.target, termios.TIOCGWINSZ, size)
            if size != fcntl.ioctl(self.source, termios.TIOCGWINSZ, size):
                fcntl.ioctl(self.source, termios.TIOCSWINSZ, size)
        except OSError:  # the terminal is gone, which its next write tells
            return


class Copies:
    """The way back, which never makes a writer wait."""

    def __init__(self, descriptor: int, state: mmap.mmap | bytearray, log: str) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor: int | None = descriptor
        self.waiting = bytearray()
        self._state, self._log = state, log
        self._bytes = 0
        self._is_orphan = False
        """Whether the process was gone before it wanted no more."""
        self._not_taken: deque[tuple[int, bytes]] = deque()
        """Copies that the process has not taken in, and after how many bytes it has."""

    def add(self, number: int, data: bytes) -> None:
        """Have a copy sent; an empty one says that the channel has ended."""
        frame = HEADER.pack(number, len(data)) + data
        self._bytes += len(frame)
        self._state[MADE] = COUNT.pack(self._bytes)
        self._not_taken.append((self._bytes, data))
        if self.descriptor is not None:
            self.waiting += frame
        if self._is_orphan:
            self.rescue()
        self._forget()

    def _forget(self) -> None:
        (taken,) = COUNT.unpack(self._state[TAKEN])
        while self._not_taken and self._not_taken[0][0] <= taken:
            self._not_taken.popleft()

    def is_unread(self) -> bool:
        """Tell whether nobody reads them any more."""
        if self.descriptor is None:
            return False
        reader = select.poll()
        reader.register(self.descriptor, 0)
        return bool(reader.poll(0))

    def rescue(self) -> None:
        """Put into the log what a process that is gone has not taken in."""
        self._forget()
        data = _COLOR.sub(b"", b"".join(data for _, data in self._not_taken))
        self._not_taken.clear()
        if data:
            try:
                log = os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
                os.write(log, data)
                os.close(log)
            except OSError:  # the run is gone
                return

    def send(self) -> None:
        """Send what the reader has room for."""
        try:
            while self.waiting and self.descriptor is not None:
                del self.waiting[: os.write(self.descriptor, self.waiting[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # the process is gone
            self.close()
            self._is_orphan = True
            self.rescue()

    def close(self) -> None:
        """Send no more."""
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = None
        self.waiting.clear()


def relay(copies: Copies, channels: list[Channel], state: mmap.mmap | bytearray) -> None:
    """Pass on until the last writer is gone."""
    state[RUNS] = 1
    open_channels = {channel.source: channel for channel in channels}
    while open_channels or copies.waiting:
        wanted = dict.fromkeys(open_channels, select.POLLIN)
        if copies.waiting and copies.descriptor is not None:
            wanted[copies.descriptor] = select.POLLOUT
        for source in open_channels.keys() & _wait(wanted):
            channel = open_channels[source]
            state[IN_HAND] = state[SHOWING] = 1
            state[READS] = (state[READS] + 1) & 0xFF
            read = channel.read()
            if read is not None and read[1]:
                copies.add(channel.number, read[1])
                copies.send()
            state[IN_HAND] = bool(copies.waiting)
            if read is None or not channel.show(read[0]):
                channel.ended = True
                copies.add(channel.number, b"")
                del open_channels[source]
                os.close(source)  # whoever writes on is told, as by the target
            state[SHOWING] = any(channel.rest for channel in channels)
            if state[HASTY] and channel.is_ahead:
                time.sleep(_NAP_SECS)
        copies.send()
        state[IN_HAND] = bool(copies.waiting)
        if all(channel.ended for channel in channels) and not copies.waiting:
            copies.close()
    if copies.is_unread():
        copies.rescue()


def _wait(wanted: dict[int, int]) -> set[int]:
    """Wait for events of descriptors, whose numbers `select` does not take beyond 1,023; return which have some."""
    waiting = select.poll()
    for descriptor, events in wanted.items():
        waiting.register(descriptor, events)
    return {descriptor for descriptor, _ in waiting.poll()}


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """Split off what may be the beginning of a mark."""
    for size in range(min(len(OWN) - 1, len(data)), 0, -1):
        if any(mark.startswith(data[-size:]) for mark in (OWN, OTHER, END)):
            return data[:-size], data[-size:]
    return data, b""


def main() -> None:
    """Run as a program."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    back, shared, log, *pairs = sys.argv[1:]
    state = mmap.mmap(int(shared), STATE_BYTES)
    channels = [Channel(number, *map(int, pair.split(","))) for number, pair in enumerate(pairs)]

    def take_sizes(*_: object) -> None:
        for channel in channels:
            channel.take_size()

    signal.signal(signal.SIGWINCH, take_sizes)
    take_sizes()  # one may have changed before
    relay(Copies(int(back), state, log), channels, state)


if __name__ == "__main__":
    main()
    os._exit(0)  # NOTE: the process whose output it was waits, and to take Python down in order takes 7 ms
