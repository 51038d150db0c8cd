"""What `import skald` gives: quickly, documented, and nothing heavy with it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from logged import program

import skald

HEAVY = {"polars", "rich", "typer", "textual", "pandas"}

IMPORT = "import skald"
LOG = """
import pathlib

import skald

with skald.Logger("run", dir="runs") as logger:
    logger.log_params({"lr": 0.1})
    for step in range(3):
        logger.log_metric("loss", 1 / (step + 1), step=step)
        logger.log_metrics({"accuracy": 0.5, "f1": 0.25}, split="val")
    logger.info("done")
assert any(pathlib.Path("runs/run").glob("metrics.*"))
"""
CSV = LOG.replace('dir="runs"', 'dir="runs", metrics_format="csv"')
REPORT = "\nimport sys\nprint(*sorted({name.partition('.')[0] for name in sys.modules}))"


@pytest.mark.parametrize("program", [IMPORT, LOG, CSV], ids=["import", "log", "log to csv"])
def test_skald_loads_nothing_heavy(program: str, tmp_path: Path) -> None:
    """A training process pays for neither tables nor faces: not at import, not while logging, not at close."""
    result = subprocess.run(
        [sys.executable, "-c", program + REPORT], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    loaded = set(result.stdout.split())

    assert result.returncode == 0, result.stderr
    assert "skald" in loaded
    assert not loaded & HEAVY


def test_arrow_is_loaded_with_skald_and_not_by_the_command_line() -> None:
    """A first Logger waits for no more than a tenth of a second, and `skald --help` for no Arrow."""
    command = Path(sys.executable).with_name("skald")

    library = subprocess.run([sys.executable, "-c", IMPORT + REPORT], capture_output=True, text=True, check=True)
    program = [sys.executable, "-X", "importtime", str(command), "--help"]
    help_ = subprocess.run(program, capture_output=True, text=True, check=True)

    assert "pyarrow" in library.stdout.split()
    assert "typer" in help_.stderr
    assert "pyarrow" not in help_.stderr


REDIRECTED = """
import contextlib, io, sys, threading, skald
stderr, buffer = sys.stderr, io.StringIO()
with contextlib.redirect_stderr(buffer):
    with skald.Logger("a", ".") as logger:
        logger.info("one")
    assert sys.stderr is buffer
buffer.close()
with skald.Logger("b", ".") as logger:
    logger.info("two")
assert sys.stderr is stderr
"""
LOST = """
import io, sys
sys.stderr = first = io.StringIO()
import skald
first.close()
sys.stderr = sys.__stderr__
skald.Logger("a", ".").info("one")
"""


@pytest.mark.parametrize(("source", "shown"), [(REDIRECTED, ["one", "two"]), (LOST, ["one"])])
def test_messages_are_shown_on_what_stderr_was_at_the_import(tmp_path: Path, source: str, shown: list[str]) -> None:
    """And not in a buffer in whose place it was for one block; unless it is closed when the first logger is made."""
    ended = program(source, folder=tmp_path)

    messages = [line.rpartition(" - ")[2] for line in ended.stderr.splitlines() if " | INFO " in line]
    assert ended.returncode == 0, ended.stderr
    assert messages == shown
    assert "Logging error" not in ended.stderr


def test_messages_are_shown_in_a_test_after_one_that_captures(tmp_path: Path) -> None:
    """The first logger of a pytest run may be made under `capsys`."""
    (tmp_path / "test_own.py").write_text("""
import skald

def test_first(capsys, tmp_path):
    skald.Logger("run", tmp_path).close()

def test_second(tmp_path):
    with skald.Logger("run", tmp_path) as logger:
        logger.info("second")
""")
    command = [sys.executable, "-m", "pytest", "-rP", "-p", "no:cacheprovider", "test_own.py"]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count(" - second\n") == 1
    assert "Logging error" not in ended.stdout + ended.stderr


def test_public_names_are_offered_before_they_are_loaded() -> None:
    """To who presses Tab after `skald.`."""
    assert set(skald.__all__) <= set(dir(skald))


@pytest.mark.parametrize("name", skald.__all__)
def test_public_name_is_documented(name: str) -> None:
    """What `skald` exports has a docstring of its own, and so has each public part of its classes."""
    thing = getattr(skald, name)

    silent = [part for part, doc in _docs(name, thing) if not doc]

    assert not silent


def _docs(name: str, thing: Any) -> Iterator[tuple[str, str | None]]:
    if not callable(thing):  # a constant has no docstring: the package's tells what it is
        yield name, skald.__doc__ if name in (skald.__doc__ or "") else None
        return
    yield name, thing.__doc__
    if inspect.isclass(thing) and not issubclass(thing, BaseException):
        for part, value in inspect.getmembers_static(thing):
            if not part.startswith("_") and (callable(value) or isinstance(value, property | classmethod)):
                yield f"{name}.{part}", value.__doc__
