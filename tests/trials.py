"""Trials: processes that log under torment, and the judge who reads back what they logged.

Every row tells what it must be: its value is a number that is logged once, and from the number follow the
metric and the ids. A process notes a number in shared memory after the call that logged it has returned. So a
row that is lost, doubled, or made of parts of two rows is found, whatever happened to the process.

The processes are this file, run as a program; only the standard library and Skald are in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

import skald

BLOCK = 64
"""Numbers that are logged in one style."""
STYLES = ("metric", "few", "many", "batch", "bind", "set", "generic", "names", "strings", "sets", "widening")
LANE = 1 << 21
"""Numbers of one thread or process."""
LANES = 16

Ids = Mapping[str, int | float | str | bool]


class Expected(NamedTuple):
    """What a row must be."""

    metric: str
    ids: Ids


def style_of(number: int) -> str:
    """Return how a number is logged: blocks of numbers take turns, in an order that does not repeat soon."""
    block = number // BLOCK
    return STYLES[(block * 7 + block // 11 * 3 + block // 97) % len(STYLES)]


def size_of(number: int) -> int:
    """Return how many numbers a call logs."""
    return {"few": 4, "many": 32, "batch": BLOCK}.get(style_of(number), 1)


def expected(number: int) -> Expected:  # noqa: C901 one case for each style
    """Return the row of a number."""
    style, lane, place = style_of(number), number // LANE, number % BLOCK
    start = number - place
    metric = f"{style}/{lane}/{place % 8}"
    ids: dict[str, int | float | str | bool] = {"step": number}
    if style == "few":
        metric, ids = f"few/{lane}/{place % 4}", {"step": number - place % 4, "split": ("train", "")[place // 4 % 2]}
    elif style == "many":
        metric, ids = f"many/{lane}/{place % 32}", {"step": number - place % 32}
    elif style == "batch":
        metric, ids = f"batch/{lane}/{place // 32}", {"step": start + place % 32, "epoch": start}
    elif style == "bind":
        ids = {"step": number, "rank": place % 3}
    elif style == "set":
        ids = {"step": number, "epoch": start + place // 8, "is_best": place // 8 % 2 == 0}
    elif style == "generic":
        ids = {"step": number, "class": place % 5, "a-b": f"ﬁ{place % 3}"}
    elif style == "names":
        metric = f"näme/{lane}/{start % 4096}/{place}"
    elif style == "strings":
        ids = {"step": number, "täg": f"Ω{start % 8192}/{place}"}
    elif style == "sets":
        ids = {"step": number, f"k{(start // BLOCK + place) % 80}": place}
    elif style == "widening":
        ids = {"step": number, "lr": place if place < 3 else place + 0.5}
    return Expected(metric, ids)


class Acknowledged:
    """Shared memory with a byte for each number, 1 once its call has returned."""

    def __init__(self, path: Path) -> None:
        """Map the file, which is made where it is missing."""
        with path.open("a+b") as file:
            file.truncate(LANE * LANES)
            self.bytes = mmap.mmap(file.fileno(), LANE * LANES)

    def numbers(self) -> list[int]:
        """Return the numbers noted so far."""
        copied = self.bytes[:]
        found, number = [], copied.find(1)
        while number >= 0:
            found.append(number)
            number = copied.find(1, number + 1)
        return found

    def count(self, lane: int) -> int:
        """Return how many numbers of a lane were noted."""
        return self.bytes[lane * LANE : (lane + 1) * LANE].count(1)


class Hand:
    """What logs the numbers of one lane, one after the other, through functions that it keeps."""

    def __init__(self, logger: skald.Logger, acknowledged: Acknowledged, lane: int) -> None:
        """Begin with the lane's first number."""
        self.logger = logger.bind()
        self.log, self.log_many = self.logger.log_metric, self.logger.log_metrics
        self.ranks = [logger.bind(rank=rank) for rank in range(3)]
        self.acknowledged, self.number = acknowledged, lane * LANE + 1
        self.stop = (lane + 1) * LANE - 2 * BLOCK
        self.has_set_ids = False

    def block(self, most: int = BLOCK) -> None:
        """Log the rest of the block of the next number, or only the first few calls of it."""
        for _ in range(most):
            self.once()
            if self.number % BLOCK == 0:
                return

    def once(self) -> None:
        """Make one call.

        Its numbers count as used before it, so that those of a call that raised are not used again.
        """
        number = self.number
        while number % size_of(number):  # an exception may have left the middle of a call
            number += 1
        stop = self.number = number + size_of(number)
        self.call(number)
        self.acknowledged.bytes[number:stop] = b"\1" * (stop - number)

    def call(self, number: int) -> None:
        """Log one number, or those of one call, in their style."""
        style, (metric, ids) = style_of(number), expected(number)
        if self.has_set_ids and style != "set":  # not in a `finally`: an interrupt may end that one too
            self.logger.set_ids(epoch=None, is_best=None)
            self.has_set_ids = False
        if style == "few":
            self.log_many({expected(n).metric: n for n in range(number, number + 4)}, **ids)
        elif style == "many":
            self.log_many({expected(n).metric: float(n) for n in range(number, number + 32)}, **ids)
        elif style == "batch":
            columns = {expected(n).metric: range(n, n + 32) for n in (number, number + 32)}
            self.logger.log_batch(columns, step=range(number, number + 32), epoch=ids["epoch"])
        elif style == "bind":
            self.ranks[int(ids["rank"])].log_metric(metric, number, step=number)
        elif style == "set":
            self.has_set_ids = True
            self.logger.set_ids(epoch=ids["epoch"], is_best=ids["is_best"])
            self.log(metric, number, step=number)
        else:
            self.log(metric, float(number), **ids)


