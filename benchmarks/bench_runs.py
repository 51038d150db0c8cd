"""How long does a table of many runs take: cold, from what is kept of them, and in a process of its own?

Cold is the first look at a folder, when nothing is kept of its runs. A process of its own loads Python and polars too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measure import Benchmark, Goal, begin, folder, seconds

import skald

WRITTEN = 20
"""Runs that are logged; the others are copies of them under other names and with other params."""

Step = Callable[[], object]


def main() -> None:
    """Ask folders of several sizes for their table, and for the last loss of every run."""
    benchmark = begin(__doc__)
    with folder() as place:
        os.environ["SKALD_CACHE_DIR"] = str(place / "cache")
        written = [write_run(place / "written", number, points=benchmark.size(1000, 10)) for number in range(WRITTEN)]
        for count, goals in (
            (200, {"warm": 0.03}),
            (1000, {"cold": 0.5, "warm": 0.5}),
            (10_000, {"cold": 3.0, "warm": 0.5}),
        ):
            runs = copies(written, place / f"runs{count}", benchmark.size(count, count // 100))
            measure(benchmark, runs, count, goals)
        alone(benchmark, place / "runs200")
        alone(benchmark, place / "runs1000")


def measure(benchmark: Benchmark, runs: Path, count: int, goals: dict[str, float]) -> None:
    """Time the table of a folder, and the table with one metric."""
    cache = Path(os.environ["SKALD_CACHE_DIR"])

    def cold(step: Step) -> float:
        for file in cache.glob("*"):
            file.unlink()
        return seconds(step)

    for what, step in (
        ("table", lambda: skald.runs(runs)),
        ("last loss", lambda: skald.runs(runs, metrics="loss")),
    ):
        name = f"{what} of {count:,} runs"
        repeats = benchmark.size(5, 1)
        for state, timed in (("cold", cold), ("warm", seconds)):
            goal = Goal(most=goals[state]) if state in goals else None
            benchmark.report(f"{name}, {state}", [timed(step) for _ in range(repeats)], "s", goal=goal)


def alone(benchmark: Benchmark, runs: Path) -> None:
    """Time a process that is started for the question."""
    program = f"import skald; skald.runs({str(runs)!r}, metrics='loss')"
    count = len(os.listdir(runs))  # noqa: PTH208
    taken = [
        seconds(lambda: subprocess.run([sys.executable, "-c", program], check=True))
        for _ in range(benchmark.size(5, 1))
    ]
    benchmark.report(f"last loss of {count:,} runs, a process of its own", taken, "s")


def write_run(runs: Path, number: int, points: int) -> skald.Run:
    """Write a run of 20 metrics."""
    random, steps = np.random.default_rng(number), np.arange(points)
    with skald.Logger(f"run{number}", runs) as logger:
        names = ["loss", *(f"metric{metric}" for metric in range(1, 20))]
        logger.log_params(lr=0.1, model={"depth": 4, "width": 256}, seed=number)
        logger.log_batch({name: random.normal(size=points) for name in names}, epoch=steps // 100, step=steps)
    return logger.run


def copies(written: list[skald.Run], runs: Path, count: int) -> Path:
    """Make a folder of many runs; the metrics files are links to the same few."""
    for number in range(count):
        source, run = written[number % len(written)].path, runs / f"run{number:05}"
        run.mkdir(parents=True)
        (run / "metrics.parquet").hardlink_to(source / "metrics.parquet")
        info = json.loads((source / "run.json").read_text(encoding="utf-8"))
        (run / "run.json").write_text(json.dumps(info | {"name": run.name}, indent=2), encoding="utf-8")
        params = (source / "params.yaml").read_text(encoding="utf-8")
        (run / "params.yaml").write_text(params.replace("seed: ", f"seed: {number}"), encoding="utf-8")
        for file in run.iterdir():  # long ago, as the runs of a folder are: what changed just now is not kept
            os.utime(file, (1.7e9, 1.7e9))
    return runs


if __name__ == "__main__":
    main()
