"""The rows of one segment, copied out of its file while a writer may be storing into it.

Invariant: nothing handed out is on memory that can still change, and a row is taken whole: its time was seen
before the rest of it was copied.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import platform
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.blueprint import ARROW_TYPES, METADATA_KEY, PRESENT, SEALED_AT
from skald.errors import CorruptRunError
from skald.layout import check_format
from skald.schema import METRIC, TIME, VALUE, Kind, Kinds

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
T = TypeVar("T")

_STORAGE: Final[dict[Kind, type[np.generic]]] = {
    "int": np.int64,
    "float": np.float64,
    "str": np.int32,
    "bool": np.int8,
}
_IN_ORDER: Final = platform.machine().lower() in {"x86_64", "amd64", "i386", "i686", "x86"}
_SETTLE_SECS: Final = 0.001
"""How long another processor's stores may be seen out of order, where that happens at all (not on x86)."""


@dataclass(frozen=True, slots=True)
class IdColumn:
    """One id of some rows.

    Attributes:
        kind: what the values are.
        values: int64, float64, bool, or for strings int32 codes into `names`.
        names: the strings.
        given: the rows that have this id; None: all of them.
    """

    kind: Kind
    values: npt.NDArray[Any]
    names: pa.StringArray | None = None
    given: Mask | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Committed rows of a segment, in log order.

    Attributes:
        time: ns since 1970.
        metric: codes into `names`, all of them good.
        names: the names of metrics; the entry of code 0 is empty.
        value: the values; None where they were not asked for.
        ids: the id columns that were asked for.
        stream: the number of the stream, in its writer.
        damaged: how many more rows there are whose names are lost.
    """

    time: Ints
    metric: Codes
    names: pa.StringArray
    value: npt.NDArray[np.float64] | None
    ids: dict[str, IdColumn]
    stream: int = 0
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.time)


class Header(NamedTuple):
    """What never changes in a segment: its stream, its ids, and how many rows it has room for."""

    stream: int
    kinds: Kinds
    mixed: bool
    capacity: int


class _Strings(NamedTuple):
    """Where a dictionary is in a file, and how much room it has."""

    offsets: int
    text: int
    entries: int
    size: int


class _Layout(NamedTuple):
    """Where a segment's buffers are in its file, by position of the column."""

    header: Header
    columns: tuple[int, ...]
    strings: Mapping[int, _Strings]


Fetch = Callable[[type[np.generic], int, int], npt.NDArray[Any]]
"""Returns so many numbers of a type at a position in the file; what it returns may be live memory."""


def read_segment(path: Path, *, columns: Collection[str] | None = None, first: int = 0, stop: int | None = None) -> Rows:
    """Copy the committed rows of a segment, which its writer may be appending to.

    Args:
        path: the segment's file.
        columns: which of `value` and the ids to copy; None: all.
        first: the first row to look at, counted as they stand in the file.
        stop: the row to stop before; None: all.

    Raises:
        CorruptRunError: the file is no segment, or cut off.
        FormatVersionError: a newer Skald wrote it.
        FileNotFoundError: it was removed.
    """
    return _with_file(path, lambda whole, fetch: _copy(_layout(whole, path), fetch, columns, first, stop))


@functools.lru_cache(maxsize=4096)
def read_header(path: Path) -> Header:
    """Return what a segment's file says of itself; kept, as no name is ever used for two segments.

    Raises:
        As `read_segment`.
    """
    return _with_file(path, lambda whole, _: _layout(whole, path).header)


def is_sealed(path: Path) -> bool:
    """Tell whether a segment will never change again, even if its writer lives."""
    with path.open("rb", buffering=0) as file:
        return file.read(SEALED_AT + 1)[SEALED_AT:] == b"\x01"


def _with_file(path: Path, read: Callable[[pa.Buffer, Fetch], T]) -> T:
    with path.open("rb", buffering=0) as file:
        try:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # it cannot be mapped here, or it is empty
            return read(pa.py_buffer(file.read()), functools.partial(_fetch_read, file))
        try:
            return read(pa.py_buffer(memory), functools.partial(_fetch_mapped, memory))
        finally:
            with contextlib.suppress(BufferError):  # an error's traceback may still hold a view
                memory.close()


def _fetch_mapped(memory: mmap.mmap, kind: type[np.generic], position: int, count: int) -> npt.NDArray[Any]:
    return np.frombuffer(memory, kind, count, position)


def _fetch_read(file: BinaryIO, kind: type[np.generic], position: int, count: int) -> npt.NDArray[Any]:
    file.seek(position)
    wanted = count * np.dtype(kind).itemsize
    data = bytearray()
    while len(data) < wanted and (part := file.read(wanted - len(data))):
        data += part
    return np.frombuffer(data, kind, count)


