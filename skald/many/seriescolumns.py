"""The columns of metrics in a table of runs: of each series the last value, and the extremes with their ids."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress
from typing import Any, Final, NamedTuple

import msgspec
import polars as pl

from skald.engine.columns import POLARS_TYPES
from skald.engine.rows import as_text
from skald.engine.series import Number
from skald.errors import InvalidInputError
from skald.reading.selection import chosen
from skald.reading.summary import as_float
from skald.schema import METRIC, Id, Kind, Kinds

MOST_SERIES: Final = 50
"""So many series of one metric have columns."""

Key = tuple[tuple[str, Id], ...]
"""The string and bool ids that a series has."""


class Metrics(msgspec.Struct):
    """The part of a `SeriesTable` that tells which metrics there are."""

    metric: list[str]


class Extremes(Metrics):
    """The part of a `SeriesTable` that the columns are made of."""

    by: list[str]
    ids: dict[str, list[str | bool | None]]
    last: list[Number]
    min: list[Number]
    max: list[Number]
    min_at: dict[str, list[Id | None]]
    max_at: dict[str, list[Id | None]]


class Series(NamedTuple):
    """One series of one run."""

    metric: str
    key: Key
    last: float
    min: float | None
    max: float | None
    min_at: Mapping[str, Id] | None
    max_at: Mapping[str, Id] | None


def series_in_file(table: Extremes, kinds: Kinds, metrics: Collection[str]) -> list[Series]:
    """Return the series of some metrics of which a metrics file tells."""
    rows = compress(range(len(table.metric)), map(metrics.__contains__, table.metric))
    return [
        Series(
            metric=table.metric[row],
            key=tuple((name, found) for name in table.by if (found := table.ids[name][row]) is not None),
            last=float(table.last[row] or 0.0),
            min=as_float(table.min[row]),
            max=as_float(table.max[row]),
            min_at=_given(table.min_at, row, kinds) if table.min[row] is not None else None,
            max_at=_given(table.max_at, row, kinds) if table.max[row] is not None else None,
        )
        for row in rows
    ]


def _given(ids: Mapping[str, Sequence[Id | None]], row: int, kinds: Kinds) -> dict[str, Id]:
    """Return the ids that a row has; infinities among floats are texts in the file."""
    return {
        name: float(value) if kinds[name] == "float" else value
        for name, values in ids.items()
        if (value := values[row]) is not None
    }


def series_in_summary(row: Mapping[str, Any], key: Key) -> Series:
    """Return the series of a row of `summarize`."""
    return Series(
        metric=row[METRIC],
        key=key,
        last=row["last"],
        min=row["min"],
        max=row["max"],
        min_at=_present(row["min_at"]),
        max_at=_present(row["max_at"]),
    )


def _present(ids: Mapping[str, Id | None] | None) -> dict[str, Id] | None:
    return None if ids is None else {name: value for name, value in ids.items() if value is not None}


def choose_metrics(existing: Iterable[str], globs: Sequence[str]) -> list[str]:
    """Return the metrics that are asked for, in the order asked: names, or globs where no metric is named so.

    Raises:
        InvalidInputError: there are metrics, and none of them is named so.
    """
    names = list(dict.fromkeys(existing))
    return chosen(names, globs) if names else []


def metric_columns(metric: str, runs: Sequence[Sequence[Series]], kinds: Kinds) -> list[pl.Series]:
    """Return the columns of one metric: `NAME.last`, `NAME.min`, `NAME.min_at`, `NAME.max`, `NAME.max_at`.

    Where it has several series each has its columns, `NAME{split=val}.last`: named by the ids in which they differ.

    Args:
        metric: its name.
        runs: the series of each run, also those of other metrics.
        kinds: the ids of all runs.

    Raises:
        InvalidInputError: it has more series than have columns.
    """
    chosen = [[one for one in series if one.metric == metric] for series in runs]
    order = list(dict.fromkeys(name for series in chosen for one in series for name, _ in one.key))
    # NOTE: in each run they are in the order in which that run had them first
    found = [{tuple(sorted(one.key, key=lambda id_: order.index(id_[0]))): one for one in series} for series in chosen]
    keys = list(dict.fromkeys(key for series in found for key in series)) or [()]
    if len(keys) > MOST_SERIES:
        raise _too_many(metric, keys)
    columns = []
    for key, label in zip(keys, _labels(keys), strict=True):
        values = [series.get(key) for series in found]
        columns += _columns(f"{metric}{label}", values, kinds)
    return columns


def _columns(name: str, values: Sequence[Series | None], kinds: Kinds) -> list[pl.Series]:
    def numbers(of: str) -> pl.Series:
        return pl.Series(f"{name}.{of}", [one and getattr(one, of) for one in values], pl.Float64)

    def places(of: str) -> pl.Series:
        found = [one and getattr(one, of) for one in values]
        ids = [id_ for id_ in kinds if any(place and id_ in place for place in found)]
        if not ids:
            return pl.Series(f"{name}.{of}", found, pl.Struct({}))
        columns = [_id_column(id_, [(place or {}).get(id_) for place in found], kinds[id_]) for id_ in ids]
        # NOTE: of dicts polars would make the structs one by one, which takes three times as long
        there = pl.Series([place is not None for place in found], dtype=pl.Boolean)
        return pl.select(pl.when(there).then(pl.struct(columns)).alias(f"{name}.{of}")).to_series()

    return [numbers("last"), numbers("min"), places("min_at"), numbers("max"), places("max_at")]


def _id_column(name: str, values: Sequence[Id | None], kind: Kind) -> pl.Series:
    """Return the values of an id in several runs as the kind that it has among all of them."""
    fitting = values if kind in {"int", "bool"} else [_as(value, kind) for value in values]
    return pl.Series(name, fitting, POLARS_TYPES[kind])


def _as(value: Id | None, kind: Kind) -> Id | None:
    """Return an id of a run as the kind that it has among all runs."""
    if value is None or kind == "bool":
        return value
    return float(value) if kind == "float" else as_text(value) if kind == "str" != type(value).__name__ else value


def _labels(keys: Sequence[Key]) -> list[str]:
    """Return what tells series apart, `{split=val}`; nothing where there is one."""
    names = list(dict.fromkeys(name for key in keys for name, _ in key))
    differing = {name for name in names if len({dict(key).get(name) for key in keys}) > 1}
    parts = [[f"{name}={_plain(value)}" for name, value in key if name in differing] for key in keys]
    return [f"{{{','.join(part)}}}" if part else "" for part in parts]


def _plain(value: Id) -> str:
    return value if isinstance(value, str) else as_text(value)


def _too_many(metric: str, keys: Sequence[Key]) -> InvalidInputError:
    values: dict[str, set[Id]] = {}
    for key in keys:
        for name, value in key:
            values.setdefault(name, set()).add(value)
    name = max(values, key=lambda name: len(values[name]))
    one = next(iter(values[name]))
    error = InvalidInputError(
        f"{metric!r} has {len(keys):,} series in these runs, more than {MOST_SERIES}: "
        f"they differ most in id {name!r}, with {len(values[name]):,} values"
    )
    error.add_note(f"hint: choose one with {name}={one!r}")
    return error
