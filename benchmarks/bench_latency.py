"""How long does the slowest of five million calls of log_metric take, and the slowest of a thousand?

The floor runs in the same process in turns with it, so what the machine does to both shows in both.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from calls import Log, opened
from floor import Floor
from measure import Benchmark, Goal, begin

CALLS = 5_000_000
BLOCK = 50_000


@dataclass(frozen=True, slots=True)
class Slowness:
    """Percentiles and the maximum of many calls, in µs, the clock's own 0.1 µs included."""

    p50: float
    p99: float
    p999: float
    worst: float


def main() -> None:
    """Measure three times, after a warm-up, and report the medians."""
    benchmark = begin(__doc__)
    calls = benchmark.size(CALLS, 2 * BLOCK)
    pairs = [*measure(calls, repeats=benchmark.size(3, 1))]
    ours, floors = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for name, field in (("median", "p50"), ("p99", "p99"), ("p99.9", "p999")):
        goal = Goal(most=2) if name == "p99.9" else None
        taken = [getattr(slowness, field) for slowness in ours]
        theirs = [getattr(slowness, field) for slowness in floors]
        benchmark.report(f"log_metric, {name} of 5 M calls", taken, "µs", against=theirs, goal=goal)
    worst(benchmark, ours, floors)


def worst(benchmark: Benchmark, ours: list[Slowness], floors: list[Slowness]) -> None:
    """Report the slowest calls, and how much they are beyond the floor's."""
    benchmark.report("log_metric, worst of 5 M calls", [one.worst / 1000 for one in ours], "ms")
    benchmark.report("the floor, worst of 5 M calls", [one.worst / 1000 for one in floors], "ms")
    beyond = [(one.worst - floor.worst) / 1000 for one, floor in zip(ours, floors, strict=True)]
    benchmark.report("log_metric, worst of 5 M calls beyond the floor's", beyond, "ms", goal=Goal(most=5))


def measure(calls: int, *, repeats: int) -> Iterator[tuple[Slowness, Slowness]]:
    """Yield what `calls` calls of Skald, and of the floor, took; each time in a run of its own."""
    floor = Floor(BLOCK, ["loss"], [("epoch", "step")])
    ours, floors = np.zeros(calls, np.int64), np.zeros(calls, np.int64)
    for _ in range(repeats):
        with opened() as logger:
            time_calls(logger.log_metric, np.zeros(calls // 10, np.int64).data)
            for first in range(0, calls, BLOCK):
                floor.restart()
                part = slice(first, first + BLOCK)
                time_calls(floor.log, floors[part].data)
                time_calls(logger.log_metric, ours[part].data)
        yield slowness(ours), slowness(floors)


def time_calls(log: Log, taken: memoryview) -> None:
    """Put the ns of each call into its place."""
    clock = time.perf_counter_ns
    for step in range(len(taken)):
        started = clock()
        log("loss", 0.5, epoch=3, step=step)
        taken[step] = clock() - started


def slowness(taken: np.ndarray) -> Slowness:
    """Sum up the ns of many calls."""
    p50, p99, p999, worst = np.percentile(taken, (50, 99, 99.9, 100)) / 1000
    return Slowness(float(p50), float(p99), float(p999), float(worst))


if __name__ == "__main__":
    main()
