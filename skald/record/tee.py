"""A tee: what is written to a stream object is kept too, until those who listen get it.

The stream stays where it is, and its `write` is replaced in the object itself, so whoever got hold of it before
(loguru's default handler, `logging.basicConfig`, tqdm) is heard. Threads that print at once have whole lines each, also
where Python mixes them up in the terminal, unless another begins while one already prints very fast.

Invariant: a stream is left as it was found.
"""

from __future__ import annotations

import codecs
import io
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from threading import get_ident
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from skald.record.screen import LONGEST_LINE
from skald.record.shown import callers, joined, marked, origin, speaker, speaking
from skald.record.streams import reconfigurer, replace
from skald.record.transcript import Transcript

if TYPE_CHECKING:
    from skald.record.descriptors import Descriptors

MOST_PENDING: Final = 1000
"""Pieces of a line that wait for its end."""
MOST_BYTES: Final = 1 << 22
"""What a program that prints faster than it can be written is let ahead; then it waits."""
PATIENCE_SECS: Final = 0.2
"""How long it waits; not for ever, as who is writing may wait for this stream."""
NO_HURRY: Final = -1.0
MOST_TEXTS: Final = 8192
BATCH_CHARACTERS: Final = 1 << 19
"""So many texts at most, and about so many characters, are written at a time."""

_FIRST_TEXTS: Final = 64
_MOST_BETWEEN: Final = 10
_our_code: Final[set[CodeType]] = set()


