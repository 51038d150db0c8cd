"""Sets everything up, then checks style, format and types, and runs the tests.

    python3 scripts/test.py [arguments of pytest]

All of it runs whatever fails, pytest last; the exit code is not 0 if any failed.
"""

from __future__ import annotations

import sys

import environment
import lint

WORKERS = ("--numprocesses", "logical", "--maxprocesses", "8", "--dist", "worksteal")
"""Many tests wait for processes, so each core has a worker, on its own machine too."""

if __name__ == "__main__":
    environment.prepare()
    untidy = lint.lint()
    environment.say("pytest, after a check that FAILED above" if untidy else "pytest")
    failed = environment.run(environment.PYTHON, "-m", "pytest", *WORKERS, *sys.argv[1:])
    sys.exit(failed or untidy)
