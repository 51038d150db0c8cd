"""The summary of each series: of a metrics file, gathered while its rows are written, and of rows in segments.

Invariant: at most `MAX_SERIES` summaries are kept, so that what they take grows with nothing: of each series; where
there are more, of each metric; where there are more metrics, none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from skald.engine.arrays import take_texts, text_array
from skald.engine.merge import Chunk
from skald.engine.order import NEVER
from skald.engine.rows import IdColumn, Ints, take_ids
from skald.engine.series import Number, SeriesTable
from skald.schema import BIN_HIGH, BIN_LOW, METRIC, Id, Kind, Kinds, series_ids

MAX_SERIES: Final = 10_000
_DENSE: Final = 1 << 22
"""Numbers up to this are counted one by one, which takes less time than sorting them."""
_PLACES: Final = frozenset(("min", "max", "nan"))
_PICKED: Final = ("first", "last", *sorted(_PLACES))
"""The rows of a series that are told apart: `NAME_row` is where each stands, NEVER where there is none."""
_EMPTY: Final = -1
"""The code of a string or bool id that a row lacks."""
_TYPES: Final[Mapping[Kind, Any]] = {"int": np.int64, "float": np.float64, "str": object, "bool": np.bool_}

Array = npt.NDArray[Any]
Columns = dict[str, Array]


class Values(NamedTuple):
    """Rows to sum up, each metric's in log order."""

    metric: IdColumn
    value: npt.NDArray[np.float64]
    ids: Mapping[str, IdColumn]


class Part(NamedTuple):
    """The series of some rows."""

    rows: int
    table: Columns
    """A row a series: metric and ids, statistics, and of its picked rows the ids; empty where there is no series."""


class SeriesTally:
    """Gathers the summaries part by part: of each part a table of its series, which is merged with that before."""

    def __init__(self, kinds: Kinds) -> None:
        """Begin with no rows, of a run with these ids."""
        self._kinds = kinds
        self._by = series_ids(kinds)
        self._numbers: dict[str, dict[str | bool | None, int]] = {name: {} for name in (METRIC, *self._by)}
        self._table: Columns | None = None
        self._rows = 0
        self._too_many = False

    def add(self, chunk: Chunk) -> None:
        """Take in the rows of a chunk, which has some."""
        self._too_many = len(chunk.names) > MAX_SERIES  # NOTE: 100,000 take a footer of 14 MB, a third of the close
        if self._too_many:
            self._table = None
            return
        values = Values(IdColumn("str", chunk.metric, text_array(chunk.names)), chunk.value, chunk.ids)
        part = sum_up(values, self._by)
        if part is None:
            self._forget_ids()
            part = sum_up(values, [])
        assert part is not None
        before, self._rows = self._rows, self._rows + part.rows
        self.take([part], lambda rows: rows + before)

    def take(self, parts: Sequence[Part], place: Callable[[Ints], Ints]) -> None:
        """Take in parts of rows that stand behind each other.

        Args:
            parts: summed up by the ids that tell series apart.
            place: returns where among all rows those stand whose positions among the rows of `parts` it is given.
        """
        starts = np.cumsum([0, *(part.rows for part in parts[:-1])]).tolist()
        tables = [self._numbered(part.table, start) for part, start in zip(parts, starts, strict=True) if part.table]
        if not tables:
            return
        table = _moved(_merged(tables, len(self._by) + 1), place)
        self._table = table if self._table is None else _merged([self._table, table], len(self._by) + 1)
        if len(self._table["count"]) > MAX_SERIES and self._by:
            self._forget_ids()

    def table(self) -> SeriesTable | None:
        """Return what was gathered; None of more metrics than are kept."""
        if self._too_many:
            return None
        table = self._table
        if table is None:
            ids: dict[str, list[Id | None]] = {name: [] for name in self._kinds}
            return SeriesTable(by=self._by, ids={name: [] for name in self._by}, min_at=ids, max_at=ids, nan_at=ids)
        table = _take(table, _order_of_appearance(table))
        numbers = table["count"] - table["nan"]
        plain: dict[str, Any] = {name: table[name].tolist() for name in ("count", "nan", "first_row", "last_row")}
        plain |= {name: _plain(table[name]) for name in ("first", "last")}
        table["mean"] = table["sum"] / np.maximum(numbers, 1)
        plain |= {name: _plain(table[name], numbers > 0) for name in ("min", "max", "mean")}
        plain |= {f"{place}_at": self._places(table, place) for place in _PLACES}
        keys = [self._named(name, table[_key(number)]) for number, name in enumerate((METRIC, *self._by))]
        return SeriesTable(by=self._by, metric=keys[0], ids=dict(zip(self._by, keys[1:], strict=True)), **plain)

    def _forget_ids(self) -> None:
        """Go on with a row a metric."""
        self._by = []
        if self._table is not None:
            self._table = _merged([self._table], 1)

    def _numbered(self, table: Columns, start: int) -> Columns:
        """Return the table of a part that begins at row `start`, with numbers and columns that are those of all."""
        found = _moved(table, lambda rows: rows + start)
        for number, name in enumerate((METRIC, *self._by)):
            known = self._numbers[name]
            keys = [known.setdefault(key, len(known)) for key in table[_key(number)].tolist()]
            found[_key(number)] = np.array(keys, np.int64)
        count = len(table["count"])
        missing = [(name, kind) for name, kind in self._kinds.items() if f"min {name}" not in table]
        for place in _PLACES:
            found |= {f"{place} {name}": np.zeros(count, _TYPES[kind]) for name, kind in missing}
            found |= {f"{place}? {name}": np.zeros(count, np.bool_) for name, _ in missing}
        return found

    def _named(self, name: str, numbers: Ints) -> list[Any]:
        """Return what the numbers of a metric or an id stand for."""
        values = list(self._numbers[name])
        return [values[number] for number in numbers.tolist()]

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


