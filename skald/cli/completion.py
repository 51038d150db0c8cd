"""What a shell offers at the tab key: runs and metrics. Where they cannot be read it offers nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from skald import layout
from skald.errors import SkaldError

_MOST_RUNS: Final = 20
"""Of so many runs the metrics are looked up: a shell that is asked must answer at once."""


def complete_paths(incomplete: str) -> list[str]:
    """Return the runs in the default folder and the folders here that begin so; with a separator the shell knows."""
    folders = (layout.runs_dir(None), Path.cwd())
    names = (
        entry.name for folder in folders if folder.is_dir() for entry in sorted(folder.iterdir()) if entry.is_dir()
    )
    return list(dict.fromkeys(name for name in names if name.startswith(incomplete)))


def complete_metrics(paths: Sequence[str], incomplete: str) -> list[str]:
    """Return the metrics that begin so of the runs that the command names already."""
    return list(dict.fromkeys(name for name in _metrics(paths) if name.startswith(incomplete)))


def _metrics(paths: Sequence[str]) -> Iterator[str]:
    from skald.cli.paths import resolve_all, runs_in
    from skald.run import Run

    runs: list[Path] = []
    with contextlib.suppress(SkaldError, OSError):
        runs = runs_in(resolve_all(paths))
    for run in runs[:_MOST_RUNS]:
        with contextlib.suppress(SkaldError, OSError):
            yield from Run(run).metric_names
