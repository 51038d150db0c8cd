"""What a process got and did not keep as it was: counted for the last word, and warned of once a kind."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from skald.errors import SkaldError

MOST_WARNED: Final = 20
_VARIABLE: Final = re.compile(r"'[^']*'|\d+")
"""What differs between messages of one kind."""


class Losses:
    """Calls that were refused, ints that were rounded, values that a device did not produce."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """Begin with none; `warn` tells of the first of each kind."""
        self.refused: Counter[str] = Counter()
        self.rounded = self.failed = 0
        self._warn = warn
        self._warned: set[str] = set()

    def refuse(self, error: SkaldError) -> None:
        """Count bad input that was refused."""
        self.refused[type(error).__name__] += 1
        text = f"refused, and the like of it will be without another word: {error}"
        self.warn_once(text, kind=_VARIABLE.sub("…", str(error)))

    def note_rounded(self, name: str, count: int = 1) -> None:
        """Count values of a metric that are no float64."""
        is_first = not self.rounded
        self.rounded += count
        if is_first:
            rounded = "logged rounded, beyond 1.8e308 to infinity"
            self._warn(f"metric {name!r} got an int that is no float64; it, and others like it, are {rounded}")

    def note_failed(self, name: str, error: Exception) -> None:
        """Count a value of a metric that its device did not produce."""
        self.failed += 1
        if self.failed == 1:
            reason = error.__cause__ or error
            self._warn(f"the device did not produce a value of metric {name!r}: {type(reason).__name__}: {reason}")

    def warn_once(self, text: str, *, kind: str | None = None) -> None:
        """Warn, unless the same, or something of its kind, was said before."""
        kind = kind or text
        if kind not in self._warned and len(self._warned) < MOST_WARNED:
            self._warned.add(kind)
            self._warn(text)
