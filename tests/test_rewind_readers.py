"""Rows that a rewind took back are gone for every reader at every time, and kept apart."""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import output
from logged import crash, rewound, start, values

import skald
from skald.engine.count import count_rows


class Lazy:
    """A 0-d value that a device produces later, as JAX's arrays are."""

    shape = ()

    def __init__(self, number: float) -> None:
        self.number, self.produced = number, threading.Event()

    def is_ready(self) -> bool:
        """Tell whether the device is done."""
        return self.produced.is_set()

    def __float__(self) -> float:
        self.produced.wait()
        return self.number


def produce(*some: Lazy) -> None:
    """Have the device produce these."""
    for value in some:
        value.produced.set()


def views(run: Path) -> list[Any]:
    """Return what each reader says of a run."""
    found = skald.Run(run)
    table = found.metrics.sort("metric", maintain_order=True).collect()
    summary = found.summary().sort("metric").select("metric", "count", "first", "last", "min", "max")
    show = json.loads(output("show", str(run), "--format", "json", folder=run.parent))
    shown = {metric["metric"]: metric["count"] for metric in show["metrics"]}
    wide = found.wide("loss").collect()
    one = found.metrics.filter(pl.col("metric") == "loss", pl.col("step") > 1).select("value").head(2).collect()
    back = found.rewound.sort("metric", "time").collect()
    assert sum(count_rows(run)) == table.height == skald.scan(run).collect().height
    assert skald.runs(run.parent)["rows"].to_list() == [table.height]
    return [table.rows(), summary.rows(), shown, wide.rows(), one.rows(), sorted(found.metric_names), back.rows()]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
@pytest.mark.parametrize("earlier", ["none", "crashed", "closed"])
def test_every_reader_sees_the_same_before_and_after_compaction(tmp_path: Path, format_: Any, earlier: str) -> None:
    """Live, crashed and closed: rows, summary, wide, names, `skald show` and what was taken back."""
    source = f"""
import os, sys, skald
logger = skald.Logger("run", ".", mode="auto", metrics_format={format_!r})
for step in range(5):
    logger.log_metric("loss", step, step=step)
    logger.log_metric("accuracy", step, step=step, split="val")
logger.log_metric("gone", 1, step=4)
if sys.argv[1] == "closed":
    logger.close()
"""
    if earlier != "none":
        crash(source, tmp_path, earlier)
    again = """
if sys.argv[1] == "crashed":
    logger.rewind(step=2)
    for step in range(3, 5):
        logger.log_metric("loss", 10 + step, step=step)
"""
    crash(source + again, tmp_path, "crashed")
    run = tmp_path / "run"

    crashed = views(run)
    assert skald.Run(run).status == "crashed"
    skald.compact(run)
    closed = views(run)

    assert crashed == closed
    kept = [0, 1, 2] * (2 if earlier != "none" else 1)
    assert sorted(values(run)) == sorted([*kept, 13, 14])
    assert skald.Run(run).metric_names == ["loss", "accuracy"]
    files = {path.name for path in run.iterdir() if path.suffix in (".parquet", ".csv")}
    assert files == {f"metrics.{format_}", "rewound-1.parquet"}
    assert json.loads((run / "run.json").read_text())["rewinds"] == {"made": 1, "standing": []}
    assert pl.read_parquet(run / "rewound-1.parquet").height == len(crashed[-1])


def test_metrics_file_holds_exactly_what_counts(tmp_path: Path) -> None:
    """Any tool that reads metrics.parquet sees what Skald sees."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(5):
            logger.log_metric("loss", step, step=step)
        logger.rewind(step=2)

    assert pl.read_parquet(tmp_path / "run" / "metrics.parquet")["value"].to_list() == [0, 1, 2]


def test_second_rewind_goes_further_back(tmp_path: Path) -> None:
    """Rows that were logged again may be taken back again; each compaction puts its own aside."""
    run = tmp_path / "run"
    for life in range(3):
        with skald.Logger("run", tmp_path, mode="auto") as logger:
            logger.rewind(step=3 - life)
            for step in range(4 - life, 6):
                logger.log_metric("loss", 10 * life + step, step=step)

    assert values(run) == [2 + 20, 3 + 20, 4 + 20, 5 + 20]
    assert rewound(run) == [4, 5, 13, 14, 15]
    assert {path.name for path in run.glob("rewound-*")} == {"rewound-1.parquet", "rewound-2.parquet"}


def test_two_rewinds_before_a_compaction_both_hold(tmp_path: Path) -> None:
    """The later does not bring back what the earlier took, and rows between them are judged by the later alone."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(4):
            logger.log_metric("loss", step, step=step)
        logger.rewind(step=1)
        logger.log_metric("loss", 13, step=3)
        logger.rewind(step=2)
        logger.log_metric("loss", 23, step=3)

        assert values(logger) == [0, 1, 23]
    assert values(tmp_path / "run") == [0, 1, 23]
    assert rewound(tmp_path / "run") == [2, 3, 13]


