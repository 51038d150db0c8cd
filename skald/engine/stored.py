"""The metrics file of a run: opened once, so that what is read is one file whatever happens to its name.

Invariant: of two files (one is left over where a change of format was cut off) the one of the higher
generation holds everything that the other holds.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Literal, Self

import msgspec
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from skald.durable import read_atomic
from skald.engine.coverage import Coverage, decode, decode_part
from skald.engine.footer import Footer
from skald.engine.series import SeriesTable
from skald.errors import CorruptRunError, unless_handlers
from skald.layout import CSV, CSV_DESCRIPTION, FORMAT_VERSION, PARQUET
from skald.schema import METRIC, TIME, VALUE, Kind, Kinds

MetricsFormat = Literal["parquet", "csv"]

COVERAGE_KEY: Final = b"skald"
METRICS_KEY: Final = b"skald.metrics"
"""Where the footer has the names of the metrics, in order of first appearance: apart, as they may be many."""
SERIES_KEY: Final = b"skald.series"
"""Where the footer has the summary of each series: apart, as most readers do not want it."""

FILES: Final[dict[MetricsFormat, str]] = {"parquet": PARQUET, "csv": CSV}

TYPES: Final[dict[Kind, pa.DataType]] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.utf8(),
    "bool": pa.bool_(),
}
TIME_TYPE: Final = pa.timestamp("us", "UTC")

_BLOCK_BYTES: Final = 1 << 20
_CSV_BLOCK_BYTES: Final = 1 << 24


class CsvFile(msgspec.Struct, kw_only=True):
    """What a csv cannot say itself."""

    size: int
    crc32: int
    metrics: msgspec.Raw
    coverage: Coverage
    series: msgspec.Raw = msgspec.Raw(b"null")


class CsvDescription(msgspec.Struct, kw_only=True):
    """The file beside metrics.csv: describes the csv that is about to be there, and the one before it."""

    format: int = FORMAT_VERSION
    files: tuple[CsvFile, ...] = ()


class _Ids(msgspec.Struct):
    """The part of a coverage that a table of runs is made of."""

    kinds: Kinds
    rows: int = 0


class Stored:
    """An opened metrics file, and what it says of itself."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        coverage: Coverage,
        *,
        metrics: bytes | msgspec.Raw,
        series: bytes | msgspec.Raw,
        described: CsvFile | None = None,
    ) -> None:
        """Take over an open file.

        Args:
            path: the name under which it was opened; what stands there now may be another file.
            file: the file itself.
            coverage: what is in it.
            metrics: the JSON of its metrics, in order of first appearance.
            series: the JSON of its series.
            described: what stands beside a csv.
        """
        self.path, self.file, self.coverage, self.described = path, file, coverage, described
        self.metrics_json, self.series_json = metrics, series

    @property
    def kinds(self) -> Kinds:
        """The file's id columns."""
        return self.coverage.kinds

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The file's metrics, in order of first appearance.

        Raises:
            CorruptRunError: they cannot be read.
        """
        metrics: tuple[str, ...] = decode_part(self.metrics_json, tuple[str, ...], self.path)
        return metrics

    @cached_property
    def series(self) -> SeriesTable | None:
        """The summary of each series in the file, None where there are too many metrics.

        Raises:
            CorruptRunError: it cannot be read.
        """
        series: SeriesTable | None = decode_part(self.series_json, SeriesTable | None, self.path)
        return series

    @property
    def format(self) -> MetricsFormat:
        """How the rows are written."""
        return "csv" if self.path.name == CSV else "parquet"

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_stored(run: Path) -> Stored | None:
    """Open the metrics file of a run; None where nothing was compacted yet.

    Raises:
        CorruptRunError: it is not a file of Skald's, or not as it was written.
        FormatVersionError: a newer Skald wrote it.
    """
    # NOTE: csv, parquet, csv: a change of format takes the old file away after the new one has come
    found = _open_csv(run) or open_parquet(run / PARQUET) or _open_csv(run)
    if found is None or found.format == "parquet":
        return found
    other = open_parquet(run / PARQUET)
    if other is None or other.coverage.generation < found.coverage.generation:
        if other:
            other.close()
        return found
    found.close()
    return other


def read_kinds(path: str) -> Kinds:
    """Return the ids of a parquet file of metrics.

    Raises:
        FileNotFoundError: it is not there.
        CorruptRunError: it is not a file of Skald's, or not a whole one.
        FormatVersionError: a newer Skald wrote it.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  of thousands of files every µs counts
        return kinds_said(_said(Footer(file, path), path), path)


