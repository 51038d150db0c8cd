"""The csv module of Python, buffered by the file; a crash leaves all but the buffer."""

from __future__ import annotations

import csv
import time
from pathlib import Path


class CsvLines:
    """Writes a line a value."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "metrics.csv").open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(("metric", "epoch", "step", "value", "time"))

    def log(self, name: str, value: float, /, *, epoch: int, step: int) -> None:
        """Write one line."""
        self._writer.writerow((name, epoch, step, value, time.time_ns()))

    def close(self) -> None:
        """Flush, and close the file."""
        self._file.close()


def open_run(folder: Path) -> CsvLines:
    """Begin a run."""
    return CsvLines(folder)
