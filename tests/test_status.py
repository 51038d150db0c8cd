"""The status that a run has after each way in which its processes can end, with real processes."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from logged import program, start, values

import skald
from skald.layout import PARQUET, SEGMENTS, is_run

BLOCK = """
import os, signal, sys, skald
with skald.Logger("run", ".") as logger:
    logger.log_metric("loss", 0.5)
    {}
"""
NO_BLOCK = """
import os, signal, sys, skald
logger = skald.Logger("run", ".")
logger.log_metric("loss", 0.5)
{}
"""
INTERRUPT = "os.kill(os.getpid(), signal.SIGINT); signal.pause()"
TERM = "os.kill(os.getpid(), signal.SIGTERM)"


FINALLY = """
try:
    {}
finally:
    logger.close()
"""
FINALLY_INTERRUPTED = f"""
from skald.writing import closing
before = closing.write_info
def interrupting(*args):
    closing.write_info = before
    signal.raise_signal(signal.SIGINT)
    before(*args)
closing.write_info = interrupting
{FINALLY.format("raise ValueError(3)")}
"""
HANDLED = """
try:
    next(iter([]))
except StopIteration:
    logger.close()
"""


def handled(handler: str) -> str:
    """Return statements that install a handler of SIGTERM, and send the signal."""
    return f"signal.signal(signal.SIGTERM, {handler}); {TERM}; signal.pause()"


ENDS = {
    "block ends": (BLOCK, "pass", "finished", None),
    "sys.exit() in the block": (BLOCK, "sys.exit()", "finished", None),
    "sys.exit(0) in the block": (BLOCK, "sys.exit(0)", "finished", None),
    "close() without a block": (NO_BLOCK, "logger.close(); os._exit(1)", "finished", None),
    "end of the script": (NO_BLOCK, "", "finished", None),
    "exception in the block": (BLOCK, "raise ValueError('no such thing')", "failed", "ValueError: no such thing"),
    "sys.exit(256) in the block": (BLOCK, "sys.exit(256)", "finished", None),
    "sys.exit(2**64) in the block": (BLOCK, "sys.exit(2**64)", "failed", f"SystemExit({2**64})"),
    "sys.exit(3) in the block": (BLOCK, "sys.exit(3)", "failed", "SystemExit(3)"),
    "sys.exit(text) in the block": (BLOCK, "sys.exit('no data')", "failed", "SystemExit('no data')"),
    "Ctrl-C in the block": (BLOCK, INTERRUPT, "stopped", "KeyboardInterrupt"),
    "SIGTERM, handled, in the block": (BLOCK, handled("lambda *_: sys.exit(143)"), "stopped", "SystemExit(143)"),
    "sys.exit by the code of Ctrl-C": (BLOCK, "sys.exit(130)", "stopped", "SystemExit(130)"),
    "SIGTERM, handled with another code": (BLOCK, handled("lambda number, _: sys.exit(1)"), "stopped", "SystemExit(1)"),
    "SIGTERM, handled with code 0": (BLOCK, handled("lambda number, _: sys.exit(0)"), "stopped", "SystemExit(0)"),
    "exception without a block": (NO_BLOCK, "raise ValueError('no such thing')", "failed", "ValueError: no such thing"),
    "close() in a finally": (NO_BLOCK, FINALLY.format("raise ValueError(3)"), "failed", "ValueError: 3"),
    "Ctrl-C, close() in a finally": (NO_BLOCK, FINALLY.format(INTERRUPT), "stopped", "KeyboardInterrupt"),
    "Ctrl-C amid close() in a finally": (NO_BLOCK, FINALLY_INTERRUPTED, "stopped", "KeyboardInterrupt"),
    "close() as an exception is handled": (NO_BLOCK, HANDLED, "finished", None),
    "Ctrl-C without a block": (NO_BLOCK, INTERRUPT, "stopped", "KeyboardInterrupt"),
    "sys.exit(3) without a block": (NO_BLOCK, "sys.exit(3)", "finished", None),
    "SIGTERM, handled, without a block": (NO_BLOCK, handled("lambda *_: sys.exit(143)"), "finished", None),
    "SIGTERM in the block": (BLOCK, TERM, "crashed", None),
    "SIGTERM without a block": (NO_BLOCK, TERM, "crashed", None),
    "SIGKILL in the block": (BLOCK, "os.kill(os.getpid(), signal.SIGKILL)", "crashed", None),
    "os._exit(0) in the block": (BLOCK, "os._exit(0)", "crashed", None),
}  # fmt: skip


@pytest.mark.parametrize("end", ENDS)
def test_status_says_how_the_process_ended(end: str, tmp_path: Path) -> None:
    """A run knows how it ended and by which exception, and has its rows, whichever way that was."""
    source, statement, status, exception = ENDS[end]

    ended = program(source.format(statement), folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == (status, exception), ended.stderr
    assert values(tmp_path / "run") == [0.5]
    assert (run.ended is None) == (status == "crashed")


def test_all_runs_fail_that_an_exception_passes_on_its_way(tmp_path: Path) -> None:
    """Also where each is closed in a `finally` of its own."""
    source = """
