"""A signal handler that closes the run, as that of a job which is preempted, wherever in a call of ours it comes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

if not hasattr(os, "fork"):
    pytest.skip("signals are POSIX's", allow_module_level=True)

START = """
import os, signal, sys
import loguru, skald
loguru.logger.remove()
said = []
loguru.logger.add(said.append)

def interrupted(place, action):
    # Do something with a signal at the n-th call of a function of ours; tell whether there was one.
    left = place
    def interrupt(frame, event, _):
        nonlocal left
        if event == "call" and "/skald/" in frame.f_code.co_filename:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGTERM)
    sys.setprofile(interrupt)
    try:
        action()
    finally:
        sys.setprofile(None)
    return left < 0
"""


def run_program(folder: Path, program: str, **variables: str) -> None:
    """Run a program that checks what it has found."""
    result = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_close_in_the_midst_of_a_close_leaves_that_to_it(tmp_path: Path, first: int) -> None:
    """Also amid the imports of a first close: one last word, and all is as without the second."""
    run_program(
        tmp_path,
        f"""
        signal.signal(signal.SIGTERM, lambda *_: logger.close())
        place, was_interrupted = {first}, True
        while was_interrupted and place < {first + 700}:
            said.clear()
            logger = skald.Logger(f"run{{place}}")
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
            was_interrupted = interrupted(place, logger.close)
            run = logger.run
            assert run.status == "finished", (place, run.status)
            assert len(said) == 1, (place, said)
            assert len(run.metrics.collect()) == 10, place
            assert not (run.path / "segments").exists(), place
            place += 37
        """,
    )


def test_handler_that_closes_amid_a_sync_and_exits_loses_no_row(tmp_path: Path) -> None:
    """Where rows wait in memory for the disk: what was being written is written."""
    run_program(
        tmp_path,
        """
        def handle(*_):
            logger.close("stopped")
            sys.exit(143)
        signal.signal(signal.SIGTERM, handle)
        place, was_interrupted = 0, True
        while was_interrupted:
            was_interrupted = False
            logger = skald.Logger(f"run{place}")
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
            try:
                interrupted(place, logger.sync)
                logger.close("stopped")
            except SystemExit:
                was_interrupted = True
            assert logger.run.status == "stopped", place
            assert len(logger.run.metrics.collect()) == 10, place
            place += 1
        assert place > 10
        """,
        SKALD_STORAGE="staged",
    )
