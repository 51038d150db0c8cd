"""The columns of the table that readers see, as polars has them, from arrays and from a metrics file."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import polars as pl

from skald.engine.rewind import Rewind, are_comparable
from skald.engine.rows import Codes, IdColumn, Mask, Rows, Texts, as_kind, as_text, take
from skald.schema import METRIC, TIME, VALUE, Id, Kind, Kinds, unify

POLARS_TYPES: Final[dict[Kind, pl.DataType]] = {
    "int": pl.Int64(),
    "float": pl.Float64(),
    "str": pl.String(),
    "bool": pl.Boolean(),
}
_MOST_SCHEMAS: Final = 100
"""So many are remembered, as polars looks at each type anew."""
TIME_TYPE: Final = pl.Datetime("us", "UTC")


def table_schema(kinds: Kinds) -> pl.Schema:
    """Return the columns of a run's table, in their order."""
    return _schema(tuple(kinds.items()))


@functools.lru_cache(_MOST_SCHEMAS)
def _schema(kinds: tuple[tuple[str, Kind], ...]) -> pl.Schema:
    ids = {name: POLARS_TYPES[kind] for name, kind in kinds}
    return pl.Schema({METRIC: pl.String(), **ids, VALUE: pl.Float64(), TIME: TIME_TYPE})


def first_then_filtered(
    read: Callable[[list[str] | None, pl.Expr | None, int | None, int | None], Iterator[pl.DataFrame]],
    columns: list[str] | None,
    predicate: pl.Expr,
    n_rows: int,
) -> Iterator[pl.DataFrame]:
    """Yield, of the first rows, those that meet a predicate: so polars means it when it hands both to an IO source.

    Args:
        read: the source.
        columns: those that are wanted; None for all.
        predicate: what rows are to meet.
        n_rows: how many are looked at.
    """
    used = None if columns is None else list(dict.fromkeys([*columns, *predicate.meta.root_names()]))
    for frame in read(used, None, n_rows, None):
        found = frame.filter(predicate)
        yield found.select(columns) if columns else found


def holds(kinds: Kinds, name: str, kind: Kind) -> bool:
    """Tell whether a table of `kinds` can show an id of this kind."""
    return name in kinds and unify(kinds[name], kind) == kinds[name]


def without_later(rows: Rows, kinds: Kinds) -> Rows:
    """Leave out rows with ids that a table of `kinds` cannot show: they were logged after it was asked for."""
    later = [name for name, column in rows.ids.items() if not holds(kinds, name, column.kind)]
    if not later:
        return rows
    given: Mask = np.zeros(len(rows), np.bool_)
    for name in later:
        column = rows.ids.pop(name)
        given |= True if column.given is None else column.given
    return take(rows, ~given, damaged=rows.damaged)


