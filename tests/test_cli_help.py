"""What the command line says of itself, and how every command behaves in pipes and terminals."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from commands import output, start
from rich.cells import cell_len
from rich.text import Text

import skald
from skald.cli.app import app

ROOT = Path(skald.__file__).resolve().parent.parent
COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
LOOKS = [
    ["show", "runs"],
    ["show", "runs", "--metric", "loss", "--sort", "lr"],
    ["show", "runs", "--format", "json"],
    ["show", "digits"],
    ["compare", "digits-a", "digits-b"],
    ["query", "runs", "select * from metrics"],
    ["tail", "digits", "--metrics", "-n", "5000"],
    ["tail", "digits", "-n", "5000"],
    ["plot", "digits", "-m", "loss"],
    ["check", "runs"],
]
"""Commands that print something, each in another way."""
FITTED = [args for args in LOOKS if args[0] in {"show", "compare", "query", "plot"} and "json" not in args]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs of which the examples speak."""
    base = tmp_path_factory.mktemp("help")
    for seed, name in enumerate(("digits", "digits-a", "digits-b")):
        with skald.Logger(name, base / "runs") as logger:
            logger.log_params(lr=10**-4 * (seed + 1), seed=seed)
            for epoch in range(1000):
                logger.log_metric("loss", 1 / (epoch + 1) + seed, epoch=epoch, split="val")
            logger.log_metric("accuracy", 0.9, epoch=999)
            print("a line of the console\n" * 2000)
    return base


def examples(command: str) -> list[str]:
    """Return the examples in the help of a command."""
    epilog: str = typer.main.get_command(app).commands[command].epilog  # type: ignore[attr-defined]
    return re.findall(r"\[dim\](skald .*?)\[/dim\]", epilog)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example_that_works(command: str, folder: Path) -> None:
    """What it shows can be typed as it stands."""
    text = " ".join(output(command, "--help", folder=folder, COLUMNS="200").split())

    assert "Usage: skald" in text
    assert examples(command)
    for example in examples(command):
        assert example in text
        assert start(*shlex.split(example)[1:], folder=folder).code == 0


def test_help_names_every_command(folder: Path) -> None:
    """And says what it does."""
    text = output("--help", folder=folder)

    assert {"show", "compact", "compare", "plot", "query", "tail", "export", "check"} <= set(text.split())


@pytest.mark.parametrize("args", [*LOOKS, ["--help"], ["plot", "--help"]], ids=" ".join)
def test_a_reader_that_goes_early_is_no_error(args: list[str], folder: Path) -> None:
    """`skald ... | head -1` says nothing on stderr, and ends well."""
    shell = f"{shlex.join([sys.executable, '-c', 'from skald.cli import run; run()', *args])} | head -c 1"

    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {shell}"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1, b"")


@pytest.mark.parametrize("args", LOOKS, ids=" ".join)
def test_no_color_takes_every_color_away(args: list[str], folder: Path) -> None:
    """In a pipe there is none to begin with."""
    colored = r"\x1b\[[0-9;]*(3[0-9]|4[0-9])[;m]"
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "80"}

    plain = output(*args, folder=folder, NO_COLOR="1", **terminal)
    pipe = output(*args, folder=folder)

    assert not re.search(colored, plain)
    assert "\x1b" not in pipe


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("args", FITTED, ids=" ".join)
def test_tables_and_plots_fit_the_terminal(args: list[str], width: int, folder: Path) -> None:
    """No line is wider than it."""
    text = output(*args, folder=folder, COLUMNS=str(width), FORCE_COLOR="1", TERM="xterm-256color")

    assert max(cell_len(line) for line in Text.from_ansi(text).plain.splitlines()) <= width
