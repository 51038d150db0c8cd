"""Salvage: what can still be read of a damaged metrics file becomes a metrics file again.

Invariant: the damaged file is only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skald.durable import replace, sync_folder
from skald.engine.coverage import encode
from skald.engine.stored import COVERAGE_KEY, METRICS_KEY, SERIES_KEY, Stored
from skald.errors import CorruptRunError
from skald.layout import temporary
from skald.schema import TIME

_FAULTS: Final = (pa.ArrowException, OSError)
_parquet: Any = pq
_compute: Any = pc


def salvage(stored: Stored, target: Path) -> int:
    """Write the row groups of a parquet file that can be read into a new one; return how many rows that are.

    Args:
        stored: the opened file.
        target: where the new one comes to stand; it is replaced whole.
    """
    beside = temporary(target)
    rows, times = 0, []
    writer: Any = None
    try:
        for table in _readable(stored):
            if writer is None:
                writer = _parquet.ParquetWriter(
                    beside, table.schema, version="2.6", compression="zstd", store_schema=False
                )
            writer.write_table(table, len(table))
            rows += len(table)
            times.append(_compute.min_max(table.column(TIME).cast(pa.int64())).as_py())
        if writer is None:
            return 0
        coverage = msgspec.structs.replace(
            stored.coverage,
            generation=stored.coverage.generation + 1,
            rows=rows,
            parts=(),
            chunks=((rows, min(time["min"] for time in times)),),
            newest=max(time["max"] for time in times),
            ordered=False,
        )
        metrics = msgspec.json.encode(stored.metrics)
        writer.add_key_value_metadata({COVERAGE_KEY: encode(coverage), METRICS_KEY: metrics, SERIES_KEY: b"null"})
        writer.close()
        replace(beside, target)
        sync_folder(target.parent)
    finally:
        if writer is not None:
            writer.close()
        beside.unlink(missing_ok=True)
    return rows


def _readable(stored: Stored) -> Iterator[pa.Table]:
    try:
        file = pq.ParquetFile(stored.file, pre_buffer=False)
    except _FAULTS as error:
        raise CorruptRunError(f"the footer cannot be read: {error}, in {stored.path}") from error
    for group in range(file.num_row_groups):
        try:
            table = file.read_row_group(group, use_threads=False)
            table.validate(full=True)
        except _FAULTS:
            continue  # it is what the caller salvages from
        yield table
