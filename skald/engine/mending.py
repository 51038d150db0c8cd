"""Mending: a segment that was cut off gets back what its shape tells, and keeps the rows that are whole.

Invariant: a row of which a part is missing does not exist.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from skald.engine.blueprint import METADATA_KEY, Capacity, Columns, Shape, arrow_schema, blueprint

_MAGIC_BYTES: Final = 8
_ROOMS: Final = (1 << 22, 1 << 29)
"""As much as may be missing: it is tried with little first."""
_TIME: Final = 2
"""The place of the time among the columns."""


class Mended(NamedTuple):
    """A segment as a whole file, and how many rows it has."""

    data: bytes
    rows: int


def mend(data: bytes) -> Mended | None:
    """Return a segment that was cut off as a whole file, without rows that are not wholly there.

    Args:
        data: what is left of its file.

    Returns:
        The file; None where nothing is missing, its shape cannot be told any more, or another program made it.
    """
    shape = next(filter(None, (_shape(data, room) for room in _ROOMS)), None)
    plan = blueprint(shape) if shape else None
    if shape is None or plan is None or len(data) >= plan.size:
        return None
    whole = bytearray(data.ljust(plan.size, b"\0"))
    for place, content in plan.metadata:
        there = data[place : place + len(content)]
        if place >= _MAGIC_BYTES and not content.startswith(there):
            return None  # another program has made it
        if len(there) < len(content):
            whole[place : place + len(content)] = content
    fields = arrow_schema(shape.stream, shape.columns)
    kept = min((len(data) - place) // _width(field.type) for place, field in zip(plan.columns, fields, strict=True))
    kept = min(max(kept, 0), shape.rows)
    time = plan.columns[_TIME]
    whole[time + 8 * kept : time + 8 * shape.rows] = bytes(8 * (shape.rows - kept))
    return Mended(bytes(whole), int(np.count_nonzero(np.frombuffer(whole, np.int64, kept, time))))


def _shape(data: bytes, room: int) -> Shape | None:
    """Return the shape of a segment, of which no more than so many bytes are missing.

    NOTE: behind its magic an Arrow file is a stream, which says of each part how long it is.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(data[_MAGIC_BYTES:] + bytes(room))) as reader:
            batch = reader.read_next_batch()
        said = json.loads((batch.schema.metadata or {})[METADATA_KEY])
        columns = Columns(tuple((name, kind) for name, kind in said["ids"]), said["mixed"])
        names = [column.dictionary for column in batch.columns if isinstance(column, pa.DictionaryArray)]
        return Shape(said["stream"], columns, batch.num_rows, tuple(map(_capacity, names)))
    except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, StopIteration):
        return None


def _capacity(names: Any) -> Capacity:
    text = names.buffers()[2]
    return Capacity(len(names), text.size if text is not None else 0)


def _width(kind: pa.DataType) -> int:
    return (kind.index_type if pa.types.is_dictionary(kind) else kind).bit_width // 8
