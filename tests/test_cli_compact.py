"""`skald compact`: a line a run, whatever happens to the others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from commands import output, start
from logged import program

import skald


def crash(folder: Path, name: str) -> None:
    """Make a run whose process left without a word."""
    script = f"""
        import os, skald
        logger = skald.Logger({name!r}, {str(folder / "runs")!r})
        for step in range(1000):
            logger.log_metric("loss", 1.0, step=step)
        os._exit(1)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60)


def test_compact_prints_a_line_a_run(tmp_path: Path) -> None:
    """What was done is told: rows, segments, seconds, bytes."""
    crash(tmp_path, "a")

    text = output("compact", "a", folder=tmp_path)

    assert text.startswith("runs/a: 1,000 rows from 1 segment in ")
    assert (tmp_path / "runs" / "a" / "metrics.parquet").is_file()
    assert not (tmp_path / "runs" / "a" / "segments").exists()


def test_compact_of_a_compacted_run_says_so(tmp_path: Path) -> None:
    """There is nothing to do for a run that was closed; of several it is said once."""
    with skald.Logger("a", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1.0)

    text = output("compact", "a", folder=tmp_path)

    assert text == "runs/a: nothing to compact\n"
    with skald.Logger("b", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1.0)
    assert output("compact", "runs", folder=tmp_path) == "2 runs: nothing to compact\n"


def test_compact_of_a_folder_leaves_running_runs_alone(tmp_path: Path) -> None:
    """All runs in it that ended are compacted, and one that is being written is named as left out."""
    crash(tmp_path, "a")
    crash(tmp_path, "b")
    with skald.Logger("c", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1.0)

        lines = output("compact", "runs", folder=tmp_path).splitlines()

    assert [line.partition(":")[0] for line in sorted(lines)] == ["runs/a", "runs/b", "runs/c"]
    assert "is being written" in next(line for line in lines if line.startswith("runs/c"))


def test_compact_goes_on_after_a_run_that_fails(tmp_path: Path) -> None:
    """One damaged run is told, with exit code 1, and the others are compacted."""
    crash(tmp_path, "a")
    crash(tmp_path, "b")
    (tmp_path / "runs" / "a" / "metrics.parquet").write_text("not a metrics file")

    done = start("compact", "runs", folder=tmp_path)

    assert done.code == 1
    assert done.stdout.startswith("runs/b: 1,000 rows")
    assert len(done.stderr.splitlines()) == 1


FORBIDDEN = """
import ctypes, os, subprocess, sys
def drop():
    for right in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP
commands = "import skald.cli; skald.cli.run()", "import skald; skald.compact(sys.argv[2])"
for command in commands:
    subprocess.run([sys.executable, "-c", f"import sys; {command}", "compact", *sys.argv[1:]], preexec_fn=drop)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="root loses its rights as only Linux knows it")
def test_compact_tells_which_runs_may_not_be_written(tmp_path: Path) -> None:
    """With the remedy, in Python too: runs of somebody else, with rows and without, or on a disk that is only read."""
    crash(tmp_path, "a")
    program("import os, skald; skald.Logger('b', 'runs'); os._exit(1)", folder=tmp_path)
    runs = [tmp_path / "runs" / name for name in "ab"]
    for path in (tmp_path / "runs").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)

    done = program(FORBIDDEN, *runs, folder=tmp_path)

    hint = "hint: make its folder one that you may write, or compact a copy of it"
    a, b = f"cannot write the run at {runs[0]}: Permission denied", f"cannot compact {runs[1]}: Permission denied"
    lines = done.stderr.splitlines()
    assert lines[:2] == [f"skald: [Errno 13] {text}; {hint}" for text in (a, b)]
    assert lines[-2:] == [f"skald.errors.StorageError: [Errno 13] {a}", hint]


def test_compact_goes_on_after_a_path_that_is_none(tmp_path: Path) -> None:
    """One bad path is told, with exit code 1, and the runs of the others are compacted."""
    crash(tmp_path, "a")
    crash(tmp_path, "b")

    done = start("compact", "a", "nowhere", "b", folder=tmp_path)

    assert done.code == 1
    assert [line.partition(":")[0] for line in done.stdout.splitlines()] == ["runs/a", "runs/b"]
    assert "'nowhere'" in done.stderr


def test_compact_removes_what_a_killed_overwrite_has_left(tmp_path: Path) -> None:
    """Beside the runs it names: not what is young, or written by a process that lives, or of another name."""
    runs = tmp_path / "runs"
    for name in ("a", "b"):
        skald.Logger(name, runs).close()
    left, young, other = (runs / name for name in (".tmp-0123abcd-a", ".tmp-0123abce-a", ".tmp-0123abcd-c"))
    for folder in (left, young, other):
        shutil.copytree(runs / "b", folder)
    logger = skald.Logger("live", runs)
    live = (runs / "live").rename(runs / ".tmp-0123abcf-a")
    for folder in (left, other, live):
        os.utime(folder, (0, 0))

    texts = [output("compact", name, folder=tmp_path) for name in ("b", "runs", "a")]

    live.rename(runs / "live")
    logger.close()
    assert [text.count("runs: removed 1 folder that a killed overwrite had left\n") for text in texts] == [0, 1, 0]
    assert {path.name for path in runs.iterdir()} == {"a", "b", "live", young.name, other.name}
