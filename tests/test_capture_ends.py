"""The beginning and the end of a capture: whatever interrupts them, all is as it was found, and said once."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from test_capture import log_of

import skald
from skald.record.streams import await_room

if os.name != "posix":
    pytest.skip("signals, forks and descriptors are POSIX's", allow_module_level=True)

START = (
    "import faulthandler, io, os, random, signal, sys, threading, time\nimport loguru, skald\nloguru.logger.remove()\n"
)

both = pytest.mark.parametrize("capture", ["True", "'fd'"])


def run_program(folder: Path, program: str, *, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program that opens runs in `runs/`; it prints what it found on stdout, and ends well."""
    result = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result


@both
def test_ctrl_c_as_a_block_ends_leaves_all_as_it_was_found(tmp_path: Path, capture: str) -> None:
    """At random moments: one last word, half a line that is in the log, no descriptor or process more."""
    result = run_program(
        tmp_path,
        f"""
        said, found, descriptors = [], [], []
        loguru.logger.add(said.append, filter=lambda record: "skald: run" in record["message"])
        place = [os.fstat(number)[:2] for number in (1, 2)]
        for number in range(16):
            said.clear()
            try:
                with skald.Logger(f"run{{number}}", capture={capture}):
                    print("half", end="\\n" if number % 4 else "")  # whose end is waited for
                    timer = threading.Timer(random.random() * 0.05, os.kill, (os.getpid(), signal.SIGINT))
                    timer.start()
                timer.join()
                time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            timer.join()
            log = skald.Run(f"runs/run{{number}}").console
            streams = {{"write", "flush", "reconfigure"}} & {{*vars(sys.stdout), *vars(sys.stdout.buffer)}}
            found.append((len(said), log.count("SUCCESS"), log.count("half\\n"), len(streams)))
            assert [os.fstat(number)[:2] for number in (1, 2)] == place
            descriptors.append(len(os.listdir("/dev/fd")))
        print()
        print(found)
        print(max(descriptors) - min(descriptors))
        """,
    )

    *_, found, more = result.stdout.splitlines()
    said, *others = zip(*ast.literal_eval(found), strict=True)
    assert list(zip(*others, strict=True)) == [(1, 1, 0)] * 16
    assert min(said) == 1
    assert sum(said) <= 17  # it may come just as loguru is at it
    assert int(more) < 5


@both
def test_ctrl_c_as_a_block_begins_leaves_no_descriptor_and_no_process(tmp_path: Path, capture: str) -> None:
    """At random moments, while other threads run, whose texts are waited for."""
    result = run_program(
        tmp_path,
        f"""
        import psutil
        descriptors, stop = [], threading.Event()
        threading.Thread(target=stop.wait).start()
        for number in range(12):
            logger = skald.Logger(f"run{{number}}", capture={capture})
            timer = threading.Timer(random.random() * 0.06, os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                with logger:
                    timer.join()
                    time.sleep(0.01)
            except KeyboardInterrupt:
                pass
            timer.join()
            descriptors.append(len(os.listdir("/dev/fd")))
        stop.set()
        time.sleep(0.3)
        children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
        print(max(descriptors) - min(descriptors), len(children))
        """,
    )

    more, children = map(int, result.stdout.split())
    assert more < 5
    assert not children


INTERRUPTED = """
def interrupting(event, of, function):
    def interrupt(frame, what, which):
        if what == event and of(frame, which):
            sys.setprofile(None)
            raise KeyboardInterrupt
    sys.setprofile(interrupt)
    try:
        function()
    except KeyboardInterrupt as error:
        return error
    finally:
        sys.setprofile(None)
"""


def test_block_that_could_not_begin_as_it_was_interrupted_ends(tmp_path: Path) -> None:
    """Wherever in it the Ctrl-C came; the next one is captured."""
    result = run_program(
        tmp_path,
        INTERRUPTED
        + textwrap.dedent("""
        left = 0
        def is_place(frame, which):
            global left
            left -= "record/" in frame.f_code.co_filename
            return left < 0
        place, count = 0, 0
        while True:
            left = place
            logger = skald.Logger(f"run{place}", capture="fd" if place % 20 == 0 else True)
            error = interrupting("call", is_place, logger.__enter__)
            logger.close()
            if {"write", "flush", "reconfigure"} & {*vars(sys.stdout), *vars(sys.stdout.buffer)}:
                print("left", place)
            if error is None:
                break
            place, count = place + 5, count + 1
        with skald.Logger("last"):
            print("captured")
        print(count > 20)
        """),
    )

    assert result.stdout == "captured\nTrue\n"
    assert log_of(tmp_path / "runs" / "last").startswith("captured\n")


@pytest.mark.parametrize("error", ["TimeoutError", "SystemExit"])
def test_alarm_amid_a_print_to_a_stream_without_a_buffer_loses_nothing(tmp_path: Path, error: str) -> None:
    """As those of notebooks are: what the stream has got is in the log, once."""
    result = run_program(
        tmp_path,
        f"""
        def handle(*_):
            raise {error}
        signal.signal(signal.SIGALRM, handle)
        before, sys.stdout = sys.stdout, io.StringIO()
        with skald.Logger("run"):
            for number in range(300):
                try:
                    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 5e-4))
                    for each in range(10**6):
                        sys.stdout.write(f"line {{number}} {{each}}\\n")
                except {error}:
                    pass
        before.write(sys.stdout.getvalue())
        """,
    )

    log = [line for line in log_of(tmp_path / "runs" / "run").splitlines() if line.startswith("line ")]
    assert len(log) > 100  # few where the machine is busy
    assert log == result.stdout.splitlines()


