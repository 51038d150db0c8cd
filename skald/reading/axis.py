"""Axes: which series a table has, what their curves are drawn over, and from where to where that goes."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import polars as pl

from skald.errors import InvalidInputError
from skald.reading.groups import OWN, Rows, each_batch, field, grouped, over
from skald.reading.selection import check_ids, id_kinds
from skald.schema import BIN_HIGH, BIN_LOW, RUN, TIME, VALUE, Kind, series_ids

_TOP: Final = sys.float_info.max
_FEW: Final = 0.1
"""Where no more rows lack an id the others are drawn over it: a last test, or a run that named it otherwise."""
MOST_NAMES: Final = 500
"""So many names are told apart beside each other."""
_LOW, _HIGH, _START = f"{OWN}low", f"{OWN}high", f"{OWN}start"
X: Final = f"{OWN}at"
"""The column of the x of a row."""


class Axis(NamedTuple):
    """What curves are drawn over.

    Attributes:
        kind: an id that is a number, one that is a name (a string or a bool), the row's position in its series, the
            time, or the seconds since the first row of its run.
        label: how it is called.
        names: of an id that is a name its values in order: x is the place of one, from 0.
    """

    kind: Literal["id", "name", "position", "time", "relative"]
    label: str
    names: tuple[str, ...] = ()


class Span(NamedTuple):
    """From where to where an axis goes."""

    low: float
    high: float


def drawn_span(span: Span, *, is_log: bool) -> Span:
    """Return where a span begins and ends as it is drawn: the logarithms, where x is logarithmic."""
    return Span(math.log10(span.low), math.log10(span.high)) if is_log else span


def span_drawn(low: float, high: float, *, is_log: bool) -> Span:
    """Return the span that is drawn from here to there, as far as a float reaches."""
    if is_log:
        return Span(10.0 ** max(low, -300.0), 10.0 ** min(high, 300.0))
    return Span(max(low, -_TOP), min(high, _TOP))


def survey(rows: Rows, by: Sequence[str], before: pl.DataFrame | None = None) -> pl.DataFrame:
    """Describe the series of a table in one pass over its rows.

    Args:
        rows: rows of one metric, or of several; read in batches, or in memory.
        by: the columns that tell the series apart; for those of one metric see `series_keys`.
        before: what was said of the rows before these, which are described together with them.

    Returns:
        A row a series, in order of first appearance: the columns in `by`, the structs `value` (`count`: its rows,
        `last`) and `time` (`low`, `high`), and for each other id that is a number a struct of `low`, `high`, `missing`
        (in how many rows there is none), `values` (how many it takes, one after the other), `falls` (whether it is ever
        smaller than in the row before), `first` and `last`.
    """
    numbers = [name for name in position_ids(id_kinds(rows.collect_schema())) if name not in by]
    described = [
        pl.struct(pl.len().cast(pl.Int64).alias("count"), pl.col(VALUE).last().alias("last")).alias(VALUE),
        pl.struct(pl.col(TIME).min().alias("low"), pl.col(TIME).max().alias("high")).alias(TIME),
        *(_describe(pl.col(name)).alias(name) for name in numbers),
    ]
    parts = each_batch(rows.select(*by, *numbers, TIME, VALUE), by, described)
    known = pl.concat(parts if before is None else [before, *parts])
    joined = [
        pl.struct(field(VALUE, "count").sum(), field(VALUE, "last").last()).alias(VALUE),
        pl.struct(field(TIME, "low").min(), field(TIME, "high").max()).alias(TIME),
        *(_join(name).alias(name) for name in numbers),
    ]
    return grouped(known, by, joined)


def series_keys(rows: pl.LazyFrame) -> list[str]:
    """Return the columns that tell the series of one metric apart: the run, where there is one, strings and bools."""
    schema = rows.collect_schema()
    return [*([RUN] if RUN in schema else []), *series_ids(id_kinds(schema))]


def series_columns(surveyed: pl.DataFrame) -> list[str]:
    """Return the columns of a survey that tell its series apart."""
    return [name for name, dtype in surveyed.schema.items() if dtype != pl.Struct]


def position_ids(kinds: Mapping[str, Kind]) -> list[str]:
    """Return the ids that are positions inside a series: numbers, but for the bins of histograms."""
    return [name for name, kind in kinds.items() if kind in {"int", "float"} and name not in {BIN_LOW, BIN_HIGH}]


def choose_axis(surveyed: pl.DataFrame) -> Axis:
    """Return the x that curves share where none is given.

    Of the ids that all rows of all series have, it is the one that never decreases and takes most values, of several
    the first. Where each of them restarts, it is the position in the series; where there are none, or they never
    change while the time does, it is the time. Where no id is in all rows, those count that all but a few have.

    Args:
        surveyed: what `survey` says of the series, of one metric or several.
    """
    facts = {name: surveyed[name].struct.unnest() for name, dtype in surveyed.schema.items() if _is_number(name, dtype)}
    rows = surveyed[VALUE].struct.field("count")
    times = surveyed[TIME].struct.unnest()
    several = ((rows > 1) & (times["low"] < times["high"])).any()
    few = 0.0 if any(not fact["missing"].sum() for fact in facts.values()) else _FEW * float(rows.sum())
    shared = {
        name: fact
        for name, fact in facts.items()
        if fact["missing"].sum() <= few and ((fact["values"] > 1).any() or not several)
    }
    if not shared or surveyed.is_empty():
        return Axis("time", "time")
    rising = {name: fact["values"].sum() for name, fact in shared.items() if not fact["falls"].any()}
    if not rising:
        names = list(shared)
        return Axis("position", ", ".join(names) if len(names) > 1 else f"row ({names[0]})")
    return Axis("id", max(rising, key=lambda name: rising[name]))


def named_axis(name: str, kinds: Mapping[str, Kind]) -> Axis:
    """Return the axis of that name: an id that is a number, `time`, or `relative`.

    Raises:
        InvalidInputError: there is no such id, or it is no number.
    """
    if name == "time" or (name == "relative" and name not in kinds):
        return Axis("time", "time") if name == "time" else Axis("relative", "time since the start")
    check_ids([name], kinds)
    if name not in position_ids(kinds):
        found = "an edge of bins" if name in {BIN_LOW, BIN_HIGH} else kinds[name]
        raise InvalidInputError(f"x must be an id that is a number, time or relative; {name!r} is {found} here")
    return Axis("id", name)


def names_axis(name: str, rows: pl.LazyFrame) -> Axis:
    """Return the axis of an id that is a string or a bool: its values side by side, as they first appear in the rows.

    Raises:
        InvalidInputError: it has more values than anybody could tell apart.
    """
    values = pl.col(name).drop_nulls().cast(pl.String).unique(maintain_order=True)
    names = rows.select(values).collect(engine="streaming")[name]
    if len(names) > MOST_NAMES:
        raise InvalidInputError(f"x takes an id of at most {MOST_NAMES} names; {name!r} has {len(names):,}")
    return Axis("name", name, tuple(names))


def axis_span(rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, *, is_log: bool = False) -> Span | None:
    """Return from where to where curves go along an axis; None where they have no finite x that can be drawn.

    Args:
        rows: the rows that were surveyed.
        surveyed: what `survey` says of them.
        axis: what they are drawn over.
        is_log: only what is greater than 0 counts.
    """
    if axis.kind == "name":
        return Span(-0.5, len(axis.names) - 0.5) if axis.names else None
    low, high = _outermost(surveyed, axis)
    if axis.kind == "position" and is_log:
        return Span(1.0, high) if high else None
    if low is None or high is None or not math.isfinite(low) or not math.isfinite(high) or (is_log and low <= 0):
        x = pl.col(X)
        where = x.is_finite() & (x > 0) if is_log else x.is_finite()
        kept = with_x(rows, surveyed, axis).filter(where)
        low, high = kept.select(x.min().alias(_LOW), x.max().alias(_HIGH)).collect(engine="streaming").row(0)
    return None if low is None or high is None else Span(low, high)


def with_x(rows: pl.LazyFrame, surveyed: pl.DataFrame, axis: Axis, before: pl.DataFrame | None = None) -> pl.LazyFrame:
    """Return the rows with their x."""
    if axis.kind in {"id", "name"}:
        x = pl.col(axis.label)
        if axis.kind == "name":  # one that came only now has no place
            x = x.cast(pl.String).cast(pl.Enum(axis.names), strict=False).to_physical()
        return rows.with_columns(x.cast(pl.Float64).alias(X))
    if axis.kind == "position":
        by = series_columns(surveyed)
        varying = [name for name in by if surveyed[name].n_unique() > 1]
        rows = rows.with_columns(over(pl.int_range(pl.len()), varying).cast(pl.Float64).alias(X))
        if before is None:
            return rows
        counts = before.lazy().select(*by, field(VALUE, "count").alias(_START))
        if by:
            rows = rows.join(counts, on=by, how="left", nulls_equal=True, maintain_order="left")
        else:
            rows = rows.with_columns(pl.lit(before[VALUE].struct.field("count").sum()).alias(_START))
        return rows.with_columns(pl.col(X) + pl.col(_START).fill_null(0))
    if axis.kind == "time":
        return rows.with_columns(seconds(pl.col(TIME)).alias(X))
    start = seconds(field(TIME, "low").min())
    if RUN not in surveyed.columns:
        return rows.with_columns((seconds(pl.col(TIME)) - surveyed.select(start).item()).alias(X))
    starts = surveyed.group_by(RUN).agg(start.alias(_START)).lazy()
    joined = rows.join(starts, on=RUN, how="left", maintain_order="left")
    return joined.with_columns((seconds(pl.col(TIME)) - pl.col(_START)).alias(X))


def seconds(time: pl.Expr) -> pl.Expr:
    """Return times as seconds since 1970.

    NOTE: polars divides one number otherwise than many, by a last digit, so a moment would not be itself.
    """
    return time.dt.epoch("us") * 1e-6


def _outermost(surveyed: pl.DataFrame, axis: Axis) -> tuple[float | None, float | None]:
    """Return the smallest and the greatest x that a survey knows of."""
    if axis.kind == "position":
        count = surveyed[VALUE].struct.field("count").max()
        return (None, None) if count is None else (0.0, float(count) - 1)  # type: ignore[arg-type]
    if axis.kind == "id":
        low, high = field(axis.label, "low").min(), field(axis.label, "high").max()
    else:
        low, high = (seconds(field(TIME, end)) for end in ("low", "high"))
        if axis.kind == "relative":
            start = over(low.min(), [RUN] if RUN in surveyed.columns else [])
            low, high = low - start, high - start
        low, high = low.min(), high.max()
    return surveyed.select(low.alias(_LOW), high.alias(_HIGH)).row(0)


def _is_number(name: str, dtype: pl.DataType) -> bool:
    return dtype == pl.Struct and name not in {VALUE, TIME}


def _describe(x: pl.Expr) -> pl.Expr:
    """Return what a batch says of an id."""
    return pl.struct(
        x.min().cast(pl.Float64).alias("low"),
        x.max().cast(pl.Float64).alias("high"),
        (x.is_null() | x.cast(pl.Float64).is_nan()).sum().cast(pl.Int64).alias("missing"),
        ((x != x.shift(1)).sum() + 1).cast(pl.Int64).alias("values"),
        (x < x.shift(1)).any().alias("falls"),
        x.first().alias("first"),
        x.last().alias("last"),
    )


def _join(name: str) -> pl.Expr:
    """Return what the batches together say of an id."""
    first, before = field(name, "first"), field(name, "last").shift(1)
    return pl.struct(
        field(name, "low").min(),
        field(name, "high").max(),
        field(name, "missing").sum(),
        (field(name, "values").sum() - (first == before).sum()).cast(pl.Int64).alias("values"),
        (field(name, "falls").any() | (first < before).any()).alias("falls"),
        first.first(),
        field(name, "last").last(),
    )
