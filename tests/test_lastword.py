"""The last word: the one line that says, as a run is closed, what was kept and what was not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import crash, program, start
from loguru import logger as terminal

import skald


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """Return the records that loguru hands to a handler of the user from level SUCCESS on."""
    records: list[Any] = []
    handler = terminal.add(lambda message: records.append(message.record), level="SUCCESS")
    yield records
    terminal.remove(handler)


def lines(told: list[Any]) -> list[str]:
    """Return what was said of the run as it ended."""
    return [record["message"] for record in told if record["message"].startswith("skald: run ")]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_last_word_says_what_was_kept(tmp_path: Path, told: list[Any], format_: Any) -> None:
    """One line: how the run ended, seconds, rows, metrics, bytes, where; and it stands in console.log."""
    with skald.Logger("run", tmp_path, metrics_format=format_) as logger:
        logger.log_batch({"loss": np.arange(1500.0), "accuracy": np.arange(1500.0)})

    (line,) = lines(told)
    size = (tmp_path / "run" / f"metrics.{format_}").stat().st_size
    expected = r"skald: run 'run' finished in \d\.\d s: 3,000 rows of 2 metrics, (\d+\.\d) kB, in (.*)"
    found = re.fullmatch(expected, line)
    assert found, line
    assert (found[1], found[2]) == (f"{size / 1000:.1f}", str(tmp_path / "run"))
    assert skald.Run(tmp_path / "run").console.count(line) == 1
    assert told[-1]["name"] == __name__


@pytest.mark.parametrize("status", ["finished", "stopped", "failed"])
def test_last_word_says_how_the_run_ended(tmp_path: Path, told: list[Any], status: Any) -> None:
    """A run without rows says that it has none; one level silences the last words of a sweep, however its runs end."""
    skald.Logger("run", tmp_path).close(status)

    (line,) = lines(told)
    assert re.fullmatch(rf"skald: run 'run' {status} in \d\.\d s: no rows, in {tmp_path / 'run'}", line)
    assert told[-1]["level"].name == "SUCCESS"
    assert f" | SUCCESS | {line}" in skald.Run(tmp_path / "run").console


def test_last_word_says_what_was_not_kept(tmp_path: Path, told: list[Any]) -> None:
    """Refused calls by kind, ints that were rounded, in whichever call; run.json has the numbers too."""
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        for _ in range(1200):
            logger.log_metric("loss", "text")
        logger.log_metric("", 1.0)
        logger.log_metric("loss", 2**53 + 1)
        logger.log_batch({"loss": [10**400, 2**53 + 1, 2**53 + 2, 0.5], "b": np.array([2**63 - 1, 2**54, 7, 8])})

    (line,) = lines(told)
    refused = "1,201 calls refused (1,200 x ValueTypeError, 1 x InvalidInputError)"
    assert line.endswith(f"; {refused}, 4 ints rounded, as too large for a float64")
    (session,) = logger.run.info["sessions"]
    assert session["refused"] == {"ValueTypeError": 1200, "InvalidInputError": 1}
    assert session["rounded"] == 4


class Broken:
    """A 0-d value of a device that fails before it has produced it."""

    shape = ()

    def is_ready(self) -> bool:
        """Tell whether the device is done."""
        return False

    def __float__(self) -> float:
        raise RuntimeError("device lost")


def test_last_word_counts_values_whose_device_failed(tmp_path: Path, told: list[Any]) -> None:
    """The rows are missing, and that is said."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        for _ in range(3):
            logger.log_metric("loss", Broken())

    (line,) = lines(told)
    assert "1 row of 1 metric" in line
    assert line.endswith("; 3 values lost, as their device failed")


