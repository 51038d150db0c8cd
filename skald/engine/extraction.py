"""Extraction: the rows of one segment, copied out of its file while a writer may be storing into it.

Invariant: nothing handed out is on memory that can still change, and a row is taken whole: its time was seen
before the rest of it was copied.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.engine.arrays import text_array
from skald.engine.blueprint import SEALED_AT
from skald.engine.rows import LOST_TIME, Codes, IdColumn, Ints, Mask, Rows, Texts, take
from skald.engine.segmentfile import Fetch, Layout, Strings, with_segment
from skald.schema import VALUE, Kind

Wants: TypeAlias = Callable[[list[str]], Mask]
"""Tells which of some metrics are wanted."""

_METRIC, _VALUE, _TIME, _PRESENT = range(4)
_STORAGE: Final[dict[Kind, type[np.generic]]] = {
    "int": np.int64,
    "float": np.float64,
    "str": np.int32,
    "bool": np.int8,
}
_IN_ORDER: Final = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686", "x86"}
_SETTLE_SECS: Final = 0.001
"""How long another processor's stores may be seen out of order, where that happens at all (not on x86).

NOTE: for active segments only; the stores into a sealed one are older than all that it takes to open it.
"""


def read_segment(
    path: Path,
    *,
    columns: Collection[str] | None = None,
    first: int = 0,
    stop: int | None = None,
    wants: Wants | None = None,
) -> Rows:
    """Copy the committed rows of a segment, which its writer may be appending to.

    Args:
        path: the segment's file.
        columns: which of `value` and the ids to copy; None: all.
        first: the first row to look at, counted as they stand in the file.
        stop: the row to stop before; None: all.
        wants: of which metrics the rows are wanted; None: of all.

    Raises:
        CorruptRunError: the file is no segment, or cut off.
        FormatVersionError: a newer Skald wrote it.
        FileNotFoundError: it was removed.
    """

    def copy(layout: Layout, fetch: Fetch) -> Rows:
        part = _Part(layout, fetch, first, stop)
        return part.copy(_wanted(layout, columns), with_values=columns is None or VALUE in columns, wants=wants)

    return with_segment(path, copy)


def read_times(path: Path, *, first: int = 0, stop: int | None = None) -> Ints:
    """Copy the times of a segment's rows, 0 where there is a hole; arguments and errors as of `read_segment`."""
    return with_segment(path, lambda layout, fetch: np.array(_Part(layout, fetch, first, stop).column(_TIME, np.int64)))


class Mark(NamedTuple):
    """How far a segment was read.

    Attributes:
        first: the rows before it were read.
        beyond: further rows that were read: a row may be committed before one that stands in front of it.
        is_last: whether the segment was sealed by then, so that no row comes any more.
    """

    first: int
    beyond: Ints
    is_last: bool = False


NOTHING: Final = Mark(0, np.zeros(0, np.int64))
"""The mark of a segment that was not read yet."""


def read_new(path: Path, mark: Mark, *, columns: Collection[str] | None = None) -> tuple[Rows, Mark]:
    """Copy the rows of a segment that were committed since it was read up to a mark; return the new mark, too.

    Args:
        path: the segment's file.
        mark: how far it was read.
        columns: as of `read_segment`.

    Raises:
        As `read_segment`.
    """

    def copy(layout: Layout, fetch: Fetch) -> tuple[Rows, Mark]:
        is_last = bool(fetch(np.uint8, SEALED_AT, 1)[0])  # before the times: what comes later is in none of them
        part = _Part(layout, fetch, mark.first, None)
        known = np.zeros(part.count, np.bool_)
        known[mark.beyond - mark.first] = True

        def choose(times: Ints) -> slice | Ints:
            new = np.where(known, 0, times) if len(mark.beyond) else times
            rows = _committed(new, lowest=int(new.min(initial=1)))
            known[rows] = True
            return rows

        rows = part.copy(_wanted(layout, columns), with_values=columns is None or VALUE in columns, choose=choose)
        first = int(known.argmin()) if not known.all() else len(known)
        return rows, Mark(mark.first + first, np.flatnonzero(known[first:]) + mark.first + first, is_last)

    return with_segment(path, copy)


