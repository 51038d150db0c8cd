"""Reading one segment's file: holes, mixed ids, dictionaries, damage."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from handmade import START, row, write_segment

from skald.engine.extraction import read_segment, read_times
from skald.engine.rows import Rows, Texts
from skald.engine.segmentfile import is_sealed, read_header
from skald.engine.snapshot import segment_files
from skald.errors import CorruptRunError, FormatVersionError


def metrics_of(rows: Rows) -> list[str]:
    """Return the metric of each row."""
    return [rows.names[code].as_py() for code in rows.metric.tolist()]


def ids_of(rows: Rows, name: str) -> list[object]:
    """Return an id of each row, None where it was not given."""
    column = rows.ids[name]
    values = column.values.tolist()
    if column.names is not None:
        values = [column.names[code].as_py() for code in values]
    given = np.ones(len(rows), np.bool_) if column.given is None else column.given
    return [value if is_given else None for value, is_given in zip(values, given.tolist(), strict=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's segment goes."""
    return tmp_path / "000000.arrow"


def test_segment_rows_are_read_in_log_order(path: Path) -> None:
    """Metric, value, time and all kinds of ids come back as they were stored."""
    write_segment(
        path, [row("loss", 1.5, 2, n=7, x=0.5, s="train", b=True), row("µ/f1", -2, 1, n=-1, x=1.0, s="", b=False)]
    )

    rows = read_segment(path)

    assert metrics_of(rows) == ["loss", "µ/f1"]
    assert rows.value is not None
    assert rows.value.tolist() == [1.5, -2.0]
    assert rows.time.tolist() == [START + 2 * 10**9, START + 10**9]
    assert [ids_of(rows, name) for name in "nxsb"] == [[7, -1], [0.5, 1.0], ["train", ""], [True, False]]
    assert not rows.damaged


def test_holes_are_left_out_wherever_they_are(path: Path) -> None:
    """A row whose time is 0 does not exist, and those behind it do."""
    hole = row("loss", 9, 0, step=9)._replace(time=0)
    write_segment(path, [hole, row("loss", 1, 1, step=1), hole, row("loss", 2, 2, step=2), hole])

    rows = read_segment(path)

    assert ids_of(rows, "step") == [1, 2]
    assert read_times(path).tolist() == [0, START + 10**9, 0, START + 2 * 10**9, 0, 0, 0]


def test_segment_without_rows_is_empty(path: Path) -> None:
    """A segment that was just made has no rows, and is no damage."""
    write_segment(path, [], kinds={"step": "int", "split": "str"}, room=5)

    rows = read_segment(path)

    assert len(rows) == 0
    assert rows.damaged == 0
    assert read_header(path).capacity == 5


def test_mixed_segment_tells_missing_ids_from_zeros(path: Path) -> None:
    """The bits of `present` decide, not the values."""
    kinds = {"a": "int", "s": "str", "b": "bool", "x": "float"}
    lines = [row("m", 1, 1, a=0, x=0.0), row("m", 2, 2, s="", b=False), row("m", 3, 3), row("m", 4, 4, s="u", a=5)]
    write_segment(path, lines, kinds=kinds, mixed=True)

    rows = read_segment(path)

    assert ids_of(rows, "a") == [0, None, None, 5]
    assert ids_of(rows, "s") == [None, "", None, "u"]
    assert ids_of(rows, "b") == [None, False, None, None]
    assert ids_of(rows, "x") == [0.0, None, None, None]


def test_id_named_like_an_inner_column_is_an_id(path: Path) -> None:
    """`present` is a legal name of an id, in a mixed segment too."""
    write_segment(path, [row("m", 1, 1, present=3)], mixed=True)

    rows = read_segment(path)

    assert ids_of(rows, "present") == [3]


@pytest.mark.parametrize("text", ["é", "日本", "🦀" * 50, "\u0301", "a\nb", "\0"], ids=ascii)
def test_multibyte_strings_come_back(path: Path, text: str) -> None:
    """Names and ids are any Unicode; the bytes behind the last name are no part of it."""
    write_segment(path, [row("x" + text.replace("\0", ""), 1, 1, s=text), row("y", 2, 2, s="z" + text)])

    rows = read_segment(path)

    assert metrics_of(rows) == ["x" + text.replace("\0", ""), "y"]
    assert ids_of(rows, "s") == [text, "z" + text]


