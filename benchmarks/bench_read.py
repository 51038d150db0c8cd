"""What does reading one metric of a run cost, against a bare scan of its file by polars?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from measure import Goal, alternate, begin, folder

import skald

METRICS = 20


def main() -> None:
    """Read one metric of twenty, in turns, all columns and then two."""
    benchmark = begin(__doc__)
    rows, rounds = benchmark.size(10_000_000, 100_000), benchmark.size(41, 2)
    wanted = pl.col("metric") == "metric7"
    with folder() as runs:
        run = write_run(runs, rows)
        file = run.path / "metrics.parquet"
        for what, columns in (("all columns", pl.all()), ("step and value", pl.col("step", "value"))):

            def read(frame: pl.LazyFrame, columns: pl.Expr = columns) -> pl.DataFrame:
                return frame.filter(wanted).select(columns).collect()

            assert read(run.metrics).equals(read(pl.scan_parquet(file)))
            taken = alternate(
                {"skald": lambda: read(run.metrics), "bare": lambda: read(pl.scan_parquet(file))}, rounds=rounds
            )
            ours, bare = ([second * 1000 for second in taken[name]] for name in ("skald", "bare"))
            name = f"one metric of {METRICS} out of {rows:,} rows, {what}"
            benchmark.report(name, ours, "ms", against=bare, goal=Goal(of="ratio", most=1.5))
            benchmark.report(f"{name}, bare pl.scan_parquet", bare, "ms")


def write_run(runs: Path, rows: int) -> skald.Run:
    """Write a run of many rows, and close it."""
    random, steps = np.random.default_rng(0), np.arange(rows // METRICS)
    values = {
        f"metric{number}": random.normal(size=len(steps)).astype(np.float32).astype(np.float64)
        for number in range(METRICS)
    }
    with skald.Logger("run", runs) as logger:
        logger.log_batch(values, time=1.8e9 + steps / 50, epoch=steps // 1000, step=steps)
    return logger.run


if __name__ == "__main__":
    main()