import skald
one, two = skald.Logger("one", "."), skald.Logger("two", ".")
try:
    try:
        raise ValueError(3)
    finally:
        one.close()
finally:
    two.close()
"""
    program(source, folder=tmp_path)

    assert [skald.Run(tmp_path / name).status for name in ("one", "two")] == ["failed", "failed"]
    assert not list(tmp_path.glob("*/segments"))


def test_run_that_a_task_of_a_group_has_closed_fails_with_it(tmp_path: Path) -> None:
    """Its exception ends the process as one of several."""
    source = """
import asyncio, skald
async def train(number):
    logger = skald.Logger(f"task{number}", ".")
    try:
        await asyncio.sleep(0.01 * number)
        if number == 2:
            raise ValueError("diverged")
    finally:
        logger.close()
async def main():
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(train(number))
asyncio.run(main())
"""
    program(source, folder=tmp_path)

    assert [skald.Run(tmp_path / f"task{number}").status for number in range(3)] == ["finished", "finished", "failed"]


def test_run_that_an_exception_passed_does_not_fail_by_another_one(tmp_path: Path) -> None:
    """Of a sweep whose trials' exceptions are caught; and these can be pickled and copied."""
    source = """
import copy, pickle, skald
def trial(number):
    logger = skald.Logger(f"trial{number}", ".")
    try:
        raise ValueError(number)
    except ValueError as error:
        logger.close()
        assert str(pickle.loads(pickle.dumps(error))) == str(copy.deepcopy(error)) == str(number)
for number in range(20):
    trial(number)
def report():
    raise ValueError("no report")
report()
"""
    ended = program(source, folder=tmp_path)

    assert "ValueError: no report" in ended.stderr
    assert {skald.Run(tmp_path / f"trial{number}").status for number in range(20)} == {"finished"}


@pytest.mark.parametrize("source", [BLOCK, NO_BLOCK])
def test_process_that_is_stopped_by_hand_ends_by_the_signal(source: str, tmp_path: Path) -> None:
    """Shells and launchers look for it: a loop over several trainings ends by one Ctrl-C."""
    ended = program(source.format(INTERRUPT), folder=tmp_path)

    assert ended.returncode == -signal.SIGINT
    assert ended.stderr.count("Traceback") == 1


