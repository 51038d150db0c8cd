"""The buffer below text streams, with its `write` replaced: whatever they print, by whomever, is kept too.

Whoever got hold of a stream, or of its `write`, is heard so, and the streams are as they were but for giving the
buffer each text at once. While much is printed they hold texts back, until these are 8 KB, and C code alone gathers
such pieces; whoever collects those writes them, and has them taken. So printing costs what it costs without.

Invariant: all bytes pass one of two functions, either the one that takes them or the one that gathers them.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import math
import operator
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from threading import get_ident
from typing import Any, Final, Protocol

from skald.record.screen import without_colors
from skald.record.shown import message_file, messages, speaking
from skald.record.streams import is_direct, reconfigurer, replace
from skald.record.transcript import Transcript


class Taker(Protocol):
    """Who gets the texts."""

    transcripts: list[Transcript]
    """Who gets them from there."""
    pending: list[str | bytes]
    """What has been taken."""
    threads: set[int]
    """Those that have been seen to print."""
    is_alone: bool
    """Whether texts are only left there."""
    taken: str | None
    """The text that was taken last."""
    lines: int
    """How many were gathered."""
    printed: int
    """How many bytes have been written since nothing was pending."""

    @property
    def is_one_thread(self) -> bool:
        """Whether one thread alone has been seen to print."""

    def take(self, text: str, file: str | None = None) -> None:
        """Take a text, of which a file may have the message already."""

    def let_go(self) -> None:
        """Take what has been begun, as it is."""

    def take_flush(self) -> None:
        """Take what has been begun, as it is shown now."""

    def write_pending(self) -> None:
        """Have written what is pending."""

    def stay_near(self) -> None:
        """Have the thread write what is pending, and wait for it where that is too much."""


MANY_BYTES: Final = 1 << 20
"""What is printed, in bytes, before the thread is called that writes it."""
MOST_BYTES: Final = 1 << 22
"""What a program that prints faster than that is let ahead; then it waits."""
_FEW_BYTES: Final = 1 << 12
_LARGE_BYTES: Final = 1 << 15
_ORDERED: Final = {name: f"{name}-{sys.byteorder[0]}e" for name in ("utf-16", "utf-32")}
"""What those are once their mark has been written."""
_REST_SECS: Final = 0.5
_call: Final[Callable[[Any], Any]] = operator.call
_LOOK_SECS: Final = 0.001
_MOST_LOOKS: Final = 200


class _Stream:
    """A text stream, and its methods as they were found."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        self.text = text
        self.flush = text.flush
        found = text.reconfigure  # NOTE: ours, where another has the same dictionary, as one that stands for it
        self.reconfigure: Callable[..., None] = getattr(found, "__wrapped__", None) or reconfigurer(found)
        self.was_through = text.write_through
        """Whether it gives its buffer each text at once by itself."""

    @property
    def may_hold(self) -> bool:
        """Whether it holds texts back by itself, and writes nothing out at the end of a line.

        NOTE: not one with methods of others, as its `flush` may wait for who has the texts, and that one for us.
        """
        return not (self.was_through or self.text.line_buffering or {"write", "flush"} & vars(self.text).keys())


