"""Capture at the level of file descriptors: what C code and child processes print.

Descriptors 1 and 2 lead to a relay (see its module), by a pipe, or by a terminal of its own where they were one, so
that programs see a terminal where there was one. Python's own streams write past it, or mark what they write, as the
tees have it already: what Python prints is in the log as without this, also after a SIGKILL.

Invariant: once it has stopped, the descriptors are what they were, and all that was written has been passed on.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from skald.background import Background
from skald.errors import is_fault
from skald.record import relay
from skald.record.channel import CLOSE_SECS, Channel, find_channels, high, is_readable, pipe, watch_of, write_all
from skald.record.pace import is_only_thread
from skald.record.relay import (
    COUNT,
    FRAME_BYTES,
    HASTY,
    HEADER,
    IN_HAND,
    MADE,
    READS,
    RUNS,
    SHOWING,
    SIGNALS,
    STATE_BYTES,
    TAKEN,
)
from skald.record.streams import PATIENCE_SECS, await_room

START_SECS: Final = 10.0
"""How long the relay may take to begin, where there is something for it."""
SETTLE_SECS: Final = 0.5
"""How long the beginning and the end of a block wait for what children have printed before."""
LINE_SECS: Final = 0.02
"""How long a line of Python waits for it; beside a child that prints all the time one in twenty does."""
REAP_SECS: Final = 0.2
RESCUE_SECS: Final = 0.05
"""How often what children print is passed on where the relay was killed."""
POLL_SECS: Final = 0.0005
_CHUNK: Final = 1 << 16
_NAMES: Final = {1: "stdout", 2: "stderr"}
_relays: Final[list[subprocess.Popen[bytes]]] = []
"""Those that have outlived their run, as a child of it did."""

Feed = Callable[[str, str, Callable[[], None]], None]


class Descriptors:
    """Descriptors 1 and 2, led to a relay."""

    def __init__(self, feed: Feed, log: str) -> None:
        """Start the relay; the descriptors lead to it from `redirect` on.

        Args:
            feed: gets the names of streams, and what C code or a child printed there, from a thread; it calls the
                function that it gets too once that is in the log.
            log: the file to which is appended what it has not got when the process is killed.

        Raises:
            OSError: there are no descriptors left, or no process can be started.
        """
        self._feed = feed
        self.is_forked = False
        self._taken = 0
        self._channels = find_channels()
        self._back, self._state, self._process = _start_relay(self._channels, log)
        self._way = [*(channel.source for channel in self._channels), self._back]
        self._watch = watch_of(*self._way)
        self._files = [os.fstat(number) for number in self._way]
        self._thread = Background("skald-descriptors")
        self._thread.start(self._follow)
        self._settle_again = 0.0

    def await_relay(self) -> None:
        """Wait until the relay runs, where other threads need a while to end what they are writing.

        NOTE: not as it is made, or a Ctrl-C meanwhile would leave nobody who knows it, to end it.
        """
        if not is_only_thread():
            self._wait(lambda: not self._state[RUNS], START_SECS)

    def redirect(self) -> None:
        """Lead the descriptors to the relay, now that what Python prints knows its way past it."""
        for channel in self._channels:
            channel.redirect()

    def writer(self, descriptor: int) -> Callable[[Any], int] | None:
        """Return what writes texts that need no copy; None for a descriptor that is not redirected.

        They go past the relay, or marked through it while it has something else to pass on, which stands above them.
        """
        channel = self._channel(descriptor)
        if channel is None:
            return None
        return channel.writer(descriptor, self._state, partial(self._write_marked, channel, descriptor))

    def write_unheard(self, descriptor: int, data: bytes) -> None:
        """Write what needs no copy; through the relay, where the descriptor leads there."""
        channel = self._channel(descriptor)
        if channel is None:
            write_all(descriptor, data)
        else:
            self._write_marked(channel, descriptor, data)

    def _channel(self, descriptor: int) -> Channel | None:
        return next((channel for channel in self._channels if descriptor in channel.descriptors), None)

    def _write_marked(self, channel: Channel, descriptor: int, data: bytes | memoryview, *, again: bool = True) -> None:
        """Write, and put off what a signal handler raises, as `write_all` does."""
        left = memoryview(data)
        try:
            if self._thread.is_stopping:
                self._thread.join(CLOSE_SECS)  # so that nothing overtakes what is on its way
            for _ in range(0, len(left), FRAME_BYTES):
                piece = bytes(left[:FRAME_BYTES])
                try:
                    with channel.lock:
                        write_all(descriptor, channel.marked(descriptor, piece))
                        left = left[FRAME_BYTES:]
                except BrokenPipeError:  # the relay was killed, or its target has gone: then it is told again
                    self._wait(lambda: channel.leads(descriptor), CLOSE_SECS)
                    write_all(descriptor, piece)
                    left = left[FRAME_BYTES:]
        except BaseException as error:
            if is_fault(error):
                raise
            error.is_stuck = not await_room(descriptor, PATIENCE_SECS)  # type: ignore[attr-defined]
            if again and not error.is_stuck:  # type: ignore[attr-defined]
                is_written = getattr(error, "is_put_off", False)
                self._write_marked(channel, descriptor, left[FRAME_BYTES:] if is_written else left, again=False)
            error.is_put_off = True  # type: ignore[attr-defined]
            raise

    def after_fork(self) -> None:
        """Let a forked child write, whatever its parent's threads were at; the parent has the relay."""
        self.is_forked = True
        for channel in self._channels:
            channel.after_fork()

    def hurry(self, *, hasty: bool) -> None:
        """Have small texts go through the relay, which passes on many at a time, or no more."""
        if not self.is_forked:
            self._state[HASTY] = hasty

    def settle(self, *, line: bool = False) -> bool:
        """Wait a moment until what was written has been read, so that lines stand in their order.

        Args:
            line: it is for one line of many.

        Returns:
            Whether nothing is under way any more.
        """
        if not self.has_more():
            return True
        if self._thread.is_current or (line and time.monotonic() < self._settle_again):
            return False
        self.hurry(hasty=False)
        patience = (LINE_SECS if line else SETTLE_SECS) if self._state[RUNS] else START_SECS
        is_settled = self._wait(self.has_more, patience)
        if not is_settled:
            self._settle_again = time.monotonic() + 20 * LINE_SECS
        return is_settled

    def stop(self) -> None:
        """Put the descriptors back, and wait until all is passed on; of a child that writes on, that goes on.

        Before it no thread is amid a write that began in haste, and after it writers are used no more until `close`.
        """
        if self.is_forked:
            return
        self._thread.stop()
        for channel in self._channels:
            channel.stop()
        self._thread.join(CLOSE_SECS)  # more where the terminal takes nothing: the relay goes on without us
        if self._process.poll() is not None:
            for channel in self._channels:
                channel.rescue()

    def close(self) -> None:
        """Let go of everything."""
        if self.is_forked:
            return
        for channel in self._channels:
            channel.close()
        _reap(self._process)

    def has_more(self) -> bool:
        """Tell whether something is under way; what the relay moves on during the look does not slip by."""
        if self.is_forked and not self._is_way_open():
            return False
        reads = self._state[READS]
        if self._state[IN_HAND] or is_readable(self._watch, *self._way):
            return True
        return self._state[MADE] != self._state[TAKEN] or self._state[READS] != reads

    def _is_way_open(self) -> bool:
        """Tell whether a forked child has left open what it has inherited: else the numbers may be other files' now."""
        try:
            return all(map(os.path.samestat, map(os.fstat, self._way), self._files))
        except OSError:
            return False

    def _wait(self, condition: Callable[[], bool], timeout_secs: float) -> bool:
        """Wait as long as a condition holds and there is a relay; return whether it is over in time."""
        deadline = time.monotonic() + timeout_secs
        while (holds := condition() and (self.is_forked or self._thread.is_alive)) and time.monotonic() < deadline:
            time.sleep(POLL_SECS)
        return not holds

    def _follow(self) -> None:
        """Feed what the relay sends back, until it ends; then pass on what children print, if that was before time."""
        try:
            self._feed_all()
            while self._thread.sleep(RESCUE_SECS):  # the relay was killed
                self._state[IN_HAND] = self._state[SHOWING] = 0
                self._state[MADE] = self._state[TAKEN]
                for channel in self._channels:
                    channel.restore()
                    channel.rescue()
        finally:
            os.close(self._back)

    def _feed_all(self) -> None:
        received, waiting = b"", select.poll()
        waiting.register(self._back, select.POLLIN)
        while True:
            waiting.poll()
            data = os.read(self._back, _CHUNK)
            received = self._feed_frames(received + data)
            if not data:
                return

    def _feed_frames(self, data: bytes) -> bytes:
        """Feed whole frames; return the rest."""
        start = 0
        while len(data) - start >= HEADER.size:
            number, size = HEADER.unpack_from(data, start)
            end = start + HEADER.size + size
            if end > len(data):
                break
            channel = self._channels[number]
            if not size:
                channel.abandon()  # its target has gone, which the next who writes is told
            text = channel.decoder.decode(data[start + HEADER.size : end])
            names = " ".join(_NAMES[each] for each in channel.descriptors)
            self._feed(f"{names} below", text, partial(self._take, HEADER.size + size))
            start = end
        return data[start:]

    def _take(self, size: int) -> None:
        """Tell the relay how much is in the log."""
        self._taken += size
        self._state[TAKEN] = COUNT.pack(self._taken)


