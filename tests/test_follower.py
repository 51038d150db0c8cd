"""Following a run: each row is handed out once, whatever becomes of the run meanwhile."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import logged
import numpy as np
import polars as pl
import pytest
from handmade import row, segment, write_segment
from polars.testing import assert_frame_equal

import skald
from skald.engine.follower import ChangedError, Follower, News
from skald.errors import RunNotFoundError

METRICS = ("loss", "val/acc", "late")


class Watched:
    """A follower as the viewer uses it: what it has of some metrics, without ever reading a row twice."""

    def __init__(self, run: Path) -> None:
        self.follower = Follower(run)
        self.table = pl.DataFrame()
        self.new_rows: list[int] = []

    def look(self) -> News:
        """Poll, and keep what is new."""
        news = self.follower.poll()
        if news.is_anew:
            self.table = self.follower.read(METRICS)
        else:
            rows = news.rows.filter(pl.col("metric").is_in(METRICS))
            self.table = pl.concat([self.table, rows]) if self.table.width else rows
        self.new_rows.append(len(news.rows))
        return news

    def assert_equal_to(self, run: Path) -> None:
        """Hold what was followed against what a reader finds; metrics may come in another order."""
        expected = skald.Run(run).metrics.collect()
        assert self.follower.names == skald.Run(run).metric_names
        assert self.follower.rows == len(expected)
        order = {"by": "metric", "maintain_order": True}
        own = expected.filter(pl.col("metric").is_in(METRICS))
        assert_frame_equal(self.table.sort(**order), own.sort(**order))  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Where the run of a test is."""
    return tmp_path / "run"


def opened(run: Path, **options: Any) -> skald.Logger:
    """Return a logger on a run."""
    return skald.Logger(run.name, run.parent, **{"mode": "auto", "capture": False, **options})


def test_follower_hands_out_each_row_once(run: Path) -> None:
    """The first look finds all that is there, each later one what came since, and a quiet one nothing."""
    with opened(run) as logger:
        watched = Watched(run)
        for step in range(5):
            logger.log_metric("loss", step / 2, step=step)
        assert watched.look().is_anew
        assert not watched.look().is_anew
        for step in range(5, 3_000):
            logger.log_metric("loss", step / 2, step=step)
        news = watched.look()

        assert not news.is_anew
        assert news.rows["step"].to_list() == list(range(5, 3_000))
        assert len(watched.look().rows) == 0
        watched.assert_equal_to(run)
        assert watched.follower.newest == logger.run.metrics.select(pl.col("time").max()).collect().item()


def test_follower_begins_anew_when_the_run_is_compacted(run: Path) -> None:
    """Rows that came between the last look and the end are not lost, and none is there twice."""
    watched = Watched(run)
    with opened(run) as logger:
        logger.log_metric("loss", 1.0, step=1)
        watched.look()
        logger.log_metric("loss", 2.0, step=2)

    assert watched.look().is_anew
    watched.assert_equal_to(run)
    assert not watched.look().is_anew


def test_follower_sees_rows_of_a_resumed_run_behind_its_file(run: Path) -> None:
    """What is in the metrics file is read once, and what comes after it as it comes."""
    with opened(run) as logger:
        logger.log_metrics({"loss": 1.0, "val/acc": 0.5}, step=1)
    watched = Watched(run)
    watched.look()
    with opened(run) as logger:
        logger.log_metric("loss", 2.0, step=2)
        assert [watched.look().is_anew, watched.new_rows[-1]] == [False, 1]
        watched.assert_equal_to(run)


def test_follower_begins_anew_when_rows_are_taken_back(run: Path) -> None:
    """A rewind takes rows away that were handed out."""
    watched = Watched(run)
    with opened(run) as logger:
        for step in range(10):
            logger.log_metric("loss", step, step=step)
        watched.look()
        logger.rewind(step=4)
        logger.log_metric("loss", 50, step=5)

        assert watched.look().is_anew
        watched.assert_equal_to(run)


def test_follower_begins_anew_when_an_id_is_new_or_wider(run: Path) -> None:
    """The table that it hands out has other columns then."""
    watched = Watched(run)
    with opened(run) as logger:
        logger.log_metric("loss", 1, step=1)
        watched.look()
        logger.log_metric("loss", 2, step=2, split="val")
        assert watched.look().is_anew
        logger.log_metric("loss", 3, step=2.5, split="val")
        assert watched.look().is_anew
        watched.assert_equal_to(run)