def test_only_what_is_asked_for_is_copied(path: Path) -> None:
    """Columns that a query does not touch cost nothing."""
    write_segment(path, [row("m", 1, 1, a=1, b=2)])

    rows = read_segment(path, columns={"b"})

    assert rows.value is None
    assert list(rows.ids) == ["b"]


def test_slices_of_a_segment_make_the_whole(path: Path) -> None:
    """A large segment can be read part by part, holes among them."""
    lines = [row("m", k, k, step=k) if k % 3 else row("m", k, k, step=k)._replace(time=0) for k in range(20)]
    write_segment(path, lines)

    parts = [read_segment(path, first=first, stop=first + 6) for first in range(0, 30, 6)]

    assert [step for part in parts for step in ids_of(part, "step")] == [k for k in range(20) if k % 3]


def test_header_tells_stream_and_kinds(path: Path) -> None:
    """A segment says which stream it belongs to, and which ids it has, without being read."""
    write_segment(path, [row("m", 1, 1, b=True, n=1)], stream=7, sealed=False)

    header = read_header(path)

    assert (header.stream, header.kinds, header.mixed) == (7, {"b": "bool", "n": "int"}, False)
    assert not is_sealed(path)


@pytest.mark.parametrize(
    "code", [0, -3, 99, 2], ids=["empty name", "negative", "beyond the dictionary", "unused bytes"]
)
def test_row_without_a_metric_is_damage(path: Path, code: int) -> None:
    """A page that the disk never got leaves codes without names: such rows are left out and counted."""
    write_segment(path, [row("m", 1, 1), row("m", 2, 2), row("m", 3, 3)], codes=[1, code, 1])

    rows = read_segment(path)

    assert rows.value is not None
    assert rows.value.tolist() == [1, 3]
    assert rows.damaged == 1


def test_row_whose_string_id_is_lost_is_damage(path: Path) -> None:
    """A string id of code 0 was given and is gone; in a mixed segment it was simply not given."""
    lines = [row("m", 1, 1, s="a"), row("m", 2, 2, s="b")]
    write_segment(path, lines)
    codes = np.array([1, 2], np.int32).tobytes()
    data = path.read_bytes()
    at = data.rfind(codes)
    path.write_bytes(data[:at] + np.array([1, 0], np.int32).tobytes() + data[at + len(codes) :])

    rows = read_segment(path)

    assert ids_of(rows, "s") == ["a"]
    assert rows.damaged == 1


def test_names_that_are_no_utf8_are_damage(path: Path) -> None:
    """Of a damaged dictionary what can be read is kept."""
    write_segment(path, [row("good", 1, 1), row("baad", 2, 2)])
    path.write_bytes(path.read_bytes().replace(b"baad", b"b\xff\xfed", 1))

    rows = read_segment(path)

    assert metrics_of(rows) == ["good"]
    assert rows.damaged == 1


def test_name_of_zeros_is_damage(path: Path) -> None:
    """Zeros where a name should be are a page that the disk never got."""
    write_segment(path, [row("good", 1, 1), row("baad", 2, 2)])
    path.write_bytes(path.read_bytes().replace(b"baad", b"\0\0\0\0", 1))

    rows = read_segment(path)

    assert metrics_of(rows) == ["good"]


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"ARROW1\0\0", b"something else entirely" * 99])
def test_file_that_is_no_segment_is_told(path: Path, content: bytes) -> None:
    """Garbage is a CorruptRunError that names the file, never a crash."""
    path.write_bytes(content)

    with pytest.raises(CorruptRunError, match=r"000000\.arrow"):
        read_segment(path)


