"""How long does close take, against writing the same table, already sorted, with pyarrow alone?

Rows of 20 metrics in turns with the ids epoch and step, float32-born values, one row a millisecond, which comes up to
0.1 ms late.
"""

from __future__ import annotations

import contextlib
import importlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pyarrow.parquet
from measure import Benchmark, Goal, begin, folder, fresh, seconds
from synthetic import METRICS, write_table

import skald

START_NS = 1_800_000_000_000_000_000
parquet: Any = pyarrow.parquet


@dataclass(frozen=True, slots=True)
class Closed:
    """Seconds, by the clock and of the processor, and bytes a row: of close, and of write_table."""

    close: float
    close_cpu: float
    write: float
    write_cpu: float
    bytes_a_row: float
    bare_bytes_a_row: float


def main() -> None:
    """Measure a few runs, each in a process of its own, in turns with and without pandas loaded."""
    benchmark = begin(__doc__)
    rows, repeats = benchmark.size(5_000_000, 100_000), benchmark.size(5, 1)
    pairs = [(fresh(measure, rows, ()), fresh(measure, rows, ("pandas",))) for _ in range(repeats)]
    cold, loaded = zip(*pairs, strict=True)
    # NOTE: the first array that pyarrow makes of Python's or NumPy's objects imports pandas, where it is installed
    report(benchmark, f"close of {rows:,} rows of 20 metrics", cold)
    report(benchmark, f"close of {rows:,} rows of 20 metrics, pandas loaded before", loaded)
    written = [closed.write for closed in (*cold, *loaded)]
    benchmark.report("pyarrow.parquet.write_table of the same table, sorted", written, "s")
    sizes, bare = [closed.bytes_a_row for closed in cold], [closed.bare_bytes_a_row for closed in cold]
    benchmark.report("bytes a row in metrics.parquet", sizes, "bytes", against=bare, goal=Goal(most=5.0))


def report(benchmark: Benchmark, name: str, measured: Sequence[Closed]) -> None:
    """Report close against write_table, by the clock and in processor time, which a busy machine changes less."""
    goal = Goal(of="ratio", most=3)
    closes, writes = [closed.close for closed in measured], [closed.write for closed in measured]
    benchmark.report(name, closes, "s", against=writes, goal=goal)
    closes, writes = [closed.close_cpu for closed in measured], [closed.write_cpu for closed in measured]
    benchmark.report(f"{name}, processor time", closes, "s", against=writes)


def measure(rows: int, loaded: Sequence[str]) -> Closed:
    """Log a run, and time its close and write_table of the same table; the modules of `loaded` are there before."""
    for module in loaded:
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    with folder() as runs:
        with ticking(rows):
            logger = skald.Logger("run", runs)
            log_rows(logger, rows)
        file, bare = logger.run.path / "metrics.parquet", runs / "bare.parquet"
        close, close_cpu = timed(logger.close)
        table = parquet.read_table(file, read_dictionary=["metric"])
        assert table.num_rows == rows, f"{table.num_rows} of {rows} rows came back"
        write_table(table, bare)  # once unmeasured, as Skald's file was written into memory warmed up
        writes = [timed(lambda: write_table(table, bare)) for _ in range(3)]
        wall, cpu = (statistics.median(column) for column in zip(*writes, strict=True))
        return Closed(close, close_cpu, wall, cpu, file.stat().st_size / rows, bare.stat().st_size / rows)


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of a call by the clock, and of the processor."""
    cpu = time.process_time()
    wall = seconds(function)
    return wall, time.process_time() - cpu


def log_rows(logger: skald.Logger, rows: int) -> None:
    """Log the metrics in turns."""
    values = np.random.default_rng(0).normal(size=rows).astype(np.float32).astype(np.float64).tolist()
    names = [f"metric{number}" for number in range(METRICS)]
    log = logger.log_metric
    for step in range(rows // METRICS):
        for name, value in zip(names, values[step * METRICS : (step + 1) * METRICS], strict=True):
            log(name, value, epoch=step // 1000, step=step)


@contextmanager
def ticking(rows: int) -> Iterator[None]:
    """Make the clock tick once a row, so that a run of hours is logged in seconds."""
    late = np.random.default_rng(1).integers(0, 100_000, rows)
    times = START_NS + np.arange(rows) * 1_000_000 + late
    real, ticks = time.time_ns, iter(times.tolist())
    rest = count(int(times[-1]) + 1_000_000, 1_000_000)
    time.time_ns = lambda: next(ticks, None) or next(rest)
    try:
        yield
    finally:
        time.time_ns = real


if __name__ == "__main__":
    main()
