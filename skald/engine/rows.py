"""Rows in memory: columns as NumPy arrays, strings as codes into names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skald.engine.arrays import take_texts, text_array
from skald.schema import Id, Kind

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]
FEW_NAMES: Final = 1 << 14
LOST_TIME: Final = -1
"""A time of which all bits are set, as damage leaves it; no writer stores it."""
Texts = Any
"""A pyarrow.StringArray; its stubs reject most of what it can do."""


@dataclass(frozen=True, slots=True)
class IdColumn:
    """One id of some rows.

    Attributes:
        kind: what the values are.
        values: int64, float64, bool, or for strings int32 codes into `names`.
        names: the strings; of more than FEW_NAMES some may stand there twice.
        given: the rows that have this id; None: all of them.
    """

    kind: Kind
    values: npt.NDArray[Any]
    names: Texts = None
    given: Mask | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Committed rows of a segment, in log order.

    Attributes:
        time: ns since 1970.
        metric: codes into `names`, all of them good.
        names: the names of metrics; the entry of code 0 is empty.
        value: the values; None where they were not asked for.
        ids: the id columns that were asked for.
        stream: the number of the stream, in its writer.
        damaged: how many more rows there are whose names are lost, or whose time is LOST_TIME.
    """

    time: Ints
    metric: Codes
    names: Texts
    value: npt.NDArray[np.float64] | None
    ids: dict[str, IdColumn]
    stream: int = 0
    damaged: int = 0

    def __len__(self) -> int:
        return len(self.time)


def take(rows: Rows, chosen: Mask | Ints, *, damaged: int = 0) -> Rows:
    """Return the chosen rows, and note how many were left out because they are damaged."""
    value = None if rows.value is None else rows.value[chosen]
    ids = take_ids(rows.ids, chosen)
    return Rows(rows.time[chosen], rows.metric[chosen], rows.names, value, ids, rows.stream, damaged)


def take_ids(ids: Mapping[str, IdColumn], chosen: Mask | Ints) -> dict[str, IdColumn]:
    """Return the chosen rows of id columns."""
    return {
        name: IdColumn(
            column.kind, column.values[chosen], column.names, None if column.given is None else column.given[chosen]
        )
        for name, column in ids.items()
    }


def as_kind(column: IdColumn, kind: Kind) -> IdColumn:
    """Return an id column as a wider kind: ints as floats, anything as strings."""
    if column.kind == kind:
        return column
    if kind == "float" and column.kind == "int":
        return IdColumn(kind, column.values.astype(np.float64), given=column.given)
    if kind != "str":
        raise TypeError(f"an id column of {column.kind} cannot be read as {kind}")
    values, codes = np.unique(column.values, return_inverse=True)
    names = text_array([as_text(value) for value in values.tolist()])
    return IdColumn(kind, codes.astype(np.int32), names, column.given)


def as_text(value: Id) -> str:
    """Return how an id that is no string is read where others of its name are strings."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def pays_as_dictionary(names: int, rows: int) -> bool:
    """Tell whether strings are few, or recur so often that a dictionary of them is worth its making."""
    return names <= FEW_NAMES or 2 * names <= rows


def with_used_names(column: IdColumn) -> IdColumn:
    """Return a column whose dictionary has only the strings that occur: segments carry old ones along."""
    if column.names is None:
        return column
    codes, names = renumber(column.values, column.names)
    return IdColumn(column.kind, codes, names, column.given)


def renumber(codes: npt.NDArray[np.integer[Any]], names: Texts) -> tuple[Codes, Texts]:
    """Number the names that occur without gaps; return their codes, and those names."""
    used = np.flatnonzero(np.bincount(codes, minlength=len(names)))
    numbers = np.zeros(len(names), np.int32)
    numbers[used] = np.arange(len(used), dtype=np.int32)
    return numbers[codes], take_texts(names, used)
