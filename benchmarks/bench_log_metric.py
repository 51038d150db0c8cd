"""What does one call of log_metric cost, against the least that a call written by hand can do?"""

from __future__ import annotations

from calls import BLOCK_ROWS, BLOCKS_A_ROUND, Log, compare, floor_block, opened
from floor import Floor
from measure import Benchmark, Goal, begin

ID_SETS = [("epoch", "step"), ("task", "step"), ("epoch", "batch"), ("task", "batch")]


def main() -> None:
    """Measure each way of calling."""
    benchmark = begin(__doc__)
    two_ids(benchmark)
    tracked(benchmark)
    set_ids(benchmark)
    alternating(benchmark, sets=2)
    alternating(benchmark, sets=4)


def two_ids(benchmark: Benchmark) -> None:
    """Two ids in the call: steady, as it is with rolls, and the rolls apart."""
    with opened() as logger:
        timed = compare(logger, floor_block, logger.log_metric, rounds=benchmark.size(60, 1))
    ours, floors = timed.steady
    goal = Goal(of="ratio", most=0.5)
    benchmark.report("log_metric, two ids", ours, "µs a call", against=floors, goal=goal)
    benchmark.report("the floor", floors, "µs a call")
    means, floor_means = timed.rounds
    benchmark.report("log_metric, two ids, rolls of segments included", means, "µs a call", against=floor_means)
    if rolls := timed.roll_ms(BLOCK_ROWS):
        benchmark.report("one roll, a segment of 65,536 rows", rolls, "ms")
    with opened() as logger:
        timed = compare(logger, floor_block, logger.log_metric, rounds=benchmark.size(30, 1), unrolled=True)
    ours, floors = timed.steady
    benchmark.report("log_metric, two ids, against the floor unrolled for two ids", ours, "µs a call", against=floors)


def tracked(benchmark: Benchmark) -> None:
    """One id in the call, one from `track`."""
    with opened() as logger:
        epochs = logger.track(range(1), "epoch")
        next(epochs)
        timed = compare(logger, one_id, logger.log_metric, rounds=benchmark.size(30, 1))
    ours, floors = timed.steady
    goal = Goal(of="ratio", most=0.55)
    benchmark.report("log_metric, one id in the call, one from track", ours, "µs a call", against=floors, goal=goal)


def set_ids(benchmark: Benchmark) -> None:
    """An id that is set already gets another value."""
    with opened() as logger:
        logger.set_ids(step=0)
        logger.log_metric("loss", 0.5, epoch=3)
        timed = compare(logger, sets, logger.set_ids, rounds=benchmark.size(30, 1))
    ours, floors = timed.steady
    benchmark.report("set_ids of a known name", ours, "µs a call", against=floors, goal=Goal(of="ratio", most=1))


def alternating(benchmark: Benchmark, *, sets: int) -> None:
    """Calls that take turns between id sets."""
    block = {2: two_sets, 4: four_sets}[sets]
    floor = Floor(BLOCK_ROWS * BLOCKS_A_ROUND, ["loss"], ID_SETS)
    rounds = benchmark.size(30, 1)
    with opened() as logger:
        timed = compare(logger, block, logger.log_metric, rounds=rounds, floor=floor, floor_calls=block)
    ours, floors = timed.steady
    benchmark.report(f"log_metric, {sets} id sets in turns", ours, "µs a call", against=floors)


def one_id(log: Log, steps: range) -> None:
    """Log with one id in the call."""
    for step in steps:
        log("loss", 0.5, step=step)


def sets(set_: Log, steps: range) -> None:
    """Set an id."""
    for step in steps:
        set_(step=step)


def two_sets(log: Log, steps: range) -> None:
    """Log with two id sets in turns."""
    for step in steps[::2]:
        log("loss", 0.5, epoch=3, step=step)
        log("loss", 0.5, task=3, step=step)


def four_sets(log: Log, steps: range) -> None:
    """Log with four id sets in turns."""
    for step in steps[::4]:
        log("loss", 0.5, epoch=3, step=step)
        log("loss", 0.5, task=3, step=step)
        log("loss", 0.5, epoch=3, batch=step)
        log("loss", 0.5, task=3, batch=step)


if __name__ == "__main__":
    main()
