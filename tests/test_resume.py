"""A run that is resumed: whose rows a rewind takes back, and the block in the README that jobs are made of."""

from __future__ import annotations

import errno
import itertools
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from logged import crash, program, rewound, start, steps, values

import skald
from skald.layout import PARQUET

ROOT = Path(__file__).resolve().parent.parent


# --- whose rows ---


WRITE = """
import os, sys, skald
logger = skald.Logger("run", ".", mode="join")
for step in range(10):
    logger.log_metric("loss", step, step=step, rank=sys.argv[1])
"""


def test_rows_of_writers_that_died_before_are_taken_back(tmp_path: Path) -> None:
    """A killed process left them, never compacted."""
    crash(WRITE, tmp_path, "a")
    crash(WRITE, tmp_path, "b")

    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.rewind(step=1)
        assert values(logger) == [0, 0, 1, 1] or values(logger) == [0, 1, 0, 1]
        logger.log_metric("loss", 2, step=2, rank="c")

    assert Counter(values(tmp_path / "run")) == {0: 2, 1: 2, 2: 1}


def test_rows_of_ranks_that_are_still_writing_stay(tmp_path: Path) -> None:
    """Another process that writes the run beside this one keeps its rows, and those that it logs later."""
    hold = WRITE + "print('logged', flush=True)\nsys.stdin.readline()\nlogger.log_metric('loss', 10, step=10)\n"
    with start(hold, "other", folder=tmp_path) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "logged\n"
        with skald.Logger("run", tmp_path, mode="join") as logger:
            logger.log_metric("loss", 99, step=99)
            logger.rewind()
            assert values(logger) == [*range(10)]
            other.stdin.write("\n")
            other.stdin.flush()
            other.stdin.close()
            assert other.wait() == 0

    assert values(tmp_path / "run") == [*range(11)]


def test_rows_of_a_rank_that_ended_after_this_logger_was_opened_stay(tmp_path: Path) -> None:
    """It was writing when this logger was opened."""
    with skald.Logger("run", tmp_path) as logger:
        assert program(WRITE, "other", folder=tmp_path).returncode == 0
        logger.rewind()

        assert values(logger) == [*range(10)]


def test_second_rank_takes_back_nothing_of_what_the_first_has_logged_since(tmp_path: Path) -> None:
    """Each rank rewinds the rows of the last session, and none of this one."""
    crash(WRITE, tmp_path, "a")
    with skald.Logger("run", tmp_path, mode="join", ids={"rank": "b"}) as first:
        first.rewind(step=4)
        for step in range(5, 8):
            first.log_metric("loss", 100 + step, step=step)
        with skald.Logger("run", tmp_path, mode="join", ids={"rank": "c"}) as second:
            second.rewind(step=4)

            assert values(second) == [0, 1, 2, 3, 4, 105, 106, 107]
    assert values(tmp_path / "run") == [0, 1, 2, 3, 4, 105, 106, 107]


REWIND = """
import sys, skald
logger = skald.Logger("run", ".", mode="join", ids={"rank": "mine"})
for step, ids in [(3, {}), (5, {}), (6, {"rank": "done"}), (7, {"rank": None})]:
    logger.log_metric("loss", step, step=step, **ids)
if sys.argv[1] == "True":
    skald.compact("run")
logger.rewind(step=3)
print(dict(sorted(logger.run.metrics.group_by("rank").len().collect().rows())))
"""


@pytest.mark.parametrize("is_compacted", [False, True])
def test_rows_of_another_rank_that_has_finished_stay(tmp_path: Path, *, is_compacted: bool) -> None:
    """A logger that has constant ids logs none of them again; what a rank leaves that was killed, it takes back."""
    assert program(WRITE, "done", folder=tmp_path).returncode == 0
    crash(WRITE, tmp_path, "killed")

    result = program(REWIND, is_compacted, folder=tmp_path)

    assert result.stdout == "{'done': 10, 'killed': 4, 'mine': 1}\n", result.stderr
    assert "rows no longer count" in result.stderr
    assert "; 6 of another rank stay, as their process has finished or began with this one" in result.stderr
    assert str(dict(sorted(_counts(tmp_path / "run").items()))) + "\n" == result.stdout
    assert sorted(rewound(tmp_path / "run")) == [4, 5, 5, 6, 6, 7, 7, 8, 9]


def test_rows_of_a_rank_that_died_just_before_are_taken_back_by_a_process_that_is_held_up(tmp_path: Path) -> None:
    """Between one look at the clock and the next, as where more processes than cores are running."""
    crash(WRITE, tmp_path, "killed")
    held_up = """
import time
def late(clock, now=time.clock_gettime):
    time.sleep(0.5)
    return now(clock)
time.clock_gettime = late
"""
    assert program(held_up + REWIND, "", folder=tmp_path).stdout == "{'killed': 4, 'mine': 1}\n"