def test_follower_hands_out_a_row_that_is_committed_late(run: Path) -> None:
    """A row may be committed after those behind it: it is new then, and they are not again."""
    hole = row("loss", 9, 0, step=9)._replace(time=0)
    late = row("loss", 1, 1, step=1)
    path = segment(run, "a", 0, [hole, row("loss", 2, 2, step=2), hole], sealed=False)
    (run / "run.json").touch()
    watched = Watched(run)
    watched.look()
    write_segment(path, [late, row("loss", 2, 2, step=2), hole, row("loss", 3, 3, step=3)], sealed=False)
    first = watched.look().rows
    write_segment(path, [late, row("loss", 2, 2, step=2), row("loss", 4, 4, step=4), row("loss", 3, 3, step=3)])
    second = watched.look().rows

    assert [first["step"].to_list(), second["step"].to_list()] == [[1, 3], [4]]
    assert sorted(watched.follower.read(["loss"])["step"].to_list()) == [1, 2, 3, 4]


def test_follower_tells_that_the_run_is_gone(run: Path) -> None:
    """A run that is deleted while it is watched is an error that says so."""
    with opened(run) as logger:
        logger.log_metric("loss", 1, step=1)
    watched = Watched(run)
    watched.look()
    shutil.rmtree(run)

    with pytest.raises(RunNotFoundError, match="any more"):
        watched.look()


def test_follower_refuses_to_read_when_the_files_are_others_than_at_the_last_look(run: Path) -> None:
    """Rows of a newer file would be counted twice, or be missing."""
    watched = Watched(run)
    with opened(run) as logger:
        logger.log_metric("loss", 1, step=1)
        watched.look()

    with pytest.raises(ChangedError):
        watched.follower.read(["loss"])


def test_follower_refuses_to_read_a_metrics_file_that_is_newer_than_the_last_look(run: Path) -> None:
    """Of a run that was closed, resumed and closed again no row is read that the next look tells of."""
    watched = Watched(run)
    for step in range(2):
        with opened(run) as logger:
            logger.log_metric("loss", 1, step=step)
        if step == 0:
            watched.look()

    with pytest.raises(ChangedError):
        watched.follower.read(["loss"])
    assert watched.look().is_anew
    watched.assert_equal_to(run)


def test_follower_follows_a_run_that_is_put_in_the_place_of_another(run: Path) -> None:
    """Overwritten, the run has only its new rows."""
    watched = Watched(run)
    with opened(run) as logger:
        logger.log_metric("loss", 1, step=1)
        watched.look()
    with opened(run, mode="overwrite") as logger:
        logger.log_metric("loss", 7, step=1)
        watched.look()

        watched.assert_equal_to(run)


def deeds(logger: skald.Logger, run: Path, chance: random.Random) -> list[Callable[[], object]]:
    """Return what may happen to a run between two looks."""
    return [
        lambda: logger.log_metric("loss", chance.random(), step=chance.randrange(9)),
        lambda: logger.log_metrics({"val/acc": 1.0, "other": 2.0}, epoch=chance.randrange(3), split="val"),
        lambda: logger.log_batch({"loss": (steps := np.arange(chance.randrange(1_500)))}, step=steps),
        lambda: logger.rewind(step=chance.randrange(9)),
        lambda: skald.compact(run),
        lambda: logger.log_metric("late", 1.0, **{chance.choice("abc"): chance.choice([1, 2])}),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_follower_agrees_with_a_reader_whatever_happens(run: Path, seed: int) -> None:
    """Logging, rolls, new ids, rewinds and compactions in any order: what was followed is what is there."""
    chance = random.Random(seed)
    with opened(run, capture=False) as logger:
        watched = Watched(run)
        for _ in range(25):
            chance.choice(deeds(logger, run, chance))()
            if chance.random() < 0.7:
                watched.look()
                watched.assert_equal_to(run)
    watched.look()
    watched.assert_equal_to(run)


WRITER = """
import sys, skald
logger = skald.Logger("run", sys.argv[1])
print("open", flush=True)
for step in range(400_000):
    logger.log_metric("loss", step / 2, step=step)
logger.close()
"""


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_follower_beside_a_process_that_logs_misses_no_row(tmp_path: Path, storage: str) -> None:
    """Rows are followed over rolls, and the end of the run, while another process stores as fast as it can."""
    process = logged.start(WRITER, tmp_path, folder=tmp_path, SKALD_STORAGE=storage)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    watched = Watched(tmp_path / "run")
    begun = 0
    while process.poll() is None:
        try:
            begun += watched.look().is_anew
        except ChangedError:  # it was closed between the poll and the read
            continue
    watched.look()
    process.communicate()

    assert sum(watched.new_rows) > 100_000
    assert watched.table["step"].to_list() == list(range(400_000))
