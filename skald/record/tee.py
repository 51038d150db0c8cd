"""Tees: what is written to a stream object also goes to the transcripts of the runs that are open.

The stream stays where it is, and its `write` is replaced in the object itself, so whoever got hold of it before
(loguru's default handler, `logging.basicConfig`, tqdm) is heard. A line is in the transcript when `print` returns.
A program that prints faster than a thousand lines a second only leaves its texts in a list, which a thread takes up
20 times a second; the thread ends when the program has calmed down. Threads that print at once have whole lines each,
also where Python mixes them up in the terminal, unless another begins while one already prints that fast.

Invariant: a stream is left as it was found.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from threading import get_ident
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from skald.record.pace import Pace
from skald.record.screen import LONGEST_LINE
from skald.record.shown import callers, forget, joined, origin, speaker
from skald.record.streams import flush_streams, reconfigurer, replace, streams
from skald.record.transcript import Transcript

if TYPE_CHECKING:
    from skald.record.descriptors import Descriptors

LINE_END_SECS: Final = 0.2
"""How long a thread is given to end its line."""
MOST_PENDING: Final = 1000
"""Pieces of a line that wait for its end."""
MOST_BYTES: Final = 1 << 22
"""What a program that prints faster than it can be written is let ahead; then it waits."""
BATCH: Final = 8192
BATCH_CHARACTERS: Final = 1 << 16
"""So many texts, and about so many characters, are taken up at a time."""

_MOST_BETWEEN: Final = 10
_lock = threading.RLock()
_descriptors: Descriptors | None = None
_transcripts: Final[list[Transcript]] = []
_deep: Final[list[Transcript]] = []
"""The transcripts that get what is written to the descriptors."""
_tees: Final[list[Tee]] = []
_our_code: Final[set[CodeType]] = set()
_draining = False
"""Whether the thread that holds the lock is giving the transcripts what is pending."""


class Tee:
    """A stream object whose `write` and `flush` are replaced."""

    def __init__(self, stream: Any, name: str) -> None:
        """Replace them; nothing is taken until there is a transcript.

        Args:
            stream: what has a `write`.
            name: of the stream; those of one name share a screen.
        """
        self.stream, self.name = stream, name
        self.transcripts: list[Transcript] = []
        self.pending: list[str] = []
        self.begun: dict[int, list[str]] = {}
        """What threads have written of a line, without its end: those that print at once have whole lines each."""
        self._bytes = 0
        """How many have been written to the stream since nothing was pending."""
        self._batch = BATCH
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
        self._restorers = [replace(stream, "write", self._writer(stream.write))]
        if callable(getattr(stream, "flush", None)):
            self._restorers.append(replace(stream, "flush", self._flusher(stream.flush)))
        if type(stream) is io.TextIOWrapper:
            self._restorers.append(replace(stream, "reconfigure", reconfigurer(stream.reconfigure)))
        if type(stream) is io.TextIOWrapper and hasattr(stream.buffer, "__dict__"):
            writer = self._bytes_writer(stream.buffer.write, stream.encoding)
            self._restorers.append(replace(stream.buffer, "write", writer))

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

    def hurry(self, *, hasty: bool) -> None:
        """Leave texts in the list, or no more."""
        self.hasty = hasty and not self.is_behind and self.echo is None
        self.is_alone = self.hasty and len(self._threads) <= 1
        if self.is_alone:
            self.let_go()
        if not hasty:
            self._threads.clear()

    def _writer(self, original: Callable[[str], Any]) -> Callable[[str], Any]:
        take, keep = self._take, self.pending.append

        def write(text: str, /) -> Any:
            try:
                written = original(text)
            except KeyboardInterrupt:  # the stream has it, and shows it later
                take(text)
                raise
            if self.is_alone:
                keep(text)
            else:
                take(text)
            return written

        _our_code.add(write.__code__)
        return write

    def _flusher(self, original: Callable[[], Any]) -> Callable[[], Any]:
        def flush() -> Any:
            flushed = original()
            if not self.is_alone:
                self.let_go(get_ident())
                if self.pending and not self.hasty:
                    _catch_up()
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
                self._wait_for_file()
            if sys._getframe(1).f_code not in _our_code:  # else the stream writes out texts, which are taken already
                self._take(decoder.decode(bytes(data)))
            return written

        return write

    def _wait_for_file(self) -> None:
        """Write what is pending; NOTE: not for ever, as who holds the lock may wait for this stream."""
        lock = _lock
        if lock.acquire(timeout=LINE_END_SECS):
            try:
                _catch_up()
            finally:
                lock.release()

    def _take(self, text: str) -> None:
        if not self.transcripts or (self.is_behind and _is_behind_another()):
            return
        if self.echo is not None and self.echo is threading.current_thread():
            return
        file = speaker()
        if file is not None:
            self.let_go(get_ident())
            _catch_up()
            with _lock:
                self._feed(str(text), besides=file)
            return
        if len(text) <= LONGEST_LINE:
            self._keep(text)
            return
        # NOTE: a copy of a large text costs more than a file takes, by the page faults of new memory
        start = 0
        while start < len(text):
            end = text.rfind("\n", start, start + LONGEST_LINE) + 1 or start + LONGEST_LINE
            self._keep(text[start:end])
            start = end

    def _keep(self, text: str) -> None:
        """Write the lines that a text ends; what is beyond waits for its end, which `print` writes by itself."""
        thread = get_ident()
        self._threads.add(thread)
        end = text.rfind("\n") + 1
        if end and not self.hasty:
            _settle(line=True)
        rest = text[end:] if end and type(text) is str else ""  # NOTE: loguru's know their origin, parts would not
        begun = self.begun.pop(thread, [])  # NOTE: none is lost where a signal handler prints a line just now
        begun.append(text[:end] if rest else text)
        is_whole = end or len(text) == LONGEST_LINE or len(begun) > MOST_PENDING
        if is_whole:
            self.pending.extend(begun)
            begun = [rest] if rest else []
        if begun:
            self.begun[thread] = begun
        if is_whole and not self.hasty:
            _catch_up()

    def let_go(self, *threads: int) -> None:
        """Have written what these threads, or all, have begun, as it is."""
        for thread in threads or list(self.begun):
            self.pending.extend(self.begun.pop(thread, ()))

    def drain(self, most: int | None) -> int:
        """Give the transcripts what is pending, or so many texts of it; return how many that was."""
        texts = self.pending[:most]
        del self.pending[: len(texts)]
        start = self._bytes = 0
        while start < len(texts):
            batch = texts[start : start + self._batch]
            start += len(batch)
            whole = joined(batch)
            if whole is None:
                for text in batch:
                    self._feed(str(text), besides=origin(text))
            else:
                self._feed(whole)
            if whole and start < len(texts):
                # NOTE: all at once would be slower, by the page faults of copies; few at a time too, as each write
                # gives the lock of Python away, which a program that prints gives back late
                self._batch = min(BATCH, max(1, self._batch * BATCH_CHARACTERS // (len(whole) + 1)))
        return len(texts)

    def _feed(self, text: str, *, besides: str | None = None) -> None:
        for transcript in list(self.transcripts) if text else ():
            if besides is None or transcript.file.name != besides:
                transcript.feed(self.name, text)


def tee(transcript: Transcript, *, deep: bool = False) -> None:
    """Have a transcript get what is written to stdout and stderr from now on.

    Args:
        transcript: gets it.
        deep: also what is written to the descriptors below, by C code and child processes.

    Raises:
        OSError: there are no descriptors left, or no process can be started.
    """
    global _pace  # noqa: PLW0603 the process has one
    _settle()
    with _lock:
        if not _tees:
            _pace = Pace(_lock, _drain, _set_hasty)
            forget()
        _let_go()
        _drain()
        _set_hasty(hasty=False)
        heard = [_tee_of(stream, name) for name in ("stdout", "stderr") for stream in streams(name)]
        if deep:
            _begin_descriptors()
            _deep.append(transcript)
        _transcripts.append(transcript)
        for each in heard:
            each.transcripts.append(transcript)
        for each in _tees:
            each.is_behind = each.stream is not getattr(sys, each.name)


def untee(transcript: Transcript) -> None:
    """Write what is pending; streams that nobody listens to any more are left as they were found."""
    _settle()
    if _deep == [transcript]:
        _end_descriptors()
    with _between_lines(transcript):
        for listening in (_transcripts, _deep, *(each.transcripts for each in _tees)):
            if transcript in listening:
                listening.remove(transcript)
        _leave_unheard()
        transcript.finish()
        ended = not _tees
    if ended:
        _pace.stop()


def finish(transcript: Transcript, *, for_good: bool = False) -> None:
    """Write all that a transcript has, also lines that are not finished; for good: and use no other file."""
    _settle()
    with _between_lines(transcript):
        if for_good:
            transcript.leave_folder()
        else:
            transcript.finish()


@contextlib.contextmanager
def _between_lines(transcript: Transcript) -> Iterator[None]:
    """Hold the lock, with all given to the transcripts; where other threads are amid a line, wait a moment for it."""
    deadline = time.monotonic() + LINE_END_SECS
    while True:
        with _lock:
            _drain()
            while transcript.is_amid_line and _drain(1):
                pass
            is_amid_line = transcript.is_amid_line or any(each.begun for each in _tees)
            if not is_amid_line or threading.active_count() == 1 or time.monotonic() > deadline:
                if is_amid_line:  # NOTE: else what has been begun since is for later
                    _let_go()
                    _drain()
                yield
                return
        time.sleep(LINE_END_SECS / 200)


def catch_up() -> None:
    """Write what has been printed so far, all lines that are finished."""
    _settle(line=True)
    _let_go(get_ident())
    with _lock:
        if not _draining:
            _drain()
            for transcript in _transcripts:
                transcript.settle()


def write_unheard(descriptor: int, data: bytes) -> None:
    """Write to a descriptor what is for the terminal alone, as a bar that is being drawn."""
    write = (_descriptors and _descriptors.writer(descriptor)) or (lambda rest: os.write(descriptor, rest))
    while data:
        data = data[write(data) :]


def _catch_up() -> None:
    """Drain for a thread that prints, and show what is unfinished."""
    with _lock:
        _pace.spend(_drain())


def _let_go(*threads: int) -> None:
    """Have written what these threads, or all, have begun."""
    for each in _tees:
        each.let_go(*threads)


def _drain(most: int | None = None) -> int:
    """Give the transcripts what is pending in all streams, or so many texts of each; the lock is held."""
    global _draining  # noqa: PLW0603 the process has one
    if _draining:  # a signal handler prints, or the word that the disk is full
        return 0
    try:
        _draining = True
        texts = sum([each.drain(most) for each in _tees if each.pending])
        for transcript in _transcripts:
            transcript.show()
    finally:
        _draining = False
    return texts


def _feed_descriptor(name: str, text: str) -> None:
    """Print what was written to a descriptor; called by the thread that follows the relay."""
    with _lock:
        for transcript in _deep:
            transcript.feed(name, text)
            transcript.show()


def _settle(*, line: bool = False) -> None:
    if _descriptors is not None:
        _descriptors.settle(line=line)


def _leave_unheard() -> None:
    """Leave streams that nobody listens to as they were found."""
    for each in list(_tees):
        if not each.transcripts:
            _tees.remove(each)
            each.restore()


def _begin_descriptors() -> None:
    """Lead the descriptors to a relay, which takes a while: so long threads have to end what they are writing."""
    global _descriptors  # noqa: PLW0603 the process has one
    if _descriptors is not None:
        return
    from skald.record.descriptors import Descriptors

    try:
        _descriptors = Descriptors(_feed_descriptor)
    except OSError:
        _leave_unheard()
        raise
    for each in _tees:
        each.divert(_descriptors)
    flush_streams()
    _descriptors.redirect()


def _end_descriptors() -> None:
    """Put the descriptors back; the lock is free, as the thread that is waited for needs it."""
    global _descriptors
    ended, _descriptors = _descriptors, None
    flush_streams()
    if ended is not None:
        ended.stop()
    for each in _tees:  # last: until then what they hold knows its way past the relay
        each.divert(None)


def _set_hasty(*, hasty: bool) -> None:
    for each in _tees:
        each.hurry(hasty=hasty)


def _tee_of(stream: Any, name: str) -> Tee:
    for each in _tees:
        if each.stream is stream:
            return each
    _tees.append(Tee(stream, name))
    if _descriptors is not None:
        _tees[-1].divert(_descriptors)
    return _tees[-1]


def _is_behind_another() -> bool:
    """Tell whether a stream is being written to by another that is teed too, which has taken the text."""
    return any(frame.f_code in _our_code for frame in itertools.islice(callers(), 2, _MOST_BETWEEN))


def _after_fork_in_child() -> None:
    """Let the parent write what it has printed; the child has its own lock and thread."""
    global _lock, _pace, _draining  # noqa: PLW0603 as above
    _lock = threading.RLock()
    _pace = Pace(_lock, _drain, _set_hasty)
    _draining = False
    _set_hasty(hasty=False)
    for each in _tees:
        each.after_fork()
    if _descriptors is not None:
        _descriptors.after_fork()
    for transcript in _transcripts:
        transcript.after_fork()


_pace = Pace(_lock, _drain, _set_hasty)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _lock.acquire(),  # noqa: PLW0108 a child has another lock
        after_in_parent=lambda: _lock.release(),  # noqa: PLW0108 as above
        after_in_child=_after_fork_in_child,
    )
