"""Run: what its attributes tell of a run being written, ended, crashed or gone."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import polars as pl
import pytest
from logged import program

import skald
from skald.errors import InvalidInputError, RunNotFoundError
from skald.layout import SEGMENTS
from skald.record.info import RunInfo, Session, write_info

START = dt.datetime(2026, 11, 23, 8, 0, tzinfo=dt.UTC)


def log_some(folder: Path, name: str = "a") -> skald.Run:
    """Make a run that has ended."""
    with skald.Logger(name, folder, tags=["demo"], notes="first try") as logger:
        logger.log_params({"lr": 0.1, "model": {"depth": 3}})
        for epoch in range(3):
            logger.log_metric("loss", 3.0 - epoch, epoch=epoch)
            logger.log_metric("accuracy", epoch / 10, epoch=epoch, split="val")
        logger.info("halfway through")
    return skald.Run(folder / name)


def crash(folder: Path, name: str = "a") -> skald.Run:
    """Make a run whose process left without a word."""
    script = f"""
        import os, skald
        logger = skald.Logger({name!r}, {str(folder)!r})
        for step in range(1000):
            logger.log_metric("loss", 1.0, step=step)
        os._exit(1)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)
    return skald.Run(folder / name)


def newest_row(run: skald.Run) -> dt.datetime:
    """Return the time of the row that was logged last."""
    found: dt.datetime = run.metrics.select(pl.col("time").max()).collect().item()
    return found


def write_sessions(folder: Path, *minutes: tuple[int, int]) -> skald.Run:
    """Make a run of which only run.json is there, with sessions from and to these minutes."""
    moments = [(START + dt.timedelta(minutes=since), START + dt.timedelta(minutes=until)) for since, until in minutes]
    sessions = [
        Session(writer=f"w{number}", host="h", pid=1, started=since, ended=until, status="finished")
        for number, (since, until) in enumerate(moments)
    ]
    folder.mkdir()
    write_info(folder, RunInfo(name=folder.name, status="finished", started=START, sessions=sessions))
    return skald.Run(folder)


@pytest.mark.parametrize("make", [lambda _: None, Path.mkdir, Path.touch])
def test_run_raises_at_once_where_there_is_none(make: object, tmp_path: Path) -> None:
    """No folder, a folder that is no run, a file: the error comes when the Run is made, not later."""
    assert callable(make)
    make(tmp_path / "a")

    with pytest.raises(RunNotFoundError, match="there is no run at"):
        skald.Run(tmp_path / "a")


def test_run_takes_a_str_or_a_path(tmp_path: Path) -> None:
    """Both name the run; its path is absolute."""
    log_some(tmp_path)

    found = [skald.Run(tmp_path / "a"), skald.Run(str(tmp_path / "a"))]

    assert [run.path for run in found] == [tmp_path / "a"] * 2


