"""What does a rewind cost: the call, reading before it is compacted, and the compaction that puts its rows aside?"""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
from measure import Goal, alternate, begin, folder, seconds, status_bytes
from synthetic import METRICS, write_run

import skald
from skald.engine.compaction import compact
from skald.engine.reader import scan_metrics
from skald.engine.takeback import Scope, take_back
from skald.layout import RUN_JSON


def main() -> None:
    """Take the last tenth of a large run back, as a job does that is started again."""
    benchmark = begin(__doc__)
    rows, rounds = benchmark.size(10_000_000, 100_000), benchmark.size(21, 2)
    with folder() as runs:
        plain = write(runs / "plain", rows)
        rewound = shutil.copytree(plain, runs / "rewound")
        name = f"rewind by a tenth of {rows:,} rows"
        benchmark.report(f"{name}, the call", [seconds(lambda: rewind(rewound, rows))], "s")
        for what, wanted in (("one metric", pl.col("metric") == "metric7"), ("all rows", pl.lit(value=True))):

            def read(run: Path, wanted: pl.Expr = wanted) -> pl.DataFrame:
                return scan_metrics(run).filter(wanted).collect()

            steps = {"before": lambda: read(plain), "after": lambda: read(rewound)}
            taken = alternate(steps, rounds=rounds if what == "one metric" else min(rounds, 5))
            before, after = ([second * 1000 for second in taken[when]] for when in ("before", "after"))
            benchmark.report(f"{name}, reading {what} until it is compacted", after, "ms", against=before)
        (rewound / "segments" / "w9").mkdir(parents=True)
        (rewound / "segments" / "w9" / "lock").touch()
        benchmark.report(f"{name}, compaction", [seconds(lambda: compact(rewound))], "s")
        assert skald.Run(rewound).metrics.select(pl.len()).collect().item() == kept(rows)
    many = benchmark.size(50_000_000, 100_000)
    peak = benchmark.apart(measure_memory, many) / 2**20
    goal = None if benchmark.tiny else Goal(most=700)
    benchmark.report(f"most memory while {many:,} rows are rewound and compacted", [peak], "MiB", goal=goal)


def write(run: Path, rows: int) -> Path:
    """Write a closed run."""
    write_run(run, rows)
    (run / RUN_JSON).write_text('{"format": 1, "name": "run", "started": "2026-01-01T00:00:00Z"}')
    compact(run)
    return run


def rewind(run: Path, rows: int) -> None:
    """Take the last tenth back, all rows of a step together."""
    step = rows // METRICS * 9 // 10 - 1
    take_back(run, (("epoch", step // 1000), ("step", step)), Scope("w8", 0, ("w0",)))


def kept(rows: int) -> int:
    """Return how many rows count then."""
    return rows // METRICS * 9 // 10 * METRICS


def measure_memory(rows: int) -> int:
    """Return the most memory that this process ever held, in bytes, for a crashed run."""
    with folder() as runs:
        run = write_run(runs / "run", rows)
        (run / RUN_JSON).write_text("{}")
        rewind(run, rows)
        compact(run)
        return status_bytes("VmHWM")


if __name__ == "__main__":
    main()
