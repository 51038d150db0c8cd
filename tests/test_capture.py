"""Capture: what is printed inside the block is in console.log, once, and the streams are left as they were found."""

from __future__ import annotations

import functools
import inspect
import io
import itertools
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any, cast

import loguru
import pytest
from tqdm.contrib import DummyTqdmFile

import skald
from skald.engine.lock import is_held_here
from skald.record import tees, transcript
from skald.record.delivery import BATCH_CHARACTERS
from skald.record.logfile import LogFile
from skald.record.screen import LONGEST_LINE
from skald.record.tee import Tee
from skald.record.transcript import Unfinished

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
LAST_WORD = re.compile(rf"{STAMP} \| (SUCCESS|WARNING|ERROR) \| skald: run .*\n")
"""What each run says when it ends."""


class Found:
    """What a program has left: its run, and what its terminal got."""

    def __init__(self, folder: Path, result: subprocess.CompletedProcess[bytes]) -> None:
        self.run = skald.Run(folder / "runs" / "run")
        self.code, self.out, self.err = result.returncode, result.stdout, result.stderr

    @property
    def lines(self) -> list[str]:
        """The lines of console.log itself, without times."""
        text = log_of(self.run.path)
        return [re.sub(rf"^{STAMP} \| ", "", line) for line in text.splitlines()]


posix = pytest.mark.skipif(os.name != "posix", reason="descriptors are captured there")
START = """
import contextlib, io, logging, os, signal, subprocess, sys, threading, time
import loguru
logging.basicConfig(format="%(levelname)s %(message)s")
import tqdm
import skald
"""


