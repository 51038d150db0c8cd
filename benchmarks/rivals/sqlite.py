"""A table of sqlite3 with a commit per thousand rows, without syncs; a crash leaves all but the last rows."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

COMMIT_ROWS = 1000


class Sqlite:
    """Collects rows, and inserts a thousand at a time."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "metrics.db")
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute("CREATE TABLE metrics (metric TEXT, epoch INT, step INT, value REAL, time INT)")
        self._rows: list[tuple[str, int, int, float, int]] = []

    def log(self, name: str, value: float, /, *, epoch: int, step: int) -> None:
        """Collect one row."""
        self._rows.append((name, epoch, step, value, time.time_ns()))
        if len(self._rows) == COMMIT_ROWS:
            self._commit()

    def _commit(self) -> None:
        self._database.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)", self._rows)
        self._database.commit()
        self._rows.clear()

    def close(self) -> None:
        """Insert the rest."""
        self._commit()
        self._database.close()


def open_run(folder: Path) -> Sqlite:
    """Begin a run."""
    return Sqlite(folder)
