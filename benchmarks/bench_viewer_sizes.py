"""How soon does the viewer show thousands of runs, and the end of a huge console, and answer keys there?

Each is timed in a pseudo-terminal of 200 x 60 characters: the runs from the start of the process, the console from the
key of its tab, and a key from its press to its answer.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bench_runs import WRITTEN, copies, write_run
from measure import Benchmark, Goal, begin, folder
from terminal import PLOT, Terminal

import skald

PROGRAM = Path(sys.executable).with_name("skald")
COLUMNS, LINES = 200, 60
KEYS = [
    ("\x1b[B", "run"),
    ("\x1b[6~", "run"),
    ("\x1b[C", "run"),
    ("\x1b[C", "status"),
    ("s", "▲"),
    ("s", "▼"),
    (" ", "1 marked"),
    ("/", "words, or a condition"),
    ("7", r"of [\d,]+ runs"),
]
"""Keys in the table of runs, and what is drawn in answer to each."""


def main() -> None:
    """Open a folder of runs and a huge console, and press keys."""
    benchmark = begin(__doc__)
    with folder() as place:
        os.environ["SKALD_CACHE_DIR"] = str(place / "cache")
        count = benchmark.size(3000, 30)
        written = [write_run(place / "written", number, points=10) for number in range(WRITTEN)]
        runs = copies(written, place / "runs", count)
        table(benchmark, runs, count)
        lines = benchmark.size(10_000_000, 10_000)
        console(benchmark, huge_console(place / "console", lines), lines)


def table(benchmark: Benchmark, runs: Path, count: int) -> None:
    """Time the first picture of a folder, and answers to keys."""
    shown, worst = [], []
    for _ in range(benchmark.size(5, 1)):
        with Terminal([str(PROGRAM), str(runs)], columns=COLUMNS, lines=LINES) as terminal:
            shown.append(terminal.wait_for(f"{count:,} runs") - terminal.started)
            time.sleep(1)
            worst.append(max(answer(terminal, *key) for key in KEYS))
            terminal.press("\x1b")  # out of the line that is typed into; a terminal tells it late from other keys
            time.sleep(0.5)
            terminal.press("q")
            terminal.close()
    benchmark.report(f"first picture of {count:,} runs", shown, "s")
    benchmark.report(f"worst answer to a key, {count:,} runs", worst, "ms", goal=Goal(most=100))


def console(benchmark: Benchmark, run: Path, lines: int) -> None:
    """Time the end of a console, and a search back to its beginning."""
    shown, found = [], []
    for _ in range(benchmark.size(5, 1)):
        with Terminal([str(PROGRAM), str(run)], columns=COLUMNS, lines=LINES) as terminal:
            terminal.wait_for(PLOT)
            time.sleep(1)
            shown.append(answer(terminal, "3", f"step {lines - 1} "))
            time.sleep(0.2)
            terminal.press("/")
            terminal.wait_for("search for")
            time.sleep(0.2)
            found.append(answer(terminal, "step 1 \r", "step 2 ", secs=60) / 1000)
            terminal.press("q")
            terminal.close()
    size = f"a console of {(run / 'console.log').stat().st_size / 1e6:,.0f} MB"
    benchmark.report(f"the end of {size}", shown, "ms", goal=Goal(most=1000))
    benchmark.report(f"a search through {size}", found, "s")


def huge_console(place: Path, lines: int) -> Path:
    """Return a run with so many lines in its console."""
    with skald.Logger("run", place, capture=False) as logger:
        for step in range(10):
            logger.log_metric("loss", 1 / (step + 1), step=step)
    with (logger.run.path / "console.log").open("w", encoding="utf-8") as file:
        file.writelines(
            f"2026-11-29 02:02:20.123 | INFO | step {step} loss {step % 97 / 97:.6f}\n" for step in range(lines)
        )
    return logger.run.path


def answer(terminal: Terminal, key: str, pattern: str, *, secs: float = 10) -> float:
    """Return how many ms go by from a key to what is drawn in answer."""
    time.sleep(0.2)
    pressed = time.perf_counter()
    begin = terminal.press(key)
    return (terminal.wait_for(pattern, begin=begin, secs=secs) - pressed) * 1000


if __name__ == "__main__":
    main()
