"""Streams that a program changed before its run began: what the terminal shows stands once in console.log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from changed import WAYS

import skald

MODES = [
    ("True", "1"),
    ("True", ""),
    pytest.param(("fd", "1"), marks=pytest.mark.skipif(os.name != "posix", reason="descriptors are captured there")),
]


@pytest.fixture(scope="module", params=MODES, ids=["unbuffered", "buffered", "fd"])
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[list[str], list[str]]]:
    """Return what the terminal showed, and the lines of console.log, for each way to change the streams."""
    capture, unbuffered = request.param
    folder = tmp_path_factory.mktemp("runs")
    program = Path(__file__).with_name("changed.py")
    ended = subprocess.run(
        [sys.executable, program, capture, folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    assert ended.returncode == 0, ended.stdout
    found = {}
    for part in ended.stdout.split("--- ")[1:]:
        name, *lines = part.splitlines()
        log = skald.Run(folder / name.replace(" ", "-")).console.splitlines()
        found[name] = (lines, [line for line in log if "skald: run" not in line])
    return found


@pytest.mark.parametrize("name", [name for name in WAYS if name != "into descriptor"])
def test_stream_that_was_changed_before_is_in_the_log_as_shown(
    name: str, shown: dict[str, tuple[list[str], list[str]]]
) -> None:
    """Each line once, as what is in front of the stream below has left it; and Skald's message once."""
    terminal, log = shown[name]

    assert sorted(re.sub(r"^[\d-]+ [\d:.]+ \| ", "", line) for line in log) == sorted(
        ["INFO | message", *WAYS[name][1]]
    )
    handled = {"handler": ["shown message", "again shown message"], "queued handler": ["shown message"]}.get(name, [])
    assert sorted(terminal) == ([] if name == "in memory" else sorted([*WAYS[name][1], *handled]))


def test_stream_that_writes_to_a_descriptor_is_in_the_log(shown: dict[str, tuple[list[str], list[str]]]) -> None:
    """Nothing is lost; where descriptors are captured too it stands there twice, as nobody can know."""
    terminal, log = shown["into descriptor"]

    assert sorted(terminal) == sorted(WAYS["into descriptor"][1])
    assert len(log) > len(terminal)
    assert all(any(line in each for each in log) for line in terminal)
