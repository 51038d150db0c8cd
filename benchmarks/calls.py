"""Log calls in blocks: a block of the floor, a block of Skald, and so on; blocks in which a segment rolled apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import measure
from floor import Floor

import skald
from skald.layout import SEGMENTS

BLOCK_ROWS = 8192
"""An eighth of the largest segment."""
BLOCKS_A_ROUND = 8
"""In each round a stream rolls once."""

Log = Callable[..., None]
Block = Callable[[Log, range], None]


@contextmanager
def opened() -> Iterator[skald.Logger]:
    """Give a logger on a run that goes afterwards."""
    with measure.folder() as folder, skald.Logger("run", folder) as logger:
        yield logger


@dataclass(slots=True)
class Timed:
    """Microseconds a call of each block, those of its neighbour, and where segments rolled."""

    ours: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)
    rolled: list[bool] = field(default_factory=list)

    @property
    def steady(self) -> tuple[list[float], list[float]]:
        """The blocks in which no segment rolled, and their neighbours."""
        kept = [k for k, rolled in enumerate(self.rolled) if not rolled]
        return [self.ours[k] for k in kept], [self.floors[k] for k in kept]

    @property
    def rounds(self) -> tuple[list[float], list[float]]:
        """The means of whole rounds, rolls and all, and those of the floor."""
        return _means(self.ours), _means(self.floors)

    def roll_ms(self, calls: int) -> list[float]:
        """Return what each roll took, in ms; `calls` are those of a block."""
        usual = statistics.median(self.steady[0])
        return [(taken - usual) * calls / 1000 for taken, rolled in zip(self.ours, self.rolled, strict=True) if rolled]


def _means(samples: list[float]) -> list[float]:
    whole = range(0, len(samples) - BLOCKS_A_ROUND + 1, BLOCKS_A_ROUND)
    return [statistics.fmean(samples[first : first + BLOCKS_A_ROUND]) for first in whole]


def floor_block(log: Log, steps: range) -> None:
    """Log with two ids."""
    for step in steps:
        log("loss", 0.5, epoch=3, step=step)


def compare(
    logger: skald.Logger,
    block: Block,
    log: Log,
    *,
    rounds: int,
    calls: int = BLOCK_ROWS,
    floor: Floor | None = None,
    floor_calls: Block = floor_block,
    unrolled: bool = False,
) -> Timed:
    """Run blocks of Skald and of the floor in turns, after rounds that warm both up.

    Args:
        logger: whose run `log` writes.
        block: makes the calls of one block.
        log: what it calls.
        rounds: of `BLOCKS_A_ROUND` blocks each.
        calls: of Skald's in a block; the floor makes always `BLOCK_ROWS`.
        floor: default: one of two ids.
        floor_calls: makes the floor's calls of one block.
        unrolled: take the floor that can have two ids only.
    """
    floor = floor or Floor(BLOCK_ROWS * BLOCKS_A_ROUND, ["loss"], [("epoch", "step")])
    floor_log = floor.log_two if unrolled else floor.log
    timed, warming = Timed(), 2 * BLOCKS_A_ROUND if rounds > 2 else 1
    for number in range(-warming, rounds * BLOCKS_A_ROUND):
        if number % BLOCKS_A_ROUND == 0:
            floor.restart()
        before = segments(logger.run.path)
        ours = _micros(block, log, calls, number)
        rolled = segments(logger.run.path) > before
        floors = _micros(floor_calls, floor_log, BLOCK_ROWS, number)
        if number >= 0:
            timed.ours.append(ours)
            timed.floors.append(floors)
            timed.rolled.append(rolled)
    return timed


def segments(run: Path) -> int:
    """Count the segments of a run."""
    return len(list((run / SEGMENTS).glob("*/*.arrow")))


def _micros(block: Block, log: Log, calls: int, number: int) -> float:
    steps = range(max(number, 0) * calls, max(number, 0) * calls + calls)
    started = time.perf_counter_ns()
    block(log, steps)
    return (time.perf_counter_ns() - started) / calls / 1000
