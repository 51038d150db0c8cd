"""Streams that write to others, and which of them takes a text that passes through several.

A program may put something in front of a stream before a block begins: what leaves out secrets, or a tee of its own.
The lowest stream gets what the terminal shows, so that one takes the text, and a *wrapper*, once it is seen to lead
there, is taken nothing from. One that leads nowhere, or keeps whole lines to itself, is taken from at once; what it
writes to a stream below after that is not.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

_MOST_BETWEEN: Final = 20
_TAKING: Final = ("skald.record.buffers", "skald.record.tee", "skald.record.tees")
_METHODS: Final = ("write", "flush", "take")
"""The names of those that replace a stream's and its buffer's, and of what they call for a text that has come."""
wrapping: Final[set[CodeType]] = set()
"""The code of the methods that a wrapper's are replaced by; they have it as `wrapper`."""


class Wrapper:
    """What is known of a stream that may lead to one that is teed too."""

    def __init__(self, begun: dict[int, list[str]], on_lead: Callable[[], None]) -> None:
        """Begin with nothing known.

        Args:
            begun: the lines that have begun there.
            on_lead: called when it is found to lead to one.
        """
        self._begun, self._on_lead = begun, on_lead
        self.leads: bool | None = None
        """Whether what is written there gets to a teed stream; None: it is to be seen."""

    def lead(self) -> None:
        """Take note that something has got below; what has begun here is part of it."""
        if self.leads is None:
            self.leads = True
            for begun in list(self._begun.values()):
                del begun[:]
            self._on_lead()


def is_plain(stream: Any) -> bool:
    """Tell whether a stream's `write` is Python's own, which changes nothing."""
    own = getattr(type(stream), "write", None)
    return "write" not in vars(stream) and own in (io.TextIOWrapper.write, io.StringIO.write)


def is_bottom(stream: Any) -> bool:
    """Tell whether nothing that is written to a stream gets to another."""
    if not is_plain(stream) or isinstance(stream, io.StringIO):
        return is_plain(stream)
    try:
        return type(getattr(stream.buffer, "raw", stream.buffer)) in (io.FileIO, io.BytesIO)
    except (AttributeError, ValueError):  # detached
        return True


def is_taken_above(by: Wrapper | None) -> bool:
    """Tell whether the text that a stream has got comes by a wrapper which takes it; `by` is the stream itself."""
    passed = []
    frame: FrameType | None = sys._getframe(2)
    left = _MOST_BETWEEN
    while frame is not None and left:
        if frame.f_globals.get("__name__") in _TAKING and frame.f_code.co_name not in _METHODS:
            break  # a signal handler prints as we are taking something else
        if frame.f_code in wrapping:
            wrapper = frame.f_locals["wrapper"]
            if wrapper is not by and wrapper.leads is False:
                return True
            passed.append(wrapper)
        frame, left = frame.f_back, left - 1
    for wrapper in passed:
        if wrapper is not by:
            wrapper.lead()
    return False