def test_segment_cut_off_anywhere_is_told(path: Path) -> None:
    """However a file was truncated, reading it raises CorruptRunError."""
    write_segment(path, [row("loss", k, k, step=k, split="val") for k in range(9)])
    data = path.read_bytes()

    for size in range(0, len(data), 37):
        path.write_bytes(data[:size])
        with pytest.raises(CorruptRunError):
            read_segment(path)


def test_damaged_bytes_never_crash(path: Path) -> None:
    """A file with any byte changed is read, or refused as corrupt or too new; nothing else happens."""
    write_segment(path, [row("loss", k, k, step=k, split="val") for k in range(5)], mixed=True)
    data = path.read_bytes()

    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xA5]) + data[position + 1 :])
        try:
            rows = read_segment(path)
        except (CorruptRunError, FormatVersionError):
            continue
        assert len(rows) + rows.damaged <= 7


def test_other_arrow_file_is_refused(path: Path) -> None:
    """An Arrow file that Skald did not write is no segment."""
    table = pa.table({"metric": ["a"], "value": [1.0]})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)

    with pytest.raises(CorruptRunError):
        read_segment(path)


def test_newer_format_is_refused(path: Path) -> None:
    """A segment of a later version is not guessed at."""
    write_segment(path, [row("m", 1, 1)])
    path.write_bytes(path.read_bytes().replace(b'"format": 1', b'"format": 9'))

    with pytest.raises(FormatVersionError):
        read_segment(path)


def test_missing_segment_is_not_damage(path: Path) -> None:
    """A segment that was compacted meanwhile is simply gone."""
    with pytest.raises(FileNotFoundError):
        read_segment(path)


def test_segment_is_read_where_it_cannot_be_mapped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without mappings is read with plain reads, to the same rows."""
    write_segment(path, [row("m", k, k, step=k, s=f"é{k}") for k in range(5)])
    mapped = read_segment(path)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(19, "No such device")

    monkeypatch.setattr("mmap.mmap", refuse)
    rows = read_segment(path)

    assert metrics_of(rows) == metrics_of(mapped)
    assert [ids_of(rows, name) for name in rows.ids] == [ids_of(mapped, name) for name in mapped.ids]


@pytest.mark.parametrize(("sealed", "waits"), [(False, [0.001]), (True, [])])
def test_stores_settle_where_processors_reorder_them(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, sealed: bool, waits: list[float]
) -> None:
    """Off x86 a reader waits a moment behind the times of a segment that is being written."""
    write_segment(path, [row("m", 1, 1)], sealed=sealed)
    monkeypatch.setattr("skald.engine.extraction._IN_ORDER", False)
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)

    read_segment(path)

    assert waited == waits


WRITER = """
import sys, itertools
import skald
sys.setswitchinterval(1e-6)
with skald.Logger("run", dir=sys.argv[1]) as logger:
    print("ready", flush=True)
    for k in itertools.count(1):
        logger.log_metric(f"µ{k % 977}", k, step=k, tag=f"é{k % 4999}")
"""


def test_rows_read_while_they_are_written_are_whole(tmp_path: Path) -> None:
    """Name, value and ids of every row belong together, however hard its writer is writing."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        try:
            assert writer.stdout is not None
            writer.stdout.readline()
            checked = 0
            deadline = time.monotonic() + 2
            while time.monotonic() < deadline:
                for file in segment_files(tmp_path / "run")[-2:]:
                    checked += check_whole(read_segment(file.path))
        finally:
            writer.kill()

    assert checked > 100_000


def check_whole(rows: Rows) -> int:
    """Hold each row against the numbers that it was made from; return how many there are."""
    assert rows.value is not None
    assert rows.damaged == 0
    steps, tags = rows.value.astype(np.int64), rows.ids["tag"]
    assert np.array_equal(rows.ids["step"].values, steps)
    assert np.array_equal(numbers_in(rows.names)[rows.metric], steps % 977)
    assert np.array_equal(numbers_in(tags.names)[tags.values], steps % 4999)
    return len(rows)


def numbers_in(names: Texts) -> np.ndarray[Any, Any]:
    """Return the number behind the first letter of each name."""
    return np.array([int(name[1:] or -1) for name in names.to_pylist()])