def _start_relay(channels: list[Channel], log: str) -> tuple[int, mmap.mmap, subprocess.Popen[bytes]]:
    """Start the program; return where copies come from, and what tells whether it has something in hand."""
    pairs = [f"{channel.source},{channel.saved}" for channel in channels]
    nowhere = subprocess.DEVNULL
    with contextlib.ExitStack() as kept, contextlib.ExitStack() as given:
        for channel in channels:
            kept.callback(channel.close)
        back, copies = pipe()
        kept.callback(os.close, back)
        given.callback(os.close, copies)
        with tempfile.TemporaryFile() as state:
            state.truncate(STATE_BYTES)
            shared = [copies, high(os.dup(state.fileno()))]
            given.callback(os.close, shared[1])
            told = mmap.mmap(state.fileno(), STATE_BYTES)
        passed = [*shared, *(number for channel in channels for number in (channel.source, channel.saved))]
        command = [sys.executable, "-I", "-S", relay.__file__, *map(str, shared), log, *pairs]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until it ignores them, which is 20 ms later
            process = subprocess.Popen(command, pass_fds=passed, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        kept.pop_all()  # it has begun: nothing is to be undone
    return back, told, process


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Take note of the relay's end; where a child writes on it lives on, until that child ends."""
    _relays.append(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(REAP_SECS)
    _relays[:] = [each for each in _relays if each.poll() is None]
