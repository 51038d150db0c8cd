"""The README, run as it stands: what it shows works.

For those who write it:

- All ```python blocks run in order in one namespace, in an empty folder, in one process.
- In ```bash, ```sh, ```shell and ```console blocks every `skald ...` command runs, in its place between the
  python blocks and in the same folder. In a console block a command begins with `$ `, the rest is output.
- `python3 scripts/NAME.py` is not run: the script must exist. Any other command needs a mark.
- `<!-- not run: REASON -->` right above a block keeps it from being run.
- `<!-- run unseen: CODE -->` anywhere runs Python that a block needs and a reader does not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
SHELLS = {"bash", "sh", "shell", "console"}

_BLOCK = re.compile(
    r"^<!-- run unseen:(?P<unseen>.*?)-->"
    r"|(?:^ *<!-- not run: (?P<reason>\S[^\n]*?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^ *```$",
    re.DOTALL | re.MULTILINE,
)

# Runs the steps that it is given: Python in one namespace, commands through the system's shell.
DRIVER = """
import json, pathlib, subprocess, sys
namespace = {"__name__": "__main__"}
for kind, line, text in json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")):
    print(f"README.md:{line}: {kind}", flush=True)
    if kind == "python":
        exec(compile("\\n" * (line - 1) + text, "README.md", "exec", dont_inherit=True), namespace)
    else:
        print("$", text, flush=True)
        code = subprocess.run(text, shell=True, stdin=subprocess.DEVNULL, timeout=60).returncode
        if code:
            sys.exit(f"README.md:{line}: exit code {code}")
"""


class Step(NamedTuple):
    """One block of Python, or one command, and the line on which it begins."""

    kind: str
    line: int
    text: str


def steps_of(text: str) -> Iterator[Step]:
    """Yield what a Markdown text asks to be run, in order."""
    for match in _BLOCK.finditer(text):
        group = "code" if match["unseen"] is None else "unseen"
        line = text.count("\n", 0, match.start(group)) + 1
        if match["unseen"] is not None:
            yield Step("python", line, match["unseen"].strip(" "))
        elif match["reason"] is None and match["language"] == "python":
            yield Step("python", line, _dedented(match["code"], match["indent"]))
        elif match["reason"] is None and match["language"] in SHELLS:
            code = _dedented(match["code"], match["indent"])
            yield from _commands(code, line, is_session=match["language"] == "console")


def _dedented(code: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))


def _commands(code: str, line: int, *, is_session: bool) -> Iterator[Step]:
    joined = ""
    for number, written in enumerate(code.splitlines()):
        text = written
        if is_session and not joined:
            if not written.startswith("$ "):
                continue
            text = written.removeprefix("$ ")
        joined += text.removesuffix("\\")
        if text.endswith("\\"):
            continue
        if joined.strip() and not joined.startswith("#"):
            yield Step("command", line + number, joined)
        joined = ""


def is_setup(command: str) -> bool:
    """Tell whether a command is one of the repository's own scripts."""
    return re.match(r"python3? scripts/\w+\.py\b", command) is not None


def readme_steps() -> list[Step]:
    """Return the steps of the README."""
    return list(steps_of(README.read_text(encoding="utf-8")))


@pytest.mark.timeout(300)
def test_readme_runs_as_it_stands(tmp_path: Path) -> None:
    """Every block of Python and every `skald` command does what the reader is told it does: it works."""
    steps = [step for step in readme_steps() if not is_setup(step.text)]
    (tmp_path / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    own = {name: value for name, value in os.environ.items() if not name.startswith("SKALD_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    result = subprocess.run(
        [sys.executable, "-c", DRIVER, tmp_path / "steps.json"],
        cwd=folder,
        env=own | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )

    assert any(step.kind == "python" for step in steps)
    assert result.returncode == 0, result.stdout[-5000:]


def test_readme_commands_are_ones_that_this_test_knows() -> None:
    """A command is `skald`, which is run, or a script that exists; no other goes unnoticed."""
    commands = [step for step in readme_steps() if step.kind == "command"]

    scripts = [step.text.split()[1] for step in commands if is_setup(step.text)]
    unknown = [step for step in commands if not is_setup(step.text) and step.text.split()[0] != "skald"]

    assert not unknown, "mark their blocks with <!-- not run: REASON -->"
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_readme_marks_stand_right_above_their_blocks() -> None:
    """A mark that keeps nothing from being run is a slip of its writer."""
    text = README.read_text(encoding="utf-8")

    marked = [match for match in _BLOCK.finditer(text) if match["reason"]]

    assert len(marked) == text.count("<!-- not run")


def test_readme_names_the_two_commands() -> None:
    """A newcomer finds the command that shows Skald, and the one that tests it."""
    commands = {step.text for step in readme_steps() if is_setup(step.text)}

    assert {"python3 scripts/demo.py", "python3 scripts/test.py"} <= commands


SAMPLE = """
<!-- run unseen:
x = 1
-->
```python
y = x
```
text
<!-- not run: it needs a GPU -->
```python
fail()
```
- item
  ```python
  if y:
      z = y
  ```
```bash
# a comment
skald show \\
  runs/a   # seen
python3 scripts/demo.py
```
```console
$ skald compact runs/a
1,000 rows
```
```text
skald nothing
```
<!-- not run: the network -->

```bash
pip install skald
```
"""


def test_readme_steps_are_found_in_order() -> None:
    """Unseen code, blocks, indented blocks and commands run; marked blocks, comments and output do not."""
    steps = list(steps_of(SAMPLE))

    assert [(step.kind, step.text.strip()) for step in steps] == [
        ("python", "x = 1"),
        ("python", "y = x"),
        ("python", "if y:\n    z = y"),
        ("command", "skald show   runs/a   # seen"),
        ("command", "python3 scripts/demo.py"),
        ("command", "skald compact runs/a"),
    ]
    assert [SAMPLE.splitlines()[step.line - 1] for step in steps[1:3]] == ["y = x", "  if y:"]
