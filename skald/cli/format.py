"""Numbers, ids and times as people read them."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

DIGITS: Final = 5
MISSING: Final = "-"

_EXACT_INTS: Final = 1e9


def number_text(value: float | None) -> str:
    """Return a number with at most five significant digits, ints as ints."""
    if value is None:
        return MISSING
    if math.isnan(value):
        return "NaN"
    if math.isfinite(value) and value == int(value) and abs(value) < _EXACT_INTS:
        return str(int(value))
    return f"{value:.{DIGITS}g}"


def given(ids: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ids that a row has, without those that are None."""
    return {name: value for name, value in ids.items() if value is not None}


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


def printable(text: str) -> str:
    """Return a text whose characters a terminal takes for what they are: others are written as Python does."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def json_value(value: Any) -> Any:
    """Return what JSON can hold: NaN and infinities as strings, times ISO 8601 in UTC, durations in seconds."""
    value = float(value) if isinstance(value, Decimal) else value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, dt.datetime):
        return iso(value)
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def iso(moment: dt.datetime) -> str:
    """Return a time as ISO 8601 in UTC; one without a zone is taken as it stands."""
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if moment.tzinfo else moment.isoformat()


def local_time(moment: dt.datetime) -> str:
    """Return a time as the clock on the wall shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def path_text(place: Path) -> str:
    """Return a path as short as it can be: relative where it lies below the working directory."""
    try:
        return str(place.relative_to(Path.cwd()))
    except ValueError:
        return str(place)
