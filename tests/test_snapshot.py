"""Snapshots: what a reader copies while others compact, at the moments that matter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from handmade import row, segment, write_ids

from skald.engine.compaction import compact
from skald.engine.extraction import read_segment
from skald.engine.rewind import Rewind
from skald.engine.snapshot import SegmentFile, join_kinds, segment_files, take_snapshot
from skald.engine.standing import add_rewind
from skald.layout import RUN_JSON


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of one dead writer with two segments of two rows each."""
    run = tmp_path / "run"
    segment(run, "a", 0, [row("m", 0, 0), row("m", 1, 1)])
    segment(run, "a", 1, [row("m", 2, 2), row("m", 3, 3)])
    (run / RUN_JSON).touch()
    return run


def count(run: Path, *, before: Callable[[int], None] = lambda _: None) -> tuple[int, int]:
    """Take a snapshot; return the rows in it, and how many segments were copied for it.

    Args:
        run: the run.
        before: called with 0, 1, ... before each segment is copied.
    """
    copies = 0

    def copy(file: SegmentFile, _: object) -> int:
        nonlocal copies
        before(copies)
        copies += 1
        return len(read_segment(file.path))

    snapshot = take_snapshot(run, copy)
    rows = sum(rows for _, rows in snapshot.segments)
    if snapshot.stored:
        with snapshot.stored as stored:
            rows += stored.coverage.rows
    return rows, copies


@pytest.mark.parametrize("moment", [0, 1])
def test_segments_compacted_while_they_are_copied_are_counted_once(run: Path, moment: int) -> None:
    """Some segments are copied, some are gone: the file that is opened after that has them all."""
    rows, _ = count(run, before=lambda number: _compact_at(run, number, moment))

    assert rows == 4


def _compact_at(run: Path, number: int, moment: int) -> None:
    if number == moment:
        compact(run)


def test_segments_of_a_writer_that_the_file_no_longer_names_are_counted_once(run: Path) -> None:
    """Two compactions pass while a segment is copied: the second forgets its writer, whose folder is gone."""

    def twice(number: int) -> None:
        if number == 1:
            compact(run)
            segment(run, "b", 0, [row("m", 4, 4)])
            compact(run)

    rows, copies = count(run, before=twice)

    assert rows == 5
    assert copies == 2, "the segment that was copied is gone and not covered, so all begins anew"


def test_segments_that_the_file_has_are_left_out(run: Path) -> None:
    """What a crash left behind after the commit is not counted again."""
    data = {file.path: file.path.read_bytes() for file in segment_files(run)}
    compact(run)
    for path, content in data.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    rows, copies = count(run)

    assert rows == 4
    assert copies == 2


def test_segment_files_are_ordered_by_number(run: Path) -> None:
    """Where times are equal, this order decides; foreign files are no segments."""
    segment(run, "b", 0, [])
    (run / "segments" / "b" / ".tmp-12345678-000001.arrow").touch()
    (run / "segments" / "b" / "notes.txt").touch()

    files = [(file.number, file.writer) for file in segment_files(run)]

    assert files == [(0, "a"), (0, "b"), (1, "a")]


def test_kinds_are_joined_in_order_of_first_appearance(run: Path) -> None:
    """The file comes first, then what writers registered, then what segments say."""
    write_ids(run, {"b": "float", "c": "str"})

    kinds, disagreed = join_kinds(run, [{"a": "int", "b": "int"}, {"d": "bool", "a": "int"}, {"c": "int"}])

    assert list(kinds.items()) == [("a", "int"), ("b", "float"), ("c", "str"), ("d", "bool")]
    assert disagreed == ["c"]


def test_snapshot_begins_anew_when_a_rewind_comes_while_it_is_taken(run: Path) -> None:
    """Rows logged after a rewind may be in a segment copied last: then what it took back must be known."""
    rewind = Rewind(number=0, ids=(), since=0, writer="b", stop=0, ended=("a",))
    known: list[int] = []
    (run / RUN_JSON).write_text("{}")

    def copy(_: SegmentFile, rewinds: Sequence[Rewind]) -> int:
        if not known:
            add_rewind(run, rewind, applied=0)
        known.append(len(rewinds))
        return len(rewinds)

    snapshot = take_snapshot(run, copy)

    assert [rewinds for _, rewinds in snapshot.segments] == [1, 1]
    assert known == [0, 0, 1, 1]