def kinds_said(said: bytes, path: str) -> Kinds:
    """Return the ids of which a parquet file of metrics tells under COVERAGE_KEY.

    Raises:
        CorruptRunError, FormatVersionError: as `read_kinds`.
    """
    return decode(said, _Ids, path).kinds


def stored_writers(run: Path) -> set[str]:
    """Return the writers whose rows are told apart in a run's metrics file."""
    stored = open_stored(run)
    if stored is None:
        return set()
    with stored:
        return {writer for writer, _ in stored.coverage.parts if writer}


def read_facts(path: str) -> tuple[int, Kinds, bytes]:
    """Return how many rows a parquet file of metrics has, its ids, and the JSON of its series.

    Raises:
        As `read_kinds`.
    """
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  of thousands of files every µs counts
        footer = Footer(file, path)
    said = decode(_said(footer, path), _Ids, path)
    return said.rows, said.kinds, footer.text(SERIES_KEY) or b"null"


def read_csv_facts(run: Path) -> tuple[int, Kinds, bytes]:
    """Return of a csv file of metrics what `read_facts` returns of a parquet file.

    Raises:
        CorruptRunError: it is not there, or not as it was written.
        FormatVersionError: a newer Skald wrote it.
    """
    stored = open_stored(run)
    if stored is None or stored.described is None:
        raise CorruptRunError(f"expected a {CSV} that is described beside it, in {run}")
    with stored:
        return stored.coverage.rows, stored.kinds, bytes(stored.described.series)


def stored_kinds(run: Path) -> Kinds:
    """Return the kinds of the ids in a run's metrics file."""
    stored = open_stored(run)
    if stored is None:
        return {}
    with stored:
        return stored.kinds


def read_tables(
    stored: Stored, columns: Collection[str] | None = None, *, rows: tuple[int, int] | None = None
) -> Iterator[pa.Table]:
    """Read a metrics file piece by piece, in its order; strings may be dictionaries.

    Args:
        stored: the file; it stays open.
        columns: which to read; None: all.
        rows: from which row on, and the row to stop before; None: all.

    Raises:
        CorruptRunError: it cannot be read to its end.
    """
    read = _csv_tables if stored.format == "csv" else _parquet_tables
    stored.file.seek(0)
    try:
        yield from read(stored, columns, *(rows or (0, stored.coverage.rows)))
    except unless_handlers(pa.ArrowException, OSError, LookupError, ValueError) as error:  # the last two: of a name
        raise CorruptRunError(f"expected a whole {stored.format} file: {error}, in {stored.path}") from error


def _parquet_tables(stored: Stored, columns: Collection[str] | None, first: int, stop: int) -> Iterator[pa.Table]:
    strings = [METRIC, *(name for name, kind in stored.kinds.items() if kind == "str")]
    # NOTE: with pre_buffer threads read ahead, and one in ten processes that ended soon after, on a busy machine,
    # was aborted at its end
    file = pq.ParquetFile(stored.file, read_dictionary=strings, pre_buffer=False, page_checksum_verification=True)
    chosen = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
    position = 0
    for group in range(file.num_row_groups):
        if first <= position < stop:  # no row group is in two parts
            yield file.read_row_group(group, columns=chosen, use_threads=False)
        position += file.metadata.row_group(group).num_rows


