"""A tee: what is written to a stream object is kept too, until those who listen get it.

The stream stays where it is, and its `write` is replaced in the object itself, so whoever got hold of it before
(loguru's default handler, `logging.basicConfig`, tqdm) is heard. Text streams over one buffer share a tee; see
`wrappers` for those that write to others. Threads that print at once have whole lines each, also where Python mixes
them up in the terminal, unless another begins while one already prints very fast.

Invariant: a stream is left as it was found.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable, Iterable
from threading import get_ident
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from skald.record.delivery import Delivery
from skald.record.screen import LONGEST_LINE
from skald.record.shown import marked, origin, show, speaker, speaking
from skald.record.streams import buffer_of, is_direct, pass_through, reconfigurer, replace
from skald.record.transcript import Transcript
from skald.record.turns import Turns
from skald.record.wrappers import Wrapper, is_bottom, is_plain, is_taken_above, wrapping

if TYPE_CHECKING:
    from skald.record.descriptors import Descriptors

MOST_PENDING: Final = 1000
"""Pieces of a line that wait for its end."""
MANY_BYTES: Final = 1 << 20
"""What is printed, in bytes, before the thread is called that writes it."""
MOST_BYTES: Final = 1 << 22
"""What a program that prints faster than that is let ahead; then it waits."""
LOOK_SECS: Final = 0.001
MOST_LOOKS: Final = 200
"""How often it looks whether it may go on; not for ever, as who is writing may wait for this stream."""
NO_HURRY: Final = -1.0
BY_THREAD: Final = 0.0

_our_code: Final[list[CodeType]] = []
"""NOTE: no set, as to hash code takes five times as long as to look through these."""


class Tee:
    """A stream object, or several over one buffer, whose `write` and `flush` are replaced."""

    def __init__(
        self,
        name: str,
        *,
        settle: Callable[[], None],
        catch_up: Callable[[float], None],
        on_lead: Callable[[], None],
        turns: Turns,
    ) -> None:
        """Begin without a stream; nothing is taken until there is a transcript.

        Args:
            name: of the stream; those of one name share a screen.
            settle: waits a moment for what C code and children have printed, which stands above the next line.
            catch_up: has all tees drained, as soon as it can; or within these seconds, or not at all; or by the thread.
            on_lead: called when a stream has been found to lead to another.
            turns: the order of the tees.
        """
        self.name, self._turns = name, turns
        self.streams: list[Any] = []
        self.buffer: Any = None
        """What the streams write bytes to, if it is teed too."""
        self._settle, self._catch_up, self._on_lead = settle, catch_up, on_lead
        self.transcripts: list[Transcript] = []
        self.pending: list[str] = []
        self.begun: dict[int, list[str]] = {}
        """What threads have written of a line, without its end: those that print at once have whole lines each."""
        self._taken: str | None = None
        """The text that was taken last, for who is interrupted as it gives one."""
        self._delivery = Delivery(name)
        self.drained = 0
        """How many texts have been given to the transcripts."""
        self._bytes = 0
        """How many have been written to the stream since nothing was pending."""
        self.hasty = False
        """Whether texts are only left in the list."""
        self.is_alone = False
        """Whether they are, of one thread, and of this stream, so that they may stand there as they come."""
        self._threads: set[int] = set()
        """Those that have written since it was hasty."""
        self._wrappers: list[Wrapper] = []
        self.may_be_below = False
        """Whether there are streams that may."""
        self.diverted: Callable[[Any], int] | None = None
        """What writes bytes in place of the stream's buffer."""
        self._way = threading.RLock()
        """Held while bytes are written, so that none go the one way once the other is open."""
        self.echo: threading.Thread | None = None
        """The thread that prints here what comes by the descriptor, which is taken there; as in notebooks."""
        self._is_direct = True
        """Whether bytes get to the descriptor as they are."""
        self._is_taken_below = False
        """Whether what they have become is taken at the descriptor."""
        self._make_seekable: Callable[[], None] = lambda: None
        self._restorers: list[Callable[[], None]] = []
        self._writes: list[Callable[[str], Any]] = []

    def add(self, stream: Any) -> None:
        """Replace the methods of a stream; of its buffer too, unless another stream over it has come before."""
        buffer = buffer_of(stream)
        wrapper = None if is_bottom(stream) else Wrapper(self.begun, self._on_lead)
        if wrapper is not None and type(buffer) is io.BytesIO:
            buffer = None  # it keeps a copy of what it hands on
        if wrapper is not None and is_plain(stream):
            wrapper.leads = False
        elif wrapper is not None and buffer is not None:
            wrapper.leads = True
            self._restorers.append(pass_through(stream))
        if wrapper is not None:
            self._wrappers.append(wrapper)
        write = self._wrapping_writer(stream.write, wrapper) if wrapper else self._writer(stream.write)
        self.streams.append(stream)
        self._writes.append(write)
        self._restorers.append(replace(stream, "write", write))
        if callable(getattr(stream, "flush", None)):
            flush = self._wrapping_flusher(stream.flush, wrapper) if wrapper else self._flusher(stream.flush)
            self._restorers.append(replace(stream, "flush", flush))
        if isinstance(stream, io.TextIOWrapper):
            self._restorers.append(replace(stream, "reconfigure", reconfigurer(stream.reconfigure)))
            self._restorers.append(replace(stream, "writelines", _lines_writer(write)))
        if buffer is not self.buffer:
            self.buffer = buffer
            self._is_direct = is_direct(buffer)
            self._restorers.append(replace(buffer, "write", self._bytes_writer(buffer.write, stream.encoding)))

    @property
    def may_lead(self) -> bool:
        """Whether what one of the streams has got, and is taken from it, may get to another tee's."""
        return not all(wrapper.leads for wrapper in self._wrappers)

    def flush(self) -> None:
        """Let the streams write out what they hold; after it no thread is amid a write that began before."""
        with self._way:  # NOTE: no other thread then overtakes the text that is on its way
            for stream in self.streams:
                with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or its reader is gone
                    stream.flush()

    def divert(self, descriptors: Descriptors | None) -> None:
        """Have bytes marked for the relay as Python's own, or no more."""
        number = -1
        with self._way:
            for stream in self.streams:
                with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or without a descriptor
                    stream.flush()
                    number = stream.fileno()
            writer = descriptors.writer(number) if descriptors else None
            self._is_taken_below = writer is not None and not self._is_direct
            self.diverted = writer if self._is_direct else None
            self._make_seekable()  # as it may be
            self._make_seekable = lambda: None
            if writer is not None and self.buffer is not None:
                self._make_seekable = replace(self.buffer, "seekable", lambda: False)
        self.echo = getattr(self.streams[0], "watch_fd_thread", None) if descriptors else None  # ipykernel's name

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what it will finish, and forget who held the lock."""
        self.pending.clear()
        self.begun.clear()
        self._way = threading.RLock()

    def restore(self) -> None:
        """Leave the stream as it was found; what others have put over it since passes everything on."""
        self.hurry(hasty=False)
        for restore in reversed(self._restorers):
            restore()

    @property
    def is_heard(self) -> bool:
        """Whether nobody has put another `write` over it, or in its place."""
        writes = [vars(stream).get("write") for stream in self.streams]
        return writes == self._writes

    def hurry(self, *, hasty: bool) -> None:
        """Leave texts in the list, or no more."""
        self.hasty = hasty and self.echo is None and not self._is_taken_below
        self.is_alone = False
        if self._turns.last is self:
            self._be_alone()
        if not hasty:
            self._threads.clear()

    def _be_alone(self) -> None:
        """Let texts stand in the list as they come, if they are of one thread."""
        if self.hasty and not self.may_be_below and len(self._threads) <= 1:
            self.let_go()
            self.is_alone = True

    def _writer(self, original: Callable[[str], Any]) -> Callable[[str], Any]:
        take, keep, messages = self._take, self.pending.append, speaking

        def write(text: str, /) -> Any:
            try:
                written = original(text)
            except KeyboardInterrupt:  # the stream has it, and shows it later
                (keep if self.is_alone and not messages else take)(text)
                raise
            if self.is_alone and not messages:
                keep(text)  # NOTE: no Ctrl-C is heard between two calls, so none comes here before it is kept
                return written
            self._taken = None
            try:
                take(text)
            except KeyboardInterrupt:
                if self._taken is None:
                    take(text)
                raise
            return written

        _note(write)
        return write

    def _wrapping_writer(self, original: Callable[[str], Any], wrapper: Wrapper) -> Callable[[str], Any]:
        take = self._take

        def write(text: str, /) -> Any:
            if wrapper.leads and type(text) is str:
                return original(text)
            file = origin(text)
            try:
                written = original(text) if file is None else show(original, text, file)
            except KeyboardInterrupt:
                if not wrapper.leads:
                    take(text, wrapper)
                raise
            if wrapper.leads:
                return written
            self._taken = None
            try:
                take(text, wrapper)
            except KeyboardInterrupt:
                if self._taken is None:
                    take(text, wrapper)
                raise
            if "\n" in text:
                wrapper.leads = False
            return written

        wrapping.add(write.__code__)
        return write

    def _flusher(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            if not self.is_alone:
                self._let_go_flushed()
            return flushed

        _note(flush)
        return flush

    def _wrapping_flusher(self, original: Callable[[], Any], wrapper: Wrapper) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            if wrapper.leads is None and self.begun.get(get_ident()):
                wrapper.leads = False
            self._let_go_flushed()
            return flushed

        wrapping.add(flush.__code__)
        return flush

    def _bytes_writer(self, original: Callable[[Any], Any], encoding: str) -> Callable[[Any], Any]:
        decoder, keep = codecs.getincrementaldecoder(encoding)(errors="replace"), self.pending.append

        def take(text: str) -> None:
            if self.is_alone and not speaking:
                self._taken = text
                keep(text)
            else:
                self._take(text)

        def write(data: Any, /) -> Any:
            # NOTE: a stream that writes out its texts is called by us, and they are taken already
            text = "" if sys._getframe(1).f_code in _our_code else decoder.decode(bytes(data))
            is_under_way, self._taken = False, None
            try:
                with self._way:
                    is_under_way = True
                    written = (self.diverted or original)(data)
                self._bytes += len(data)
                if self.hasty and self._bytes > MANY_BYTES:
                    self._stay_near()
                if text:
                    take(text)
            except KeyboardInterrupt:
                if text and is_under_way and self._taken is not text:
                    take(text)
                raise
            return written

        return write

    def _stay_near(self) -> None:
        """Have the thread write what is pending, and wait for it where that is too much."""
        self._catch_up(BY_THREAD)
        for _ in range(MOST_LOOKS):
            if self._bytes <= MOST_BYTES or not self.hasty:
                return
            time.sleep(LOOK_SECS)
        self._catch_up(LOOK_SECS)

    def _take(self, text: str, by: Wrapper | None = None) -> None:
        if not self.transcripts or self._is_taken_below or (self.may_be_below and is_taken_above(by)):
            return
        if self.echo is not None and self.echo is threading.current_thread():
            return
        if self._turns.last is not self:
            self._turns.take(self)
        file = speaker()
        if file is None:
            self._keep(text)
        else:
            self.let_go(get_ident())
            message = marked(text, file)
            self._taken = text
            self.pending.append(message)
            self._catch_up(NO_HURRY)

    def _keep(self, text: str) -> None:
        """Write the lines that a text ends; what is beyond waits for its end, which `print` writes by itself."""
        thread = get_ident()
        self._threads.add(thread)
        end = text.rfind("\n") + 1
        if not self.hasty and (end or self.is_unbuffered):
            self._settle()
        rest = text[end:] if end and type(text) is str else ""  # NOTE: loguru's know their origin, parts would not
        begun = self.begun.setdefault(thread, [])
        self._taken = text
        begun.append(text[:end] if rest else text)
        if not (end or len(text) >= LONGEST_LINE or len(begun) > MOST_PENDING):
            return
        self.let_go(thread)
        if rest:
            begun.append(rest)
        elif self._turns.are_many:
            self._be_alone()
        if not self.hasty:
            self._catch_up(NO_HURRY)

    def _let_go_flushed(self) -> None:
        """Have written what the thread has begun, as the terminal shows it now."""
        thread = get_ident()
        if not self.hasty and self.begun.get(thread):
            self._settle()
        self.let_go(thread)
        if self.pending and not self.hasty:
            self._catch_up(NO_HURRY)

    @property
    def is_unbuffered(self) -> bool:
        """Whether the terminal shows at once what is written."""
        return type(self.buffer) is io.FileIO

    @property
    def got(self) -> int:
        """How many texts the stream has got, those that wait among them."""
        return self.drained + len(self.pending)

    @property
    def is_amid_line(self) -> bool:
        """Whether a thread has begun a line."""
        return any(list(self.begun.values()))

    def let_go(self, *threads: int) -> None:
        """Have written what these threads, or all, have begun, as it is."""
        for thread in threads or list(self.begun):
            begun = self.begun.get(thread)
            if begun:
                # NOTE: no call between the two, so that a signal handler, or another thread, finds them here or there
                self.pending += begun
                del begun[:]

    def drain(self, most: int | None) -> int:
        """Give the transcripts what is pending, or so many texts of it; return what that costs, in small texts."""
        texts = self.pending[:most]
        count = len(texts)
        del self.pending[:count]
        self.drained += count
        self._bytes, self._delivery.left = 0, texts  # NOTE: no Ctrl-C is heard from the deletion on
        try:
            return self._delivery.give(self.transcripts)
        except KeyboardInterrupt:
            self.pending[:0] = self._delivery.left
            self.drained -= len(self._delivery.left)
            raise


def _lines_writer(write: Callable[[str], Any]) -> Callable[[Iterable[str]], None]:
    def writelines(lines: Iterable[str], /) -> None:
        with contextlib.suppress(TypeError):  # NOTE: then what stands before the odd one is written all the same
            lines = ["".join(lines)] if type(lines) is list else lines
        for line in lines:
            write(line)

    return writelines


def _note(method: Callable[..., Any]) -> None:
    if method.__code__ not in _our_code:
        _our_code.append(method.__code__)
