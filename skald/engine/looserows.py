"""Rows of a csv file that is not as it was written, or of which nothing tells any more what its columns are.

Invariant: a row of which a part is missing or cannot be read does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa

from skald.engine.columns import POLARS_TYPES
from skald.engine.coverage import Coverage, decode
from skald.engine.stored import CsvDescription, CsvFile, Stored
from skald.errors import CorruptRunError
from skald.layout import is_rewound_name
from skald.schema import METRIC, TIME, VALUE, Kind, Kinds

_TIMES: Final = ("%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d %H:%M:%S%.f%:z")
"""As Skald writes times, and as pandas writes them again."""
_BOOLS: Final = ["true", "false"]


def open_loosely(run: Path, file: Path, description: Path) -> Stored | None:
    """Return a csv file with what can be told of it; None where its columns are not those of metrics.

    Args:
        run: the run's folder.
        file: the csv.
        description: what stood beside it, if it is there.
    """
    names = _header(file)
    if names[:1] != [METRIC] or names[-2:] != [VALUE, TIME]:
        return None
    ids = names[1:-2]
    for described in _described(description):
        if set(described.coverage.kinds) == set(ids):
            return Stored(file, file.open("rb"), described.coverage, metrics=described.metrics, series=b"null")
    rewound = sorted(path.name for path in run.iterdir() if is_rewound_name(path.name))
    coverage = Coverage(kinds=_kinds(file, ids), rewound=tuple(rewound))
    return Stored(file, file.open("rb"), coverage, metrics=b"", series=b"null")  # which metrics is not known


def loose_rows(stored: Stored, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows that can be read of a file that `open_loosely` opened, with these columns."""
    kinds = stored.kinds
    wrong = [_as(name, kind).is_null() & pl.col(name).is_not_null() for name, kind in kinds.items()]
    rows = _rows(stored.path).filter(~pl.any_horizontal(pl.lit(value=False), *wrong))
    rows = rows.select(METRIC, *(_as(name, kind) for name, kind in kinds.items()), _value(), _time())
    for batch in rows.collect_batches(maintain_order=True, engine="streaming"):
        if batch.height:
            yield batch.to_arrow().cast(schema)


def _header(file: Path) -> Sequence[str]:
    try:
        return pl.read_csv(file, n_rows=0, infer_schema=False, glob=False, encoding="utf8-lossy").columns
    except pl.exceptions.PolarsError:
        return []


def _described(description: Path) -> tuple[CsvFile, ...]:
    try:
        return decode(description.read_bytes(), CsvDescription, description).files
    except (FileNotFoundError, CorruptRunError):
        return ()


def _rows(file: Path) -> pl.LazyFrame:
    """Return the rows that have a metric, a value and a time, as texts."""
    rows = pl.scan_csv(
        file, infer_schema=False, glob=False, encoding="utf8-lossy", truncate_ragged_lines=True, ignore_errors=True
    )
    return rows.filter(pl.col(METRIC).is_not_null(), _value().is_not_null(), _time().is_not_null())


def _kinds(file: Path, ids: Sequence[str]) -> Kinds:
    """Return the kinds of ids as which all their texts can be read."""
    order: list[Kind] = ["int", "float", "bool"]
    checks = [
        (_as(name, kind).is_not_null() | pl.col(name).is_null()).all().alias(f"{number} {kind}")
        for number, name in enumerate(ids)
        for kind in order
    ]
    can: Mapping[str, bool] = _rows(file).select(checks).collect(engine="streaming").row(0, named=True) if ids else {}
    return {name: next((kind for kind in order if can[f"{number} {kind}"]), "str") for number, name in enumerate(ids)}


def _as(name: str, kind: Kind) -> pl.Expr:
    text = pl.col(name)
    if kind == "bool":
        return pl.when(text.is_in(_BOOLS)).then(text == "true").alias(name)
    return text if kind == "str" else text.cast(POLARS_TYPES[kind], strict=False)


def _value() -> pl.Expr:
    return pl.col(VALUE).cast(pl.Float64, strict=False)


def _time() -> pl.Expr:
    zone = pl.Datetime("us", "UTC")
    return pl.coalesce(pl.col(TIME).str.to_datetime(form, strict=False).cast(zone) for form in _TIMES).alias(TIME)
