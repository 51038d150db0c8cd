"""A word on stderr, for what no call can raise: it must not take the training down."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import Any, Final

_INNER: Final = frozenset({"skald", "polars"})
"""The packages of which no line is the program's own."""


def tell(text: str) -> None:
    """Say something to whoever watches the process; where nobody does, nothing."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"skald: {text}\n")


def is_terminal(stream: Any) -> bool:
    """Tell whether a stream leads to a terminal; one of a program's own may not know, or be closed."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def warn(text: str) -> None:
    """Warn at the line of the program that called Skald, be it by way of polars."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _INNER:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)
