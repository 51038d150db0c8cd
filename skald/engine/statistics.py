"""The summary of each series of a metrics file, gathered while its rows are written.

Invariant: at most `MAX_SERIES` summaries are kept, so that what they take grows with nothing: of each series; where
there are more, of each metric; where there are more metrics, none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skald.engine.arrays import arrow_array
from skald.engine.merge import Chunk
from skald.engine.order import NEVER
from skald.engine.rows import IdColumn, Ints, take_ids
from skald.engine.series import Number, SeriesTable
from skald.schema import BIN_HIGH, BIN_LOW, Id, Kinds, series_ids

MAX_SERIES: Final = 10_000
_DENSE: Final = 1 << 22
"""Numbers up to this are counted one by one, which takes less time than sorting them."""
_PLACES: Final = frozenset(("min", "max", "nan"))
_EMPTY: Final = -1
"""The number of a string or bool id that a row lacks."""

Array = npt.NDArray[Any]
Columns = dict[str, Array]


class SeriesTally:
    """Gathers the summaries chunk by chunk: of each chunk a table of its series, which is merged with that before."""

    def __init__(self, kinds: Kinds) -> None:
        """Begin with no rows, of a run with these ids."""
        self._kinds = kinds
        self._by = series_ids(kinds)
        self._texts: dict[str, dict[str, int]] = {name: {} for name in self._by if kinds[name] == "str"}
        self._table: Columns | None = None
        self._metrics: Sequence[str] = ()
        self._rows = 0

    def add(self, chunk: Chunk) -> None:
        """Take in the rows of a chunk, which has some."""
        self._metrics = chunk.names
        if len(self._metrics) > MAX_SERIES:  # NOTE: 100,000 take a footer of 14 MB, and a third of the close
            self._table = None
            return
        before, self._rows = self._rows, self._rows + len(chunk)
        chosen = _in_series(chunk.ids)
        values = chunk if chosen is None else _chosen(chunk, chosen)
        if not len(values):
            return
        found = _series(values, self._by)
        if found is None:
            self._forget_ids()
            found = _series(values, [])
        assert found is not None
        keys, order, starts = found
        if chosen is not None:
            order = chosen if order is None else chosen[order]
        part = _statistics(chunk, order, starts, before)
        part[_key(0)] = keys[0]
        for number, name in enumerate(self._by, 1):
            part[_key(number)] = self._joint_numbers(name, keys[number], chunk.ids[name])
        self._table = part if self._table is None else _merged([self._table, part], len(self._by) + 1)
        if len(self._table["count"]) > MAX_SERIES and self._by:
            self._forget_ids()

    def table(self) -> SeriesTable | None:
        """Return what was gathered; None of more metrics than are kept."""
        if len(self._metrics) > MAX_SERIES:
            return None
        table = self._table
        if table is None:
            ids: dict[str, list[Id | None]] = {name: [] for name in self._kinds}
            return SeriesTable(by=self._by, ids={name: [] for name in self._by}, min_at=ids, max_at=ids, nan_at=ids)
        table = _take(table, _order_of_appearance(table))
        return SeriesTable(
            by=self._by,
            metric=[self._metrics[number] for number in table[_key(0)].tolist()],
            ids={name: self._names(name, table[_key(number)]) for number, name in enumerate(self._by, 1)},
            count=table["count"].tolist(),
            nan=table["nan"].tolist(),
            first=_plain(table["first"]),
            last=_plain(table["last"]),
            min=_where_numbers(table, table["min"]),
            max=_where_numbers(table, table["max"]),
            mean=_where_numbers(table, table["sum"], each=True),
            first_row=table["first_row"].tolist(),
            last_row=table["last_row"].tolist(),
            min_at=self._places(table, "min"),
            max_at=self._places(table, "max"),
            nan_at=self._places(table, "nan"),
        )

    def _forget_ids(self) -> None:
        """Go on with a row a metric."""
        self._by = []
        self._texts = {}
        if self._table is not None:
            self._table = _merged([self._table], 1)

    def _joint_numbers(self, name: str, numbers: Ints, column: IdColumn) -> Ints:
        """Return the numbers of an id's values that are the same in all chunks."""
        if column.names is None:
            return numbers
        known = self._texts[name]
        joint = [known.setdefault(text, len(known)) for text in column.names.to_pylist()]
        return np.array([*joint, _EMPTY], np.int64)[numbers]

    def _names(self, name: str, numbers: Ints) -> list[str | bool | None]:
        values: list[str | bool] = [*self._texts[name]] if name in self._texts else [False, True]
        return [None if number == _EMPTY else values[number] for number in numbers.tolist()]

    def _places(self, table: Columns, place: str) -> dict[str, list[Id | None]]:
        """Return the ids at a place; null where a series has no such place, and where the row lacks the id."""
        has_place = table[f"{place}_row"] != NEVER
        return {
            name: [
                _number(value) if is_given else None
                for value, is_given in zip(
                    table[f"{place} {name}"].tolist(), (table[f"{place}? {name}"] & has_place).tolist(), strict=True
                )
            ]
            for name in self._kinds
        }


