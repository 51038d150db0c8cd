"""What processes that were killed as they overwrote a run left beside it: a part of the new run, or the old one."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from skald.durable import is_real_folder, unlink
from skald.engine.claim import owners
from skald.layout import RUN_JSON, temporaries_in
from skald.notice import tell

LEFTOVER_SECS: Final = 60.0
"""Younger folders beside a run may be what somebody is just overwriting it with."""


def remove_leftovers(folder: Path, names: Collection[str]) -> int:
    """Remove what is left beside runs; return how many folders that were.

    Args:
        folder: where the runs are.
        names: those of the runs.
    """
    found = [path for path in temporaries_in(folder, names) if is_real_folder(path) and _is_left(path)]
    for path in found:
        remove(path)
    return len(found)


def _is_left(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > LEFTOVER_SECS and not owners(folder)


def remove(folder: Path) -> None:
    """Remove a run that has no name any more, or not yet."""
    try:
        unlink(folder / RUN_JSON)  # DURABILITY: first: a part of a run is none
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass  # it was never made, or somebody else removes it too
    except OSError as error:
        tell(f"what is left of an overwritten run was not removed: {error}, in {folder}")
