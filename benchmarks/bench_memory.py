"""How much memory does a long run take beside the mapped pages, and how much its compaction?"""

from __future__ import annotations

import contextlib
from pathlib import Path
from threading import Event, Thread

from measure import Goal, begin, folder, fresh, status_bytes

import skald

MIB = 1 << 20
SAMPLES = 50
WARMING = 5
"""Samples until the segments have their full size."""


def main() -> None:
    """Log in one process, which ends like a crash, and compact in another."""
    benchmark = begin(__doc__)
    rows = benchmark.size(50_000_000, 1_000_000)
    with folder() as runs:
        samples = fresh(log_rows, runs, rows)[WARMING:]
        mib = [sample / MIB for sample in samples]
        growth = [(later - mib[0]) for later in mib[-SAMPLES // 5 :]]
        benchmark.report(f"RssAnon while {rows:,} rows are logged", mib, "MiB")
        goal = Goal(most=1)
        benchmark.report(f"growth of RssAnon over {rows:,} rows, flat", growth, "MiB", goal=goal)
        before, peak, anonymous, seconds = fresh(compact, runs / "run")
    benchmark.report(f"peak RSS of compacting {rows:,} rows", [peak / MIB], "MiB", goal=Goal(most=700))
    benchmark.report("RSS of that process before", [before / MIB], "MiB")
    benchmark.report(f"peak RssAnon of compacting {rows:,} rows", [anonymous / MIB], "MiB")
    benchmark.report(f"compacting {rows:,} rows", [rows / seconds / 1e6], "M rows a second")


def log_rows(runs: Path, rows: int) -> list[int]:
    """Log rows of 20 metrics; return RssAnon now and then."""
    logger = skald.Logger("run", runs)
    names = [f"metric{number}" for number in range(20)]
    samples = []
    calls = rows // SAMPLES // len(names)
    for sample in range(SAMPLES):
        for step in range(sample * calls, (sample + 1) * calls):
            for name in names:
                logger.log_metric(name, step / 7, epoch=step // 1000, step=step)
        samples.append(status_bytes("RssAnon"))
    return samples


def compact(run: Path) -> tuple[int, int, int, float]:
    """Compact a run; return the RSS before, the peaks of RSS and of RssAnon, and the seconds."""
    compact_run = skald.compact  # loads what it needs
    before, peaks, done = status_bytes("VmRSS"), [0], Event()

    def watch() -> None:
        while not done.wait(0.005):
            peaks.append(status_bytes("RssAnon"))

    thread = Thread(target=watch)
    thread.start()
    with contextlib.ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(done.set)
        seconds = compact_run(run).seconds
    return before, status_bytes("VmHWM"), max(peaks), seconds


if __name__ == "__main__":
    main()
