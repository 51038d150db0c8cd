"""Closed runs that are remembered: what was read of one holds only as long as nothing has replaced its files."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import skald
from skald.engine import closed
from skald.engine.closed import closed_run
from skald.engine.compaction import compact
from skald.engine.reader import _Source
from skald.engine.rewind import Rewind
from skald.engine.standing import add_rewind
from skald.layout import PARQUET, SEGMENTS


def logged(path: Path, *values: float, mode: str = "new", ids: str = "step", metrics_format: str = "parquet") -> Path:
    """Log values under their position as an id; return the run."""
    with skald.Logger(path.name, path.parent, mode=mode, metrics_format=metrics_format, capture=False) as logger:  # type: ignore[arg-type]
        for position, value in enumerate(values):
            logger.log_metric("loss", value, **{ids: position})
    return path


def values(run: Path) -> list[float]:
    """Return what a reader finds."""
    found: list[float] = skald.Run(run).metrics.collect()["value"].to_list()
    return found


def test_closed_run_is_read_once_as_long_as_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its file says of itself is remembered."""
    run = logged(tmp_path / "run", 1.0)
    known = closed_run(run)
    monkeypatch.setattr(closed, "open_parquet", lambda _: pytest.fail("it was read again"))

    assert known is not None
    assert closed_run(run) is known
    assert values(run) == [1.0]


def test_rows_of_a_resumed_run_are_seen_though_it_was_remembered(tmp_path: Path) -> None:
    """While it is written again, with an id that it did not have, and once it is closed again."""
    run = logged(tmp_path / "run", 1.0)
    kept = skald.Run(run).metrics
    assert kept.collect().height == 1

    with skald.Logger("run", tmp_path, mode="resume", capture=False) as logger:
        logger.log_metric("loss", 2.0, epoch=1)
        assert kept.collect()["epoch"].to_list() == [None, 1]

    assert kept.collect()["epoch"].to_list() == [None, 1]
    assert values(run) == [1.0, 2.0]


def test_run_in_the_place_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    """A folder that is moved to where a remembered run stood is read anew."""
    first, second = logged(tmp_path / "run", 1.0), logged(tmp_path / "other", 2.0, ids="epoch")
    assert values(first) == [1.0]

    first.rename(tmp_path / "old")
    second.rename(first)

    assert skald.Run(first).metrics.collect_schema().names() == ["metric", "epoch", "value", "time"]
    assert values(first) == [2.0]


def test_file_replaced_between_look_and_opening_is_read_anew(tmp_path: Path) -> None:
    """The file that is opened must be the one of which is remembered what it says."""
    run = logged(tmp_path / "run", 1.0)
    known = closed_run(run)
    logged(run, 2.0, 3.0, mode="resume")

    assert known is not None
    assert known.open() is None
    (run / PARQUET).unlink()
    assert known.open() is None


def test_file_damaged_where_it_stands_is_noticed_at_once(tmp_path: Path) -> None:
    """Also where it was remembered whole."""
    run = logged(tmp_path / "run", 1.0)
    assert values(run) == [1.0]

    with (run / PARQUET).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"????")

    with pytest.raises(skald.CorruptRunError, match="do not end as one"):
        _ = skald.Run(run).metrics


def test_collect_shows_a_closed_run_as_it_was_looked_at(tmp_path: Path) -> None:
    """What is logged meanwhile is for the next; where another file has come instead, all that is in it is shown."""
    run = logged(tmp_path / "run", 1.0)
    source = _Source(run)

    def read() -> list[float]:
        return [value for frame in source.read(None, None, None, None) for value in frame["value"]]

    source.schema()
    with skald.Logger("run", tmp_path, mode="resume", capture=False) as logger:
        logger.log_metric("loss", 2.0, step=1)
        assert read() == [1.0]
        source.schema()
        assert read() == [1.0, 2.0]
    source.schema()
    logged(run, 3.0, mode="resume")

    assert read() == [1.0, 2.0, 3.0]


def test_rewind_of_a_closed_run_is_seen_though_it_was_remembered(tmp_path: Path) -> None:
    """It stands in run.json until a compaction applies it."""
    run = logged(tmp_path / "run", 1.0, 2.0, 3.0)
    assert values(run) == [1.0, 2.0, 3.0]

    add_rewind(run, Rewind(number=0, ids=(("step", 0),), since=0, writer="", stop=0, ended=("",)), applied=0)

    assert values(run) == [1.0]


def test_parquet_file_beside_a_newer_csv_is_not_taken_for_the_whole_run(tmp_path: Path) -> None:
    """So it stands where a change of format was cut off."""
    run = logged(tmp_path / "run", 1.0)
    shutil.copy2(run / PARQUET, tmp_path / "kept")
    logged(run, 2.0, mode="resume")
    compact(run, metrics_format="csv")
    (tmp_path / "kept").rename(run / PARQUET)

    assert values(run) == [1.0, 2.0]


def test_runs_with_other_rows_than_a_parquet_file_s_are_not_remembered(tmp_path: Path) -> None:
    """A csv is no such file, and segments change without a word."""
    with skald.Logger("live", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0)
        assert closed_run(logger.run.path) is None

    assert closed_run(logged(tmp_path / "csv", 1.0, metrics_format="csv")) is None
    assert closed_run(tmp_path / "none") is None


def test_folder_of_which_the_system_knows_nothing_just_now_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a network file system segments that another host has just made may be "stale" here: they are looked for."""
    run = logged(tmp_path / "run", 1.0)
    assert closed_run(run) is not None
    look = os.stat

    def stale(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith(SEGMENTS):
            raise OSError(errno.ESTALE, "Stale file handle")
        return look(path, **options)

    monkeypatch.setattr(os, "stat", stale)
    monkeypatch.setattr(os, "access", lambda *_: False)

    assert closed_run(run) is None
