"""What does following a loop cost an item, its id and its bar?"""

from __future__ import annotations

import contextlib
import os
import pty
import sys

from calls import opened
from measure import Goal, alternate, begin

import skald

ITEMS = 20_000


def main() -> None:
    """Take turns; stderr is a terminal, so that the bar is drawn."""
    benchmark = begin(__doc__)
    items, rounds = benchmark.size(ITEMS, 100), benchmark.size(60, 1)
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with opened() as logger, os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        sys.stderr = terminal
        steps = {
            "range": lambda: bare(items),
            "set_ids": lambda: with_ids(logger, items),
            "track": lambda: followed(logger, items),
            "reader": lambda: drain(ours),
        }
        taken = {name: [secs / items * 1e6 for secs in each] for name, each in alternate(steps, rounds=rounds).items()}
        sys.stderr = sys.__stderr__
    bar = [track - ids for track, ids in zip(taken["track"], taken["set_ids"], strict=True)]
    benchmark.report("track, an item", taken["track"], "µs", against=taken["set_ids"])
    benchmark.report("set_ids, an item", taken["set_ids"], "µs")
    benchmark.report("a bare range, an item", taken["range"], "µs")
    benchmark.report("track beyond set_ids: the bar, an item", bar, "µs", goal=Goal(most=1))


def bare(items: int) -> None:
    """Go through a range."""
    for _ in range(items):
        pass


def with_ids(logger: skald.Logger, items: int) -> None:
    """Set the id by hand."""
    for step in range(items):
        logger.set_ids(step=step)
    logger.set_ids(step=None)


def followed(logger: skald.Logger, items: int) -> None:
    """Have the loop followed."""
    for _ in logger.track(range(items), "step"):
        pass


def drain(descriptor: int) -> None:
    """Take what the terminal shows, or its buffer fills up."""
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 65_536):
            pass


if __name__ == "__main__":
    main()
