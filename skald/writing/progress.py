"""Loops that are followed: each item becomes an id, and a bar shows how far the loop is.

There is no thread: a bar is drawn anew when a loop of the process comes to its next item, ten times a second at
most. The values beside it are read where log calls have stored them, and no log call does anything for them.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Final, TypeVar

from skald.errors import InvalidInputError, SkaldError
from skald.schema import Id, check_id_name, plain_id
from skald.writing.board import Board, Loop, find_board
from skald.writing.calls import Calls

T = TypeVar("T")

MOST_VALUES: Final = 4
"""Metrics beside a bar."""
SILENT_PREFIX: Final = "system/"


class Stage:
    """The loops of this process that are under way, and where they are shown."""

    def __init__(self) -> None:
        """Begin without loops."""
        self.next_at = 0.0
        """When to draw, by the monotonic clock; a loop need not ask before."""
        self._loops: list[tuple[Loop, Calls]] = []
        self._board: Board | None = None
        self._shown: list[Loop] = []
        self._values: dict[str, tuple[int, float]] = {}
        self._lock = threading.RLock()
        self._is_busy = False

    def enter(self, loop: Loop, calls: Calls) -> None:
        """Follow another loop."""
        with self._lock:
            if not self._loops:
                self._begin()
            self._loops.append((loop, calls))

    def _begin(self) -> None:
        """Look for the place to show loops at, which may be another one than for those before."""
        self._values.clear()
        self._board = find_board()
        if self._board is None:
            self.next_at = math.inf
        elif not self._board.shows_first:
            self.next_at = time.monotonic() + self._board.period_secs
        elif self.next_at == math.inf:
            self.next_at = 0.0

    def draw(self) -> None:
        """Show how far all loops are."""
        with self._at_work() as board:
            self.next_at = time.monotonic() + board.period_secs if board else math.inf
            self._shown = [loop for loop, _ in self._loops]
            if board and self._shown:
                board.draw(self._shown, self._newest())

    def leave(self, loop: Loop, calls: Calls) -> None:
        """Show the last state of a loop that has ended, unless another one goes on around it."""
        with self._lock:
            if (loop, calls) not in self._loops:  # in a forked child
                return
            self._loops.remove((loop, calls))
            if self._loops:
                if loop in self._shown and self._board and self._board.shows_first:
                    self.draw()
            else:
                with self._at_work() as board:
                    if board:
                        board.finish(loop, self._newest(calls))
                self._shown = []

    def abandon(self) -> None:
        """Leave it all to the parent, in a forked child."""
        if self._board:
            self._board.abandon()
        self._board, self._loops, self._shown, self._is_busy = None, [], [], False
        self._lock = threading.RLock()
        self.next_at = math.inf

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[Board | None]:
        """Give the board to one at a time; a place that takes nothing any more is given up."""
        with self._lock:
            if self._is_busy:  # this call interrupted the drawing, as a signal handler does
                yield None
                return
            self._is_busy = True
            try:
                yield self._board
            except (OSError, ValueError):
                self._board, self.next_at = None, math.inf
            finally:
                self._is_busy = False

    def _newest(self, *others: Calls) -> dict[str, float]:
        """Return the newest values of the last few metrics, in order of their first appearance."""
        for session in dict.fromkeys(calls.session for calls in (*(calls for _, calls in self._loops), *others)):
            for name, newest in session.newest().items():
                if not name.startswith(SILENT_PREFIX):
                    self._values[name] = newest
        last = sorted(self._values, key=lambda name: self._values[name][0])[-MOST_VALUES:]
        return {name: value for name, (_, value) in self._values.items() if name in last}


_stage: Final = Stage()
_nowhere: Final = Stage()
_nowhere.next_at = math.inf

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stage.abandon)


def track(
    calls: Calls, iterable: Iterable[T], name: str, *, total: int | None = None, description: str | None = None
) -> Iterator[T]:
    """Go through a loop with the id `name` set to each item, and then again to what it was.

    Raises:
        InvalidInputError: there is nothing to go through; the name cannot be an id's; the total is no number.
    """
    try:
        items = iter(iterable)
    except TypeError as error:
        raise InvalidInputError(f"track goes through an iterable, got {type(iterable).__name__}") from error
    try:
        check_id_name(name)
        _check_total(total)
    except SkaldError as error:
        calls.refuse(error)
        return items
    length = _length(iterable)
    start = total - length if total is not None and length is not None and length < total else 0
    loop = Loop(name if description is None else str(description), length if total is None else total, start)
    numbered = enumerate(items)
    return _Track(lambda: _tracked(calls, numbered, name, loop))


class _Track(Iterator[T]):
    """What a loop goes through; a `for` has an iterator of its own, which goes when it ends, also where this stays."""

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self._begin = begin
        self._begun: Iterator[T] | None = None

    def __iter__(self) -> Iterator[T]:  # noqa: PYI034  the loop is to be the only one that has it
        begun, self._begun = self._begun, None
        return self._begin() if begun is None else begun

    def __next__(self) -> T:
        if self._begun is None:
            self._begun = self._begin()
        return next(self._begun)


def _tracked(calls: Calls, numbered: Iterator[tuple[int, T]], name: str, loop: Loop) -> Iterator[T]:
    before = calls.scope.said(name)
    stage, clock, put, start = _stage if _draws(calls) else _nowhere, time.monotonic, calls.put_ids, loop.start
    loop.began = clock()
    if stage is _stage:
        stage.enter(loop, calls)
    position = loop.done - start - 1
    try:
        for position, item in numbered:
            if not put({name: item if type(item) is int else _as_id(item, position)}):
                put({name: None})  # refused: no row shall have the id of the item before
            loop.done = start + position
            if clock() >= stage.next_at:
                stage.draw()
            yield item
        loop.done = start + position + 1
    finally:
        if stage is _stage and not sys.is_finalizing():  # by a generator that somebody held to the end
            stage.leave(loop, calls)
        with calls.session.lock:
            calls.scope.restore(name, before)


def _draws(calls: Calls) -> bool:
    """Tell whether this process shows loops: the first of its run, and no worker of multiprocessing."""
    process = sys.modules.get("multiprocessing.process")
    is_worker = process is not None and process.parent_process() is not None
    return not (is_worker or calls.session.joined or calls.session.forked)


def _length(iterable: object) -> int | None:
    if not isinstance(iterable, Sized):
        return None
    try:
        return len(iterable)
    except (TypeError, NotImplementedError):  # Torch's loaders of streams have a length only in name
        return None


def _check_total(total: object) -> None:
    if total is not None and (isinstance(total, bool) or not isinstance(total, int) or total < 0):
        raise InvalidInputError(f"total must be how many items there are, got {total!r:.80}")


def _as_id(item: object, position: int) -> Id:
    try:
        return plain_id("item", item)
    except SkaldError:
        return position
