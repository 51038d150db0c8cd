"""Numbers, ids and times as people read them."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

DIGITS: Final = 5
MISSING: Final = "-"

_EXACT_INTS: Final = 1e9
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def number_text(value: float | None) -> str:
    """Return a number with at most five significant digits, ints as ints."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return "NaN"
    if math.isfinite(value) and value == int(value) and abs(value) < _EXACT_INTS:
        return str(int(value))
    return f"{value:.{DIGITS}g}"


def ids_text(values: Mapping[str, Any], *, exact: bool = False) -> str:
    """Return ids as `epoch=3 step=120`, without those that are None."""
    return " ".join(f"{name}={_id(value, exact=exact)}" for name, value in values.items() if value is not None)


def _id(value: Any, *, exact: bool) -> str:
    if isinstance(value, float) and not exact:
        return number_text(value)
    if isinstance(value, str) and (not value.isprintable() or " " in value):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def param_text(value: Any) -> str:
    """Return a param's value on one line: text as it is, lists and the like as JSON."""
    if isinstance(value, float):
        return str(json_value(value))
    text = value if isinstance(value, str) else json.dumps(json_value(value), ensure_ascii=False)
    return text if text.isprintable() else json.dumps(text, ensure_ascii=False)


def json_value(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinities as strings, times ISO 8601 in UTC."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, dt.datetime):
        return iso(value)
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def iso(moment: dt.datetime) -> str:
    """Return a time as ISO 8601 in UTC; one without a zone is taken as it stands."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment.tzinfo else moment.isoformat()


def local_time(moment: dt.datetime) -> str:
    """Return a time as the clock on the wall shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


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


def path_text(place: Path) -> str:
    """Return a path as short as it can be: relative where it lies below the working directory."""
    try:
        return str(place.relative_to(Path.cwd()))
    except ValueError:
        return str(place)
