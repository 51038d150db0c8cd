"""The shape of the repository: what stands at its top, and what no file of it says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOP = {"pyproject.toml", "skald", "benchmarks", "tests", "scripts", "README.md", "LICENSE"}

_HOME = r"/(?:(?:home|Users)/[A-Za-z_]|root\b)|[A-Za-z]:\\{1,2}Users\\"


def committed() -> list[str]:
    """Return the path of every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split("\0")[:-1]


def test_project_has_nothing_else_at_its_top() -> None:
    """The top level holds the package and what belongs to it, besides dot-files."""
    top = {path.partition("/")[0] for path in committed()}

    assert {name for name in top if not name.startswith(".")} == TOP


def test_project_names_no_folder_of_this_machine() -> None:
    """No file holds somebody's home folder, or the place where the repository was written."""
    here = rf"|{re.escape(str(ROOT))}(?![\w-])" if len(ROOT.parts) > 2 else ""  # a short path says nothing
    place = re.compile(rf"(?<![\w.~-])(?:{_HOME}{here})")

    found = {path for path in committed() if place.search((ROOT / path).read_bytes().decode(errors="replace"))}

    assert not found


def test_project_is_tested_by_the_command_that_people_use() -> None:
    """CI calls the test command and nothing else."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    commands = [line for line in lines if line and not line.startswith(("#", "set ", "cd "))]

    assert commands == ["exec python3 scripts/test.py"]


@pytest.mark.parametrize("name", ["demo", "lint", "test", "pictures"])
def test_script_that_is_asked_for_help_does_nothing_else(name: str) -> None:
    """It says what it would do, in the words that stand at its head."""
    script = ROOT / "scripts" / f"{name}.py"

    told = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True)

    head = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")), clean=False)
    assert (told.stdout, told.stderr) == (f"{head}\n", "")
