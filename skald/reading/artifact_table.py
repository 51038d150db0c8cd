"""The table of a run's artifacts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import polars as pl

from skald.engine.columns import POLARS_TYPES
from skald.engine.rows import as_text
from skald.record.artifacts import Artifact
from skald.schema import KIND_OF, Id, Kind, unify

COLUMNS: Final = {
    "path": pl.String(),
    "size": pl.Int64(),
    "sha256": pl.String(),
    "time": pl.Datetime("us", "UTC"),
}


def artifact_table(artifacts: Sequence[Artifact]) -> pl.DataFrame:
    """Return a row an artifact: `path`, `size`, `sha256`, `time`, and a column an id.

    Ids of different kinds are joined as those of metrics are: int and float to float, anything else to string.
    """
    # NOTE: a path of bytes that are no UTF-8 is no text that Polars holds
    paths = [artifact.path.encode(errors="backslashreplace").decode() for artifact in artifacts]
    facts = [(artifact.size, artifact.sha256, artifact.time) for artifact in artifacts]
    rows = [(path, *fact) for path, fact in zip(paths, facts, strict=True)]
    columns = pl.DataFrame(rows, schema=COLUMNS, orient="row").get_columns()
    names = dict.fromkeys(name for artifact in artifacts for name in artifact.ids)
    for name in names:
        column = f"{name} (id)" if name in COLUMNS else name
        columns.append(_id_column(column, [artifact.ids.get(name) for artifact in artifacts]))
    return pl.DataFrame(columns)


def _id_column(name: str, values: Sequence[Id | None]) -> pl.Series:
    kinds = {KIND_OF[type(value)] for value in values if value is not None}
    kind: Kind = functools.reduce(unify, kinds)
    if kind == "str":
        values = [as_text(value) if value is not None and not isinstance(value, str) else value for value in values]
    return pl.Series(name, values, POLARS_TYPES[kind], strict=False)
