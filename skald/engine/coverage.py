"""What the metrics file of a run holds: which segments are in it, and what a reader must know of its order.

Invariant: a segment is covered by a metrics file if and only if all its good rows are in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from skald.errors import CorruptRunError
from skald.layout import FORMAT_VERSION, check_format
from skald.schema import Kinds

Ranges = tuple[tuple[int, int], ...]
"""Half-open ranges of segment numbers, ascending and apart."""

ENDED: Final = ""
"""Stands for all writers that had ended when a metrics file was written."""

T = TypeVar("T", bound=msgspec.Struct)

MAX_NAMED: Final = 10_000
"""Above so many metrics of a stream only the newest time of all is kept, under the empty name."""


class Part(NamedTuple):
    """Whose rows stand in a metrics file from `first` on, before `stop`."""

    writer: str
    first: int
    stop: int


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What a metrics file says of itself, in its footer (parquet) or beside it (csv).

    Attributes:
        format: version of the format.
        generation: how many times the run was compacted; of two metrics files the higher one counts.
        rows: rows in the file.
        kinds: the ids that are columns of the file, in their order.
        covered: for each writer whose folder may still be there, the segments that are in the file.
        damaged: segments that could not be read when the file was written, and are not in it.
        rewound: names of the files that hold rows taken back.
        rewinds: how many rewinds its rows reflect: those that a later one takes back are still in it.
        parts: whose rows stand where, if writers were alive when the file was written, as a rewind concerns the rows
            of some writers only: a writer, and how many rows; the empty name stands for all that had ended before.
        chunks: how many rows each chunk of the file has, and its oldest time, in µs since 1970.
        newest: the largest time in the file (None: no rows).
        ordered: whether the times of each metric never decrease in the file.
        streams: for each covered stream of a writer that was alive, the newest time of each metric, in ns;
            rows that follow in that stream count as no older, whatever their clock says.
        summed: whether the file holds its own checksum.
    """

    format: int = FORMAT_VERSION
    generation: int = 0
    rows: int = 0
    kinds: Kinds = {}
    covered: dict[str, Ranges] = {}
    damaged: dict[str, tuple[int, ...]] = {}
    rewound: tuple[str, ...] = ()
    rewinds: int = 0
    parts: tuple[tuple[str, int], ...] = ()
    chunks: tuple[tuple[int, int], ...] = ()
    newest: int | None = None
    ordered: bool = True
    streams: dict[str, dict[int, dict[str, int]]] = {}
    summed: bool = False

    def rows_of(self) -> list[Part]:
        """Return whose rows stand where in the file."""
        stops = [*itertools.accumulate(rows for _, rows in self.parts)]
        names = [writer for writer, _ in self.parts]
        return [*map(Part, names, [0, *stops], stops)] if self.parts else [Part(ENDED, 0, self.rows)]

    def is_patchy(self) -> bool:
        """Tell whether rows of several writers are in log order only among themselves."""
        return len(self.parts) > 1 and not self.ordered

    def covers(self, writer: str, number: int) -> bool:
        """Tell whether a segment is in the file."""
        return any(first <= number < stop for first, stop in self.covered.get(writer, ()))

    def carried(self, writer: str, stream: int) -> Mapping[str, int]:
        """Return the newest times of the part of a stream that is in the file."""
        return self.streams.get(writer, {}).get(stream, {})


class _Version(msgspec.Struct):
    format: int


def decode(data: bytes, kind: type[T], where: object) -> T:
    """Read one of the engine's JSON documents.

    Raises:
        CorruptRunError: it is not what it should be.
        FormatVersionError: a newer Skald wrote it.
    """
    try:
        check_format(msgspec.json.decode(data, type=_Version).format, str(where))
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRunError(f"what describes the rows cannot be read: {error}, in {where}") from error


def decode_part(data: bytes | msgspec.Raw, kind: Any, where: object) -> Any:
    """Read a part of such a document that is read by itself.

    Raises:
        CorruptRunError: it is not what it should be.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRunError(f"a part cannot be read: {error}, in {where}") from error


def encode(document: msgspec.Struct) -> bytes:
    """Return one of the engine's documents as JSON."""
    return msgspec.json.encode(document)


def ranges(numbers: Iterable[int], known: Ranges = ()) -> Ranges:
    """Return the fewest ranges that hold `numbers` and all of `known`."""
    spans = sorted([*known, *((number, number + 1) for number in numbers)])
    joined: list[tuple[int, int]] = []
    for first, stop in spans:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((first, stop))
    return tuple(joined)
