"""Dictionaries in place: at every instant a valid Arrow array, whatever is added."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skald.engine.blueprint import Capacity
from skald.engine.dictionary import FIRST, KEEP, Dictionary, DictionaryFull, image, next_capacity


class Memory:
    """The offsets and bytes of a dictionary, as a segment holds them."""

    def __init__(self, capacity: Capacity, older: Dictionary | None = None, *, of_metrics: bool = False) -> None:
        """Lay out a dictionary in memory of its own."""
        first, used = image(capacity, older)
        offsets = first.tobytes().ljust(4 * (capacity.entries + 1), b"\0")
        self.memory = mmap.mmap(-1, len(offsets) + capacity.bytes)
        self.memory.write(offsets + used)
        self.capacity, self.lock = capacity, threading.RLock()
        places = 0, len(offsets)
        self.dictionary = Dictionary(self.memory, places, capacity, older, self.lock, of_metrics=of_metrics)

    def names(self) -> list[str]:
        """Return what Arrow sees, which must be valid; behind the last name is what is free."""
        split = 4 * (self.capacity.entries + 1)
        buffers = [None, pa.py_buffer(self.memory[:split]), pa.py_buffer(self.memory[split:])]
        found = pa.Array.from_buffers(pa.utf8(), self.capacity.entries, buffers)
        found.validate(full=True)
        return [str(name) for name in found.to_pylist()]

    def add(self, names: Sequence[str]) -> None:
        """Add names as the slow path does."""
        with self.lock:
            for name in names:
                self.dictionary.add(name)


NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, max_size=40)


@settings(max_examples=200, deadline=None)
@given(names=NAMES)
def test_dictionary_is_a_valid_array_after_each_name(names: list[str]) -> None:
    """Codes begin at 1, the empty string is a name like others, and earlier names stay as they are."""
    memory = Memory(Capacity(64, 4096))

    for count, name in enumerate(names, 1):
        memory.add([name])

        assert memory.names()[: count + 1] == ["", *names[:count]]
        assert memory.dictionary[name] == count


@settings(max_examples=100, deadline=None)
@given(names=NAMES, more=NAMES)
def test_dictionary_takes_over_the_names_of_another(names: list[str], more: list[str]) -> None:
    """A roll keeps every code, and goes on behind them."""
    older = Memory(FIRST)
    older.add(names)

    memory = Memory(Capacity(256, 4096), older.dictionary)
    memory.add(more)

    known = list(dict.fromkeys([*names, *more]))
    assert memory.names()[: len(known) + 1] == ["", *known]
    assert dict(memory.dictionary) == {name: code for code, name in enumerate(known, 1)}


@pytest.mark.parametrize(("name", "fits"), [("é" * 8, True), ("é" * 8 + "x", False), ("x" * 16, True)])
def test_dictionary_is_filled_to_its_last_byte(name: str, fits: bool) -> None:  # noqa: FBT001 pytest gives it
    """A name that does not fit is refused whole, and the array stays valid."""
    memory = Memory(Capacity(8, 16))

    if fits:
        memory.add([name])
        assert memory.names()[1] == name
    else:
        with pytest.raises(DictionaryFull):
            memory.add([name])
        assert not memory.dictionary
    memory.names()


def test_dictionary_refuses_names_beyond_its_entries() -> None:
    """The last entry stays free: it owns the bytes that are free."""
    memory = Memory(Capacity(4, 100))
    memory.add(["a", "b"])

    with pytest.raises(DictionaryFull):
        memory.add(["c"])

    assert memory.names()[:3] == ["", "a", "b"]


def test_dictionary_that_is_looked_up_adds_what_is_harmless() -> None:
    """Other keys are left to the slow path, which checks them; of ids more is legal than of metrics."""
    metrics, ids = Memory(FIRST, of_metrics=True), Memory(FIRST)

    assert metrics.dictionary["täg"] == ids.dictionary["täg"] == 1
    assert (ids.dictionary["a\nb"], ids.dictionary[""]) == (2, 3)
    for key in ("", "a\nb", "x" * 300, 3, "\ud800"):
        with pytest.raises(KeyError):
            metrics.dictionary[key]  # type: ignore[index]
    for key in ("x" * 300, 3, "\ud800"):
        with pytest.raises((KeyError, UnicodeEncodeError)):
            ids.dictionary[key]  # type: ignore[index]
    assert metrics.names()[:2] == ["", "täg"]
    assert ids.names()[:4] == ["", "täg", "a\nb", ""]


def test_lookup_in_a_handler_that_interrupted_an_addition_adds_nothing() -> None:
    """Two names would share a code."""
    memory = Memory(FIRST)

    with memory.lock, pytest.raises(KeyError):
        memory.dictionary["late"]


def test_next_capacity_grows_until_it_is_dropped() -> None:
    """A dictionary doubles when it is half full, makes room for what did not fit, and beyond KEEP is let go."""
    memory = Memory(FIRST)
    memory.add([str(number) for number in range(40)])

    assert next_capacity(None, FIRST) == (FIRST, True)
    assert next_capacity(memory.dictionary, FIRST) == (Capacity(128, 1024), True)
    assert next_capacity(memory.dictionary, FIRST, room_for=5000)[0].bytes >= 5000
    large = Memory(Capacity(KEEP.entries + 8, 1 << 22))
    large.add([str(number) for number in range(KEEP.entries)])
    capacity, carries = next_capacity(large.dictionary, large.capacity)
    assert capacity.entries == KEEP.entries // 2 + 2
    assert not carries
