"""What does compaction cost, in time against write_table of the same table, in memory, and in bytes a row?

Rows of 20 metrics in turns with the ids epoch and step, float32-born values, one row a millisecond, which comes up to
0.1 ms late. Then the same rows from four writers at once, a resumed run, and csv.
"""

from __future__ import annotations

import statistics
from typing import Any

import pyarrow.parquet
from measure import Goal, begin, folder, seconds, status_bytes
from synthetic import METRICS, write_run, write_table

from skald.engine.compaction import compact

parquet: Any = pyarrow.parquet


def main() -> None:
    """Compact runs of several shapes, each in a process of its own."""
    benchmark = begin(__doc__)
    rows, repeats = benchmark.size(5_000_000, 50_000), benchmark.size(5, 1)
    for what, writers in (("one writer", 1), ("four writers at once", 4)):
        took, bare, sizes = zip(*(benchmark.apart(measure, rows, writers) for _ in range(repeats)), strict=True)
        name = f"compaction of {rows:,} rows of {METRICS} metrics, {what}"
        benchmark.report(name, took, "s", against=bare, goal=Goal(of="ratio", most=3))
        benchmark.report(f"{name}: bytes a row", sizes, "bytes", goal=Goal(most=5.0))
    benchmark.report(f"csv of {rows:,} rows", [benchmark.apart(measure_csv, rows) for _ in range(repeats)], "s")
    resumed = [benchmark.apart(measure_resumed, rows) for _ in range(repeats)]
    benchmark.report(f"compaction of {rows // 50:,} rows more into a file of {rows:,}", resumed, "s")
    many = benchmark.size(50_000_000, 100_000)
    peak = benchmark.apart(measure_memory, many) / 2**20
    goal = None if benchmark.tiny else Goal(most=700)
    benchmark.report(f"most memory while compacting {many:,} rows", [peak], "MiB", goal=goal)


def measure(rows: int, writers: int) -> tuple[float, float, float]:
    """Return the seconds of a compaction and of write_table of the same table sorted, and bytes a row."""
    with folder() as runs:
        run = runs / "run"
        for number in range(writers):
            write_run(
                run, rows // writers, writer=f"w{number}", every_ns=1_000_000 * writers, late_ns=number * 1_000_000
            )
        file = run / "metrics.parquet"
        took = seconds(lambda: compact(run))
        table = parquet.read_table(file).sort_by([("metric", "ascending"), ("time", "ascending")])
        table = table.set_column(0, "metric", table.column(0).dictionary_encode()).combine_chunks()
        bare = statistics.median(seconds(lambda: write_table(table, runs / "bare.parquet")) for _ in range(3))
        return took, bare, file.stat().st_size / rows


def measure_csv(rows: int) -> float:
    """Return the seconds of a compaction into csv."""
    with folder() as runs:
        run = write_run(runs / "run", rows)
        return seconds(lambda: compact(run, metrics_format="csv"))


def measure_resumed(rows: int) -> float:
    """Return the seconds of a compaction that has few rows to add to many."""
    with folder() as runs:
        run = write_run(runs / "run", rows)
        compact(run)
        write_run(run, rows // 50, writer="w1", late_ns=rows * 1_000_000)
        return seconds(lambda: compact(run))


def measure_memory(rows: int) -> int:
    """Return the most memory that this process ever held, in bytes, with its code and mapped files."""
    with folder() as runs:
        run = write_run(runs / "run", rows)
        compact(run)
        return status_bytes("VmHWM")


if __name__ == "__main__":
    main()