def test_rows_of_another_rank_that_finished_in_this_process_are_taken_back(tmp_path: Path) -> None:
    """A process is one rank: what it logged with other ids before is its own."""
    with skald.Logger("run", tmp_path, ids={"rank": 0}) as logger:
        logger.log_metric("loss", 1, step=1)
    with skald.Logger("run", tmp_path, mode="join", ids={"rank": 1}) as logger:
        logger.rewind(step=0)

    assert values(tmp_path / "run") == []


def test_rows_of_a_forked_child_stay_while_it_writes(tmp_path: Path) -> None:
    """A child is a writer of its own."""
    source = """
import os, skald
logger = skald.Logger("run", ".")
logger.log_metric("loss", 1, step=1)
reader, writer = os.pipe()
back, done = os.pipe()
if os.fork() == 0:
    logger.log_metric("loss", 2, step=2)
    os.write(writer, b"x")
    os.read(back, 1)
    os._exit(0)
os.read(reader, 1)
logger.rewind(step=0)
os.write(done, b"x")
os.wait()
logger.close()
"""
    assert program(source, folder=tmp_path).returncode == 0

    assert values(tmp_path / "run") == [2]


# --- the block in the README ---


def readme_block() -> str:
    """Return the block of the README that resumes a job."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    [block] = [block for block in blocks if "logger.rewind(step=start - 1)" in block]
    return str(block)


# What the block needs: a job of 40 steps that saves every tenth, and dies where it is told.
JOB = """
import json, os, pathlib, signal, sys
import skald
from skald.layout import PARQUET
mine = pathlib.Path(f"checkpoint{sys.argv[1]}.json")
dies_at = int(sys.argv[2])
job = "job"
def load():
    return json.loads(mine.read_text()) if mine.exists() else None
def save(checkpoint):
    mine.write_text(json.dumps(checkpoint))
def train(step):
    if step == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return step + int(sys.argv[3]) / 10
"""


def train(folder: Path, *, dies_at: int, life: int, rank: str = "", storage: str = "mapped") -> None:
    """Run the block until it dies, or to its end."""
    source, variables = JOB + readme_block(), {"SKALD_DIR": ".", "SKALD_STORAGE": storage}
    result = program(source, rank, dies_at, life, folder=folder, **variables)
    assert result.returncode == (-signal.SIGKILL if dies_at >= 0 else 0), result.stderr


def test_readme_block_is_right_in_a_first_start(tmp_path: Path) -> None:
    """Nothing is there, and nothing is taken back."""
    train(tmp_path, dies_at=-1, life=0)

    assert steps(tmp_path / "job") == [*range(40)]
    assert rewound(tmp_path / "job") == []


@pytest.mark.parametrize("deaths", [[5], [0], [25], [5, 25], [25, 25], [25, 27, 33], [12, 3 + 10, 10]])
def test_readme_block_is_right_after_kills(tmp_path: Path, deaths: list[int]) -> None:
    """Killed before the first checkpoint, between two, twice in a row: each step counts once, from the last life."""
    expected: dict[int, float] = {}
    saved = -1
    for life, death in enumerate([*deaths, -1]):
        train(tmp_path, dies_at=death, life=life)
        expected = {step: value for step, value in expected.items() if step <= saved}
        last = death if death >= 0 else 40
        expected |= {step: step + life / 10 for step in range(saved + 1, last)}
        saved = max(saved, last // 10 * 10 - 1)
        assert dict(zip(steps(tmp_path / "job"), values(tmp_path / "job"), strict=True)) == expected

    assert steps(tmp_path / "job") == [*range(40)]
    assert not (tmp_path / "job" / "segments").exists()


def test_readme_block_is_right_where_rows_are_written_late(tmp_path: Path) -> None:
    """On a network file system a kill loses what was logged after the checkpoint, and nothing before it."""
    for life, death in enumerate([12, 25, 33, -1]):
        train(tmp_path, dies_at=death, life=life, storage="staged")

    lives = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 10
    assert steps(tmp_path / "job") == [*range(40)]
    assert values(tmp_path / "job") == [step + life / 10 for step, life in enumerate(lives)]


def test_readme_block_is_right_with_four_ranks(tmp_path: Path) -> None:
    """Each rank rewinds as it starts, while others write already: each step of each rank counts once."""
    block = readme_block().replace('mode="auto"', 'mode="join", ids={"rank": int(sys.argv[1])}')
    gate = "\nimport time\ndef wait(name, count):\n    pathlib.Path(f'{name}-{sys.argv[1]}').touch()\n"
    gate += "    while len(list(pathlib.Path().glob(f'{name}-*'))) < count:\n        time.sleep(0.005)\n"
    # NOTE: the ranks start one after the other, each when the one before it has logged; they end together
    gate += "inner = train\ndef train(step):\n    if step == int(sys.argv[5]):\n        wait(sys.argv[4], 4)\n"
    gate += "    return inner(step)\n"
    for life, (death, last) in enumerate([(15, 14), (27, 26), (-1, 39)]):
        processes = []
        for rank in range(4):
            process = start(JOB + gate + block, rank, death, life, f"life{life}", last, folder=tmp_path, SKALD_DIR=".")
            processes.append(process)
            _wait_for_rows(tmp_path / "job", rank=rank, life=life)
        for process in processes:
            _, error = process.communicate()
            assert process.returncode == (-signal.SIGKILL if death >= 0 else 0), error

    found = skald.Run(tmp_path / "job").metrics.filter(pl.col("metric") == "loss").collect()
    assert sorted(found.select("rank", "step").rows()) == [*itertools.product(range(4), range(40))]
    lives = [0] * 10 + [1] * 10 + [2] * 20
    expected = [step + lives[step] / 10 for step in range(40)]
    assert found.sort("rank", "step")["value"].to_list() == expected * 4


def test_readme_block_is_right_with_ranks_that_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Of those that begin together one ends, or is killed, before another opens the run: each step counts once."""
    block = readme_block().replace('mode="auto"', 'mode="join", ids={"rank": int(sys.argv[1])}')
    source = JOB + "sys.stdin.readline()\n" + block
    for life, deaths in enumerate([{0: -1, 1: 15, 2: -1, 3: 25}, {0: -1, 1: 27, 3: -1}, {1: -1}]):
        processes = {rank: start(source, rank, at, life, folder=tmp_path, SKALD_DIR=".") for rank, at in deaths.items()}
        time.sleep(0.05)  # NOTE: when a process began is known to 10 ms
        for rank, process in processes.items():
            _, error = process.communicate("go\n")
            assert process.returncode == (0 if deaths[rank] < 0 else -signal.SIGKILL), error

    found = skald.Run(tmp_path / "job").metrics.filter(pl.col("metric") == "loss").collect()
    assert sorted(found.select("rank", "step").rows()) == [*itertools.product(range(4), range(40))]


