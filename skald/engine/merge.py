"""Merging streams into one sequence of chunks, each sorted by metric, in bounded memory.

Invariant: of one metric, no row of a chunk is in log order behind a row of a later chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.engine.arrays import numpy_array, text_array
from skald.engine.feeds import Feed, Piece
from skald.engine.order import NEVER, Interner
from skald.engine.rows import IdColumn, Ints, Mask, Texts, as_kind, pays_as_dictionary, take_ids
from skald.schema import Kind, Kinds

CHUNK_BYTES: Final = 96 << 20
MOST_CHUNK_ROWS: Final = 1 << 21
LEAST_CHUNK_ROWS: Final = 1 << 16
MOST_WAITING: Final = 4
"""How many chunks of rows may wait for a stream that lags behind; beyond that, order between streams gives way."""
_TYPES: Final[Mapping[Kind, type[np.generic]]] = {
    "int": np.int64,
    "float": np.float64,
    "str": np.int32,
    "bool": np.bool_,
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows sorted by metric, each metric in log order; every id of the run is a column.

    Attributes:
        metric: the run's numbers of the metrics, ascending.
        names: the metrics' names by number.
        value: the values.
        time: µs since 1970.
        ids: the id columns.
    """

    metric: npt.NDArray[np.integer[Any]]
    names: Sequence[str]
    value: npt.NDArray[np.float64]
    time: Ints
    ids: dict[str, IdColumn]

    def __len__(self) -> int:
        return len(self.metric)


