"""A wide table made part by part, as all of a large one at once has no room in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Final

import polars as pl

from skald.reading.selection import id_kinds
from skald.schema import RUN

PART_ROWS: Final = 2_000_000
"""About so many rows of the long table come into a part."""


def parts(table: pl.LazyFrame, rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield a wide table piece by piece, in its order: some runs, or some values of its first id, at a time.

    Args:
        table: what `widen` made of the rows. Where its first id is no number, all of a run comes at once.
        rows: the rows.
    """
    first, *others = table.collect_schema()
    id_ = others[0] if first == RUN and others else first
    is_number = id_kinds(rows.collect_schema()).get(id_) in {"int", "float"}
    for runs, count in _runs(rows) if first == RUN else [(pl.lit(value=True), rows.select(pl.len()).collect().item())]:
        pieces = -(-count // PART_ROWS) if is_number else 1
        # NOTE: polars reads only the rows of a piece, as these are conditions on what it groups by
        for piece in _pieces(rows.filter(runs), id_, pieces):
            yield table.filter(runs & piece).collect(engine="streaming")


def _runs(rows: pl.LazyFrame) -> Iterator[tuple[pl.Expr, int]]:
    """Yield conditions of runs that have about as many rows together as a part, and how many these are."""
    sizes = rows.group_by(RUN).len().collect(engine="streaming").sort(RUN)
    part = (sizes["len"].cum_sum() - 1) // PART_ROWS
    for found in sizes.with_columns(part.alias("part")).partition_by("part", maintain_order=True):
        yield pl.col(RUN).is_in(found[RUN].implode()), int(found["len"].sum())


def _pieces(rows: pl.LazyFrame, id_: str, count: int) -> Iterator[pl.Expr]:
    """Yield conditions that cut rows at values of an id that lie as far apart; NaN counts as the greatest."""
    x = pl.col(id_)
    ends = [end.cast(pl.Float64) for end in (x.min().alias("low"), x.max().alias("high"))]
    low, high = rows.select(ends).collect(engine="streaming").row(0) if count > 1 else (None, None)
    if low is None or not math.isfinite(low) or not math.isfinite(high):
        yield pl.lit(value=True)
        return
    edges = [low / count * (count - k) + high / count * k for k in range(1, count)]
    yield x < edges[0]
    yield from ((x >= start) & (x < stop) for start, stop in itertools.pairwise(edges))
    yield x >= edges[-1]