def read_marked(path: Path, mark: Mark, *, columns: Collection[str] | None = None, wants: Wants | None = None) -> Rows:
    """Copy the rows of a segment that had been read when it was read up to a mark.

    Args:
        path: the segment's file.
        mark: how far it had been read.
        columns: as of `read_segment`.
        wants: as of `read_segment`.

    Raises:
        As `read_segment`.
    """

    def copy(layout: Layout, fetch: Fetch) -> Rows:
        stop = int(mark.beyond.max(initial=mark.first - 1)) + 1
        part = _Part(layout, fetch, 0, stop)
        rows = np.concatenate([np.arange(mark.first), mark.beyond]) if len(mark.beyond) else slice(stop)
        with_values = columns is None or VALUE in columns
        return part.copy(_wanted(layout, columns), with_values=with_values, rows=rows, wants=wants)

    return with_segment(path, copy)


def _wanted(layout: Layout, columns: Collection[str] | None) -> list[str]:
    return [name for name in layout.header.kinds if columns is None or name in columns]


class _Part:
    """Some rows of an open segment."""

    def __init__(self, layout: Layout, fetch: Fetch, first: int, stop: int | None) -> None:
        self._layout, self._fetch, self._first = layout, fetch, first
        capacity = layout.header.capacity
        self.count = max(0, (capacity if stop is None else min(stop, capacity)) - first)

    def column(self, number: int, kind: type[np.generic]) -> npt.NDArray[Any]:
        """Return a column, which may be live memory."""
        return self._fetch(kind, self._layout.columns[number] + self._first * np.dtype(kind).itemsize, self.count)

    def copy(
        self,
        wanted: Collection[str],
        *,
        with_values: bool,
        choose: Callable[[Ints], slice | Ints] | None = None,
        rows: slice | Ints | None = None,
        wants: Wants | None = None,
    ) -> Rows:
        """Copy rows in the order that makes them whole: times, columns, and then names.

        Args:
            wanted: the ids.
            with_values: whether the values are wanted too.
            choose: which of the rows, whose times it is given, are wanted; None: the committed ones.
            rows: which are wanted, where it is known that they are committed.
            wants: of which metrics; None: of all.
        """
        header = self._layout.header
        times: Ints = np.array(self.column(_TIME, np.int64)[slice(None) if rows is None else rows])
        lowest = int(times.min(initial=1))
        if rows is None:
            if not _IN_ORDER and not self._fetch(np.uint8, SEALED_AT, 1)[0]:
                time.sleep(_SETTLE_SECS)
            rows = choose(times) if choose else _committed(times, lowest=lowest)
            times = times[rows]
        if wants is not None:
            chosen = self._of_metrics(rows, wants)
            rows, times = chosen if isinstance(rows, slice) else rows[chosen], times[chosen]
        metric: Codes = np.array(self.column(_METRIC, np.int32)[rows])
        value = np.array(self.column(_VALUE, np.float64)[rows]) if with_values else None
        present = np.array(self.column(_PRESENT, np.int64)[rows]) if header.mixed and wanted else None
        first_id = 3 + header.mixed
        numbers = {name: number for number, name in enumerate(header.kinds, first_id) if name in wanted}
        stored = {
            name: np.array(self.column(number, _STORAGE[header.kinds[name]])[rows]) for name, number in numbers.items()
        }
        names, good = self._names(_METRIC, metric)
        if lowest < 0:  # NOTE: so the look at all is spared; other times before 1970 are legal
            good &= times != LOST_TIME
        ids = {}
        for name, number in numbers.items():
            given: Mask | None = None if present is None else (present >> (number - first_id)) & 1 != 0
            ids[name], known = self._id_column(number, header.kinds[name], stored[name], given)
            good &= known
        return _good_rows(Rows(times, metric, names, value, ids, header.stream), good)

    def _of_metrics(self, rows: slice | Ints, wants: Wants) -> Ints | slice:
        """Return which of some committed rows are of metrics that are wanted, or cannot be read."""
        codes: Codes = self.column(_METRIC, np.int32)[rows]
        names, good = self._names(_METRIC, codes)
        is_wanted = wants(names.to_pylist())
        if is_wanted[1:].all():  # the first code is none's
            return slice(len(codes))
        return np.flatnonzero(is_wanted[codes] if good.all() else is_wanted[np.where(good, codes, 0)] | ~good)

    def _id_column(
        self, number: int, kind: Kind, values: npt.NDArray[Any], given: Mask | None
    ) -> tuple[IdColumn, Mask | np.bool_]:
        """Return an id's column, and which of its rows can be read."""
        if kind != "str":
            return IdColumn(kind, values != 0 if kind == "bool" else values, given=given), np.True_
        names, known = self._names(number, values)
        return IdColumn(kind, values, names, given), known if given is None else known | ~given

    def _names(self, number: int, codes: Codes) -> tuple[Texts, Mask]:
        """Copy the names of the codes of a column, and tell which of these codes have one."""
        return _copy_names(self._fetch, self._layout.strings[number], codes, is_metric=number == _METRIC)


