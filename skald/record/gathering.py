"""What text streams give up while much is printed, gathered in a larger buffer: who fills it writes it out.

That buffer is of the class that Python's own streams have, so the threads that print wait for each other as they do
without: what one of them gives up is in its place before the next can give up more.

Invariant: what has been written is taken, and the other way round, wherever a signal handler raises.
"""

from __future__ import annotations

import io
import operator
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any, Final, Protocol

from skald.errors import is_fault
from skald.record.streams import PATIENCE_SECS, await_room, is_of_call
from skald.record.transcript import Transcript

GATHERED_BYTES: Final = 120 << 10
"""What is gathered: writes of more are hardly cheaper, and memory of less is at hand, not taken from the system."""
_LARGE_BYTES: Final = 1 << 14
"""From here on it is cheaper to leave texts to the thread as they are."""
_TOLD_BYTES: Final = 1 << 12
_call: Final[Callable[[Any], Any]] = operator.call
writing: Final[dict[int, list[None] | None]] = {}
"""The threads that are amid a write, each with a mark, or what follows: what a signal handler prints waits for its end.

NOTE: on any stream, as the handler would wait for what the thread holds, and for ever if another thread has the rest.
"""
waiting: Final[list[Gatherer]] = []
"""Those that have something that waits."""
_parents: Final[list[io.BufferedWriter[Any]]] = []
"""Those of the parent, in a forked child: not even their end is to write."""


class Taking(Protocol):
    """Who gets what has been written."""

    transcripts: list[Transcript]
    """Who gets it from there."""
    pending: list[str | bytes]
    """What has been taken."""
    printed: int
    """How many bytes have been written since nothing was pending."""

    def let_go(self) -> None:
        """Take what has been begun, as it is."""

    def write_pending(self) -> None:
        """Have written what is pending."""


