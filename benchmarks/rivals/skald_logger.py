"""Skald itself, behind the calls of its rivals; a crash of the process leaves every row."""

from __future__ import annotations

from pathlib import Path

import skald


class SkaldLogger:
    """Hands out the logger's own calls, so nothing stands between."""

    def __init__(self, folder: Path) -> None:
        logger = skald.Logger("run", folder)
        self.log, self.close = logger.log_metric, logger.close


def open_run(folder: Path) -> SkaldLogger:
    """Begin a run."""
    return SkaldLogger(folder)
