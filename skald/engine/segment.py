"""Segments: one Arrow IPC file each, in memory that log calls fill in place.

Invariant: a row exists once its time is not 0, and its time is stored last. No call stores a time once
`seal` has released the view of the times, so a sealed segment never changes again.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
import threading
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from weakref import WeakSet

import numpy as np

from skald.engine.batch import IdColumn
from skald.engine.blueprint import Blueprint, Shape, blueprint
from skald.engine.dictionary import Dictionary, image
from skald.engine.source import BLOCK_ROWS
from skald.engine.storage import Parts, Storage
from skald.schema import Id, Kind

FIRST_ROWS = 1024
MOST_ROWS = 65_536
MOST_LAYOUTS = 256

_FORMATS: dict[Kind, str] = {"int": "q", "float": "d", "bool": "b", "str": "i"}
_PACKER = {code: struct.Struct(code).pack for code in _FORMATS.values()}

State = tuple[Any, ...]
"""What a generated function unpacks: names, counter, metric, value, time, then of each id its column, and
before it its names where it is a string, and last the segment itself."""


class InterleavedError(ValueError):
    """Another thread took rows while a block was being taken: what was taken are holes."""


def content(shape: Shape, older: Sequence[Dictionary | None]) -> Parts:
    """Return all that is not zero in a new segment's file, with its position."""
    layout = blueprint(shape)
    parts: list[tuple[int, object]] = [*layout.metadata]
    for (offsets, data), capacity, names in zip(layout.dictionaries, shape.dictionaries, older, strict=True):
        first_offsets, first_bytes = image(capacity, names)
        parts += [(offsets, first_offsets), (data, first_bytes)]
    return parts


