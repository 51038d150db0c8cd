"""Wide tables: a column a metric instead of a row a value.

What the columns are, and whether rows coincide that must not, is decided at the call, with a pass or two
over the rows; the table itself is made when it is collected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from skald.amounts import plural
from skald.errors import InvalidInputError
from skald.notice import warn
from skald.reading.selection import check_ids, check_metrics, has_ids, id_kinds, in_series, metric_names
from skald.schema import METRIC, PARAMS_PREFIX, RUN, TIME, VALUE, Id, Kind, series_ids

MAX_COLUMNS: Final = 10_000
"""So many values of an id become columns, and not more: an id with more of them is a position."""

_NAMED: Final = 3
"""So many metrics and ids a warning names."""

_OWN: Final = "\x01"  # no metric and no id can be named so


@dataclass(frozen=True)
class _Selection:
    """Rows that a wide table is made of, and the ids that decide where each goes."""

    rows: pl.LazyFrame
    index: list[str]
    columns: str | None


def wide(
    frame: pl.LazyFrame | pl.DataFrame,
    /,
    *metrics: str,
    index: Sequence[str] | str | None = None,
    columns: str | None = None,
    **ids: Id,
) -> pl.LazyFrame:
    """Return a table of `scan` with a column a metric and a row per run and distinct value of `index`, sorted by them.

    Args:
        frame: rows as `scan` has them, or some of them.
        metrics: names of metrics; none: all.
        index: ids (or `time`, or params of the table); by default the ids that all these metrics have. The run always
            comes before them, but where each run is a column.
        columns: an id, `run`, or a param of the table, each of whose values gets a column.
        ids: only rows that have these ids: `skald.wide(frame, "loss", split="val")`.

    Returns:
        the table as `Run.wide` has it, `run` before, and the columns `params.NAME` of the table before the metrics;
        where each run is a column neither.

    Raises:
        InvalidInputError: a metric or an id does not exist; rows of a run coincide that differ in a string or bool id;
            the table has no `run`.
        IdTypeError: an id of another kind than in the table.
    """
    if not isinstance(frame, (pl.LazyFrame, pl.DataFrame)):
        raise InvalidInputError(f"expected a table of skald.scan, got {type(frame).__name__}")
    rows = frame.lazy()
    if RUN not in rows.collect_schema():
        raise InvalidInputError(f"expected a table of skald.scan with a column {RUN!r}, got one without")
    return widen(rows, metrics, index=index, columns=columns, where=ids, run_in_index=True)


def widen(
    frame: pl.LazyFrame,
    metrics: Sequence[str] = (),
    *,
    index: Sequence[str] | str | None = None,
    columns: str | None = None,
    where: Mapping[str, Id] | None = None,
    run_in_index: bool = False,
) -> pl.LazyFrame:
    """Return a table with a column a metric, and a row per distinct value of `index`, sorted by it.

    Args:
        frame: rows as `Run.metrics` has them.
        metrics: names of metrics; none: all but histograms, in order of first appearance.
        index: ids, or `time`; None: each id that all these metrics were logged with, but `columns`.
            Rows without an index id are left out; where no index is given a warning says which.
        columns: an id, each of whose values gets a column: named by the value where there is one metric
            (`3`), else by both (`accuracy/3`). Rows without this id are left out.
        where: only rows that have these ids.
        run_in_index: rows are of many runs: put `run` first in the index, unless it is in `columns`.

    Returns:
        The index, then the metrics; null where a metric was not logged. Of rows that coincide the one logged
        last stands. A metric that is named like an index id has the column `NAME (metric)`.

    Raises:
        InvalidInputError: a metric or an id does not exist; the metrics have no id in common; rows coincide
            that differ in a string or bool id.
        IdTypeError: an id in `where` has another kind than in the table.
    """
    schema = frame.collect_schema()
    kinds = id_kinds(schema)
    of_runs = [name for name in schema if run_in_index and (name == RUN or name.startswith(PARAMS_PREFIX))]
    given = [index] if isinstance(index, str) else index and list(index)
    index = None if given is None else [name for name in given if name != RUN or not run_in_index]
    named = [*(index or ()), *([columns] if columns else ())]
    check_ids([name for name in named if name not in {TIME, *of_runs}], kinds)
    if index is not None and (not index or columns in index):
        raise InvalidInputError(f"index= must name ids other than that in columns= and the run, got {given}")
    existing = metric_names(frame)
    check_metrics(metrics, existing)
    metrics = list(dict.fromkeys(metrics)) or metric_names(frame.filter(in_series(kinds)))
    rows = frame.filter(pl.col(METRIC).is_in(metrics), has_ids(where or {}, kinds))

    facts = _facts(rows, kinds)
    if index is None:
        index = _common_ids(facts, [name for name in kinds if name != columns])
        _warn_of_lacking(facts, index)
    index = [*([RUN] if run_in_index and columns != RUN else []), *index]
    needed = [*index, *([columns] if columns else ())]
    chosen = _Selection(rows.filter(pl.col(name).is_not_null() for name in needed), index, columns)
    _check_coinciding(chosen, _varying_ids(facts, [name for name in series_ids(kinds) if name not in needed]))
    params = [name for name in of_runs if name not in {RUN, *needed}] if columns != RUN else []  # a run has one of each
    return _pivot(replace(chosen, index=[*index, *params]), metrics)


def _facts(rows: pl.LazyFrame, kinds: Mapping[str, Kind]) -> pl.DataFrame:
    """Return of each metric how many rows it has and how many have each id, and whether strings and bools differ."""
    return (
        rows.group_by(METRIC)
        .agg(
            pl.len().alias(_OWN),
            *(pl.col(name).count() for name in kinds),
            *(_differs(name) for name in series_ids(kinds)),
        )
        .collect(engine="streaming")
    )


def _differs(name: str) -> pl.Expr:
    """Tell whether an id differs between rows; a row without it differs from one with it."""
    column = pl.col(name)
    some_lack_it = (column.null_count() > 0) & (column.count() > 0)
    return ((column.min() != column.max()).fill_null(value=False) | some_lack_it).alias(_OWN + name)


def _common_ids(facts: pl.DataFrame, ids: Sequence[str]) -> list[str]:
    """Return the ids that every metric was logged with."""
    common = [name for name in ids if (facts[name] > 0).all()]
    if not common and facts.is_empty():
        raise InvalidInputError("there are no metrics, so there is nothing to put side by side")
    if not common:
        error = InvalidInputError("these metrics have no id in common, so their rows cannot be put side by side")
        error.add_note('hint: name the ids of a row as index= (--index), or index="time" for metrics without ids')
        raise error
    return common


def _warn_of_lacking(facts: pl.DataFrame, index: Sequence[str]) -> None:
    """Say which rows have no place, as they lack an id that others of their metric have."""
    lacking = [
        f"{plural(row[_OWN] - row[name], 'row')} of {row[METRIC]!r} without id {name!r}"
        for row in facts.sort(METRIC).iter_rows(named=True)
        for name in index
        if row[name] < row[_OWN]
    ]
    if lacking:
        more = f" and {len(lacking) - _NAMED:,} more" if len(lacking) > _NAMED else ""
        hint = "name the ids of a row as index= (--index), or choose rows by an id they have, as split='val' (--id)"
        warn(f"a wide table leaves out {', '.join(lacking[:_NAMED])}{more}; hint: {hint}")


def _varying_ids(facts: pl.DataFrame, ids: Sequence[str]) -> list[str]:
    return [name for name in ids if facts[_OWN + name].any()]


def _check_coinciding(chosen: _Selection, ids: Sequence[str]) -> None:
    """Raise InvalidInputError if rows come to the same place though they differ in one of `ids`."""
    if not ids:
        return
    place = [METRIC, *chosen.index, *([chosen.columns] if chosen.columns else ())]
    found = (
        chosen.rows.group_by(place)
        .agg(*(_differs(name) for name in ids), *(pl.col(name).unique().head(3) for name in ids))
        .filter(pl.any_horizontal(_OWN + name for name in ids))
        .head(1)
        .collect(engine="streaming")
    )
    for row in found.iter_rows(named=True):
        raise _coinciding_error(row, next(name for name in ids if row[_OWN + name]), place[1:])


def _coinciding_error(row: Mapping[str, Any], name: str, place: Sequence[str]) -> InvalidInputError:
    values = sorted(row[name], key=str)
    where = " ".join(f"{key}={row[key]}" for key in place)
    error = InvalidInputError(
        f"rows of {row[METRIC]!r} at {where} differ in id {name!r}: {', '.join(map(repr, values))}"
    )
    one = next(value for value in values if value is not None)
    error.add_note(
        f"hint: keep one with {name}={one!r}, or give each its column with columns={name!r} (--columns {name})"
    )
    return error


def _pivot(chosen: _Selection, metrics: Sequence[str]) -> pl.LazyFrame:
    """Return the wide table; the index has inner names until the end, as a metric may be named like an id."""
    inner = {name: f"{_OWN}{number}" for number, name in enumerate(chosen.index)}
    rows = chosen.rows.select(
        METRIC,
        VALUE,
        *(pl.col(name).alias(alias) for name, alias in inner.items()),
        *([pl.col(chosen.columns).alias(f"{_OWN}columns")] if chosen.columns else ()),
    )
    on = pl.DataFrame({METRIC: metrics}, schema={METRIC: pl.String})
    if chosen.columns:
        values = _values(rows)
        rows = rows.filter(pl.col(values.name).is_in(values.implode()))  # values that came later have no column
        on = on.join(values.to_frame(), how="cross", maintain_order="left_right")
    names = _column_names(on, chosen.index)
    table = rows.pivot(on.columns, on_columns=on, index=[*inner.values()], values=VALUE, aggregate_function="last")
    outer = dict(zip(table.collect_schema().names(), [*chosen.index, *names], strict=True))
    return table.sort([*inner.values()]).rename(outer)


def _values(rows: pl.LazyFrame) -> pl.Series:
    """Return the values of the id that becomes columns, in order."""
    values = rows.select(f"{_OWN}columns").unique().collect(engine="streaming").to_series().sort()
    if len(values) > MAX_COLUMNS:
        raise InvalidInputError(f"columns= must name an id of at most {MAX_COLUMNS:,} values, got {len(values):,}")
    return values


def _column_names(on: pl.DataFrame, index: Sequence[str]) -> list[str]:
    """Return the names of the columns of the wide table, all different."""
    if on.width == 1:
        names = [f"{metric} (metric)" if metric in index else metric for metric in on[METRIC]]
    else:
        several = on[METRIC].n_unique() > 1
        names = [f"{metric}/{value}" if several else str(value) for metric, value in on.iter_rows()]
    for name, times in Counter([*index, *names]).items():
        if times > 1:
            error = InvalidInputError(f"{times} columns would be named {name!r}")
            error.add_note("hint: ask for fewer metrics, or name other ids as index= (--index)")
            raise error
    return names
