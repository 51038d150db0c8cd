"""What does `import skald` cost, and does it load what only readers and the command line need?"""

from __future__ import annotations

import json
import subprocess
import sys

from measure import Goal, begin

CODE = """
import sys, time
started = time.perf_counter()
import {name}
taken = time.perf_counter() - started
import json
print(json.dumps([taken, sorted({{module.partition(".")[0] for module in sys.modules}})]))
"""
SHUNNED = {"polars", "rich", "typer", "textual", "psutil", "duckdb", "pandas"}


def main() -> None:
    """Import in fresh processes, in turns with pyarrow; the first of each warms the file cache."""
    benchmark = begin(__doc__)
    rounds = benchmark.size(21, 1)
    pairs = [(imported("skald"), imported("pyarrow")) for _ in range(rounds + 1)][1:]
    ours, theirs = ([pair[k][0] * 1000 for pair in pairs] for k in (0, 1))
    benchmark.report("import skald", ours, "ms", against=theirs, goal=Goal(of="ratio", most=1.5))
    benchmark.report("import pyarrow", theirs, "ms")
    loaded = SHUNNED & pairs[0][0][1]
    name = f"of {', '.join(sorted(SHUNNED))} import skald loads"
    benchmark.report(name, [len(loaded)], "packages", goal=Goal(most=0))


def imported(name: str) -> tuple[float, set[str]]:
    """Import a package in a fresh process; return the seconds, and what is loaded."""
    command = [sys.executable, "-c", CODE.format(name=name)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    taken, loaded = json.loads(result.stdout)
    return taken, set(loaded)


if __name__ == "__main__":
    main()