def chunk_rows(kinds: Kinds) -> int:
    """Return how many rows a chunk has, so that chunks of many columns take no more memory."""
    width = 28 + sum(np.dtype(_TYPES[kind]).itemsize + 1 for kind in kinds.values())
    return max(LEAST_CHUNK_ROWS, min(MOST_CHUNK_ROWS, CHUNK_BYTES // width))


def merge(feeds: Sequence[Feed], interner: Interner, kinds: Kinds, *, rows: int | None = None) -> Iterator[Chunk]:
    """Merge feeds by their keys.

    Args:
        feeds: the streams; they are read to their end.
        interner: numbers the metrics of all feeds.
        kinds: the ids of the run, each at least as wide as in any feed.
        rows: about how many rows a chunk has; None: as many as `chunk_rows` says.
    """
    size = chunk_rows(kinds) if rows is None else rows
    unread = [feed for feed in feeds if feed.bound != NEVER]
    pool: list[tuple[Feed, Piece]] = []
    gather = _Gather()
    while unread or pool:
        _fill(pool, unread, size)
        ready, pool = _split(pool, unread, size)
        if ready:
            chunk = _chunk(ready, list(interner.numbers), kinds, gather)
            del ready  # NOTE: before the next rows are read: half the memory, and no new pages for them
            yield chunk
            del chunk


def _fill(pool: list[tuple[Feed, Piece]], unread: list[Feed], size: int) -> None:
    """Read until a chunk of rows is ready, the feed first that is furthest behind."""
    waiting = sum(len(piece) for _, piece in pool)
    goal = size
    while unread and waiting < MOST_WAITING * size:
        if waiting >= goal:
            if _count_ready(pool, unread) >= size:
                return
            goal = waiting + size // 8
        feed = min(unread, key=lambda unread: unread.bound)
        piece = feed.read()
        if len(piece):
            pool.append((feed, piece))
            waiting += len(piece)
        if feed.bound == NEVER:
            unread.remove(feed)


def _limit(pool: Sequence[tuple[Feed, Piece]], unread: Sequence[Feed]) -> int:
    """Return the key from which on rows must wait, as rows still unread may come before them."""
    involved = {id(feed) for feed in (*unread, *(feed for feed, _ in pool))}
    if len(involved) == 1:
        return NEVER  # rows of one feed never stand before those that it gave earlier
    return min((feed.bound for feed in unread), default=NEVER)


def _count_ready(pool: Sequence[tuple[Feed, Piece]], unread: Sequence[Feed]) -> int:
    limit = _limit(pool, unread)
    return sum(int(np.count_nonzero(piece.keys < limit)) for _, piece in pool)


def _split(
    pool: Sequence[tuple[Feed, Piece]], unread: Sequence[Feed], size: int
) -> tuple[list[Piece], list[tuple[Feed, Piece]]]:
    """Part the rows that nothing unread can come before from the others."""
    limit = _limit(pool, unread)
    if unread and _count_ready(pool, unread) < size:
        # NOTE: a stream lags too far behind: the oldest rows go, and what it still has comes to stand behind them
        keys = np.concatenate([piece.keys for _, piece in pool])
        limit = max(limit, int(np.partition(keys, size - 1)[size - 1]) + 1)
    ready, rest = [], []
    for feed, piece in pool:
        goes = piece.keys < limit
        if goes.all():
            ready.append(piece)
        else:
            rest.append((feed, _pick(piece, ~goes)))
            if goes.any():
                ready.append(_pick(piece, goes))
    return ready, rest


def _pick(piece: Piece, chosen: Mask) -> Piece:
    return Piece(
        piece.rank, piece.metric[chosen], piece.keys[chosen], piece.time[chosen], piece.value[chosen],
        take_ids(piece.ids, chosen),
    )  # fmt: skip


class _Gather:
    """Puts parts of columns together, in another order.

    NOTE: the memory for the parts is used again for each column, as new pages cost more than the copying.
    """

    def __init__(self) -> None:
        self._joined: dict[np.dtype[Any], npt.NDArray[Any]] = {}
        self.order: Ints = np.empty(0, np.int64)

    def join(self, parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the parts, all of one type, behind each other; good until the next join."""
        rows, type_ = sum(map(len, parts)), parts[0].dtype
        if len(self._joined.get(type_, ())) < rows:
            self._joined[type_] = np.empty(rows, type_)
        return np.concatenate(parts, out=self._joined[type_][:rows])

    def __call__(self, parts: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return the parts in `order`."""
        return self.join(parts).take(self.order)


def _chunk(pieces: Sequence[Piece], names: Sequence[str], kinds: Kinds, gather: _Gather) -> Chunk:
    """Sort rows by metric, and inside a metric by key; of equal keys the smaller rank comes first."""
    pieces = sorted(pieces, key=lambda piece: piece.rank)  # stable: pieces of one feed stay in their order
    order = _by_key(gather.join([piece.keys for piece in pieces]))
    metric = gather.join([piece.metric for piece in pieces]).astype(_narrow(len(names)))
    by_metric = np.argsort(metric if order is None else metric[order], kind="stable")
    gather.order = by_metric if order is None else order[by_metric]
    return Chunk(
        metric=metric.take(gather.order),
        names=names,
        value=gather([piece.value for piece in pieces]),
        time=gather([piece.time for piece in pieces]),
        ids={name: _gather_id(pieces, name, kind, gather) for name, kind in kinds.items()},
    )


def _by_key(keys: Ints) -> Ints | None:
    """Return the order of the keys; None where they stand in it."""
    return None if (keys[1:] >= keys[:-1]).all() else np.argsort(keys, kind="stable")


def _narrow(count: int) -> type[np.integer[Any]]:
    """Return the smallest type for so many metrics: NumPy sorts 8 and 16 bits by radix, in linear time."""
    return np.uint8 if count <= 1 << 8 else np.uint16 if count <= 1 << 16 else np.int32


def _column(piece: Piece, name: str, kind: Kind) -> IdColumn:
    found = piece.ids.get(name)
    if found is not None:
        return as_kind(found, kind)
    missing = np.zeros(len(piece), np.bool_)
    return IdColumn(kind, np.zeros(len(piece), _TYPES[kind]), text_array([""]) if kind == "str" else None, missing)


def _gather_id(pieces: Sequence[Piece], name: str, kind: Kind, gather: _Gather) -> IdColumn:
    """Put the parts of one id together."""
    columns = [_column(piece, name, kind) for piece in pieces]
    given: Mask | None = None
    if any(column.given is not None for column in columns):
        given = gather([np.ones(len(c.values), np.bool_) if c.given is None else c.given for c in columns])
    if kind != "str":
        return IdColumn(kind, gather([column.values for column in columns]), given=given)
    names: Texts = pa.concat_arrays([column.names for column in columns])
    starts = np.cumsum([0, *(len(column.names) for column in columns[:-1])], dtype=np.int32)
    values = gather([start + column.values for start, column in zip(starts, columns, strict=True)])
    if not pays_as_dictionary(len(names), len(values)):
        return IdColumn(kind, values, names, given)
    texts = names.dictionary_encode()
    return IdColumn(kind, numpy_array(texts.indices, np.int32)[values], texts.dictionary, given)
