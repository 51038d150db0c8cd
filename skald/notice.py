"""A word on stderr, for what no call can raise: it must not take the training down; and who shows messages there."""

from __future__ import annotations

import contextlib
import sys
import warnings
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from loguru import Logger

_INNER: Final = frozenset({"skald", "polars"})
"""The packages of which no line is the program's own."""
_STDERR: Final = sys.stderr
"""What it was when Skald was imported."""


def tell(text: str) -> None:
    """Say something to whoever watches the process; where nobody does, nothing."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # the last amid a write there
            sys.stderr.write(f"skald: {text}\n")


def loguru_logger() -> Logger:
    """Return loguru's logger, which is as if it had been imported with Skald, for which that would take too long.

    NOTE: its default handler shows all messages of the process on what `sys.stderr` is at the import, which at the
    first message may be a buffer for one block, or one test, that is closed after it. Where that is so, what other
    threads show meanwhile, which is 10 ms once, gets to the terminal.
    """
    now, is_first = sys.stderr, "loguru" not in sys.modules and _is_open(_STDERR)
    if is_first:
        sys.stderr = _STDERR
    try:
        from loguru import logger
    finally:
        if is_first and sys.stderr is _STDERR:
            sys.stderr = now
    return logger


def _is_open(stream: Any) -> bool:
    try:
        return stream is not None and not stream.closed
    except AttributeError:  # a program's own
        return True
    except ValueError:  # detached
        return False


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