class TeedBuffer:
    """A buffer whose `write` and `flush` are replaced in the object itself."""

    def __init__(self, buffer: Any, encoding: str, taker: Taker) -> None:
        """Begin to take what is written there."""
        self.buffer = buffer
        self.is_direct = is_direct(buffer)
        """Whether bytes get to the descriptor as they are."""
        self.holds = self._gathers = False
        """Whether the streams hold texts back; and C code gathers them.

        NOTE: where two threads write, only C code keeps the order of what a stream gives up: nothing comes in between.
        """
        self._taker = taker
        self._streams: list[_Stream] = []
        self._take_encoding(encoding)
        self._lock = threading.RLock()
        """Held by who collects."""
        self._gathered = io.BytesIO()
        self._empty = (self._gathered.getvalue, partial(self._gathered.seek, 0), self._gathered.truncate)
        """Calls that take what has been gathered; NOTE: by C code, so that nothing comes in between."""
        self._collected: list[Any] = []
        """What they have returned."""
        self._passed: list[bytes] = []
        """What of it has been written, and is to be taken."""
        self._is_collecting = self._is_behind = False
        """Whether what has been gathered is just being collected; is to be before more is written."""
        self._untold = b""
        """The end of what could not be written, until the program has been told when it printed."""
        self._gather_from = 0.0
        self._quiet = 0
        """The thread that moves texts into the buffer, not further."""
        self._original: Callable[[Any], int] = buffer.write
        self._original_flush: Callable[[], Any] = getattr(buffer, "flush", lambda: None)
        self._put, self._flush = self._original, self._original_flush
        """What writes bytes; and what writes out those that are held back."""
        self._amid: list[int] = []
        """The threads that are writing; NOTE: a lock would have them wait for each other at each text."""
        self._write = self._writer()
        self._restorers = [replace(buffer, "write", self._write)]
        if callable(getattr(buffer, "flush", None)):
            self._restorers.append(replace(buffer, "flush", self._flusher()))

    def add(self, stream: io.TextIOWrapper) -> None:
        """Have a text stream give each text at once."""
        above = _Stream(stream)
        self._streams.append(above)
        self._give_at_once(above)
        self._restorers.append(replace(stream, "reconfigure", self._reconfigurer(above)))

    def divert(self, writer: Callable[[Any], int] | None) -> None:
        """Have bytes written in another way, or no more; on return nobody writes them as before."""
        put, flush = writer or self._original, self._original_flush
        if writer is not None and type(self.buffer) is io.BufferedWriter:
            diverted = _Diverted(writer)
            put, flush = diverted.write, diverted.flush
        with self._alone(), self._gathering():
            for each in (self._put, put):  # NOTE: one may still begin in the first way
                self._put = each
                self.await_writers()
                with contextlib.suppress(OSError, ValueError):  # closed, or its reader is gone
                    self._flush()
            self._flush = flush

    def await_writers(self) -> None:
        """Wait until nobody is amid a write that has begun."""
        amid, self._amid = self._amid, []
        for _ in range(_MOST_LOOKS):  # NOTE: not for ever, as a signal handler may have interrupted one
            if not amid:
                return
            time.sleep(_LOOK_SECS)

    @property
    def _is_amid_here(self) -> bool:
        """Whether this thread is writing, and a signal handler prints; who has the lock may wait for that write."""
        return get_ident() in self._amid

    def _alone(self) -> AbstractContextManager[Any]:
        """Have other threads wait, but for those who wait for what this one is writing."""
        return contextlib.nullcontext() if self._is_amid_here else self._lock

    def may_hold(self) -> bool:
        """Tell whether the streams hold texts back by themselves, and write out nothing at the end of a line."""
        return self.is_direct and self.is_heard and all(stream.may_hold for stream in self._streams)

    def hold(self) -> None:
        """Have texts held back, where that may be and no other stream writes to this one."""
        gathers = time.monotonic() >= self._gather_from
        self._set(holds=gathers or self._taker.is_one_thread, gathers=gathers)

    def hold_no_more(self) -> None:
        """Have each text taken as it comes; `collect` what has been gathered."""
        self._set(holds=False, gathers=False)

    def pause(self) -> None:
        """Gather nothing until `hold`: who prints waits for what is being written."""
        if self._gathers:
            self._set(holds=self._taker.is_one_thread, gathers=False)

    def _rest(self) -> None:
        """Gather nothing for a while."""
        self._gather_from = time.monotonic() + _REST_SECS
        self.pause()

    def _set(self, *, holds: bool, gathers: bool) -> None:
        if (holds, gathers) != (self.holds, self._gathers) and not self._is_amid_here:
            with self._lock:
                self._gathers = gathers
                with self._gathering():
                    self._set_through(through=not holds)
                self.holds = holds

    @contextlib.contextmanager
    def _gathering(self) -> Iterator[None]:
        """Have C code take what is written; so what a stream gives up is in its place before more is written."""
        if not self.is_heard:
            yield
            return
        vars(self.buffer)["write"] = self._gathered.write
        try:
            yield
        finally:
            if not self._gathers:
                self._is_behind = True
                vars(self.buffer)["write"] = self._write

    def collect(self, *, held: bool = True) -> int:
        """Write what has been gathered, and have it taken; also what the text streams hold, if that is wanted.

        Returns:
            How many bytes that was.

        Raises:
            OSError: it cannot be written; it is taken all the same.
            ValueError: the stream is closed.
        """
        if self._is_amid_here or not (self.holds or self._is_behind or self._passed or self._gathered.tell()):
            return 0
        with self._lock:
            if self._is_collecting:  # a signal handler prints meanwhile
                return 0
            self._is_collecting = True
            try:
                if self.holds and held:
                    self._push()
                size, gathered = self._gathered.tell(), self._gathers
                if size > MOST_BYTES:
                    self._rest()
                self.pause()
                self._collected.extend(map(_call, self._empty))
                while self._collected:
                    self._pass_on(self._collected[0])
                if gathered:
                    self.hold()
                self._take_passed()
            except (OSError, ValueError):
                self._gather_from = math.inf  # so that the program is told when it prints
                raise
            finally:
                self._is_collecting = False
                self._is_behind = bool(self._collected or self._passed)
        return size

    def _push(self) -> None:
        """Have the text streams give what they hold."""
        with self._gathering(), self._quietly(), contextlib.suppress(OSError, ValueError):
            for stream in self._streams:
                stream.flush()

    def _pass_on(self, data: Any) -> None:
        if not data:  # nothing was gathered, or it is what the other calls return
            del self._collected[0]
            return
        amid, ident, is_under_way = self._amid, get_ident(), False
        try:
            amid.append(ident)
            is_under_way = True
            self._put(data)
        except OSError:
            self._untold = data[-_FEW_BYTES:]
            raise
        finally:
            if is_under_way:  # NOTE: no call first, so that a Ctrl-C is heard after it
                del self._collected[0]
                self._passed += [data]
            amid.remove(ident)
            self._taker.lines += data.count(b"\n")

    def _take_passed(self) -> None:
        while self._passed:
            text = self.light(self._passed[0])
            self._taker.let_go()
            if self._taker.transcripts:
                self._taker.pending += [text]  # NOTE: no call from here on, so that no Ctrl-C is heard
            del self._passed[0]

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what has been gathered, and forget who held the lock."""
        self._lock = threading.RLock()
        self._is_collecting, self._is_behind, self._quiet = False, False, 0
        list(map(_call, self._empty))
        self._collected.clear()
        self._passed.clear()
        self._amid = []

    def restore(self) -> None:
        """Leave the buffer and its streams as they were found."""
        self.hold_no_more()
        with contextlib.suppress(OSError, ValueError):
            self.collect()
        for stream in reversed(self._streams):  # NOTE: one may stand for another
            self._reconfigure(stream, through=stream.was_through)
        for restore in reversed(self._restorers):
            restore()
        if self._untold:
            with contextlib.suppress(OSError, ValueError):  # Python tells of it as it ends
                self._original(self._untold)

    @property
    def is_heard(self) -> bool:
        """Whether nobody has put another `write` in its place."""
        return vars(self.buffer).get("write") in (self._write, self._gathered.write)

    def _set_through(self, *, through: bool) -> None:
        for stream in self._streams:
            self._reconfigure(stream, through=through or stream.was_through)

    def _reconfigure(self, stream: _Stream, *, through: bool) -> None:
        with self._quietly(), contextlib.suppress(OSError, ValueError):  # closed, or nobody reads any more
            stream.reconfigure(write_through=through)

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Let this thread move texts into the buffer, and not further."""
        with self._alone():
            self._quiet = get_ident()
            try:
                yield
            finally:
                self._quiet = 0

    def _reconfigurer(self, stream: _Stream) -> Callable[..., None]:
        taker = self._taker

        def reconfigure(**options: Any) -> None:
            self.hold_no_more()
            self.collect()
            taker.write_pending()  # NOTE: while its encoding is known
            stream.reconfigure(**options)
            if options.get("write_through") is not None:
                stream.was_through = stream.text.write_through
            self._take_encoding(stream.text.encoding)
            self._give_at_once(stream)

        reconfigure.__wrapped__ = stream.reconfigure  # type: ignore[attr-defined]
        return reconfigure

    def _take_encoding(self, encoding: str) -> None:
        self._is_utf8 = self._is_whole_utf8 = codecs.lookup(encoding).name == "utf-8"
        """Whether the streams write UTF-8, and no character is cut."""
        errors = "surrogateescape" if self._is_utf8 else "backslashreplace"
        ordered = _ORDERED.get(codecs.lookup(encoding).name, encoding)
        self._decoder = codecs.getincrementaldecoder(ordered)(errors)

    def _give_at_once(self, stream: _Stream) -> None:
        with self._alone(), self._gathering():
            self._reconfigure(stream, through=True)

    def decoded(self, data: bytes) -> str:
        """Return the text of bytes that have been written; the beginning of a character is kept for its end."""
        if self._is_whole_utf8:  # NOTE: the decoder is written in Python
            try:
                return data.decode()
            except UnicodeDecodeError:
                pass
        text: str = self._decoder.decode(data)
        self._is_whole_utf8 = self._is_utf8 and not self._decoder.getstate()[0]
        return text

    def light(self, data: bytes) -> str | bytes:
        """Return the text of bytes without colours, as it is where it is ASCII."""
        data = without_colors(data) if self._is_utf8 and b"\x1b" in data else data
        return data if self._is_utf8 and data.isascii() else self.decoded(data)

    def _writer(self) -> Callable[[Any], Any]:
        taker, keep, gathered = self._taker, self._taker.pending.append, self._gathered.tell
        threads = taker.threads

        def write(data: Any, /) -> Any:
            ident = get_ident()
            if ident in self._amid:  # a signal handler prints amid a write, which comes first
                self._is_behind = True
                return self._gathered.write(data)
            if self._is_behind or gathered():
                self.collect(held=False)
            file = message_file(sys._getframe(1)) if messages else None
            is_left = (taker.is_alone or self.holds) and file is None and not speaking and type(data) is bytes
            is_under_way, is_written, text = False, False, None
            threads.add(ident)
            amid = self._amid
            try:
                try:
                    amid.append(ident)
                    is_under_way = True
                    written = self._put(data)
                except OSError:
                    self._untold = b""
                    raise
                finally:
                    amid.remove(ident)
                is_written = True
                if is_left:
                    keep(data)  # NOTE: no Ctrl-C is heard between two calls, so none comes here before it is kept
                else:
                    taker.taken, text = None, self.decoded(bytes(data))
                    taker.take(text, file)
            except (KeyboardInterrupt, SystemExit):  # of a signal handler; the stream has it, and shows it later
                is_kept = is_written if is_left else text is not None and taker.taken is text
                if is_under_way and not is_kept:
                    taker.take(self.decoded(bytes(data)), file)
                raise
            size = len(data)
            taker.printed += size
            if size > _LARGE_BYTES:
                self._gather_from = time.monotonic() + _REST_SECS
            if taker.printed > MANY_BYTES and not self._quiet:
                taker.stay_near()
            return written

        return write

    def _flusher(self) -> Callable[[], Any]:
        taker, gathered = self._taker, self._gathered.tell

        def flush() -> Any:
            if self._quiet and self._quiet == get_ident():
                return None
            if self._gathers and gathered() < _FEW_BYTES:  # each is to be on its way at once
                self._rest()
            if gathered() or self._is_behind:
                self.collect(held=False)
            if self._is_amid_here:
                return None
            flushed = self._flush()
            taker.take_flush()
            return flushed

        return flush


class _Diverted:
    """Writes bytes in another way, as seldom as the buffer that it takes the place of."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write
        self._held: list[bytes] = []
        self._size = 0
        self._lock = threading.RLock()

    def write(self, data: Any) -> int:
        """Write, or hold back until it is worth it."""
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size > io.DEFAULT_BUFFER_SIZE:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Write what is held back."""
        with self._lock:
            held = self._held[:]
            data = b"".join(held)
            del self._held[: len(held)]
            self._size = 0
            if data:
                self._write(data)
