"""Failures, told in one line on stderr."""

from __future__ import annotations

import sys


def report(error: Exception) -> None:
    """Print what failed, with the remedy where the error knows one."""
    parts = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
    line = "; ".join(" ".join(part.split()) for part in parts)
    print(f"skald: {line}", file=sys.stderr)  # noqa: T201  the command line talks to people
