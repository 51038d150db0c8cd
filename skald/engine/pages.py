"""The pages of a parquet file's columns, each held against its own checksum.

A row group of which one page is damaged has rows left: those of the pages that are sound in every column. The headers
of pages, in Thrift's compact protocol, have no checksum: they are believed only where they fit together exactly.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple

_SIZE, _CRC, _DATA, _ROWS, _ENCODING = 3, 4, 5, 1, 2
"""Numbers of fields: of a page's header its size, its checksum and what a page of data has; of that its values."""
_ENCODINGS: Final = {"PLAIN": 0, "RLE": 3, "DELTA_BINARY_PACKED": 5, "RLE_DICTIONARY": 8, "BYTE_STREAM_SPLIT": 9}
"""NOTE: of any other polars prints that it panics."""
_TRUE, _FALSE, _TEXT, _STRUCT = 1, 2, 8, 12
_INTS: Final = frozenset({4, 5, 6})
"""Kinds of fields."""


class _Page(NamedTuple):
    """A page: how many rows it holds, which are none of a dictionary's, and whether its checksum is right."""

    rows: int
    is_sound: bool


def sound_rows(file: BinaryIO, group: Any) -> list[tuple[int, int]]:
    """Return the rows of a row group, from which on and before which, whose pages are sound in every column.

    Args:
        file: the parquet file; its columns are flat, so that each value is a row.
        group: what pyarrow tells of the row group.
    """
    rows = group.num_rows
    bad: list[tuple[int, int]] = []
    for number in range(group.num_columns):
        column = group.column(number)
        try:
            pages = list(_pages(file, column))
        except (
            LookupError,
            RecursionError,
            TypeError,
            ValueError,
        ):  # a header is damaged, and where the next page begins is unknown
            return []
        if sum(page.rows for page in pages) != rows or any(not page.rows and not page.is_sound for page in pages):
            return []
        first = 0
        for page in pages:
            if not page.is_sound:
                bad.append((first, first + page.rows))
            first += page.rows
    return _between(sorted(bad), rows)


def _between(bad: list[tuple[int, int]], rows: int) -> list[tuple[int, int]]:
    """Return the ranges of rows that none of some others covers."""
    found, first = [], 0
    for start, stop in [*bad, (rows, rows)]:
        if first < start:
            found.append((first, start))
        first = max(first, stop)
    return found


def _pages(file: BinaryIO, column: Any) -> Iterator[_Page]:
    start = column.dictionary_page_offset or column.data_page_offset
    file.seek(start)
    data = file.read(column.total_compressed_size)
    encodings = {_ENCODINGS[name] for name in column.encodings}
    place = 0
    while place < column.total_compressed_size:
        header, place = _struct(data, place)
        stop = place + header[_SIZE]
        if not place <= stop <= len(data):
            raise ValueError(f"expected a page of at most {len(data) - place} bytes, got {header[_SIZE]}")
        rows = header[_DATA][_ROWS] if _DATA in header else 0
        if rows and header[_DATA][_ENCODING] not in encodings:
            raise ValueError(f"expected a page encoded as {column.encodings}, got {header[_DATA][_ENCODING]}")
        is_sound = _CRC in header and zlib.crc32(data[place:stop]) == header[_CRC] & 0xFFFFFFFF
        yield _Page(rows, is_sound)
        place = stop


def _struct(data: bytes, place: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a struct by their numbers, and where it ends."""
    fields: dict[int, Any] = {}
    number = 0
    while data[place]:
        step, kind = data[place] >> 4, data[place] & 15
        place += 1
        if not step:
            raise ValueError("expected fields in their order")
        number += step
        fields[number], place = _field(data, place, kind)
    return fields, place + 1


def _field(data: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind in {_TRUE, _FALSE}:
        return kind == _TRUE, place
    if kind in _INTS:
        number, place = _varint(data, place)
        return (number >> 1) ^ -(number & 1), place
    if kind == _TEXT:
        size, place = _varint(data, place)
        return data[place : place + size], place + size
    if kind == _STRUCT:
        return _struct(data, place)
    raise ValueError(f"expected a field of a page's header, got one of kind {kind}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    number = shift = 0
    while data[place] & 0x80:
        number |= (data[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return number | data[place] << shift, place + 1
