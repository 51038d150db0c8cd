"""Writing a metrics file: chunks go in, a parquet file comes out.

Invariant: a reader of one metric touches little: of each chunk only the row groups that hold it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skald.engine.arrays import arrow_array, text_array
from skald.engine.checksum import Summed, said_of
from skald.engine.coverage import Coverage
from skald.engine.merge import Chunk
from skald.engine.rows import IdColumn, pays_as_dictionary, renumber
from skald.engine.series import SeriesTable
from skald.engine.stored import METRICS_KEY, SERIES_KEY, TIME_TYPE, TYPES
from skald.schema import METRIC, TIME, VALUE, Kinds

ROW_GROUP_ROWS: Final = 1 << 17
"""Metrics with fewer rows in a chunk share a row group."""
MOST_ROW_GROUP_ROWS: Final = 1 << 19

_arrow: Any = pa  # their stubs reject much of what they can do
_parquet: Any = pq


class ParquetSink:
    """A parquet file: zstd, deltas of ints and times, the bytes of floats split, strings that recur as dictionaries."""

    description = None
    """It says itself what it holds."""

    def __init__(self, file: BinaryIO, kinds: Kinds) -> None:
        """Begin a file with these id columns; it must be open for reading too."""
        self._file, self._kinds = Summed(file), kinds
        self._schema = pa.schema([])
        self._writer: Any = None

    def _open(self, distinct: Collection[str]) -> None:
        """Write the head, once it is known of which ids the strings do not recur.

        NOTE: a dictionary of a million strings takes six times as long to write as the strings, and is larger.
        """
        texts = pa.dictionary(pa.int32(), pa.utf8())
        recurring = {name: texts for name, kind in self._kinds.items() if kind == "str" and name not in distinct}
        types = {METRIC: texts, **{name: TYPES[kind] for name, kind in self._kinds.items()}, **recurring}
        self._schema = pa.schema([*types.items(), (VALUE, pa.float64()), (TIME, TIME_TYPE)])
        encodings = {name: "DELTA_BINARY_PACKED" for name, kind in self._kinds.items() if kind == "int"}
        encodings |= {name: "BYTE_STREAM_SPLIT" for name, kind in self._kinds.items() if kind == "float"}
        self._writer = _parquet.ParquetWriter(
            self._file,
            self._schema,
            version="2.6",
            compression="zstd",
            use_dictionary=[METRIC, *recurring],
            column_encoding={VALUE: "BYTE_STREAM_SPLIT", TIME: "DELTA_BINARY_PACKED", **encodings},
            write_page_checksum=True,
            store_schema=False,  # NOTE: else strings come back as dictionaries, and polars prunes no row group by them
        )

    def write(self, chunk: Chunk) -> None:
        """Append a chunk as row groups of one metric, or of several with few rows."""
        if self._writer is None:
            self._open([name for name, column in chunk.ids.items() if not _recurs(column)])
        for first, stop in row_groups(chunk.metric):
            part = slice(first, stop)
            codes = chunk.metric[part]
            low, high = int(codes[0]), int(codes[-1])
            numbers = arrow_array((codes - low).astype(np.int32), pa.int32())
            columns = [_arrow.DictionaryArray.from_arrays(numbers, text_array(chunk.names[low : high + 1]))]
            columns += [_array(column, part, self._schema.field(name).type) for name, column in chunk.ids.items()]
            columns += [arrow_array(chunk.value[part], pa.float64()), arrow_array(chunk.time[part], TIME_TYPE)]
            self._writer.write_table(_arrow.Table.from_arrays(columns, schema=self._schema), stop - first)

    def finish(self, coverage: Coverage, metrics: Sequence[str], series: SeriesTable | None) -> None:
        """Write the footer."""
        if self._writer is None:
            self._open(())
        parts = {METRICS_KEY: msgspec.json.encode(metrics), SERIES_KEY: msgspec.json.encode(series)}
        self._writer.add_key_value_metadata(said_of(coverage) | parts)
        self._writer.close()
        self._file.sign()

    def abandon(self) -> None:
        """Let pyarrow end the file while it is open: it would try when it is collected, and complain."""
        if self._writer is None:
            return
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._writer.is_open = False


def row_groups(metric: np.ndarray[Any, Any]) -> Iterator[tuple[int, int]]:
    """Cut sorted rows into row groups: at the borders of metrics, but for metrics with very many rows."""
    borders = [0, *(np.flatnonzero(metric[1:] != metric[:-1]) + 1).tolist(), len(metric)]
    first = 0
    for start, stop in itertools.pairwise(borders):
        if first < start and stop - first > ROW_GROUP_ROWS:
            yield first, start
            first = start
        while stop - first > MOST_ROW_GROUP_ROWS:
            yield first, first + MOST_ROW_GROUP_ROWS
            first += MOST_ROW_GROUP_ROWS
    if first < len(metric):
        yield first, len(metric)


def _recurs(column: IdColumn) -> bool:
    return column.names is None or pays_as_dictionary(len(column.names), len(column.values))


def _array(column: IdColumn, part: slice, type_: pa.DataType) -> Any:
    missing = None if column.given is None else ~column.given[part]
    values = column.values[part]
    if column.names is None:
        return arrow_array(values, type_, missing)
    if type_ == pa.utf8():
        return column.names.take(arrow_array(values, pa.int32(), missing))
    codes, names = renumber(values, column.names)
    return _arrow.DictionaryArray.from_arrays(arrow_array(codes, pa.int32(), missing), names)
