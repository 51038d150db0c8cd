"""What does a question to many runs cost, against one bare scan of their files by polars?

The bare scan is given the schema and the list of the files; Skald finds the runs and looks at each of them anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from measure import Benchmark, Goal, alternate, begin, folder

import skald

METRICS = 20
GOAL = Goal(of="ratio", most=1.3)


def main() -> None:
    """Ask for the last loss of every run, and for one metric as a DataFrame."""
    benchmark = begin(__doc__)
    with folder() as place:
        last_losses(benchmark, place)
    with folder() as place:
        one_metric(benchmark, place)


def last_losses(benchmark: Benchmark, place: Path) -> None:
    """Take the last loss of every run, from a scan made anew and from one that was kept."""
    runs, rows, rounds = benchmark.size(1000, 4), benchmark.size(20_000, 400), benchmark.size(11, 1)
    files = [
        str(write_run(place, f"group{number % 7}/run{number}", rows).path / "metrics.parquet") for number in range(runs)
    ]
    kept = skald.scan(place)
    schema = kept.drop("run").collect_schema()

    def last(frame: pl.LazyFrame) -> pl.DataFrame:
        return frame.filter(metric="loss").group_by("run").agg(pl.col("value").last()).collect()

    def bare() -> pl.DataFrame:
        return last(pl.scan_parquet(files, schema=schema, include_file_paths="run"))

    assert last(kept)["value"].sort().equals(bare()["value"].sort())
    taken = alternate(
        {"skald": lambda: last(skald.scan(place)), "kept": lambda: last(kept), "bare": bare}, rounds=rounds
    )
    name = f"last loss of every run, {runs:,} runs of {rows:,} rows"
    benchmark.report(name, taken["skald"], "s", against=taken["bare"], goal=GOAL)
    benchmark.report(f"{name}, a kept scan", taken["kept"], "s", against=taken["bare"])
    benchmark.report(f"{name}, bare pl.scan_parquet", taken["bare"], "s")


def one_metric(benchmark: Benchmark, place: Path) -> None:
    """Read one metric of a run."""
    points, rounds = benchmark.size(100_000, 1000), benchmark.size(41, 1)
    run = write_run(place, "run", METRICS * points)
    file = run.path / "metrics.parquet"

    def read(frame: pl.LazyFrame) -> pl.DataFrame:
        return frame.filter(metric="loss").collect()

    assert read(run.metrics).height == points
    taken = alternate({"skald": lambda: read(run.metrics), "bare": lambda: read(pl.scan_parquet(file))}, rounds=rounds)
    ours, bare = ([second * 1000 for second in taken[name]] for name in ("skald", "bare"))
    name = f"{points:,} points of one metric to a DataFrame"
    benchmark.report(name, ours, "ms", against=bare, goal=GOAL)
    benchmark.report(f"{name}, bare pl.scan_parquet", bare, "ms")


def write_run(runs: Path, name: str, rows: int) -> skald.Run:
    """Write a run of so many rows of METRICS metrics, and close it."""
    random, steps = np.random.default_rng(0), np.arange(rows // METRICS)
    names = ["loss", *(f"metric{number}" for number in range(1, METRICS))]
    place = runs / name
    with skald.Logger(place.name, place.parent) as logger:
        logger.log_params(seed=len(name), model={"depth": 4})
        values = {name: random.normal(size=len(steps)).astype(np.float32) for name in names}
        logger.log_batch(values, epoch=steps // 100, step=steps)
    return logger.run


if __name__ == "__main__":
    main()
