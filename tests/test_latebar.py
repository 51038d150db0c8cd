"""The bar of a compaction that takes a while, in a real terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skald

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on POSIX only")

PROGRAM = """
import sys
import skald, skald.upkeep.latebar

skald.upkeep.latebar.AFTER_SECS = skald.upkeep.latebar.DRAW_SECS = {secs}
logger = skald.Logger("long", dir=sys.argv[1])
for step in range(5000):
    logger.log_metric("loss", 0.5, step=step)
logger.close()
"""
CHECK = """
import sys
import skald.upkeep.latebar
from skald.cli import main

skald.upkeep.latebar.AFTER_SECS = skald.upkeep.latebar.DRAW_SECS = 0
sys.argv[1:] = ["check", f"{sys.argv[1]}/runs"]
main()
"""


def on_a_terminal(program: str, folder: Path) -> str:
    """Run a program whose stderr is a terminal, and return what it showed there."""
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", program, str(folder)], stderr=theirs, check=True, timeout=60)
        os.close(theirs)
        theirs = -1
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:  # Linux says the end so
                break
            if not piece:
                break
            shown += piece
        return shown.decode()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def test_close_shows_a_bar_when_compaction_takes_a_while(tmp_path: Path) -> None:
    """Who closes a large run sees how far it is."""
    shown = on_a_terminal(PROGRAM.format(secs=0), tmp_path)

    assert "compacting long" in shown
    assert "5000/5000" in shown


def test_close_shows_no_bar_when_compaction_is_quick(tmp_path: Path) -> None:
    """A small run closes without a word."""
    shown = on_a_terminal(PROGRAM.format(secs=1), tmp_path)

    assert [line for line in shown.splitlines() if "SUCCESS" not in line] == []


def test_close_shows_no_bar_without_a_terminal(tmp_path: Path) -> None:
    """A log file gets no bars."""
    command = [sys.executable, "-c", PROGRAM.format(secs=0), str(tmp_path)]

    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert [line for line in done.stderr.splitlines() if "SUCCESS" not in line] == []


def test_check_shows_how_far_it_is_when_it_takes_a_while(tmp_path: Path) -> None:
    """Of folders that are searched it is not known how many there are, of runs it is."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 1.0)

    shown = on_a_terminal(CHECK, tmp_path)

    assert "searching for runs" in shown
    assert "3/?" in shown
    assert "checking runs" in shown
    assert "1/2" in shown


def test_compaction_needs_no_stream_that_knows_whether_it_is_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of a program's own, that can be written to and no more, does not keep a run from being closed."""

    class Bare:
        def write(self, text: str) -> int:
            return len(text)

    monkeypatch.setattr(sys, "stderr", Bare())
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 0.5)
        assert list(logger.track([1], "step")) == [1]

    assert skald.Run(tmp_path / "run").status == "finished"
