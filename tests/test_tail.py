"""`skald tail`: the end of a run, and what comes after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import output, start
from logged import program
from logged import start as start_program

import skald
from skald.cli.tail import News
from skald.record.consolefiles import read_end


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with a run of ten lines and twenty rows."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        for step in range(10):
            logger.info("line {}", step)
            logger.log_metric("loss", 1 / (step + 1), step=step, split="train")
            logger.log_metric("loss", float("nan"), step=step, split="val")
    return tmp_path


def test_tail_shows_the_last_lines_of_the_console(runs: Path) -> None:
    """As many as are asked for, of the run that is named."""
    shown = output("tail", "a", "-n", "3", folder=runs).splitlines()

    assert len(shown) == 3
    assert "line 9" in shown[-2] or "line 9" in shown[-1]


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_tail_reads_no_more_of_a_long_console_than_its_end(tmp_path: Path, follow: list[str]) -> None:
    """Of a run that has ended, and of one that is followed; of many short lines and of few long ones."""
    with skald.Logger("run", tmp_path / "runs", capture=False) as logger:
        logger.info("first")
    console = tmp_path / "runs" / "run" / "console.log"
    lines = [f"{number} {'long ' * (50_000 if number % 1000 == 7 else 1)}\n" for number in range(20_000)]
    console.write_text("".join(lines))
    with console.open("r+b") as file:
        file.write(b"\xff" * 1000)  # what would be seen if it were read

    for count in (0, 1, 20, 5_000, 30_000):
        shown = output("tail", "run", "-n", str(count), *follow, folder=tmp_path).splitlines(keepends=True)

        assert shown[-5_000:] == lines[max(0, len(lines) - count) :][-5_000:]
    start, data = read_end(console, 20)
    assert (start > 0, len(data) < 200_000, data.endswith(lines[-1].encode())) == (True, True, True)


def test_tail_without_a_run_shows_the_newest(runs: Path) -> None:
    """Of the default folder."""
    with skald.Logger("b", runs / "runs", capture=False) as logger:
        logger.info("the newest")

    assert "the newest" in output("tail", folder=runs)


def test_tail_shows_the_newest_rows(runs: Path) -> None:
    """The newest last, those that have the ids, in log order."""
    shown = output("tail", "a", "--metrics", "-n", "2", "--id", "split=train", folder=runs).splitlines()

    rows = ["loss  0.11111  step=8 split=train", "loss  0.1  step=9 split=train"]
    assert [line.split("  ", 1)[1] for line in shown] == rows


def test_tail_prints_rows_as_json_lines(runs: Path) -> None:
    """An object a row; NaN is a string."""
    lines = output("tail", "a", "--metrics", "-n", "2", "--format", "json", folder=runs).splitlines()

    rows = [json.loads(line) for line in lines]
    assert [(row["metric"], row["ids"], row["value"]) for row in rows] == [
        ("loss", {"step": 9, "split": "train"}, 0.1),
        ("loss", {"step": 9, "split": "val"}, "NaN"),
    ]
    assert rows[0]["time"].endswith("Z")


@pytest.mark.parametrize(("encoding", "written"), [("utf-8", "\N{LATIN SMALL LETTER AE}"), ("ascii", "\\u00e6")])
def test_json_has_characters_as_they_are_unless_stdout_lacks_them(encoding: str, written: str, tmp_path: Path) -> None:
    """Of every command, as in the JSON lines of an export."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_metric("loss", 1.0, split="\N{LATIN SMALL LETTER AE}")

    for command in (["tail", "a", "--metrics"], ["show", "a"]):
        printed = output(*command, "--format", "json", folder=tmp_path, encoding=encoding)
        assert f'"split": "{written}"' in printed


def test_tail_keeps_the_order_of_rows_of_one_moment(tmp_path: Path) -> None:
    """The rows of one call have one time, and the newest of them are the last."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_batch({"loss": range(1000)}, time=1e9, step=range(1000))

    lines = output("tail", "a", "--metrics", "-n", "500", "--format", "json", folder=tmp_path).splitlines()

    assert [json.loads(line)["value"] for line in lines] == list(range(500, 1000))


def test_tail_prints_rows_as_csv(runs: Path) -> None:
    """With a header, and the columns of the run."""
    header, *rows = output("tail", "a", "-m", "loss", "-n", "2", "--format", "csv", folder=runs).splitlines()

    assert header == "metric,step,split,value,time"
    assert rows[0].startswith("loss,9,train,0.1,")


def test_tail_of_a_folder_is_an_error(runs: Path) -> None:
    """It shows one run."""
    done = start("tail", "runs", folder=runs)

    assert done.code == 1
    assert "tail shows one run" in done.stderr


@pytest.mark.parametrize("metrics", [False, True])
def test_tail_follows_a_run_until_it_ends(tmp_path: Path, metrics: bool) -> None:  # noqa: FBT001 pytest gives it
    """What was there, what comes, each once, and then it returns by itself."""
    source = """
import sys, skald
logger = skald.Logger("run", "runs", capture=False)
for step in range(6):
    logger.info("step {}", step)
    logger.log_metric("loss", step, step=step)
    print("logged", flush=True)
    sys.stdin.readline()
