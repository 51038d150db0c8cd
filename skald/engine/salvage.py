"""Salvage: what can still be read of a damaged metrics file becomes a metrics file again.

Invariant: the damaged file is only read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skald.durable import replace, sync_folder
from skald.engine.checksum import Summed, said_of
from skald.engine.coverage import Coverage
from skald.engine.looserows import loose_rows
from skald.engine.pages import RowGroup, row_groups, sound_rows
from skald.engine.sinks import ParquetSink
from skald.engine.stored import METRICS_KEY, SERIES_KEY, TIME_TYPE, TYPES, Stored, open_parquet
from skald.errors import CorruptRunError
from skald.layout import CSV, temporary
from skald.schema import METRIC, TIME, VALUE

_MAGIC: Final = b"PAR1"
"""The last bytes of a parquet file."""
_MOST_ENDS: Final = 3
"""So many places that look like its end are tried."""
_FAULTS: Final = (pa.ArrowException, OSError, ValueError)
_POLARS_FAULTS: Final = (*_FAULTS, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_parquet: Any = pq
_compute: Any = pc


def salvage(stored: Stored, target: Path) -> int:
    """Write what can be read of a metrics file into a new one of parquet; return how many rows that are.

    Args:
        stored: the opened file: of parquet the rows whose pages are sound, of csv its rows.
        target: where the new one comes to stand; it is replaced whole.
    """
    beside = temporary(target)
    try:
        with beside.open("x+b") as file:
            rows = _write(stored, Summed(file))
        if rows:
            replace(beside, target)
            sync_folder(target.parent)
    finally:
        beside.unlink(missing_ok=True)
    return rows


def open_damaged(path: Path) -> Stored | None:
    """Open a metrics file of parquet; one whose last bytes are wrong, or followed by others, as it was with its own.

    Raises:
        CorruptRunError: its footer cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """
    try:
        return open_parquet(path)
    except CorruptRunError:
        if not path.is_file():
            raise
        data = path.read_bytes()
        ends = [found.end() for found in re.finditer(_MAGIC, data)][-_MOST_ENDS:]
        for whole in (data[: -len(_MAGIC)] + _MAGIC, *(data[:end] for end in reversed(ends))):
            beside = temporary(path)
            try:
                beside.write_bytes(whole)
                return open_parquet(beside)
            except CorruptRunError:
                continue
            finally:
                beside.unlink()  # it stays open
        raise


def write_empty(target: Path) -> None:
    """Write a metrics file without rows in place of one of which nothing is left."""
    beside = temporary(target)
    try:
        with beside.open("x+b") as file:
            ParquetSink(file, {}).finish(Coverage(), (), None)
        replace(beside, target)
        sync_folder(target.parent)
    finally:
        beside.unlink(missing_ok=True)


def _write(stored: Stored, file: Summed) -> int:
    rows, times = 0, []
    names: dict[str, None] = {}
    writer: Any = None
    try:
        for table in _readable(stored):
            if writer is None:
                writer = _parquet.ParquetWriter(
                    file, table.schema, version="2.6", compression="zstd", store_schema=False, write_page_checksum=True
                )
            writer.write_table(table, len(table))
            rows += len(table)
            names |= dict.fromkeys(map(str, table.column(METRIC).unique().to_pylist()))
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
        parts = {METRICS_KEY: msgspec.json.encode(_metrics(stored, list(names))), SERIES_KEY: b"null"}
        writer.add_key_value_metadata(said_of(coverage) | parts)
    finally:
        if writer is not None:
            writer.close()
    file.sign()
    return rows


def count_readable(stored: Stored) -> int:
    """Return how many rows of a metrics file `salvage` can keep."""
    return sum(map(len, _readable(stored)))


def _readable(stored: Stored) -> Iterator[pa.Table]:
    types = {METRIC: pa.utf8(), **{name: TYPES[kind] for name, kind in stored.kinds.items()}}
    schema = pa.schema([*types.items(), (VALUE, pa.float64()), (TIME, TIME_TYPE)])
    if stored.path.suffix == Path(CSV).suffix:
        yield from loose_rows(stored, schema)
        return
    try:
        file = pq.ParquetFile(stored.file, pre_buffer=False, page_checksum_verification=True)
    except _FAULTS as error:
        raise CorruptRunError(f"the footer cannot be read: {error}, in {stored.path}") from error
    groups = row_groups(stored.file, stored.path)
    for number in range(file.num_row_groups):
        try:
            yield _checked(file.read_row_group(number, use_threads=False), schema)
        except _FAULTS:
            if number < len(groups):
                yield from _sound_parts(stored, groups[number], schema)


def _sound_parts(stored: Stored, group: RowGroup, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of sound pages of a row group.

    NOTE: pyarrow reads a row group from its beginning; polars passes over the pages that hold none of the rows asked
    for, and knows no checksums of pages.
    """
    for first, stop in sound_rows(stored.file, group):
        if (first, stop) == (0, group.rows):  # it is no page that is damaged
            return
        stored.file.seek(0)
        try:
            rows = pl.scan_parquet(stored.file).slice(group.first + first, stop - first).collect()
            yield _checked(rows.to_arrow(), schema)
        except _POLARS_FAULTS:
            continue  # it is what the caller salvages from


def _checked(table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = table.rename_columns(schema.names).cast(schema)
    table.validate(full=True)
    return table


def _metrics(stored: Stored, found: list[str]) -> list[str]:
    """Return the metrics in the order in which they were logged first, where the file still tells it."""
    try:
        return [*stored.metrics]
    except CorruptRunError:
        return found
