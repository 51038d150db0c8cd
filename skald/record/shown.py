"""What loguru's handlers show of a message that a console file has already, so that it does not come in twice.

A handler may show it at once, in the thread that logs, or later, in a thread of loguru's: then the text that it writes
has loguru's record, in which the file stands.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

MARK: Final = "skald"
"""The key of loguru's record under which a message says which file has it."""

speaking: Final[dict[int, str]] = {}
"""The threads in which loguru shows a message, and the file that has it already; until something else is written."""
_marked = False
"""Whether there have been such messages since `forget`, which handlers may show at any time."""


def hush(file: str) -> None:
    """Keep what loguru's handlers now write in this thread out of a file, which has the message; others get it."""
    global _marked  # noqa: PLW0603 it is about all threads
    _marked = True
    speaking[threading.get_ident()] = file


def unhush() -> None:
    """Take what this thread writes from now on: the message has been shown."""
    speaking.pop(threading.get_ident(), None)


def forget() -> None:
    """Begin anew: nobody has listened until now."""
    global _marked  # noqa: PLW0603 it is about all threads
    _marked = False


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Let `hush` hold for one message: the next one of this thread may be the user's."""
    ident = threading.get_ident()
    before = speaking.get(ident)
    try:
        yield
    finally:
        if before is None:
            speaking.pop(ident, None)
        else:
            speaking[ident] = before


def speaker() -> str | None:
    """Return the file that has what this thread writes, None unless it is loguru that writes."""
    if not speaking:
        return None
    ident = threading.get_ident()
    file = speaking.get(ident)
    if file and not any(frame.f_globals.get("__name__") == "loguru._handler" for frame in callers()):
        del speaking[ident]
        return None
    return file


def joined(texts: Sequence[str]) -> str | None:
    """Return texts as one; None where one of them may be such a message, or is no str."""
    # NOTE: to look at all types takes a fifth of the time that printing takes
    if _marked and not set(map(type, texts)) <= {str}:
        return None
    try:
        return "".join(texts)
    except TypeError:
        return None


class _Marked(str):
    """A text of which a file has the message already; it says so as loguru's own texts do."""

    __slots__ = ("record",)
    record: dict[str, str]


def marked(text: str, file: str) -> str:
    """Return a text of which a file has the message already; see `origin`."""
    found = _Marked(text)
    found.record = {MARK: file}
    return found


def origin(text: str) -> str | None:
    """Return the file that has a text already: one of loguru's, of a message that Skald logged."""
    record = getattr(text, "record", None)
    return record.get(MARK) if isinstance(record, dict) else None


def show(write: Callable[[str], Any], text: str, file: str) -> Any:
    """Write the text of a message that a file has already, which the streams below may not know it by any more."""
    with one_message():
        hush(file)
        return write(text)


def callers() -> Iterator[FrameType]:
    """Go through the frames above the function that calls."""
    frame = sys._getframe(2).f_back
    while frame is not None:
        yield frame
        frame = frame.f_back
