"""Writing a metrics file: chunks go in, a parquet or csv file comes out.

Invariant: a reader of one metric touches little: of each chunk only the row groups that hold it.
"""

from __future__ import annotations

import contextlib
import itertools
import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skald.engine.arrays import arrow_array, text_array
from skald.engine.checksum import Summed, said_of
from skald.engine.coverage import Coverage
from skald.engine.merge import Chunk
from skald.engine.rows import IdColumn, Ints, Texts, pays_as_dictionary, renumber
from skald.engine.series import SeriesTable
from skald.engine.stored import METRICS_KEY, SERIES_KEY, TIME_TYPE, TYPES, CsvFile
from skald.schema import METRIC, TIME, VALUE, Kinds

ROW_GROUP_ROWS: Final = 1 << 17
"""Metrics with fewer rows in a chunk share a row group."""
MOST_ROW_GROUP_ROWS: Final = 1 << 19
_CSV_ROWS: Final = 1 << 16
# NOTE: given as plain strings they make pyarrow import pandas where it is installed: 0.2 s at a close
_COMMA, _QUOTE, _NOTHING, _UTC = text_array([",", '"', "", "Z"])

_arrow: Any = pa  # their stubs reject much of what they can do
_compute: Any = pc
_parquet: Any = pq


class ParquetSink:
    """A parquet file: zstd, deltas of ints and times, the bytes of floats split, strings that recur as dictionaries."""

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
    codes, used = renumber(values, len(column.names))
    return _arrow.DictionaryArray.from_arrays(arrow_array(codes, pa.int32(), missing), column.names.take(used))


class CsvSink:
    """A csv file: a missing id is empty, an empty string is quoted, floats are the shortest that read back the same."""

    def __init__(self, file: BinaryIO, kinds: Kinds) -> None:
        """Begin a file with these id columns."""
        self._file = file
        self._size = self._crc = 0
        self.description: CsvFile | None = None
        names = text_array([METRIC, *kinds, VALUE, TIME])
        self._put(",".join(_quoted(names).to_pylist()) + "\n")

    def write(self, chunk: Chunk) -> None:
        """Append a chunk."""
        names = _quoted(text_array(chunk.names))
        for first in range(0, len(chunk), _CSV_ROWS):
            part = slice(first, first + _CSV_ROWS)
            columns = [names.take(arrow_array(chunk.metric[part].astype(np.int32), pa.int32()))]
            columns += [_texts(column, part) for column in chunk.ids.values()]
            columns += [arrow_array(chunk.value[part], pa.float64()).cast(pa.utf8()), _times(chunk.time[part])]
            lines = _compute.binary_join_element_wise(*columns, _COMMA, null_handling="replace", null_replacement="")
            self._put("\n".join(lines.to_pylist()) + "\n")

    def finish(self, coverage: Coverage, metrics: Sequence[str], series: SeriesTable | None) -> None:
        """Make the description that belongs beside the file."""
        self.description = CsvFile(
            size=self._size,
            crc32=self._crc,
            metrics=msgspec.Raw(msgspec.json.encode(metrics)),
            coverage=coverage,
            series=msgspec.Raw(msgspec.json.encode(series)),
        )

    def abandon(self) -> None:
        """Give up: nothing is held back."""

    def _put(self, text: str) -> None:
        data = text.encode()
        self._file.write(data)
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)


def _quoted(texts: Texts) -> Texts:
    """Quote what would be read as something else: commas, quotes, line ends, and the empty string."""
    needs = _compute.match_substring_regex(texts, r'[",\r\n]|^$')
    inner = _compute.replace_substring(texts, '"', '""')
    return _compute.if_else(needs, _compute.binary_join_element_wise(_QUOTE, inner, _QUOTE, _NOTHING), texts)


def _texts(column: IdColumn, part: slice) -> Texts:
    missing = None if column.given is None else ~column.given[part]
    values = column.values[part]
    if column.names is None:
        return arrow_array(values, TYPES[column.kind], missing).cast(pa.utf8())
    return _quoted(column.names.take(arrow_array(values, pa.int32(), missing)))


def _times(times: Ints) -> Texts:
    """Write µs since 1970 as 2026-11-23T08:15:00.123456Z."""
    texts = arrow_array(times, pa.timestamp("us")).cast(pa.utf8())
    return _compute.binary_join_element_wise(_compute.replace_substring(texts, " ", "T"), _UTC, _NOTHING)
