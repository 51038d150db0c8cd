"""How long does close take, against writing the same table, already sorted, with pyarrow alone?

Rows of 20 metrics in turns with the ids epoch and step, float32-born values, one row a millisecond, which comes up to
0.1 ms late.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from measure import Benchmark, Goal, begin, folder, fresh, seconds

import skald

METRICS = 20
START_NS = 1_800_000_000_000_000_000
parquet: Any = pyarrow.parquet


def main() -> None:
    """Measure a few runs, each in a process of its own."""
    benchmark = begin(__doc__)
    rows = benchmark.size(5_000_000, 100_000)
    measured = [fresh(measure, rows) for _ in range(benchmark.size(5, 1))]
    closed, written, sizes, bare_sizes = (list(column) for column in zip(*measured, strict=True))
    goal = Goal(of="ratio", most=3)
    benchmark.report(f"close of {rows:,} rows of 20 metrics", closed, "s", against=written, goal=goal)
    benchmark.report("pyarrow.parquet.write_table of the same table, sorted", written, "s")
    benchmark.report("bytes a row in metrics.parquet", sizes, "bytes", against=bare_sizes, goal=Goal(most=5.0))


def measure(rows: int) -> tuple[float, float, float, float]:
    """Return the seconds of close and of write_table, and the bytes a row of both files."""
    with folder() as runs:
        with ticking(rows):
            logger = skald.Logger("run", runs)
            log_rows(logger, rows)
        file = logger.run.path / "metrics.parquet"
        closed = seconds(logger.close)
        table = parquet.read_table(file, read_dictionary=["metric"])
        assert table.num_rows == rows, f"{table.num_rows} of {rows} rows came back"
        bare = runs / "bare.parquet"
        write(table, bare)  # once unmeasured, as Skald's file was written into memory warmed up
        written = min(seconds(lambda: write(table, bare)) for _ in range(3))
        return closed, written, file.stat().st_size / rows, bare.stat().st_size / rows


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


def write(table: pa.Table, path: Path) -> None:
    """Write a table with the encodings of Skald, a row group a metric."""
    ints = {"epoch": "DELTA_BINARY_PACKED", "step": "DELTA_BINARY_PACKED", "time": "DELTA_BINARY_PACKED"}
    parquet.write_table(
        table,
        path,
        row_group_size=max(1, table.num_rows // METRICS),
        version="2.6",
        compression="zstd",
        use_dictionary=["metric"],
        column_encoding={"value": "BYTE_STREAM_SPLIT", **ints},
        store_schema=False,
    )


if __name__ == "__main__":
    main()
