"""How long does the command line take, from the start of its process to its end?"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from bench_runs import WRITTEN, copies, write_run
from measure import Goal, begin, folder, seconds

import skald

METRICS = 20
PROGRAM = Path(sys.executable).with_name("skald")


def main() -> None:
    """Show many runs, one run of many rows, and the help."""
    benchmark = begin(__doc__)
    count, rows = benchmark.size(1000, 10), benchmark.size(10_000_000, 20_000)
    with folder() as place:
        os.environ["SKALD_CACHE_DIR"] = str(place / "cache")
        written = [write_run(place / "written", number, points=benchmark.size(1000, 10)) for number in range(WRITTEN)]
        runs, big = copies(written, place / "runs", count), write_big(place, rows)
        for name, goal, arguments in (
            (f"skald show of {count:,} runs", 1.5, ["show", str(runs)]),
            (f"skald show of {count:,} runs, with a metric", None, ["show", str(runs), "--metric", "loss"]),
            (f"skald show of a run of {rows:,} rows", 1.5, ["show", str(big)]),
            ("skald --help", 0.3, ["--help"]),
        ):
            command = [str(PROGRAM), *arguments]
            taken = [
                seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))  # noqa: B023  called now
                for _ in range(benchmark.size(7, 1))
            ]
            benchmark.report(name, taken, "s", goal=Goal(most=goal) if goal else None)


def write_big(place: Path, rows: int) -> Path:
    """Write a run of many rows, and return its folder."""
    random, steps = np.random.default_rng(0), np.arange(rows // METRICS)
    with skald.Logger("big", place) as logger:
        values = {f"metric{number}": random.normal(size=len(steps)).astype(np.float32) for number in range(METRICS)}
        logger.log_batch(values, epoch=steps // 1000, step=steps)
    return logger.run.path


if __name__ == "__main__":
    main()