def run_program(folder: Path, program: str, *, code: int = 0, **environment: str) -> Found:
    """Run a program, its handlers made before Skald is imported; it opens `skald.Logger("run")`."""
    result = subprocess.run(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert result.returncode == code, result.stderr.decode()
    return Found(folder, result)


@pytest.fixture(autouse=True)
def keep_loguru_as_it_is() -> Iterator[None]:
    """Give each test loguru without handlers."""
    loguru.logger.remove()
    yield
    loguru.logger.remove()


@pytest.fixture(name="streams")
def make_streams() -> dict[str, io.TextIOWrapper]:
    """Return the streams that a test's program prints to, in memory."""
    return {name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for name in ("stdout", "stderr")}


def on_plain_streams(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test with them in `sys`, as a program outside of pytest has plain ones; pytest sets its own before."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, stream in fixtures["streams"].items():
                patch.setattr(sys, name, stream)
                patch.setattr(sys, f"__{name}__", stream)
            test(**{name: value for name, value in fixtures.items() if name in wanted})

    wanted = inspect.signature(test).parameters
    streams = inspect.Parameter("streams", inspect.Parameter.KEYWORD_ONLY)
    asked = [each for each in wanted.values() if each.name != "streams"]
    run.__signature__ = inspect.Signature([*asked, streams])  # type: ignore[attr-defined]
    return run


def listening(write: Callable[[str], int], heard: list[str]) -> Callable[[str], int]:
    """Return a `write` that notes what it gets."""

    def listen(text: str) -> int:
        heard.append(text)
        return write(text)

    return listen


def text_of(stream: io.TextIOWrapper) -> str:
    """Return what a stream in memory was given."""
    stream.flush()
    return stream.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]


def log_of(run: Path) -> str:
    """Return console.log, but for the last word of each session."""
    return LAST_WORD.sub("", (run / "console.log").read_text(encoding="utf-8"))


def console_of(run: skald.Run) -> str:
    """Return the console, but for the last word of each session."""
    return LAST_WORD.sub("", run.console)


@on_plain_streams
def test_capture_takes_what_is_printed_inside_the_block(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Stdout and stderr, texts and bytes and lists of lines, and nothing from before or after."""
    print("before")
    with skald.Logger("run", tmp_path):
        print("out", 1)
        print("err", file=sys.stderr)
        sys.stdout.writelines(["a\n", "b\n"])
        sys.stdout.flush()
        sys.stdout.buffer.write(b"bytes \xc3\xa9\n")
    print("after")

    assert log_of(tmp_path / "run") == "out 1\nerr\na\nb\nbytes é\n"
    assert text_of(streams["stdout"]) == "before\nout 1\na\nb\nbytes é\nafter\n"
    assert text_of(streams["stderr"]) == "err\n"


@on_plain_streams
def test_capture_false_takes_nothing(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Only messages are in console.log then."""

    def fail() -> None:
        with skald.Logger("run", tmp_path, capture=False) as logger:
            print("out")
            logger.info("message")
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert re.fullmatch(rf"{STAMP} \| INFO \| message\n", log_of(tmp_path / "run"))
    assert text_of(streams["stdout"]) == "out\n"


@on_plain_streams
def test_capture_takes_nothing_outside_of_the_context_manager(tmp_path: Path, streams: dict[str, Any]) -> None:
    """A logger that is closed by hand leaves the streams alone."""
    logger = skald.Logger("run", tmp_path)
    print("out")
    logger.close()

    assert log_of(tmp_path / "run") == ""
    assert "write" not in vars(streams["stdout"])


@pytest.mark.parametrize("capture", ["yes", None, 2])
def test_capture_refuses_what_it_does_not_know(capture: Any, tmp_path: Path) -> None:
    """A spelling mistake is told, and no run is made."""
    with pytest.raises(skald.InvalidInputError, match="capture must be one of True, False"):
        skald.Logger("run", tmp_path, capture=capture)

    assert not (tmp_path / "run").exists()


def test_capture_hears_handlers_that_were_made_before(tmp_path: Path) -> None:
    """Loguru's default handler, `logging.basicConfig`, tqdm with the stream it began with, `print` bound early."""
    found = run_program(
        tmp_path,
        """
        early = sys.stdout.write
        bar = tqdm.tqdm(total=2, mininterval=0, desc="bar")
        with skald.Logger("run"):
            loguru.logger.info("loguru's")
            logging.warning("logging's")
            bar.update(); bar.update(); bar.close()
        """,
    )

    assert [line.rpartition(" - ")[2] for line in found.lines[:2]] == ["loguru's", "WARNING logging's"]
    assert re.fullmatch(r"bar: 100%\|█+\| 2/2 .*", found.lines[2])
    assert len(found.lines) == 3


def test_message_stands_once_with_its_ids(tmp_path: Path) -> None:
    """However a handler of the user writes it to the terminal: a stream, a function, logging, a queue."""
    found = run_program(
        tmp_path,
        """
        class Forward(logging.Handler):
            def emit(self, record):
                logging.getLogger("x").handle(record)
        loguru.logger.add(lambda message: print(message, end=""))
        loguru.logger.add(Forward(), format="{message}")
        loguru.logger.add(sys.stderr, enqueue=True, format="queued {message}")
        with skald.Logger("run", ids={"epoch": 3}) as logger:
            logger.info("message", )
            with logger.catch(message="caught"):
                raise KeyError("x")
            loguru.logger.complete()
            loguru.logger.remove()
        """,
    )

    text = "\n".join(found.lines)
    assert found.lines[0] == "INFO | epoch=3 | message"
    assert text.count("message") == 1
    assert text.count("caught") == 1
    assert found.err.count(b"message") == 3
    assert found.out.count(b"message") == 1


@on_plain_streams
def test_message_stands_once_amid_fast_output(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Also where a handler of the user's prints it by itself, as those that make place for bars do."""
    loguru.logger.add(lambda message: print(">", message, end=""), format="{message}")

    with skald.Logger("run", tmp_path) as logger:
        for number in range(3000):
            print(number)
        logger.info("hello")
        print("next")

    assert text_of(streams["stdout"]).count("> hello\nnext\n") == 1
    assert re.sub(STAMP, "", log_of(tmp_path / "run")).endswith("2999\n | INFO | hello\nnext\n")


def test_message_of_loguru_stands_there_after_one_of_ours(tmp_path: Path) -> None:
    """Also in a handler that prints, and after a warning of Skald's own."""
    program = """
    loguru.logger.remove()
    loguru.logger.add(lambda message: print(message, end=""), format="{message}")
    with skald.Logger("run", errors="warn") as logger:
        logger.info("ours")
        loguru.logger.info("theirs")
        logger.log_metric("", 1)
        loguru.logger.info("theirs again")
        with logger.catch():
            raise KeyError
        loguru.logger.info("theirs at last")
    """
    lines = run_program(tmp_path, program).lines

    assert lines[:2] == ["INFO | ours", "theirs"]
    assert "theirs again" in lines
    assert lines[-1] == "theirs at last"


def test_messages_and_prints_stand_in_order(tmp_path: Path) -> None:
    """Also when so much is printed that a thread writes it."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run") as logger:
            for number in range(5):
                for line in range(1000):
                    print(number, line)
                logger.info(number)
        """,
    )

    expected = [line for n in range(5) for line in [*(f"{n} {i}" for i in range(1000)), f"INFO | {n}"]]
    assert found.lines == expected


@on_plain_streams
def test_colors_are_left_out(tmp_path: Path, streams: dict[str, Any]) -> None:
    """The terminal has them, console.log has not."""
    with skald.Logger("run", tmp_path):
        print("\x1b[32mgreen\x1b[0m")

    assert log_of(tmp_path / "run") == "green\n"
    assert text_of(streams["stdout"]) == "\x1b[32mgreen\x1b[0m\n"


def test_bars_leave_their_final_state(tmp_path: Path) -> None:
    """Of tqdm, nested too, of Rich, and of a plain return, with prints in between."""
    found = run_program(
        tmp_path,
        """
        from rich.console import Console
        from rich.progress import Progress
        with skald.Logger("run") as logger:
            for _ in tqdm.tqdm(range(200), mininterval=0, desc="one"):
                pass
            print("below one")
            for outer in tqdm.tqdm(range(3), mininterval=0, desc="outer"):
                for _ in tqdm.tqdm(range(50), mininterval=0, desc="inner", leave=False):
                    pass
                print("printed", outer)
            with Progress(console=Console(force_terminal=True, width=80), auto_refresh=False) as progress:
                tasks = [progress.add_task(name, total=50) for name in ("first", "second")]
                for _ in range(50):
                    for task in tasks:
                        progress.advance(task)
                    progress.refresh()
                progress.console.print("above")
            for step in range(1000):
                print("step", step, end="\\r")
            print()
        """,
    )

    kinds = [re.split(r"[: \t]+", line)[0] + (" done" if "100%" in line else "") for line in found.lines]
    assert kinds == [
        "one done", "below", *["printed"] * 3, "outer done", "above", "first done", "second done", "step"
    ]  # fmt: skip
    assert found.lines[-1] == "step 999"


@on_plain_streams
def test_partial_lines_are_whole_in_the_log(tmp_path: Path) -> None:
    """Pieces of one line stay together, whatever the other stream and messages say meanwhile."""
    with skald.Logger("run", tmp_path) as logger:
        print("loading", end="... ", flush=True)
        print("warning!", file=sys.stderr)
        logger.info("message")
        print("done")
        print("last", end="")

    lines = log_of(tmp_path / "run").split("\n")
    assert [re.sub(rf"{STAMP} \| ", "", line) for line in lines] == [
        "warning!", "INFO | message", "loading... done", "last", ""
    ]  # fmt: skip


@on_plain_streams
def test_unfinished_line_can_be_read_while_it_is_printed(tmp_path: Path) -> None:
    """`Run.console` ends with it, and console.log, which is only appended to, gets it whole."""
    with skald.Logger("run", tmp_path) as logger:
        print("first")
        print("\r 50%", end="", flush=True)
        half, file = logger.run.console, log_of(tmp_path / "run")
        print("\r100%", flush=True)

    assert (half, file) == ("first\n 50%\n", "first\n")
    assert console_of(logger.run) == log_of(tmp_path / "run") == "first\n100%\n"


def test_printed_lines_are_in_the_file_after_a_kill(tmp_path: Path) -> None:
    """What was printed at once is there, with no flush; and what was flushed unfinished, in `Run.console`."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(300):
                print("line", number)
            print("\\r 50%", end="", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )

    assert found.lines == [f"line {number}" for number in range(300)]
    assert found.run.console.splitlines()[300:] == [" 50%"]


def test_printed_lines_are_in_the_file_after_a_kill_with_nothing_flushed(tmp_path: Path) -> None:
    """A line is there when `print` returns, though the stream itself may still hold it back."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(300):
                print("line", number)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
        PYTHONUNBUFFERED="",
    )

    assert found.out == b""
    assert found.lines == [f"line {number}" for number in range(300)]


def test_lines_that_were_written_over_are_there_after_a_kill(tmp_path: Path) -> None:
    """All but the last in the file, and that one in `Run.console`, however often a bar was drawn before."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(100):
                print(f"\\rstep {number}", end="", flush=True)
                print(f"\\repoch {number} done")
                time.sleep(0.002)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )

    lines = [f"epoch {number} done" for number in range(100)]
    assert found.lines == lines[:-1]
    assert found.run.console.splitlines() == lines


def test_unfinished_line_of_a_killed_process_is_appended_by_who_comes_next(tmp_path: Path) -> None:
    """By compaction or by the process that resumes, once; its own lines are below it."""
    program = """
        with skald.Logger("run", mode="auto"):
            print("half", end="", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """
    run_program(tmp_path, program, code=-signal.SIGKILL)

    found = run_program(tmp_path, program, code=-signal.SIGKILL)
    resumed = (found.lines, found.run.console)
    skald.compact(found.run.path)

    assert resumed == (["half"], "half\nhalf\n")
    assert found.lines == ["half", "half"]
    assert found.run.console == "half\nhalf\n"
    assert not (found.run.path / "segments").exists()


@on_plain_streams
def test_unfinished_line_of_a_living_process_is_left_to_it(tmp_path: Path) -> None:
    """Who compacts the run meanwhile appends nothing, and the line is whole when its writer ends it."""
    with skald.Logger("run", tmp_path) as logger:
        print("half", end="", flush=True)
        skald.compact(tmp_path / "run")
        meanwhile = logger.run.console
        print(" and half")

    assert meanwhile == "half\n"
    assert log_of(tmp_path / "run") == "half and half\n"


@pytest.mark.parametrize(
    ("console", "missing"),
    [(b"half\n", "half\n"), (b"half\nhalf\n", ""), (b"half\nchild\nhalf\n", ""), (b"half\nchild\n", "half\n")],
)
def test_unfinished_line_is_missing_unless_it_was_appended_since(tmp_path: Path, console: bytes, missing: str) -> None:
    """A process that was killed after it ended the line, or who died appending it, doubles nothing."""
    unfinished = Unfinished.decoded(Unfinished(len(b"half\n"), "half\n").encoded())
    path = tmp_path / "console.log"
    path.write_bytes(console)

    assert unfinished.missing_from(path) == missing


@pytest.mark.parametrize("left", [b"", bytes(4096), b"half\n", b"12"])
def test_unfinished_line_that_a_power_cut_has_damaged_hinders_nobody(tmp_path: Path, left: bytes) -> None:
    """It is lost, and the run can be read and resumed."""
    run_program(tmp_path, 'skald.Logger("run").__enter__(); print("whole"); os._exit(0)')
    (writer,) = (path for path in (tmp_path / "runs/run/segments").iterdir() if path.is_dir())
    (writer / "console.log").write_bytes(left)

    before = skald.Run(tmp_path / "runs" / "run").console
    with skald.Logger("run", tmp_path / "runs", mode="resume"):
        print("more")

    assert before == "whole\n"
    assert log_of(tmp_path / "runs" / "run") == "whole\nmore\n"


def test_texts_of_several_lines_are_in_the_file_after_a_kill(tmp_path: Path) -> None:
    """Also where `print` ends the last line by itself, and where a text is larger than what is taken at once."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(20):
                print(f"first {number}\\nlast {number}")
            print("\\n".join(f"{number} {'x' * 90}" for number in range(10_000)))
            print("y" * 1_000_000)
            print("ended\\nnot ended", end="", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )

    lines = [line for number in range(20) for line in (f"first {number}", f"last {number}")]
    lines += [f"{number} {'x' * 90}" for number in range(10_000)]
    assert found.lines == [*lines, "y" * 1_000_000, "ended"]
    assert skald.Run(tmp_path / "runs" / "run").console.endswith("\nended\nnot ended\n")


def test_bar_that_is_drawn_at_each_step_is_put_down_some_times(tmp_path: Path) -> None:
    """Each time is a file replaced; its last state is there soon, also while the program waits, and then in the log."""
    program = """
        from skald.record import transcript
        written, write_atomic = [], transcript.write_atomic
        def count(*given):
            written.append(1)
            write_atomic(*given)
        transcript.write_atomic = count
        with skald.Logger("run") as logger:
            for number in range(3000):
                print(f"\\rstep {number}", end="", flush=True)
            while not skald.Run(logger.run.path).console.endswith("step 2999\\n"):
                time.sleep(0.01)
        assert 2 <= len(written) < 700, len(written)
        """

    assert run_program(tmp_path, program).lines == ["step 2999"]


@on_plain_streams
def test_what_is_printed_while_the_log_is_written_keeps_its_order(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for its turn, as what came before."""
    drain, late = tees._turns.drain, [(sys.stderr, "error"), (sys.stdout, "after")]

    def drain_and_print() -> int:
        cost = drain()
        while late:
            stream, text = late.pop(0)
            print(text, file=stream)
        return cost

    with skald.Logger("run", tmp_path):
        print("first")
        tees._set_hasty(hasty=True)
        monkeypatch.setattr(tees._turns, "drain", drain_and_print)
        tees._drain()

    assert log_of(tmp_path / "run") == "first\nerror\nafter\n"
    assert text_of(streams["stdout"]) == "first\nafter\n"


def test_unfinished_line_is_at_most_a_tenth_of_a_second_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it took to put it down: the disk is slow, or the program busy."""
    clock = [0.0]
    monkeypatch.setattr("skald.record.transcript.time.monotonic", lambda: clock[0])
    written: list[bytes] = []

    def write(_path: Path, data: bytes) -> None:
        written.append(data)
        clock[0] += 5.0

    monkeypatch.setattr(transcript, "write_atomic", write)
    bar = transcript.Transcript(LogFile(tmp_path / "console.log"), tmp_path / "unfinished")
    for number, secs in enumerate([0.0, 0.05, 0.06]):
        clock[0] += secs
        bar.feed("stderr", f"\rstep {number}")
        assert bar.show() == (number == 1)

    assert written == [b"0\nstep 0\n", b"0\nstep 2\n"]


def test_bar_stands_above_what_is_printed_after_it_however_fast_it_was_drawn(tmp_path: Path) -> None:
    """The streams wait together, in the order in which they were printed on."""
    program = """
        with skald.Logger("run"):
            for epoch in range(5):
                for number in range(1000):
                    print(f"\\repoch {epoch}: {number}", end="", flush=True, file=sys.stderr)
                print(file=sys.stderr)
                print("validated", epoch)
            for number in range(3000):
                print(number, file=(sys.stdout, sys.stderr)[number % 2])
        """

    lines = run_program(tmp_path, program).lines

    assert lines[:10] == [line for n in range(5) for line in (f"epoch {n}: 999", f"validated {n}")]
    assert sorted(lines[10:]) == sorted(map(str, range(3000)))


@pytest.mark.parametrize("kind", ["list", "iter", "tuple"])
def test_lines_that_are_written_together_are_in_the_log(tmp_path: Path, kind: str) -> None:
    """As by `print`; of lines one of which is none, those before it, with the error that there always was."""
    found = run_program(
        tmp_path,
        f"""
        with skald.Logger("run"):
            sys.stdout.writelines({kind}(["first\\n", "second\\n"]))
            try:
                sys.stdout.writelines({kind}(["third\\n", 4, "fifth\\n"]))
            except TypeError as error:
                print("must be str" in str(error))
        assert "writelines" not in vars(sys.stdout)
        """,
    )

    assert found.lines == ["first", "second", "third", "True"]
    assert found.out.decode().splitlines() == found.lines


def test_unfinished_line_is_put_down_where_it_is_flushed(tmp_path: Path) -> None:
    """`print` ends by itself the last line of a text, which costs no file more."""
    found = run_program(
        tmp_path,
        """
        from skald.record import transcript
        written = []
        transcript.write_atomic = lambda *_: written.append(1)
        with skald.Logger("run"):
            for number in range(100):
                print("first\\nlast")
            assert not written
            print("first\\nhalf", end="", flush=True)
            assert written
            print()
        """,
    )

    assert found.lines == ["first", "last"] * 100 + ["first", "half"]


def test_fast_output_is_in_the_file_soon(tmp_path: Path) -> None:
    """A burst is written by a thread while the program goes on with something else, and the thread ends."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run") as logger:
            for number in range(20_000):
                print(number)
            path, deadline = logger.run.path / "console.log", time.monotonic() + 20
            while not path.read_text().endswith("19999\\n") and time.monotonic() < deadline:
                time.sleep(0.01)
            while threading.active_count() > 1 and time.monotonic() < deadline:
                time.sleep(0.01)
            print(path.read_text().endswith("19999\\n"), threading.active_count())
        """,
    )

    assert found.lines == [*map(str, range(20_000)), "True 1"]


@on_plain_streams
def test_output_that_cannot_be_written_as_fast_waits(tmp_path: Path) -> None:
    """What a program prints faster than the log takes it does not fill the memory."""
    program = """
        import resource
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with skald.Logger("run", ".") as logger:
            for number in range(3000):
                print(number)
            for number in range(300):
                print(number, "x" * 1_000_000)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        sys.exit(f"{grown:,} kB more" if grown > 100_000 else 0)
        """
    command = [sys.executable, "-c", START + textwrap.dedent(program)]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "console.log").stat().st_size > 300_000_000


def test_slow_output_needs_no_thread(tmp_path: Path) -> None:
    """A run has no thread for what a training loop prints."""
    before = threading.active_count()
    with skald.Logger("run", tmp_path):
        for number in range(100):
            print(number, flush=True)
        during = threading.active_count()

    assert during == before


@on_plain_streams
def test_traceback_of_what_leaves_the_block_is_in_the_log(tmp_path: Path) -> None:
    """The terminal shows it only after the block; in nested blocks each has it."""

    def fail() -> None:
        with skald.Logger("outer", tmp_path), skald.Logger("inner", tmp_path):
            print("half", end="")
            raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        fail()

    for name in ("outer", "inner"):
        text = log_of(tmp_path / name)
        assert text.startswith("half\nTraceback (most recent call last):\n")
        assert text.count('raise ValueError("bad")') == 1
        assert text.count("\nValueError: bad\n") == 1


@pytest.mark.parametrize(("error", "told"), [(KeyboardInterrupt(), 1), (SystemExit(3), 1), (SystemExit(0), 0)])
@on_plain_streams
def test_traceback_tells_where_a_run_was_stopped(error: BaseException, told: int, tmp_path: Path) -> None:
    """Ctrl-C and an exit that says a failure too; an exit that says success is none."""

    def leave() -> None:
        with skald.Logger("run", tmp_path):
            print("line")
            raise error

    with pytest.raises(type(error)):
        leave()

    assert log_of(tmp_path / "run").count("Traceback") == told


@on_plain_streams
def test_nested_loggers_have_what_was_printed_in_their_blocks(tmp_path: Path, streams: dict[str, Any]) -> None:
    """In any order of closing; a message of one is for the other what the terminal shows."""
    messages = {"format": "shown {message}", "filter": lambda record: record["level"].name == "INFO"}
    loguru.logger.add(streams["stderr"], **messages)  # type: ignore[call-overload]
    outer, inner = skald.Logger("outer", tmp_path), skald.Logger("inner", tmp_path)

    with outer:
        print("1")
        inner.__enter__()
        print("2")
        inner.info("message")
        outer.close()
        print("3")
    inner.__exit__(None, None, None)
    print("4")

    assert log_of(tmp_path / "outer") == "1\n2\nshown message\n"
    assert re.fullmatch(rf"2\n{STAMP} \| INFO \| message\n3\n", log_of(tmp_path / "inner"))
    assert not {"write", "flush"} & vars(streams["stdout"]).keys()


@on_plain_streams
def test_logger_bound_or_entered_twice_captures_once(tmp_path: Path) -> None:
    """The run has one console."""
    with skald.Logger("run", tmp_path) as logger, logger.bind(task=1), logger:
        print("once")

    assert log_of(tmp_path / "run") == "once\n"


@pytest.mark.parametrize("had", [True, False])
@on_plain_streams
def test_streams_are_restored_exactly(tmp_path: Path, streams: dict[str, Any], *, had: bool) -> None:
    """What had a `write` of its own has it again, what had none has none; `sys` is not touched at all."""
    stdout = streams["stdout"]
    original = stdout.write
    heard: list[str] = []
    if had:
        stdout.write = listening(original, heard)
    before = [dict(vars(stream)) for stream in (stdout, stdout.buffer, streams["stderr"], streams["stderr"].buffer)
              if hasattr(stream, "__dict__")]  # fmt: skip

    with skald.Logger("run", tmp_path):
        print("out")
        assert sys.stdout is stdout

    after = [dict(vars(stream)) for stream in (stdout, stdout.buffer, streams["stderr"], streams["stderr"].buffer)
             if hasattr(stream, "__dict__")]  # fmt: skip
    assert after == before
    assert heard == (["out", "\n"] if had else [])


@on_plain_streams
def test_stream_that_others_replace_meanwhile_stays_theirs(tmp_path: Path, streams: dict[str, Any]) -> None:
    """A second library that tees the same stream goes on after the block, and writes pass through once."""
    stdout = streams["stdout"]
    heard: list[str] = []
    logger = skald.Logger("run", tmp_path)
    logger.__enter__()
    below = stdout.write
    stdout.write = listening(below, heard)
    print("inside")
    logger.close()
    print("outside")

    assert heard == ["inside", "\n", "outside", "\n"]
    assert text_of(stdout) == "inside\noutside\n"
    assert log_of(tmp_path / "run") == "inside\n"


@on_plain_streams
def test_stream_that_is_changed_between_two_runs_is_in_both_logs_as_shown(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What leaves out secrets came when the first run had begun; it leaves when the second has ended."""
    with skald.Logger("outer", tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", Forwarding(streams["stdout"], str.upper))
            with skald.Logger("inner", tmp_path):
                print("changed")
        print("plain")

    assert log_of(tmp_path / "inner") == "CHANGED\n"
    assert log_of(tmp_path / "outer") == text_of(streams["stdout"]) == "CHANGED\nplain\n"


@on_plain_streams
def test_stream_that_drops_lines_is_in_the_log_as_shown(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has been seen to pass a line on."""

    class Dropping(Forwarding):
        def write(self, text: str) -> int:
            return len(text) if "noise" in text else super().write(text)

    monkeypatch.setattr(sys, "stdout", Dropping(streams["stdout"]))
    with skald.Logger("run", tmp_path):
        print("first")
        sys.stdout.write("noise\n")
        print("second")

    assert log_of(tmp_path / "run") == text_of(streams["stdout"]) == "first\nsecond\n"


@on_plain_streams
def test_stream_that_keeps_what_it_hands_on_is_in_the_log_once(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `pytest --capture=tee-sys`."""

    class Keeping(io.TextIOWrapper):
        def write(self, text: str) -> int:
            super().write(text)
            return int(streams["stdout"].write(text))

    keeping = Keeping(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", keeping)
    with skald.Logger("run", tmp_path):
        print("whole")
        print("half", end="")
        print("", "end", flush=True)

    assert log_of(tmp_path / "run") == text_of(streams["stdout"]) == text_of(keeping) == "whole\nhalf end\n"


@on_plain_streams
def test_bound_write_from_the_block_works_after_it(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Who kept `sys.stdout.write` writes on, and into no log."""
    with skald.Logger("run", tmp_path):
        write = sys.stdout.write
        write("inside\n")
    write("outside\n")

    assert text_of(streams["stdout"]) == "inside\noutside\n"
    assert log_of(tmp_path / "run") == "inside\n"


class Forwarding:
    """A stream that is not of the library, and forwards to another."""

    def __init__(self, below: Any, change: Callable[[str], str] = str) -> None:
        self.below, self.change = below, change

    def write(self, text: str) -> int:
        """Forward."""
        return int(self.below.write(self.change(text)))

    def flush(self) -> None:
        """Forward."""
        self.below.flush()


@on_plain_streams
def test_stream_that_forwards_to_the_first_is_heard_once(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of colorama do: what was made with the stream below is heard too."""
    below = streams["stdout"]
    monkeypatch.setattr(sys, "stdout", Forwarding(below))

    with skald.Logger("run", tmp_path):
        print("above")
        below.write("below\n")

    assert log_of(tmp_path / "run") == "above\nbelow\n"
    assert vars(sys.stdout).keys() == {"below", "change"}


class Slotted:
    """A stream without a place for attributes of its own."""

    __slots__ = ("below",)

    def __init__(self, below: Any) -> None:
        self.below = below

    def write(self, text: str) -> int:
        """Pass it on."""
        return int(self.below.write(text))

    def flush(self) -> None:
        """Pass it on."""
        self.below.flush()


@pytest.mark.parametrize("wrapper", [Slotted, DummyTqdmFile])
@on_plain_streams
def test_stream_whose_attributes_are_not_its_own_is_heard_once(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch, wrapper: Callable[[Any], Any]
) -> None:
    """One that has none, and one of tqdm that passes on to the stream below what is set on it."""
    below = streams["stdout"]
    above = wrapper(below)
    monkeypatch.setattr(sys, "stdout", above)
    before = list(vars(below))

    with skald.Logger("run", tmp_path):
        print("above")
        below.write("below\n")

    assert log_of(tmp_path / "run") == "above\nbelow\n"
    assert list(vars(below)) == before
    assert "write" not in getattr(above, "__dict__", {})


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@on_plain_streams
def test_stream_may_be_missing(name: str, tmp_path: Path, streams: dict[str, Any], monkeypatch: Any) -> None:
    """As under pythonw, where `sys.stdout` is None."""
    for each in (name, f"__{name}__"):
        monkeypatch.setattr(sys, each, None)

    with skald.Logger("run", tmp_path):
        print("out", file=streams["stdout"])
        print("err", file=streams["stderr"])

    assert log_of(tmp_path / "run") == {"stdout": "err\n", "stderr": "out\n"}[name]


@on_plain_streams
def test_stream_may_be_closed(tmp_path: Path) -> None:
    """The program gets Python's own error, and the other stream is captured."""
    with skald.Logger("run", tmp_path):
        sys.stdout.close()
        with pytest.raises(ValueError, match="closed file"):
            print("nowhere")
        print("err", file=sys.stderr)

    assert log_of(tmp_path / "run") == "err\n"


@on_plain_streams
def test_stream_that_is_redirected_inside_is_not_what_the_terminal_shows(tmp_path: Path) -> None:
    """What goes into a StringIO is in no log; outside of it the stream is heard as before."""
    with skald.Logger("run", tmp_path):
        with redirect_stdout(io.StringIO()) as caught, redirect_stderr(io.StringIO()):
            print("hidden")
            print("hidden", file=sys.stderr)
        print("shown")

    assert caught.getvalue() == "hidden\n"
    assert log_of(tmp_path / "run") == "shown\n"


@on_plain_streams
def test_stream_in_memory_is_captured(tmp_path: Path, streams: dict[str, Any]) -> None:
    """A block inside of `redirect_stdout` has what is printed there, and what goes to the terminal besides."""
    with redirect_stdout(io.StringIO()) as caught, skald.Logger("run", tmp_path):
        print("in memory")
        streams["stdout"].write("terminal\n")

    assert caught.getvalue() == "in memory\n"
    assert log_of(tmp_path / "run") == "in memory\nterminal\n"
    assert vars(caught) == {}


def test_capture_works_under_pytest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its own captures get what they would get."""
    with skald.Logger("run", tmp_path):
        print("out")
        print("err", file=sys.stderr)

    assert capsys.readouterr() == ("out\n", "err\n")
    assert log_of(tmp_path / "run") == "out\nerr\n"


def test_capture_works_in_a_notebook(tmp_path: Path) -> None:
    """Streams of IPython's kernel have no file descriptor of their own: the cell shows it, and the log has it."""
    manager = pytest.importorskip("jupyter_client.manager")
    kernel, client = manager.start_new_kernel(cwd=str(tmp_path))
    shown: list[str] = []

    def show(message: Any) -> None:
        if message["msg_type"] == "stream":
            shown.append(message["content"]["text"])

    program = """
import sys, loguru, skald
loguru.logger.remove()
def methods():
    return [vars(stream).get(name) for stream in (sys.stdout, sys.__stdout__) for name in ("write", "flush")]
before = methods()
for _ in range(2):
    with skald.Logger("run", mode="overwrite"):
        print("cell")
        print("err", file=sys.stderr)
print(before == methods())
"""
    cells = [
        "other = skald.Logger('other').__enter__(); print('first')",
        "print('second')",
        "print('third'); other.close(); print('after')",
    ]
    try:
        reply = client.execute_interactive(program, timeout=60, output_hook=show)
        for cell in cells:
            client.execute_interactive(cell, timeout=60)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)

    assert reply["content"]["status"] == "ok", reply
    assert sorted("".join(shown).split()) == ["True", "cell", "cell", "err", "err"]
    assert sorted(log_of(tmp_path / "runs" / "run").splitlines()) == ["cell", "err"]
    assert log_of(tmp_path / "runs" / "other").splitlines() == ["first", "second", "third"]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:backslashreplace", "utf-8:surrogateescape"])
def test_encodings_of_the_terminal_do_not_matter_to_the_log(encoding: str, tmp_path: Path) -> None:
    """The log is UTF-8: what the terminal shows, and undecodable bytes escaped."""
    found = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            print("é")
            try:
                print("漢 \\udcff")
            except UnicodeEncodeError:
                print("refused")
            sys.stdout.flush()
            sys.stdout.buffer.write("é\\n".encode(sys.stdout.encoding, "replace"))
        """,
        PYTHONIOENCODING=encoding,
    )

    shown = {
        "cp1252": ["é", "refused", "é"],
        "ascii:backslashreplace": ["\\xe9", "\\u6f22 \\udcff", "?"],
        "utf-8:surrogateescape": ["é", "漢 \\udcff", "é"],
    }
    assert found.lines == shown[encoding]


@on_plain_streams
@pytest.mark.parametrize("line", ["x" * 99, "x" * LONGEST_LINE])
def test_text_of_any_size_is_whole(tmp_path: Path, streams: dict[str, Any], line: str) -> None:
    """A large text is written in pieces, which nobody sees."""
    text = f"{line}\n" * (2 * BATCH_CHARACTERS // len(line)) + "no end"

    with skald.Logger("run", tmp_path):
        print(text)
        print("next")

    assert log_of(tmp_path / "run") == text_of(streams["stdout"]) == f"{text}\nnext\n"


@on_plain_streams
def test_text_that_is_none_raises_as_ever(tmp_path: Path) -> None:
    """A wrong argument is Python's error, and nothing of it is in the log."""
    with skald.Logger("run", tmp_path):
        with pytest.raises(TypeError):
            sys.stdout.write(5)  # type: ignore[arg-type]
        assert sys.stdout.write("abc\n") == 4

    assert log_of(tmp_path / "run") == "abc\n"


def test_threads_print_all_their_lines(tmp_path: Path) -> None:
    """Many at once, also one that still prints while the block ends."""
    found = run_program(
        tmp_path,
        """
        def talk(name):
            for number in range(3000):
                sys.stdout.write(f"{name} {number}\\n")
        stop = threading.Event()
        def chatter():
            while not stop.is_set():
                print("chatter")
        late = threading.Thread(target=chatter)
        with skald.Logger("run"):
            threads = [threading.Thread(target=talk, args=(f"t{n}",)) for n in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            late.start()
        stop.set()
        late.join()
        assert "write" not in vars(sys.stdout)
        """,
    )

    lines = [line for line in found.lines if line.startswith("t")]
    assert sorted(lines) == sorted(f"t{thread} {number}" for thread in range(4) for number in range(3000))


@pytest.mark.parametrize("capture", ["True", pytest.param("'fd'", marks=posix)])
@pytest.mark.parametrize("before", [0, 600])
def test_lines_that_threads_print_at_once_are_whole(capture: str, before: int, tmp_path: Path) -> None:
    """The second ends its line while that of the first has no end yet, also where both print thousands a second."""
    found = run_program(
        tmp_path,
        f"""
        def turn(mine, other):
            mine.wait()
            mine.clear()
            other.set()
        def talk(name, mine, other):
            for number in range({before}):
                print("many", flush=True)
            for number in range(100):
                sys.stdout.write(f"{{name}} is")
                turn(mine, other)
                sys.stdout.write(f" at\\n{{name}} {{number}}")
                turn(mine, other)
                sys.stdout.write("\\n")
        first, second = threading.Event(), threading.Event()
        with skald.Logger("run", capture={capture}):
            print("begin")
            given = ("a", first, second), ("b", second, first)
            threads = [threading.Thread(target=talk, args=each) for each in given]
            for thread in threads: thread.start()
            first.set()
            for thread in threads: thread.join()
        """,
        PYTHONUNBUFFERED="1",
    )

    lines = [line for line in found.lines if line not in ("many", "begin") and "skald:" not in line]
    assert sorted(lines) == sorted(
        line for name in "ab" for n in range(100) for line in (f"{name} is at", f"{name} {n}")
    )


def test_line_that_a_thread_has_begun_as_the_block_ends_is_whole(tmp_path: Path) -> None:
    """The block waits a moment for its end; for one that does not come, as of a prompt, it does not wait long."""
    found = run_program(
        tmp_path,
        """
        def work():
            sys.stdout.write("half ")
            begun.set()
            time.sleep(0.02)
            sys.stdout.write("whole\\n")
            time.sleep(1)
        begun = threading.Event()
        thread = threading.Thread(target=work)
        with skald.Logger("run"):
            thread.start()
            begun.wait()
        thread.join()
        """,
    )

    assert found.lines == ["half whole"]


@pytest.mark.parametrize("capture", ["True", "'fd'"])
@pytest.mark.parametrize("flush", [False, True])
def test_fork_in_the_middle_of_a_line_doubles_nothing(capture: str, tmp_path: Path, *, flush: bool) -> None:
    """The parent finishes its line, the child's lines are there too, also those that waited in neither."""
    found = run_program(
        tmp_path,
        f"""
        with skald.Logger("run", capture={capture}) as logger:
            for number in range(3000):
                print("burst", number)
            print("half", end="", flush={flush})
            pid = os.fork()
            if pid == 0:
                print("child")
                logger.info("child's message")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            print(" and half")
        """,
    )

    assert sorted(found.lines) == sorted(
        [*(f"burst {n}" for n in range(3000)), "child", "INFO | child's message", "half and half"]
    )


@pytest.mark.parametrize("capture", ["True", "'fd'"])
def test_bar_that_has_ended_stands_above_what_a_forked_child_prints(tmp_path: Path, capture: str) -> None:
    """As in the terminal; one that is still drawn stands below it, once."""
    found = run_program(
        tmp_path,
        f"""
        def child():
            pid = os.fork()
            if pid == 0:
                print("child", flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        with skald.Logger("run", capture={capture}):
            for outer in tqdm.tqdm(range(2), desc="outer", bar_format="{{desc}} {{n}}"):
                child()
            child()
            print("parent")
        """,
    )

    assert found.lines == ["child", "child", "outer 2", "child", "parent"]


def test_print_of_a_signal_handler_blocks_nothing(tmp_path: Path) -> None:
    """A handler that prints while its thread is printing, and logs, loses no line."""
    found = run_program(
        tmp_path,
        """
        count = 0
        def handle(*_):
            global count
            count += 1
            sys.stderr.write("signal\\n")
            signal.setitimer(signal.ITIMER_REAL, 5e-4)
        with skald.Logger("run") as logger:
            signal.signal(signal.SIGALRM, handle)
            signal.setitimer(signal.ITIMER_REAL, 5e-4)
            for number in range(3000):
                sys.stdout.write(f"{number}\\n")
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
        print(count)
        """,
    )

    assert [line for line in found.lines if line != "signal"] == list(map(str, range(3000)))
    assert found.lines.count("signal") == int(found.out.split()[-1])


@on_plain_streams
def test_print_of_a_signal_handler_is_no_part_of_the_print_that_it_interrupts(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that goes to a stream of the program's own, which could write to the one that the handler takes."""
    left: list[str] = []

    def let_go(tee: Tee, *threads: int) -> None:
        while left:
            print(left.pop(), file=streams["stderr"])
        original(tee, *threads)

    original = Tee.let_go
    monkeypatch.setattr(Tee, "let_go", let_go)
    monkeypatch.setattr(sys, "stdout", Forwarding(io.StringIO()))
    with skald.Logger("run", tmp_path):
        left.append("signal")
        print("line")

    assert sorted(log_of(tmp_path / "run").split()) == ["line", "signal"]


@on_plain_streams
def test_interrupt_while_the_terminal_is_slow_keeps_the_line(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Ctrl-C in a `write` that waits: the stream has the text, and so has the log; all is restored."""
    stdout = streams["stdout"]
    original = stdout.write

    def write(text: str) -> int:
        original(text)
        raise KeyboardInterrupt

    stdout.write = write
    with pytest.raises(KeyboardInterrupt), skald.Logger("run", tmp_path):
        sys.stdout.write("line\n")

    assert log_of(tmp_path / "run").startswith("line\nTraceback")
    assert vars(stdout)["write"] is write


def interrupted_at(place: int, action: Callable[[], object], *files: str) -> bool:
    """Do something with a Ctrl-C at the n-th place where Python hears one; tell whether there is such.

    The places are in files of some names, or where none is given in those of the capture.
    """
    left = place

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        nonlocal left
        file = Path(frame.f_code.co_filename)
        if event in ("call", "c_return") and (file.name in files if files else file.parent.name == "record"):
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(interrupt)
    try:
        action()
    except KeyboardInterrupt:
        pass
    finally:
        sys.setprofile(None)
    return left < 0


@on_plain_streams
@pytest.mark.parametrize("hasty", [False, True])
@pytest.mark.parametrize("change", ["nothing", "stream", "write"])
def test_interrupt_of_a_print_leaves_the_log_as_the_terminal(
    tmp_path: Path, streams: dict[str, Any], monkeypatch: pytest.MonkeyPatch, change: str, *, hasty: bool
) -> None:
    """Wherever it comes, and also where the line is torn: the log has what the terminal has, and others may print."""
    if change == "stream":
        monkeypatch.setattr(sys, "stdout", Forwarding(streams["stdout"]))
    elif change == "write":
        streams["stdout"].write = listening(streams["stdout"].write, [])
    with skald.Logger("run", tmp_path):
        tees._set_hasty(hasty=hasty)
        place = 0
        while interrupted_at(place, functools.partial(print, "line", place)):
            place += 1

    assert place > (3 if hasty else 50)
    assert not is_held_here(tees._lock)
    assert log_of(tmp_path / "run") == text_of(streams["stdout"])


def test_full_disk_never_breaks_a_print(tmp_path: Path) -> None:
    """It is told once on stderr; the terminal gets everything."""
    found = run_program(
        tmp_path,
        """
        import resource
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        with skald.Logger("run"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
            for number in range(1000):
                print("x" * 50, flush=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            print("room again")
        """,
    )

    assert found.out.count(b"x" * 50) == 1000
    assert found.err.count(b"takes no more") == 1
    assert found.lines[-1] == "room again"
    assert found.lines.count("x" * 50) > 50


@on_plain_streams
def test_joined_process_has_its_own_console(tmp_path: Path) -> None:
    """The first writes console.log, one that joins console.<writer>.log, and `Run.console` has all."""
    with skald.Logger("run", tmp_path) as first:
        print("first")
    with skald.Logger("run", tmp_path, mode="resume") as resumed:
        print("again")
        with skald.Logger("run", tmp_path, mode="join") as joined:
            joined.info("joined")

    names = sorted(path.name for path in (tmp_path / "run").glob("console*"))
    assert len(names) == 2
    assert re.fullmatch(r"console\.[\w-]+\.log", names[0])
    assert log_of(tmp_path / "run") == "first\nagain\n"
    assert re.sub(STAMP, "TIME", console_of(first.run)) == (
        f"first\nagain\n==> {names[0]} <==\nTIME | INFO | joined\n"
    )  # fmt: skip
    assert resumed.run.console == first.run.console


@on_plain_streams
def test_disabled_logger_captures_nothing(tmp_path: Path, streams: dict[str, Any]) -> None:
    """There is no file, so the streams are left alone."""
    with skald.Logger("run", tmp_path, mode="disabled"):
        assert "write" not in vars(sys.stdout)
        print("out")

    assert text_of(streams["stdout"]) == "out\n"


@on_plain_streams
def test_warning_of_skald_stands_once(tmp_path: Path, streams: dict[str, Any]) -> None:
    """What Skald says itself, in the terminal and in the log."""
    loguru.logger.add(streams["stderr"], format="{message}")
    with skald.Logger("run", tmp_path, errors="warn") as logger:
        logger.log_metric("", 1.0)

    assert text_of(streams["stderr"]).count("refused, and") == 1
    assert log_of(tmp_path / "run").count("refused, and") == 1


@on_plain_streams
def test_handlers_are_untouched(tmp_path: Path, streams: dict[str, Any]) -> None:
    """Neither loguru's nor those of logging are added to, removed or changed."""
    loguru.logger.add(streams["stderr"])
    before = (repr(loguru.logger), list(logging.getLogger().handlers))
    with skald.Logger("run", tmp_path) as logger:
        logger.info("message")
        during = (repr(loguru.logger), list(logging.getLogger().handlers))

    assert during == before
    assert (repr(loguru.logger), list(logging.getLogger().handlers)) == before


def test_line_without_an_end_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads print on as fast as what they print is taken."""
    calls = itertools.count()

    def drain(_most: int | None = None) -> int:
        assert next(calls) < 1_000_000
        return 1

    monkeypatch.setattr(tees, "_drain", drain)

    tees._between_lines(cast("Any", SimpleNamespace(is_amid_line=True)), lambda: None)
