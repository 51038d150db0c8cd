"""What the command line makes of numbers, ids, times and paths."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import pytest

from skald.amounts import duration_text, size_text
from skald.cli.format import ids_text, number_text
from skald.cli.paths import find_runs, short_names


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


def test_runs_are_found_at_every_depth_but_not_inside_runs(tmp_path: Path) -> None:
    """A folder with a run.json is a run, and what lies in it is its own affair."""
    for name in ("a", "deep/down/b", "a/artifacts/c", "other"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("a", "deep/down/b", "a/artifacts/c"):
        (tmp_path / name / "run.json").write_text("{}")

    found = find_runs(tmp_path)

    assert found == [tmp_path / "a", tmp_path / "deep" / "down" / "b"]
    assert short_names(found, tmp_path) == ["a", "deep/down/b"]
    assert short_names(found) == ["a", "deep/down/b"]
    assert short_names(found[1:]) == ["b"]
