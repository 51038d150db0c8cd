"""What the command line makes of numbers, ids, times and paths."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from skald.amounts import duration_text, size_text
from skald.cli.format import ids_text, number_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-0.0, "0"),
        (1234567.0, "1234567"),
        (0.123456789, "0.12346"),
        (12345.678, "12346"),
        (1.23456e-7, "1.2346e-07"),
        (1e300, "1e+300"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_numbers_have_five_digits_at_most(value: float | None, text: str) -> None:
    """Ints are shown as ints, everything else with five significant digits."""
    assert number_text(value) == text


def test_ids_are_shown_where_a_row_has_them() -> None:
    """Ids that are None are left out, and text that would be misread is quoted."""
    shown = ids_text({"epoch": 3, "lr": 0.123456789, "split": None, "note": "a b", "ok": True})

    assert shown == 'epoch=3 lr=0.12346 note="a b" ok=True'


def test_durations_and_sizes_have_units_that_suit_them() -> None:
    """A person reads at a glance how long and how much."""
    durations = [duration_text(dt.timedelta(seconds=seconds)) for seconds in (0, 12.34, 59.96, 3599.7, 7500, 200_000)]
    sizes = [size_text(count) for count in (0, 999, 1000, 45_100, 999_950, 12_300_000_000)]

    assert durations == ["0.0 s", "12.3 s", "1 min 0 s", "1 h 0 min", "2 h 5 min", "2 d 7 h"]
    assert sizes == ["0 B", "999 B", "1.0 kB", "45.1 kB", "1.0 MB", "12.3 GB"]
