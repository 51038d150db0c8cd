"""The thread that logs system metrics.

Invariant: it raises into nothing, ends before its run does, and touches neither the ids of a loop nor the
generated code of its log calls.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from skald.background import Background
from skald.engine.lock import FileLock
from skald.errors import LoggerClosedError
from skald.writing.system.gpus import Gpus
from skald.writing.system.machine import Machine, ProcessTree, Values

PREFIX: Final = "system/"
FIRST_SECS: Final = 1.0
"""The first rows come after this, so that a short run has some."""
CLOSE_SECS: Final = 2.0
"""How long to wait, when the run ends, for a driver that does not answer."""

Append = Callable[[list[tuple[str, float]], Mapping[str, str], int], None]
Warn = Callable[[str], None]


class Sampler:
    """Reads the machine every so often, and logs what it finds."""

    def __init__(self, append: Append, warn: Warn, *, run: Path | None, lock: Path, every: float) -> None:
        """Begin.

        Args:
            append: logs rows of names and values with ids, at a time in ns.
            warn: says something to the user.
            run: the run's folder.
            lock: the file that the process of this host that logs the machine's metrics has locked.
            every: seconds between readings.
        """
        self._append, self._warn, self._run, self._every = append, warn, run, every
        self._lock = FileLock(lock)
        self._gpus = Gpus()
        self._told: set[str] = set()
        self._thread = Background("skald-system")
        self._thread.start(self._work)

    def stop(self) -> None:
        """Log once more, and end."""
        self._thread.stop()
        # NOTE: not for ever: a driver may hang, and a signal handler that closes may have interrupted
        # the log call that this thread waits for
        self._thread.join(CLOSE_SECS)

    def _work(self) -> None:
        with contextlib.suppress(LoggerClosedError):
            self._attempt("all of them", self._loop)
        self._attempt("GPUs", self._gpus.close)
        if self._lock.held:
            self._attempt("lock", self._lock.remove)

    def _loop(self) -> None:
        machine, tree = Machine(self._run), ProcessTree()
        self._sample(machine, tree, log=False)  # what rates begin with
        wait = min(self._every, FIRST_SECS)
        while self._thread.sleep(wait):
            self._sample(machine, tree)
            wait = self._every
        self._sample(machine, tree)

    def _sample(self, machine: Machine, tree: ProcessTree, *, log: bool = True) -> None:
        now = time.time_ns()
        found: list[tuple[Values, Mapping[str, str]]] = []

        def read(what: str, reading: Callable[[], Values], **ids: str) -> None:
            self._attempt(what, lambda: found.append((reading(), ids)))

        read("the process", tree.read)
        if self._is_first_of_host():
            for what in (machine.cpu, machine.memory, machine.disk, machine.disk_traffic, machine.network):
                read(what.__name__.replace("_", " "), what)
            for number in self._gpus.numbers:
                read(f"GPU {number}", functools.partial(self._gpus.read, number), gpu=str(number))
        if log:
            for ids, values in _by_ids(found):
                self._attempt("logging", lambda: self._log(values, ids, now))  # noqa: B023  called at once

    def _log(self, values: Values, ids: Mapping[str, str], now: int) -> None:
        if values:
            self._append([(PREFIX + name, value) for name, value in values.items()], ids, now)

    def _is_first_of_host(self) -> bool:
        """Tell whether this process logs for the whole machine; it takes over from one that has ended."""
        held = self._lock.held
        if not held:
            self._attempt("lock", lambda: self._lock.acquire(0))
            held = self._lock.held
            if held:
                self._attempt("GPUs", self._gpus.open)
        return held

    def _attempt(self, what: str, action: Callable[[], object]) -> None:
        """Do something that may fail, which is told once."""
        try:
            action()
        except LoggerClosedError:
            raise
        except Exception as error:  # noqa: BLE001  whatever a driver or the disk says: the training goes on
            if what not in self._told:
                self._told.add(what)
                self._warn(f"system metrics are incomplete ({what}): {type(error).__name__}: {error}")


def _by_ids(found: Iterable[tuple[Values, Mapping[str, str]]]) -> list[tuple[Mapping[str, str], Values]]:
    """Put together what has the same ids."""
    groups: dict[tuple[tuple[str, str], ...], Values] = {}
    for values, ids in found:
        groups.setdefault(tuple(ids.items()), {}).update(values)
    return [(dict(ids), values) for ids, values in groups.items()]
