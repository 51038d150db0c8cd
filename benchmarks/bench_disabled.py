"""What does a call of a disabled logger cost, against the same call of a real one?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from measure import Goal, alternate, begin, folder

import skald

FEW, MANY = ({f"metric{number}": 0.5 for number in range(count)} for count in (5, 100))
COLUMN = np.arange(1000.0)


def main() -> None:
    """Take turns between the two, each call in a loop of its own."""
    benchmark = begin(__doc__)
    rounds = benchmark.size(31, 1)
    calls: dict[str, tuple[Callable[[skald.Logger, int], None], int]] = {
        "log_metric": (log_metric, 100_000),
        "log_metrics of 5": (partial(log_metrics, FEW), 30_000),
        "log_metrics of 100": (partial(log_metrics, MANY), 3000),
        "log_batch of 1,000 rows": (log_batch, 300),
        "set_ids": (set_ids, 30_000),
        "log_params": (log_params, 20),
    }
    with folder() as runs, skald.Logger("run", runs) as real, skald.Logger("run", runs, mode="disabled") as disabled:
        for name, (call, size) in calls.items():
            times = benchmark.size(size, 3)
            taken = alternate(
                {"disabled": partial(call, disabled, times), "real": partial(call, real, times)}, rounds=rounds
            )
            ours, theirs = ([second / times * 1e6 for second in taken[which]] for which in ("disabled", "real"))
            goal = Goal(of="ratio", most=1.05)  # they are the same code: more is noise
            benchmark.report(f"{name}, disabled", ours, "µs a call", against=theirs, goal=goal)


def log_metric(logger: skald.Logger, times: int) -> None:
    """Log single values with two ids."""
    for step in range(times):
        logger.log_metric("loss", 0.5, step=step, split="train")


def log_metrics(metrics: dict[str, float], logger: skald.Logger, times: int) -> None:
    """Log several values a call."""
    for step in range(times):
        logger.log_metrics(metrics, step=step)


def log_batch(logger: skald.Logger, times: int) -> None:
    """Log a column a call."""
    for epoch in range(times):
        logger.log_batch({"loss": COLUMN}, epoch=epoch)


def set_ids(logger: skald.Logger, times: int) -> None:
    """Set an id again and again."""
    for step in range(times):
        logger.set_ids(phase=step)
    logger.set_ids(phase=None)


def log_params(logger: skald.Logger, times: int) -> None:
    """Log one param a call."""
    for step in range(times):
        logger.log_params({"lr": step})


if __name__ == "__main__":
    main()
