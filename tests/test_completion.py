"""What a shell offers at the tab key, asked of the real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import start

import skald

BASH = shutil.which("bash")
ASK = """
source <(skald --show-completion bash)
complete -p skald >/dev/null || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_skald_completion skald
printf '%s\\n' "${COMPREPLY[@]}"
"""

pytestmark = pytest.mark.skipif(BASH is None, reason="it is bash that is asked")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs, and a third that is damaged."""
    base = tmp_path_factory.mktemp("completion")
    for name, metric in (("digits", "loss"), ("dice", "reward"), ("broken", "loss")):
        with skald.Logger(name, base / "runs", capture=False) as logger:
            logger.log_params({"lr": 0.1, "model": {"depth": 3}})
            logger.log_metric(metric, 1.0, split="val", step=1)
            logger.log_metric(metric, 1.0, split="a b")
    (base / "runs" / "broken" / "run.json").write_text("{")
    (base / "docs").mkdir()
    return base


def offered(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    assert BASH is not None
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {name: value for name, value in os.environ.items() if not name.startswith("SKALD_")}
    done = subprocess.run(
        [BASH, "--norc", "-c", ASK, "bash", "skald", *words],
        cwd=folder, env=own | {"PATH": path}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["comp"], ["compact", "compare"]),
        (["show", "--so"], ["--sort"]),
        (["show", "di"], ["dice", "digits"]),
        (["tail", "dig"], ["digits"]),
        (["compact", "do"], ["docs"]),
        (["show", "runs/d"], []),
        (["show", "digits", "-m", "l"], ["loss"]),
        (["plot", "runs", "--metric", "r"], ["reward"]),
        (["show", "nowhere", "-m", "l"], []),
        (["show", "--format", "j"], ["json"]),
        (["show", "runs", "--sort", "l"], ["lr", "loss"]),
    ],
)
def test_shell_offers_commands_options_runs_and_metrics(words: list[str], expected: list[str], folder: Path) -> None:
    """Paths are left to the shell itself; of what cannot be read nothing is offered and nothing is said."""
    assert offered(folder, *words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["show", "runs", "--sort", "sta"], ["status", "started"]),
        (["show", "runs", "-p", "m"], ["model.depth"]),
        (["compare", "digits", "dice", "--id", "s"], ["split=val", "split=a b", "step="]),
        (["plot", "runs", "-m", "loss", "--band", ""], ["run", "split", "step", "lr", "model.depth"]),
        (["plot", "digits", "--color", "s"], ["split", "step"]),
        (["plot", "digits", "-x", ""], ["time", "relative", "split", "step"]),
        (["export", "runs", "--columns", ""], ["run", "split", "step"]),
        (["export", "runs", "--index", "st"], ["step"]),
    ],
)
def test_options_offer_what_the_runs_hold_that_are_named(words: list[str], expected: list[str], folder: Path) -> None:
    """Of those before them; asked as the shell asks."""
    asked = {"COMP_WORDS": "\n".join(["skald", *words]), "COMP_CWORD": str(len(words))}

    done = start(folder=folder, _SKALD_COMPLETE="complete_bash", **asked)

    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected
