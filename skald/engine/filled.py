"""Filled segments: those that hold a large batch, and nothing else."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np

from skald.engine.batch import Batch, IdColumn
from skald.engine.blueprint import Capacity, Columns, Shape, blueprint
from skald.engine.storage import Parts
from skald.schema import Id, Kind, fit_id

FILLED_ROWS: Final = 16_384
"""From so many rows on a batch gets segments of its own."""
MOST_ROWS: Final = 1 << 20

_TYPES: Final[dict[Kind, type]] = {"int": np.int64, "float": np.float64, "bool": np.int8, "str": np.int32}
Ids = Mapping[str, Id | IdColumn]


def as_kind(name: str, value: Id | IdColumn, kind: Kind) -> Id | IdColumn:
    """Return an id as its column stores it: ints of a float column become floats."""
    if not isinstance(value, IdColumn):
        return fit_id(name, value, kind)
    if value.kind == kind:
        return value
    for number in (value.numbers.min(), value.numbers.max()) if len(value.numbers) else ():
        fit_id(name, int(number), kind)
    return IdColumn("float", value.numbers.astype(np.float64))


class Filled(NamedTuple):
    """A segment that is full from the start."""

    shape: Shape
    head: Parts
    """What must be in the file when it appears."""
    columns: Parts
    """The rows; their times are last, as in every segment."""


def filled_segments(batch: Batch, stream: int, columns: Columns, ids: Ids) -> Iterator[Filled]:
    """Cut a batch into segments: metric after metric, each with all its places in the piece."""
    step = max(1, MOST_ROWS // len(batch.values))
    for first in range(0, batch.length, step):
        yield _filled(batch, stream, columns, ids, slice(first, min(first + step, batch.length)))


def _filled(batch: Batch, stream: int, columns: Columns, ids: Ids, piece: slice) -> Filled:
    count, metrics = piece.stop - piece.start, len(batch.values)
    names = [tuple(batch.values), *(_strings(ids[name]) for name, kind in columns.ids if kind == "str")]
    dictionaries = [_dictionary(strings) for strings in names]
    shape = Shape(stream, columns, count * metrics, tuple(capacity for capacity, _, _ in dictionaries))
    layout = blueprint(shape)
    head: list[tuple[int, object]] = [*layout.metadata]
    for (offsets_at, bytes_at), (_, offsets, data) in zip(layout.dictionaries, dictionaries, strict=True):
        head += [(offsets_at, offsets), (bytes_at, data)]
    metric_at, value_at, time_at, *id_positions = layout.columns
    rows: list[tuple[int, object]] = [(metric_at, np.repeat(np.arange(1, metrics + 1, dtype=np.int32), count))]
    rows += [(value_at + 8 * count * k, values[piece]) for k, values in enumerate(batch.values.values())]
    for position, (name, kind) in zip(id_positions, columns.ids, strict=True):
        rows += _repeated(position, _numbers(ids[name], kind, piece), metrics)
    times = batch.times if len(batch.times) == 1 else batch.times[piece]
    rows += _repeated(time_at, np.broadcast_to(times, count), metrics)
    return Filled(shape, head, rows)


def _repeated(position: int, column: np.ndarray, times: int) -> list[tuple[int, np.ndarray]]:
    column = np.ascontiguousarray(column)
    return [(position + column.nbytes * k, column) for k in range(times)]


def _numbers(value: Id | IdColumn, kind: Kind, piece: slice) -> np.ndarray:
    """Return what an id column stores; code 0 of a dictionary is no string's."""
    if isinstance(value, IdColumn):
        return value.numbers[piece] + 1 if kind == "str" else value.numbers[piece]
    return np.full(piece.stop - piece.start, 1 if kind == "str" else value, _TYPES[kind])


def _strings(value: Id | IdColumn) -> tuple[str, ...]:
    return value.strings if isinstance(value, IdColumn) else (str(value),)


def _dictionary(strings: tuple[str, ...]) -> tuple[Capacity, array[int], bytes]:
    encoded = [string.encode() for string in strings]
    offsets = array("i", [0, 0, *accumulate(map(len, encoded))])
    # NOTE: of no bytes at all pyarrow would write no buffer
    return Capacity(len(offsets) - 1, max(offsets[-1], 1)), offsets, b"".join(encoded)