def _csv_tables(stored: Stored, columns: Collection[str] | None, first: int, stop: int) -> Iterator[pa.Table]:
    texts = pa.dictionary(pa.int32(), pa.utf8())
    ids = {name: texts if kind == "str" else TYPES[kind] for name, kind in stored.kinds.items()}
    types = {METRIC: texts, **ids, VALUE: pa.float64(), TIME: TIME_TYPE}
    reader = pc.open_csv(
        stored.file,
        read_options=pc.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types=types,
            include_columns=[name for name in types if columns is None or name in columns],
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    position = 0
    for batch in reader:
        start, position = position, position + len(batch)
        if first < position and start < stop:
            part = batch.slice(max(0, first - start), min(stop, position) - max(first, start))
            yield pa.Table.from_batches([part])


def open_parquet(path: Path) -> Stored | None:
    """Open a parquet file of Skald's; None where there is none.

    Raises:
        CorruptRunError: it is not a file of Skald's, or its footer cannot be read.
        FormatVersionError: a newer Skald wrote it.
    """
    try:
        file = _opened(path)
    except FileNotFoundError:
        return None
    with _closed_on_error(file):
        footer = Footer(file, path)
        coverage = decode(_said(footer, path), Coverage, path)
        metrics, series = footer.text(METRICS_KEY) or b"[]", footer.text(SERIES_KEY) or b"null"
        return Stored(path, file, coverage, metrics=metrics, series=series)


def _said(footer: Footer, path: Path | str) -> bytes:
    said = footer.text(COVERAGE_KEY)
    if said is None:
        raise CorruptRunError(f"expected a parquet file that Skald wrote, found another, in {path}")
    return said


def _open_csv(run: Path) -> Stored | None:
    path = run / CSV
    while True:
        try:
            file = _opened(path)
        except FileNotFoundError:
            return None
        with _closed_on_error(file):
            said = _describe(run, file)
            if said:
                return Stored(path, file, said.coverage, metrics=said.metrics, series=said.series, described=said)
            is_current = _is_current(file, path)
        file.close()
        if is_current:
            raise _unknown_csv(path)


def _describe(run: Path, file: BinaryIO) -> CsvFile | None:
    """Return the description that fits the open csv; None where there is none."""
    path = run / CSV_DESCRIPTION
    try:
        files = decode(read_atomic(path), CsvDescription, path).files
    except FileNotFoundError:
        return None
    size = file.seek(0, 2)
    fitting = [found for found in files if found.size == size]
    if len(fitting) > 1:
        file.seek(0)
        crc = crc32_of(file)
        fitting = [found for found in fitting if found.crc32 == crc]
    return fitting[0] if fitting else None


def _is_current(file: BinaryIO, path: Path) -> bool:
    """Tell whether the open file is still the one under its name: else two compactions have passed."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _unknown_csv(path: Path) -> CorruptRunError:
    if not path.with_name(CSV_DESCRIPTION).exists():
        return CorruptRunError(f"expected {CSV_DESCRIPTION} beside it, which says what its columns are, in {path}")
    error = CorruptRunError(
        f"expected a csv as {CSV_DESCRIPTION} describes it, found another size or content, in {path}"
    )
    error.add_note(f"hint: {CSV} was changed by another program; copy it elsewhere before you edit it")
    return error


def crc32_of(file: BinaryIO, crc: int = 0, *, size: int = sys.maxsize) -> int:
    """Return the CRC-32 of what was before, and of so many bytes that follow in an open file."""
    while block := file.read(min(_BLOCK_BYTES, size)):
        crc = zlib.crc32(block, crc)
        size -= len(block)
    return crc


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except IsADirectoryError:
        raise CorruptRunError(f"expected a file, found a folder, in {path}") from None


@contextmanager
def _closed_on_error(file: BinaryIO) -> Iterator[None]:
    try:
        yield
    except BaseException:
        file.close()
        raise
