"""The metrics file of a run: which one counts, and what it says of itself."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from handmade import row, segment
from msgspec import Raw

from skald.engine.compaction import compact
from skald.engine.coverage import Coverage, decode, encode
from skald.engine.reader import metric_names, scan_metrics
from skald.engine.stored import CsvDescription, CsvFile, open_stored, stored_kinds
from skald.errors import CorruptRunError
from skald.layout import RUN_JSON


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with one dead writer."""
    path = tmp_path / "run"
    segment(path, "a", 0, [row("loss", 1, 1, step=1), row("f1", 2, 2, step=1)])
    (path / RUN_JSON).touch()
    return path


@pytest.mark.parametrize(("old", "new"), [("parquet", "csv"), ("csv", "parquet")])
def test_file_left_over_by_a_change_of_format_does_not_count(run: Path, old: Any, new: Any) -> None:
    """A power cut can bring the old file back after the segments have gone: the newer file wins."""
    compact(run, metrics_format=old)
    left = {path: path.read_bytes() for path in run.glob("metrics.*")}
    segment(run, "b", 0, [row("loss", 3, 3, step=2)])
    compact(run, metrics_format=new)
    for path, content in left.items():
        path.write_bytes(content)

    values = scan_metrics(run).collect()["value"].to_list()
    segment(run, "c", 0, [row("loss", 4, 4, step=3)])
    compact(run)

    assert sorted(values) == [1, 2, 3]
    assert sorted(scan_metrics(run).collect()["value"].to_list()) == [1, 2, 3, 4]
    assert {path.name for path in run.glob("metrics.*")} == {
        "parquet": {"metrics.parquet"},
        "csv": {"metrics.csv", "metrics.csv.json"},
    }[new]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_file_tells_its_ids_and_metrics_without_its_rows(run: Path, format_: Any) -> None:
    """A writer that resumes learns the kinds; names come without reading a column."""
    compact(run, metrics_format=format_)

    assert stored_kinds(run) == {"step": "int"}
    assert metric_names(run) == ["loss", "f1"]


def test_run_without_a_file_has_no_kinds(run: Path) -> None:
    """Before the first compaction there is nothing to tell."""
    assert open_stored(run) is None
    assert stored_kinds(run) == {}


def test_csv_is_described_by_size_and_content(run: Path) -> None:
    """Of two descriptions of the same size the one counts whose sum is right."""
    compact(run, metrics_format="csv")
    path = run / "metrics.csv.json"
    (known,) = decode(path.read_bytes(), CsvDescription, path).files
    other = CsvFile(size=known.size, crc32=known.crc32 ^ 1, metrics=Raw(b"[]"), coverage=Coverage(rows=99))
    path.write_bytes(encode(CsvDescription(files=(other, known))))

    stored = open_stored(run)

    assert stored is not None
    with stored:
        assert known.crc32 == zlib.crc32((run / "metrics.csv").read_bytes())
        assert stored.coverage == known.coverage


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.csv.json"])
def test_csv_that_is_not_described_is_told(run: Path, name: str) -> None:
    """A csv that another program changed is not guessed at, and the error says what to do."""
    compact(run, metrics_format="csv")
    if name == "metrics.csv":
        with (run / name).open("a", encoding="utf-8") as file:
            file.write("loss,3,5,2027-01-15T08:00:00.000000Z\n")
    else:
        (run / name).unlink()

    with pytest.raises(CorruptRunError, match=r"metrics\.csv") as caught:
        open_stored(run)

    assert any("hint" in note for note in caught.value.__notes__)
