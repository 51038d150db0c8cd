"""The checksum of a metrics file: the CRC-32 of all its bytes.

That of a parquet file stands in its own footer, as eight hexadecimal digits that count as zeros while it is computed.
Its pages have sums of their own, by which what can still be read is told from what cannot.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

import msgspec

from skald.engine.coverage import Coverage, encode
from skald.engine.footer import Footer
from skald.engine.stored import COVERAGE_KEY, Stored, crc32_of

_KEY: Final = b"skald.crc32"
_UNKNOWN: Final = b"00000000"


def said_of(coverage: Coverage) -> dict[bytes, bytes]:
    """Return what the footer of a file that is `Summed` must say: what is in it, and that the sum is to come."""
    return {COVERAGE_KEY: encode(msgspec.structs.replace(coverage, summed=True)), _KEY: _UNKNOWN}


class Summed:
    """A parquet file that is written, and the checksum of what was."""

    closed = False
    """As pyarrow asks."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin a file, which is open for reading too; see `said_of`."""
        self._file, self._crc = file, 0

    def write(self, data: bytes) -> int:
        """Append bytes."""
        self._crc = zlib.crc32(data, self._crc)
        return self._file.write(data)

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def sign(self) -> None:
        """Put the checksum into the footer, once that is written."""
        place = Footer(self._file, self._file.name).place(_KEY)
        assert place is not None
        self._file.seek(place)
        self._file.write(b"%08x" % self._crc)
        self._file.seek(0, 2)


def is_as_written(stored: Stored) -> bool:
    """Tell whether all bytes of a metrics file are those that were written, if it says which."""
    file = stored.file
    if stored.described:
        file.seek(0)
        return stored.described.crc32 == crc32_of(file)
    footer = Footer(file, stored.path)
    said, place = footer.text(_KEY), footer.place(_KEY)
    if said is None or place is None:
        return not stored.coverage.summed
    file.seek(0)
    crc = zlib.crc32(_UNKNOWN, crc32_of(file, size=place))
    file.seek(place + len(_UNKNOWN))
    return said == b"%08x" % crc32_of(file, crc)
