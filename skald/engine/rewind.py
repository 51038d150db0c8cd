"""Which rows no longer count after a rewind: the rule alone, without any disk.

Invariant: whether a row counts depends on that row and on the rewinds that concern its segment, so the answer is the
same whoever asks, however often, and however the rows are cut up and moved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from skald.engine.rows import IdColumn, Ints, Mask, Rows, take
from skald.schema import KIND_OF, Id, Kind

Bound = tuple[tuple[str, Id], ...]
"""A tuple of ids, in the order in which it is compared."""

NUMBERS: Final[frozenset[Kind]] = frozenset(("int", "float"))


class Rewind(msgspec.Struct, frozen=True, kw_only=True):
    """What one rewind took back.

    Attributes:
        number: of the rewind in its run, from 1.
        ids: rows beyond them no longer count; none: no row does.
        since: the time of the first row beyond, in ns: rows that lack one of these ids count if they are older.
        writer: who rewound.
        stop: of this writer, segments with a smaller number are concerned.
        ended: the writers that had closed or died when it was opened; all their segments are concerned.
        ranks: of these, those of other ranks, which log nothing again because of this rewind.
        own: the constant ids of the logger that rewound, where there are such: of their rows, and of those that were
            compacted before, the ones with other ids are not concerned.
    """

    number: int
    ids: Bound
    since: int
    writer: str
    stop: int
    ended: tuple[str, ...]
    ranks: tuple[str, ...] = ()
    own: Bound = ()

    def on_segment(self, writer: str, number: int) -> Rewind | None:
        """Return it as it concerns the rows of a segment, if it does."""
        return self._on(writer) if (writer == self.writer and number < self.stop) or writer in self.ended else None

    def on_part(self, writer: str) -> Rewind | None:
        """Return it as it concerns the rows of a writer in a metrics file that does not reflect it, if it does.

        Args:
            writer: the empty name stands for writers that had ended before any that was then alive was opened.
        """
        return self._on(writer) if writer in ("", self.writer) or writer in self.ended else None

    def _on(self, writer: str) -> Rewind:
        return msgspec.structs.replace(self, own=()) if writer and writer not in self.ranks else self


class Rewinds(msgspec.Struct, frozen=True, kw_only=True):
    """The rewinds of a run.

    Attributes:
        made: how many there were.
        standing: those that segments, or the metrics file, do not yet reflect.
    """

    made: int = 0
    standing: tuple[Rewind, ...] = ()

    def on_segment(self, writer: str, number: int) -> tuple[Rewind, ...]:
        """Return those that concern a segment."""
        return tuple(filter(None, (rewind.on_segment(writer, number) for rewind in self.standing)))

    def on_stored(self, applied: int) -> tuple[Rewind, ...]:
        """Return those that concern the rows of a metrics file to which the first `applied` ones were applied."""
        return tuple(rewind for rewind in self.standing if rewind.number > applied)


def on_part(rewinds: Iterable[Rewind], writer: str) -> tuple[Rewind, ...]:
    """Return those rewinds that concern a writer's rows in a metrics file; see `Rewind.on_part`."""
    return tuple(filter(None, (rewind.on_part(writer) for rewind in rewinds)))


def id_names(rewinds: Iterable[Rewind]) -> set[str]:
    """Return the ids that decide which rows are taken back."""
    return {name for rewind in rewinds for name, _ in (*rewind.ids, *rewind.own)}


def choose(rows: Rows, rewinds: Sequence[Rewind], *, taken: bool = False, unit_ns: int = 1) -> Rows:
    """Return the rows that count, or those that were taken back.

    Args:
        rows: with all the ids that the rewinds name, as far as the segment has them.
        rewinds: those that concern these rows.
        taken: return the rows that no longer count.
        unit_ns: how exact their times are.
    """
    mask = is_taken(rewinds, rows.ids, rows.time, unit_ns=unit_ns)
    chosen = mask if taken else ~mask
    return rows if chosen.all() else take(rows, chosen, damaged=rows.damaged)


def is_taken(rewinds: Iterable[Rewind], ids: Mapping[str, IdColumn], time: Ints, *, unit_ns: int = 1) -> Mask:
    """Return which rows no longer count.

    A row that was logged in the same unit of time as the first row beyond counts as logged before it, unless the ids
    that it has in front of the one that it lacks are beyond.
    """
    gone: Mask = np.zeros(len(time), np.bool_)
    for rewind in rewinds:
        beyond, complete = compare(rewind.ids, ids, len(time))
        since = rewind.since // unit_ns
        units = time // unit_ns
        later = (units > since) | ((units == since) & beyond)
        gone |= is_own(rewind, ids, len(time)) & (np.where(complete, beyond, later) if rewind.ids else True)
    return gone


def is_own(rewind: Rewind, ids: Mapping[str, IdColumn], count: int) -> Mask:
    """Return which rows have none of its constant ids otherwise."""
    own: Mask = np.ones(count, np.bool_)
    for name, value in rewind.own:
        column = ids.get(name)
        if column is not None:
            same = _compare(column, value)[1] if are_comparable(column.kind, value) else np.zeros(count, np.bool_)
            own &= same if column.given is None else same | ~column.given
    return own


def compare(bound: Bound, ids: Mapping[str, IdColumn], count: int) -> tuple[Mask, Mask]:
    """Return which rows are beyond a tuple of ids, and which have all of them.

    Of a row that lacks one, the ids in front of that one are compared.
    """
    beyond: Mask = np.zeros(count, np.bool_)
    equal: Mask = np.ones(count, np.bool_)
    complete: Mask = np.ones(count, np.bool_)
    for name, value in bound:
        column = ids.get(name)
        if column is None or not are_comparable(column.kind, value):
            return beyond, np.zeros(count, np.bool_)
        greater, same = _compare(column, value)
        if column.given is not None:
            complete &= column.given
            equal &= column.given
        beyond |= equal & greater
        equal &= same
    return beyond, complete


def are_comparable(kind: Kind, value: Id) -> bool:
    """Tell whether ids of a kind have an order with this value."""
    found = KIND_OF[type(value)]
    return found == kind or {found, kind} <= NUMBERS


def _compare(column: IdColumn, value: Any) -> tuple[Mask, Mask]:
    """Return where an id is greater than a value, and where it is the same."""
    values = column.values
    if column.names is not None:
        names = column.names.to_pylist()
        greater = np.array([name > value for name in names], np.bool_)
        return greater[values], np.array([name == value for name in names], np.bool_)[values]
    if column.kind == "int" and isinstance(value, float):  # NOTE: as floats, large ints would be rounded
        whole = math.floor(value)
        return values > whole, (values == whole) & (whole == value)
    if column.kind == "float" and isinstance(value, int):  # NOTE: NumPy would compare with the float next to it
        near = float(value)
        return (values >= near if near > value else values > near), (values == near) & (near == value)
    return values > value, values == value
