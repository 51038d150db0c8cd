"""Scratch: the run of a disabled logger, in a temporary folder, for those who read it while the process lives."""

from __future__ import annotations

import atexit
import datetime as dt
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Final

from skald.durable import is_real_folder
from skald.engine.claim import Claim, owners
from skald.engine.mark import pid_exists
from skald.record.info import Status, read_info, settle, write_info
from skald.writing.opening import Description, open_run

_PREFIX: Final = "skald-disabled-"
_NAME: Final = re.compile(rf"{_PREFIX}(\d{{1,9}})-.*")
"""With the number of the process that made it."""


def open_scratch(name: str) -> Path:
    """Make the run of a disabled logger, for those who read it or put files into it; it goes with the process."""
    parent = Path(tempfile.gettempdir())
    remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    opened = open_run(folder / name, "new", Description())
    atexit.register(_remove_scratch, folder, opened.claim, os.getpid())
    return opened.run


def end_scratch(run: Path, status: Status, exception: str | None) -> None:
    """Say how the run of a disabled logger has ended."""
    info = read_info(run)
    for session in info.sessions:
        session.status, session.exception, session.ended = status, exception, dt.datetime.now(dt.UTC)
    settle(info, writing=())
    write_info(run, info)


def _remove_scratch(folder: Path, claim: Claim, pid: int) -> None:
    if os.getpid() == pid:  # and not a child that was forked
        claim.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove scratch folders of this user whose processes were killed; what cannot be removed stays."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # somebody else removes it just now
            continue


def _is_abandoned(folder: Path) -> bool:
    """Tell whether nobody lives who made a folder; NOTE: a lock is seen also of a container with its own numbers."""
    found = _NAME.fullmatch(folder.name)
    if found is None or not is_real_folder(folder) or pid_exists(int(found[1])):
        return False
    is_mine = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
    return is_mine and not any(owners(run) for run in folder.iterdir())
