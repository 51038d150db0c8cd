"""Commands as whole processes: in a terminal of 80 columns and in a pipe, word for word."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.text import Text

import skald

COMMAND = [sys.executable, "-c", "from skald.cli import run; run()"]
ROOT = Path(skald.__file__).resolve().parent.parent
STARTED = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2})?")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs that differ in a param and part at a step."""
    base = tmp_path_factory.mktemp("terminal")
    for number, name in enumerate(("first", "second")):
        with skald.Logger(name, base / "runs", capture=False) as logger:
            logger.log_params(lr=0.1 * (number + 1), optimizer="adam")
            for step in range(4):
                logger.log_metric("loss", 1 / (step + 1) + number * (step > 1), step=step)
    return base


def environment() -> dict[str, str]:
    """Return the tests' own without what it says of their terminal."""
    foreign = ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "SKALD_DIR")
    own = {name: value for name, value in os.environ.items() if name not in foreign}
    return own | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


def in_pipe(folder: Path, *args: str) -> str:
    """Return what a command prints into a pipe."""
    done = subprocess.run([*COMMAND, *args], cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def in_terminal(folder: Path, *args: str, **more: str) -> str:
    """Return what a command prints on a terminal of 80 columns, colors and all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    own = environment() | more
    with subprocess.Popen([*COMMAND, *args], cwd=folder, env=own, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        printed = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux says so when nobody writes to it any more
        return b""


def plain(text: str) -> list[str]:
    """Return lines without colors, times and what stands at the end."""
    return [STARTED.sub("STARTED", line).rstrip() for line in Text.from_ansi(text).plain.splitlines()]


RUNS = """\
run     status    started           duration  lr   rows
second  finished  STARTED     0.0 s  0.2     4
first   finished  STARTED     0.0 s  0.1     4
in all: optimizer=adam"""

COMPARED = """\
param  first  second
lr     0.1    0.2

metric  first last  second last  part at
loss          0.25         1.25  step=2"""

ASKED = """\
run         best
first       0.25
second       0.5"""


@pytest.mark.parametrize(
    "command",
    [("show", "hostile"), ("show", "."), ("compare", "hostile", "other"), ("query", ".", "SELECT * FROM runs")],
)
def test_characters_that_would_steer_a_terminal_are_shown_as_text(tmp_path: Path, command: tuple[str, ...]) -> None:
    """In names of params too, which may come from a file that somebody has edited."""
    for name in ("hostile", "other"):
        with skald.Logger(name, tmp_path, capture=False, notes="a\x1b[2Jnote\nsecond line") as logger:
            logger.log_params({"\x1b[31mred\nblue": name, "plain": "\x1b[2J"})
            logger.log_metric("loss", 1.0, split="\x1b[31mtrain")

    shown = in_pipe(tmp_path, *command)

    assert "\x1b" not in shown
    assert r"\x1b[31mred\nblue" in shown


def test_show_in_a_terminal_and_in_a_pipe(folder: Path) -> None:
    """A terminal has colors, and below the table what all runs share; a pipe has neither."""
    terminal, pipe = in_terminal(folder, "show", "runs"), in_pipe(folder, "show", "runs")

    shown = [re.sub(r"\d+\.\d s|\d+ ms", "0.0 s", line) for line in plain(terminal)]
    assert [line.split() for line in shown] == [line.split() for line in RUNS.splitlines()]
    assert "\x1b[" in terminal
    assert [line.split()[:2] for line in plain(pipe)] == [line.split()[:2] for line in RUNS.splitlines()[:3]]
    assert "\x1b" not in pipe


def test_compare_in_a_terminal_and_in_a_pipe(folder: Path) -> None:
    """What differs, and where the runs part."""
    terminal, pipe = (run(folder, "compare", "first", "second") for run in (in_terminal, in_pipe))

    assert plain(terminal) == plain(pipe) == COMPARED.splitlines()


def test_query_in_a_terminal_and_in_a_pipe(folder: Path) -> None:
    """Numbers stand at the right."""
    sql = "select run, min(value) as best from metrics group by run order by run"
    terminal, pipe = (run(folder, "query", "runs", sql) for run in (in_terminal, in_pipe))

    assert [line.split() for line in plain(terminal)] == [line.split() for line in ASKED.splitlines()]
    assert plain(pipe) == plain(terminal)


def test_plot_in_a_terminal_fills_it(folder: Path) -> None:
    """It is as wide as the terminal, and colored."""
    terminal = in_terminal(folder, "plot", "first", "-m", "loss")

    assert max(map(len, plain(terminal))) == 80
    assert "\x1b[" in terminal


def test_no_color_is_respected_in_a_terminal(folder: Path) -> None:
    """Whatever its value."""
    colored = re.compile(r"\x1b\[[0-9;]*3[0-9][;m]")

    assert colored.search(in_terminal(folder, "show", "runs"))
    assert not colored.search(in_terminal(folder, "show", "runs", NO_COLOR="1"))


@pytest.mark.parametrize(
    ("closed", "args", "said"),
    [(">&-", ["--help"], "skald: [Errno 9] Bad file descriptor\n"), (">&- 2>&-", ["show", "runs"], "")],
)
def test_command_whose_stdout_is_closed_fails_in_a_line(folder: Path, closed: str, args: list[str], said: str) -> None:
    """As `ls` does; stderr closed too, it has only its exit code."""
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, *args]

    done = subprocess.run(shell, cwd=folder, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
