"""A word on stderr, for what no call can raise: it must not take the training down."""

from __future__ import annotations

import contextlib
import sys


def tell(text: str) -> None:
    """Say something to whoever watches the process; where nobody does, nothing."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"skald: {text}\n")
