"""The pages of a parquet file's columns, each held against its own checksum.

A row group of which one page is damaged has rows left: those of the pages that are sound in every column. The footer
and the headers of pages, in Thrift's compact protocol, have no checksum: they are believed only where they fit together
exactly. NOTE: pyarrow ends the process when it is asked for a column whose footer is damaged.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from skald.engine.footer import Footer
from skald.errors import CorruptRunError

_SIZE, _CRC, _DATA, _ROWS, _ENCODING = 3, 4, 5, 1, 2
"""Numbers of fields: of a page's header its size, its checksum and what a page of data has; of that its values."""
_GROUPS, _COLUMNS, _GROUP_ROWS, _COLUMN = 4, 1, 3, 3
"""Of the footer its row groups; of these the columns and the rows; of a column what tells of it."""
_ENCODINGS, _COLUMN_SIZE, _DATA_PLACE, _DICTIONARY_PLACE = 2, 7, 9, 11
_TRUE, _FALSE, _BYTE, _TEXT, _LIST, _STRUCT = 1, 2, 3, 8, 9, 12
_INTS: Final = frozenset({4, 5, 6})
"""Kinds of fields."""
_LONG: Final = 15
"""The length of a list that does not fit beside its kind."""
_FAULTS: Final = (LookupError, RecursionError, TypeError, ValueError)
"""What comes of a header that is damaged."""

Fields = dict[int, Any]


class _Page(NamedTuple):
    """A page: how many rows it holds, which are none of a dictionary's, and whether its checksum is right."""

    rows: int
    is_sound: bool


class RowGroup(NamedTuple):
    """A row group: where its rows stand in the file, and what the footer says of its columns."""

    first: int
    rows: int
    columns: list[Fields]


def row_groups(file: BinaryIO, path: Path) -> list[RowGroup]:
    """Return the row groups of a parquet file; none where its footer is damaged."""
    groups: list[RowGroup] = []
    first = 0
    try:
        for fields in _struct(Footer(file, path).data, 0)[0][_GROUPS]:
            groups.append(RowGroup(first, fields[_GROUP_ROWS], [column[_COLUMN] for column in fields[_COLUMNS]]))
            first += fields[_GROUP_ROWS]
    except (*_FAULTS, CorruptRunError):
        return []
    return groups


def sound_rows(file: BinaryIO, group: RowGroup) -> list[tuple[int, int]]:
    """Return the rows of a row group, from which on and before which, whose pages are sound in every column.

    Args:
        file: the parquet file; its columns are flat, so that each value is a row.
        group: one of its row groups.
    """
    rows = group.rows
    bad: list[tuple[int, int]] = []
    for column in group.columns:
        try:
            pages = list(_pages(file, column))
        except _FAULTS:  # where the next page begins is unknown
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


def _pages(file: BinaryIO, column: Fields) -> Iterator[_Page]:
    file.seek(column.get(_DICTIONARY_PLACE) or column[_DATA_PLACE])
    data = file.read(column[_COLUMN_SIZE])
    place = 0
    while place < column[_COLUMN_SIZE]:
        header, place = _struct(data, place)
        stop = place + header[_SIZE]
        if not place <= stop <= len(data):
            raise ValueError(f"expected a page of at most {len(data) - place} bytes, got {header[_SIZE]}")
        rows = header[_DATA][_ROWS] if _DATA in header else 0
        if rows and header[_DATA][_ENCODING] not in column[_ENCODINGS]:  # polars would print that it panics
            raise ValueError(f"expected a page encoded as {column[_ENCODINGS]}, got {header[_DATA][_ENCODING]}")
        is_sound = _CRC in header and zlib.crc32(data[place:stop]) == header[_CRC] & 0xFFFFFFFF
        yield _Page(rows, is_sound)
        place = stop


def _struct(data: bytes, place: int) -> tuple[Fields, int]:
    """Return the fields of a struct by their numbers, and where it ends."""
    fields: Fields = {}
    number = 0
    while data[place]:
        step, kind = data[place] >> 4, data[place] & 15
        place += 1
        if not step:
            raise ValueError("expected fields in their order")
        number += step
        fields[number], place = (kind == _TRUE, place) if kind in {_TRUE, _FALSE} else _value(data, place, kind)
    return fields, place + 1


def _list(data: bytes, place: int) -> tuple[list[Any], int]:
    """Return the values of a list, and where it ends."""
    size, kind = data[place] >> 4, data[place] & 15
    place += 1
    if size == _LONG:
        size, place = _varint(data, place)
    values = []
    for _ in range(size):
        value, place = _value(data, place, kind)
        values.append(value)
    return values, place


def _value(data: bytes, place: int, kind: int) -> tuple[Any, int]:
    if kind in {_TRUE, _FALSE, _BYTE}:
        return data[place], place + 1
    if kind == _LIST:
        return _list(data, place)
    if kind in _INTS:
        number, place = _varint(data, place)
        return (number >> 1) ^ -(number & 1), place
    if kind == _TEXT:
        size, place = _varint(data, place)
        return data[place : place + size], place + size
    if kind == _STRUCT:
        return _struct(data, place)
    raise ValueError(f"expected a field of a footer or a page's header, got one of kind {kind}")


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and where it ends."""
    number = shift = 0
    while data[place] & 0x80:
        number |= (data[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return number | data[place] << shift, place + 1