def sum_up(values: Values, by: Sequence[str]) -> Part | None:
    """Return the series of some rows, told apart by the ids in `by`; None where there are more than are kept."""
    rows = len(values.value)
    chosen = _in_series(values.ids)
    if chosen is not None:
        metric, ids = take_ids({METRIC: values.metric}, chosen)[METRIC], take_ids(values.ids, chosen)
        values = Values(metric, values.value[chosen], ids)
    if not len(values.value):
        return Part(rows, {})
    found = _series(values, by)
    if found is None:
        return None
    keys, order, starts = found
    table = _statistics(values, order, starts)
    columns = [values.metric, *(values.ids.get(name) for name in by)]
    table |= {_key(number): _texts(column, keys[number]) for number, column in enumerate(columns)}
    return Part(rows, table if chosen is None else _moved(table, lambda places: chosen[places]))


def known_part(series: SeriesTable, rows: int, kinds: Kinds) -> Part:
    """Return as a part what a metrics file says of its series, where all other rows come behind its rows.

    Args:
        series: of each series, none of which is left out.
        rows: how many the file has.
        kinds: the ids of the run.
    """
    if not series.metric:
        return Part(rows, {})
    table = {name: np.array(getattr(series, name), np.int64) for name in ("count", "nan", "first_row", "last_row")}
    table |= {name: np.array(getattr(series, name), np.float64) for name in ("first", "last")}
    counts = table["count"] - table["nan"]
    has_place = {"min": counts > 0, "max": counts > 0, "nan": table["nan"] > 0}
    for name, numbers, other in (("min", series.min, np.inf), ("max", series.max, -np.inf), ("sum", series.mean, 0.0)):
        table[name] = np.where(counts > 0, np.array(numbers, np.float64), other)
    with np.errstate(all="ignore"):
        table["sum"] *= np.maximum(counts, 1)
    for place, exists in has_place.items():
        table[f"{place}_row"] = np.where(exists, table["first_row"], NEVER)  # before all that comes, which is enough
        for name, values in getattr(series, f"{place}_at").items():
            type_ = _TYPES[kinds[name]]
            table[f"{place} {name}"] = np.array([0 if value is None else value for value in values], type_)
            table[f"{place}? {name}"] = np.array([value is not None for value in values])
    keys = [series.metric, *(series.ids.get(name, [None] * len(counts)) for name in series_ids(kinds))]
    return Part(rows, table | {_key(number): np.array(key, object) for number, key in enumerate(keys)})


def _key(number: int) -> str:
    """Return the column of the metric (0), or of the n-th id in `by`."""
    return f"key {number}"


def _moved(table: Columns, place: Callable[[Ints], Ints]) -> Columns:
    """Return a table whose picked rows stand elsewhere."""
    return table | {name: _placed(table[name], place) for name in (f"{picked}_row" for picked in _PICKED)}


def _placed(rows: Ints, place: Callable[[Ints], Ints]) -> Ints:
    """Return where rows stand elsewhere; NEVER stays."""
    exists = rows != NEVER
    return np.where(exists, place(np.where(exists, rows, 0)), NEVER)