def test_run_keeps_its_path_when_the_working_directory_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the folder that it meant when the Run was made."""
    log_some(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = skald.Run("a")

    monkeypatch.chdir("/")

    assert run.path == tmp_path / "a"
    assert run.status == "finished"


def test_run_tells_its_identity(tmp_path: Path) -> None:
    """Name, tags, notes and the whole of run.json."""
    run = log_some(tmp_path)

    assert (run.name, run.tags, run.notes) == ("a", ["demo"], "first try")
    assert run.info["name"] == "a"
    assert run.info["started"] == run.started


def test_run_times_are_in_utc(tmp_path: Path) -> None:
    """Start and end carry their zone, and the end is not before the start."""
    before = dt.datetime.now(dt.UTC)
    run = log_some(tmp_path)

    assert run.ended is not None
    assert run.started.utcoffset() == run.ended.utcoffset() == dt.timedelta(0)
    assert before <= run.started <= run.ended <= dt.datetime.now(dt.UTC)
    assert dt.timedelta(0) < run.duration <= run.ended - run.started


def test_run_looks_at_the_disk_anew(tmp_path: Path) -> None:
    """One Run tells of the run as it is being written, and then as it ended."""
    logger = skald.Logger("a", tmp_path)
    run = skald.Run(tmp_path / "a")
    seen = [(run.status, run.ended, run.metric_names)]

    logger.log_metric("loss", 1.0)
    seen.append((run.status, run.ended, run.metric_names))
    logger.close()

    assert seen == [("running", None, []), ("running", None, ["loss"])]
    assert (run.status, run.metric_names) == ("finished", ["loss"])
    assert run.ended is not None


def test_run_duration_of_a_running_run_lasts_until_now(tmp_path: Path) -> None:
    """While a run is being written its duration grows."""
    with skald.Logger("a", tmp_path) as logger:
        first = logger.run.duration
        second = logger.run.duration

    assert dt.timedelta(0) <= first < second < dt.timedelta(minutes=1)


def test_run_duration_is_the_sum_of_its_sessions(tmp_path: Path) -> None:
    """The pause before a run was resumed does not count."""
    run = write_sessions(tmp_path / "a", (0, 10), (60, 65))

    assert run.duration == dt.timedelta(minutes=15)


def test_run_duration_counts_sessions_at_the_same_time_once(tmp_path: Path) -> None:
    """Four ranks that train for ten minutes have trained for ten minutes."""
    run = write_sessions(tmp_path / "a", (0, 10), (1, 9), (0, 10), (5, 12))

    assert run.duration == dt.timedelta(minutes=12)


def test_run_of_a_process_that_is_gone_has_crashed(tmp_path: Path) -> None:
    """Its status says so, it has no end, and it lasted until its last sign of life."""
    before = dt.datetime.now(dt.UTC)
    run = crash(tmp_path)
    alive = newest_row(run) - run.info["sessions"][0]["started"]

    duration = run.duration

    assert (run.status, run.ended) == ("crashed", None)
    assert alive <= duration <= dt.datetime.now(dt.UTC) - before


def test_run_duration_of_a_crash_stays_as_it_is(tmp_path: Path) -> None:
    """A crashed run does not go on, also once its segments are compacted."""
    run = crash(tmp_path)
    alive = newest_row(run) - run.info["sessions"][0]["started"]
    first = run.duration

    skald.compact(run.path)

    assert alive <= run.duration <= first


def test_run_duration_of_a_crash_lasts_until_its_newest_row(tmp_path: Path) -> None:
    """Rows tell it also where the system has not put down when their files were written."""
    run = crash(tmp_path)
    for path in (run.path / SEGMENTS).rglob("*"):
        os.utime(path, (0, 0))

    assert run.duration == newest_row(run) - run.info["sessions"][0]["started"]


def test_run_duration_of_a_crash_is_that_of_its_copy(tmp_path: Path) -> None:
    """A plain copy gives its files new times, which tell nothing of the run."""
    run = crash(tmp_path)

    copied = skald.Run(shutil.copytree(run.path, tmp_path / "copy", copy_function=shutil.copyfile))

    assert copied.duration == run.duration


def test_run_duration_of_a_crash_without_rows_lasts_until_its_newest_line(tmp_path: Path) -> None:
    """Also where a later compaction has put a line that had no end into the console file."""
    source = """
import os, time, skald
with skald.Logger("run", "."):
    print("first")
    time.sleep(0.5)
    print("half", end="", flush=True)
    os._exit(0)
"""
    assert program(source, folder=tmp_path).returncode == 0
    run = skald.Run(tmp_path / "run")
    time.sleep(0.5)
    skald.compact(run.path)

    assert run.console.splitlines()[-2:] == ["first", "half"]
    assert dt.timedelta(seconds=0.5) <= run.duration < dt.timedelta(seconds=0.9)


def test_run_that_was_deleted_is_told_by_every_attribute(tmp_path: Path) -> None:
    """None of them takes it for one with nothing in it."""
    run = log_some(tmp_path)
    shutil.rmtree(run.path)

    for name in ("status", "started", "params", "console", "metrics", "metric_names", "rewound", "artifacts"):
        with pytest.raises(skald.RunNotFoundError):
            getattr(run, name)


def test_run_takes_ids_of_every_name(tmp_path: Path) -> None:
    """Also that of Python's own first argument."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for value in (1, 2):
            logger.log_metric("loss", value, self=value)
    run = skald.Run(tmp_path / "run")

    assert run.summary(self=1)["last"].to_list() == [1]
    assert run.wide("loss", self=2).collect().rows() == [(2, 2.0)]


def test_run_metrics_are_the_table(tmp_path: Path) -> None:
    """A LazyFrame of metric, ids in order of first appearance, value and time."""
    run = log_some(tmp_path)

    frame = run.metrics

    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect_schema().names() == ["metric", "epoch", "split", "value", "time"]
    assert frame.collect().height == 6


def test_run_metrics_may_be_kept(tmp_path: Path) -> None:
    """A LazyFrame taken from a running run holds all rows when it is collected after the end."""
    with skald.Logger("a", tmp_path) as logger:
        logger.log_metric("loss", 1.0, step=0)
        kept = logger.run.metrics
        schema = kept.collect_schema()
        logger.log_metric("loss", 2.0, step=1)

    found = kept.collect()

    assert found["value"].to_list() == [1.0, 2.0]
    assert found.schema == schema


