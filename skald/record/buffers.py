"""The buffer below text streams, with its `write` replaced: whatever they print, by whomever, is kept too.

Whoever got hold of a stream, or of its `write`, is heard so, and the streams are as they were but for giving the
buffer each text at once. While much is printed they hold texts back, and the pieces of 8 KB that they give up are
gathered in a larger buffer: whoever fills it writes it out, and has it taken. So printing costs what it costs without.

Invariant: all bytes pass one of two functions, either the one that takes each text or the one that gathers them.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, Final, Protocol

from skald.errors import is_fault
from skald.record.decoding import Decoder
from skald.record.gathering import GATHERED_BYTES, Gatherer, Taking, waiting, write_waiting
from skald.record.shown import message_file, messages, speaking
from skald.record.streams import TextStream, is_direct, is_of_call, replace


class Taker(Taking, Protocol):
    """Who gets the texts."""

    threads: set[int]
    """Those that have been seen to print."""
    is_alone: bool
    """Whether texts are only left in the list."""
    taken: str | None
    """The text that was taken last."""

    @property
    def is_one_thread(self) -> bool:
        """Whether one thread alone has been seen to print."""

    def take(self, text: str, file: str | None = None) -> None:
        """Take a text, of which a file may have the message already."""

    def take_flush(self) -> None:
        """Take what has been begun, as it is shown now."""

    def stay_near(self, *, at_once: bool) -> None:
        """Have the thread write what is pending; have it written at once where that is wanted, or too much."""


_MANY_BYTES: Final = 1 << 20
"""What is printed, in bytes, before the thread is called that writes it."""
_HUGE_BYTES: Final = 1 << 19
"""From here on the memory of a text is to be free again before the next."""
_FEW_BYTES: Final = 1 << 8
"""Where so few are flushed it is cheaper to take each text as it comes."""
_REST_SECS: Final = 0.5
_LOOK_SECS: Final = 0.001
_MOST_LOOKS: Final = 200


class TeedBuffer:
    """A buffer whose `write` and `flush` are replaced in the object itself."""

    def __init__(self, buffer: Any, encoding: str, taker: Taker) -> None:
        """Prepare to take what is written there."""
        self.buffer = buffer
        self.is_direct = is_direct(buffer)
        """Whether bytes get to the descriptor as they are."""
        self.decoder = Decoder(encoding)
        self.holds = self._gathers = False
        """Whether the streams hold texts back; and what they give up is gathered."""
        self._gather_from = 0.0 if type(buffer) is io.BufferedWriter else math.inf
        self._taker = taker
        self._streams: list[TextStream] = []
        self._original: Callable[[Any], int] = buffer.write
        self._original_flush: Callable[[], Any] = getattr(buffer, "flush", lambda: None)
        self._put: Callable[[Any], int | None] = self._original
        """What writes bytes; or holds them back, and returns None."""
        self._flush = self._original_flush
        """What writes out those that are held back."""
        self._held_bytes = 0
        self._gatherer = Gatherer(buffer, taker, is_direct=self.is_direct)
        self._on_time: set[int] = set()
        """The threads of which nothing is still on its way: gathered late, or just being collected."""
        self._lead()
        self._write, self._keep = self._writer(), self._keeper()
        self._restorers: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Begin to take what is written there."""
        self._restorers.append(replace(self.buffer, "write", self._write))
        if callable(getattr(self.buffer, "flush", None)):
            self._restorers.append(replace(self.buffer, "flush", self._flusher()))

    def _lead(self, writer: Callable[[Any], int] | None = None) -> None:
        """Have the gatherer write to where the buffer does, or in another way."""
        below = self.buffer.raw.write if type(self.buffer) is io.BufferedWriter else self._original
        self._gatherer.lead(writer or below, self._flush, is_whole=writer is not None)

    def add(self, stream: io.TextIOWrapper) -> None:
        """Have a text stream give each text at once."""
        above = TextStream(stream)
        self._streams.append(above)
        self._while_aside(partial(above.be_through, through=True))
        self._restorers.append(replace(stream, "reconfigure", self._reconfigurer(above)))

    def divert(self, writer: Callable[[Any], int] | None) -> None:
        """Have bytes written in another way, or no more; on return nobody writes them as before."""
        self.hold_no_more()
        put: Callable[[Any], int | None] = self._original
        flush = self._original_flush
        if writer is not None:
            put = writer
            if type(self.buffer) is io.BufferedWriter:  # as seldom as that one
                held: list[bytes] = []
                put, flush = held.append, self._diverted_flusher(held, writer)
        for each in (self._put, put):  # NOTE: one may still begin in the first way
            self._put = each
            self.await_writers()
            with contextlib.suppress(OSError, ValueError):  # closed, or its reader is gone
                self._flush()
        self._flush = flush
        self._lead(writer)
        self._gatherer.alone()

    def await_writers(self) -> None:
        """Wait until nobody is amid a write that has begun."""
        writing = self._gatherer.writing
        begun = writing.copy()
        for _ in range(_MOST_LOOKS):  # NOTE: not for ever, as a signal handler may have interrupted one
            if not any(mark is not None and writing.get(ident) is mark for ident, mark in begun.items()):
                return
            time.sleep(_LOOK_SECS)

    def may_hold(self) -> bool:
        """Tell whether the streams hold texts back by themselves."""
        may_hold = self.is_direct and self.is_heard and not self._gatherer.fault
        return may_hold and all(stream.may_hold for stream in self._streams)

    def hold(self) -> None:
        """Have texts held back, where that may be; and gathered, where they are not written out at once."""
        gathers = time.monotonic() > self._gather_from and not self._gatherer.untold
        gathers = gathers and not any(stream.text.line_buffering for stream in self._streams)
        self._set(holds=gathers or self._taker.is_one_thread, gathers=gathers)

    def hold_no_more(self) -> None:
        """Have each text taken as it comes."""
        self._set(holds=False, gathers=False)

    def _set(self, *, holds: bool, gathers: bool) -> None:
        if (holds, gathers) != (self.holds, self._gathers):
            self._while_aside(partial(self._change, holds=holds, gathers=gathers))

    def _change(self, *, holds: bool, gathers: bool) -> None:
        self._gathers = gathers
        self._gatherer.on_written = self._keep if gathers else None
        if holds != self.holds:
            self.holds = holds
            for stream in self._streams:
                stream.be_through(through=not holds)

    def collect(self) -> None:
        """Write what has been gathered, and what the text streams hold, and have it taken."""
        if self.holds or self._gatherer.has_aside:
            self._while_aside(self._push)
        else:
            self._gatherer.alone()  # NOTE: what a thread has gathered that came late
        if self._gatherer.fault:
            self.hold_no_more()

    def _push(self) -> None:
        """Have the text streams give what they hold."""
        for stream in self._streams if self.holds else ():
            with contextlib.suppress(OSError, ValueError):  # closed
                stream.flush()

    def _while_aside(self, action: Callable[[], Any]) -> None:
        """Do something by which the streams give what they hold, and write that before anything else."""
        self._gatherer.alone(partial(self._put_aside, action))

    def _put_aside(self, action: Callable[[], Any]) -> None:
        is_heard = self.is_heard
        self._on_time.clear()
        self._gatherer.has_aside = True
        if is_heard:
            vars(self.buffer)["write"] = self._gatherer.aside.write
        try:
            action()
        finally:
            if is_heard:
                vars(self.buffer)["write"] = self._keep if self._gathers else self._write
        self._gatherer.write_aside()

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what has been gathered."""
        is_heard = self.is_heard
        self._gatherer.after_fork()
        if is_heard:
            vars(self.buffer)["write"] = self._keep if self._gathers else self._write

    def restore(self) -> None:
        """Leave the buffer and its streams as they were found."""
        self.hold_no_more()
        self._while_aside(self._be_as_found)
        for restore in reversed(self._restorers):
            restore()
        self._gatherer.alone()  # NOTE: what a thread has gathered that came late
        if self._gatherer.untold:
            with contextlib.suppress(OSError, ValueError):  # Python tells of it as it ends
                self._original(self._gatherer.untold)

    def _be_as_found(self) -> None:
        for stream in reversed(self._streams):  # NOTE: one may stand for another
            stream.be_through(through=False)

    @property
    def is_heard(self) -> bool:
        """Whether nobody has put another `write` in its place."""
        gatherer = self._gatherer
        return vars(self.buffer).get("write") in (self._write, self._keep, gatherer.fast, gatherer.aside.write)

    def _reconfigurer(self, stream: TextStream) -> Callable[..., None]:
        taker = self._taker

        def reconfigure(**options: Any) -> None:
            self.hold_no_more()
            taker.write_pending()  # NOTE: while its encoding is known
            stream.reconfigure(**options)
            if options.get("write_through") is not None:
                stream.was_through = stream.text.write_through
            self.decoder = Decoder(stream.text.encoding)
            self._while_aside(partial(stream.be_through, through=True))

        reconfigure.__wrapped__ = stream.reconfigure  # type: ignore[attr-defined]
        return reconfigure

    def _keeper(self) -> Callable[[Any], Any]:
        """Return the `write` that gathers, and sees to what has been written out; until then there is a faster one."""
        taker, gatherer, writing = self._taker, self._gatherer, self._gatherer.writing
        threads, own = taker.threads, vars(self.buffer)

        def write(data: Any, /) -> Any:
            ident = get_ident()
            if ident in writing or waiting:
                return gatherer.put_aside(data)
            writing[ident] = []  # NOTE: no call amid this, nor where it ends, so that no signal handler raises there
            try:
                threads.add(ident)
                written = gatherer.fast(data)
                writing[ident] = None
                if not self._gathers:  # it has come late
                    gatherer.alone()
                if gatherer.raised or gatherer.has_aside or gatherer.fault:
                    self._tell(partial(gatherer.settle, ident))
                if gatherer.has_large:
                    gatherer.has_large = False
                    if taker.is_one_thread:
                        self._rest()
                if taker.printed > GATHERED_BYTES:
                    taker.write_pending()
                # NOTE: no call amid this, so that no other thread changes it meanwhile
                if self._gathers and "write" in own and own["write"] is self._keep:
                    own["write"] = gatherer.fast
            finally:
                del writing[ident]
                if waiting:
                    write_waiting()
            return written

        return write

    def _writer(self) -> Callable[[Any], Any]:
        """Return the `write` that takes each text."""
        taker, keep, gatherer, writing = self._taker, self._taker.pending.append, self._gatherer, self._gatherer.writing
        threads, on_time, is_buffered = taker.threads, self._on_time, type(self.buffer) is io.BufferedWriter

        def write(data: Any, /) -> Any:
            ident = get_ident()
            if ident in writing or waiting:
                return gatherer.put_aside(data)
            if ident not in on_time:
                on_time.add(ident)
                gatherer.flush()
            file = message_file(sys._getframe(1)) if messages else None
            is_bytes = type(data) is bytes
            is_left = (taker.is_alone or self.holds) and file is None and not speaking and is_bytes
            is_written, text = False, None
            writing[ident] = []  # NOTE: no call amid this, nor where it ends, so that no signal handler raises there
            try:
                threads.add(ident)
                try:
                    written = self._put(data) if is_bytes else self._put_copy(data)
                    writing[ident], is_written = None, True
                    if is_left:
                        keep(data)  # NOTE: no Ctrl-C is heard between two calls, so none comes here before it is kept
                    else:
                        taker.taken, text = None, self._decoded(data)
                        taker.take(text, file)
                except BaseException as error:  # a signal handler's, mostly; the stream has it, and may show it later
                    is_kept = is_written if is_left else text is not None and taker.taken is text
                    is_refusal = is_of_call(error) and isinstance(error, (TypeError, ValueError))  # closed, or no bytes
                    if not (is_kept or is_refusal):
                        taker.take(self._decoded(data), file)
                    self._drop(error, is_written=is_written)
                    raise
                size = len(data)
                written = self._count_held(size) if written is None and is_buffered else written
                taker.printed += size
                if taker.printed > _MANY_BYTES or size > _HUGE_BYTES:
                    taker.stay_near(at_once=size > _HUGE_BYTES)
                if gatherer.fault:
                    self._tell(partial(gatherer.settle, ident))
            finally:
                del writing[ident]
                if waiting:
                    write_waiting()
            return written

        return write

    def _tell(self, action: Callable[[], None]) -> None:
        """Do what may tell the program, in a write, that something could not be written."""
        try:
            action()
        except OSError as error:
            self._drop(error)
            raise

    def _drop(self, error: BaseException, *, is_written: bool = False) -> None:
        """Leave nothing of what could not be written, as the program is told of it; Python would tell of it again.

        Without Skald there is nothing either, as a text stream gives up more at a time than its buffer has room for.
        """
        if is_written or not is_fault(error):
            return
        raw: dict[str, Any] = vars(self.buffer.raw) if self.is_direct and hasattr(self.buffer, "raw") else {}
        raw["write"] = len
        try:
            with contextlib.suppress(OSError, ValueError):
                self._flush()
        finally:
            del raw["write"]
        self._gatherer.drop()

    def _put_copy(self, data: Any) -> int | None:
        """Write what may change once it has been held back."""
        put = self._put
        return put(data if put is self._original else bytes(memoryview(data)))

    def _count_held(self, size: int) -> int:
        """Count what has been held back, and write it out when it is enough; return its size."""
        self._held_bytes += size
        if self._held_bytes > io.DEFAULT_BUFFER_SIZE:
            self._tell(self._flush)
        return size

    def _decoded(self, data: Any) -> str:
        """Return the text of bytes; where they may begin amid a character, after what is before them."""
        data = bytes(data)
        if b"\x80" <= data[:1] < b"\xc0" and self._taker.pending:
            self._taker.write_pending()
        return self.decoder.decoded(data)

    def _rest(self) -> None:
        """Gather nothing for a while."""
        self._gather_from = time.monotonic() + _REST_SECS

    def _diverted_flusher(self, held: list[bytes], write_out: Callable[[bytes], int]) -> Callable[[], None]:
        """Return what writes out in another way what has been held back.

        NOTE: a closure, as a look for an attribute costs a program that flushes each line as much as a call.
        """
        lock = threading.RLock()

        def flush() -> None:
            with lock:
                self._held_bytes = 0
                if not held:
                    return
                data, count = held[0], len(held)
                if count > 1:  # NOTE: as one: small and large ones have different ways
                    data = b"".join(held[:count])
                # NOTE: no call until it is written, so that what a signal handler raises comes before, or from there
                del held[:count]
                try:
                    write_out(data)
                except BaseException as error:
                    if is_fault(error):
                        self._gatherer.keep_end(data)
                    elif not getattr(error, "is_put_off", False):
                        held.insert(0, data)
                    raise

        return flush

    def _flusher(self) -> Callable[[], Any]:
        taker, gatherer, writing = self._taker, self._gatherer, self._gatherer.writing

        def flush() -> Any:
            ident, before = get_ident(), taker.printed
            if ident in writing:
                return None
            writing[ident] = []  # NOTE: as above
            try:
                if gathers := self._gathers:
                    gatherer.flush()
                flushed = self._flush()
                writing[ident] = None
                if gatherer.raised or gatherer.has_aside or gatherer.fault:
                    gatherer.settle(ident)
                if gathers and taker.printed - before < _FEW_BYTES:
                    self._rest()
                taker.take_flush()
            finally:
                del writing[ident]
                if waiting:
                    write_waiting()
            return flushed

        return flush