def _in_series(ids: Mapping[str, IdColumn]) -> Ints | None:
    """Return which rows are no bins of a histogram; None: all of them."""
    if BIN_LOW not in ids or BIN_HIGH not in ids:
        return None
    masks = [column.given for column in (ids[BIN_LOW], ids[BIN_HIGH]) if column.given is not None]
    return np.flatnonzero(~np.logical_and.reduce(masks)) if masks else np.zeros(0, np.int64)


def _series(values: Values, by: Sequence[str]) -> tuple[list[Ints], Ints | None, Ints] | None:
    """Tell the series of rows apart; None where there are too many.

    Returns:
        of each series the codes of its metric and of its ids in `by`; the rows in the order of the series (None: as
        they stand); where in that order each series starts.
    """
    codes, counts, used = _dense(values.metric.values, len(values.metric.names))
    keys = [used]
    for name in by:
        column = values.ids.get(name)
        if column is None:
            keys.append(np.full(len(used), _EMPTY))
            continue
        size = 1 + (2 if column.names is None else len(column.names))
        if max(len(used), size - 2) > MAX_SERIES:
            return None
        numbers = column.values if column.given is None else np.where(column.given, column.values, _EMPTY)
        codes, counts, used = _dense(codes * size + (numbers + np.int64(1)), len(counts) * size)
        keys = [key[used // size] for key in keys]
        keys.append(used % size - 1)
    if len(used) > MAX_SERIES:
        return None
    short = codes.astype(np.uint16)  # sorted in linear time
    order = None if (short[1:] >= short[:-1]).all() else np.argsort(short, kind="stable")
    return keys, order, np.cumsum([0, *counts[:-1]])


def _dense(codes: Any, size: int) -> tuple[Ints, Ints, Ints]:
    """Number the codes that occur without gaps; return the numbers, how often each occurs, and what they stand for."""
    if (codes[1:] >= codes[:-1]).all():  # as the metrics of a chunk are: half the time
        starts = np.flatnonzero(np.concatenate([[True], codes[1:] != codes[:-1]]))
        counts = np.diff(np.append(starts, len(codes)))
        return np.repeat(np.arange(len(starts)), counts), counts, codes[starts].astype(np.int64)
    if size > _DENSE:
        used, numbers, counts = np.unique(codes, return_inverse=True, return_counts=True)
        return numbers, counts, used
    counts = np.bincount(codes, minlength=size)
    used = np.flatnonzero(counts)
    numbers = np.zeros(size, np.int64)
    numbers[used] = np.arange(len(used))
    return numbers[codes], counts[used], used


def _statistics(values: Values, order: Ints | None, starts: Ints) -> Columns:
    """Return the statistics of series whose rows stand together in `order`, with the ids at their extremes.

    Args:
        values: the rows.
        order: of the rows.
        starts: where in that order each series starts.
    """
    value = values.value if order is None else values.value[order]
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
        rows = positions if order is None else _placed(positions, order.__getitem__)
        table[f"{name}_row"] = rows
        if name in _PLACES:
            table |= _ids_at(values.ids, np.where(rows == NEVER, 0, rows), name)
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
        found[f"{place} {name}"] = values if column.names is None else _texts(column, values)
        found[f"{place}? {name}"] = np.ones(len(rows), np.bool_) if column.given is None else column.given[rows]
    return found


def _texts(column: IdColumn | None, codes: Array) -> Array:
    """Return what codes of a column stand for: strings or bools; None for _EMPTY."""
    if column is None or column.names is None:
        return np.array([False, True, None], object)[codes]
    used, numbers = np.unique(codes, return_inverse=True)
    texts = take_texts(column.names, np.maximum(used, 0)).to_pylist()
    known = np.array([*texts, None], object)  # the last: lest strings of the same length become rows
    known[:-1][used == _EMPTY] = None
    return known[numbers]


def _merged(parts: Sequence[Columns], keys: int) -> Columns:
    """Return one table of the series of several, told apart by their first `keys` keys."""
    every = {name: np.concatenate([part[name] for part in parts]) for name in parts[-1]}
    series: Ints = np.zeros(len(every["count"]), np.int64)
    for number in range(keys):
        key: Ints = every[_key(number)]
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


def _plain(values: Array, exists: Array | None = None) -> list[Number]:
    """Return floats as JSON can hold them, None where there are none."""
    found: list[Number] = values.tolist()
    if not np.isfinite(values).all():
        found = [_number(value) for value in found]
    return found if exists is None else [value if there else None for value, there in zip(found, exists, strict=True)]


def _number(value: Any) -> Any:
    if not isinstance(value, float) or value - value == 0:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124  NaN is not itself
