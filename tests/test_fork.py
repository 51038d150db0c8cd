"""Forked children log through the functions that their parent made."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import trials
from logged import program, values

import skald
from skald.engine.lock import FileLock

FORK = """
import os, sys, threading, skald
logger = skald.Logger("run", ".")
log = logger.log_metric
for step in range(1000):
    log("loss", float(step), step=step)
"""


@pytest.mark.parametrize(("storage", "seed"), [("mapped", 1), ("staged", 3)])
def test_fork_keeps_every_row_of_parent_and_children(tmp_path: Path, storage: str, seed: int) -> None:
    """Children and grandchildren, some killed, while another thread of the parent logs."""
    rows = trials.forks(tmp_path / "run", seed, storage=storage)

    assert rows > 3000


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_fork_of_multiprocessing_loses_no_row_at_its_end(tmp_path: Path, storage: str) -> None:
    """Such a child ends without atexit, and its last rows reach the file all the same."""
    rows = trials.multiprocessing_forks(tmp_path / "run", 1, storage=storage)

    assert rows > 2500


@pytest.mark.parametrize("ending", ["logger.close()", "logger.__exit__(None, None, None)", "sys.exit(0)"])
def test_child_that_ends_leaves_the_run_to_its_parent(tmp_path: Path, ending: str) -> None:
    """Status, compaction and run.json are the parent's."""
    source = f"""{FORK}
if os.fork() == 0:
    log("loss", 1000.0, step=1000)
    {ending}
    os._exit(0)
os.wait()
log("loss", 1001.0, step=1001)
print(open("run/run.json").read())
"""

    ended = program(source, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["status"] == "running"
    assert skald.Run(tmp_path / "run").status == "finished"
    assert sorted(values(tmp_path / "run")) == [float(step) for step in range(1002)]


def test_child_refuses_a_run_in_the_place_of_its_own(tmp_path: Path) -> None:
    """Its parent has overwritten the run meanwhile: the rows of two runs are never mixed."""
    source = """
import os, skald
logger = skald.Logger("run", ".", capture=False)
logger.log_metric("loss", 1)
ready, go = os.pipe()
if os.fork() == 0:
    os.read(ready, 1)
    try:
        logger.log_metric("loss", 2)
    except skald.RunNotFoundError as error:
        print(error, flush=True)
    os._exit(0)
new = skald.Logger("run", ".", mode="overwrite", capture=False)
new.log_metric("loss", 3)
os.write(go, b"x")
os.wait()
"""

    ended = program(source, folder=tmp_path)

    assert "another stands in its place" in ended.stdout, ended.stderr
    assert values(tmp_path / "run") == [3]


def test_child_of_a_killed_parent_does_not_keep_its_lock(tmp_path: Path) -> None:
    """A parent that was killed is found dead, though its child lives on."""
    source = f"""{FORK}
child = os.fork()
if child == 0:
    import time
    os.close(1), os.close(2)
    time.sleep(60)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""

    killed = program(source, folder=tmp_path)

    assert killed.returncode == -signal.SIGKILL
    os.kill(int(killed.stdout), 0)  # the child is there
    assert skald.Run(tmp_path / "run").status == "crashed"
    os.kill(int(killed.stdout), signal.SIGKILL)


def test_child_keeps_no_lock_that_another_thread_held(tmp_path: Path) -> None:
    """It is free once the parent is killed, though nobody in the child could give it back."""
    source = f"""{FORK}
import time
from pathlib import Path
from skald.engine.lock import FileLock
ready = threading.Event()
def hold():
    with FileLock(Path("shared")):
        ready.set()
        time.sleep(60)
threading.Thread(target=hold).start()
ready.wait()
child = os.fork()
if child == 0:
    os.close(1), os.close(2)
    time.sleep(60)
print(child, flush=True)
os.kill(os.getpid(), 9)
"""

    killed = program(source, folder=tmp_path)
    lock = FileLock(tmp_path / "shared")

    assert lock.acquire(1.0)
    lock.release()
    os.kill(int(killed.stdout), signal.SIGKILL)


def test_fork_in_the_midst_of_a_call_makes_no_file_of_the_parents(tmp_path: Path) -> None:
    """A signal handler forks inside a roll: the child's call is refused or logged, the parent's rows are all there."""
    source = f"""{FORK}
children = []
def trace(frame, event, _):
    if frame.f_code.co_name in ("_roll", "_create", "_store", "_activate", "add") and event == "line":
        children.append(os.fork())
        if children[-1] == 0:
            sys.settrace(None)
    return trace
sys.settrace(trace)
try:
    for step in range(1000, 1100):
        log(f"name{{step % 3}}", float(step), step=step)
except skald.LoggerClosedError:
    assert children[-1] == 0
if children[-1] == 0:
    log("child", 1.0, step=1)
    os._exit(0)
sys.settrace(None)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
log("children", len(children))
"""

    ended = program(source, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    own = sum((values(tmp_path / "run", f"name{k}") for k in range(3)), start=list[float]())
    assert set(own) == {float(step) for step in range(1000, 1100)}
    assert [len(values(tmp_path / "run", "child"))] == values(tmp_path / "run", "children")
    assert values(tmp_path / "run") == [float(step) for step in range(1000)]


def test_child_costs_the_parent_no_descriptor(tmp_path: Path) -> None:
    """What a child opens and closes stays its own."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1.0)
        before = len(list(Path("/proc/self/fd").iterdir()))
        child = os.fork()
        if child == 0:
            logger.log_metric("loss", 2.0)
            os._exit(0)
        os.waitpid(child, 0)
        after = len(list(Path("/proc/self/fd").iterdir()))

    assert before == after
    assert sorted(values(tmp_path / "run")) == [1.0, 2.0]


def test_fork_waits_for_a_thread_that_makes_a_segment(tmp_path: Path) -> None:
    """It may hold a lock of the memory that Arrow takes, which the child would find held for ever."""
    source = """
import os, sys, threading, time
import skald
from skald.engine import writer
memory, roll, begun = threading.Lock(), writer.Writer._roll, threading.Event()
def slow_roll(*args, **options):
    if not memory.acquire(timeout=5):
        os._exit(7)
    try:
        begun.set()
        time.sleep(0.1)
        return roll(*args, **options)
    finally:
        memory.release()
writer.Writer._roll = slow_roll
logger = skald.Logger("run", ".", capture=False)
thread = threading.Thread(target=logger.log_metric, args=("of a thread", 1.0))
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    logger.log_metric("of a child", 1.0)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
thread.join()
logger.log_metric("after", 1.0)
logger.close()
"""

    ended = program(source, folder=tmp_path)

    assert (ended.returncode, ended.stdout) == (0, "0\n"), ended.stderr
    assert set(skald.Run(tmp_path / "run").metrics.collect()["metric"]) == {"of a thread", "of a child", "after"}
