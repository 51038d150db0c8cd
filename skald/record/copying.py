"""Files and folders on their way into a run: looked over first, then copied and hashed in one pass, or linked."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from skald.errors import InvalidInputError

CHUNK_BYTES: Final = 1 << 20
"""NOTE: reading, hashing and writing of a chunk each let other threads run."""
_KINDS: Final = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Part(NamedTuple):
    """A file of an artifact."""

    inner: str
    """Its path inside the artifact, with `/`; empty where the artifact is the file."""
    size: int
    sha256: str | None
    """None of a file that was linked, and so not read."""


class Content(NamedTuple):
    """What an artifact is to be made of."""

    is_folder: bool
    write: Callable[[Path], list[Part]]
    """Writes it to a path where nothing is, and says of what files it is."""
    left_out: tuple[str, ...] = ()
    """Links in a folder that lead nowhere."""


def content_of_bytes(data: bytes) -> Content:
    """Return a file's content."""

    def write(target: Path) -> list[Part]:
        target.write_bytes(data)
        return [Part("", len(data), hashlib.sha256(data).hexdigest())]

    return Content(is_folder=False, write=write)


def content_of_path(source: Path, *, link: bool) -> Content:
    """Return the content of a file or a folder that is there; it is looked over, but not read yet.

    Args:
        source: the path; links are followed.
        link: link the files (a hard link, where the system has none a symbolic one) in place of copying them.

    Raises:
        InvalidInputError: it is not there, cannot be read, is no file or folder, or leads back into itself.
    """
    take = _link if link else _copy
    if not _is_folder(source):
        return Content(is_folder=False, write=lambda target: [take(source, target, "")])
    left_out: list[str] = []
    entries = list(_walk(source, "", (), left_out))

    def write(target: Path) -> list[Part]:
        target.mkdir()
        parts = []
        for inner, is_folder in entries:
            if is_folder:
                (target / inner).mkdir()
            else:
                parts.append(take(source / inner, target / inner, inner))
        return parts

    return Content(is_folder=True, write=write, left_out=tuple(left_out))


def _walk(
    folder: Path, inner: str, above: tuple[os.stat_result, ...], left_out: list[str]
) -> Iterator[tuple[str, bool]]:
    """Yield what is in a folder, by its path inside the topmost one, and whether it is a folder."""
    here = folder.stat()
    if any(os.path.samestat(here, other) for other in above):
        raise InvalidInputError(f"a link inside the folder leads back to a folder that it is in: {folder}")
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names only
    except OSError as error:
        raise _unreadable(folder, error) from error
    for name in names:
        if (folder / name).is_symlink() and not (folder / name).exists():
            left_out.append(inner + name)
            continue
        is_folder = _is_folder(folder / name)
        yield inner + name, is_folder
        if is_folder:
            yield from _walk(folder / name, f"{inner}{name}/", (*above, here), left_out)


def _is_folder(path: Path) -> bool:
    """Tell a folder from a file; what is neither, or cannot be read, is an error."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        what = "is a link to a file that is not there" if path.is_symlink() else "is not there"
        raise InvalidInputError(f"the file {what}: {path}") from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    kind = stat.S_IFMT(mode)
    if kind in _KINDS:
        raise InvalidInputError(f"an artifact must be a file or a folder, got {_KINDS[kind]}: {path}")
    is_folder = kind == stat.S_IFDIR
    if not os.access(path, os.R_OK | os.X_OK if is_folder else os.R_OK):
        raise _unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    return is_folder


def _copy(source: Path, target: Path, inner: str) -> Part:
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        reading: Any = source.open("rb", buffering=0)
    except OSError as error:
        raise _unreadable(source, error) from error
    with reading, target.open("xb", buffering=0) as writing:
        while count := _read(reading, buffer, source):
            chunk = buffer[:count]
            digest.update(chunk)
            while chunk:
                chunk = chunk[writing.write(chunk) :]
            size += count
    return Part(inner, size, digest.hexdigest())


def _read(reading: Any, buffer: memoryview, source: Path) -> int:
    try:
        return int(reading.readinto(buffer))
    except OSError as error:
        raise _unreadable(source, error) from error


def _link(source: Path, target: Path, inner: str) -> Part:
    real = source.resolve()
    try:
        target.hardlink_to(real)
    except OSError:  # another disk, or a system that allows none
        target.symlink_to(real)
    return Part(inner, real.stat().st_size, None)


def _unreadable(path: Path, error: Exception) -> InvalidInputError:
    return InvalidInputError(f"the file cannot be read: {getattr(error, 'strerror', None) or error}, in {path}")
