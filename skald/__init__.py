"""Skald: log what deep-learning runs produce into plain files, and ask questions of many runs.

    log_metric("loss", 0.31, epoch=2, step=40)
        │  a handful of stores into mapped memory
        ▼
    active segment (Arrow IPC file) ──► sealed segments ──► metrics.parquet
        └───────────────────┬───────────────────┴───────────────┘
                            ▼
             skald.Run: every row exactly once, at any time

Layers, each of which imports only from those above it:

    words   errors, layout, schema, values, durable, ...      names and rules
    engine  engine/                                            metrics and files
    record  record/                                            the other files of a run
    api     logger, run, scan, and what they are made of       experiments
    faces   cli/                                               people
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skald.errors import (
    CorruptRunError,
    FormatVersionError,
    IdTypeError,
    InvalidInputError,
    LoggerClosedError,
    MissingLibraryError,
    RunExistsError,
    RunNotFoundError,
    SkaldError,
    StorageError,
    ValueTypeError,
)
from skald.logger import Logger

if TYPE_CHECKING:
    from skald.compacting import compact
    from skald.overview import runs
    from skald.run import Run
    from skald.scanning import scan
    from skald.widening import wide

__version__ = "1.0.0.dev0"

__all__ = [
    "CorruptRunError",
    "FormatVersionError",
    "IdTypeError",
    "InvalidInputError",
    "Logger",
    "LoggerClosedError",
    "MissingLibraryError",
    "Run",
    "RunExistsError",
    "RunNotFoundError",
    "SkaldError",
    "StorageError",
    "ValueTypeError",
    "compact",
    "runs",
    "scan",
    "wide",
]


_LAZY = {"Run": "run", "compact": "compacting", "runs": "overview", "scan": "scanning", "wide": "widening"}
"""What reads runs, and where it is: loaded at its first use, as logging needs none of it."""


def __getattr__(name: str) -> Any:
    """Load what reads runs."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