class Segment:
    """One id set's rows, `shape.rows` of them at most, open for appending until sealed."""

    __slots__ = (
        "__weakref__", "_layout", "columns", "counter", "dictionaries", "layouts", "memory", "metric", "names",
        "number", "present", "reserved", "retired", "shape", "state", "storage", "time", "value",
    )  # fmt: skip

    def __init__(
        self, number: int, shape: Shape, storage: Storage, older: Sequence[Dictionary | None], lock: threading.RLock
    ) -> None:
        """Lay a segment over memory that has its `content`.

        Args:
            number: its place in the writer's log order.
            shape: columns and capacities.
            storage: the memory, of the size of the shape's blueprint, and the file.
            older: for each dictionary the one whose names the content took over.
            lock: the writer's.
        """
        self.number, self.shape, self.storage = number, shape, storage
        self.memory: mmap.mmap = storage.memory
        self._layout: Blueprint = blueprint(shape)
        self.counter = itertools.count()
        self.reserved = 0  # rows that wait for their value
        # codes of metrics that come together, by their names; by their number the names and codes of the first
        self.layouts: dict[tuple[str, ...] | int, Any] = {}
        self.retired = False  # no new rows: to be sealed after the last reserved one
        self._cast_dictionaries(older, lock)
        self._cast_columns()
        _segments.add(self)

    def _cast_dictionaries(self, older: Sequence[Dictionary | None], lock: threading.RLock) -> None:
        parts = zip(self._layout.dictionaries, self.shape.dictionaries, older, strict=True)
        self.dictionaries = [
            Dictionary(self.memory, *part, lock, of_metrics=column == 0) for column, part in enumerate(parts)
        ]

    def _cast_columns(self) -> None:
        formats = ["i", "d", "q", *"q" * self.shape.columns.mixed]
        formats += [_FORMATS[kind] for _, kind in self.shape.columns.ids]
        with memoryview(self.memory) as whole:
            views = [
                whole[position : position + self.shape.rows * struct.calcsize(code)].cast(code)
                for position, code in zip(self._layout.columns, formats, strict=True)
            ]
        self.metric, self.value, self.time = views[:3]
        self.present = views[3] if self.shape.columns.mixed else None
        self.columns = views[3 + self.shape.columns.mixed :]
        codes = iter(self.dictionaries)
        self.names = next(codes)
        state: list[Any] = [self.names, self.counter, self.metric, self.value, self.time]
        for (_, kind), view in zip(self.shape.columns.ids, self.columns, strict=True):
            state += [next(codes), view] if kind == "str" else [view]
        self.state: State = (*state, self)

    def store(self, name: str, value: float, ids: Mapping[str, Id], time_ns: int) -> None:
        """Append a row whose parts are plain and legal; the writer's lock is held.

        Raises:
            IndexError: the segment is full.
            DictionaryFull: one of its dictionaries is.
        """
        row = self.reserve(name, ids)
        self.value[row] = value
        self.time[row] = time_ns

    def reserve(self, name: str, ids: Mapping[str, Id]) -> int:
        """Take a row and store its name and ids; it exists once its value and its time are stored."""
        stored = self.stored_ids(ids)
        code = self.names.add(name)
        row = next(self.counter)
        self.metric[row] = code
        for column, number in zip(self.columns, stored, strict=True):
            column[row] = number
        if self.present is not None:
            self.present[row] = sum(1 << k for k, (name, _) in enumerate(self.shape.columns.ids) if name in ids)
        return row

    def hold(self, name: str, ids: Mapping[str, Id]) -> int:
        """Reserve a row whose value comes later, and keep the segment from being sealed until then."""
        row = self.reserve(name, ids)
        self.value[row] = 0.0  # raises IndexError where there are no id columns to do it
        self.reserved += 1
        return row

    def store_rows(self, rows: Sequence[tuple[str, float]], ids: Mapping[str, Id], time_ns: int) -> None:
        """Append rows that share ids and time, as a block; the writer's lock is held.

        Raises:
            IndexError: the segment has no room for all of them; none was appended.
            DictionaryFull: one of its dictionaries is full; none was appended.
        """
        count = len(rows)
        names = tuple(name for name, _ in rows)
        codes = array("i", map(self.names.add, names)).tobytes()
        values = struct.pack(f"{count}d", *[value for _, value in rows])
        self.store_block(
            [codes, values, *self.repeated(self.stored_ids(ids), count)], time_ns.to_bytes(8, "little") * count
        )

    def store_column(self, name: str, values: np.ndarray, ids: Mapping[str, Id | IdColumn], times: np.ndarray) -> None:
        """Append the rows of one metric of a batch, n values; the writer's lock is held.

        Raises:
            IndexError, DictionaryFull: no room; none was appended.
        """
        count = len(values)
        codes = array("i", [self.names.add(name)]) * count
        columns = [codes.tobytes(), values.tobytes()]
        dictionaries = iter(self.dictionaries[1:])
        for (id_, kind), view in zip(self.shape.columns.ids, self.columns, strict=True):
            column = ids[id_]
            add = next(dictionaries).add if kind == "str" else None
            if not isinstance(column, IdColumn):
                columns.append(_PACKER[view.format](add(column) if add else column) * count)  # type: ignore[arg-type]
            elif add:
                columns.append(np.array([*map(add, column.strings)], np.int32)[column.numbers].tobytes())
            else:
                columns.append(column.numbers.tobytes())
        self.store_block(columns, np.broadcast_to(times, count).tobytes())

    def store_known(self, codes: bytes, values: Collection[float], ids: Sequence[Any], time_ns: int) -> None:
        """Append rows whose names came together before, from a log call without a lock.

        Args:
            codes: of the metrics, from `layouts`.
            values: plain floats.
            ids: what each id column stores.
            time_ns: of all rows.

        Raises:
            IndexError, ValueError: no room, other threads, or sealed; nothing was appended.
        """
        count = len(values)
        numbers = struct.pack(f"{count}d", *values)
        self.store_block([codes, numbers, *self.repeated(ids, count)], time_ns.to_bytes(8, "little") * count)

    def store_block(self, columns: Sequence[bytes], times: bytes) -> None:
        """Append rows at once, side by side.

        Args:
            columns: metric codes, values, and what each id column stores, as the bytes of their arrays.
            times: nanoseconds since the epoch, int64.

        Raises:
            IndexError: the segment has no room for all of them; none was appended.
            InterleavedError: another thread took rows in between; none was appended.
        """
        count = len(times) // 8
        first = last = next(self.counter)
        if count > 1:
            last = next(itertools.islice(self.counter, count - 2, None))
        if last >= self.shape.rows:
            raise IndexError(last)
        if last - first != count - 1:
            raise InterleavedError
        metric, value, _, *ids = self._layout.columns
        for position, data in zip((metric, value, *ids), columns, strict=True):
            begin = position + len(data) // count * first
            self.memory[begin : begin + len(data)] = data
        with memoryview(times) as view:
            self.time[first : last + 1] = view.cast("q")

    def learn(self, names: tuple[str, ...]) -> None:
        """Remember the codes of metrics that come together."""
        if len(self.layouts) >= MOST_LAYOUTS:
            self.layouts.clear()
        codes = tuple(self.names.get(name, 0) for name in names)
        if not all(codes):  # a roll between them may have dropped the dictionary
            return
        if len(names) <= BLOCK_ROWS:
            self.layouts[names] = codes
            self.layouts.setdefault(len(names), names + codes)
        else:
            self.layouts[names] = packed = array("i", codes).tobytes()
            self.layouts.setdefault(len(names), (names, packed))

    def repeated(self, stored: Sequence[Any], count: int) -> list[bytes]:
        """Return the bytes of each id column for `count` rows that share their ids."""
        return [_PACKER[view.format](number) * count for view, number in zip(self.columns, stored, strict=True)]

    def stored_ids(self, ids: Mapping[str, Id]) -> list[Any]:
        """Return what each id column stores for a row; a missing id's is 0, and `present` says so."""
        codes = iter(self.dictionaries)
        next(codes)
        stored: list[Any] = []
        for name, kind in self.shape.columns.ids:
            dictionary = next(codes) if kind == "str" else None
            value = ids.get(name, 0)
            stored.append(dictionary.add(value) if dictionary is not None and name in ids else value)  # type: ignore[arg-type]
        return stored

    def seal(self) -> None:
        """End the segment: calls still in flight fail at their commit, then nothing changes any more.

        Where an exception cut it off it is simply done again.
        """
        self.time.release()  # DURABILITY: before anything reads the segment as final
        self.storage.seal()
        self._release_views()
        self.storage.close()

    def abandon(self) -> None:
        """Forget, in a forked child, a segment of the parent."""
        self._release_views()
        self.storage.abandon()

    def _release_views(self) -> None:
        self.state = ()  # which holds this segment: its names would stay until the garbage is collected
        self.time.release()
        for view in (self.metric, self.value, self.present, *self.columns):
            if view is not None:
                view.release()
        for dictionary in self.dictionaries:
            dictionary.release()


_segments: Final[WeakSet[Segment]] = WeakSet()
"""All that this process may store into."""


def _abandon_all() -> None:
    """Let a forked child keep no way into its parent's segments."""
    for segment in list(_segments):
        segment.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_all)
