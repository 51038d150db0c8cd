"""Cards kept from one look at a folder of runs to the next: derived, disposable, and never believed.

A file for each folder that was searched stands among the caches of the user. It is only written where there are enough
runs to make it worth while, and a folder or a home that cannot be written does without.

Invariant: a card is used only if its files are the same as when it was made: of the same number, size and time, and
older then than the steps in which times are told, so that no change can hide behind an equal time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from skald.durable import write_atomic
from skald.errors import SkaldError
from skald.layout import CSV, CSV_DESCRIPTION, PARAMS, PARQUET, RUN_JSON, SEGMENTS, card_cache
from skald.many.card import Card, read_card
from skald.many.finding import Found

FEWEST: Final = 64
"""So many runs are worth a file: fewer are read as quickly."""
_VERSION: Final = 2
_SUM_BYTES: Final = 4
"""Of the CRC-32 that stands before the rest of a file."""
_MOST_STALE: Final = 0.05
"""A file is written anew when more of its runs have changed: to write it takes as long as to look at so many."""
_SURE_NS: Final = 2 * 10**9
"""A file changed later than so long before it was read may change again at the same time of its clock."""
_FILES: Final = (RUN_JSON, PARAMS, PARQUET, CSV, CSV_DESCRIPTION)

Identity = tuple[tuple[int, int, int], ...]
"""Of each file of a run that a card is made of: its number, size and time."""


class _Kept(msgspec.Struct, array_like=True):
    identity: Identity
    card: Card


class _Cache(msgspec.Struct, array_like=True):
    version: int = _VERSION
    cards: dict[str, _Kept] = {}
    """By the folder of the run."""


def read_cards(found: Sequence[Found]) -> tuple[dict[str, Card], dict[str, BaseException]]:
    """Return the cards of runs by their names, and of those that cannot be read what is wrong with them."""
    place = _place(found)
    kept = _read(place) if place else {}
    cards: dict[str, Card] = {}
    broken: dict[str, BaseException] = {}
    sure: dict[str, _Kept] = {}
    read = 0
    for run in found:
        try:
            identity = None if place is None else _identity(run)
            before = kept.get(run.folder) if identity else None
            if before is None or before.identity != identity:
                read += 1
                before = _Kept(identity or (), read_card(run))
            cards[run.name] = before.card
        except (SkaldError, OSError) as error:
            broken[run.name] = error
        else:
            if identity and before.card.series is not None:
                sure[run.folder] = before
    if place and sure and read > _MOST_STALE * len(sure):
        _write(place, sure)
    return cards, broken


def _place(found: Sequence[Found]) -> Path | None:
    """Return where the cards of these runs are kept, None where it is not worth it."""
    if len(found) < FEWEST:
        return None
    top = found[0].folder.removesuffix(found[0].name)
    return card_cache(hashlib.sha256(os.fsencode(top)).hexdigest()[:32])


def _identity(run: Found) -> Identity | None:
    """Return what the files of a closed run are known by; None of a run that changes, or changed just now."""
    if SEGMENTS in run.holds:
        return None
    latest = time.time_ns() - _SURE_NS
    identity = []
    for name in _FILES:
        if name in run.holds:
            status = os.stat(f"{run.folder}{os.sep}{name}")  # noqa: PTH116  a Path takes longer than the call
            if status.st_mtime_ns > latest:
                return None
            identity.append((status.st_ino, status.st_size, status.st_mtime_ns))
        else:
            identity.append((0, 0, 0))
    return tuple(identity)


def _read(place: Path) -> Mapping[str, _Kept]:
    """Return the cards that are kept there; none where they are damaged or of another version."""
    try:
        data = memoryview(place.read_bytes())
        if data[:_SUM_BYTES] != _sum(data[_SUM_BYTES:]):
            return {}
        cache = msgspec.msgpack.decode(data[_SUM_BYTES:], type=_Cache)
    except (OSError, msgspec.MsgspecError):
        return {}
    return cache.cards if cache.version == _VERSION else {}


def _write(place: Path, cards: dict[str, _Kept]) -> None:
    """Keep cards for the next look, where that is possible."""
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        data = msgspec.msgpack.encode(_Cache(cards=cards))
        write_atomic(place, _sum(data) + data)


def _sum(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_SUM_BYTES)
