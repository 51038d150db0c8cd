"""How soon does the viewer show a run, how soon does it answer a key, and what does it cost who logs?

The first picture is timed from the start of the process to the first dots of a curve in a pseudo-terminal of 200 x 60
characters; a key from its press to its answer on the screen, also while another process logs into the run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from measure import Benchmark, Goal, begin, folder
from terminal import PLOT, Terminal

import skald

PROGRAM = Path(sys.executable).with_name("skald")
METRICS = 200
COLUMNS, LINES = 200, 60
ESCAPE = "\x1b"
KEYS = [
    ("s", "smooth 0.3"),
    ("S", "200 metrics|20 metrics"),
    ("l", "log y"),
    ("l", "200 metrics|20 metrics"),
    ("\x1b[B", "metric"),
    ("\x1b[C", "metric"),
    ("\x1b[6~", "metric"),
    ("\r", r"step \d+"),
    ("\x1b[D", r"step \d+"),
    ("\x1b[D", r"step \d+"),
    ("n", "metric"),
    ("p", "metric"),
    ("\r", "metric"),
    ("\x1b[5~", "metric"),
    ("x", "Draw over"),
    (ESCAPE, "metric"),
    ("/", "Search|search"),
    ("9", r"\d+ of \d+"),
    (ESCAPE, "200 metrics|20 metrics"),
]
"""Keys, and what is drawn in answer to each."""

LOG = """
import sys, time, skald
with skald.Logger(sys.argv[1], sys.argv[2], capture=False) as logger:
    step = 0
    print("begun", flush=True)
    while sys.stdin.readable():
        command = sys.stdin.readline().split()
        if not command:
            break
        calls = int(command[0])
        started = time.perf_counter()
        for step in range(step, step + calls):
            logger.log_metric("loss", 0.5, epoch=step // 1000, step=step)
        print(time.perf_counter() - started, flush=True)
"""
TRAIN = """
import sys, time, skald
names = [f"group{n // 20}/metric{n}" for n in range(int(sys.argv[3]))]
with skald.Logger(sys.argv[1], sys.argv[2], capture=False) as logger:
    for step in range(10**9):
        logger.log_metrics({name: (step % 97) / 97 for name in names}, step=step)
        if step == int(sys.argv[4]):
            print("begun", flush=True)
        time.sleep(0.01)
"""


def main() -> None:
    """Open runs, press keys, and log beside a viewer."""
    benchmark = begin(__doc__)
    rows = benchmark.size(10_000_000, 20_000)
    with folder() as place:
        os.environ["SKALD_CACHE_DIR"] = str(place / "cache")
        closed = write(place, "closed", rows)
        left = crashed(place, "left", rows)
        for name, run in (("closed", closed), ("not compacted", left)):
            taken = [first_picture(run) for _ in range(benchmark.size(7, 1))]
            goal = Goal(most=1.0)
            benchmark.report(
                f"first picture of a run of {rows:,} rows and {METRICS} metrics, {name}", taken, "s", goal=goal
            )
        report(benchmark, f"a run of {rows:,} rows", answers(closed, rounds=benchmark.size(6, 1)))
        with training(place, benchmark.size(METRICS, 20), steps=benchmark.size(1000, 50)) as live:
            report(benchmark, "beside a process that logs", answers(live, rounds=benchmark.size(6, 1)))
        beside, alone = logging(place, rounds=benchmark.size(30, 2), calls=benchmark.size(100_000, 1000))
        benchmark.report("log_metric beside a viewer", beside, "µs a call", against=alone)
        benchmark.report("log_metric without one", alone, "µs a call")


def report(benchmark: Benchmark, where: str, waits: list[list[float]]) -> None:
    """Print how long keys took; escape apart, as a terminal sends other keys that begin so, for which Textual waits."""
    is_escape = [key == ESCAPE for key, _ in KEYS]
    others = [[wait for wait, escape in zip(part, is_escape, strict=True) if not escape] for part in waits]
    escapes = [[wait for wait, escape in zip(part, is_escape, strict=True) if escape] for part in waits]
    benchmark.report(f"answer to a key, {where}", [statistics.median(part) for part in others], "ms")
    benchmark.report(f"worst answer to a key, {where}", [max(part) for part in others], "ms", goal=Goal(most=100))
    benchmark.report(f"answer to escape, {where}", [statistics.median(part) for part in escapes], "ms")


def write(place: Path, name: str, rows: int) -> Path:
    """Write a run of many rows, and return its folder."""
    with skald.Logger(name, place, capture=False) as logger:
        fill(logger, rows)
    return logger.run.path


def crashed(place: Path, name: str, rows: int) -> Path:
    """Write a run whose process is killed before its rows are compacted."""
    source = f"import os, sys, bench_viewer, skald\nlogger = skald.Logger({name!r}, sys.argv[1], capture=False)\n"
    source += f"bench_viewer.fill(logger, {rows})\nos._exit(0)"
    subprocess.run([sys.executable, "-c", source, str(place)], check=True, cwd=Path(__file__).parent)
    return place / name


def fill(logger: skald.Logger, rows: int) -> None:
    """Log many rows."""
    random, steps = np.random.default_rng(0), np.arange(rows // METRICS)
    for part in np.array_split(steps, 10):
        values = {
            f"group{number // 20}/metric{number}": np.exp(-part / len(steps)) + random.normal(size=len(part)) / 20
            for number in range(METRICS)
        }
        logger.log_batch(values, step=part)


def first_picture(run: Path) -> float:
    """Return how many seconds it takes from the start of the viewer to the first curve."""
    with Terminal([str(PROGRAM), str(run)], columns=COLUMNS, lines=LINES) as terminal:
        taken = terminal.wait_for(PLOT) - terminal.started
        terminal.press("q")
        terminal.close()
    return taken


def answers(run: Path, *, rounds: int) -> list[list[float]]:
    """Return how many ms each key takes to be answered, by round; between two keys the viewer may rest."""
    with Terminal([str(PROGRAM), str(run)], columns=COLUMNS, lines=LINES) as terminal:
        terminal.wait_for(PLOT)
        time.sleep(1)
        waits = [[answer(terminal, *key) for key in KEYS] for _ in range(rounds)]
        terminal.press("q")
        terminal.close()
    return waits


def answer(terminal: Terminal, key: str, pattern: str) -> float:
    """Return how many ms go by from a key to what is drawn in answer."""
    time.sleep(0.2)
    pressed = time.perf_counter()
    begin = terminal.press(key)
    return (terminal.wait_for(pattern, begin=begin, secs=5) - pressed) * 1000


@contextmanager
def training(place: Path, metrics: int, *, steps: int) -> Iterator[Path]:
    """Give a run of so many steps, into which another process logs so many metrics a hundred times a second."""
    command = [sys.executable, "-c", TRAIN, "live", str(place), str(metrics), str(steps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield place / "live"
        process.kill()


def logging(place: Path, *, rounds: int, calls: int) -> tuple[list[float], list[float]]:
    """Return µs a call beside a viewer and without one, in turns."""
    found: dict[bool, list[float]] = {True: [], False: []}
    command = [sys.executable, "-c", LOG, "logged", str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        block(process, 1000)
        for _ in range(max(rounds // 10, 1)):
            with Terminal([str(PROGRAM), str(place / "logged")], columns=COLUMNS, lines=LINES) as terminal:
                terminal.wait_for(PLOT)
                found[True] += [block(process, calls) for _ in range(max(rounds // 3, 1))]
            found[False] += [block(process, calls) for _ in range(max(rounds // 3, 1))]
        process.stdin.close()
    return found[True], found[False]


def block(process: subprocess.Popen[str], calls: int) -> float:
    """Have a process log, and return what a call took, in µs."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{calls}\n")
    process.stdin.flush()
    return float(process.stdout.readline()) / calls * 1e6


if __name__ == "__main__":
    main()
