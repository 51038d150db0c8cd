"""The console files of a run: one of the process that began it, one of each that joined, and their unfinished ends."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from skald.durable import unlink
from skald.engine.claim import is_alive, run_lock
from skald.engine.snapshot import writer_folders
from skald.layout import CONSOLE, is_console_name
from skald.record.transcript import Unfinished

_BLOCK_BYTES: Final = 1 << 16


def read_console(run: Path, *, lines: int | None = None) -> str:
    """Return what a run's processes have logged and printed, also what is not finished yet.

    The first process's text comes first; that of each that joined stands below a line with its file's name.

    Args:
        run: the run's folder.
        lines: read no more of each file than is needed for so many lines at its end; None: all.
    """
    unfinished = _unfinished(run)
    names = {path.name for path in run.glob("console*.log") if is_console_name(path.name)} | unfinished.keys()
    parts = []
    for name in sorted(names, key=lambda name: (name != CONSOLE, name)):
        ends = [_read(end) for end in unfinished.get(name, [])]  # NOTE: before the file that takes them up
        console = _read(run / name) if lines is None else read_end(run / name, lines)[1]
        text = "".join([console.decode(errors="replace"), *_missing(ends, run / name)])
        parts.append(text if name == CONSOLE else f"==> {name} <==\n{text}")
    return "".join(part if part.endswith("\n") or part is parts[-1] else f"{part}\n" for part in parts)


def read_end(path: Path, lines: int) -> tuple[int, bytes]:
    """Return from where on a file was read, and what was: its last lines, at least so many; of none nothing."""
    try:
        with path.open("rb") as file:
            start, size, data = file.seek(0, 2), _BLOCK_BYTES, b""
            while start and data.count(b"\n") <= lines:
                stop, start, size = start, max(0, start - size), 2 * size
                file.seek(start)
                data = file.read(stop - start) + data
            return start, data
    except FileNotFoundError:
        return 0, b""


def console_files(run: Path) -> list[Path]:
    """Return the console files of a run, the first process's first; what is unfinished stands elsewhere."""
    found = [path for path in run.glob("console*.log") if is_console_name(path.name)]
    return sorted(found, key=lambda path: (path.name != CONSOLE, path.name))


def read_unfinished(run: Path, console: Path) -> str:
    """Return what is not finished yet of what a console file shows."""
    return "".join(_missing([_read(end) for end in _unfinished(run).get(console.name, [])], console))


def finish_consoles(run: Path) -> None:
    """Append what processes that are gone have left unfinished to their console files.

    Raises:
        OSError: the disk is full.
    """
    if not _unfinished(run):
        return
    with run_lock(run):
        for name, ends in _unfinished(run).items():
            for end in ends:
                if not is_alive(end.parent):
                    _append(end, run / name)


def _append(end: Path, console: Path) -> None:
    missing = "".join(_missing([_read(end)], console))
    if missing:
        written = end.stat().st_mtime_ns
        with console.open("ab") as file:
            file.write(missing.encode())
        os.utime(console, ns=(written, written))  # until then the process was alive
    unlink(end)  # DURABILITY: last: after a crash in between the lines are in the console file already


def _missing(ends: Iterable[bytes], console: Path) -> list[str]:
    """Return what a console file lacks of some unfinished ends."""
    return [Unfinished.decoded(end).missing_from(console) for end in ends if end]


def _unfinished(run: Path) -> dict[str, list[Path]]:
    """Return the unfinished ends of each console file."""
    found: dict[str, list[Path]] = {}
    for folder in writer_folders(run):
        for path in folder.glob("console*.log"):
            if is_console_name(path.name):
                found.setdefault(path.name, []).append(path)
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