class Tee:
    """A stream object whose `write` and `flush` are replaced."""

    def __init__(
        self, stream: Any, name: str, *, settle: Callable[[], None], catch_up: Callable[[float], None]
    ) -> None:
        """Replace them; nothing is taken until there is a transcript.

        Args:
            stream: what has a `write`.
            name: of the stream; those of one name share a screen.
            settle: waits a moment for what C code and children have printed, which stands above the next line.
            catch_up: has all tees drained, as soon as it can; or within these seconds, or not at all.
        """
        self.stream, self.name = stream, name
        self._settle, self._catch_up = settle, catch_up
        self.transcripts: list[Transcript] = []
        self.pending: list[str] = []
        self.begun: dict[int, list[str]] = {}
        """What threads have written of a line, without its end: those that print at once have whole lines each."""
        self._taken: str | None = None
        """The text that was taken last, for who is interrupted as it gives one."""
        self._is_given = True
        """Whether the texts that are being written have got to the transcripts."""
        self._bytes = 0
        """How many have been written to the stream since nothing was pending."""
        self._texts = _FIRST_TEXTS
        """How many are written at a time."""
        self.hasty = False
        """Whether texts are only left in the list; never of a stream that may stand behind another."""
        self.is_alone = False
        """Whether they are, and of one thread, so that they may stand there as they come: the rest would be slower."""
        self._threads: set[int] = set()
        """Those that have written since it was hasty."""
        self.is_behind = False
        """Whether it is not the one in `sys`: what is written there may come here too."""
        self.diverted: Callable[[Any], int] | None = None
        """What writes bytes in place of the stream's buffer."""
        self._way = threading.RLock()
        """Held while bytes are written, so that none go the one way once the other is open."""
        self.echo: threading.Thread | None = None
        """The thread that prints here what comes by the descriptor, which is taken there; as in notebooks."""
        self._write = self._writer(stream.write)
        self._restorers = [replace(stream, "write", self._write)]
        if callable(getattr(stream, "flush", None)):
            self._restorers.append(replace(stream, "flush", self._flusher(stream.flush)))
        if type(stream) is io.TextIOWrapper:
            self._restorers.append(replace(stream, "reconfigure", reconfigurer(stream.reconfigure)))
        if type(stream) is io.TextIOWrapper and hasattr(stream.buffer, "__dict__"):
            writer = self._bytes_writer(stream.buffer.write, stream.encoding)
            self._restorers.append(replace(stream.buffer, "write", writer))

    def flush(self) -> None:
        """Let the stream write out what it holds; NOTE: no other thread then overtakes the text that is on its way."""
        with self._way:
            self.stream.flush()

    def divert(self, descriptors: Descriptors | None) -> None:
        """Have bytes marked for the relay as Python's own, or no more."""
        with self._way:
            try:
                self.stream.flush()
                number = self.stream.fileno()
            except (OSError, ValueError, AttributeError):  # closed, or without a descriptor
                number = -1
            self.diverted = descriptors.writer(number) if descriptors else None
        self.echo = getattr(self.stream, "watch_fd_thread", None) if descriptors else None  # the name is ipykernel's

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what it will finish, and forget who held the lock."""
        self.pending.clear()
        self.begun.clear()
        self._way = threading.RLock()

    def restore(self) -> None:
        """Leave the stream as it was found; what others have put over it since passes everything on."""
        self.hurry(hasty=False)
        for restore in self._restorers:
            restore()

    @property
    def is_heard(self) -> bool:
        """Whether nobody has put another `write` over it, or in its place."""
        return vars(self.stream).get("write") is self._write

    def hurry(self, *, hasty: bool) -> None:
        """Leave texts in the list, or no more."""
        self.hasty = hasty and not self.is_behind and self.echo is None
        self.is_alone = self.hasty and len(self._threads) <= 1
        if self.is_alone:
            self.let_go()
        if not hasty:
            self._threads.clear()

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

        _our_code.add(write.__code__)
        return write

    def _flusher(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            if not self.is_alone:
                self.let_go(get_ident())
                if self.pending and not self.hasty:
                    self._catch_up(NO_HURRY)
            return flushed

        _our_code.add(flush.__code__)
        return flush

    def _bytes_writer(self, original: Callable[[Any], Any], encoding: str) -> Callable[[Any], Any]:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

        def write(data: Any, /) -> Any:
            with self._way:
                written = (self.diverted or original)(data)
            self._bytes += len(data)
            if self.hasty and self._bytes > MOST_BYTES:
                self._catch_up(PATIENCE_SECS)
            if sys._getframe(1).f_code not in _our_code:  # else the stream writes out texts, which are taken already
                self._take(decoder.decode(bytes(data)))
            return written

        return write

    def _take(self, text: str) -> None:
        if not self.transcripts or (self.is_behind and _is_behind_another()):
            return
        if self.echo is not None and self.echo is threading.current_thread():
            return
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
        if end and not self.hasty:
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
        if not self.hasty:
            self._catch_up(NO_HURRY)

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
        """Give the transcripts what is pending, or so many texts of it; return how many that was."""
        texts = self.pending[:most]
        del self.pending[: len(texts)]
        start = end = self._bytes = 0
        try:
            while (start := end) < len(texts):
                self._is_given = False
                batch = texts[start : start + self._texts]
                end = start + len(batch)
                whole = joined(batch)
                if whole is None:
                    for text in batch:
                        self._feed(str(text), besides=origin(text))
                    continue
                for piece in _pieces(whole):
                    self._feed(piece)
                # NOTE: more at once would be slower, by the page faults of copies; fewer too, as each write gives the
                # lock of Python away, which a program that prints gives back late
                self._texts = max(1, min(MOST_TEXTS, len(batch) * BATCH_CHARACTERS // (len(whole) + 1)))
        except KeyboardInterrupt:
            self.pending[:0] = texts[end if self._is_given else start :]
            raise
        return len(texts)

    def _feed(self, text: str, *, besides: str | None = None) -> None:
        self._is_given = True
        for transcript in list(self.transcripts) if text else ():
            if besides is None or transcript.file.name != besides:
                transcript.file.is_writing = False
                try:
                    transcript.feed(self.name, text)
                except KeyboardInterrupt:
                    if not transcript.file.is_writing:
                        transcript.feed(self.name, text)
                    raise


def _pieces(text: str) -> Iterator[str]:
    """Cut a large text at the ends of lines."""
    start = 0
    while len(text) - start > BATCH_CHARACTERS:
        end = text.rfind("\n", start, start + BATCH_CHARACTERS) + 1 or start + BATCH_CHARACTERS
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _is_behind_another() -> bool:
    """Tell whether a stream is being written to by another that is teed too, which has taken the text."""
    return any(frame.f_code in _our_code for frame in itertools.islice(callers(), 2, _MOST_BETWEEN))
