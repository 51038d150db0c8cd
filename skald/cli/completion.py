"""What a shell offers at the tab key: runs, and what they hold. Where they cannot be read it offers nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from skald import layout
from skald.errors import SkaldError

if TYPE_CHECKING:
    from skald.run import Run

_MOST_RUNS: Final = 20
"""Of so many runs is looked up what they hold: a shell that is asked must answer at once."""


def complete_paths(incomplete: str) -> list[str]:
    """Return the runs in the default folder and the folders here that begin so; with a separator the shell knows."""
    folders = (layout.runs_dir(None), Path.cwd())
    names = (
        entry.name for folder in folders if folder.is_dir() for entry in sorted(folder.iterdir()) if entry.is_dir()
    )
    return list(dict.fromkeys(name for name in names if name.startswith(incomplete)))


def complete_names(paths: Sequence[str], incomplete: str, kinds: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return what begins so of what the runs hold that the command names already.

    Args:
        paths: as they stand on the command line.
        incomplete: what is to be completed.
        kinds: `metrics`, `params`, `ids`, or `pairs`, which are NAME=VALUE of ids.
        others: what is offered before.
    """
    names = dict.fromkeys(others)
    for run in _runs(paths):
        for kind in kinds:
            with contextlib.suppress(SkaldError, OSError):
                names |= dict.fromkeys(_NAMES[kind](run))
    return [name for name in names if name.startswith(incomplete)]


def _ids(run: Run) -> Iterable[str]:
    from skald.reading.selection import id_kinds

    return id_kinds(run.metrics.collect_schema())


def _pairs(run: Run) -> Iterator[str]:
    """Yield the values of the ids that tell series apart; of the others, which are numbers, what stands before them."""
    ids, summary = list(_ids(run)), run.summary()
    named = summary.columns[1 : summary.columns.index("count")]
    for name in named:
        yield from (f"{name}={value}" for value in summary[name].drop_nulls().cast(str).unique(maintain_order=True))
    yield from (f"{name}=" for name in ids if name not in named)


def _params(run: Run) -> Iterable[str]:
    from skald.record.params import dotted

    return dotted(run.params)


_NAMES: Final[dict[str, Callable[[Run], Iterable[str]]]] = {
    "metrics": lambda run: run.metric_names,
    "params": _params,
    "ids": _ids,
    "pairs": _pairs,
}


def _runs(paths: Sequence[str]) -> Iterator[Run]:
    from skald.cli.paths import resolve_all, runs_in
    from skald.run import Run

    folders: list[Path] = []
    with contextlib.suppress(SkaldError, OSError):
        folders = runs_in(resolve_all(paths))
    for folder in folders[:_MOST_RUNS]:
        with contextlib.suppress(SkaldError, OSError):
            yield Run(folder)
