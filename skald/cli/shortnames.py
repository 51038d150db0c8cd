"""Names of the columns of a table of runs as people write them in SQL: `lr` and `model.depth` for params."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from skald.schema import PARAMS_PREFIX


def with_short_names(table: pl.DataFrame, sql: str) -> pl.DataFrame:
    """Return a table of runs with further names for its columns: params without `params.`, and nothing needs quotes.

    A name that a column has already stays its. Of a param and a metric of one name the metric is meant where the SQL
    has a dot after it.

    NOTE: what SQL takes `model.depth` for is a field of a struct, so that is what it is given.
    """
    return table.select(*_short_names(table.columns, sql), pl.all())


def _short_names(columns: Sequence[str], sql: str) -> list[pl.Expr]:
    params = {name.removeprefix(PARAMS_PREFIX): name for name in columns if name.startswith(PARAMS_PREFIX)}
    plain = {short: name for short, name in params.items() if short not in columns}
    tree: dict[str, Any] = {}
    for name in columns:
        _grow(tree, name.split("."), name)
    heads = set(tree)
    for short, name in plain.items():
        if "." in short and short.partition(".")[0] not in heads:
            _grow(tree, short.split("."), name)
    plain = {short: name for short, name in plain.items() if short not in tree or f"{short}." not in sql}
    taken = {*columns, *plain}
    structs = [_struct(node).alias(head) for head, node in tree.items() if head not in taken and isinstance(node, dict)]
    return [*(pl.col(name).alias(short) for short, name in plain.items()), *structs]


def _grow(tree: dict[str, Any], path: Sequence[str], column: str) -> None:
    """Hang a column into a tree; where a name is a leaf and a branch, the first to come stays."""
    *branches, leaf = path
    node: Any = tree
    for branch in branches:
        node = node.setdefault(branch, {})
        if not isinstance(node, dict):
            return
    node.setdefault(leaf, column)


def _struct(tree: Mapping[str, Any]) -> pl.Expr:
    return pl.struct(
        (_struct(node) if isinstance(node, dict) else pl.col(node)).alias(name) for name, node in tree.items()
    )
