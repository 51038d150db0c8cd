"""A tee: what is written to a stream object is kept too, until those who listen get it.

The stream stays where it is: the `write` of its buffer is replaced in the object itself, see `buffers`, or its own
where it has no such buffer, so whoever got hold of it before (loguru's default handler, `logging.basicConfig`, tqdm) is
heard. Text streams over one buffer share a tee; see `wrappers` for those that write to others. Threads that print at
once have whole lines each, also where Python mixes them up in the terminal, unless one prints very fast.

Invariant: a stream is left as it was found.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final

from skald.errors import is_of_signal
from skald.record.buffers import TeedBuffer
from skald.record.decoding import Decoder
from skald.record.delivery import Delivery
from skald.record.screen import LONGEST_LINE
from skald.record.shown import is_quiet, marked, origin, show, speaker, speaking
from skald.record.streams import buffer_of, descriptor_of, flush, replace, replace_write
from skald.record.transcript import Transcript
from skald.record.turns import Turns
from skald.record.wrappers import Wrapper, is_bottom, is_plain, is_taken_above, wrapping

if TYPE_CHECKING:
    from skald.record.descriptors import Descriptors

MOST_BYTES: Final = 1 << 22
"""What a program that prints faster than the thread writes is let ahead; then it waits."""
MOST_PENDING: Final = 1000
"""Pieces of a line that wait for its end."""
FLUSH_SECS: Final = 0.002
"""After how long a flush has the log written, too, of a program that prints fast."""
LOOK_SECS: Final = 0.001


class Tee:
    """A stream object, or several over one buffer, whose `write` and `flush` are replaced."""

    def __init__(
        self,
        name: str,
        *,
        settle: Callable[[], None],
        catch_up: Callable[[], None],
        wake: Callable[[], None],
        on_lead: Callable[[], None],
        turns: Turns,
    ) -> None:
        """Begin without a stream; nothing is taken until there is a transcript.

        Args:
            name: of the stream; those of one name share a screen.
            settle: waits a moment for what C code and children have printed, which stands above the next line.
            catch_up: drains all tees.
            wake: has the thread do so.
            on_lead: called when a stream has been found to lead to another.
            turns: the order of the tees.
        """
        self.name, self._turns = name, turns
        self.streams: list[Any] = []
        self._below: TeedBuffer | None = None
        """What the streams write bytes to, where those are taken."""
        self.is_unbuffered = False
        """Whether the terminal shows at once what is written."""
        self._settle, self.write_pending, self._wake, self._on_lead = settle, catch_up, wake, on_lead
        self.transcripts: list[Transcript] = []
        self.pending: list[str | bytes] = []
        """Texts, or as bytes."""
        self.begun: dict[int, list[str]] = {}
        """What threads have written of a line, without its end: those that print at once have whole lines each."""
        self.taken: str | None = None
        """The text that was taken last, for who is interrupted as it gives one."""
        self._delivery = Delivery(name)
        self.drained = 0
        """How many texts have been given to the transcripts."""
        self._flushed_at = 0.0
        self.printed = 0
        """How many have been written to the stream since nothing was pending."""
        self.hasty = False
        """Whether texts are only left in the list."""
        self.is_alone = False
        """Whether they are, of one thread, and of this stream, so that they may stand there as they come."""
        self.threads: set[int] = set()
        """Those that have written since it was hasty."""
        self._wrappers: list[Wrapper] = []
        self.may_be_below = False
        """Whether there are streams that may."""
        self.echo: threading.Thread | None = None
        """The thread that prints here what comes by the descriptor, which is taken there; as in notebooks."""
        self._is_taken_below = False
        """Whether what they have become is taken at the descriptor."""
        self._make_seekable: Callable[[], None] = lambda: None
        self._restorers: list[Callable[[], None]] = []

    def add(self, stream: Any) -> None:
        """Replace the methods of a stream's buffer, or its own."""
        buffer = buffer_of(stream)
        wrapper = None if is_bottom(stream) else Wrapper(self.begun, self._on_lead)
        if wrapper is not None and type(buffer) is io.BytesIO:
            buffer = None  # it keeps a copy of what it hands on
        self.streams.append(stream)
        if wrapper is not None:
            self._wrappers.append(wrapper)
            wrapper.leads = False if is_plain(stream) else True if buffer is not None else None
        if wrapper is not None or buffer is None:
            self._replace(stream, wrapper)
        if buffer is not None:
            if self._below is None:
                self._below = TeedBuffer(buffer, stream.encoding, self)
                self._below.begin()  # NOTE: now that it is known, so that it ends where a Ctrl-C comes amid this
                self.is_unbuffered = type(buffer) is io.FileIO
            if wrapper is None or wrapper.leads:
                self._below.add(stream)

    def _replace(self, stream: Any, wrapper: Wrapper | None) -> None:
        writer = partial(self._wrapping_writer, wrapper=wrapper) if wrapper else self._writer
        self._restorers.append(replace_write(stream, writer))
        if callable(getattr(stream, "flush", None)):
            flush = self._wrapping_flusher(stream.flush, wrapper) if wrapper else self._flusher(stream.flush)
            self._restorers.append(replace(stream, "flush", flush))

    @property
    def buffer(self) -> Any:
        """What the streams write bytes to, None where these are not taken."""
        return self._below.buffer if self._below else None

    @property
    def may_lead(self) -> bool:
        """Whether what one of the streams has got, and is taken from it, may get to another tee's."""
        return not all(wrapper.leads for wrapper in self._wrappers)

    def flush(self) -> None:
        """Let the streams write out what they hold; after it no thread is amid a write that began before."""
        for stream in self.streams:
            flush(stream)
        if self._below is not None:
            self._below.await_writers()

    def collect(self) -> None:
        """Have what has been printed very fast written, and taken."""
        if self._below is not None:
            self._below.collect()

    def divert(self, descriptors: Descriptors | None) -> None:
        """Have bytes marked for the relay as Python's own, or no more."""
        for stream in self.streams:
            flush(stream)
        number = max(map(descriptor_of, self.streams), default=-1)
        writer = descriptors.writer(number) if descriptors else None
        if self._below is not None:
            self._is_taken_below = writer is not None and not self._below.is_direct
            self._below.divert(writer if self._below.is_direct else None)
            self._make_seekable()  # as it may be
            self._make_seekable = replace(self.buffer, "seekable", lambda: False) if writer else lambda: None
        self.echo = getattr(self.streams[0], "watch_fd_thread", None) if descriptors else None  # ipykernel's name

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what it will finish, and forget who held the lock."""
        self.pending.clear()
        self.begun.clear()
        if self._below is not None:
            self._below.after_fork()

    def restore(self) -> None:
        """Leave the stream as it was found; what others have put over it since passes everything on."""
        self.hurry(hasty=False)
        for restore in reversed(self._restorers):
            restore()
        if self._below is not None:
            self._below.restore()

    def hurry(self, *, hasty: bool) -> None:
        """Leave texts in the list, or no more."""
        self.hasty = hasty and self.echo is None and not self._is_taken_below
        if not hasty:
            self.threads.clear()
        if self.hasty and (self._turns.last is self or self._turns.are_many):
            self.is_alone = False
            self._be_alone()
        else:
            self.slow_down()

    def slow_down(self) -> None:
        """Take each text as it comes; `collect` what has been printed."""
        self.is_alone = False
        if self._below is not None and self._below.holds:
            self._below.hold_no_more()

    def _be_alone(self) -> None:
        """Let texts stand in the list as they come, many at a time if that may be, else if they are of one thread."""
        if self.may_be_below:
            return
        holds = self._below is not None and is_quiet() and self._below.may_hold()
        if not holds and not self.is_one_thread:
            return
        for begun in list(self.begun.values()):
            self.pending += begun
            del begun[:]
            self.is_alone = True  # NOTE: no call before it, so that nothing more is begun; see `_keep`
        self.is_alone = True
        if self._below is not None and holds:
            self._below.hold()
        elif self._below is not None:
            self._below.hold_no_more()

    def _writer(self, original: Callable[[str], Any]) -> Callable[[str], Any]:
        def write(text: str, /) -> Any:
            self.taken = None
            try:
                written = original(text)
                self.take(text, origin(text))
            except BaseException as error:
                if is_of_signal(error) and self.taken is None:  # the stream has it, and shows it later
                    self.take(text, origin(text))
                raise
            return written

        return write

    def _wrapping_writer(self, original: Callable[[str], Any], wrapper: Wrapper) -> Callable[[str], Any]:
        take = self.take

        def write(text: str, /) -> Any:
            if wrapper.leads and type(text) is str:
                return original(text)
            file = origin(text)
            try:
                written = original(text) if file is None else show(original, text, file)
            except BaseException as error:
                if not wrapper.leads and is_of_signal(error):
                    take(text, by=wrapper)
                raise
            if wrapper.leads:
                return written
            self.taken = None
            try:
                take(text, by=wrapper)
            except BaseException as error:
                if is_of_signal(error) and self.taken is None:
                    take(text, by=wrapper)
                raise
            if "\n" in text:
                wrapper.leads = False
            return written

        wrapping.add(write.__code__)
        return write

    def _flusher(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            self.take_flush()
            return flushed

        return flush

    def _wrapping_flusher(self, original: Callable[[], Any], wrapper: Wrapper) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            if wrapper.leads is None and self.begun.get(get_ident()):
                wrapper.leads = False
            self.take_flush()
            return flushed

        wrapping.add(flush.__code__)
        return flush

    def stay_near(self, *, at_once: bool) -> None:
        """Have the thread write what is pending; have it written at once where that is wanted, or too much."""
        if self.hasty and (at_once or self.printed > MOST_BYTES):
            self.write_pending()
        elif self.hasty:
            self._wake()

    def take(self, text: str, file: str | None = None, by: Wrapper | None = None) -> None:
        """Take a text, of which a file may have the message already."""
        if not self.transcripts or self._is_taken_below or (self.may_be_below and is_taken_above(by)):
            return
        if self.echo is not None and self.echo is threading.current_thread():
            return
        if self.hasty and self._turns.are_many:
            self._be_alone()
        elif self._turns.last is not self:
            self._turns.take(self)
        file = file or (speaker() if speaking else None)
        if file is None:
            self._keep(text)
        else:
            self.let_go(get_ident())
            message = marked(text, file)
            self.taken = text
            self.pending.append(message)
            self.write_pending()

    def _keep(self, text: str) -> None:
        """Write the lines that a text ends; what is beyond waits for its end, which `print` writes by itself."""
        thread = get_ident()
        self.threads.add(thread)
        end = text.rfind("\n") + 1
        if not self.hasty and (end or self.is_unbuffered):
            self._settle()
        rest = text[end:] if end and type(text) is str else ""  # NOTE: loguru's know their origin, parts would not
        begun = self.begun.setdefault(thread, [])
        self.taken = text
        begun.append(text[:end] if rest else text)
        if self.is_alone:  # since this text was written: what comes next overtakes it
            self.let_go(thread)
        if not (end or len(text) >= LONGEST_LINE or len(begun) > MOST_PENDING):
            return
        self.let_go(thread)
        if rest:
            begun.append(rest)
        if not self.hasty:
            self.write_pending()

    def take_flush(self) -> None:
        """Have written what the thread has begun, as the terminal shows it now."""
        if self.hasty:
            before, self._flushed_at = self._flushed_at, time.monotonic()
            if self._flushed_at - before > FLUSH_SECS:
                self.let_go(get_ident())
                self.write_pending()
            return
        thread = get_ident()
        if self.begun.get(thread):
            self._settle()
            self.let_go(thread)
        if self.pending:
            self.write_pending()

    @property
    def is_one_thread(self) -> bool:
        """Whether one thread alone has been seen to print."""
        return len(self.threads) <= 1

    @property
    def is_fast(self) -> bool:
        """Whether what is printed is gathered, until it is collected."""
        return self._below is not None and self._below.holds

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

    def drain(self, most: int) -> int:
        """Give the transcripts so many of the texts that are pending; return what that costs, in small texts."""
        texts = self.pending[: max(most, 0)]
        if not texts:
            return 0
        count = len(texts)
        del self.pending[:count]
        self.drained += count
        self.printed, self._delivery.left = 0, texts  # NOTE: no Ctrl-C is heard from the deletion on
        try:
            return self._delivery.give(self.transcripts, self._below.decoder if self._below else Decoder("utf-8"))
        except BaseException:  # a signal handler's
            self.pending[:0] = self._delivery.left
            self.drained -= len(self._delivery.left)
            raise
