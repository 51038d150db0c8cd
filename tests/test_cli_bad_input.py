"""Whatever a command is given, and whatever became of a run: a word on stderr, an exit code, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import pytest
from commands import Done, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skald
from skald.layout import ARTIFACT_LIST, CONSOLE, CSV, CSV_DESCRIPTION, PARAMS, PARQUET, RUN_JSON, SEGMENTS

LOOKS: Final = [
    ["show"],
    ["show", "--format", "json"],
    ["show", "--sort", "loss", "--where", "lr > 0"],
    ["compare", "whole"],
    ["query", "select * from metrics join runs using (run)"],
    ["tail"],
    ["tail", "--metrics"],
    ["plot", "-m", "*"],
    ["export", "-o", "out.csv"],
    ["export", "-o", "out.jsonl", "--wide"],
    ["compact"],
    ["check"],
]
"""The run comes behind the first word."""


def _newer(run: Path) -> None:
    info = json.loads((run / RUN_JSON).read_text(encoding="utf-8"))
    (run / RUN_JSON).write_text(json.dumps(info | {"format": 99}), encoding="utf-8")


def _junk_segment(run: Path) -> None:
    (run / SEGMENTS / "w").mkdir(parents=True)
    (run / SEGMENTS / "w" / "000001.arrow").write_bytes(b"junk")


def _cut(name: str, left: int) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:left])


def _flip(part: float) -> Callable[[Path], object]:
    """Return what changes a byte at a part of the metrics file."""

    def flip(run: Path) -> None:
        data = bytearray((run / PARQUET).read_bytes())
        data[int(part * len(data))] ^= 0xFF
        (run / PARQUET).write_bytes(data)

    return flip


def _put(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda run: (run / name).write_bytes(data)


DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "empty metrics": _cut(PARQUET, 0),
    "metrics cut short": _cut(PARQUET, 1000),
    **{f"metrics changed at {part:.0%}": _flip(part) for part in (0.1, 0.3, *(k / 40 for k in range(20, 40)))},
    "no metrics": lambda run: (run / PARQUET).unlink(),
    "run.json is a list": _put(RUN_JSON, b"[]"),
    "run.json is cut short": _cut(RUN_JSON, 20),
    "run.json is no text": _put(RUN_JSON, b"\xff\xfe\0"),
    "a newer format": _newer,
    "params are no YAML": _put(PARAMS, b"lr: ["),
    "params are a list": _put(PARAMS, b"- 1\n"),
    "a segment of junk": _junk_segment,
    "a list of artifacts of junk": _put(ARTIFACT_LIST, b"{nonsense\n"),
    "a console of junk": _put(CONSOLE, b"\xff\xfe\0\x1b[31m"),
}
CSV_DAMAGE: Final[dict[str, Callable[[Path], object]]] = {
    "csv of other columns": _put(CSV, b"a,b\n1,2\n"),
    "csv described by junk": _put(CSV_DESCRIPTION, b"{"),
}


def log_run(folder: Path, name: str, metrics_format: Literal["parquet", "csv"] = "parquet") -> Path:
    """Log a run with a bit of everything."""
    with skald.Logger(name, folder / "runs", capture=False, metrics_format=metrics_format) as logger:
        logger.log_params({"lr": 0.1, "model": {"depth": 1}})
        for epoch in range(3):
            logger.log_metrics({"loss": 1 / (epoch + 1), "broken": float("nan")}, epoch=epoch, split="val")
            logger.log_histogram("weights", [1.0, 2.0, 3.0], epoch=epoch)
        logger.log_text("notes.md", "words")
    return folder / "runs" / name


def check_said(done: Done, what: object) -> None:
    """Hold how a command ended against what every command promises."""
    assert done.code in {0, 1, 2}, what
    assert "Traceback" not in done.stderr, what
    assert done.code == 0 or done.stderr or done.stdout, what


@pytest.mark.parametrize("kind", [*DAMAGE, *CSV_DAMAGE])
def test_no_command_fails_with_a_traceback_on_a_damaged_run(kind: str, tmp_path: Path) -> None:
    """Nor on the folder that it lies in, where the other run is shown all the same."""
    log_run(tmp_path, "whole")
    run = log_run(tmp_path, "damaged", "csv" if kind in CSV_DAMAGE else "parquet")
    (DAMAGE | CSV_DAMAGE)[kind](run)

    for command, *options in LOOKS:
        check_said(start(command, "damaged", *options, folder=tmp_path), (kind, command, options))
        check_said(start(command, "runs", *options, folder=tmp_path), (kind, command, options))

    assert "whole" in start("show", "runs", folder=tmp_path).stdout


WORDS: Final = [
    "", "whole", "runs", "nowhere", "notes.txt", "--", "-x", "--metric", "*", "[", "loss", "--id", "split=val", "=",
    "a=", "epoch=x", "--where", "'", "lr", "lr <", "--sort", "loss.max_at", "--desc", "-1", "--last", "0", "2",
    "--format", "json", "csv", "xml", "-o", "/nowhere/x.csv", "x.parquet", "x.png", "\0", "a" * 300, "--smooth",
    "\N{SNOWMAN}",
    "-m", " ", "%s", "{}", "[bold]", "--band", "--color", "time", "--log", "--log-x", "--test", "--wide", "--metrics",
    "select 1", "select", "--repair", "-n", "--param", "--width", "--height",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run and a file that is none."""
    folder = tmp_path_factory.mktemp("words")
    log_run(folder, "whole")
    (folder / "notes.txt").write_text("words")
    return folder


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.sampled_from(["show", "compare", "plot", "query", "tail", "export", "check", "compact"]),
    words=st.lists(st.sampled_from(WORDS), max_size=6),
)
def test_no_words_make_a_command_fail_with_a_traceback(command: str, words: list[str], place: Path) -> None:
    """In whatever order they come."""
    check_said(start(command, *words, folder=place), (command, words))


@pytest.mark.parametrize(
    "args", [("query", "runs"), ("plot", "runs", "-m", "loss", "-o", "x.gif"), ("export", "runs", "-o", "x.xlsx")]
)
def test_command_line_that_is_wrong_whatever_is_on_the_disk_is_wrong_usage(
    args: tuple[str, ...], tmp_path: Path
) -> None:
    """Exit code 2, as for options that no command has; and nobody looks for runs first."""
    done = start(*args, folder=tmp_path)

    assert (done.code, done.stdout, done.stderr.startswith("skald: ")) == (2, "", True)


@pytest.mark.parametrize(
    "args",
    [
        ("show", "runs"),
        ("check", "runs"),
        ("compact", "runs"),
        ("plot", "runs", "-m", "loss"),
        ("query", "runs", "select * from metrics"),
        ("export", "runs", "-o", "x.csv"),
    ],
)
def test_folder_without_runs_is_an_error_of_every_command(args: tuple[str, ...], tmp_path: Path) -> None:
    """A path with a slip must not become an empty table."""
    (tmp_path / "runs").mkdir()

    done = start(*args, folder=tmp_path)

    assert (done.code, done.stderr) == (1, "skald: there are no runs in runs\n")
    assert not (tmp_path / "x.csv").exists()
