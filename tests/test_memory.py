"""Memory, mappings and descriptors do not grow with the number of rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from logged import program

SOURCE = """
import gc, os, sys, skald

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

def mappings():
    return sum(".arrow" in line for line in open("/proc/self/maps"))

with skald.Logger("run", ".") as logger:
    log, log_many = logger.log_metric, logger.log_metrics
    metrics = {f"m{k}": float(k) for k in range(100)}
    def work(rows):
        for step in range(rows // 4):
            log("loss", 0.5, epoch=1, step=step)
            log("accuracy", 0.5, epoch=1, split="val")
        for step in range(rows // 200):
            log_many(metrics, step=step)
    work(400_000)
    logger.sync()
    before, most = resident(), 0
    for _ in range(6):
        work(400_000)
        most = max(most, mappings())
    logger.sync()
    print(resident() - before, most, len(os.listdir("/proc/self/fd")), flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_memory_is_flat_while_rows_are_logged(tmp_path: Path, storage: str) -> None:
    """2.8 million rows, 70 segments: what was sealed is let go."""
    ended = program(SOURCE, folder=tmp_path, SKALD_STORAGE=storage)

    assert ended.returncode == 0, ended.stderr
    grown_mib, mappings, descriptors = map(int, ended.stdout.split())
    assert grown_mib < 24
    assert mappings <= 4
    assert descriptors < 60  # staged: those of half a second


NAMES = """
import os, skald

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

logger = skald.Logger("run", ".")
def work(first, last):
    for number in range(first, last):
        logger.log_metric("loss", 0.5, tag=f"a string that never comes back, number {number}")
work(0, 300_000)
before = resident()
work(300_000, 1_500_000)
print(resident() - before, flush=True)
os._exit(0)
"""


def test_memory_is_flat_while_new_strings_are_logged(tmp_path: Path) -> None:
    """A dictionary that is too large is not carried on."""
    ended = program(NAMES, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 60  # they would be 300
