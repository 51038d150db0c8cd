"""What loguru's handlers show of a message that a console file has already, so that it does not come in twice.

A handler may show it at once, in the thread that logs, or later, in a thread of loguru's: then the text that it writes
has loguru's record, in which the file stands.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from skald.background import running

MARK: Final = "skald"
"""The key of loguru's record under which a message says which file has it."""

QUIET_SECS: Final = 1.0

speaking: Final[dict[int, str]] = {}
"""The threads in which loguru shows a message, and the file that has it already; until something else is written."""
messages: Final[dict[str, float]] = {}
"""The files that have had such messages since `forget`, which handlers may show at any time, and when they had one."""
before_messages: Final[list[Callable[[], None]]] = []
"""Called as one is about to be shown."""


def hush(file: str) -> None:
    """Keep what loguru's handlers now write in this thread out of a file, which has the message; others get it."""
    messages[file] = time.monotonic()
    speaking[threading.get_ident()] = file
    for prepare in before_messages:
        prepare()


def unhush() -> None:
    """Take what this thread writes from now on: the message has been shown."""
    speaking.pop(threading.get_ident(), None)


def is_quiet() -> bool:
    """Tell whether no message is to be shown: none is just now, nor may a thread of loguru's be behind."""
    if speaking or not messages:
        return not speaking
    if time.monotonic() - max(messages.values()) > QUIET_SECS:
        return True
    return not any(each.name.startswith("loguru-writer") for each in running())


def forget() -> None:
    """Begin anew: nobody has listened until now."""
    messages.clear()


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


def joined(texts: Sequence[str | bytes], decoded: Callable[[bytes], str]) -> str | bytes | None:
    """Return texts as one, bytes if they all are; None where one of them may be such a message, or is no text."""
    # NOTE: to look at all types takes a fifth of the time that printing takes
    if messages and not set(map(type, texts)) <= {str, bytes}:
        return None
    try:
        return "".join(texts)  # type: ignore[arg-type]
    except TypeError:
        with contextlib.suppress(TypeError):
            return b"".join(texts)  # type: ignore[arg-type]
    if not set(map(type, texts)) <= {str, bytes}:
        return None
    return "".join([decoded(each) if isinstance(each, bytes) else each for each in texts])


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


def message_file(frame: FrameType) -> str | None:
    """Return the file that has already what a frame writes: one of loguru's, in whatever thread, with a message."""
    if frame.f_globals.get("__name__") != "loguru._simple_sinks":
        return None
    return origin(frame.f_locals.get("message", ""))


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
