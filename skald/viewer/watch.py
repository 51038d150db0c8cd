"""Watching one run: its rows as they come, and what the header tells of it.

Invariant: whatever becomes of the run, a look fails with nothing: it says what has become of it.
"""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from skald.engine.follower import Follower, News
from skald.errors import RunNotFoundError, SkaldError
from skald.run import Run

_RATE_SECS: Final = 5.0
FAULTS: Final = (SkaldError, OSError, pl.exceptions.PolarsError)
"""What reading a run may raise while others write, compact or delete it."""


class Vitals(NamedTuple):
    """What is told of a run in one line.

    Attributes:
        status: as `Run.status`; `gone` where it was deleted, `unreadable` where it cannot be read.
        duration: as `Run.duration`.
        rows: how many there are.
        per_sec: how many come in a second; of a run that ended, how many came.
        newest: when the newest row was logged.
        fault: why the run cannot be read.
    """

    status: str = ""
    duration: dt.timedelta = dt.timedelta(0)
    rows: int = 0
    per_sec: float = 0.0
    newest: dt.datetime | None = None
    fault: str = ""


class Watch:
    """A run that is looked at again and again.

    Attributes:
        follower: reads its rows.
        vitals: what the last look found.
    """

    def __init__(self, run: Path) -> None:
        """Look at nothing yet.

        Args:
            run: the run's folder.
        """
        self._run = run
        self.follower = Follower(run)
        self.vitals = Vitals()
        self._counts: deque[tuple[float, int]] = deque()
        self._lasted: tuple[str, dt.timedelta] | None = None

    def look(self) -> News | None:
        """Look for new rows; None where the run cannot be read, which the vitals tell."""
        looked = time.monotonic()
        try:
            news = self.follower.poll()
            self.vitals = self._vitals(looked, is_anew=news.is_anew)
        except RunNotFoundError:
            self.vitals = self.vitals._replace(status="gone", per_sec=0.0, fault="the run was deleted")
            return None
        except FAULTS as error:
            self.vitals = self.vitals._replace(status="unreadable", per_sec=0.0, fault=str(error))
            return None
        return news

    def _vitals(self, looked: float, *, is_anew: bool) -> Vitals:
        run, rows = Run(self._run), self.follower.rows
        status = run.status
        if status == "running" or self._lasted is None or self._lasted[0] != status or is_anew:
            self._lasted = status, run.duration  # of a run that crashed it takes a look at its rows
        duration = self._lasted[1]
        rate = self._rate(rows, looked) if status == "running" else rows / max(duration.total_seconds(), 1e-3)
        return Vitals(status, duration, rows, rate, self.follower.newest)

    def _rate(self, rows: int, now: float) -> float:
        """Return how many rows came in each of the last seconds, as they were counted when `now` was."""
        if self._counts and rows < self._counts[-1][1]:
            self._counts.clear()  # some were taken back
        self._counts.append((now, rows))
        while now - self._counts[0][0] > _RATE_SECS:
            self._counts.popleft()
        since, before = self._counts[0]
        return (rows - before) / (now - since) if now > since else 0.0
