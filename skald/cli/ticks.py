"""Ticks of an axis: where they stand, and what is written there."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

_MANTISSAS: Final = (1.0, 2.0, 5.0, 10.0, 20.0)
_FEW: Final = 3
"""So many ticks tell a scale at a glance."""
_LONG: Final = 1e15
"""From here on a number is told by its first digits."""
_SCALES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SCALED_FROM: Final = 1e4
_SMALL: Final = 1e-3
_DECIMALS: Final = 9
_WIDEST_NAME: Final = 24

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_CLOCK: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
"""Seconds between two ticks of the clock, up to half a day; above that there are days."""


class Tick(NamedTuple):
    """A place on an axis, and its label."""

    place: float
    label: str


def number_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Return at most `most` round numbers between two, 1, 2 or 5 times a power of ten apart."""
    if not high / 2 > low / 2:  # halves, of which the least number has none
        return [Tick(low, f"{low:.6g}" if abs(low) >= _LONG else _plain(low))]
    places, step = _places(low, high, most)
    return [Tick(place, label) for place, label in zip(places, _labels(places, step), strict=True)]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Return powers of ten between two positive numbers, with 2 and 5 between them where there is room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    found: list[float] = []
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        found = [mantissa * 10.0**power for power in range(first, last + 1) for mantissa in mantissas]
        found = [place for place in found if low <= place <= high]
        if len(found) <= most:
            break
    if len(found) > most:
        apart = math.ceil(len(found) / most)
        found = [place for place in found if round(math.log10(place)) % apart == 0]
    if len(found) < 2:  # noqa: PLR2004  one tick tells no scale
        return number_ticks(low, high, most)
    return [Tick(place, _plain(place)) for place in found]


def clock_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Return times of the local clock between two, given in seconds since 1970."""
    seconds = next((step for step in _CLOCK if (high - low) / step <= most), None)
    offset = dt.datetime.fromtimestamp(low, dt.UTC).astimezone().utcoffset()
    shift = offset.total_seconds() if offset else 0.0
    step = float(seconds) if seconds else _DAY * math.ceil((high - low) / _DAY / most)
    places = [place - shift for place in _multiples(low + shift, high + shift, step)] or [low]
    form = "%H:%M:%S" if step < _MINUTE else "%H:%M" if step < _DAY and high - low < _DAY else "%m-%d %H:%M"
    form = "%Y-%m-%d" if step >= _DAY else form
    return [Tick(place, dt.datetime.fromtimestamp(place, dt.UTC).astimezone().strftime(form)) for place in places]


def name_ticks(names: Sequence[str], columns: int) -> list[Tick]:
    """Return as many names as have room on so many columns, evenly apart; the first stands at 0, the next at 1."""
    half = _WIDEST_NAME // 2
    labels = [name if len(name) <= _WIDEST_NAME else f"{name[: half - 1]}…{name[-half:]}" for name in names]
    apart = math.ceil(sum(cell_len(label) + 1 for label in labels) / columns)
    return [Tick(float(place), labels[place]) for place in range(0, len(names), apart)]


def duration_unit(span: float) -> tuple[float, str]:
    """Return the unit in which so many seconds are told: how many seconds it is, and its name."""
    for size, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if span >= 2 * size:
            return size, name
    return 1.0, "seconds"


def _places(low: float, high: float, most: int) -> tuple[list[float], float]:
    """Return where ticks stand, and how far they lie apart, or a part of that."""
    rough = (high / most - low / most) or math.ulp(high)
    power = 10.0 ** math.floor(math.log10(rough))
    places: list[float] = []
    step = finer = 0.0
    for mantissa in _MANTISSAS:
        step, finer = mantissa * power, step
        places = _multiples(low, high, step)
        if len(places) <= most:
            break
    if finer and len(places) < _FEW:
        thinned = _thinned(_multiples(low, high, finer), finer, most)
        if len(thinned) > len(places):
            return thinned, finer
    return places, step


def _thinned(places: list[float], step: float, most: int) -> list[float]:
    """Return every second place, or third and so on: as many as there may be, through zero where it is as good."""
    apart = math.ceil(len(places) / most)
    parts = [places[first::apart] for first in range(apart)]
    return max(parts, key=lambda part: (len(part), round(part[0] / step) % apart == 0))


def _multiples(low: float, high: float, step: float) -> list[float]:
    slack = 1e-9
    first, last = math.ceil(low / step - slack), math.floor(high / step + slack)
    return [number * step for number in range(first, last + 1)]


def _labels(places: list[float], step: float) -> list[str]:
    """Return labels of one form, with as many decimals as tell them apart."""
    largest = max(map(abs, places), default=0.0)
    scale, suffix = next(((size, sign) for size, sign in _SCALES if largest >= max(size, _SCALED_FROM)), (1.0, ""))
    decimals = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    if largest < _SMALL or largest >= 1000 * _SCALES[0][0] or decimals > _DECIMALS:
        return [_plain(place) for place in places]
    return [f"{place / scale:.{decimals}f}{suffix}" if round(place / step) else "0" for place in places]


def _plain(place: float) -> str:
    for size, sign in _SCALES:
        if max(size, _SCALED_FROM) <= abs(place) < 1000 * size:
            return f"{place / size:g}{sign}"
    return f"{place:.12g}".replace("e-0", "e-").replace("e+0", "e")