# --- the judge ---


def judge(run: Path, must: list[int], may: Callable[[int], bool] = lambda _: True, *, ordered: bool = True) -> int:
    """Read a run and say what is wrong with it; return how many rows it has.

    Args:
        run: the run's folder.
        must: numbers that must be there.
        may: tells of all other numbers whether they may be there.
        ordered: whether each metric's numbers must ascend.
    """
    table = skald.Run(run).metrics.collect()
    names = table.columns
    position = {name: number for number, name in enumerate(names)}
    wrong: list[str] = []
    seen: set[int] = set()
    newest: dict[str, int] = {}
    for row in table.iter_rows():
        number, metric = int(row[position["value"]]), row[0]
        want = expected(number)
        ids = {name: row[k] for name, k in position.items() if row[k] is not None and 0 < k < len(names) - 2}
        if (metric, ids) != want:
            wrong.append(f"{number} is {metric} {ids} and not {want}")
        if number in seen:
            wrong.append(f"{number} is there twice: {want}")
        if ordered and newest.get(metric, -1) > number:
            wrong.append(f"{number} stands after {newest[metric]}")
        newest[metric] = number
        seen.add(number)
    required = set(must)
    wrong += [f"{number} is lost: {expected(number)}" for number in sorted(required - seen)]
    wrong += [f"{number} was never logged" for number in seen - required if not may(number)]
    assert not wrong, f"{len(wrong)} faults in {table.height} rows of {run}: {wrong[:5]}"
    return table.height


# --- the tormented ---


def log_for_ever(run: Path, acknowledged: Acknowledged, _seed: int) -> None:
    """Log until somebody kills the process."""
    logger = skald.Logger(run.name, run.parent)
    hand = Hand(logger, acknowledged, 0)
    while hand.number < hand.stop:
        hand.block()


def log_in_threads(run: Path, acknowledged: Acknowledged, seed: int) -> None:
    """Log in four threads, this one and a signal handler, interrupted at random, and close meanwhile."""
    sys.setswitchinterval(1e-6)
    chance = random.Random(seed)
    logger = skald.Logger(run.name, run.parent)
    first = Hand(logger, acknowledged, 6)
    for _ in range(20):  # NOTE: an exception inside an import leaves the lock of that module held for ever
        first.block()
    done = threading.Event()
    threads = [threading.Thread(target=_log_on, args=(logger, acknowledged, lane)) for lane in range(1, 5)]
    for thread in threads:
        thread.start()
    handlers, own = [Hand(logger, acknowledged, lane) for lane in (5, 7, 8)], Hand(logger, acknowledged, 0)
    fuse = _set_signals(handlers)
    tormentor = threading.Thread(target=_interrupt, args=(threads, chance, done))
    tormentor.start()
    ends = time.monotonic() + chance.uniform(0.5, 1.5)
    while time.monotonic() < ends and own.number < own.stop:
        try:
            fuse[0] = True
            own.block()
            fuse[0] = False
        except KeyboardInterrupt:
            pass
    done.set()
    tormentor.join()
    logger.close()
    signal.setitimer(signal.ITIMER_REAL, 0)
    for thread in threads:
        thread.join()


