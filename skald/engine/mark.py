"""Marks: what stands beside a lock for those who do not see it, where a file system has none that reach them.

Invariant: of two processes that make a mark where there is none the server lets one win.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import time
from pathlib import Path
from typing import Final

import msgspec

from skald.layout import mark_of

SIGN_SECS: Final = 60.0
"""What another host must touch counts as left by one that is gone when it was not touched for so long."""
_STEAL_SECS: Final = 1.0
"""How long others that found the same mark left have to come to the same conclusion."""

_held: Final[set[Path]] = set()
"""The marks that this process has made."""


class _Holder(msgspec.Struct):
    host: str
    pid: int


class Mark:
    """A file that says that the lock beside it is held."""

    def __init__(self, lock: Path) -> None:
        """Name it by its lock."""
        self._path = mark_of(lock)
        self._taken = False

    def take(self) -> bool:
        """Make the mark; tell whether nobody else has it.

        Raises:
            OSError: the folder is gone, or takes no more files.
        """
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except (FileExistsError, PermissionError) as error:
            if error.errno == errno.EACCES:
                raise
            # NOTE: over SSHFS it is EPERM that says that there is one
            if self._is_left():
                self._path.unlink(missing_ok=True)
                time.sleep(_STEAL_SECS)
            return False
        _held.add(self._path)
        self._taken = True
        try:
            os.write(descriptor, msgspec.json.encode(_Holder(host_name(), os.getpid())))
        finally:
            os.close(descriptor)
        return True

    def keep(self) -> None:
        """Say that it is still held."""
        with contextlib.suppress(OSError):
            os.utime(self._path)

    def drop(self) -> None:
        """Take the mark away, if this object has it."""
        if self._taken:
            self._taken = False
            _held.discard(self._path)
            with contextlib.suppress(OSError):  # where it cannot go it counts as left in a minute
                self._path.unlink()

    def _is_left(self) -> bool:
        """Tell whether who made it is gone."""
        try:
            holder = msgspec.json.decode(self._path.read_bytes(), type=_Holder)
            if holder.host == host_name():
                return self._path not in _held if holder.pid == os.getpid() else not pid_exists(holder.pid)
        except FileNotFoundError:
            return False
        except (OSError, msgspec.DecodeError):  # it was made just now, or its maker died before it said so
            pass
        return not is_young(self._path)


def host_name() -> str:
    """Return the name of this host, in which bytes that are no UTF-8 are escaped."""
    return platform.node().encode(errors="backslashreplace").decode()


def pid_exists(pid: int) -> bool:
    """Tell whether there is a process of this number on this host."""
    import psutil  # it takes 20 ms to load, and hardly anybody needs it here

    return bool(psutil.pid_exists(pid))


def is_young(path: Path) -> bool:
    """Tell whether a file was touched within SIGN_SECS; one that is gone was not."""
    try:
        return time.time() - path.stat().st_mtime < SIGN_SECS
    except FileNotFoundError:
        return False