def _wait_for_rows(run: Path, *, rank: int, life: int) -> None:
    """Wait until a rank has logged in this life."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (run / "run.json").exists():
            frame = skald.Run(run).metrics.collect()
            if "rank" in frame.columns:
                mine = frame.filter(pl.col("rank") == rank)["value"]
                if any(round(value % 1 * 10) == life for value in mine):
                    return
        time.sleep(0.01)
    raise AssertionError(f"rank {rank} logs nothing")


# --- resume ---


def test_resumed_run_keeps_the_kinds_of_its_ids(tmp_path: Path) -> None:
    """An id is what it was, also where the first session was compacted."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1, step=1)
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        with pytest.raises(skald.IdTypeError):
            logger.log_metric("loss", 2, step="2")
        logger.log_metric("loss", 2, step=2)

    assert steps(tmp_path / "run") == [1, 2]


def test_resumed_run_keeps_the_kinds_of_ids_whose_rows_were_taken_back(tmp_path: Path) -> None:
    """A rewind takes rows back, and not what is known of ids."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1, step=1)
        logger.rewind()
    with skald.Logger("run", tmp_path, mode="resume") as logger, pytest.raises(skald.IdTypeError):
        logger.log_metric("loss", 2, step="2")


def test_resumed_run_merges_params_and_appends_to_the_console(tmp_path: Path) -> None:
    """What the second session says comes to what the first has said, and the run has a writer more."""
    for life in range(2):
        with skald.Logger("run", tmp_path, mode="auto") as logger:
            logger.log_params({"lr": life, f"only{life}": True})
            logger.info("life {}", life)

    run = skald.Run(tmp_path / "run")
    assert run.params == {"lr": 1, "only0": True, "only1": True}
    assert run.console.index("life 0") < run.console.index("life 1")
    assert len({session["writer"] for session in run.info["sessions"]}) == 2


# --- a run that is compacted while it is written ---


def log_column(logger: skald.Logger, metric: str, values: range, **given: Any) -> None:
    """Log so many rows at once that they are final, and compacted while the logger lives."""
    logger.log_batch({metric: np.array(values, float)}, step=np.array(values), **given)


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_rows_of_living_ranks_stay_when_they_were_compacted(tmp_path: Path, format_: Any) -> None:
    """`skald compact` of a running run puts the rows of all ranks into one file: a rewind still tells them apart."""
    program(WRITE, "old", folder=tmp_path)
    size = 20_000
    with skald.Logger("run", tmp_path, mode="join", metrics_format=format_) as first:
        with skald.Logger("run", tmp_path, mode="join") as second:
            for logger, rank in ((first, "first"), (second, "second")) * 2:
                log_column(logger, "loss", range(size), rank=rank)
            skald.compact(tmp_path / "run")
            first.log_metric("loss", 7, step=7, rank="first")

            first.rewind(step=4)

            counts = _counts(tmp_path / "run")
            assert counts == {"old": 5, "first": 10, "second": 2 * size}
            skald.compact(tmp_path / "run")
            assert _counts(tmp_path / "run") == counts
            second.rewind(step=1)
            counts |= {"old": 2, "second": 4}
            assert _counts(tmp_path / "run") == counts
        first.log_metric("loss", 5, step=5, rank="first")
    counts["first"] += 1
    assert _counts(tmp_path / "run") == counts
    table = skald.Run(tmp_path / "run").metrics.collect()
    assert table["time"].is_sorted()
    assert sum(counts.values()) + skald.Run(tmp_path / "run").rewound.collect().height == 10 + 4 * size + 2


def _counts(run: Path) -> dict[str, int]:
    """Return how many rows of each rank count."""
    found = skald.Run(run).metrics.group_by("rank").len().collect()
    return dict(found.rows())


def test_rows_stay_in_log_order_when_ranks_are_compacted_while_they_write(tmp_path: Path) -> None:
    """Of rows that two ranks logged in turns, wherever they stand now, the older comes first."""
    with skald.Logger("run", tmp_path, mode="join") as first, skald.Logger("run", tmp_path, mode="join") as second:
        for turn in range(4):
            log_column((first, second)[turn % 2], "loss", range(20_000 * turn, 20_000 * (turn + 1)))
        skald.compact(tmp_path / "run")
        for turn in range(4, 6):
            log_column((first, second)[turn % 2], "loss", range(20_000 * turn, 20_000 * (turn + 1)))

        assert values(first) == [*range(120_000)]
        found = first.run.summary().select("first", "last", "count").rows()
        assert found == [(0.0, 119_999.0, 120_000)]
        skald.compact(tmp_path / "run")
        assert values(first) == [*range(120_000)]
        some = first.run.metrics.filter(pl.col("step") > 119_990).select("value").collect()
        assert some["value"].to_list() == [*range(119_991, 120_000)]
    assert values(tmp_path / "run") == [*range(120_000)]
    assert pl.read_parquet(tmp_path / "run" / "metrics.parquet")["value"].to_list() == [*range(120_000)]


def test_rows_of_a_writer_that_ended_long_before_are_taken_back_from_a_shared_file(tmp_path: Path) -> None:
    """Its folder was compacted away while another process wrote, before this logger was opened."""
    with skald.Logger("run", tmp_path, mode="join") as living:
        log_column(living, "kept", range(20_000))
        program(WRITE, "gone", folder=tmp_path)
        skald.compact(tmp_path / "run")
        with skald.Logger("run", tmp_path, mode="join") as logger:
            logger.rewind()

            assert values(logger) == []
            assert values(logger, "kept") == [*range(20_000)]


@pytest.mark.parametrize("mode", ["resume", "auto", "join"])
def test_resume_tells_that_the_metrics_file_is_missing(tmp_path: Path, mode: Any) -> None:
    """Somebody deleted it: the rows are gone, which the console says from now on."""
    with skald.Logger("run", tmp_path) as logger:
        for step in range(3):
            logger.log_metric("loss", 0.5, step=step)
    (tmp_path / "run" / PARQUET).unlink()

    with skald.Logger("run", tmp_path, mode=mode) as logger:
        logger.log_metric("loss", 0.5, step=3)

    console = skald.Run(tmp_path / "run").console
    assert "WARNING" in console
    assert "is missing, and with it at least 3 rows that were logged" in console


def test_resume_on_a_full_disk_is_refused_and_leaves_the_run_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of the disk, and once there is room the run goes on."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    skald.Logger("run", tmp_path).close()
    with monkeypatch.context() as patch:
        for place in ("opening", "closing"):
            patch.setattr(f"skald.writing.{place}.write_info", full)
        with pytest.raises(skald.StorageError, match="No space left"):
            skald.Logger("run", tmp_path, mode="resume")

    assert skald.Run(tmp_path / "run").status == "finished"
    skald.Logger("run", tmp_path, mode="overwrite").close()
