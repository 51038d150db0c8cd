"""The summary of rows that are not compacted: summed up segment by segment, it is that of the run's table."""

from __future__ import annotations

import contextlib
import math
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from handmade import Row, comparable, row, segment
from hypothesis import given, settings
from hypothesis import strategies as st

import skald
from skald.engine import summing
from skald.engine.compaction import compact
from skald.engine.reader import scan_metrics
from skald.engine.summing import read_series
from skald.reading.summary import from_series, read_summary, summarize
from skald.schema import series_ids

STREAMS: list[dict[str, Any]] = [
    {"epoch": st.integers(0, 3), "split": st.sampled_from(["", "train", "val"])},
    {"rate": st.sampled_from([0.5, math.nan, -math.inf]), "ok": st.booleans()},
    {"epoch": st.integers(0, 3)},
    {"bin_low": st.just(0.0), "bin_high": st.just(1.0), "split": st.just("val")},
    {},
]
KINDS = [
    {"epoch": "int", "split": "str"},
    {"rate": "float", "ok": "bool"},
    {"epoch": "float"},  # widens that of the first stream
    {"bin_low": "float", "bin_high": "float", "split": "str"},
    {},
]
VALUES = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.0])


@st.composite
def segments(draw: st.DrawFn) -> list[tuple[str, int, list[Row]]]:
    """Return segments, each with its writer, stream and rows; times never decrease, and are often equal."""
    found = []
    clock: dict[tuple[str, int], int] = {}
    for _ in range(draw(st.integers(1, 6))):
        writer, stream = draw(st.sampled_from("ab")), draw(st.integers(0, len(STREAMS) - 1))
        lines = []
        for _ in range(draw(st.integers(0, 6))):
            at = clock[writer, stream] = clock.get((writer, stream), 0) + draw(st.sampled_from([0, 0, 1, 5]))
            ids = {name: draw(values) for name, values in STREAMS[stream].items()}
            lines.append(row(draw(st.sampled_from(["loss", "accuracy", "a/b"])), draw(VALUES), at, **ids))
            if draw(st.booleans()):
                lines.append(lines[-1]._replace(time=0))  # a hole
        found.append((writer, stream, lines))
    return found


def put(run: Path, found: Sequence[tuple[str, int, list[Row]]], first: int = 0, later: float = 0) -> None:
    """Write segments of a run, numbered from `first` on, `later` seconds after the others."""
    for number, (writer, stream, lines) in enumerate(found, first):
        moved = [line._replace(time=line.time and line.time + round(later * 10**9)) for line in lines]
        segment(run, writer, number, moved, stream=stream, kinds=KINDS[stream])


def check(run: Path) -> None:
    """Hold what is summed up against what polars makes of the table."""
    found, expected = read_series(run), summarize(scan_metrics(run), span=True)

    assert found is not None
    kinds, series = found
    assert series.by == series_ids(kinds)
    summed = from_series(series, kinds, span=True)
    assert summed.schema == expected.schema
    assert comparable(summed) == comparable(expected)


@settings(deadline=None, max_examples=30)
@given(found=segments())
def test_summary_of_segments_equals_that_of_the_table(found: list[tuple[str, int, list[Row]]]) -> None:
    """Whatever ids, holes, NaN and infinities there are, in however many streams, with their places in the table."""
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), found)

        check(Path(folder))


@settings(deadline=None, max_examples=15)
@given(before=segments(), after=segments(), later=st.sampled_from([60, 1000]))
def test_summary_of_a_resumed_run_equals_that_of_its_table(
    before: list[tuple[str, int, list[Row]]], after: list[tuple[str, int, list[Row]]], later: int
) -> None:
    """What the metrics file says is continued with the rows in segments, though these have other ids."""
    with tempfile.TemporaryDirectory() as folder:
        put(Path(folder), before)
        compact(Path(folder))
        put(Path(folder), after, len(before), later)

        check(Path(folder))