def test_status_of_a_task_that_is_stopped_by_hand(tmp_path: Path) -> None:
    """In asyncio a Ctrl-C is a cancellation of the task that it interrupts."""
    source = """
import asyncio, signal, skald
async def train():
    with skald.Logger("run", ".") as logger:
        logger.log_metric("loss", 0.5)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)
asyncio.run(train())
"""

    ended = program(source, folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert "KeyboardInterrupt" in ended.stderr
    assert (run.status, run.info["exception"]) == ("stopped", "asyncio.exceptions.CancelledError"), ended.stderr
    assert values(tmp_path / "run") == [0.5]


def test_status_of_a_task_that_runs_out_of_time(tmp_path: Path) -> None:
    """The task is stopped; who waits for it, and lets the error pass, has failed."""

    async def train() -> None:
        with skald.Logger("task", tmp_path):
            await asyncio.sleep(60)

    async def wait() -> None:
        with skald.Logger("waiting", tmp_path):
            await asyncio.wait_for(train(), 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())

    ended = [(run.status, run.info["exception"]) for run in map(skald.Run, (tmp_path / "task", tmp_path / "waiting"))]
    assert ended == [("stopped", "asyncio.exceptions.CancelledError"), ("failed", "TimeoutError")]


def test_status_of_a_generator_that_is_left_early(tmp_path: Path) -> None:
    """A loop over it was left by `break`: nobody stopped the run, and nothing failed."""

    def losses() -> Iterator[float]:
        with skald.Logger("run", tmp_path) as logger:
            for step in range(3):
                logger.log_metric("loss", step)
                yield step

    for loss in losses():
        if loss == 1:
            break

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == ("finished", None)
    assert values(tmp_path / "run") == [0, 1]


GENERATOR = """
import skald
def losses(name):
    with skald.Logger(name, ".") as logger:
        for step in range(3):
            logger.log_metric("loss", 0.5)
            yield step
"""


def test_status_of_generators_in_a_process_that_fails(tmp_path: Path) -> None:
    """Those have failed whose loop the exception left that ended the process, and not those left well before."""
    source = f"""{GENERATOR}
def outer(name):
    yield from losses(name)
def train():
    raise ValueError("no such thing")
def main():
    for _ in losses("broken off"):
        break
    try:
        for _ in losses("handled"):
            raise KeyError
    except KeyError:
        pass
    opened = losses("open")
    next(opened)
    for _ in losses("loop"):
        try:
            for _ in outer("inside"):
                train()
        finally:
            print("cleaned up")
main()
"""
    ended = program(source, folder=tmp_path)

    found = {run.name: (run.status, run.info["exception"]) for run in map(skald.Run, sorted(tmp_path.iterdir()))}
    failed = ("failed", "ValueError: no such thing")
    assert found == {
        "broken off": ("finished", None),
        "handled": ("finished", None),
        "inside": failed,
        "loop": failed,
        "open": failed,
    }, ended.stderr
    assert not list(tmp_path.glob("*/segments"))


def test_status_of_a_generator_that_is_open_as_the_process_ends(tmp_path: Path) -> None:
    """Its run has finished with the process, and nothing is said as Python closes it afterwards."""
    ended = program(f"{GENERATOR}opened = losses('run')\nnext(opened)", folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == ("finished", None)
    assert "SUCCESS" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("errors", "status"),
    [
        ([KeyboardInterrupt(), asyncio.CancelledError()], "stopped"),
        ([BaseExceptionGroup("inner", [KeyboardInterrupt()])], "stopped"),
        ([KeyboardInterrupt(), ValueError()], "failed"),
    ],
)
def test_status_of_several_exceptions_at_once(tmp_path: Path, errors: list[BaseException], status: str) -> None:
    """A nursery of tasks raises what each of them has ended by: it was stopped if all of them were."""
    with pytest.raises(BaseExceptionGroup), skald.Logger("run", tmp_path):
        raise BaseExceptionGroup("tasks", errors)

    assert skald.Run(tmp_path / "run").status == status


def test_status_knows_the_signal_handlers_of_objects(tmp_path: Path) -> None:
    """A handler that is a method, or waits for a safe place and exits from there, by the code of the signal."""
    source = """
import functools, os, signal, sys, skald
class Job:
    asked = False
    def ask(self, number, frame): self.asked = True
    def end(self, number, frame): sys.exit(7)
job = Job()
def end_of(job, number, frame): sys.exit(8)
def check():
    if job.asked: sys.exit(143)
for name, handler in {"method": job.end, "partial": functools.partial(end_of, job), "later": job.ask}.items():
    signal.signal(signal.SIGTERM, handler)
    try:
        with skald.Logger(name, "."):
            os.kill(os.getpid(), signal.SIGTERM)
            check()
    except SystemExit:
        pass
"""
    ended = program(source, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    found = {run: skald.Run(tmp_path / run) for run in ("method", "partial", "later")}
    assert {name: (run.status, run.info["exception"]) for name, run in found.items()} == {
        "method": ("stopped", "SystemExit(7)"),
        "partial": ("stopped", "SystemExit(8)"),
        "later": ("stopped", "SystemExit(143)"),
    }


@pytest.mark.parametrize(
    ("statement", "status", "exception"),
    [
        ("raise ValueError('no such thing')", "failed", "ValueError: no such thing"),
        (handled("lambda *_: sys.exit(143)"), "stopped", "SystemExit(143)"),
        ("pass", "finished", None),
    ],
)
def test_status_is_how_the_block_was_left_when_closing_is_interrupted(
    tmp_path: Path, statement: str, status: str, exception: str | None
) -> None:
    """A Ctrl-C at any step of closing is not how the run ended: it is raised once all is said; the rows are there."""
    source = """
import contextlib, signal, skald
from skald.engine.writer import Writer
from skald.upkeep import compacting
from skald.writing import closing, lastword, session
@contextlib.contextmanager
def interrupting(*places):
    def interrupted(place, name, before):
        def interrupt(*args, **options):
            setattr(place, name, before)
            signal.raise_signal(signal.SIGINT)
            return before(*args, **options)
        setattr(place, name, interrupt)
    for place, name in places:
        interrupted(place, name, getattr(place, name))
    yield
places = [(Writer, "seal"), (Writer, "release"), (closing, "write_info"), (compacting, "compact")]
places += [(lastword, "last_word"), (session, "note"), (session, "show"), (session.LogFile, "close")]
with skald.Logger("run", ".") as logger, interrupting(*places):
    logger.log_metric("loss", 0.5)
    import os, sys
    {}
"""
    ended = program(source.replace("{}", statement), folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert ended.stderr.endswith("KeyboardInterrupt\n"), ended.stderr
    assert (run.status, run.info["exception"]) == (status, exception), ended.stderr
    assert values(tmp_path / "run") == [0.5]
    assert f"run 'run' {status} in " in run.console
    assert "not compacted" in run.console


@pytest.mark.parametrize("mode", ["new", "overwrite"])
def test_ctrl_c_as_a_run_is_opened_leaves_it_stopped_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """Wherever it comes, and while its exception is held, as a notebook does: nobody has the logger, to close it."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # where it comes as something is let go
    folders, left = {"writing", "record", "skald"}, 0  # NOTE: not locks, which stay held where their release begins

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent.name in folders and "skald" in path.parts:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    found, place, is_interrupted = Counter[str](), 0, True
    while is_interrupted:
        name = f"run{place}"
        if mode == "overwrite":
            skald.Logger(name, tmp_path, capture=False).close()
        left, logger = place, None
        sys.setprofile(interrupt)
        try:
            logger = skald.Logger(name, tmp_path, capture=False, mode=mode)
        except KeyboardInterrupt:  # NOTE: it is held until the end of this clause
            run = tmp_path / name
            found[skald.Run(run).status if is_run(run) else "none"] += 1
            skald.Logger(name, tmp_path, capture=False, mode="auto").close()
        finally:
            sys.setprofile(None)
        is_interrupted = left < 0
        if logger is not None:
            logger.close()
        place += 5 if mode == "new" else 17

    assert found["stopped"] > 0
    assert found["none" if mode == "new" else "finished"] > 0
    assert set(found) == {"stopped", "none" if mode == "new" else "finished"}
    assert (
        len(list(tmp_path.glob(".tmp-*"))) <= 1
    )  # where it came as that was to be removed; the next overwrite does it


def test_status_that_is_amended_at_exit_is_so_in_spite_of_a_ctrl_c(tmp_path: Path) -> None:
    """Of all runs that the exception had passed, whose process somebody interrupts as it ends."""
    source = """
import signal, skald
from skald.writing import closing
def interrupting(*args):
    if args[1].status == "failed" and args[0].name not in told:
        told.append(args[0].name)
        signal.raise_signal(signal.SIGINT)
    before(*args)
one, two, told = skald.Logger("one", "."), skald.Logger("two", "."), []
before, closing.write_info = closing.write_info, interrupting
try:
    raise ValueError(3)
finally:
    one.close()
    two.close()
"""
    ended = program(source, folder=tmp_path)

    assert [skald.Run(tmp_path / name).status for name in ("one", "two")] == ["failed", "failed"], ended.stderr
    assert not list(tmp_path.glob("*/segments"))
    assert "Exception ignored" not in ended.stderr


def test_burst_of_interrupts_stops_the_run(tmp_path: Path) -> None:
    """Somebody who hammers on Ctrl-C, which signals the whole group again and again, leaves a run that was stopped."""
    source = """
import os, signal, threading, time, skald
def hammer():
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.003)
with skald.Logger("run", ".") as logger:
    for step in range(100_000):
        logger.log_metric("loss", 0.5, step=step)
    threading.Thread(target=hammer).start()
    signal.pause()
"""
    ended = program(source, folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == ("stopped", "KeyboardInterrupt"), ended.stderr
    assert "run 'run' stopped in " in run.console
    assert len(values(tmp_path / "run")) == 100_000


@pytest.mark.parametrize(
    ("word", "error", "status"),
    [
        ("finished", ValueError("no such thing"), "failed"),
        ("finished", KeyboardInterrupt(), "stopped"),
        ("stopped", ValueError("no such thing"), "stopped"),
        ("failed", KeyboardInterrupt(), "failed"),
    ],
)
def test_exception_through_a_block_that_has_closed_is_told(
    tmp_path: Path, word: Any, error: BaseException, status: str
) -> None:
    """As where `close()` stands in a `finally`; only a good word gives way to the exception's, which is told always."""

    def train() -> None:
        with skald.Logger("run", tmp_path) as logger:
            try:
                raise error
            finally:
                logger.close(word)

    with pytest.raises(type(error)):
        train()

    run = skald.Run(tmp_path / "run")
    told = "".join(traceback.format_exception_only(error)).strip()
    assert (run.status, run.info["exception"]) == (status, told)
    assert f"run 'run' {status} after it was closed: {told}" in run.console
    assert " in train\n    raise error\n" in run.console
    assert run.console.endswith(f"{told}\n")
    assert not (run.path / SEGMENTS).exists()


@pytest.mark.parametrize("source", [BLOCK, NO_BLOCK])
def test_exception_that_names_a_file_that_is_no_utf8_is_told(source: str, tmp_path: Path) -> None:
    """Its half characters, as Python has them of such names, are escaped; the run has failed and is compacted."""
    ended = program(source.format("raise ValueError('caf\\udce9')"), folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == ("failed", "ValueError: caf\\udce9"), ended.stderr
    assert values(tmp_path / "run") == [0.5]
    assert (tmp_path / "run" / PARQUET).is_file()


def test_exception_is_told_with_its_type_whatever_its_text(tmp_path: Path) -> None:
    """The module of the type where it has one, a text of any length or none, or one that cannot be made."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    errors = {
        "none": RuntimeError(),
        "long": RuntimeError("x" * 10**6),
        "silent": SilentError(),
        "exit": SystemExit(3),
    }
    for name, error in errors.items():
        with pytest.raises(type(error)), skald.Logger(name, tmp_path):
            raise error

    told = {name: skald.Run(tmp_path / name).info["exception"] for name in errors}
    assert told["none"] == "RuntimeError"
    assert told["long"].startswith("RuntimeError: xxx")
    assert len(told["long"]) == 10_000
    assert "SilentError: <exception str() failed>" in told["silent"]
    assert told["exit"] == "SystemExit(3)"


def test_status_is_finished_in_a_session_of_a_person_who_went_on(tmp_path: Path) -> None:
    """An error that somebody made at a prompt, before, is not how the run ended."""
    source = "import skald\nlogger = skald.Logger('run', '.')\n1 / 0\n\nlogger.log_metric('loss', 0.5)\n"

    subprocess.run([sys.executable, "-i"], cwd=tmp_path, input=source, capture_output=True, text=True, check=True)

    assert skald.Run(tmp_path / "run").status == "finished"


WORKER = """
import multiprocessing, sys, skald
def work(end):
    logger = skald.Logger("run", ".", mode="auto")
    logger.log_metric("loss", 0.5)
    if end == "fail": raise ValueError("no such thing")
if __name__ == "__main__":
    process = multiprocessing.get_context(sys.argv[1]).Process(target=work, args=sys.argv[2:])
    process.start(); process.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    ("end", "status", "exception"), [("well", "finished", None), ("fail", "failed", "ValueError: no such thing")]
)
def test_status_of_a_worker_of_multiprocessing(
    tmp_path: Path, method: str, end: str, status: str, exception: str | None
) -> None:
    """A run that a worker opened ends with the worker, which has no interpreter exit, as well as it ended."""
    (tmp_path / "script.py").write_text(WORKER, encoding="utf-8")

    ended = program("import runpy; runpy.run_path('script.py', run_name='__main__')", method, end, folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == (status, exception), ended.stderr
    assert not (run.path / SEGMENTS).exists()


# Several processes.

RANK = """
import os, signal, sys, skald
logger = skald.Logger("run", ".", mode="join")
logger.log_metric("loss", 0.5)
print("open", flush=True)
try:
    with logger:
        exec(sys.stdin.readline())
except ValueError:
    pass
"""


def ranks(folder: Path, count: int) -> list[subprocess.Popen[str]]:
    """Start processes that write one run beside each other, and end as they are told."""
    processes = [start(RANK, folder=folder) for _ in range(count)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
    return processes


def end(process: subprocess.Popen[str], statement: str) -> None:
    """Have a process end by a statement, and wait for that."""
    process.communicate(statement + "\n", timeout=60)


FAIL, STOP, KILL = (
    "raise ValueError('no such thing')",
    "raise KeyboardInterrupt",
    "os.kill(os.getpid(), signal.SIGKILL)",
)


@pytest.mark.parametrize(
    ("statements", "status", "exception"),
    [
        (["pass", "pass"], "finished", None),
        ([STOP, "pass"], "stopped", "KeyboardInterrupt"),
        ([FAIL, STOP], "failed", "ValueError: no such thing"),
        ([FAIL, KILL, "pass"], "crashed", "ValueError: no such thing"),
        (["pass", KILL], "crashed", None),
    ],
)
def test_status_of_several_processes_is_running_and_then_the_worst_word(
    tmp_path: Path, statements: list[str], status: str, exception: str | None
) -> None:
    """Crashed, failed, stopped, finished: of all processes, in whichever order they end."""
    run_path = tmp_path / "run"
    seen = []

    for process, statement in zip(ranks(tmp_path, len(statements)), statements, strict=True):
        seen.append(skald.Run(run_path).status)
        end(process, statement)

    assert seen == ["running"] * len(statements)
    assert (skald.Run(run_path).status, skald.Run(run_path).info["exception"]) == (status, exception)


def test_status_of_processes_that_close_at_once_is_the_worst_word(tmp_path: Path) -> None:
    """Whichever of them is the last, the run has ended in run.json, and is compacted."""
    processes = ranks(tmp_path, 3)
    for process, statement in zip(processes, ["pass", FAIL, "pass"], strict=True):
        assert process.stdin
        process.stdin.write(statement + "\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["status"]) == ("failed", "failed")
    assert run.ended is not None
    assert not (run.path / SEGMENTS).exists()


def test_forked_children_count_for_nothing(tmp_path: Path) -> None:
    """Neither a child that fails, nor one that is killed, nor one that outlives its parent changes the status."""
    source = """
import os, signal, sys, skald
logger = skald.Logger("run", ".")
for end in ("fail", "kill", "stay"):
    if os.fork() == 0:
        with logger:
            logger.log_metric("loss", 0.5)
            if end == "fail": sys.exit(3)
            if end == "kill": os.kill(os.getpid(), signal.SIGKILL)
            print(os.getpid(), flush=True)
            sys.stdin.readline()
            os._exit(0)
    elif end != "stay":
        os.wait()
sys.stdin = None
import time
while not list(logger.run.path.glob("segments/*/000000.arrow"))[2:]: pass
logger.close()
os._exit(0)
"""
    process = start(source, folder=tmp_path)
    assert process.stdout
    process.stdout.readline()
    process.wait(60)

    outlived = skald.Run(tmp_path / "run").status
    process.communicate("go\n", timeout=60)

    assert outlived == "finished"
    assert skald.Run(tmp_path / "run").status == "finished"
    assert values(tmp_path / "run") == [0.5] * 3


# Resumed.


def test_resumed_run_has_the_status_of_its_last_session(tmp_path: Path) -> None:
    """What a run was before does not stay with it; when it began does."""
    program(BLOCK.format("raise ValueError('no such thing')"), folder=tmp_path)
    run = skald.Run(tmp_path / "run")
    before, started = run.duration, run.started

    with skald.Logger("run", tmp_path, mode="resume"):
        assert (run.status, run.info["exception"], run.ended) == ("running", None, None)

    assert (run.status, run.info["exception"]) == ("finished", None)
    assert run.started == started
    assert [session["status"] for session in run.info["sessions"]] == ["failed", "finished"]
    assert run.ended is not None
    assert before < run.duration < run.ended - run.started


def test_resumed_run_says_of_sessions_before_that_they_crashed(tmp_path: Path) -> None:
    """run.json tells a year later what happened: a session without a word has crashed."""
    program(BLOCK.format("os._exit(0)"), folder=tmp_path)

    skald.Logger("run", tmp_path, mode="resume").close("stopped")

    run = skald.Run(tmp_path / "run")
    assert [session["status"] for session in run.info["sessions"]] == ["crashed", "stopped"]
    assert run.status == "stopped"


def test_duration_is_the_sum_of_the_sessions(tmp_path: Path) -> None:
    """The time between them does not count, and processes beside each other count once."""
    for _ in range(2):
        with skald.Logger("run", tmp_path, mode="auto"), skald.Logger("run", tmp_path, mode="join"):
            pass

    run = skald.Run(tmp_path / "run")
    sessions = run.info["sessions"]
    outer = [session["ended"] - session["started"] for session in sessions if not session["joined"]]
    assert len(sessions) == 4
    assert len(outer) == 2
    assert abs(run.duration - sum(outer, dt.timedelta())) < dt.timedelta(milliseconds=1)


# Who is alive.


def test_status_of_a_crashed_run_stays_while_it_is_compacted(tmp_path: Path) -> None:
    """The locks that a compaction holds of dead writers do not make them alive."""
    program(BLOCK.format("os._exit(0)"), folder=tmp_path)
    seen = set()

    def look(_done: int, _rows: int) -> None:
        assert list((tmp_path / "run" / SEGMENTS).glob("*/lock"))
        seen.add(skald.Run(tmp_path / "run").status)

    skald.upkeep.compacting.compact(tmp_path / "run", progress=look)

    assert seen == {"crashed"}
    assert skald.Run(tmp_path / "run").status == "crashed"


@pytest.mark.skipif(os.name == "nt", reason="no SIGSTOP")
def test_status_of_a_stopped_process_is_running(tmp_path: Path) -> None:
    """A process that is not scheduled, by Ctrl-Z or a debugger, holds its lock."""
    (process,) = ranks(tmp_path, 1)
    process.send_signal(signal.SIGSTOP)
    try:
        assert skald.Run(tmp_path / "run").status == "running"
    finally:
        process.send_signal(signal.SIGCONT)
        end(process, "pass")

    assert skald.Run(tmp_path / "run").status == "finished"
