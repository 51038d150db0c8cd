"""How many points a second does log_batch take?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from calls import opened
from measure import Benchmark, Goal, begin, seconds

import skald

WARMING = 3


def main() -> None:
    """Measure one metric, ten metrics, and values that are float32."""
    benchmark = begin(__doc__)
    rows = benchmark.size(1_000_000, 50_000)
    values = np.random.default_rng(0).normal(size=rows)
    steps = np.arange(rows)
    tenth = slice(rows // 10)
    measure(
        benchmark, "one metric of 1 M rows, ids a column and a scalar", rows,
        lambda logger: logger.log_batch({"loss": values}, epoch=3, step=steps),
    )  # fmt: skip
    measure(
        benchmark, "ten metrics of 100,000 rows, ids a column and a scalar", rows,
        lambda logger: logger.log_batch({f"m{k}": values[tenth] for k in range(10)}, epoch=3, step=steps[tenth]),
    )  # fmt: skip
    small = values.astype(np.float32)
    measure(
        benchmark, "one metric of 1 M float32, two id columns, times", rows,
        lambda logger: logger.log_batch({"loss": small}, epoch=steps // 1000, step=steps, time=1.8e9 + steps / 1000),
    )  # fmt: skip


def measure(benchmark: Benchmark, name: str, rows: int, log: Callable[[skald.Logger], None]) -> None:
    """Log the same batch a few times, each time into segments of its own."""
    with opened() as logger:
        taken = [seconds(lambda: log(logger)) for _ in range(benchmark.size(15, 1) + WARMING)][WARMING:]
    goal = Goal(least=30) if name.startswith("one metric of 1 M rows") else None
    benchmark.report(f"log_batch, {name}", [rows / second / 1e6 for second in taken], "M points a second", goal=goal)


if __name__ == "__main__":
    main()
