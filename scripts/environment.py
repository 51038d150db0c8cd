"""The virtual environment of this checkout: made once, and again when what it is made from changes.

Needs nothing but the standard library. Invariant: the stamp is written last, so an environment whose set-up
was cut off is made anew.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "made-from"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
OLDEST = (3, 11)


def prepare() -> None:
    """Make `.venv` with Skald and its development tools, unless it stands and fits.

    Raises:
        SystemExit: help was asked for, this Python is too old, or the installation failed.
    """
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(sys.modules["__main__"].__doc__)
        sys.exit()
    if sys.version_info < OLDEST:
        sys.exit(f"Skald needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {sys.version.split()[0]}")
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    say("setting up .venv, once (a minute or two)")
    bundled = importlib.util.find_spec("ensurepip") is not None
    venv.create(VENV, clear=True, symlinks=os.name != "nt", with_pip=bundled)
    # NOTE: some systems ship Python without ensurepip: then the pip beside this Python fills the environment.
    pip = [str(PYTHON), "-m", "pip"] if bundled else [sys.executable, "-m", "pip", "--python", str(PYTHON)]
    failed = run(*pip, "install", "-qq", "--disable-pip-version-check", "--editable", ".[dev]")
    if failed:
        sys.exit("the installation failed: see what pip says above")
    STAMP.write_text(wanted, encoding="utf-8")


def fingerprint() -> str:
    """Return what an environment is made from: this Python, this folder, and pyproject.toml."""
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    return f"{sys.version}\n{ROOT}\n{project}\n"


def run(*command: str | Path) -> int:
    """Run a command in the repository root, and return its exit code."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def say(text: str) -> None:
    """Print a line at once, so that it stands above what the next command prints."""
    print(f"── {text}", flush=True)
