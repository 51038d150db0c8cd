"""Where a segment's bytes live: mapped (a shared mapping of its file) or staged (memory, written now and then).

Invariant: a file appears under its final name by rename, complete, and is never truncated.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from skald.durable import replace
from skald.engine.blueprint import SEALED_AT
from skald.errors import InvalidInputError
from skald.layout import temporary

Mode = Literal["mapped", "staged"]
Parts = Sequence[tuple[int, Any]]
"""Positions, and buffers of what stands there."""

_NETWORK: Final = (
    "nfs", "smb", "cifs", "lustre", "gpfs", "wekafs", "beegfs", "ceph", "glusterfs", "afs", "9p", "panfs", "orangefs",
    "pvfs2", "gfs2", "ocfs2", "webdav", "virtiofs", "vboxsf", "prl_fs", "fuse", "drvfs",
)  # fmt: skip
_LOCKING: Final = ("nfs", "nfs4", "lustre", "gpfs", "ceph", "ocfs2", "gfs2")
"""Network file systems whose locks are seen by all hosts, unless they are mounted otherwise."""
_COPY_ON_WRITE: Final = ("btrfs", "zfs", "bcachefs")
_MOUNTS = Path("/proc/self/mounts")
_REACHING: Final[dict[int, bool]] = {}
"""By the number of a device, whether locks there reach all hosts."""
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_POPULATE_WRITE: Final = 23
"""MADV_POPULATE_WRITE of Linux 5.14: fault all pages in, for writing."""


class Storage(Protocol):
    """The memory of one segment, and how it reaches its file."""

    memory: mmap.mmap

    def seal(self) -> None:
        """Mark the file as never to change again; no call stores into the memory any more."""

    def sync(self) -> None:
        """Wait until the disk itself has everything stored so far."""

    def close(self) -> None:
        """Let go of the memory."""

    def abandon(self) -> None:
        """Forget, in a forked child, what the parent goes on writing."""


class Volatile:
    """Memory without a file: what a disabled logger stores into."""

    def __init__(self, size: int, parts: Parts) -> None:
        """Take memory that holds `parts`."""
        self.memory = mmap.mmap(-1, size)
        _populate(self.memory)
        fill(self.memory, parts)

    def seal(self) -> None:
        """Nothing is kept."""

    def sync(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Unmap, unless a call in flight still looks at the memory, which then goes with that call."""
        with contextlib.suppress(BufferError):
            self.memory.close()

    abandon = close


class Mapped:
    """A shared mapping of the file: what is stored belongs to the kernel at once."""

    def __init__(self, path: Path, size: int, parts: Parts, check: Callable[[], None] = lambda: None) -> None:
        """Create the file, with its space reserved, and map it, unless `check` raises just before it appears.

        Raises:
            OSError: no space, no folder.
        """
        descriptor = create(path, size, parts, reserve=True, check=check)
        try:
            self.memory = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        _populate(self.memory)

    def seal(self) -> None:
        """Mark the file as never to change again."""
        if not self.memory.closed:
            self.memory[SEALED_AT] = 1

    def sync(self) -> None:
        """Wait until the disk has everything."""
        self.memory.flush()

    def close(self) -> None:
        """Unmap, unless a call in flight still looks at the memory, which then goes with that call."""
        with contextlib.suppress(BufferError):
            self.memory.close()

    abandon = close


def _populate(memory: mmap.mmap) -> None:
    """Fault all pages in, so that no log call does; a lack of space is an error here, and no signal later.

    NOTE: MADV_HUGEPAGE before it makes this 0.3 instead of 2.0 ms for 65,536 rows on ext4 where memory is warm,
    but 5 ms in a virtual machine that gives free memory back to its host.
    """
    if sys.platform == "linux":
        try:
            memory.madvise(_POPULATE_WRITE)
        except OSError as error:
            if error.errno == errno.EFAULT:  # a store would have been a SIGBUS
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            if error.errno != errno.EINVAL:  # an older kernel: a call faults a page now and then
                raise


