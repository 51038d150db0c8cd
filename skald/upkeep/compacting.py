"""Compaction of a run, in the format that the run asked for when it was made."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from skald.engine.claim import run_lock
from skald.engine.compaction import Compaction
from skald.engine.compaction import compact as compact_metrics
from skald.engine.count import count_rows
from skald.engine.standing import logged_rows
from skald.errors import RunNotFoundError, SkaldError, StorageError
from skald.layout import absolute, is_run
from skald.record.consolefiles import finish_consoles
from skald.record.info import read_info, write_info
from skald.record.lossfile import finish_losses

_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


def compact(
    path: str | os.PathLike[str], *, last_out: bool = False, progress: Callable[[int, int], None] | None = None
) -> Compaction:
    """Compact a run that crashed or was not finished; of one that is being written, its sealed segments.

    Args:
        path: the run's folder.
        last_out: do nothing while a process writes the run: it will do it when it closes.
        progress: is told how many rows are written, and of how many.

    Returns:
        what it did: rows, segments, bytes, seconds, and what was damaged.

    Raises:
        RunNotFoundError: there is no run.
        CorruptRunError: a file of the run cannot be read; nothing was changed.
        FormatVersionError: a newer Skald wrote the run.
        StorageError: the disk takes no more, or the run may not be written; every row is where it was.
    """
    run = absolute(path, what="the path of a run")
    if not is_run(run):
        raise RunNotFoundError(f"there is no run at {run}")
    try:
        finish_consoles(run)
        finish_losses(run)
        _note_rows(run)
        return compact_metrics(run, metrics_format=read_info(run).metrics_format, last_out=last_out, progress=progress)
    except StorageError as error:
        _add_remedy(error)
        raise
    except SkaldError:
        raise
    except OSError as error:
        told = StorageError(error.errno, f"cannot write the run at {run}: {error.strerror or error}")
        _add_remedy(told)
        raise told from error


def _add_remedy(error: StorageError) -> None:
    if error.errno in _FORBIDDEN:
        error.add_note("hint: make its folder one that you may write, or compact a copy of it")


def _note_rows(run: Path) -> None:
    """Say in run.json how many rows there are, where no process could: so that a metrics file that is lost is missed.

    They crashed, or were forked children, of which run.json does not tell.
    """
    rows = 0 if logged_rows(run) else sum(count_rows(run))
    if rows:
        with run_lock(run):
            info = read_info(run)
            for session in info.sessions[-1:]:
                session.rows = rows
                write_info(run, info)
