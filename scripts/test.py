"""Sets everything up, then checks style, format and types, and runs the tests.

    python3 scripts/test.py [arguments of pytest]

All of it runs whatever fails, pytest last; the exit code is not 0 if any failed.
"""

from __future__ import annotations

import os
import sys

import environment
import lint

WORKERS = ("--numprocesses", str(min((os.cpu_count() or 1) + 1, 8)), "--dist", "worksteal")
"""One more than there are cores, as many tests wait for processes."""

if __name__ == "__main__":
    environment.prepare()
    untidy = lint.lint()
    environment.say("pytest, after a check that FAILED above" if untidy else "pytest")
    failed = environment.run(environment.PYTHON, "-m", "pytest", *WORKERS, *sys.argv[1:])
    sys.exit(failed or untidy)