logger.close()
"""
    what = ["--metrics"] if metrics else []
    seen = []
    with start_program(source, folder=tmp_path) as writer:
        assert writer.stdin
        assert writer.stdout
        writer.stdout.readline()
        with start_program("from skald.cli import run; run()", "tail", "run", "-f", *what, folder=tmp_path) as tail:
            assert tail.stdout
            for step in range(6):
                seen.append(tail.stdout.readline())
                writer.stdin.write("\n")
                writer.stdin.flush()
                if step < 5:
                    writer.stdout.readline()
            seen += tail.stdout.readlines()

    steps = [line.partition("step")[2][1] for line in seen if "step" in line]
    assert (tail.returncode, steps) == (0, list("012345"))


def test_tail_tells_each_row_once_whatever_comes_after_it(tmp_path: Path) -> None:
    """NaN and infinities, rows that are the same, ids that are new, and one that widens: none is told twice."""
    source = """
import sys, skald
logger = skald.Logger("run", "runs", capture=False)
logger.log_batch({"loss": [float("nan"), 1.0, 1.0, float("inf")]}, time=1e9, step=1)
for ids in ({}, {"split": "val"}, {"split": "val", "is_last": True}, {"step": 2.5}):
    print("logged", flush=True)
    sys.stdin.readline()
    logger.log_metric("loss", float("nan"), **({"step": 2} | ids))
print("logged", flush=True)
sys.stdin.readline()
logger.close()
"""
    seen = []
    with start_program(source, folder=tmp_path) as writer:
        assert writer.stdin
        assert writer.stdout
        writer.stdout.readline()
        args = ("tail", "run", "-f", "--metrics", "--format", "json")
        with start_program("from skald.cli import run; run()", *args, folder=tmp_path) as tail:
            assert tail.stdout
            seen += [tail.stdout.readline() for _ in range(4)]
            for _ in range(4):
                writer.stdin.write("\n")
                writer.stdin.flush()
                writer.stdout.readline()
                seen.append(tail.stdout.readline())
            writer.stdin.write("\n")
            writer.stdin.flush()
            seen += tail.stdout.readlines()

    rows = [(row["ids"], row["value"]) for row in map(json.loads, seen)]
    assert rows[:4] == [({"step": 1}, value) for value in ("NaN", 1.0, 1.0, "Infinity")]
    assert [ids for ids, _ in rows[4:]] == [
        {"step": 2},
        {"step": 2, "split": "val"},
        {"step": 2, "split": "val", "is_last": True},
        {"step": 2.5},
    ]


def test_tail_follows_a_run_that_is_killed(tmp_path: Path) -> None:
    """A crash is an end."""
    program("import os, skald\nlog = skald.Logger('run', 'runs')\nlog.info('last')\nos._exit(1)\n", folder=tmp_path)

    assert "last" in output("tail", "run", "-f", folder=tmp_path)


def test_tail_reads_only_what_is_new(tmp_path: Path) -> None:
    """What stands in a segment that was read is not read again: damage there is not even seen."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(1500):  # the first segment is full by then
            logger.log_metric("loss", step, step=step)
        news = News(skald.Run(tmp_path / "run"), [], [])
        assert news.newest(2)["step"].to_list() == [1498, 1499]
        first = min((tmp_path / "run" / "segments").rglob("*.arrow"))
        content = first.read_bytes()
        first.write_bytes(bytes(len(content)))

        logger.log_metric("loss", 0.5, step=1500)

        assert news.come()["step"].to_list() == [1500]
        assert news.come().is_empty()
        first.write_bytes(content)
    assert news.come().is_empty()


def test_tail_does_not_tell_the_other_rows_of_a_moment_as_new(tmp_path: Path) -> None:
    """Of a call of more rows than are shown, the rest is not told after a compaction."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_batch({"loss": range(100)}, time=1e9, step=range(100))
        news = News(skald.Run(tmp_path / "run"), ["loss"], [])
        assert news.newest(20)["step"].to_list() == [*range(80, 100)]

        logger.log_metric("loss", 0.5, step=100)
        logger.log_metric("other", 0.5, step=100)

    assert news.come()["step"].to_list() == [100]
    assert news.come().is_empty()


def test_tail_waits_for_a_metric_that_is_not_there_yet(tmp_path: Path) -> None:
    """It says so once, and what does not follow fails; as an id is that no row has yet."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, step=1)
        news = News(skald.Run(tmp_path / "run"), ["val*"], ["split=val"])
        with pytest.warns(UserWarning, match=r"there is no id 'split': .*; it is waited for"):
            assert news.newest(20).is_empty()

        logger.log_metric("loss", 0.5, step=2, split="train")
        with pytest.warns(UserWarning, match="no row has split=val"):
            assert news.come().is_empty()
        logger.log_metric("val/loss", 0.5, step=2, split="val")

        assert news.come()["metric"].to_list() == ["val/loss"]
    for option in (["-m", "vall"], ["--id", "fold=1"]):
        done = start("tail", "run", *option, folder=tmp_path, SKALD_DIR=str(tmp_path))
        assert (done.code, done.stderr.startswith("skald: there is no ")) == (1, True)
