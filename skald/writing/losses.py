"""What a process got and did not keep as it was: counted for the last word, and warned of once a kind."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from skald.errors import SkaldError
from skald.record.info import Lost

MOST_WARNED: Final = 20
_STEP: Final = 100
"""The file has each of so many losses, then one of so many."""
_VARIABLE: Final = re.compile(r"'[^']*'|\d+")
"""What differs between messages of one kind."""


class Losses:
    """Calls that were refused, ints that were rounded, values that a device did not produce."""

    def __init__(self, warn: Callable[[str], None], folder: Callable[[], Path | None]) -> None:
        """Begin with none.

        Args:
            warn: tells of the first of each kind.
            folder: returns where they are noted, so that they are known if the process is killed.
        """
        self.lost = Lost()
        self._warn, self._folder = warn, folder
        self._warned: set[str] = set()
        self._count = self._next = 0

    def refuse(self, error: SkaldError) -> None:
        """Count bad input that was refused."""
        kind = type(error).__name__
        self.lost.refused[kind] = self.lost.refused.get(kind, 0) + 1
        self._note(1)
        text = f"refused, and the like of it will be without another word: {error}"
        self.warn_once(text, kind=_VARIABLE.sub("…", str(error)))

    def note_rounded(self, name: str, count: int = 1) -> None:
        """Count values of a metric that are no float64; warn of the first of the run."""
        is_told = self.lost.rounded > 0 or self._is_told_of_rounded()
        self.lost.rounded += count
        self._note(count)
        if not is_told:
            rounded = "logged rounded, beyond 1.8e308 to infinity"
            self._warn(f"metric {name!r} got an int that is no float64; it, and others like it, are {rounded}")

    def note_failed(self, name: str, error: Exception) -> None:
        """Count a value of a metric that its device did not produce."""
        self.lost.failed_values += 1
        self._note(1)
        reason = error.__cause__ or error
        text = f"the device did not produce a value of metric {name!r}: {type(reason).__name__}: {reason}"
        self.warn_once(text, kind="failed")

    def warn_once(self, text: str, *, kind: str | None = None) -> None:
        """Warn, unless the same, or something of its kind, was said before."""
        kind = kind or text
        if kind not in self._warned and len(self._warned) < MOST_WARNED:
            self._warned.add(kind)
            self._warn(text)

    def after_fork(self) -> None:
        """Leave to the parent, in a forked child, what it has counted."""
        self.lost = Lost()
        self._count = self._next = 0

    def save(self, folder: Path) -> None:
        """Put what has been lost so far into a writer's folder, if the disk takes it."""
        from skald.record.lossfile import write_losses  # it is not needed before

        with contextlib.suppress(OSError):
            write_losses(folder, self.lost)

    def _is_told_of_rounded(self) -> bool:
        """Tell whether another process of the run has had such ints, which has warned of them."""
        with contextlib.suppress(OSError, SkaldError):  # it is closed, or gone
            folder = self._folder()
            if folder:
                from skald.record.lossfile import has_rounded

                return has_rounded(folder.parent.parent)
        return False

    def _note(self, count: int) -> None:
        self._count += count
        if self._count >= self._next:
            self._next = self._count + 1 + self._count // _STEP
            with contextlib.suppress(SkaldError):  # it is closed, or gone
                folder = self._folder()
                if folder:
                    self.save(folder)