@pytest.mark.parametrize("kind", ["clock", "overlap", "kinds", "names"])
def test_summary_is_made_of_the_table_where_segments_do_not_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The clock went back, rows are older than those compacted, kinds disagree, series are too many: same numbers."""
    segment(tmp_path, "a", 0, [row("loss", 1.0, 5, split="x"), row("loss", 2.0, 9, split="x")])
    if kind == "overlap":
        compact(tmp_path)
    lines = {
        "clock": [row("loss", 3.0, 9, epoch=1), row("loss", 4.0, 7, epoch=2)],
        "overlap": [row("loss", 3.0, 6, epoch=1)],
        "kinds": [row("loss", 3.0, 10, split=3)],
        "names": [row(f"m{number}", 3.0, 10 + number, epoch=1) for number in range(4)],
    }[kind]
    segment(tmp_path, "b", 1, lines, stream=1)
    if kind == "names":
        monkeypatch.setattr(summing, "MAX_SERIES", 3)

    with pytest.warns(UserWarning, match="several kinds") if kind == "kinds" else contextlib.nullcontext():
        assert read_series(tmp_path) is None
        found, expected = read_summary(tmp_path, span=True), summarize(scan_metrics(tmp_path), span=True)

    assert comparable(found) == comparable(expected)


def test_summary_leaves_out_rows_that_a_rewind_took_back(tmp_path: Path) -> None:
    """Those in segments, while the run goes on."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for epoch in range(5):
            logger.log_metric("loss", float(epoch), epoch=epoch)
        logger.rewind(epoch=2)
        logger.log_metric("loss", -1.0, epoch=3)

        check(logger.run.path)

        assert logger.run.summary().select("count", "max", "last").rows() == [(4, 2.0, -1.0)]


def test_summary_holds_while_a_writer_rolls_underneath(tmp_path: Path) -> None:
    """Each look counts all rows logged before it, of every series as many as there were in one instant."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        done, logged = threading.Event(), [0]

        def log() -> None:
            while not done.wait(0.0001):
                for _ in range(500):
                    logged[0] += 1
                    logger.log_metric("loss", float(logged[0]), step=logged[0], split="train")

        writer = threading.Thread(target=log)
        writer.start()
        try:
            for _ in range(8):
                before = logged[0] - 1
                summary = logger.run.summary()
                if before > 0:
                    (line,) = summary.rows(named=True)
                    assert line["count"] >= before
                    assert line["first"] == line["min"] == 1.0
                    assert line["last"] == line["max"] == line["max_at"]["step"] == line["count"]
        finally:
            done.set()
            writer.join()


def test_metrics_of_segments_are_chosen_by_any_condition_on_their_names(tmp_path: Path) -> None:
    """A filter on names alone is applied to the dictionary, and finds the rows that it finds in a table."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(50):
            logger.log_metrics({"loss": step, "accuracy": step, "a/b": step}, step=step)
        table = logger.run.metrics.collect()
        metric = pl.col("metric")
        conditions = [
            metric == "loss",
            metric.is_in(["loss", "a/b"]),
            metric.str.starts_with("a"),
            metric != "loss",
            metric == "none",
            metric.is_null(),
            (metric == "loss") & (metric != "a/b"),
            (metric == "loss") & (pl.col("step") > 3),
            metric == metric.first(),
            metric.is_first_distinct(),
        ]

        for condition in conditions:
            assert logger.run.metrics.filter(condition).collect().equals(table.filter(condition)), condition


def test_summary_leaves_out_what_is_damaged(tmp_path: Path) -> None:
    """A segment that is cut off, and rows whose names are lost, are in no series; all others are."""
    rows = [row(metric, float(at), at, split="x") for at, metric in enumerate(["loss", "accuracy", "loss"])]
    segment(tmp_path, "a", 0, rows)
    segment(tmp_path, "a", 1, rows, codes=[1, 0, 99])
    torn = segment(tmp_path, "a", 2, rows)
    torn.write_bytes(torn.read_bytes()[:-200])

    with (
        pytest.warns(UserWarning, match="damaged segment is left out"),
        pytest.warns(UserWarning, match="2 damaged rows"),
    ):
        check(tmp_path)
    with (
        pytest.warns(UserWarning, match="damaged segment is left out"),
        pytest.warns(UserWarning, match="2 damaged rows"),
    ):
        found = read_summary(tmp_path)

    assert found.select("metric", "count", "last").rows() == [("loss", 3, 0.0), ("accuracy", 1, 1.0)]
