"""Skald: log what deep-learning runs produce into plain files, and ask questions of many runs.

    log_metric("loss", 0.31, epoch=2, step=40)
        │  a handful of stores into mapped memory
        ▼
    active segment (Arrow IPC file) ──► sealed segments ──► metrics.parquet
        └───────────────────┬───────────────────┴───────────────┘
                            ▼
             skald.Run: every row exactly once, at any time

Layers, each of which imports only from those above it:

    words    errors, layout, schema, values, durable, ...     names and rules
    engine   engine/                                          metrics and files
    record   record/                                          the other files of a run
    reading  run, and reading/ behind it                      one run, read
    upkeep   upkeep/                                          runs that crashed, or are damaged
    writing  logger, and writing/ behind it                   one run, being written
    many     many/                                            many runs as one table
    faces    cli/, viewer/                                    people
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skald.notice  # noqa: F401  it keeps in mind what stderr is now
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

if TYPE_CHECKING:
    from skald.logger import Logger
    from skald.many.overview import runs
    from skald.many.scanning import scan
    from skald.reading.widening import wide
    from skald.run import Run
    from skald.upkeep.compacting import compact

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


_LAZY = {
    "Logger": "logger",
    "Run": "run",
    "compact": "upkeep.compacting",
    "runs": "many.overview",
    "scan": "many.scanning",
    "wide": "reading.widening",
}
"""Where each name is, loaded at its first use: logging needs nothing that reads runs, and the command line no Arrow."""

if not sys.argv[:1] or Path(sys.argv[0]).stem != __name__:
    for part in ("claim", "segment"):  # with Arrow, for which the first Logger of a process would take 0.1 s longer
        importlib.import_module(f"{__name__}.engine.{part}")


def __dir__() -> list[str]:
    """Return the names that people look for, also those not loaded yet."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    """Load a name at its first use."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    return found
