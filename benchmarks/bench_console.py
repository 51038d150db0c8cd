"""What does printing cost when it is captured, against plain redirection to a file?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from measure import Goal, alternate, begin, folder, fresh
from tqdm import tqdm

import skald

SMALL, LONG = "epoch 3 loss 0.2513", "x" * 500
SEVERAL = "\n".join([SMALL] * 10)
LARGE = "\n".join(["x" * 99] * 1000)
COLORED = "\x1b[32mINFO\x1b[0m epoch 3 loss 0.2513"
VALUES = list(enumerate(("loss", "accuracy", "rate", "norm", "seconds", "memory"), 1))
CHILD = "a line of a child"
Program = tuple[Callable[[int], None], float, Literal[True, "fd"]]
"""What prints so many lines, how many of them, and how they are captured."""


def main() -> None:
    """Print the same in turns, captured and not, in a process whose output goes into a file."""
    benchmark = begin(__doc__)
    lines, rounds = benchmark.size(1_000_000, 3000), benchmark.size(11, 2)
    with folder() as runs:
        os.environ["PYTHONUNBUFFERED"] = "1"
        found = fresh(compare, runs / "unbuffered", UNBUFFERED, lines, rounds)
        del os.environ["PYTHONUNBUFFERED"]
        found = fresh(compare, runs / "buffered", BUFFERED, lines, rounds) | found
        for name, (ours, theirs) in found.items():
            goal = None if CHILD in name else Goal(of="ratio", most=2)
            benchmark.report(f"{name}, captured", ours, "µs a line", against=theirs, goal=goal)
            benchmark.report(f"{name}, to a file only", theirs, "µs a line")


def compare(
    runs: Path, programs: dict[str, Program], lines: int, rounds: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Return, for each way to print, the µs a line of each round, with a run around it and without."""
    runs.mkdir()
    output = os.open(runs / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)

    def captured(program: Callable[[int], None], size: int, capture: Literal[True, "fd"]) -> None:
        with skald.Logger("run", runs, capture=capture):
            program(size)
        sys.stdout.flush()

    def plain(program: Callable[[int], None], size: int) -> None:
        program(size)
        sys.stdout.flush()

    def tidy() -> None:
        """Leave the disk nothing to take while the next is measured."""
        os.ftruncate(output, 0)
        shutil.rmtree(runs / "run", ignore_errors=True)

    found = {}
    for name, (program, share, capture) in programs.items():
        size = int(lines * share)
        steps: dict[str, Callable[[], object]] = {
            "captured": partial(captured, program, size, capture),
            "tidied": tidy,
            "plain": partial(plain, program, size),
            "tidied again": tidy,
        }
        taken = alternate(steps, rounds=rounds)
        found[name] = tuple([second / size * 1e6 for second in taken[which]] for which in ("captured", "plain"))
    return found  # type: ignore[return-value]


def print_lines(text: str, lines: int) -> None:
    """Print a line again and again."""
    for _ in range(lines):
        print(text)


def write_lines(lines: int) -> None:
    """Write what costs least."""
    for _ in range(lines):
        sys.stdout.write(f"{SMALL}\n")


def print_in_threads(lines: int) -> None:
    """Print in four threads at once."""
    threads = [threading.Thread(target=print_lines, args=(SMALL, lines // 4)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def print_in_turns(lines: int) -> None:
    """Print on both streams."""
    for number in range(lines):
        print(SMALL, file=(sys.stdout, sys.stderr)[number % 2])


def print_flushed(lines: int) -> None:
    """Print as a careful program does."""
    for _ in range(lines):
        print(SMALL, flush=True)


def print_steps(steps: int) -> None:
    """Print over the same line, and have it shown each time."""
    for number in range(steps):
        print(f"\rstep {number}", end="", flush=True)


def print_bar(lines: int) -> None:
    """Print over the same line."""
    for number in range(lines):
        print(number, end="\r")


def run_bar(steps: int) -> None:
    """Go through a loop with a bar; its own lock would be one between processes, and outlive this one."""
    tqdm.set_lock(threading.RLock())
    for _ in tqdm(range(steps)):
        pass


def run_telling_bar(steps: int) -> None:
    """Go through a loop with a bar that is drawn at each step, as it tells the loss."""
    tqdm.set_lock(threading.RLock())
    for number in (bar := tqdm(range(steps))):
        bar.set_postfix(loss=number)


def print_values(lines: int) -> None:
    """Print a dozen names and values in colours."""
    for number in range(lines):
        print(*[f"\x1b[1m{name}\x1b[0m \x1b[3{place}m{number / place:.4f}\x1b[0m" for place, name in VALUES])


def run_child(lines: int) -> None:
    """Have a child process print."""
    program = f"for _ in range({lines}): print({SMALL!r})"
    subprocess.run([sys.executable, "-c", program], check=True)


BUFFERED: dict[str, Program] = {
    f"print of {len(SMALL)} characters": (partial(print_lines, SMALL), 1, True),
    "sys.stdout.write of a line": (write_lines, 2, True),
    f"print of {len(LONG)} characters": (partial(print_lines, LONG), 1 / 2, True),
    "print of 10 lines at once": (partial(print_lines, SEVERAL), 1 / 3, True),
    f"print of {len(LARGE) + 1:,} characters": (partial(print_lines, LARGE), 1 / 500, True),
    "print in colours": (partial(print_lines, COLORED), 1, True),
    "print of 6 values in 24 codes of colours": (print_values, 1 / 5, True),
    "print in four threads": (print_in_threads, 1, True),
    "print to stdout and stderr in turns": (print_in_turns, 1 / 3, True),
    "print with flush": (print_flushed, 1 / 3, True),
    "print over the same line": (print_bar, 1, True),
    "print over the same line with flush": (print_steps, 1 / 3, True),
    "a step of tqdm": (run_bar, 4, True),
    "a step of tqdm with set_postfix": (run_telling_bar, 1 / 30, True),
    f'print of {len(SMALL)} characters, capture="fd"': (partial(print_lines, SMALL), 1, "fd"),
    'print with flush, capture="fd"': (print_flushed, 1 / 3, "fd"),
    f'{CHILD}, capture="fd"': (run_child, 1, "fd"),
}
UNBUFFERED: dict[str, Program] = {
    "print, unbuffered": (partial(print_lines, SMALL), 1 / 3, True),
    'print, unbuffered, capture="fd"': (partial(print_lines, SMALL), 1 / 3, "fd"),
}

if __name__ == "__main__":
    main()
