"""What a parquet file of Skald says of itself, read from its last bytes.

NOTE: a table of a thousand runs opens a thousand files, and to parse the whole footer takes nine times as long
(120 µs). The texts are found by their names, from the end of the footer on. That is exact: only the name of the writer
and the order of the columns stand behind them, and neither a name nor JSON holds the control characters around a name.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Final

from skald.errors import CorruptRunError

_MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 1 << 13
"""What is read at first: enough for a run of some tens of series."""
_TEXT: Final = b"\x18"
"""In Thrift's compact protocol: the next field, a text, whose length comes next, seven bits a byte."""


class Footer:
    """The footer of a parquet file."""

    def __init__(self, file: IO[bytes], path: Path | str) -> None:
        """Read the footer of an open file.

        Raises:
            CorruptRunError: it is no parquet file, or not a whole one.
        """
        self._path = path
        size = self._size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
        is_whole = len(tail) > len(_MAGIC) + 8 and tail.endswith(_MAGIC)
        length = struct.unpack("<I", tail[-8:-4])[0] + 8 if is_whole else 0
        if not 0 < length <= size - len(_MAGIC):
            raise CorruptRunError(f"expected a parquet file, found {size} bytes that do not end as one, in {path}")
        if length > len(tail):
            file.seek(size - length)
            tail = file.read()
        self._data = tail[-length:]

    @property
    def data(self) -> bytes:
        """The bytes of the footer, from their beginning on."""
        return self._data

    def text(self, name: bytes) -> bytes | None:
        """Return the text under a name; None where there is none.

        Raises:
            CorruptRunError: the footer ends before the text does.
        """
        found = self._find(name)
        return None if found is None else self._data[found]

    def place(self, name: bytes) -> int | None:
        """Return where in the file the text under a name begins; None where there is none.

        Raises:
            CorruptRunError: as `text`.
        """
        found = self._find(name)
        return None if found is None else self._size - len(self._data) + found.start

    def _find(self, name: bytes) -> slice | None:
        marker = _TEXT + _varint(len(name)) + name + _TEXT
        found = self._data.rfind(marker)
        if found < 0:
            return None
        length, start = _read_varint(self._data, found + len(marker))
        if start + length > len(self._data):
            raise CorruptRunError(f"expected {length} bytes of {name.decode()!r} in the footer, in {self._path}")
        return slice(start, start + length)


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Return a number, and where it ends."""
    number = shift = 0
    for position in range(start, min(start + 5, len(data))):
        number |= (data[position] & 0x7F) << shift
        shift += 7
        if not data[position] & 0x80:
            return number, position + 1
    return len(data), start  # it has no end: longer than can be