def check_variable() -> Mode | None:
    """Return what $SKALD_STORAGE asks for, None where it says nothing.

    Raises:
        InvalidInputError: it says something else than mapped or staged.
    """
    said = os.environ.get("SKALD_STORAGE", "")
    if said not in ("", "mapped", "staged"):
        raise InvalidInputError(f"SKALD_STORAGE must be mapped or staged, got {said!r}")
    return said or None  # type: ignore[return-value]


def choose_mode(folder: Path) -> Mode:
    """Return how segments in `folder` are stored: as $SKALD_STORAGE says, else by its file system."""
    kind = file_system(folder).lower()
    is_slow = kind.startswith(_NETWORK) or kind in _COPY_ON_WRITE
    return check_variable() or ("staged" if is_slow else "mapped")


def is_network(folder: Path) -> bool:
    """Tell whether `folder` is on a network file system, where a write is not yet on the server."""
    return file_system(folder).lower().startswith(_NETWORK)


def locks_reach(folder: Path) -> bool:
    """Tell whether everybody who can open a file in `folder` sees the locks on it, on other hosts too."""
    device = folder.stat().st_dev
    if device not in _REACHING:  # NOTE: to list what is mounted takes 0.2 ms
        _REACHING[device] = _reach(_mount_of(folder))
    return _REACHING[device]


def _reach(mount: _Mount) -> bool:
    kind = mount.kind.lower()
    if not kind.startswith(_NETWORK):
        return True
    if kind == "lustre" and "flock" not in mount.options:
        return False
    return kind in _LOCKING and mount.options.isdisjoint(("nolock", "local_lock=all", "local_lock=flock"))


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds `folder`, an empty string where it is unknown."""
    return _mount_of(folder).kind


class _Mount(NamedTuple):
    point: str
    kind: str
    options: frozenset[str] = frozenset()


def _mount_of(folder: Path) -> _Mount:
    best = _Mount("", "")
    here = os.path.realpath(folder)
    for mount in _mounts():
        inside = here == mount.point or here.startswith(mount.point.rstrip(os.sep) + os.sep)
        if inside and len(mount.point) >= len(best.point):
            best = mount
    return best


def _mounts() -> list[_Mount]:
    """List what is mounted; on Linux from the kernel, as psutil takes 20 ms to load."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        import psutil

        parts = psutil.disk_partitions(all=True)
        return [_Mount(part.mountpoint, part.fstype, frozenset(part.opts.split(","))) for part in parts]
    fields = [line.split(" ") for line in lines]
    return [
        _Mount(_OCTAL.sub(lambda code: chr(int(code[1], 8)), point), kind, frozenset(options.split(",")))
        for _, point, kind, options, *_ in fields
    ]


def create(path: Path, size: int, parts: Parts, *, reserve: bool, check: Callable[[], None] = lambda: None) -> int:
    """Make a file of `size` zeros and `parts` appear under `path`; return its descriptor."""
    beside = temporary(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(beside, flags, 0o666)
    try:
        if reserve:
            _reserve(descriptor, size)
        else:
            os.ftruncate(descriptor, size)
        for position, data in parts:
            write_at(descriptor, data, position)
        check()  # NOTE: last of all, as a child that was forked in here would replace its parent's file
        if os.name == "nt":  # an open file cannot be renamed there
            os.close(descriptor)
            replace(beside, path)
            return os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.close(descriptor)
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    return descriptor


def fill(memory: mmap.mmap, parts: Parts) -> None:
    """Store the parts that are not zero."""
    for position, data in parts:
        source = memoryview(data).cast("B")
        memory[position : position + len(source)] = source


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its space now: a full disk is an error here, and no SIGBUS at a store."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
    for position in range(0, size, 1 << 20):
        write_at(descriptor, bytes(min(1 << 20, size - position)), position)


def write_at(descriptor: int, data: Any, position: int) -> None:
    """Write all of `data` at a place in the file."""
    rest = memoryview(data).cast("B")
    while rest:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, rest, position)
        else:
            os.lseek(descriptor, position, os.SEEK_SET)
            written = os.write(descriptor, rest)
        rest, position = rest[written:], position + written
