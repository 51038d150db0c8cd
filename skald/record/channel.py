"""A way by which what is written to a descriptor gets to the relay, and past it."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import mmap
import os
import pty
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from typing import Any, Final

from skald.errors import is_fault
from skald.record import relay
from skald.record.relay import END, HASTY, OTHER, OWN, SHOWING
from skald.record.streams import PATIENCE_SECS, await_room, is_of_call

CLOSE_SECS: Final = 10.0
"""How long to wait at the end for a terminal that takes nothing."""
_SMALL_BYTES: Final = 1024
"""What goes through the relay while much is printed."""
_LARGE_BYTES: Final = 8192
"""What waits a moment for the way past the relay, which is much shorter."""
_MOST_LOOKS: Final = 8
_LOOK_SECS: Final = 0.0005
_ROOM_BYTES: Final = 1 << 18
"""What the pipe must then hold while the relay naps; NOTE: all pipes of a user may hold 64 MB."""
_CHUNK: Final = 1 << 16
_FIRST_FREE: Final = 3
_CAN_MARK: Final = hasattr(fcntl, "F_SETSIG")
_MARK: Final = getattr(fcntl, "F_GETSIG", 0)


class Channel:
    """A way to one target; stdout and stderr share it where they had the same."""

    def __init__(self, descriptors: list[int]) -> None:
        self.descriptors = descriptors
        self._opened = [fcntl.fcntl(descriptors[0], fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)]
        try:
            self._opened += _terminal_like(self._opened[0]) if os.isatty(self._opened[0]) else pipe()
            self._opened.append(_without_waiting(self._opened[2]))
        except OSError:
            self._close()
            raise
        self.saved, self.source, self.write, self._marked = self._opened
        if _CAN_MARK:
            fcntl.fcntl(self.write, fcntl.F_SETSIG, signal.SIGRTMIN + descriptors[0])
        self._way = _file_of(self.write, _MARK)
        self._is_roomy = _is_roomy(self.write)
        self._watch = watch_of(self.source)
        self.lock = threading.RLock()
        """Held while the descriptors are led elsewhere, or a mark is written, so that none goes elsewhere."""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.is_open = False
        """Whether this process, and no forked child, writes past the relay."""
        self._is_led = False
        """Whether the descriptors have been led to the relay."""

    def redirect(self) -> None:
        """Lead the descriptors to the relay, when nobody is writing."""
        with self.lock:
            self._is_led = True  # NOTE: first, so that a Ctrl-C amid this leaves none of them there
            for descriptor in self.descriptors:
                os.dup2(self.write, descriptor)
            self.is_open = True

    def leads(self, descriptor: int) -> bool:
        """Tell whether a descriptor leads to the relay; the program may have led it elsewhere."""
        try:
            return self._is_led and _file_of(descriptor, _MARK) == self._way
        except OSError:  # closed
            return False

    def writer(
        self, descriptor: int, state: mmap.mmap, otherwise: Callable[[bytes | memoryview], None]
    ) -> Callable[[Any], int]:
        """Return what writes to where a descriptor led before.

        While much is printed small texts go marked through the relay, which saves the looks: a write into a pipe takes
        half the time of one into a file.

        NOTE: whoever uses it sees to it that `close` waits, as the numbers may be other files' then: a lock here would
        cost a program that flushes each line as much as one of the looks, and so would calls of our own.

        Args:
            descriptor: one of this channel.
            state: what the relay has.
            otherwise: writes where it leads elsewhere, or the relay has something to show.
        """
        saved, marked, way, write_some = self.saved, self._marked, self._way, os.write
        is_roomy = self._is_roomy

        def write(data: Any) -> int:
            if type(data) is not bytes:
                data = memoryview(data).cast("B")
            size, has_begun = len(data), False  # NOTE: no call after it is written
            try:
                # NOTE: in this order, so that nothing goes from the one to the other between the two looks
                try:
                    leads = self.is_open and _file_of(descriptor, _MARK) == way
                    if leads and is_roomy and state[HASTY] and size <= _SMALL_BYTES:
                        own = b"".join((OWN, data, OTHER))
                        has_begun = True
                        write_some(marked, own)
                        return size
                    goes_past = leads and self._is_free(state, patiently=size > _LARGE_BYTES)
                except OSError as error:  # it is closed, or is full and does not wait
                    had_begun, has_begun, goes_past = has_begun, False, False  # NOTE: no call before this
                    if not is_of_call(error):
                        has_begun = had_begun
                        raise
                if goes_past:
                    write_all(saved, data)
                else:
                    otherwise(data)
            except BaseException as error:
                if is_fault(error):
                    raise
                if not (has_begun or getattr(error, "is_put_off", False)):  # the log has it, and so should the terminal
                    self.writer(descriptor, state, otherwise)(data)
                error.is_put_off = True  # type: ignore[attr-defined]
                raise
            return size

        return write

    def _is_free(self, state: mmap.mmap, *, patiently: bool) -> bool:
        """Tell whether the relay has nothing to show; it may be asked a few times."""
        left = _MOST_LOOKS if patiently else 0
        while (has_more := is_readable(self._watch, self.source) or bool(state[SHOWING])) and left:
            time.sleep(_LOOK_SECS)
            left -= 1
        return not has_more

    def marked(self, descriptor: int, piece: bytes) -> bytes:
        """Return what the relay passes on without a copy; what is given, where the descriptor leads elsewhere."""
        return b"".join((OWN, piece, OTHER)) if self.leads(descriptor) else piece

    def after_fork(self) -> None:
        """Forget, in a forked child, who held the lock, and the ways that it may close and give other files."""
        self.lock = threading.RLock()
        self.is_open = False

    def restore(self) -> None:
        """Lead them where they led before, but for those that the program has led elsewhere."""
        for descriptor in self.descriptors:
            if self.leads(descriptor):
                os.dup2(self.saved, descriptor)
        self.is_open = self._is_led = False  # last: until then who writes looks where the descriptor leads

    def stop(self) -> None:
        """Restore them, when nobody is writing, and want no more copies."""
        with self.lock:
            if not self._opened:
                return
            self.restore()
            room = select.poll()
            room.register(self.write, select.POLLOUT)
            if room.poll(CLOSE_SECS * 1000):  # else the terminal takes nothing
                with contextlib.suppress(OSError):  # the relay is gone
                    os.write(self.write, END)

    def rescue(self) -> None:
        """Pass on what a relay that was killed has left."""
        try:
            while is_readable(self._watch, self.source):
                write_all(self.saved, relay.MARK.sub(b"", os.read(self.source, _CHUNK)))
        except OSError:  # nobody is there any more
            self.abandon()

    def abandon(self) -> None:
        """Restore them, and tell who writes on that nobody reads: a child that fills the pipe would wait for ever."""
        self.restore()
        empty, write = os.pipe()
        os.close(write)
        os.dup2(empty, self.source, inheritable=False)
        os.close(empty)

    def close(self) -> None:
        """Let go of everything."""
        self.restore()
        self._close()

    def _close(self) -> None:
        while self._opened:  # NOTE: none twice, where a Ctrl-C comes amid this, as the number may be another file's
            os.close(self._opened.pop())


def find_channels() -> list[Channel]:
    """Make a way for each target that descriptors 1 and 2 have; one that is closed has none."""
    found: dict[tuple[int, ...], list[int]] = {}
    for descriptor, stream in ((1, sys.__stdout__), (2, sys.__stderr__)):
        if stream is None:  # NOTE: it was closed when Python started: its number may be any file's now
            continue
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            found.setdefault((status.st_dev, status.st_ino, status.st_rdev), []).append(descriptor)
    channels: list[Channel] = []
    try:
        channels.extend(map(Channel, found.values()))
    except OSError:
        for channel in channels:
            channel.close()
        raise
    return channels


def _terminal_like(terminal: int) -> tuple[int, int]:
    """Return the ends of a terminal of the same size; the one behind it turns line ends into what it needs."""
    source, write = map(high, pty.openpty())
    tty.setraw(write)
    with contextlib.suppress(OSError):
        fcntl.ioctl(write, termios.TIOCSWINSZ, fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(8)))
    return source, write


def pipe() -> tuple[int, int]:
    """Return the ends of a pipe, none of them one of the first three."""
    source, write = os.pipe()
    return high(source), high(write)


def _is_roomy(pipe: int) -> bool:
    """Have a pipe hold more, where the system has that; return whether it does."""
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _ROOM_BYTES) >= _ROOM_BYTES
    except (AttributeError, OSError):  # it is a terminal, or the user's pipes hold too much already
        return False


def _without_waiting(write: int) -> int:
    """Return another way to where a descriptor leads, by which nobody waits for room, where the system has that."""
    try:
        return high(os.open(f"/proc/self/fd/{write}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))
    except OSError:
        return fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)


def high(descriptor: int) -> int:
    """Return a descriptor that is none of the first three, which the relay has for itself."""
    if descriptor >= _FIRST_FREE:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(descriptor)
    return moved


def write_all(descriptor: int, data: bytes | memoryview, *, again: bool = True) -> None:
    """Write, as often as it takes.

    Args:
        descriptor: where to.
        data: what to write.
        again: what a signal handler raises is raised at the end, or where there is more of it, or no room in time; it
            `is_put_off` then.
    """
    left, written = memoryview(data), [0]
    try:
        while left:
            try:
                # NOTE: what this returns is in its place before a signal handler is heard
                written[:] = map(os.write, (descriptor,), (left,))
                left = left[written[0] :]
                written[0] = 0
            except BlockingIOError as error:
                if not is_of_call(error):
                    raise
                await_room(descriptor)
    except BaseException as error:
        if is_fault(error):
            raise
        error.is_stuck = not await_room(descriptor, PATIENCE_SECS)  # type: ignore[attr-defined]
        if again and not error.is_stuck:  # type: ignore[attr-defined]
            write_all(descriptor, left[written[0] :], again=False)
        error.is_put_off = True  # type: ignore[attr-defined]
        raise


def watch_of(*descriptors: int) -> select.poll:
    """Return what looks whether there is something to read.

    NOTE: FIONREAD tells of a terminal less than was written, as the system hands it over a little later, or now to
    those who ask like this.
    """
    watch = select.poll()
    for descriptor in descriptors:
        watch.register(descriptor, select.POLLIN)
    return watch


def is_readable(watch: select.poll, *descriptors: int) -> bool:
    """Tell whether there is something to read from descriptors, and what watches them."""
    try:
        events = watch.poll(0)
    except RuntimeError as error:  # another thread looks just now
        if not is_of_call(error):
            raise
        events = watch_of(*descriptors).poll(0)
    return bool(events) and any(event & select.POLLIN for _, event in events)


def _status_of(descriptor: int, _mark: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


_file_of: Final[Callable[[int, int], object]] = fcntl.fcntl if _CAN_MARK else _status_of
"""What tells the open files of this module from all others: a mark, where the system has one, for speed."""
