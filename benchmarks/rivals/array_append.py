"""A floor: columns in memory, written to a file at close; a crash leaves nothing."""

from __future__ import annotations

import time
from array import array
from pathlib import Path


class ArrayAppend:
    """Appends to one array a column."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "columns.bin"
        self._codes: dict[str, int] = {}
        self._metric, self._value, self._time = array("i"), array("d"), array("q")
        self._epoch, self._step = array("q"), array("q")

    def log(self, name: str, value: float, /, *, epoch: int, step: int) -> None:
        """Append to each column."""
        self._metric.append(self._codes.setdefault(name, len(self._codes)))
        self._value.append(value)
        self._epoch.append(epoch)
        self._step.append(step)
        self._time.append(time.time_ns())

    def close(self) -> None:
        """Write one column after another."""
        with self._path.open("wb") as file:
            for column in (self._metric, self._value, self._epoch, self._step, self._time):
                column.tofile(file)


def open_run(folder: Path) -> ArrayAppend:
    """Begin a run."""
    return ArrayAppend(folder)
