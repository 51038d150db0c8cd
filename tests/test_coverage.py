"""What a metrics file says of itself."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skald.engine.coverage import Coverage, decode, encode, ranges
from skald.errors import CorruptRunError, FormatVersionError

NUMBERS = st.sets(st.integers(0, 30))


@given(NUMBERS, NUMBERS)
def test_ranges_hold_exactly_the_numbers(known: set[int], new: set[int]) -> None:
    """However segments come in, what is covered is what was taken in, in as few ranges as possible."""
    spans = ranges(new, ranges(known))

    assert [number for first, stop in spans for number in range(first, stop)] == sorted(known | new)
    assert all(stop < first for (_, stop), (first, _) in itertools.pairwise(spans))


def test_coverage_tells_segments_of_each_writer_apart() -> None:
    """A number is covered for the writer whose segment it is."""
    coverage = Coverage(covered={"a": ((0, 2), (5, 6))})

    assert [number for number in range(8) if coverage.covers("a", number)] == [0, 1, 5]
    assert not coverage.covers("b", 0)


def test_coverage_comes_back_from_json() -> None:
    """A footer is read as it was written."""
    coverage = Coverage(
        generation=3,
        rows=7,
        covered={"w": ((0, 2),)},
        damaged={"w": (2,)},
        rewound=("rewound-1.parquet",),
        chunks=((7, -5),),
        newest=9,
        ordered=False,
        streams={"w": {0: {"loss": 5}}},
    )

    assert decode(encode(coverage), Coverage, "here") == coverage


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": "x"}', b'{"format": 1, "rows": "many"}'])
def test_damaged_json_is_told(data: bytes) -> None:
    """What cannot be read names the file."""
    with pytest.raises(CorruptRunError, match="here"):
        decode(data, Coverage, "here")


def test_json_of_a_newer_format_is_refused() -> None:
    """A later version is told as such, whatever else it says."""
    with pytest.raises(FormatVersionError):
        decode(b'{"format": 2, "rows": "many"}', Coverage, "here")
