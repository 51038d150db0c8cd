"""What the bytes of a segment look like: a complete Arrow IPC file of zeroed rows, and where its buffers are.

A segment's header, footer and buffer positions depend only on its shape. They are computed once a shape,
by letting pyarrow write such a file into a recorder that keeps the metadata and skips the zeros.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from skald.layout import FORMAT_VERSION
from skald.schema import METRIC, TIME, VALUE, Kind

METADATA_KEY: Final = b"skald"
PRESENT: Final = "present"
SEALED_AT: Final = 6
"""The byte behind Arrow's magic, which Arrow leaves free: 0 while the segment is active, 1 once it is sealed."""

ARROW_TYPES: Final[dict[Kind, pa.DataType]] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.dictionary(pa.int32(), pa.utf8()),
    "bool": pa.int8(),
}


class Columns(NamedTuple):
    """The id columns of a segment, and whether its rows may lack some of them (a mixed segment)."""

    ids: tuple[tuple[str, Kind], ...]
    mixed: bool = False


class Capacity(NamedTuple):
    """What a dictionary has room for: its entries, the empty name among them, and their bytes."""

    entries: int
    bytes: int


class Shape(NamedTuple):
    """All that decides a segment's bytes before its first row."""

    stream: int
    columns: Columns
    rows: int
    dictionaries: tuple[Capacity, ...]
    """Of the metric, then of each string id."""


class Blueprint(NamedTuple):
    """A segment's file without its zeros."""

    size: int
    metadata: tuple[tuple[int, bytes], ...]
    """Position and content of everything that is no buffer."""
    dictionaries: tuple[tuple[int, int], ...]
    """Positions of the offsets and of the bytes of each dictionary."""
    columns: tuple[int, ...]
    """Positions of metric, value, time, present (mixed segments), and the ids."""


@functools.lru_cache(maxsize=256)
def blueprint(shape: Shape) -> Blueprint:
    """Lay out the file of a segment.

    Source: the Arrow columnar format's IPC file, as pyarrow writes it, with buffers aligned to 8 bytes.
    """
    recorder = _Recorder()
    batch = pa.record_batch(_zeroed(shape), schema=arrow_schema(shape.stream, shape.columns))
    with pa.ipc.new_file(recorder, batch.schema) as writer:  # type: ignore[arg-type]
        writer.write_batch(batch)
    split = 2 * len(shape.dictionaries)
    positions = recorder.buffers[:split]
    return Blueprint(
        size=recorder.position,
        metadata=tuple(recorder.metadata),
        dictionaries=tuple(zip(positions[::2], positions[1::2], strict=True)),
        columns=tuple(recorder.buffers[split:]),
    )


def arrow_schema(stream: int, columns: Columns) -> pa.Schema:
    """Return the Arrow schema of a segment; its metadata repeats what the fields say, for a quick look."""
    head = [
        pa.field(METRIC, ARROW_TYPES["str"], nullable=False),
        pa.field(VALUE, pa.float64(), nullable=False),
        pa.field(TIME, pa.timestamp("ns", "UTC"), nullable=False),
    ]
    if columns.mixed:
        head.append(pa.field(PRESENT, pa.int64(), nullable=False))
    ids = [pa.field(name, ARROW_TYPES[kind], nullable=False, metadata={"kind": kind}) for name, kind in columns.ids]
    said = {"format": FORMAT_VERSION, "mixed": columns.mixed, "stream": stream, "ids": columns.ids}
    return pa.schema([*head, *ids], metadata={METADATA_KEY: json.dumps(said).encode()})


def _zeroed(shape: Shape) -> list[pa.Array[Any]]:
    rows, capacities = shape.rows, iter(shape.dictionaries)
    arrays: list[pa.Array[Any]] = []
    for field in arrow_schema(shape.stream, shape.columns):
        if pa.types.is_dictionary(field.type):
            codes = _zeros(pa.int32(), rows)
            arrays.append(pa.DictionaryArray.from_arrays(codes, _empty_names(next(capacities)), safe=False))
        else:
            arrays.append(_zeros(field.type, rows))
    return arrays


def _zeros(kind: pa.DataType, rows: int) -> pa.Array[Any]:
    return pa.Array.from_buffers(kind, rows, [None, pa.py_buffer(bytes(rows * kind.bit_width // 8))])


def _empty_names(capacity: Capacity) -> pa.Array[Any]:
    """Build a dictionary of empty names, of which the second owns all the free bytes."""
    offsets = np.full(capacity.entries + 1, capacity.bytes, np.int32)
    offsets[:2] = 0
    buffers = [None, pa.py_buffer(offsets.data), pa.py_buffer(bytes(capacity.bytes))]
    return pa.Array.from_buffers(pa.utf8(), capacity.entries, buffers)


class _Recorder:
    """A file that notes where pyarrow puts the buffers, and keeps everything else.

    NOTE: pyarrow hands a buffer to `write` as a pyarrow.Buffer and its own metadata and padding as bytes.
    """

    closed = False

    def __init__(self) -> None:
        self.position = 0
        self.buffers: list[int] = []
        self.metadata: list[tuple[int, bytes]] = []

    def write(self, data: bytes | pa.Buffer) -> int:
        if isinstance(data, bytes):
            self.metadata.append((self.position, data))
        else:
            self.buffers.append(self.position)
        self.position += len(data)
        return len(data)

    def tell(self) -> int:
        return self.position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""
