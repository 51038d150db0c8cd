"""What a query's condition says of the runs alone: these are chosen before a file is opened."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl


def conjuncts(condition: pl.Expr) -> list[pl.Expr]:
    """Return the parts of a condition that must all be true."""
    parts = condition.meta.pop()
    for one, two in (parts, parts[::-1]) if len(parts) == 2 else ():  # noqa: PLR2004  the two sides of `&`
        if condition.meta.eq(one & two):
            return [*conjuncts(one), *conjuncts(two)]
    return [condition]


def split(condition: pl.Expr | None, columns: Collection[str]) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """Part a condition into what speaks of nothing but these columns, and the rest."""
    inside: list[pl.Expr] = []
    outside: list[pl.Expr] = []
    for part in conjuncts(condition) if condition is not None else ():
        names = set(part.meta.root_names())
        (inside if names and names <= set(columns) else outside).append(part)
    return inside, outside
