"""What does a call cost, and what does a run weigh, with Skald and with plainer ways to log?

Each in fresh processes in turns; the clock of each call adds its own 0.1 µs to all of them.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import rivals
from measure import Benchmark, begin, folder, status_bytes

METRICS = 20


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of a rival took; the fields stand in the order of `FIGURES`."""

    p50: float
    p99: float
    p999: float
    worst: float
    end_to_end: float
    closing: float
    bytes_a_point: float
    rss: float
    cpu: float


FIGURES = (
    ("p50 of a call", "µs"),
    ("p99 of a call", "µs"),
    ("p99.9 of a call", "µs"),
    ("worst call", "ms"),
    ("end to end", "M points a second"),
    ("close", "s"),
    ("size", "bytes a point"),
    ("peak RSS", "MiB"),
    ("CPU", "s a M points"),
)


def main() -> None:
    """Measure all of them a few times."""
    benchmark = begin(__doc__)
    points, repeats = benchmark.size(1_000_000, 20_000), benchmark.size(3, 1)
    names = sorted(module.name for module in pkgutil.iter_modules(rivals.__path__))
    results: dict[str, list[Result]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            results[name].append(benchmark.apart(measure, name, points))
    for name in names:
        report(benchmark, name, results[name])


def report(benchmark: Benchmark, name: str, results: list[Result]) -> None:
    """Print a line a figure."""
    for (figure, unit), samples in zip(FIGURES, zip(*map(astuple, results), strict=True), strict=True):
        benchmark.report(f"{name}: {figure}", samples, unit)


def measure(name: str, points: int) -> Result:
    """Log points of 20 metrics in turns with two ids."""
    open_run = importlib.import_module(f"rivals.{name}").open_run
    metrics = [f"metric{number}" for number in range(METRICS)]
    values = np.random.default_rng(0).normal(size=points).astype(np.float32).astype(np.float64).tolist()
    taken = np.zeros(points, np.int64)
    with folder() as place:
        run = open_run(place)
        cpu, started = time.process_time(), time.perf_counter()
        log_points(run.log, metrics, values, taken.data)
        closing = time.perf_counter()
        run.close()
        ended = time.perf_counter()
        cpu = time.process_time() - cpu
        size = sum(path.stat().st_size for path in Path(place).rglob("*") if path.is_file())
    p50, p99, p999, worst = (float(ns) for ns in np.percentile(taken, (50, 99, 99.9, 100)))
    return Result(
        p50=p50 / 1e3,
        p99=p99 / 1e3,
        p999=p999 / 1e3,
        worst=worst / 1e6,
        end_to_end=points / (ended - started) / 1e6,
        closing=ended - closing,
        bytes_a_point=size / points,
        rss=status_bytes("VmHWM") / (1 << 20),
        cpu=cpu / points * 1e6,
    )


def log_points(log: Callable[..., None], metrics: list[str], values: list[float], taken: memoryview[int]) -> None:
    """Log, and put the ns of each call into its place."""
    clock = time.perf_counter_ns
    for number, value in enumerate(values):
        name, step = metrics[number % METRICS], number // METRICS
        epoch = step // 1000
        started = clock()
        log(name, value, epoch=epoch, step=step)
        taken[number] = clock() - started


if __name__ == "__main__":
    main()
