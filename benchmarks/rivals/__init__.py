"""Other ways to log, each behind the same three calls: open a run in a folder, log one value, close."""

from __future__ import annotations

from typing import Protocol


class Rival(Protocol):
    """A run that is being logged; a module of this package makes one with `open_run(folder)`."""

    def log(self, name: str, value: float, /, *, epoch: int, step: int) -> None:
        """Log one value with its ids and the time."""

    def close(self) -> None:
        """End the run; everything is with the kernel when it returns."""
