"""Rows in groups: what is wanted of each group of a table that may be larger than memory, read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import polars as pl

OWN: Final = "\x01"
"""Begins the names of columns of ours: no id can be named so."""
_BATCH_ROWS: Final = 500_000

Rows: TypeAlias = pl.LazyFrame | pl.DataFrame
"""A table: read in batches, or in memory."""


def each_batch(rows: Rows, by: Sequence[str], wanted: Sequence[pl.Expr]) -> list[pl.DataFrame]:
    """Return what is wanted of the rows of each batch that have the columns in `by` in common; of no rows nothing."""
    parts = [grouped(batch, by, wanted) for batch in _batches(rows)]
    return parts or [grouped(rows.lazy().head(0).collect(), by, wanted).head(0)]


def _batches(rows: Rows) -> Iterator[pl.DataFrame]:
    if isinstance(rows, pl.DataFrame):
        yield from [rows] if len(rows) else []
        return
    for batch in rows.collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True, engine="streaming"):
        if batch.height:
            yield batch


def grouped(table: pl.DataFrame, by: Sequence[str], wanted: Sequence[pl.Expr]) -> pl.DataFrame:
    """Return what is wanted of each group of rows, in order of first appearance.

    NOTE: grouping is most of the work, and a column of one value, or one that ascends, makes it ten times cheaper.
    """
    same = table.select(pl.col(name).eq_missing(pl.col(name).first()).all() for name in by) if by else pl.DataFrame()
    fixed = [name for name in by if table.height and same[name].item()]
    varying = [name for name in by if name not in fixed]
    if len(varying) == 1 and table[varying[0]].dtype == pl.Int32 and table[varying[0]].is_sorted():
        table = table.with_columns(pl.col(varying[0]).set_sorted())
    found = table.group_by(varying, maintain_order=True).agg(wanted) if varying else table.select(wanted)
    return found.with_columns(constant(table[name]) for name in fixed).select(*by, pl.exclude(by))


def constant(column: pl.Series) -> pl.Expr:
    """Return the first value of a column in each row."""
    return pl.lit(column.first(), column.dtype).alias(column.name)


def over(expression: pl.Expr, by: Sequence[str]) -> pl.Expr:
    """Return an expression for each group, where there are groups."""
    return expression.over(by) if by else expression


def field(column: str, name: str) -> pl.Expr:
    """Return a field of a struct."""
    return pl.col(column).struct.field(name)
