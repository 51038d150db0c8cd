"""A segment's file, opened for reading: what it says of itself, and where its columns are.

Invariant: positions are learned only from the parts of the file that never change.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.engine.blueprint import ARROW_TYPES, METADATA_KEY, PRESENT, SEALED_AT
from skald.errors import CorruptRunError, unless_handlers
from skald.layout import check_format
from skald.schema import METRIC, TIME, VALUE, Kinds

T = TypeVar("T")

Fetch = Callable[[type[np.generic], int, int], npt.NDArray[Any]]
"""Returns so many numbers of a type at a position in the file; what it returns may be live memory."""

_BLOCK_BYTES: Final = 512


class Header(NamedTuple):
    """What never changes in a segment: its stream, its ids, and how many rows it has room for."""

    stream: int
    kinds: Kinds
    mixed: bool
    capacity: int


class Strings(NamedTuple):
    """Where a dictionary is, and how much room it has."""

    offsets: int
    text: int
    entries: int
    size: int


class Layout(NamedTuple):
    """Where a segment's columns are: metric, value, time, present (mixed segments), and the ids."""

    header: Header
    columns: tuple[int, ...]
    strings: Mapping[int, Strings]
    """The dictionaries, by the position of their column."""


def with_segment(path: Path, read: Callable[[Layout, Fetch], T]) -> T:
    """Let `read` look into a segment's file; what it returns must not be live memory.

    Raises:
        CorruptRunError: the file is no segment, or cut off.
        FormatVersionError: a newer Skald wrote it.
        FileNotFoundError: it was removed.
    """
    with path.open("rb", buffering=0) as file:
        try:
            memory = None if _is_sparse(file) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except unless_handlers(OSError, ValueError):  # it cannot be mapped here, or it is empty
            memory = None
        if memory is None:
            return read(_layout(pa.py_buffer(file.read()), path), functools.partial(_fetch_read, file))
        try:
            return read(_layout(pa.py_buffer(memory), path), functools.partial(_fetch_mapped, memory))
        finally:
            with contextlib.suppress(BufferError):  # an error's traceback may still hold a view
                memory.close()


@functools.lru_cache(maxsize=4096)
def read_header(path: Path) -> Header:
    """Return what a segment's file says of itself; kept, as no name is ever used for two segments.

    Raises:
        As `with_segment`.
    """
    return with_segment(path, lambda layout, _: layout.header)


def is_sealed(path: Path) -> bool:
    """Tell whether a segment will never change again, even if its writer lives."""
    with path.open("rb", buffering=0) as file:
        return file.read(SEALED_AT + 1)[SEALED_AT:] == b"\x01"


def _is_sparse(file: BinaryIO) -> bool:
    """Tell whether parts of a file have no space yet, as those of a staged segment.

    NOTE: on a full tmpfs a look at such a part through a mapping ends in SIGBUS.
    """
    status = os.fstat(file.fileno())
    return getattr(status, "st_blocks", status.st_size) * _BLOCK_BYTES < status.st_size


def _fetch_mapped(memory: mmap.mmap, kind: type[np.generic], position: int, count: int) -> npt.NDArray[Any]:
    return np.frombuffer(memory, kind, count, position)


def _fetch_read(file: BinaryIO, kind: type[np.generic], position: int, count: int) -> npt.NDArray[Any]:
    file.seek(position)
    wanted = count * np.dtype(kind).itemsize
    data = bytearray()
    while len(data) < wanted and (part := file.read(wanted - len(data))):
        data += part
    return np.frombuffer(data, kind, count)


def _layout(whole: pa.Buffer, path: Path) -> Layout:
    """Learn where a file's buffers are.

    Source: the Arrow columnar format's IPC file.
    """
    try:
        with pa.ipc.open_file(whole) as reader:
            header = _header(reader.schema, reader.num_record_batches, path)
            batch = reader.get_batch(0)
        batch.validate()  # lengths, and of each dictionary the first and last offset, which no writer changes
        columns, strings = [], {}
        for number, column in enumerate(batch.columns):
            codes = column
            if isinstance(column, pa.DictionaryArray):
                codes = column.indices
                strings[number] = _strings(column.dictionary, whole)
            columns.append(_position(codes.buffers()[1], whole, batch.num_rows * codes.type.bit_width // 8))
        return Layout(header._replace(capacity=batch.num_rows), tuple(columns), strings)
    except unless_handlers(pa.ArrowException, OSError, ValueError, TypeError, LookupError) as error:
        raise CorruptRunError(f"expected a segment (an Arrow file with Skald's columns): {error}, in {path}") from error


def _header(schema: pa.Schema, batches: int, path: Path) -> Header:
    said = json.loads((schema.metadata or {})[METADATA_KEY])
    check_format(said["format"], path)
    ids = [(str(name), kind) for name, kind in said["ids"]]
    expected = [(METRIC, ARROW_TYPES["str"]), (VALUE, pa.float64()), (TIME, pa.timestamp("ns", "UTC"))]
    expected += [(PRESENT, pa.int64())] * bool(said["mixed"]) + [(name, ARROW_TYPES[kind]) for name, kind in ids]
    found = [(field.name, field.type) for field in schema]
    if found != expected or batches != 1:
        raise ValueError(f"expected one batch of {expected}, got {batches} of {found}")
    return Header(stream=int(said["stream"]), kinds=dict(ids), mixed=bool(said["mixed"]), capacity=0)


def _strings(dictionary: Any, whole: pa.Buffer) -> Strings:
    _, offsets, text = dictionary.buffers()
    size = text.size if text is not None else 0
    start = _position(text, whole, size) if size else 0
    return Strings(_position(offsets, whole, 4 * (len(dictionary) + 1)), start, len(dictionary), size)


def _position(part: pa.Buffer | None, whole: pa.Buffer, size: int) -> int:
    start = part.address - whole.address if part is not None else -1
    if part is None or part.size < size or start < 0 or start + size > whole.size:
        raise ValueError(f"a buffer of {size} bytes is not in the file")
    return start