def _set_signals(handlers: list[Hand]) -> list[bool]:
    """Log every 4 ms, one hand for each depth of interruption; return what lets a Ctrl-C through once."""
    fuse, depth = [False], [0]

    def on_alarm(*_: object) -> None:
        depth[0] += 1
        try:
            if depth[0] <= len(handlers):  # more often than a call takes would be for ever
                handlers[depth[0] - 1].block(most=8)
        except skald.LoggerClosedError:
            pass
        finally:
            depth[0] -= 1

    def on_interrupt(*_: object) -> None:
        if fuse[0]:
            fuse[0] = False
            raise KeyboardInterrupt

    # an interrupt may end a thread, or hit a weak reference's callback, where nobody can catch it
    sys.unraisablehook = lambda args: None if args.exc_type is KeyboardInterrupt else sys.__unraisablehook__(args)
    threading.excepthook = lambda args: None if args.exc_type is KeyboardInterrupt else threading.__excepthook__(args)
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGINT, on_interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.004, 0.004)
    return fuse


def _log_on(logger: skald.Logger, acknowledged: Acknowledged, lane: int) -> None:
    """Log until the logger is closed, in spite of interrupts."""
    hand = Hand(logger, acknowledged, lane)
    while hand.number < hand.stop:
        try:
            try:
                while hand.number < hand.stop:
                    hand.block()
            except KeyboardInterrupt:
                pass
            except skald.LoggerClosedError:
                return
        except KeyboardInterrupt:
            pass  # two at once


def _interrupt(threads: list[threading.Thread], chance: random.Random, done: threading.Event) -> None:
    """Raise KeyboardInterrupt in this thread or that, every few milliseconds."""
    raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
    while not done.wait(chance.uniform(0.001, 0.01)):
        victim = chance.choice([*threads, None])
        if victim is None:
            os.kill(os.getpid(), signal.SIGINT)
        elif victim.ident is not None:
            raise_in(ctypes.c_ulong(victim.ident), ctypes.py_object(KeyboardInterrupt))


def log_in_forks(run: Path, acknowledged: Acknowledged, seed: int) -> None:
    """Log here and in a thread, while forked children log through the same functions; some are killed."""
    sys.setswitchinterval(1e-6)
    chance = random.Random(seed)
    with skald.Logger(run.name, run.parent) as logger:
        done = threading.Event()
        beside = Hand(logger, acknowledged, 1)
        thread = threading.Thread(target=_log_until, args=(beside, done))
        thread.start()
        hands = [Hand(logger, acknowledged, lane) for lane in range(2, LANES)]
        own = Hand(logger, acknowledged, 0)
        children = []
        for hand in hands[::2]:
            for _ in range(chance.randrange(1, 12)):
                own.block()
            child = os.fork()
            if child == 0:
                _as_child(logger, hand, hands[hands.index(hand) + 1], chance.randrange(4))
            children.append(child)
        for child in children:
            for _ in range(3):
                own.block()
            os.waitpid(child, 0)
        done.set()
        thread.join()


def _as_child(logger: skald.Logger, hand: Hand, grandchild: Hand, fate: int) -> None:
    """Log in a forked child, and end in one of the ways in which processes end."""
    for _ in range(10):
        hand.block()
    if fate == 0:
        child = os.fork()
        if child == 0:
            _as_child(logger, grandchild, grandchild, 1)
        for _ in range(10):
            hand.block()
        os.waitpid(child, 0)
    if fate == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == 3:
        logger.close()
        with contextlib.suppress(skald.LoggerClosedError):
            hand.block()
            os._exit(3)
    elif os.environ.get("SKALD_STORAGE") == "staged":
        logger.sync()
    os._exit(0)


def _log_until(hand: Hand, done: threading.Event) -> None:
    while not done.is_set() and hand.number < hand.stop:
        hand.block()


def log_in_multiprocessing(run: Path, acknowledged: Acknowledged, _seed: int) -> None:
    """Log here and in children of multiprocessing's fork, which end as it lets them."""
    context = multiprocessing.get_context("fork")
    with skald.Logger(run.name, run.parent) as logger:
        hands = [Hand(logger, acknowledged, lane) for lane in range(3)]
        hands[0].block()
        children = [context.Process(target=_blocks, args=(hand,)) for hand in hands[1:]]
        for child in children:
            child.start()
        for _ in range(20):
            hands[0].block()
        for child in children:
            child.join()
            assert child.exitcode == 0


