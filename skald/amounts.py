"""Counts, sizes and spans of time as people read them."""

from __future__ import annotations

import datetime as dt
from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration_text(span: dt.timedelta) -> str:
    """Return a span in its two largest units: `12.3 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if span < dt.timedelta(seconds=_MINUTE - 0.05):
        return f"{span.total_seconds():.1f} s"
    seconds = round(span.total_seconds())
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    if seconds < _DAY:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"


def size_text(count: float) -> str:
    """Return a number of bytes in a unit that suits it: `45.1 kB`."""
    for unit in _UNITS:
        if count < 999.95 or unit == _UNITS[-1]:  # noqa: PLR2004  1,000 once rounded
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def plural(count: int, noun: str) -> str:
    """Return `1 row`, `1,234 rows`; of a noun in y `2 series` stays as it is."""
    return f"{count:,} {noun}" if count == 1 or noun == "series" else f"{count:,} {noun}s"
