"""Tables as files: whatever Arrow or Polars makes a table of."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from typing import Any, Final

from skald.errors import InvalidInputError, unless_handlers

FORMATS: Final = (".parquet", ".csv")
"""What the suffix of a name may choose; the first where it chooses none."""


def table_bytes(table: Any, suffix: str) -> bytes:
    """Return a table as the content of a file.

    Args:
        table: of Polars, pandas or Arrow, of a library that gives Arrow's stream, a mapping of names to columns,
            a list of mappings, a structured array, or what else Polars makes a table of.
        suffix: one of FORMATS.

    Raises:
        InvalidInputError: it is no table, or the format cannot hold it.
    """
    import polars as pl

    try:
        found = _as_table(table)
        file = io.BytesIO()
        if suffix == ".csv":
            frame = found if isinstance(found, pl.DataFrame) else pl.DataFrame(found)
            frame.write_csv(file)
        elif isinstance(found, pl.DataFrame):
            found.write_parquet(file)
        else:
            import pyarrow.parquet as pq

            pq.write_table(found, file)
    except unless_handlers(Exception) as error:  # of Arrow, Polars, or the library of what is in the columns
        reason = str(error).strip().partition("\n")[0]
        refused = InvalidInputError(f"a value of type {type(table).__name__} cannot be a {suffix} table: {reason}")
        refused.add_note("hint: each column must be of one kind; nested ones need .parquet")
        raise refused from error
    return file.getvalue()


def _as_table(table: Any) -> Any:
    """Return a table of Polars or of Arrow."""
    import polars as pl

    if isinstance(table, (pl.LazyFrame, pl.Series)):
        table = table.collect() if isinstance(table, pl.LazyFrame) else table.to_frame()
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, (str, bytes)) or table is None:
        raise TypeError("it has no columns")
    found = _as_arrow(table)
    return pl.DataFrame(table, infer_schema_length=None) if found is None else found


def _as_arrow(table: Any) -> Any:
    """Return a table of Arrow, which has all types of its own and pandas' index; None where Arrow knows none."""
    import pyarrow as pa

    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(table, (pandas.DataFrame, pandas.Series)):
        return pa.Table.from_pandas(table.to_frame() if isinstance(table, pandas.Series) else table)
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__arrow_c_array__"):
        return pa.table(table)
    if isinstance(table, Mapping):
        with contextlib.suppress(pa.ArrowException, TypeError, ValueError, RuntimeError):
            return pa.table(dict(table))  # NOTE: unlike Polars, Arrow takes ints and floats in one column
    return None
