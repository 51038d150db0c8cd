"""The summary of each series in the metrics file: what compaction notes there, and what reads it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import START, Row, comparable, row, segment
from hypothesis import given
from hypothesis import strategies as st

import skald
from skald.engine import statistics
from skald.engine.arrays import text_array
from skald.engine.compaction import compact
from skald.engine.footer import Footer
from skald.engine.merge import Chunk
from skald.engine.rows import IdColumn
from skald.engine.statistics import SeriesTally
from skald.engine.summing import read_series
from skald.errors import CorruptRunError
from skald.layout import PARQUET, RUN_JSON
from skald.reading.summary import from_series, summarize
from skald.schema import Kinds

KINDS: Kinds = {"epoch": "int", "rate": "float", "split": "str", "ok": "bool"}
TYPES: dict[str, Any] = {"int": pl.Int64, "float": pl.Float64, "str": pl.String, "bool": pl.Boolean}
METRICS = ["loss", "accuracy", "a/b"]

ROWS = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(METRICS),
        "epoch": st.none() | st.sampled_from([0, -1, 2**63 - 1]),
        "rate": st.none() | st.sampled_from([0.5, 1.0, math.nan, -math.inf]),
        "split": st.none() | st.sampled_from(["", "train", "NaN"]),
        "ok": st.none() | st.booleans(),
        "value": st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.5, -2.0]),
    }
)


def sorted_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a chunk in its order."""
    return sorted(rows, key=lambda line: METRICS.index(line["metric"]))


def chunk_of(rows: Sequence[dict[str, Any]]) -> Chunk:
    """Return sorted rows as a chunk."""
    ids = {name: id_column(kind, [line[name] for line in rows]) for name, kind in KINDS.items()}
    metric = np.array([METRICS.index(line["metric"]) for line in rows], np.uint8)
    value = np.array([line["value"] for line in rows], np.float64)
    return Chunk(metric=metric, names=METRICS, value=value, time=np.arange(len(rows)), ids=ids)


def id_column(kind: Any, values: Sequence[Any]) -> IdColumn:
    """Return an id with a dictionary of its own, in an order of its own."""
    is_given = np.array([value is not None for value in values])
    given = None if is_given.all() else is_given
    if kind != "str":
        zero = {"int": 0, "float": 0.0, "bool": False}[kind]
        return IdColumn(kind, np.array([zero if value is None else value for value in values]), given=given)
    names = sorted({value or "" for value in values}, reverse=True)
    return IdColumn(kind, np.array([names.index(value or "") for value in values], np.int32), text_array(names), given)


@given(chunks=st.lists(st.lists(ROWS, min_size=1, max_size=8), max_size=5), most=st.sampled_from([3, 5, 10_000]))
def test_summary_in_the_file_equals_that_of_the_rows(chunks: list[list[dict[str, Any]]], most: int) -> None:
    """Whatever was logged and however it was cut into chunks; with too many series, that of each metric."""
    chunks = [sorted_rows(rows) for rows in chunks]
    schema = {"metric": pl.String, **{name: TYPES[kind] for name, kind in KINDS.items()}, "value": pl.Float64}
    table = pl.LazyFrame([line for rows in chunks for line in rows], schema=schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "MAX_SERIES", most)
        tally = SeriesTally(KINDS)
        for rows in chunks:
            tally.add(chunk_of(rows))
        series = tally.table()

    assert series is not None
    found = from_series(series, KINDS, span=True)

    expected = summarize(table, by=series.by, span=True)
    assert series.by == (["split", "ok"] if len(summarize(table)) <= most else [])
    assert found.schema == expected.schema
    assert comparable(found) == comparable(expected)


@pytest.fixture(name="run", params=["parquet", "csv"])
def closed_run(request: pytest.FixtureRequest, tmp_path: Path) -> skald.Run:
    """Return a closed run with two series of `accuracy` and one of `loss`."""
    with skald.Logger("run", tmp_path, metrics_format=request.param) as logger:
        for epoch, (train, val) in enumerate([(0.5, 0.25), (0.75, math.nan), (0.625, 0.5)]):
            logger.log_metric("accuracy", train, epoch=epoch, split="train")
            logger.log_metric("accuracy", val, epoch=epoch, split="val")
            logger.log_metric("loss", 1 / (epoch + 1), epoch=epoch)
    return logger.run


