"""Opening the viewer from a program, in a process of its own: it needs an event loop, and the program may have one.

Invariant: where nobody sits at a terminal nothing is opened.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from skald.notice import is_terminal

_PROGRAM: Final = "from skald.cli import run; run()"


def is_interactive() -> bool:
    """Tell whether somebody sits at a terminal that a whole screen can be drawn on."""
    streams = (sys.stdin, sys.stdout, sys.stderr)  # the viewer draws into the last
    return all(map(is_terminal, streams)) and os.environ.get("TERM") != "dumb"


def open_viewer(run: Path) -> None:
    """Open the viewer on a run, and wait until it is left; without a terminal do nothing.

    Args:
        run: the run's folder.
    """
    if not is_interactive():
        return
    sys.stdout.flush()
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # Skald, wherever it is imported from
    subprocess.run([sys.executable, "-P", "-c", _PROGRAM, "view", str(run)], env=found, check=False)
