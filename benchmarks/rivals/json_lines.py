"""The json module of Python, a line a value, buffered by the file; a crash leaves all but the buffer."""

from __future__ import annotations

import json
import time
from pathlib import Path


class JsonLines:
    """Writes a line a value."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "metrics.jsonl").open("w", encoding="utf-8")

    def log(self, name: str, value: float, /, *, epoch: int, step: int) -> None:
        """Write one line."""
        row = {"metric": name, "epoch": epoch, "step": step, "value": value, "time": time.time_ns()}
        self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Flush, and close the file."""
        self._file.close()


def open_run(folder: Path) -> JsonLines:
    """Begin a run."""
    return JsonLines(folder)
