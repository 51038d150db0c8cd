"""Every error that Skald raises on purpose, and how it tells the errors of others apart.

SkaldError
├── the call is wrong: mend the call, the run is as it was
│   ├── InvalidInputError (ValueError)
│   ├── IdTypeError (TypeError)
│   ├── ValueTypeError (TypeError)
│   └── LoggerClosedError (RuntimeError)
├── the run is another than expected: choose another name or mode
│   ├── RunExistsError (FileExistsError)
│   └── RunNotFoundError (FileNotFoundError)
├── the files are damaged or newer: update Skald, or repair
│   ├── CorruptRunError
│   └── FormatVersionError
└── the machine gives out: make room, or install what is missing, and log on
    ├── StorageError (OSError)
    └── MissingLibraryError (ImportError)
"""

from __future__ import annotations

import errno
import sys
from inspect import CO_OPTIMIZED
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import TypeVar

    _Error = TypeVar("_Error", bound=BaseException)


_OUR_REFERENCES = 3
"""To the copy of a frame's names: the frame's, ours, and that of the call which counts them."""


class SkaldError(Exception):
    """The root of all errors raised by Skald."""


class InvalidInputError(SkaldError, ValueError):
    """A name, a value or an option cannot be recorded as it was given."""


class IdTypeError(SkaldError, TypeError):
    """An id has a kind that no id can have, or another than before in this run."""


class ValueTypeError(SkaldError, TypeError):
    """A metric's value has no float value."""


class LoggerClosedError(SkaldError, RuntimeError):
    """A call reached a logger after `close`."""


class RunExistsError(SkaldError, FileExistsError):
    """The run is there already, or a process is writing it."""


class RunNotFoundError(SkaldError, FileNotFoundError):
    """There is no run at this path."""


class CorruptRunError(SkaldError):
    """A file of the run does not hold what its format says."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.add_note("hint: skald check --repair puts damaged files aside, and keeps what can be read")


class FormatVersionError(SkaldError):
    """The run was written by a newer version of Skald."""


class MissingLibraryError(SkaldError, ImportError):
    """A call needs a library that Skald does without; the message says what to install."""


class StorageError(SkaldError, OSError):
    """The disk took no more, and the memory set aside for that is used up; or a cloud store gives nothing."""


def is_fault(error: BaseException) -> bool:
    """Tell whether an error is the system's, and not a signal handler's."""
    return isinstance(error, OSError) and error.errno is not None and not is_of_handler(error)


def is_of_handler(error: BaseException) -> bool:
    """Tell whether a signal handler has raised an error: it is the program's, and says nothing of what it interrupts.

    Python calls a handler with a number and the frame that it interrupts, which hardly another function has of the one
    that calls it.
    """
    trace = error.__traceback__
    while trace is not None:
        if _is_handler(trace.tb_frame):
            return True
        trace = trace.tb_next
    return False


def is_of_signal(error: BaseException) -> bool:
    """Tell whether a signal has raised an error: a Ctrl-C, an exit, or what a handler of the program raises."""
    return isinstance(error, (KeyboardInterrupt, SystemExit)) or is_of_handler(error)


def unless_handlers(*kinds: type[_Error]) -> tuple[type[_Error], ...]:
    """Return what an `except` is to catch: errors of these kinds, but none that a signal handler has raised.

    Python asks for it while the error passes: `except unless_handlers(OSError) as error:`.
    """
    passing = sys.exc_info()[1]
    return () if passing is not None and is_of_handler(passing) else kinds


def _is_handler(frame: FrameType) -> bool:
    if frame.f_back is None or not frame.f_code.co_flags & CO_OPTIMIZED:  # else it is no function's
        return False
    names = frame.f_locals
    given = [value for each in names.values() for value in (each if type(each) is tuple else (each,))]
    if type(names) is dict and sys.getrefcount(names) <= _OUR_REFERENCES:  # else the program has it, by `locals()`
        names.clear()  # NOTE: before 3.13 the frame keeps this copy, and so the error, and all that it is about
    return any(value is frame.f_back for value in given) and any(issubclass(type(value), int) for value in given)


def logger_closed(name: str, mode: str | None) -> LoggerClosedError:
    """Return what a call to a closed logger raises; `mode` is what continues its run, None where it was not kept."""
    error = LoggerClosedError(f"the logger of {name!r} is closed")
    if mode:
        error.add_note(f"hint: mode={mode!r} continues its run")
    return error


def folder_gone(folder: object, *, replaced: bool = False) -> StorageError:
    """Return what is raised where a run's folder was removed while it was written, or replaced by another run's."""
    another = ", and another run stands in its place" if replaced else ""
    return StorageError(errno.ENOENT, f"the run's folder is gone{another}: {folder}")