def test_last_word_is_said_by_the_last_process_alone(tmp_path: Path) -> None:
    """It counts what all of them wrote, and what was refused in any of them."""
    source = """
import sys, skald
logger = skald.Logger("run", ".", mode="join", errors="warn")
print("open", flush=True)
sys.stdin.readline()
logger.log_metric("loss", 0.5)
logger.log_metric("loss", "text")
logger.close()
"""
    processes = [start(source, folder=tmp_path) for _ in range(3)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "open\n"

    said = [process.communicate("go\n", timeout=60)[1].count("SUCCESS") for process in processes]

    assert said == [0, 0, 1]
    assert "3 rows of 1 metric" in skald.Run(tmp_path / "run").console
    assert "; 3 calls refused (3 x ValueTypeError)" in skald.Run(tmp_path / "run").console


LOSE = """
import os, sys, skald
def lose(logger, count):
    for _ in range(count):
        logger.log_metric("loss", "text")
    logger.log_metric("big", 2**63 + 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize("is_compacted", [False, True])
def test_last_word_has_what_forked_children_lost_however_they_end(tmp_path: Path, *, is_compacted: bool) -> None:
    """Each counts its own, and says again nothing that its parent has said; a compaction meanwhile keeps that."""
    source = """
logger = skald.Logger("run", ".", errors="warn")
lose(logger, 1)
for count, end in [(10, lambda: os._exit(0)), (20, lambda: os.kill(os.getpid(), 9)), (1000, sys.exit)]:
    if os.fork() == 0:
        lose(logger, count)
        end()
    os.wait()
if sys.argv[1] == "True":
    skald.compact("run")
logger.close()
"""
    told = program(LOSE + source, is_compacted, folder=tmp_path).stderr

    assert told.count("WARNING") == 2
    assert "; 1,031 calls refused (1,031 x ValueTypeError), 4 ints rounded, as too" in told
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name == "segments"] == []
    with skald.Logger("run", tmp_path, mode="resume"):
        pass
    assert "refused" not in skald.Run(tmp_path / "run").console.splitlines()[-1]


def test_last_word_has_what_a_killed_process_lost(tmp_path: Path, told: list[Any]) -> None:
    """Of so many as here all."""
    killed = LOSE + "lose(skald.Logger('run', '.', mode='join', errors='warn'), 30)\nos.kill(os.getpid(), 9)\n"
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        logger.log_metric("loss", "text")
        assert program(killed, folder=tmp_path).returncode == -9

    (line,) = lines(told)
    assert "; 31 calls refused (31 x ValueTypeError), 1 int rounded, as too" in line


def test_what_a_killed_process_lost_is_noted_by_who_compacts_or_resumes_the_run(tmp_path: Path) -> None:
    """It stands with its session, and the last word of the next one does not tell it again."""
    killed = LOSE + "lose(skald.Logger('run', '.', errors='warn'), 30)\nos.kill(os.getpid(), 9)\n"
    for name in ("a", "b"):
        assert program(killed.replace("'run'", repr(name)), folder=tmp_path).returncode == -9
    skald.compact(tmp_path / "a")
    with skald.Logger("b", tmp_path, mode="resume"):
        pass

    for name in ("a", "b"):
        session = json.loads((tmp_path / name / "run.json").read_text())["sessions"][0]
        assert (session["refused"], session["rounded"]) == ({"ValueTypeError": 30}, 1)
    assert "refused" not in skald.Run(tmp_path / "b").console.splitlines()[-1]


def test_last_word_is_said_once_of_processes_that_close_at_once(tmp_path: Path) -> None:
    """Whichever is the last, it speaks when the run is compacted."""
    source = """
import os, sys, skald
logger = skald.Logger("run", ".", mode="join")
logger.log_metric("loss", 0.5)
print("open", flush=True)
sys.stdin.readline()
logger.close()
"""
    processes = [start(source, folder=tmp_path) for _ in range(4)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()

    said = [
        line for process in processes for line in process.communicate(timeout=60)[1].splitlines() if "SUCCESS" in line
    ]

    assert len(said) == 1
    assert "4 rows of 1 metric" in said[0]


def test_last_word_of_a_process_that_another_has_joined_meanwhile(
    tmp_path: Path, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left to the other; and a run without rows has none in segments, though the folder is there."""
    second: list[skald.Logger] = []

    def join(*_: object, **__: object) -> None:
        second.append(skald.Logger("run", tmp_path, mode="join"))

    with monkeypatch.context() as patch:
        patch.setattr("skald.upkeep.compacting.compact", join)
        skald.Logger("run", tmp_path).close()
        said = len(lines(told))
        patch.setattr("skald.upkeep.compacting.compact", lambda *_, **__: None)
        second[0].close()

    assert "had finished before it was joined" in lines(told)[0]
    assert said == 1
    assert [": no rows, in " in line for line in lines(told)[said:]] == [True]


def test_last_word_has_the_name_of_the_folder(tmp_path: Path, told: list[Any]) -> None:
    """As `Run.name` does: a run that was copied, and goes on, is not the one that it was."""
    skald.Logger("a", tmp_path).close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    skald.Logger("b", tmp_path, mode="resume").close()

    assert [line.split()[2] for line in lines(told)] == ["'a'", "'b'"]


def test_last_word_counts_lines_of_the_console_that_were_lost(tmp_path: Path) -> None:
    """As on a full disk, also those that were printed in a burst until the end."""
    source = """
import resource, skald
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
with skald.Logger("run", ".") as logger:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    for number in range(5000):
        print("line", number)
    logger.run.console
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
"""
    ended = program(source, folder=tmp_path)

    kept = len(re.findall(r"(?m)^line \d+$", skald.Run(tmp_path / "run").console))
    assert 0 < kept < 5000
    lost = re.search(r"; ([\d,]+) lines of the console lost", ended.stderr)
    assert lost, ended.stderr
    assert int(lost[1].replace(",", "")) - (5000 - kept) in (0, 1)  # one may be there but for its end


def test_last_word_is_not_said_by_forked_children(tmp_path: Path) -> None:
    """They write rows and nothing else."""
    source = """
import os, sys, skald
with skald.Logger("run", ".") as logger:
    if os.fork() == 0:
        logger.log_metric("loss", 0.5)
        sys.exit()
    os.wait()
    logger.log_metric("loss", 0.5)
"""
    ended = program(source, folder=tmp_path)

    assert ended.stderr.count("SUCCESS") == 1
    assert "2 rows of 1 metric" in ended.stderr


def test_last_word_says_so_where_the_rows_are_not_compacted(tmp_path: Path, told: list[Any]) -> None:
    """A metrics file that cannot be written over leaves the rows in their segments."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        (tmp_path / "run" / "metrics.parquet").write_text("something else")

    assert "its rows are in segments/, not compacted, in " in lines(told)[0]


def test_last_word_of_a_resumed_run_counts_all_sessions(tmp_path: Path, told: list[Any]) -> None:
    """Rows and seconds are the run's, what was not kept the last session's."""
    for mode, bad in (("new", True), ("resume", False)):
        with skald.Logger("run", tmp_path, mode=mode, errors="warn") as logger:  # type: ignore[arg-type]
            logger.log_metric("loss", 0.5)
            if bad:
                logger.log_metric("loss", "text")

    first, second = lines(told)
    assert "1 row of 1 metric" in first
    assert "1 call refused" in first
    assert "2 rows of 1 metric" in second
    assert "refused" not in second


def test_last_word_is_not_said_of_a_disabled_run(tmp_path: Path, told: list[Any]) -> None:
    """Nothing was kept, as was asked."""
    with skald.Logger("run", tmp_path, mode="disabled", errors="warn") as logger:
        logger.log_metric("loss", 0.5)

    assert not lines(told)


def test_last_word_is_silenced_by_the_level_of_the_handler(tmp_path: Path) -> None:
    """A sweep that shows warnings and worse does not show it; console.log has it all the same."""
    source = """
import sys, loguru, skald
loguru.logger.remove()
loguru.logger.add(sys.stderr, level="WARNING")
skald.Logger("run", ".").close()
"""
    ended = program(source, folder=tmp_path)

    assert ended.stderr == ""
    assert "finished" in skald.Run(tmp_path / "run").console


def test_last_word_does_not_end_the_program_where_a_handler_fails(tmp_path: Path) -> None:
    """One of the user's that raises, as it is to: its fault is told, and the word is in console.log."""
    source = """
import loguru, skald
def fail(message):
    raise OSError("sink is full")
loguru.logger.remove()
loguru.logger.add(fail, catch=False)
with skald.Logger("run", ".", errors="warn") as logger:
    logger.log_metric("", 1.0)
print("went on")
"""
    ended = program(source, folder=tmp_path)

    console = skald.Run(tmp_path / "run").console
    assert ended.stdout == "went on\n"
    assert ended.stderr.count("a handler of loguru failed, OSError('sink is full')") == 2
    assert console.count(" | WARNING | skald: ") == 1
    assert console.count(" | SUCCESS | skald: run 'run' finished in ") == 1


def test_last_word_has_the_ids_of_the_logger_for_the_formats_of_the_user(tmp_path: Path) -> None:
    """A format that names one shows it, as in the run's messages; the line in console.log is without."""
    source = """
import sys, loguru, skald
loguru.logger.remove()
loguru.logger.add(sys.stderr, format="{extra[rank]} {level}")
with skald.Logger("run", ".", ids={"rank": 3}) as logger:
    logger.info("message")
    1 / 0
"""
    ended = program(source, folder=tmp_path)

    assert ended.stderr.startswith("3 INFO\n3 SUCCESS\n"), ended.stderr
    assert " | SUCCESS | skald: run 'run' failed" in skald.Run(tmp_path / "run").console


def test_last_word_that_cannot_be_said_leaves_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Any]
) -> None:
    """A fault in it is told: the rows are there, and how the run ended stands."""

    def fail(_run: Path, _info: object) -> str:
        raise AttributeError("no such thing")

    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        monkeypatch.setattr("skald.writing.lastword.last_word", fail)

    assert logger.run.status == "finished"
    assert not (logger.run.path / "segments").exists()
    assert lines(told) == ["skald: run 'run' finished, more cannot be said of it: AttributeError('no such thing')"]
    assert lines(told)[0] in logger.run.console


def test_close_of_a_run_that_had_crashed_loads_no_library_for_its_last_word(tmp_path: Path) -> None:
    """A Ctrl-C while it is loaded would leave it half done; and a job that is preempted often need not wait for it."""
    crash("import os, skald\nskald.Logger('run', '.').log_metric('loss', 0.5)", tmp_path)
    source = """
import sys, skald
with skald.Logger("run", ".", mode="resume") as logger:
    logger.log_metric("loss", 1.5)
print({"polars", "pandas"} & {*sys.modules}, file=sys.stdout)
"""
    ended = program(source, folder=tmp_path)

    assert "2 rows of 1 metric" in ended.stderr
    assert ended.stdout == "set()\n"
