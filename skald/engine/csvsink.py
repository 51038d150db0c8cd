"""Writing a metrics file as csv: chunks go in, and beside it a small file says what it holds."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skald.engine.arrays import arrow_array, text_array
from skald.engine.coverage import Coverage
from skald.engine.merge import Chunk
from skald.engine.rows import IdColumn, Ints, Texts
from skald.engine.series import SeriesTable
from skald.engine.stored import TYPES, CsvFile
from skald.schema import METRIC, TIME, VALUE, Kinds

_CSV_ROWS: Final = 1 << 16
# NOTE: given as plain strings they make pyarrow import pandas where it is installed: 0.2 s at a close
_COMMA, _QUOTE, _NOTHING, _UTC = text_array([",", '"', "", "Z"])

_compute: Any = pc  # their stubs reject much of what it can do


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
