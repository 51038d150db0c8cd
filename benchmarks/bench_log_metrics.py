"""What does a point cost in a call of log_metrics, with few and with many metrics?"""

from __future__ import annotations

from functools import partial

from calls import BLOCK_ROWS, Log, compare, opened
from measure import Benchmark, Goal, begin

GOALS = {3: 0.35, 10: 0.25, 100: None, 1000: 0.08}


def main() -> None:
    """Measure calls of each size."""
    benchmark = begin(__doc__)
    for count, most in GOALS.items():
        measure(benchmark, count, most)


def measure(benchmark: Benchmark, count: int, most: float | None) -> None:
    """Measure calls with `count` metrics and two ids."""
    metrics = {f"metric{number}": number / 7 for number in range(count)}
    calls = BLOCK_ROWS // count
    with opened() as logger:
        block = partial(log_all, metrics)
        timed = compare(logger, block, logger.log_metrics, rounds=benchmark.size(30, 1), calls=calls)
    name, unit = f"log_metrics of {count:,}", "µs a point"
    ours, floors = timed.steady
    goal = Goal(of="ratio", most=most) if most else None
    benchmark.report(name, [taken / count for taken in ours], unit, against=floors, goal=goal)
    means, floor_means = timed.rounds
    benchmark.report(f"{name}, rolls included", [taken / count for taken in means], unit, against=floor_means)


def log_all(metrics: dict[str, float], log: Log, steps: range) -> None:
    """Log the same metrics with two ids, over and over."""
    for step in steps:
        log(metrics, epoch=3, step=step)


if __name__ == "__main__":
    main()
