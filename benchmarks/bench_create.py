"""What does creating a run cost, in a repository with uncommitted changes: the first of a process, and those after?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import measure
from measure import Goal, begin

CODE = """
import sys, time
import skald
taken = []
for number in range(int(sys.argv[1])):
    started = time.perf_counter()
    logger = skald.Logger(f"run-{number}", "runs")
    taken.append(time.perf_counter() - started)
    logger.close()
print(*taken)
"""
FILES = 200


def main() -> None:
    """Make runs in fresh processes; `import skald` counts apart, in bench_import."""
    benchmark = begin(__doc__)
    with measure.folder() as folder:
        make_repository(folder)
        processes = [created(folder / str(k), benchmark.size(20, 2)) for k in range(benchmark.size(15, 1))]
    firsts = [taken[0] for taken in processes]
    others = [one for taken in processes for one in taken[1:]]
    benchmark.report("creating a run, the first of a process", firsts, "ms", goal=Goal(most=100))
    benchmark.report("creating a run, those after", others, "ms", goal=Goal(most=10))


def make_repository(folder: Path) -> None:
    """Make a repository of many files, one of which is changed."""
    for number in range(FILES):
        (folder / f"module_{number}.py").write_text("x = 1\n" * 100, encoding="utf-8")
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        subprocess.run(command, cwd=folder, check=True)
    (folder / "module_0.py").write_text("x = 2\n", encoding="utf-8")


def created(folder: Path, count: int) -> list[float]:
    """Return the ms that each of so many runs of a fresh process took to make."""
    folder.mkdir()
    command = [sys.executable, "-c", CODE, str(count)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return [float(taken) * 1000 for taken in result.stdout.split()]


if __name__ == "__main__":
    main()
