"""Loops that are followed: each item becomes an id, and a bar shows how far the loop is.

The bar is one line on a terminal that is redrawn a few times a second, and nothing elsewhere.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Final, TypeVar

from skald.calls import Calls
from skald.errors import InvalidInputError, SkaldError
from skald.schema import Id, check_id_name, plain_id

T = TypeVar("T")

DRAW_SECS: Final = 0.1


class Bar:
    """How far a loop is."""

    def __init__(self, description: str, total: int | None) -> None:
        """Begin at nothing done."""
        self._description, self._total = description, total
        self._drawn_at = 0.0
        self._drawn = False

    def show(self, done: int) -> None:
        """Draw, if the last drawing is long enough ago."""
        now = time.monotonic()
        if now - self._drawn_at >= DRAW_SECS and sys.stderr is not None and sys.stderr.isatty():
            self._drawn_at, self._drawn = now, True
            self._draw(done)

    def advance(self, done: int) -> None:
        """Note that so many items are done."""
        if self._drawn and done == self._total:
            self._draw(done)

    def _draw(self, done: int) -> None:
        of = f"/{self._total}" if self._total is not None else ""
        sys.stderr.write(f"\r{self._description} {done}{of} ")
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._drawn:
            sys.stderr.write("\n")


def total_of(iterable: Iterable[object], given: int | None) -> int | None:
    """Return how many items there are: as was given, else the length, None where that is unknown."""
    if given is not None or not isinstance(iterable, Sized):
        return given
    try:
        return len(iterable)
    except (TypeError, NotImplementedError):  # Torch's loaders of streams have a length only in name
        return None


def track(calls: Calls, iterable: Iterable[T], name: str, bar: Bar) -> Iterator[T]:
    """Go through a loop with the id `name` set to each item, and then again to what it was.

    Raises:
        InvalidInputError: there is nothing to go through; the name cannot be an id's.
    """
    try:
        items = iter(iterable)
    except TypeError as error:
        raise InvalidInputError(f"track goes through an iterable, got {type(iterable).__name__}") from error
    try:
        check_id_name(name)
    except SkaldError as error:
        calls.refuse(error)
        return items
    return _tracked(calls, items, name, bar)


def _tracked(calls: Calls, items: Iterator[T], name: str, bar: Bar) -> Iterator[T]:
    before = calls.scope.said(name)
    try:
        for position, item in enumerate(items):
            if not calls.put_ids({name: _as_id(item, position)}):
                calls.put_ids({name: None})  # refused: no row shall have the id of the item before
            bar.show(position)
            yield item
            bar.advance(position + 1)
    finally:
        bar.close()
        with calls.session.lock:
            calls.scope.restore(name, before)


def _as_id(item: object, position: int) -> Id:
    try:
        return plain_id("item", item)
    except SkaldError:
        return position