class _Below(io.RawIOBase):
    """What a buffer writes to."""

    closed = False  # NOTE: it is asked for at each flush

    def __init__(self, write: Callable[[Any], int | None]) -> None:
        self.write = write  # type: ignore[method-assign]

    def writable(self) -> bool:
        return True

    def truncate(self, action: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Do something: a buffer calls this when it has written all it has, and lets others write after it."""
        return action()


def is_written() -> bool:
    """Tell whether another thread is amid a write, with the lock of a stream's buffer."""
    ident = get_ident()
    return any(mark is not None for each, mark in writing.copy().items() if each != ident)


def write_waiting() -> None:
    """Write what signal handlers have printed amid what this thread was at, and have it taken."""
    ident = get_ident()
    while ready := [gatherer for gatherer in waiting if ident not in gatherer.writing]:
        for gatherer in ready:
            waiting[:] = [other for other in waiting if other is not gatherer]
            gatherer.catch_up()


class Gatherer:
    """Writes many pieces as one, and has them taken."""

    def __init__(self, buffer: Any, taker: Taking, *, is_direct: bool) -> None:
        """Begin with nothing of a buffer's; `is_direct`: nobody writes to another stream amid a write of its own."""
        self._buffer, self._taker = buffer, taker
        self.writing = writing if is_direct else {}
        """The threads that are at it, as of all such streams."""
        self._own: dict[str, Any] = vars(buffer)
        self.on_written: Callable[[Any], Any] | None = None
        """What is to be the buffer's `write` for a moment, when much has been written that others gather."""
        self.has_large = False
        """Whether texts have been seen that are so large that it is cheaper to leave them to the thread as they are."""
        self._is_rest = False
        """Whether a part of what is being emptied has been written."""
        self._write: Callable[[Any], int | None] = buffer.write
        self._flush_before: Callable[[], Any] = lambda: None
        self.aside = io.BytesIO()
        """What is written meanwhile; NOTE: by C code, so that it is in its place before more is written."""
        self._moved: list[Any] = []
        """What has been taken from there, and is to be written."""
        self.has_aside = False
        """Whether there may be some, or another thread is about to put it there."""
        self.raised: dict[int, BaseException] = {}
        """What signal handlers have raised amid a write, which was then ended."""
        self.fault: BaseException | None = None
        """Why something could not be written, until the program has been told when it printed."""
        self.untold = b""
        """The end of that."""
        self._only_for = 0
        """The thread that was interrupted as nobody took what it printed: others would wait, and it for them."""
        self._begin()

    def _begin(self) -> None:
        self._below = _Below(self._empty)
        self._larger: io.BufferedWriter[Any] = io.BufferedWriter(self._below, GATHERED_BYTES)
        self.fast: Callable[[Any], int] = self._larger.write
        """Gathers, in C code: where a signal handler raises, what a text stream gives up is in its place before."""
        self.flush: Callable[[], None] = self._larger.flush
        """Writes what has been gathered, and waits for who else is writing."""

    def lead(self, write: Callable[[Any], int | None], flush_before: Callable[[], Any], *, is_whole: bool) -> None:
        """Write in another way.

        Args:
            write: writes bytes, or some of them.
            flush_before: writes out what was written in other ways before that.
            is_whole: whether that ends its work where a signal handler raises, and tells so by `is_put_off`, or by
                `is_stuck` that nobody takes it.
        """

        def write_whole(data: Any) -> int | None:
            size = len(data)
            try:
                return write(data)
            except BaseException as error:
                if is_fault(error) or not getattr(error, "is_put_off", False):
                    raise
                self.raised[get_ident()] = error
                self._only_for = get_ident() if getattr(error, "is_stuck", False) else 0
            return size

        self._write, self._flush_before = write_whole if is_whole else write, flush_before

    def _empty(self, data: Any) -> int | None:
        """Write what has been gathered, as it is enough, or somebody flushes."""
        try:
            return self._write_out(data)
        except BaseException as error:  # noqa: BLE001 it is raised when what comes is in its place
            self.raised[get_ident()] = error
            return self._write_out(data)

    def _write_out(self, data: Any) -> int | None:
        own, ident, size = self._own, get_ident(), len(data)
        if self._only_for not in (0, ident):
            return None  # so that the buffer gives up
        if self.on_written and "write" in own and own["write"] == self.fast:  # NOTE: no call amid this
            own["write"] = self.on_written
        if ident in self.writing:  # it is flushed
            return self._pass_on([data])
        self.writing[ident] = []
        try:
            written = self._pass_on([data])
        finally:
            del self.writing[ident]
        # NOTE: no call from here on; what comes next had no room
        if not (self._is_rest or GATHERED_BYTES - _LARGE_BYTES < size <= GATHERED_BYTES):
            self.has_large = True
        self._is_rest = written < size
        return written

    def alone(self, action: Callable[[], Any] = lambda: None) -> None:
        """Write what has been gathered, and do something while other threads wait that have more.

        A signal handler that has interrupted a write, which others wait for, does nothing.
        """
        ident = get_ident()
        is_first = ident not in self.writing
        if is_first:
            self.writing[ident] = []
        try:
            self._larger.truncate(action)  # type: ignore[arg-type]
        except RuntimeError as error:  # refused by the buffer, as a signal handler has interrupted its own work
            if not (is_of_call(error) and "reentrant" in str(error)):
                raise
            return  # what is put aside is left to the write that it interrupted
        except BlockingIOError:
            if self._only_for in (0, ident):
                raise
        finally:
            if is_first:
                del self.writing[ident]
        if self.raised or self.has_aside:
            self._end(ident)
        if is_first and waiting:
            write_waiting()

    def put_aside(self, data: Any) -> int:
        """Take what a signal handler prints amid a write, and what is printed before that is written."""
        self.has_aside = True
        size = self.aside.write(data)
        waiting.append(self)  # NOTE: after it, as another thread may write what is there, and forget about it
        write_waiting()
        return size

    def catch_up(self) -> None:
        """Write what has been put aside, and have it in the log."""
        ident = get_ident()
        self.writing[ident] = []
        try:
            self.alone(self.write_aside)
            self._taker.write_pending()
        finally:
            del self.writing[ident]

    def write_aside(self) -> None:
        """Write what has been put aside; called by `alone`."""
        try:
            is_stuck = self._write_all_aside()
        except BaseException:
            self.has_aside = True
            waiting.append(self)
            raise
        if not is_stuck:
            self.has_aside = False  # NOTE: if a signal handler prints before this, it is still in the list

    def _write_all_aside(self) -> bool:
        """Write it, unless nobody takes it; return whether that is so."""
        while self.aside.tell() or self._moved:
            self._moved.extend(map(_call, (self.aside.getvalue, partial(self.aside.seek, 0), self.aside.truncate)))
            while self._moved:
                if self._only_for not in (0, get_ident()):
                    return True
                if self._moved[0]:
                    self._pass_on(self._moved)
                else:  # nothing, or it is what the other calls return
                    del self._moved[0]
        return False

    def settle(self, ident: int) -> None:
        """End what has been put off.

        Raises:
            BaseException: a signal handler has raised it amid a write.
            OSError: something could not be written since the last call.
            ValueError: the buffer is closed.
        """
        self._end(ident)
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault

    def drop(self) -> None:
        """Write no more of what has been gathered, and have it taken."""
        write, self._write = self._write, len
        try:
            self.alone()
        finally:
            self._write = write
        self.untold = b""

    def _end(self, ident: int) -> None:
        if self.has_aside:
            self.alone(self.write_aside)
        error = self.raised.pop(ident, None)
        if error is not None:
            raise error

    def _pass_on(self, pieces: list[Any]) -> int:
        """Write the first of some pieces, or its beginning, and have it taken.

        Returns:
            How many bytes that was.

        Raises:
            BaseException: a signal handler raised it, and nothing was written.
        """
        written: list[Any] = []
        try:
            self._flush_before()
            self._write_first(pieces, written)
            if not self.raised:
                self._only_for = 0
        except BaseException as error:
            if written and written[0] is not None:
                self.raised[get_ident()] = error
            elif is_fault(error) or self._buffer.closed:
                self.fault = error
                self.keep_end(pieces[0])
                written[:] = (len(pieces[0]),)  # as far as the log is concerned
            elif self._is_stuck():
                self.raised[get_ident()] = error
                written[:] = (len(pieces[0]),)  # as above
            else:
                raise
        try:
            self._take_from(pieces, written[0])
        except BaseException as error:  # noqa: BLE001 it is raised when all is in its place
            self.raised[get_ident()] = error
            self._take_from(pieces, written[0])
        size: int = written[0]
        return size

    def _write_first(self, pieces: list[Any], written: list[Any]) -> None:
        """Write the first of some pieces; what comes of it is in its place before a Ctrl-C is heard."""
        written.extend(map(self._write, (pieces[0],)))
        while written[0] is None:  # it does not wait, as a child may have set
            await_room(self._buffer.fileno())
            written[:] = map(self._write, (pieces[0],))

    def _is_stuck(self) -> bool:
        """Tell whether nobody takes what is printed; then it is left to who was interrupted to write more."""
        try:
            is_stuck = not await_room(self._buffer.fileno(), PATIENCE_SECS)
        except (OSError, ValueError):  # closed, or without a descriptor
            return False
        self._only_for = get_ident() if is_stuck else 0
        return is_stuck

    def keep_end(self, data: Any) -> None:
        """Keep the end of what could not be written, so that Python tells of it as it ends."""
        self.untold = bytes(data[-_TOLD_BYTES:])

    def _take_from(self, pieces: list[Any], size: int) -> None:
        taken, rest = bytes(pieces[0][:size]), pieces[0][size:]
        self._taker.let_go()
        # NOTE: no call from here on, nor where this returns to, so that no signal handler is heard
        taker = self._taker
        if taker.transcripts:
            taker.pending += [taken]
        taker.printed += size
        pieces[:1] = [rest] if rest else []

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what has been gathered, and forget who was writing."""
        self._below.write = len  # type: ignore[method-assign,assignment]
        _parents.append(self._larger)
        self._begin()
        self.aside = io.BytesIO()
        self._moved.clear()
        self.raised.clear()
        self.has_aside = False
        waiting.clear()
        for ident in self.writing.keys() - {get_ident()}:  # NOTE: a signal handler may fork amid a write
            del self.writing[ident]
