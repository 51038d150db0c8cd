"""What `import skald` gives: quickly, documented, and nothing heavy with it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