def _blocks(hand: Hand) -> None:
    for _ in range(20):
        hand.block()


TORMENTS = {
    torment.__name__: torment for torment in (log_for_ever, log_in_threads, log_in_forks, log_in_multiprocessing)
}


# --- one trial each: returns the rows judged ---


@contextlib.contextmanager
def process(torment: str, run: Path, seed: int, *, storage: str = "mapped") -> Iterator[subprocess.Popen[bytes]]:
    """Run a tormented process; it is killed, at the latest, when the block ends."""
    environment = {**os.environ, "SKALD_STORAGE": storage, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, __file__, torment, str(run), str(seed)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


def notes(run: Path) -> Acknowledged:
    """Return what the process of a run acknowledged."""
    return Acknowledged(run.with_name(f"{run.name}.acknowledged"))


def kill(run: Path, seed: int, *, storage: str = "mapped") -> int:
    """Kill a process that logs, as SIGKILL does; judge what is left, and again after compaction."""
    chance = random.Random(seed)
    acknowledged = notes(run)
    with process("log_for_ever", run, seed, storage=storage) as running:
        _wait_for(running, lambda: acknowledged.count(0) > 5000)
        time.sleep(chance.uniform(0, 0.3))
        must = acknowledged.numbers()
        if storage == "staged":
            # a flush begins every half second, and ends when the disk lets it
            _wait_for(running, lambda: _rows_on_disk(run) >= len(must))
            time.sleep(1.5)
        running.kill()
        running.wait()
    if storage == "mapped":
        must = acknowledged.numbers()
    status = skald.Run(run).status
    assert status == "crashed", status
    rows = judge(run, must)
    skald.compact(run)
    assert judge(run, must) == rows
    assert not (run / "segments").exists()
    return rows


def _rows_on_disk(run: Path) -> int:
    return int(skald.Run(run).metrics.select(pl.len()).collect().item())


def _wait_for(running: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
    ends = time.monotonic() + 30
    while not is_there():
        assert running.poll() is None, running.stderr and running.stderr.read().decode()
        assert time.monotonic() < ends, "the process does not come on"
        time.sleep(0.01)


def _run_to_end(torment: str, run: Path, seed: int, storage: str) -> list[int]:
    with process(torment, run, seed, storage=storage) as running:
        _, said = running.communicate(timeout=90)
    assert running.returncode == 0, said.decode()
    assert b"Traceback" not in said, said.decode()
    return notes(run).numbers()


def threads(run: Path, seed: int, *, storage: str = "mapped") -> int:
    """Judge a run logged by threads, a signal handler and interrupted calls."""
    return judge(run, _run_to_end("log_in_threads", run, seed, storage), ordered=False)


def forks(run: Path, seed: int, *, storage: str = "mapped") -> int:
    """Judge a run logged by a process and its forked children; some are killed, and then it is compacted."""
    must = _run_to_end("log_in_forks", run, seed, storage)
    if storage == "staged":  # killed children lose half a second
        return judge(run, [number for number in must if number // LANE < 2])
    assert judge(run, must) >= len(must)
    skald.compact(run)
    return judge(run, must)


def multiprocessing_forks(run: Path, seed: int, *, storage: str = "mapped") -> int:
    """Judge a run logged by a process and children of multiprocessing."""
    return judge(run, _run_to_end("log_in_multiprocessing", run, seed, storage))


def live(run: Path, seed: int, *, storage: str = "mapped", secs: float = 3.0) -> int:
    """Read a run again and again while it is written; return the rows judged in all."""
    acknowledged = notes(run)
    before, judged, ends = 0, 0, time.monotonic() + secs
    with process("log_for_ever", run, seed, storage=storage) as running:
        _wait_for(running, lambda: acknowledged.count(0) > 100)
        while time.monotonic() < ends:
            must = acknowledged.numbers() if storage == "mapped" else []
            rows = judge(run, must)
            assert rows >= before, f"{rows} rows after {before}"
            before, judged = rows, judged + rows
            if random.Random(seed + judged).random() < 0.1:
                skald.compact(run)
    return judged


if __name__ == "__main__":
    _, name, where, number = sys.argv
    TORMENTS[name](Path(where), notes(Path(where)), int(number))
