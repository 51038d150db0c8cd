"""Files that are whole at every instant: written beside, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from skald.layout import temporary

T = TypeVar("T")

_HERE: Final = -100
"""AT_FDCWD"""
_EXCHANGE: Final = 2
"""RENAME_EXCHANGE of Linux's renameat2."""
STALE_SECS = 5.0
"""How long a network file system may take for a file that another host has replaced."""
RETRY_SECS = 1.0
"""How long to wait for a file that another process holds open, where that forbids replacing it (Windows)."""


def is_full(error: OSError) -> bool:
    """Tell whether a fault is a lack of space, which may pass."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM)


def identity(status: os.stat_result) -> tuple[int, ...]:
    """Return by what a file that others replace is told from the one that comes after it."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_atomic(path: Path) -> bytes:
    """Return what is in a file that others replace."""
    return unstale(path.read_bytes)


def unstale(action: Callable[[], T]) -> T:
    """Do something with a file that others replace or remove.

    NOTE: on a network file system a client that has looked the file up may for a second or two learn only that what it
    knows is "stale", when another host has replaced it meanwhile.
    """
    deadline = time.monotonic() + STALE_SECS
    while True:
        try:
            return action()
        except OSError as error:
            if error.errno != errno.ESTALE or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def write_atomic(path: Path, data: bytes, *, sync: bool = False, new: bool = False) -> None:
    """Replace `path` by `data`: a reader sees the old file or the new, whole.

    Args:
        path: the file; its folder must exist.
        data: the new content.
        sync: also wait until the disk has it, and the rename.
        new: replace nothing: of two that make the file at once, also on two hosts, one gets a FileExistsError.

    Raises:
        FileExistsError: there is one, which must be new.
        OSError: the disk is full, the folder is gone; `path` is then as it was.
    """
    beside = temporary(path)
    try:
        with beside.open("xb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        if not new or not _linked(beside, path):
            replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def _linked(source: Path, target: Path) -> bool:
    """Rename a file where nothing may be replaced; tell whether the file system has links, by which this is done."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if isinstance(error, FileExistsError) or os.path.lexists(target):  # SSHFS has no error of its own for that
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        return False  # what else is wrong a rename meets too
    source.unlink()
    return True


def replace(source: Path, target: Path) -> None:
    """Rename `source` over `target`, waiting a second where somebody holds `target` open."""
    _patiently(lambda: source.replace(target))


def exchange(new: Path, old: Path) -> None:
    """Let two folders have each other's name, at once where the system can do that.

    NOTE: it can on Linux, on its own file systems and tmpfs; on NFS and on other systems there is an instant between
    two renames at which nothing stands under the second name.
    """
    if sys.platform == "linux" and _exchange_at_once(new, old):
        return
    aside = temporary(old)
    old.rename(aside)
    try:
        new.rename(old)
    except BaseException:
        aside.rename(old)
        raise
    aside.rename(new)


def _exchange_at_once(new: Path, old: Path) -> bool:
    """Exchange two names by one system call; tell whether the kernel and the file system know it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        return False
    if libc.renameat2(_HERE, os.fsencode(new), _HERE, os.fsencode(old), _EXCHANGE) == 0:
        return True
    fault = ctypes.get_errno()
    if fault in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(fault, os.strerror(fault), str(old))


def make_folder(path: Path) -> None:
    """Make a folder unless it is there; NOTE: `exist_ok` fails where somebody removes it in between."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()


def unlink(path: Path) -> None:
    """Remove a file if it is there, waiting a second where somebody holds it open."""
    _patiently(lambda: path.unlink(missing_ok=True))


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; what a link leads to stays."""
    if is_real_folder(path):
        import shutil  # NOTE: which brings every kind of archive

        shutil.rmtree(path)
    else:
        unlink(path)


def is_real_folder(path: Path) -> bool:
    """Tell whether a folder is there, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def sync_file(path: Path) -> None:
    """Wait until the disk has what is in `path`."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in `folder`, where the system can say so."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _patiently(action: Callable[[], object]) -> None:
    deadline = time.monotonic() + RETRY_SECS
    while True:
        try:
            action()
            return
        except PermissionError:
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