def _committed(times: Ints, *, lowest: int) -> slice | Ints:
    """Return the rows whose time is stored: as a slice where there is no hole, which spares a copy."""
    if lowest > 0:  # NOTE: to find the lowest takes less time than `all`
        return slice(0, len(times))
    rows = np.flatnonzero(times)
    return slice(0, len(rows)) if not len(rows) or rows[-1] == len(rows) - 1 else rows


def _copy_names(fetch: Fetch, where: Strings, codes: Codes, *, is_metric: bool) -> tuple[Texts, Mask]:
    top = int(codes.max(initial=0))
    good: Mask = np.ones(len(codes), np.bool_)
    if top >= where.entries or int(codes.min(initial=1)) < 1:
        good = (codes > 0) & (codes < where.entries)
        top = int(codes.max(initial=0, where=good))
    offsets: Codes = np.array(fetch(np.int32, where.offsets, top + 2))
    starts, stops = offsets[:-1], offsets[1:]
    whole: Mask = (starts >= 0) & (starts <= stops) & (stops <= where.size)
    text = np.array(fetch(np.uint8, where.text, int(stops.max(initial=0, where=whole))))
    names = _array(offsets, text)
    if names is None or not whole.all():
        names, whole = _salvage(offsets, text, whole)
    if is_metric:
        whole &= stops > starts
        if not text.all():  # zeros are no part of a name: the disk never got them
            whole &= np.array(["\0" not in name for name in names.to_pylist()])
    if not whole[1:].all():
        good &= whole[np.where(good, codes, 0)]
    return names, good


def _array(offsets: Codes, text: npt.NDArray[np.uint8]) -> Texts | None:
    """Return strings over these buffers; None where they are damaged."""
    try:
        names: Texts = pa.StringArray.from_buffers(
            len(offsets) - 1, pa.py_buffer(offsets.data), pa.py_buffer(text.data)
        )
        names.validate(full=True)
    except pa.ArrowInvalid:
        return None
    return names


def _salvage(offsets: Codes, text: npt.NDArray[np.uint8], whole: Mask) -> tuple[Texts, Mask]:
    """Return what can be read of a damaged dictionary, and which of its entries that is."""
    data, names = text.tobytes(), []
    readable = whole.copy()
    for code, is_whole in enumerate(whole):
        try:
            names.append(data[offsets[code] : offsets[code + 1]].decode() if is_whole else "")
        except UnicodeDecodeError:
            names.append("")
            readable[code] = False
    return text_array(names), readable


def _good_rows(rows: Rows, good: Mask) -> Rows:
    return rows if good.all() else take(rows, good, damaged=int(len(good) - np.count_nonzero(good)))