def test_kept_frame_follows_a_rewind(tmp_path: Path) -> None:
    """A LazyFrame made before the rewind shows what counts when it is collected."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(4):
            logger.log_metric("loss", step, step=step)
        frame, back = logger.run.metrics, logger.run.rewound
        logger.rewind(step=1)

        assert frame.collect()["value"].to_list() == [0, 1]
        assert back.collect()["value"].to_list() == [2, 3]


def test_rewind_that_takes_nothing_back_writes_nothing(tmp_path: Path) -> None:
    """Each start of a job rewinds: where no row is beyond, the metrics file is not written again."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1, step=1)
    before = (tmp_path / "run" / "metrics.parquet").stat()

    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.rewind(step=1)

    assert (tmp_path / "run" / "metrics.parquet").stat() == before
    assert "rewinds" not in json.loads((tmp_path / "run" / "run.json").read_text())


def test_rewind_alone_is_compacted(tmp_path: Path) -> None:
    """A session that only rewinds leaves a metrics file without the rows."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_batch({"loss": [1, 2, 3]}, step=[1, 2, 3])
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.rewind(step=1)
        assert logger.run.summary()["count"].to_list() == [1]

    assert pl.read_parquet(tmp_path / "run" / "metrics.parquet")["value"].to_list() == [1]
    assert rewound(tmp_path / "run") == [2, 3]


def test_readers_see_one_moment_while_a_logger_rewinds(tmp_path: Path) -> None:
    """A reader sees the rows before a rewind, or those after it, never both and never neither."""
    source = """
import skald, sys
logger = skald.Logger("run", ".")
logger.log_metric("loss", -1, step=0)
print("begun", flush=True)
for turn in range(25):
    for step in range(1, 6):
        logger.log_metric("loss", turn, step=step)
    logger.rewind(step=0)
"""
    with start(source, folder=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        looks = 0
        while process.poll() is None:
            found = values(tmp_path / "run")
            assert found[0] == -1
            assert len(found) <= 6
            assert len(set(found[1:])) <= 1
            looks += 1
        assert process.returncode == 0, process.stderr and process.stderr.read()

    assert looks > 2
    assert values(tmp_path / "run") == [-1]


def test_values_on_a_device_are_waited_for(tmp_path: Path) -> None:
    """A row whose value is not there yet was logged before the rewind, so it is taken back too."""
    with skald.Logger("run", tmp_path) as logger:
        pending = [Lazy(float(step)) for step in range(4)]
        for step, value in enumerate(pending):
            logger.log_metric("loss", value, step=step)
        threading.Timer(0.1, produce, pending).start()
        logger.rewind(step=1)

        assert values(logger) == [0, 1]
        assert rewound(tmp_path / "run") == [2, 3]


def test_threads_that_log_meanwhile_lose_nothing(tmp_path: Path) -> None:
    """Rows that other threads log during rewinds are taken back or count, each once."""
    with skald.Logger("run", tmp_path) as logger:
        turns = threading.Barrier(3)

        def log(thread: int) -> None:
            for step in range(3000):
                if step % 1000 == 0:
                    turns.wait()
                logger.log_metric("loss", step, thread=thread, step=step)

        threads = [threading.Thread(target=log, args=(thread,)) for thread in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            turns.wait()
            logger.rewind()
        for thread in threads:
            thread.join()

    run = skald.Run(tmp_path / "run")
    table = pl.concat([run.metrics.collect(), run.rewound.collect()])
    assert sorted(table.select("thread", "step").rows()) == [*itertools.product(range(2), range(3000))]


def test_staged_rows_of_a_device_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the device produces while the rewind waits for it goes to the file first."""
    monkeypatch.setenv("SKALD_STORAGE", "staged")
    with skald.Logger("run", tmp_path) as logger:
        value = Lazy(1)
        logger.log_metric("loss", value, step=1)
        threading.Timer(0.1, produce, [value]).start()
        logger.rewind(step=0)
        logger.sync()

        assert values(logger) == []


def test_staged_rows_are_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that still wait in memory were logged before."""
    monkeypatch.setenv("SKALD_STORAGE", "staged")
    with skald.Logger("run", tmp_path) as logger:
        for step in range(4):
            logger.log_metric("loss", step, step=step)
        logger.rewind(step=1)

        assert values(logger) == [0, 1]
