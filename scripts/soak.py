"""Torments Skald for some minutes: kills, threads, signals, forks and live readers, with random seeds.

    python3 scripts/soak.py --minutes 10

Each trial is a real process that logs rows which tell what they must be, and notes each row after its call has
returned. Then the run is read back: every noted row must be there exactly once, and none may be wrong. The exit
code is 1 if a trial failed; its run is left in place, and its line says how to do it again. Other options:

    --seed N       begin with this seed (default: from the clock)
    --only TRIAL   one kind of trial: kill, threads, forks, multiprocessing_forks, live
    --folder PATH  where the runs are written (default: a folder in the system's place for temporary files)
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import trials  # noqa: E402 it is found through the line above

KINDS = ("kill", "threads", "forks", "multiprocessing_forks", "live")
STORAGES = ("mapped", "staged")


def main() -> int:
    """Run trials until the time is over; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="skald-soak-", dir=options.folder))
    ends = time.monotonic() + 60 * options.minutes
    done, rows, failed = Counter[str](), Counter[str](), 0
    seed = options.seed
    while time.monotonic() < ends:
        storage = STORAGES[seed % 2]
        kind = options.only or KINDS[seed // 2 % len(KINDS)]
        trial = f"{kind} {storage}"
        try:
            rows[trial] += soak(folder / f"{kind}-{seed}", kind, seed, storage=storage)
        except Exception:  # noqa: BLE001 told, and the next trial follows
            failed += 1
            print(f"FAILED: {trial}, seed {seed}\n{traceback.format_exc()[:4000]}", flush=True)
        done[trial] += 1
        seed += 1
    for trial in sorted(done):
        print(f"{trial:32} {done[trial]:5} trials {rows[trial]:12,} rows")
    print(
        f"{'all':32} {done.total():5} trials {rows.total():12,} rows, {failed} failed, seeds {options.seed} to {seed}"
    )
    return 1 if failed else 0


def soak(run: Path, kind: str, seed: int, *, storage: str) -> int:
    """Run one trial and remove its run; return the rows judged."""
    rows: int = getattr(trials, kind)(run, seed, storage=storage)
    shutil.rmtree(run)
    run.with_name(f"{run.name}.acknowledged").unlink()
    return rows


if __name__ == "__main__":
    sys.exit(main())