def _key(number: int) -> str:
    """Return the column of the metric (0), or of the n-th id in `by`."""
    return f"key {number}"


def _in_series(ids: Mapping[str, IdColumn]) -> Ints | None:
    """Return which rows are no bins of a histogram; None: all of them."""
    if BIN_LOW not in ids or BIN_HIGH not in ids:
        return None
    masks = [column.given for column in (ids[BIN_LOW], ids[BIN_HIGH]) if column.given is not None]
    return np.flatnonzero(~np.logical_and.reduce(masks)) if masks else np.zeros(0, np.int64)


def _chosen(chunk: Chunk, rows: Ints) -> Chunk:
    return Chunk(chunk.metric[rows], chunk.names, chunk.value[rows], chunk.time[rows], take_ids(chunk.ids, rows))


def _series(chunk: Chunk, by: Sequence[str]) -> tuple[list[Ints], Ints | None, Ints] | None:
    """Tell the series of a chunk apart; None where there are too many.

    Returns:
        of each series the numbers of its metric and of its ids in `by`; the rows in the order of the series (None: as
        they stand); where in that order each series starts.
    """
    metric = chunk.metric
    starts = np.flatnonzero(np.concatenate([[True], metric[1:] != metric[:-1]]))
    keys = [metric[starts].astype(np.int64)]
    if not by:
        return keys, None, starts
    counts = np.diff(np.append(starts, len(chunk)))
    codes: Ints = np.repeat(np.arange(len(starts)), counts)
    for name in by:
        column = chunk.ids[name]
        size = 1 + (2 if column.names is None else len(column.names))
        if max(len(starts), size - 2) > MAX_SERIES:  # all strings of a chunk occur in it, but for the one of no id
            return None
        numbers = column.values if column.given is None else np.where(column.given, column.values, _EMPTY)
        codes, counts, used = _dense(codes * size + (numbers + np.int64(1)), len(counts) * size)
        if len(used) > MAX_SERIES:
            return None
        keys = [key[used // size] for key in keys]
        keys.append(used % size - 1)
    order = np.argsort(codes.astype(np.uint16), kind="stable")  # linear for 16 bits
    return keys, order, np.cumsum([0, *counts[:-1]])


def _dense(codes: Any, size: int) -> tuple[Ints, Ints, Ints]:
    """Number the codes that occur without gaps; return the numbers, how often each occurs, and what they stand for."""
    if size > _DENSE:
        used, numbers, counts = np.unique(codes, return_inverse=True, return_counts=True)
        return numbers, counts, used
    counts = np.bincount(codes, minlength=size)
    used = np.flatnonzero(counts)
    numbers = np.zeros(size, np.int64)
    numbers[used] = np.arange(len(used))
    return numbers[codes], counts[used], used


def _statistics(chunk: Chunk, order: Ints | None, starts: Ints, before: int) -> Columns:
    """Return the statistics of series whose rows stand together in `order`, with the ids at their extremes.

    Args:
        chunk: the rows.
        order: of the rows.
        starts: where in that order each series starts.
        before: how many rows of the file stand before the chunk.
    """
    value = chunk.value if order is None else chunk.value[order]
    stops = np.append(starts[1:], len(value))
    is_nan = np.isnan(value)
    nan = np.add.reduceat(is_nan, starts, dtype=np.int64)
    number, low, high = value, value, value
    if nan.any():
        number, low, high = (np.where(is_nan, other, value) for other in (0.0, np.inf, -np.inf))
    with np.errstate(all="ignore"):  # a sum may be beyond a float, and that of two infinities is NaN
        table = {
            "count": stops - starts,
            "nan": nan,
            "sum": np.add.reduceat(number, starts),
            "min": np.minimum.reduceat(low, starts),
            "max": np.maximum.reduceat(high, starts),
        }
    found = {
        "first": starts,
        "last": stops - 1,
        "min": _first(value, table["min"], starts, stops),
        "max": _first(value, table["max"], starts, stops),
        "nan": _first_true(is_nan, starts, stops),
    }
    table |= {name: value[found[name]] for name in ("first", "last")}
    for name, positions in found.items():
        exists = positions != NEVER
        rows = np.where(exists, positions, 0)
        rows = rows if order is None else order[rows]
        table[f"{name}_row"] = np.where(exists, rows + before, NEVER)
        if name in _PLACES:
            table |= _ids_at(chunk.ids, rows, name)
    return table


def _first(value: Array, wanted: Array, starts: Ints, stops: Ints) -> Ints:
    """Return where each series has the value that is wanted of it first; NEVER where it has it nowhere."""
    return _first_true(value == np.repeat(wanted, stops - starts), starts, stops)


def _first_true(mask: Array, starts: Ints, stops: Ints) -> Ints:
    hits = np.append(np.flatnonzero(mask), NEVER)
    first = hits[np.searchsorted(hits, starts)]
    return np.where(first < stops, first, NEVER)


def _ids_at(ids: Mapping[str, IdColumn], rows: Ints, place: str) -> Columns:
    """Return the ids of some rows, each as a column of values and one that tells where they are given."""
    found: Columns = {}
    for name, column in ids.items():
        values = column.values[rows]
        if column.names is not None:
            used, numbers = np.unique(values, return_inverse=True)
            texts = column.names.take(arrow_array(used.astype(np.int64), pa.int64())).to_pylist()
            values = np.array([*texts, None], object)[numbers]
        found[f"{place} {name}"] = values
        found[f"{place}? {name}"] = np.ones(len(rows), np.bool_) if column.given is None else column.given[rows]
    return found


def _merged(parts: Sequence[Columns], keys: int) -> Columns:
    """Return one table of the series of several, told apart by their first `keys` keys."""
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[-1]}
    series: Ints = np.zeros(len(every["count"]), np.int64)
    for number in range(keys):
        key: Ints = every[_key(number)] + 1
        size = int(key.max()) + 1
        series, _, _ = _dense(series * size + key, (int(series.max()) + 1) * size)
    picked = {
        "first": _pick(series, every["first_row"]),
        "last": _pick(series, -every["last_row"]),
        "min": _pick(series, every["min"], every["min_row"]),
        "max": _pick(series, -every["max"], every["max_row"]),
        "nan": _pick(series, every["nan_row"]),
    }
    table = {_key(number): every[_key(number)][picked["first"]] for number in range(keys)}
    with np.errstate(all="ignore"):
        for name in ("count", "nan", "sum"):
            table[name] = np.zeros(len(picked["first"]), every[name].dtype)
            np.add.at(table[name], series, every[name])
    for name, rows in picked.items():
        table |= {
            column: values[rows]
            for column, values in every.items()
            if column == f"{name}_row" or column.startswith((f"{name} ", f"{name}? ")) or (column == name != "nan")
        }
    return table


def _pick(series: Ints, *by: Array) -> Ints:
    """Return for each series which of its rows is the smallest."""
    order = np.lexsort([*by[::-1], series])
    return order[np.flatnonzero(np.diff(series[order], prepend=-1))]


def _take(table: Columns, rows: Ints) -> Columns:
    return {name: values[rows] for name, values in table.items()}


def _order_of_appearance(table: Columns) -> Ints:
    """Return the order of metrics by their first row, and inside a metric that of series by theirs."""
    first, metric = table["first_row"], table[_key(0)]
    of_metric = np.full(int(metric.max()) + 1, NEVER, np.int64)
    np.minimum.at(of_metric, metric, first)
    return np.lexsort([first, of_metric[metric]])


def _where_numbers(table: Columns, values: Array, *, each: bool = False) -> list[Number]:
    """Return values, or `each` of them by the count of numbers; None for a series that has nothing but NaN."""
    counts = table["count"] - table["nan"]
    found = _plain(values / np.maximum(counts, 1) if each else values)
    return [value if count else None for value, count in zip(found, counts.tolist(), strict=True)]


def _plain(values: Array) -> list[Number]:
    """Return floats as JSON can hold them."""
    found: list[Number] = values.tolist()
    return found if np.isfinite(values).all() else [_number(value) for value in found]


def _number(value: Any) -> Any:
    if not isinstance(value, float) or value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124  NaN is not itself
