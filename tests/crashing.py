"""Programs that die at a disk operation: a server that imports once, and forks a child for each death.

The server is a process of its own: it has no threads yet, so its children may fork in peace, and a death is a
real one, without `finally` and without buffers being flushed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

DIED = 77
EVENTS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir"})
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
"""A file opened with none of them is only read: a death before that leaves what one before the next operation does."""


class CrashServer:
    """Runs compactions and rewinds that die just before their n-th disk operation."""

    def __init__(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def compact(self, run: Path, *, die_at: int | None = None, **options: Any) -> tuple[bool, list[list[str]]]:
        """Compact a run; return whether it lived to the end, and the operations that it did.

        Args:
            run: the run's folder.
            die_at: the operation before which to die, from 0; None: none.
            options: of `compact`.
        """
        return self._do("compact", run, die_at, options)

    def rewind(self, run: Path, *, die_at: int | None = None, **options: Any) -> tuple[bool, list[list[str]]]:
        """Take rows of a run back, as `compact` compacts it; the options are `ids`, `writer`, `stop` and `ended`."""
        return self._do("rewind", run, die_at, options)

    def _do(self, what: str, run: Path, die_at: int | None, options: dict[str, Any]) -> tuple[bool, list[list[str]]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([what, str(run), die_at, options]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert answer["code"] in (0, DIED), answer
        return answer["code"] == 0, answer["operations"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


def _serve() -> None:
    from skald.engine.compaction import compact
    from skald.engine.takeback import Scope, take_back

    def rewind(run: Path, *, ids: Any, writer: str, stop: int, ended: list[str]) -> None:
        take_back(run, tuple(map(tuple, ids)), Scope(writer, stop, tuple(ended)))

    for line in sys.stdin:
        what, run, die_at, options = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            _count_operations(writer, die_at)
            actions: dict[str, Callable[..., Any]] = {"compact": compact, "rewind": rewind}
            actions[what](Path(run), **options)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            operations = [json.loads(operation) for operation in pipe]
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(json.dumps({"code": code, "operations": operations}) + "\n")
        sys.stdout.flush()


def _count_operations(pipe: int, die_at: int | None) -> None:
    """Report every disk operation of this process from now on, and die before one of them."""
    count = 0

    def operation(name: str, arguments: Sequence[Any]) -> None:
        nonlocal count
        if count == die_at:
            os._exit(DIED)
        count += 1
        os.write(pipe, (json.dumps([name, *map(str, arguments)]) + "\n").encode())

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in EVENTS or (event == "open" and arguments[2] & WRITES)
        if is_change and "/run" in str(arguments[0]):
            operation(event, arguments[:2])

    fsync = os.fsync

    def audited_fsync(fd: Any) -> None:
        operation("fsync", [Path(f"/proc/self/fd/{fd}").readlink()])
        fsync(fd)

    os.fsync = audited_fsync  # it raises no audit event
    sys.addaudithook(audit)


if __name__ == "__main__":
    _serve()
