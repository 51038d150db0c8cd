"""Sets everything up, then checks style, format and types.

    python3 scripts/lint.py [--fix]

`--fix` first mends what ruff can mend.
"""

from __future__ import annotations

import sys

import environment

CHECKS = (("ruff", "check"), ("ruff", "format", "--check"), ("mypy",))
FIXES = (("ruff", "check", "--fix", "--quiet"), ("ruff", "format", "--quiet"))


def lint() -> int:
    """Run every check, and return the exit code of the first that failed."""
    codes = []
    for check in CHECKS:
        environment.say(" ".join(check))
        codes.append(environment.run(environment.PYTHON, "-m", *check))
    return next(filter(None, codes), 0)


if __name__ == "__main__":
    environment.prepare()
    if "--fix" in sys.argv[1:]:
        for fix in FIXES:
            environment.run(environment.PYTHON, "-m", *fix)
    sys.exit(lint())