def _layout(whole: pa.Buffer, path: Path) -> _Layout:
    """Learn from the parts of a file that never change where its buffers are.

    Source: the Arrow columnar format's IPC file.
    """
    try:
        with pa.ipc.open_file(whole) as reader:
            header = _header(reader.schema, reader.num_record_batches, path)
            batch = reader.get_batch(0)
        columns, strings = [], {}
        for number, column in enumerate(batch.columns):
            codes = column
            if isinstance(column, pa.DictionaryArray):
                codes, names = column.indices, column.dictionary
                _, offsets, text = names.buffers()
                size = text.size if text is not None else 0
                where = _position(text, whole, size) if size else 0
                strings[number] = _Strings(_position(offsets, whole, 4 * (len(names) + 1)), where, len(names), size)
            columns.append(_position(codes.buffers()[1], whole, batch.num_rows * codes.type.bit_width // 8))
        return _Layout(header._replace(capacity=batch.num_rows), tuple(columns), strings)
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        raise CorruptRunError(f"expected a segment (an Arrow file with Skald's columns): {error}, in {path}") from error


def _header(schema: pa.Schema, batches: int, path: Path) -> Header:
    said = json.loads((schema.metadata or {})[METADATA_KEY])
    check_format(said["format"], path)
    ids = [(str(name), kind) for name, kind in said["ids"]]
    expected = [(METRIC, ARROW_TYPES["str"]), (VALUE, pa.float64()), (TIME, pa.timestamp("ns", "UTC"))]
    expected += [(PRESENT, pa.int64())] * bool(said["mixed"]) + [(name, ARROW_TYPES[kind]) for name, kind in ids]
    found = [(field.name, field.type) for field in schema]
    if found != expected or batches != 1:
        raise ValueError(f"one batch of {expected} expected, got {batches} of {found}")
    return Header(stream=int(said["stream"]), kinds=dict(ids), mixed=bool(said["mixed"]), capacity=0)


def _position(part: pa.Buffer | None, whole: pa.Buffer, size: int) -> int:
    start = part.address - whole.address if part is not None else -1
    if part is None or part.size < size or start < 0 or start + size > whole.size:
        raise ValueError(f"a buffer of {size} bytes is not in the file")
    return start


def _copy(layout: _Layout, fetch: Fetch, columns: Collection[str] | None, first: int, stop: int | None) -> Rows:
    """Copy rows in the order that makes them whole: times, columns, and then names."""
    stop = min(layout.header.capacity, layout.header.capacity if stop is None else stop)
    first = min(first, stop)

    def column(number: int, kind: type[np.generic]) -> npt.NDArray[Any]:
        return fetch(kind, layout.columns[number] + first * np.dtype(kind).itemsize, stop - first)

    times = np.array(column(2, np.int64))
    if not _IN_ORDER:
        time.sleep(_SETTLE_SECS)
    rows = _committed(times)
    times = times[rows]
    metric = np.array(column(0, np.int32)[rows])
    wanted = {
        name: (number, kind)
        for number, (name, kind) in enumerate(layout.header.kinds.items(), start=3 + layout.header.mixed)
        if columns is None or name in columns
    }
    value = np.array(column(1, np.float64)[rows]) if columns is None or VALUE in columns else None
    present = np.array(column(3, np.int64)[rows]) if layout.header.mixed and wanted else None
    stored = {name: np.array(column(number, _STORAGE[kind])[rows]) for name, (number, kind) in wanted.items()}

    names, good = _copy_names(fetch, layout.strings[0], metric, is_metric=True)
    ids = {}
    for name, (number, kind) in wanted.items():
        given = None if present is None else (present >> (number - 4)) & 1 != 0
        values, texts = stored[name], None
        if kind == "str":
            texts, known = _copy_names(fetch, layout.strings[number], values, is_metric=False)
            good &= known if given is None else known | ~given
        ids[name] = IdColumn(kind, values != 0 if kind == "bool" else values, texts, given)
    return _good_rows(Rows(times, metric, names, value, ids), good)


def _committed(times: Ints) -> slice | Ints:
    """Return the rows whose time is stored: as a slice where there is no hole, which spares a copy."""
    rows = np.flatnonzero(times)
    return slice(0, len(rows)) if not len(rows) or rows[-1] == len(rows) - 1 else rows


def _copy_names(fetch: Fetch, where: _Strings, codes: Codes, *, is_metric: bool) -> tuple[pa.StringArray, Mask]:
    """Copy the names of `codes`, and tell which of these have one."""
    good = (codes > 0) & (codes < where.entries)
    top = int(codes.max(initial=0, where=good))
    offsets = np.array(fetch(np.int32, where.offsets, top + 2))
    starts, stops = offsets[:-1], offsets[1:]
    whole = (starts >= 0) & (starts <= stops) & (stops <= where.size)
    text = np.array(fetch(np.uint8, where.text, int(stops.max(initial=0, where=whole))))
    names = pa.StringArray.from_buffers(top + 1, pa.py_buffer(offsets), pa.py_buffer(text))
    if not whole.all() or starts[0] or not _is_utf8(names):
        names, whole = _salvage(offsets, text, whole)
    if is_metric:
        whole &= stops > starts
        if not text.all():  # a page of zeros that the disk never got
            whole &= np.array(["\0" not in name for name in names.to_pylist()])
    if not whole[1:].all():
        good &= whole[np.where(good, codes, 0)]
    return names, good


def _is_utf8(names: pa.StringArray) -> bool:
    try:
        names.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _salvage(offsets: Codes, text: npt.NDArray[np.uint8], whole: Mask) -> tuple[pa.StringArray, Mask]:
    """Return what can be read of a damaged dictionary, and which of its entries that is."""
    data, names = text.tobytes(), []
    readable = whole.copy()
    for code, is_whole in enumerate(whole):
        try:
            names.append(data[offsets[code] : offsets[code + 1]].decode() if is_whole else "")
        except UnicodeDecodeError:
            names.append("")
            readable[code] = False
    return pa.array(names, pa.utf8()), readable


def _good_rows(rows: Rows, good: Mask) -> Rows:
    if good.all():
        return rows
    return take(rows, good, damaged=int(len(good) - np.count_nonzero(good)))


def take(rows: Rows, chosen: Mask | Ints, *, damaged: int = 0) -> Rows:
    """Return the chosen rows."""
    ids = {
        name: IdColumn(
            column.kind, column.values[chosen], column.names, None if column.given is None else column.given[chosen]
        )
        for name, column in rows.ids.items()
    }
    value = None if rows.value is None else rows.value[chosen]
    return Rows(rows.time[chosen], rows.metric[chosen], rows.names, value, ids, damaged)
