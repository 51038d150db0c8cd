"""Sets everything up, runs the benchmarks, and appends what they measure to a file.

    python3 scripts/bench.py [NAME...] [--tiny] [--output FILE]

NAME is `log_metric` for benchmarks/bench_log_metric.py; without one all run, for about ten minutes.
`scripts/figures.py` makes the README's tables of the file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import environment

BENCHMARKS = environment.ROOT / "benchmarks"
FIGURES = BENCHMARKS / "figures.jsonl"


def names() -> list[str]:
    """Return the names of all benchmarks."""
    return sorted(path.stem.removeprefix("bench_") for path in BENCHMARKS.glob("bench_*.py"))


def run(name: str, output: Path, options: list[str]) -> int:
    """Run one benchmark, and return its exit code; its lines are appended only when it ran to its end."""
    environment.say(f"python benchmarks/bench_{name}.py {' '.join(options)}")
    command = [str(environment.PYTHON), f"benchmarks/bench_{name}.py", *options]
    result = subprocess.run(command, cwd=environment.ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(result.stdout, end="", flush=True)
    if result.returncode == 0:
        with output.open("a", encoding="utf-8") as file:
            file.write(result.stdout)
    return result.returncode


def main() -> int:
    """Read the command line, and return the exit code of the first benchmark that failed."""
    parser = argparse.ArgumentParser(description="Run the benchmarks.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(names())}")
    parser.add_argument("--tiny", action="store_true", help="run them small, to see whether they work")
    parser.add_argument("--output", type=Path, default=FIGURES, help="where the lines of JSON are appended")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(names()):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    environment.prepare()
    options = ["--tiny"] if chosen.tiny else []
    codes = [run(name, chosen.output, options) for name in chosen.names or names()]
    return next(filter(None, codes), 0)


if __name__ == "__main__":
    sys.exit(main())
