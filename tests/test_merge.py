"""Merging streams into chunks, held against a plain sort."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skald.engine.feeds import Piece, Rank
from skald.engine.merge import LEAST_CHUNK_ROWS, MOST_CHUNK_ROWS, MOST_WAITING, Chunk, chunk_rows, merge
from skald.engine.order import NEVER, Interner
from skald.engine.rows import IdColumn, Mask
from skald.schema import Kind, Kinds

KEYS = st.lists(st.lists(st.integers(0, 40), max_size=5), max_size=4)


class ListFeed:
    """A feed of one metric whose keys stand in lists, one for each piece."""

    def __init__(self, number: int, parts: Sequence[Sequence[int]]) -> None:
        """Take keys that never decrease."""
        self._number, self._row = number, 0
        self._parts = list(parts)
        self._set_bound()

    def _set_bound(self) -> None:
        self.bound = min((key for part in self._parts for key in part), default=0) if self._parts else NEVER

    def read(self) -> Piece:
        """Return the next piece; a row's value tells its feed and its place there."""
        keys = self._parts.pop(0)
        self._set_bound()
        rows = range(self._row, self._row + len(keys))
        self._row += len(keys)
        return piece(keys, [1000 * self._number + row for row in rows], number=self._number)


def piece(keys: Sequence[int], values: Sequence[float], *, number: int = 0, **ids: IdColumn) -> Piece:
    """Return rows of one metric."""
    array = np.array(keys, np.int64)
    return Piece(Rank(number), np.zeros(len(keys), np.int32), array, array, np.array(values, np.float64), ids)


class OnePiece:
    """A feed that has one piece."""

    def __init__(self, piece: Piece) -> None:
        """Take the piece."""
        self._piece = piece
        self.bound = int(piece.keys.min())

    def read(self) -> Piece:
        """Return it."""
        self.bound = NEVER
        return self._piece


def sorted_parts(parts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the same keys, never decreasing over all parts."""
    keys = iter(sorted(itertools.chain(*parts)))
    return [list(itertools.islice(keys, len(part))) for part in parts]


def merged(chunks: Sequence[Chunk]) -> list[float]:
    """Return the values of all chunks."""
    return [value for chunk in chunks for value in chunk.value.tolist()]


@given(st.lists(KEYS, max_size=4), st.integers(1, 20))
def test_rows_are_merged_by_key_and_then_by_rank(streams: list[list[list[int]]], rows: int) -> None:
    """Keys decide, then the number of the segment, then the place in the stream, whatever the chunks."""
    parts = [sorted_parts(stream) for stream in streams]
    plain = [
        (key, 1000 * number + row)
        for number, stream in enumerate(parts)
        for row, key in enumerate(itertools.chain(*stream))
    ]
    feeds = [ListFeed(number, stream) for number, stream in enumerate(parts)]
    total = len(plain)

    chunks = list(merge(feeds, Interner(["m"]), {}, rows=max(rows, total // MOST_WAITING + 1)))

    assert merged(chunks) == [value for _, value in sorted(plain)]
    assert all(len(chunk) for chunk in chunks)


def test_chunks_stay_small_and_streams_in_order_when_one_lags_behind() -> None:
    """A stream that holds everybody up costs the order between streams, never memory nor its own order."""
    lagging = ListFeed(0, [[50] * 3] * 40 + [[50, 50, 50]])
    lagging.bound = 0
    lagging._set_bound = lambda: setattr(lagging, "bound", 0 if lagging._parts else NEVER)  # type: ignore[method-assign]
    other = ListFeed(1, [[key] * 5 for key in range(1, 60)])

    chunks = list(merge([lagging, other], Interner(["m"]), {}, rows=10))

    assert max(map(len, chunks)) <= 10 * MOST_WAITING + 10
    values = merged(chunks)
    assert sorted(values) == [*range(123), *range(1000, 1295)]
    assert [value for value in values if value < 1000] == [*range(123)]
    assert [value for value in values if value >= 1000] == [*range(1000, 1295)]


def test_chunk_is_sorted_by_metric_and_each_metric_by_key() -> None:
    """Metrics stand in order of first appearance."""
    first = Piece(
        Rank(0), np.array([1, 0, 1], np.int32), np.array([5, 6, 7]), np.array([5, 6, 7]), np.array([0.0, 1, 2]), {}
    )
    second = Piece(
        Rank(1), np.array([0, 1, 2], np.int32), np.array([1, 6, 8]), np.array([1, 6, 8]), np.array([3.0, 4, 5]), {}
    )

    (chunk,) = merge([OnePiece(first), OnePiece(second)], Interner("xyz"), {})

    assert chunk.metric.tolist() == [0, 0, 1, 1, 1, 2]
    assert chunk.value.tolist() == [3, 1, 0, 4, 2, 5]
    assert chunk.names == ["x", "y", "z"]


def column(kind: Kind, values: Sequence[object], given: Sequence[bool] | None = None) -> IdColumn:
    """Return an id column; strings get codes of their own."""
    mask: Mask | None = None if given is None else np.array(given)
    if kind == "str":
        names = ["", *dict.fromkeys(map(str, values))]
        codes = [names.index(str(value)) for value in values]
        return IdColumn(kind, np.array(codes, np.int32), pa.array(names, pa.utf8()), mask)
    return IdColumn(kind, np.array(values), given=mask)


def shown(column: IdColumn) -> list[object]:
    """Return what a column holds, None where it was not given."""
    values = column.values.tolist()
    if column.names is not None:
        values = [column.names[code].as_py() for code in values]
    given = [True] * len(values) if column.given is None else column.given.tolist()
    return [value if is_given else None for value, is_given in zip(values, given, strict=True)]


def test_ids_of_several_feeds_are_joined() -> None:
    """Ids that a feed lacks are missing in its rows; dictionaries and kinds are unified."""
    first = piece([1, 2], [1, 2], s=column("str", ["a", "b"]), n=column("int", [7, 8]))
    second = piece(
        [3, 4], [3, 4], number=1, s=column("str", ["b", "?"], [True, False]), x=column("bool", [True, False])
    )
    third = piece([5], [5], number=2, n=column("float", [0.5]), x=column("int", [3]))
    kinds: Kinds = {"n": "float", "s": "str", "x": "str"}

    (chunk,) = merge([OnePiece(third), OnePiece(second), OnePiece(first)], Interner(["m"]), kinds)

    assert {name: chunk.ids[name].values.dtype for name in kinds} == {"n": float, "s": np.int32, "x": np.int32}
    assert shown(chunk.ids["n"]) == [7.0, 8.0, None, None, 0.5]
    assert shown(chunk.ids["s"]) == ["a", "b", "b", None, None]
    assert shown(chunk.ids["x"]) == [None, None, "true", "false", "3"]


@pytest.mark.parametrize("ids", [0, 2, 30, 3000])
def test_chunks_of_many_columns_have_fewer_rows(ids: int) -> None:
    """Memory is bounded whatever the number of ids."""
    rows = chunk_rows({f"id{number}": "int" for number in range(ids)})

    assert LEAST_CHUNK_ROWS <= rows <= MOST_CHUNK_ROWS
    assert rows * 9 * ids <= 100 << 20 or rows == LEAST_CHUNK_ROWS
