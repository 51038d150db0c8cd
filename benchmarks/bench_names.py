"""What does a point cost in a run of very many metric names, or of very many values of a string id?

End to end: logging it, compacting it at close, and reading it back.
"""

from __future__ import annotations

from collections.abc import Callable

from measure import Benchmark, Goal, begin, folder, seconds

import skald

FEW = 10
STAGES = ("logged", "closed", "read")

Log = Callable[[skald.Logger, list[str], int], None]


def main() -> None:
    """Compare many with ten, each in a process of its own, in turns."""
    benchmark = begin(__doc__)
    names, texts = benchmark.size(100_000, 2000), benchmark.size(1_000_000, 2000)
    compare(benchmark, f"{names:,} metric names, each once", log_names, names, points=names)
    compare(benchmark, f"{names:,} metric names, each ten times", log_names, names, points=10 * names)
    compare(benchmark, f"{texts:,} values of a string id", log_texts, texts, points=texts)


def compare(benchmark: Benchmark, name: str, log: Log, many: int, *, points: int) -> None:
    """Report what a point costs with many names, against ten, in all and in each stage."""
    pairs = [
        (benchmark.apart(measure, log, many, points), benchmark.apart(measure, log, FEW, points))
        for _ in range(benchmark.size(3, 1))
    ]
    ours, few = ([sum(pair[k]) / points * 1e6 for pair in pairs] for k in (0, 1))
    benchmark.report(f"{name}, end to end", ours, "µs a point", against=few, goal=Goal(of="ratio", most=3))
    for stage, what in enumerate(STAGES):
        ours, few = ([pair[k][stage] / points * 1e6 for pair in pairs] for k in (0, 1))
        benchmark.report(f"{name}, {what}", ours, "µs a point", against=few)


def measure(log: Log, distinct: int, points: int) -> tuple[float, ...]:
    """Return the seconds that it takes to log points, to close, and to read them."""
    texts = [f"layer{number:07}/weight/norm" for number in range(distinct)]
    with folder() as runs:
        logger = skald.Logger("run", runs)
        run = logger.run
        run.metrics.collect()  # loads polars
        taken = [seconds(lambda: log(logger, texts, points)), seconds(logger.close)]
        taken.append(seconds(run.metrics.collect))
        found = run.metrics.collect().height
        assert found == points, f"{found} of {points} rows came back"
    return tuple(taken)


def log_names(logger: skald.Logger, texts: list[str], points: int) -> None:
    """Log `points` values, the metrics in turns."""
    log = logger.log_metric
    for step in range(points // len(texts)):
        for text in texts:
            log(text, 0.5, epoch=3, step=step)


def log_texts(logger: skald.Logger, texts: list[str], points: int) -> None:
    """Log `points` values, the values of a string id in turns."""
    log = logger.log_metric
    for step in range(points // len(texts)):
        for text in texts:
            log("loss", 0.5, file=text, step=step)


if __name__ == "__main__":
    main()
