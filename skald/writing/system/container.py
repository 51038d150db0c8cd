"""The container that a process runs in: its share of memory and cores, by Linux's control groups, version 2.

https://docs.kernel.org/admin-guide/cgroup-v2.html says what each file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class Container:
    """The limits above a process; each method returns None where there is none."""

    def __init__(self, root: Path = Path("/")) -> None:
        """Look for the groups of this process, the innermost first."""
        self._groups = list(_groups(root))

    def memory(self) -> tuple[int, int] | None:
        """Return the bytes in use, caches that can be dropped left out, and the limit."""
        said = [(_word(group / "memory.max"), group) for group in self._groups]
        limits = [(int(word), group) for word, group in said if word.isdecimal()]
        if not limits:
            return None
        limit, group = min(limits)
        used = int(_word(group / "memory.current") or 0) - _field(group / "memory.stat", "inactive_file")
        return max(used, 0), limit

    def cpu(self) -> tuple[float, float] | None:
        """Return the seconds of CPU used since the container began, and how many cores it may use at once."""
        limits = []
        for group in self._groups:
            quota, _, period = _text(group / "cpu.max").strip().partition(" ")
            if quota.isdecimal() and period.isdecimal():
                limits.append((int(quota) / int(period), group))
        if not limits:
            return None
        cores, group = min(limits)
        return _field(group / "cpu.stat", "usage_usec") / 1e6, cores


def _groups(root: Path) -> Iterator[Path]:
    top = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        if line.startswith("0::/"):
            group = top / line.removeprefix("0::/")
            yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _word(path: Path) -> str:
    return _text(path).strip()


def _field(path: Path, name: str) -> int:
    """Return a number from a file with a name and a number a line; 0 where it is not there."""
    return next((int(line.split()[1]) for line in _text(path).splitlines() if line.startswith(f"{name} ")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
