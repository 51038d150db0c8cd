"""Measuring: blocks of calls that take turns in one process, and one line of JSON a figure.

The machine may be shared and drift by a factor of two, so what is compared alternates, and the ratio reported is the
median of the ratios of neighbours.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

PACKAGES = ("skald", "pyarrow", "polars", "numpy")
WARM_BYTES = 1 << 30

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure is to reach."""

    most: float | None = None
    least: float | None = None
    of: str = "value"
    """`value` or `ratio`."""

    def __str__(self) -> str:
        """Return it as `ratio <= 0.5`."""
        return f"{self.of} <= {self.most:g}" if self.least is None else f"{self.of} >= {self.least:g}"

    def is_reached(self, figure: float) -> bool:
        """Tell whether a figure reaches it."""
        return (self.most is None or figure <= self.most) and (self.least is None or figure >= self.least)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One question, in its size for people or its tiny one for the tests."""

    name: str
    question: str
    tiny: bool

    def size(self, full: int, tiny: int) -> int:
        """Return one of two numbers."""
        return tiny if self.tiny else full

    def apart(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in a process of its own; of a tiny run in this one, as that is quicker."""
        return function(*arguments) if self.tiny else fresh(function, *arguments)

    def report(
        self,
        name: str,
        samples: Sequence[float],
        unit: str,
        *,
        against: Sequence[float] | None = None,
        goal: Goal | None = None,
    ) -> None:
        """Print one figure as a line of JSON: the median of `samples`, and its ratio to `against`."""
        ratios = [ours / theirs for ours, theirs in zip(samples, against, strict=True)] if against else None
        value, ratio = statistics.median(samples), statistics.median(ratios) if ratios else None
        measured = ratio if goal and goal.of == "ratio" else value
        assert measured is not None, "a goal of a ratio needs something to compare with"
        line = {
            "benchmark": self.name,
            "question": self.question,
            "name": name,
            "value": _rounded(value),
            "unit": unit,
            "spread": _spread(samples),
            "repeats": len(samples),
            "ratio": None if ratio is None else _rounded(ratio),
            "ratio_spread": _spread(ratios) if ratios else None,
            "goal": str(goal) if goal else None,
            "reached": goal.is_reached(measured) if goal else None,
            "tiny": self.tiny,
            "machine": machine(),
            "versions": versions(),
            "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        print(json.dumps(line, ensure_ascii=False), flush=True)


def begin(docstring: str | None) -> Benchmark:
    """Read the command line, and warm memory up; the question is the docstring's first sentence."""
    assert docstring, "a benchmark says what it asks"
    question = docstring.partition("\n")[0]
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--tiny", action="store_true", help="run it small, to see whether it works")
    tiny: bool = parser.parse_args().tiny
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # of the programs that are timed: what is installed has its bytecode
    if not tiny:
        warm_up()
    return Benchmark(Path(sys.argv[0]).stem, question, tiny)


def warm_up() -> None:
    """Write a file and remove it: in a virtual machine the first touch of a page may cost a hundred times the next."""
    block = bytes(1 << 20)
    with tempfile.TemporaryFile() as file:
        for _ in range(WARM_BYTES // len(block)):
            file.write(block)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Give a folder that goes afterwards."""
    path = Path(tempfile.mkdtemp(prefix="skald-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def alternate(steps: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Take turns, `rounds` times; return the seconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    gc.collect()
    for _ in range(rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step))
    return taken


def fresh(function: Callable[..., T], *arguments: object) -> T:
    """Call a function of a module in a process of its own, which then ends as a crash does: nothing is closed."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(there, function, arguments))
    process.start()
    there.close()
    try:
        result: T = here.recv()
    except EOFError as error:
        raise RuntimeError(f"{function.__name__} failed in its process: see what that said above") from error
    finally:
        process.join()
    return result


def _call(pipe: Connection, function: Callable[..., object], arguments: Sequence[object]) -> None:
    pipe.send(function(*arguments))
    os._exit(0)


def status_bytes(field: str) -> int:
    """Return a line of /proc/self/status as bytes: RssAnon, VmHWM."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@cache
def machine() -> str:
    """Name the processor, its cores, the memory and the system."""
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(FileNotFoundError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30 if hasattr(os, "sysconf") else 0
    return f"{processor}, {os.cpu_count()} cores, {memory} GiB, {platform.system()} {platform.release()}"


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a figure depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _spread(samples: Sequence[float]) -> list[float]:
    """Return the quartiles around the median."""
    if len(samples) < 2:
        return [_rounded(samples[0])] * 2
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return [_rounded(low), _rounded(high)]


def _rounded(number: float) -> float:
    return float(f"{number:.4g}")