def test_run_metric_names_stand_in_order_of_first_appearance(tmp_path: Path) -> None:
    """While a run is written its metrics are named as they came."""
    with skald.Logger("a", tmp_path) as logger:
        logger.log_metrics({"z": 1, "a": 2})
        logger.log_metric("m", 3)
        logger.log_metric("a", 3)

        assert logger.run.metric_names == ["z", "a", "m"]


def test_run_params_are_nested_as_given(tmp_path: Path) -> None:
    """What was logged is read back."""
    run = log_some(tmp_path)

    assert run.params == {"lr": 0.1, "model": {"depth": 3}}


def test_run_without_params_has_none(tmp_path: Path) -> None:
    """A run that logged nothing else has empty params and an empty console."""
    run = write_sessions(tmp_path / "a", (0, 1))

    assert (run.params, run.console) == ({}, "")


def test_run_console_holds_the_messages(tmp_path: Path) -> None:
    """The text of console.log."""
    run = log_some(tmp_path)

    assert "halfway through" in run.console


def test_run_summary_takes_ids(tmp_path: Path) -> None:
    """Ids choose rows: `run.summary(split="val")`."""
    run = log_some(tmp_path)

    found = run.summary(split="val")

    assert found.select("metric", "split", "count", "max").rows() == [("accuracy", "val", 3, 0.2)]
    assert found["max_at"].to_list() == [{"epoch": 2, "split": "val"}]


def test_run_summary_takes_by(tmp_path: Path) -> None:
    """`by` says what tells rows apart."""
    run = log_some(tmp_path)

    found = run.summary(by="epoch", epoch=1)

    assert set(found.select("metric", "epoch", "last").rows()) == {("loss", 1, 2.0), ("accuracy", 1, 0.1)}


def test_run_wide_takes_metrics_and_ids(tmp_path: Path) -> None:
    """`run.wide("loss", "accuracy")`, with the options of `widen`."""
    run = log_some(tmp_path)

    both = run.wide("loss", "accuracy").collect()
    some = run.wide("accuracy", index="epoch", columns="split", epoch=2).collect()

    assert both.columns == ["epoch", "loss", "accuracy"]
    assert both.rows() == [(0, 3.0, 0.0), (1, 2.0, 0.1), (2, 1.0, 0.2)]
    assert some.to_dicts() == [{"epoch": 2, "val": 0.2}]


def test_run_names_close_matches_of_an_unknown_metric(tmp_path: Path) -> None:
    """A slip of the pen is told with what was meant."""
    run = log_some(tmp_path)

    with pytest.raises(InvalidInputError, match="did you mean 'accuracy'"):
        run.wide("acuracy")


def test_run_that_is_gone_raises_a_clear_error(tmp_path: Path) -> None:
    """A folder that was removed after the Run was made is told as what it is."""
    run = log_some(tmp_path)

    shutil.rmtree(run.path)

    with pytest.raises(RunNotFoundError, match="there is no run at"):
        _ = run.status


def test_compact_writes_the_format_that_the_run_asked_for(tmp_path: Path) -> None:
    """A csv run that was killed before its first compaction becomes a csv."""
    killed = "import os, skald; L = skald.Logger('r', metrics_format='csv'); L.log_metric('a', 1, i=1); os._exit(1)"
    subprocess.run([sys.executable, "-c", killed], cwd=tmp_path, check=False)

    done = skald.compact(tmp_path / "runs" / "r")

    assert done.file == tmp_path / "runs" / "r" / "metrics.csv"
    assert skald.Run(tmp_path / "runs" / "r").metrics.collect()["value"].to_list() == [1.0]


def test_run_of_a_name_says_where_the_run_of_that_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run takes a path, while Logger takes a name: who mixes them up is told."""
    monkeypatch.chdir(tmp_path)
    log_some(tmp_path / "runs", "a")

    with pytest.raises(RunNotFoundError) as told:
        skald.Run("a")
    with pytest.raises(RunNotFoundError) as nowhere:
        skald.Run("b")

    assert str(tmp_path / "runs" / "a") in "".join(told.value.__notes__)
    assert not hasattr(nowhere.value, "__notes__")


def test_metrics_are_filtered_by_a_function_of_python(tmp_path: Path) -> None:
    """Of the user's, which Polars hands on to the reader, as it does with a pickled table."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(4):
            logger.log_metric("loss", step, step=step)

    chosen = pl.col("step").map_elements(lambda step: int(step).bit_count() == 1, return_dtype=pl.Boolean)
    table = pickle.loads(pickle.dumps(skald.Run(tmp_path / "run").metrics)).filter(chosen)
    assert table.collect()["value"].to_list() == [1.0, 2.0]
