"""A signal handler that closes the run, as that of a job which is preempted, wherever in a call of ours it comes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

if not hasattr(os, "fork"):
    pytest.skip("signals are POSIX's", allow_module_level=True)

START = """
import os, signal, sys
import loguru, skald
loguru.logger.remove()
said = []
loguru.logger.add(said.append)

def interrupted(place, action):
    # Do something with a signal at the n-th call of a function of ours; tell whether there was one.
    left = place
    def interrupt(frame, event, _):
        nonlocal left
        if event == "call" and "/skald/" in frame.f_code.co_filename:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGTERM)
    sys.setprofile(interrupt)
    try:
        action()
    finally:
        sys.setprofile(None)
    return left < 0
"""


def run_program(folder: Path, program: str, **variables: str) -> None:
    """Run a program that checks what it has found."""
    result = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_close_in_the_midst_of_a_close_leaves_that_to_it(tmp_path: Path, first: int) -> None:
    """Also amid the imports of a first close: one last word, and all is as without the second."""
    run_program(
        tmp_path,
        f"""
        signal.signal(signal.SIGTERM, lambda *_: logger.close())
        place, was_interrupted = {first}, True
        while was_interrupted and place < {first + 100}:
            said.clear()
            logger = skald.Logger(f"run{{place}}")
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
            was_interrupted = interrupted(place, logger.close)
            run = logger.run
            assert run.status == "finished", (place, run.status)
            assert len(said) == 1, (place, said)
            assert len(run.metrics.collect()) == 10, place
            assert not (run.path / "segments").exists(), place
            place += 24
        """,
    )


def test_handler_that_closes_amid_a_sync_and_exits_loses_no_row(tmp_path: Path) -> None:
    """Where rows wait in memory for the disk: what was being written is written."""
    run_program(
        tmp_path,
        """
        def handle(*_):
            logger.close("stopped")
            sys.exit(143)
        signal.signal(signal.SIGTERM, handle)
        place, was_interrupted = 0, True
        while was_interrupted:
            was_interrupted = False
            logger = skald.Logger(f"run{place}")
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
            try:
                interrupted(place, logger.sync)
                logger.close("stopped")
            except SystemExit:
                was_interrupted = True
            assert logger.run.status == "stopped", place
            assert len(logger.run.metrics.collect()) == 10, place
            place += 1
        assert place > 10
        """,
        SKALD_STORAGE="staged",
    )


@pytest.mark.parametrize("call", ["log_param('lr', count)", "rewind(step=count % 9)", "sync()", "log_text('t', 'x')"])
def test_handler_that_closes_and_returns_leaves_its_word(tmp_path: Path, call: str) -> None:
    """The call that it has interrupted ends, or says that the logger is closed, and writes over nothing."""
    run_program(
        tmp_path,
        f"""
        import random, time
        signal.signal(signal.SIGALRM, lambda *_: logger.close("stopped"))
        for number in range(6):
            logger = skald.Logger(f"run{{number}}")
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
            count = 9
            logger.{call}  # NOTE: a close amid the imports of a first call fails
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.02))
            count, end = 0, time.monotonic() + 10
            try:
                while time.monotonic() < end:
                    logger.{call}
                    count += 1
            except skald.LoggerClosedError:
                pass
            assert logger.run.status == "stopped", number
            assert not (logger.run.path / "segments").exists(), number
        """,
    )


@pytest.mark.parametrize("call", ["log_param('lr', count)", "log_metric('loss', 0.5, **{f'id{count}': 1})"])
def test_handler_closes_while_another_thread_waits_for_what_it_has_interrupted(tmp_path: Path, call: str) -> None:
    """As a thread that logs files waits for the lock of the run, or of the writer."""
    run_program(
        tmp_path,
        f"""
        import random, threading
        def log_files(logger):
            try:
                while True:
                    logger.log_text("text", "x")
            except skald.LoggerClosedError:
                pass
        def handle(*_):
            logger.close("stopped")
        signal.signal(signal.SIGALRM, handle)
        for number in range(6):
            logger = skald.Logger(f"run{{number}}")
            thread = threading.Thread(target=log_files, args=(logger,))
            thread.start()
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.005, 0.03))
            count = 0
            try:
                while True:
                    logger.{call}
                    count += 1
            except skald.LoggerClosedError:
                pass
            thread.join()
            assert logger.run.status == "stopped", number
        """,
    )


@pytest.mark.parametrize("call", ["log_param('lr', 1)", "log_text('text', 'x')"])
def test_handler_closes_while_another_thread_does(tmp_path: Path, call: str) -> None:
    """That one waits for the call which the handler has interrupted, and ends the run once it may."""
    run_program(
        tmp_path,
        f"""
        import threading, time
        def handle(*_):
            closing = threading.Thread(target=logger.close, args=("stopped",))
            closing.start()
            threads.append(closing)
            time.sleep(0.02)
            logger.close("stopped")
        signal.signal(signal.SIGTERM, handle)
        place, was_interrupted = 0, True
        while was_interrupted:
            logger, threads = skald.Logger(f"run{{place}}"), []
            try:
                was_interrupted = interrupted(place, lambda: logger.{call})
            except skald.LoggerClosedError:
                was_interrupted = True
            for thread in threads:
                thread.join()
            assert not threads or logger.run.status == "stopped", place
            logger.close()
            place += 1 + place // 2
        """,
    )


@pytest.mark.parametrize("capture", ["True", "'fd'"])
def test_handler_closes_where_a_buffer_writes_what_was_printed(tmp_path: Path, capture: str) -> None:
    """The buffer refuses what the handler prints until then, and the close ends all the same."""
    run_program(
        tmp_path,
        f"""
        from skald.record import gathering
        def handle(*_):
            print("handler")
            logger.close("stopped")
            told.append(True)
        def truncate(below, action):
            if number == 3 and not was:
                was.append(True)
                signal.raise_signal(signal.SIGTERM)
            return before(below, action)
        signal.signal(signal.SIGTERM, handle)
        before, gathering._Below.truncate = gathering._Below.truncate, truncate
        told, was, number = [], [], 0
        with skald.Logger("run", capture={capture}) as logger:
            for number in range(5):
                print("line", number, flush=True)
                if told:
                    break
                logger.info("message")
        assert told == was == [True], (told, was)
        assert logger.run.status == "stopped"
        """,
    )
