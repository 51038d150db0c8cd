"""What a writer got and did not keep as it was, in its folder while it lives: it is known so however it ends."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from skald.durable import unlink
from skald.engine.claim import run_lock
from skald.engine.snapshot import writer_folders
from skald.layout import LOSSES
from skald.record.info import Child, Lost, RunInfo, Session, live_writers, read_info, write_info


def write_losses(folder: Path, lost: Lost) -> None:
    """Put into a writer's folder what it has lost so far.

    Raises:
        OSError: the disk is full, the folder is gone.
    """
    descriptor = os.open(folder / LOSSES, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, msgspec.json.encode(lost))  # NOTE: over what is there, which is shorter
    finally:
        os.close(descriptor)


def enter_losses(run: Path, info: RunInfo, alive: Collection[str]) -> list[Path]:
    """Enter into `info` what writers had lost that are not alive, as killed ones and forked children.

    Returns:
        the files that are to be removed once that is on disk.
    """
    known: list[Session | Child] = [*info.children, *info.sessions]
    entries = {each.writer: each for each in known}
    found = []
    for path, lost in _lost(run):
        writer = path.parent.name
        if writer in alive:
            continue
        if writer not in entries:
            entries[writer] = child = Child(writer=writer)
            info.children.append(child)
        entry = entries[writer]
        entry.refused, entry.failed_values, entry.rounded = lost.refused, lost.failed_values, lost.rounded
        found.append(path)
    return found


def finish_losses(run: Path) -> None:
    """Enter into run.json what writers had lost that are gone.

    Raises:
        StorageError: the disk is full.
    """
    if not any(_lost(run)):
        return
    with run_lock(run):
        info = read_info(run)
        entered = enter_losses(run, info, live_writers(run))
        write_info(run, info)
        for path in entered:
            unlink(path)


def has_rounded(run: Path) -> bool:
    """Tell whether an int has been logged rounded in a run."""
    info = read_info(run)
    entered: list[Session | Child] = [*info.sessions, *info.children]
    return any(each.rounded for each in entered) or any(lost.rounded for _, lost in _lost(run))


def _lost(run: Path) -> Iterator[tuple[Path, Lost]]:
    for folder in writer_folders(run):
        path = folder / LOSSES
        try:
            yield path, msgspec.json.decode(path.read_bytes(), type=Lost)
        except FileNotFoundError:
            continue
        except (msgspec.DecodeError, UnicodeDecodeError):  # the power went
            yield path, Lost()