def test_summary_of_a_closed_run_reads_no_rows(run: skald.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file tells what its series hold, also where string and bool ids choose some of them."""
    expected = summarize(run.metrics), summarize(run.metrics, where={"split": "val"})
    monkeypatch.setattr("skald.reading.summary.scan_metrics", None)

    found = run.summary(), run.summary(split="val")

    assert [comparable(frame) for frame in found] == [comparable(frame) for frame in expected]
    assert found[1].row(0, named=True)["max_at"] == {"epoch": 2, "split": "val"}


def test_summary_by_other_ids_is_taken_from_the_rows(run: skald.Run) -> None:
    """What the file does not tell is read: series by a number, rows with a number, all series of a metric as one."""
    assert run.summary(by="epoch").height == 6
    assert run.summary(epoch=0)["last"].to_list() == [0.5, 0.25, 1.0]
    assert run.summary(by=[]).select("metric", "count").rows() == [("accuracy", 6), ("loss", 3)]


def test_summary_counts_rows_that_are_still_in_segments(run: skald.Run) -> None:
    """Of a run that is written again the file does not tell all."""
    with skald.Logger(run.name, run.path.parent, mode="resume") as logger:
        logger.log_metric("loss", 9.0, epoch=9)

        found = run.summary()

    assert found.filter(metric="loss").select("count", "last", "max").rows() == [(4, 9.0, 9.0)]
    assert comparable(run.summary()) == comparable(found)


def test_summary_of_each_metric_stands_in_the_file_where_there_are_too_many_series(tmp_path: Path) -> None:
    """Beyond 10,000 series one row a metric is kept, and series are summed up from the rows."""
    with skald.Logger("run", tmp_path) as logger:
        for number in range(10_001):
            logger.log_metric("loss", number, sample=str(number))
        logger.log_metric("f1", 1.0)

    found = read_series(logger.run.path)

    assert found
    assert (found[1].by, found[1].metric, found[1].count) == ([], ["loss", "f1"], [10_001, 1])
    assert logger.run.summary().height == 10_002


def test_summary_of_more_metrics_than_are_kept_is_taken_from_the_rows(tmp_path: Path) -> None:
    """A footer does not grow with the metrics without end."""
    names = [f"metric{number}" for number in range(10_001)]
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metrics(dict.fromkeys(names, 1.0))

    assert read_series(logger.run.path) is None
    assert logger.run.summary()["metric"].to_list() == names


def test_summary_covers_all_compactions(tmp_path: Path) -> None:
    """A file that was written again tells of the rows that it had before."""
    run = tmp_path / "run"
    segment(run, "a", 0, [row("loss", 2, 1, split="x"), row("loss", 1, 2, split="y")])
    (run / RUN_JSON).touch()
    compact(run)
    segment(run, "b", 0, [row("loss", 0, 3, split="x"), row("f1", 5, 0, split="x")])
    compact(run)

    found = read_series(run)

    assert found
    assert [*zip(found[1].metric, found[1].ids["split"], found[1].count, found[1].last, strict=True)] == [
        ("loss", "x", 2, 0.0), ("loss", "y", 1, 1.0), ("f1", "x", 1, 5.0),
    ]  # fmt: skip


def test_footer_gives_the_same_texts_as_pyarrow(tmp_path: Path) -> None:
    """Short and long texts are found, whatever strings stand in the statistics before them."""
    run = tmp_path / "run"
    trap = "\x18\x05skald\x18\x02{}"
    lines = [Row("loss", k, START + k, {"text": trap + str(k % 100)}) for k in range(1000)]
    segment(run, "a", 0, lines)
    (run / RUN_JSON).touch()
    compact(run)

    with (run / PARQUET).open("rb") as file:
        footer = Footer(file, run / PARQUET)

    for name, text in (pq.read_metadata(run / PARQUET).metadata or {}).items():
        assert footer.text(name) == text
    assert footer.text(b"other") is None


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"PAR1\xff\xff\xff\x7fPAR1", b"x" * 100_000])
def test_footer_of_no_parquet_file_is_an_error(damage: bytes, tmp_path: Path) -> None:
    """What is cut off or something else is told, not read."""
    path = tmp_path / PARQUET
    path.write_bytes(damage)

    with path.open("rb") as file, pytest.raises(CorruptRunError, match="expected a parquet file"):
        Footer(file, path)


def test_footer_of_another_writer_is_an_error(tmp_path: Path) -> None:
    """A parquet file that Skald did not write is not taken for one of its own."""
    pq.write_table(pa.table({"metric": pa.array(["loss"])}), tmp_path / PARQUET)

    with pytest.raises(CorruptRunError, match="that Skald wrote"):
        read_series(tmp_path)