def frame_of(rows: Rows, kinds: Kinds, columns: Collection[str]) -> pl.DataFrame:
    """Return rows as a table with these columns, but for ids that they lack; where that leaves none, of their times."""
    series = {}
    for name in [name for name in columns if name in (METRIC, VALUE, TIME, *rows.ids)] or [TIME]:
        if name == METRIC:
            series[name] = _texts(rows.names, rows.metric)
        elif name == TIME:
            series[name] = pl.Series(rows.time // 1000).cast(TIME_TYPE)
        elif name == VALUE:
            series[name] = pl.Series(rows.value)
        else:
            series[name] = _id_series(as_kind(rows.ids[name], kinds[name]))
    return pl.DataFrame(series)


def _id_series(column: IdColumn) -> pl.Series:
    series = pl.Series(column.values) if column.names is None else _texts(column.names, column.values)
    return series if column.given is None else series.set(pl.Series(~column.given), None)


def _texts(names: Texts, codes: Codes) -> pl.Series:
    texts = pl.Series(names.to_pylist(), dtype=pl.String)
    return texts.gather(pl.Series(codes.astype(np.uint32)))


def fit(file: pl.LazyFrame, stored: Kinds, kinds: Kinds) -> pl.LazyFrame:
    """Bring the rows of a metrics file into a table of `kinds`, without hiding them from push-down.

    Rows with ids that such a table cannot show are left out: they were logged after it was asked for.

    Args:
        file: the rows as they are in the file.
        stored: the kinds there.
        kinds: the kinds of the table.
    """
    if stored == kinds:
        return file
    unknown = [name for name in stored if name not in kinds]
    narrow = [name for name, kind in stored.items() if name in kinds and not holds(kinds, name, kind)]
    wide = [name for name, kind in stored.items() if name in kinds and name not in narrow and kinds[name] != kind]
    for name in unknown:
        file = file.filter(pl.col(name).is_null())
    for name in narrow:
        file = file.filter(pl.col(name).is_null() | _narrowed(name, stored[name], kinds[name]).is_not_null())
    return file.with_columns(
        *(_widened(name, stored[name], kinds[name]) for name in wide),
        *(_narrowed(name, stored[name], kinds[name]) for name in narrow),
        *(pl.lit(None, dtype=POLARS_TYPES[kind]).alias(name) for name, kind in kinds.items() if name not in stored),
    )


def counts(rewinds: Iterable[Rewind], stored: Kinds, parts: Sequence[str] = (), part: pl.Expr | None = None) -> pl.Expr:
    """Return which rows of a metrics file count, as `rewind.is_taken` has it.

    Args:
        rewinds: those that concern the file.
        stored: the kinds of the ids there.
        parts: whose rows stand in the parts of the file.
        part: the number of a row's part; None where a rewind concerns all alike.
    """
    gone = []
    for rewind in rewinds:
        on_parts = [rewind.on_part(writer) for writer in parts or [""]]
        for found in dict.fromkeys(on_parts):
            if found is not None:
                concerned = [number for number, each in enumerate(on_parts) if each == found]
                gone.append(_taken(found, stored) & (pl.lit(value=True) if part is None else part.is_in(concerned)))
    return ~pl.any_horizontal(gone) if gone else pl.lit(value=True)


def _taken(rewind: Rewind, stored: Kinds) -> pl.Expr:
    own = (_is_own(name, value, stored[name]) for name, value in rewind.own if name in stored)
    return pl.all_horizontal(_beyond(rewind, stored), *own)


def _is_own(name: str, value: Id, kind: Kind) -> pl.Expr:
    column = pl.col(name)
    return column.is_null() | _compared(column, kind, value)[1] if are_comparable(kind, value) else column.is_null()


def _beyond(rewind: Rewind, stored: Kinds) -> pl.Expr:
    if not rewind.ids:
        return pl.lit(value=True)
    beyond, equal, complete = pl.lit(value=False), pl.lit(value=True), pl.lit(value=True)
    for name, value in rewind.ids:
        if name not in stored or not are_comparable(stored[name], value):
            complete = pl.lit(value=False)
            break
        column, given = pl.col(name), pl.col(name).is_not_null()
        greater, same = _compared(column, stored[name], value)
        beyond |= equal & given & greater.fill_null(value=False)
        equal &= given & same.fill_null(value=False)
        complete &= given
    since, time = rewind.since // 1000, pl.col(TIME).to_physical()
    return pl.when(complete).then(beyond).otherwise((time > since) | ((time == since) & beyond))


def _compared(column: pl.Expr, kind: Kind, value: Id) -> tuple[pl.Expr, pl.Expr]:
    """Return where an id is greater than a value, and where it is the same."""
    if kind == "float":
        return (column > value) & column.is_not_nan(), column == value  # NaN is the greatest number to polars
    if isinstance(value, float):  # NOTE: as floats, large ints would be rounded
        whole = min(max(math.floor(value), -(2**63)), 2**63 - 1)
        return column > whole, (column == whole) & (whole == value)
    return column > value, column == value


def _narrowed(name: str, stored: Kind, kind: Kind) -> pl.Expr:
    """Return a column as a kind that it had before, null where that cannot be."""
    column = pl.col(name)
    if kind == "bool":
        return column.replace_strict({"true": True, "false": False}, default=None, return_dtype=pl.Boolean)
    if stored == "float":
        return pl.when(column % 1 == 0).then(column.cast(POLARS_TYPES[kind], strict=False)).alias(name)
    return column.cast(POLARS_TYPES[kind], strict=False)


def _widened(name: str, stored: Kind, kind: Kind) -> pl.Expr:
    if kind != "str":
        return pl.col(name).cast(POLARS_TYPES[kind])
    if stored == "int":
        return pl.col(name).cast(pl.String)
    return pl.col(name).map_batches(_as_texts, return_dtype=pl.String)


def _as_texts(values: pl.Series) -> pl.Series:
    known = {value: as_text(value) for value in values.unique().drop_nulls().to_list()}
    return values.replace_strict(known, return_dtype=pl.String, default=None)
