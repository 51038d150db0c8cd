"""Programs in a pseudo-terminal, which the benchmarks of the viewer know to drive."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any, Final

_MODULE: Final = runpy.run_path(str(Path(__file__).resolve().parent.parent / "benchmarks" / "terminal.py"))

Terminal: Any = _MODULE["Terminal"]
PLOT: Final[str] = _MODULE["PLOT"]
SKALD: Final = (sys.executable, "-c", "from skald.cli import run; run()")
"""The command line, as the tests' Python has it."""
