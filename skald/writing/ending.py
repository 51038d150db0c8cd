"""How a process ends a run: what an exception that leaves the block, or the interpreter, says of the run's status."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeVar

from skald.errors import is_of_handler, is_of_signal

T = TypeVar("T")
Word = Literal["finished", "stopped", "failed"]

PATIENCE_SECS: Final = 2.0
"""How long somebody who presses Ctrl-C again and again is put off."""
LONGEST_TEXT: Final = 10_000
_SIGNALLED: Final = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM})
"""The codes with which a program says that a signal ended it."""
_KEPT_BITS: Final = 0xFF if os.name == "posix" else -1
"""What becomes of the code with which a process ends."""


class Ending(NamedTuple):
    """The status that a process leaves, and the type and text of the exception that ended it."""

    status: Word = "finished"
    exception: str | None = None


def undisturbed(action: Callable[[], T]) -> tuple[T, BaseException | None]:
    """Do something to its end, begun anew where a Ctrl-C comes amid it, or what a signal handler raises.

    Returns:
        what it returns, and what came, for the caller to raise once it can.
    """
    came: BaseException | None = None
    first = time.monotonic()
    while True:
        try:
            return action(), came
        except BaseException as error:
            if not is_of_signal(error):
                raise
            first = time.monotonic() if came is None else first
            if time.monotonic() - first > PATIENCE_SECS:
                raise
            came = error


def completed(action: Callable[[], T]) -> T:
    """Do something to its end, and then raise what came amid it; as `undisturbed`."""
    result, came = undisturbed(action)
    if came is not None:
        raise came
    return result


def ending(error: BaseException | None) -> Ending:
    """Return how a run ends with this exception (None: without one); who leaves a generator early has it end well."""
    if error is None or isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not _is_failure(error)):
        return Ending()
    return Ending("stopped" if _is_stop(error) else "failed", _described(error))


def _is_stop(error: BaseException) -> bool:
    """Tell whether somebody wanted the end: asyncio makes a Ctrl-C a CancelledError of the task."""
    if isinstance(error, SystemExit):
        return _is_signalled(error)
    if isinstance(error, BaseExceptionGroup):  # a Ctrl-C among the tasks of a nursery
        return all(map(_is_stop, error.exceptions))
    tasks = sys.modules.get("asyncio.exceptions")
    cancelled = (tasks.CancelledError,) if tasks else ()
    return isinstance(error, (KeyboardInterrupt, *cancelled))


def _is_failure(error: SystemExit) -> bool:
    """Tell whether the process exits with another code than 0, or because of a signal."""
    code = error.code
    is_zero = code is None or (isinstance(code, int) and abs(code) < 2**63 and not code & _KEPT_BITS)
    return not is_zero or _is_signalled(error)


def _is_signalled(error: SystemExit) -> bool:
    """Tell whether a signal handler raised the exception, or it says so by its code."""
    return (isinstance(error.code, int) and error.code in _SIGNALLED) or is_of_handler(error)


def _described(error: BaseException) -> str:
    """Return the type and text of an exception; with the code of a SystemExit, whose text is the code."""
    if isinstance(error, SystemExit):
        return f"SystemExit({error.code!r})"[:LONGEST_TEXT]
    return "".join(traceback.format_exception_only(error)).strip()[:LONGEST_TEXT]