@both
def test_handler_prints_in_an_unbuffered_program_after_an_inner_block(tmp_path: Path, capture: str) -> None:
    """Where the inner one has led the streams elsewhere and back, they are written to as before."""
    result = run_program(
        tmp_path,
        f"""
        signal.signal(signal.SIGALRM, lambda *_: print("handler"))
        with skald.Logger("run"):
            with skald.Logger("inner", capture={capture}):
                print("in")
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0007)
            end = time.monotonic() + 0.5
            while time.monotonic() < end:
                print("x" * 20)
            signal.setitimer(signal.ITIMER_REAL, 0)
        """,
        unbuffered=True,
    )

    assert "handler" in result.stdout
    log = log_of(tmp_path / "runs" / "run")
    assert [log.count(text) for text in ("handler", "x" * 20)] == [
        result.stdout.count(text) for text in ("handler", "x" * 20)
    ]


def test_inner_block_begins_while_threads_print_through_a_stream_with_a_lock(tmp_path: Path) -> None:
    """Who prints has that lock and waits for ours, and a flush of the stream the other way round."""
    result = run_program(
        tmp_path,
        """
        class Locked(io.TextIOBase):
            encoding = "utf-8"
            def __init__(self, below):
                self.below, self.lock = below, threading.RLock()
            def write(self, text):
                with self.lock:
                    return self.below.write(text)
            def flush(self):
                with self.lock:
                    self.below.flush()
            def fileno(self):
                return self.below.fileno()
        sys.stdout = Locked(sys.__stdout__)
        is_over = False
        def work():
            while not is_over:
                print("thread")
                time.sleep(0.001)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
        with skald.Logger("run"):
            for thread in threads:
                thread.start()
            for number in range(8):
                with skald.Logger(f"inner{number}", capture="fd"):
                    print("in")
            is_over = True
            for thread in threads:
                thread.join()
        """,
    )

    assert result.stdout.splitlines().count("in") == log_of(tmp_path / "runs" / "run").splitlines().count("in") == 8


def test_ctrl_c_as_a_block_ends_keeps_no_lock_while_its_exception_is_held(tmp_path: Path) -> None:
    """As a notebook holds it: other threads print on."""
    result = run_program(
        tmp_path,
        INTERRUPTED
        + textwrap.dedent("""
        kept = []
        with skald.Logger("run"):
            for place in range(0, 200, 3):
                left = place
                def is_place(frame, which):
                    global left
                    left -= frame.f_code.co_filename.endswith(("tees.py", "contextlib.py"))
                    return left < 0
                logger = skald.Logger(f"inner{place}").__enter__()
                kept.append(interrupting("c_return", is_place, lambda: logger.__exit__(None, None, None)))
                thread = threading.Thread(target=print, args=("thread",), daemon=True)
                thread.start()
                thread.join(10)
                assert not thread.is_alive(), place
                logger.__exit__(None, None, None)
        print(sum(error is not None for error in kept) > 10)
        """),
    )

    assert result.stdout.splitlines()[-1] == "True"


@both
def test_traceback_of_a_worker_that_has_logged_is_in_the_log_once(tmp_path: Path, capture: str) -> None:
    """Multiprocessing prints it when the writer of the worker is closed."""
    program = f"""
    import multiprocessing
    def work():
        logger.log_metric("loss", 0.5)
        raise ValueError("no such thing")
    with skald.Logger("run", capture={capture}) as logger:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
    """

    result = run_program(tmp_path, program)

    log = log_of(tmp_path / "runs" / "run")
    assert (result.stderr.count("ValueError: no such thing"), log.count("ValueError: no such thing")) == (1, 1)
    assert skald.Run(tmp_path / "runs" / "run").metrics.collect()["value"].to_list() == [0.5]


@both
def test_traceback_of_a_forked_child_is_in_the_log_once(tmp_path: Path, capture: str) -> None:
    """One whose exception leaves the block that it has inherited."""
    program = f"""
    with skald.Logger("run", capture={capture}):
        print("block", flush=True)
        if os.fork() == 0:
            raise ValueError("no such thing")
        os.wait()
    """

    result = run_program(tmp_path, program)

    log = log_of(tmp_path / "runs" / "run")
    assert (result.stderr.count("ValueError: no such thing"), log.count("ValueError: no such thing")) == (1, 1)


def test_traceback_of_a_forked_child_is_in_the_log_of_its_own_run(tmp_path: Path) -> None:
    """Which it has begun inside the block of the parent's."""
    program = """
    with skald.Logger("run", capture="fd"):
        if os.fork() == 0:
            with skald.Logger("own"):
                raise ValueError("no such thing")
        os.wait()
    """

    run_program(tmp_path, program)

    assert log_of(tmp_path / "runs" / "own").count("ValueError: no such thing") == 1


def test_there_is_room_where_nobody_can_ask_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where an interrupted print asks."""
    monkeypatch.delattr("select.poll")

    assert await_room(1, 0.1)
