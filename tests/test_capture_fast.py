"""Programs that print thousands of texts a second, whose texts C code gathers: the log is as the terminal."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_capture import interrupted_at, log_of, posix

import skald
from skald.record import delivery, tees
from skald.record.decoding import Decoder

START = "import contextlib, io, os, random, sys, threading, time\nimport loguru\nimport skald\n"
MESSAGE = re.compile(r"[\d-]+ [\d:.]+ \| INFO \| ")
BUFFERED = {"PYTHONUNBUFFERED": ""}

both = pytest.mark.parametrize("capture", ["True", pytest.param("'fd'", marks=posix)])


def run_buffered(folder: Path, program: str, stdout: Any = subprocess.PIPE) -> tuple[str, str]:
    """Run a program whose stdout Python holds back as it does for a file; return what it printed, and the log."""
    with (folder / "err").open("wb") as err:
        result = subprocess.run(
            [sys.executable, "-c", START + textwrap.dedent(program)],
            cwd=folder,
            stdout=stdout,
            stderr=err,
            check=False,
            timeout=60,
            env={**os.environ, **BUFFERED},
        )
    assert result.returncode == 0, (folder / "err").read_text()
    return (result.stdout or b"").decode(errors="replace"), log_of(folder / "runs" / "run")


@both
@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_printed_fast_is_in_the_log_as_in_the_terminal(tmp_path: Path, capture: str, seed: int) -> None:
    """Texts of any size, bytes, half lines, flushes, pauses and other options, one after the other."""
    shown, log = run_buffered(
        tmp_path,
        f"""
        chance = random.Random({seed})
        early = sys.stdout.write
        def fast(number): [print("line", number, each) for each in range(chance.choice([5, 500, 3000]))]
        def large(number): print("x" * chance.choice([10, 500, 8191, 8192, 8193, 20000, 300000]))
        def wide(number): print("é漢" * chance.choice([1, 100, 5000]), number)
        def flush(number): [print(each, flush=True) for each in range(chance.choice([1, 300]))]
        def half(number): print("half", number, end=""), chance.random() < 0.5 and sys.stdout.flush(), print()
        def cached(number): early(f"cached {{number}}\\n")
        def listed(number): sys.stdout.writelines([f"list {{number}}\\n"] * 20)
        def pause(number): time.sleep(chance.choice([0.001, 0.02, 0.08]))
        def options(number): sys.stdout.reconfigure(line_buffering=chance.random() < 0.3)
        def through(number): sys.stdout.reconfigure(write_through=chance.random() < 0.3)
        def late(number):
            write = sys.stdout.write
            for each in range(2000): write(f"late {{each}}\\n")
        def data(number):
            text = bytearray(f"bytes {{number}}\\n".encode())
            assert sys.stdout.buffer.write(text) == len(text)
            text[:5] = b"wrong"
            sys.stdout.buffer.write("é".encode()[:1]), sys.stdout.buffer.write("é\\n".encode()[1:])
        kinds = [fast, fast, fast, large, wide, flush, half, cached, listed, pause, options, through, late, data]
        before = sys.stdout.write_through
        with skald.Logger("run", capture={capture}):
            for number in range(60):
                chance.choice(kinds)(number)
            sys.stdout.reconfigure(line_buffering=False, write_through=False)
        assert not {{"write", "flush", "reconfigure"}} & {{*vars(sys.stdout), *vars(sys.stdout.buffer)}}
        assert sys.stdout.write_through == before
        """,
    )

    assert len(shown) > 100_000
    assert log == shown


@both
def test_texts_of_all_sizes_keep_their_order_as_the_way_to_take_them_changes(tmp_path: Path, capture: str) -> None:
    """However long a thread that prints is held up there, with a text in its hand, by the one that changes it."""
    sizes = [30000, 2, 2, 30000, 2, 90000, 2, 2, 2]
    program = f"""
    from skald.record import buffers, pace
    put_aside = buffers.TeedBuffer._put_aside
    def put_aside_slowly(*args):
        time.sleep(0.003)
        put_aside(*args)
    buffers.TeedBuffer._put_aside = put_aside_slowly
    buffers._REST_SECS = pace.FAST_SECS = 0.005
    with skald.Logger("run", capture={capture}):
        for number in range(2000):
            sys.stdout.write(f"{{number}} {{'x' * {sizes}[number % 9]}}\\n")
    """

    shown, log = run_buffered(tmp_path, program)

    expected = [f"{number} {'x' * sizes[number % 9]}" for number in range(2000)]
    assert [line[:9] for line in shown.splitlines()] == [line[:9] for line in expected]
    assert shown.splitlines() == expected
    assert log == shown


@both
def test_texts_keep_their_order_while_a_thread_collects_what_is_held_back(tmp_path: Path, capture: str) -> None:
    """However long it takes to write it: what is printed meanwhile comes after it."""
    program = f"""
    from skald.record import gathering, pace, tees
    write_aside = gathering.Gatherer.write_aside
    def write_aside_slowly(self):
        time.sleep(0.002)
        write_aside(self)
    gathering.Gatherer.write_aside = write_aside_slowly
    pace.FAST_SECS = 0.002
    sys.setswitchinterval(1e-5)
    with skald.Logger("run", capture={capture}):
        for each in tees._tees:
            each._below._gather_from = float("inf")  # they are only held back
        for number in range(60_000):
            sys.stdout.write(f"{{number}} {{'x' * 30000 * (number % 61 == 0)}}\\n")
    """

    shown, log = run_buffered(tmp_path, program)

    assert [int(line.partition(" ")[0]) for line in shown.splitlines()] == list(range(60_000))
    assert log == shown


@both
def test_threads_that_print_fast_are_in_the_log_as_in_the_terminal(tmp_path: Path, capture: str) -> None:
    """All of it, once; NOTE: Python 3.11 itself loses some, and writes bytes of memory, as those printed before."""
    shown, log = run_buffered(
        tmp_path,
        f"""
        def work(name):
            for number in range(20000):
                sys.stdout.write(f"{{name}} {{number}}\\n")
                if number % 5000 == 0:
                    sys.stdout.flush()
        with skald.Logger("run", capture={capture}):
            threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """,
    )

    lines = sorted(f"{name} {number}" for name in "abcd" for number in range(20000))
    assert sorted(log.splitlines()) == lines or sorted(shown.splitlines()) != lines
    for name in "abcd":
        assert len(set(re.findall(rf"^{name} \d+$", log, re.MULTILINE))) > 15_000


def test_write_that_was_taken_before_the_block_or_in_it_is_heard_there_alone(tmp_path: Path) -> None:
    """Whichever function the program got hold of, slow or fast, it writes on after the block."""
    shown, log = run_buffered(
        tmp_path,
        """
        writes = [sys.stdout.write]
        writes[0]("before\\n")
        with skald.Logger("run"):
            writes.append(sys.stdout.write)
            for number in range(20000):
                print(number)
            writes.append(sys.stdout.write)
            for write in writes: write("within\\n")
        for write in writes: write("after\\n")
        """,
    )

    lines = [*map(str, range(20000)), *["within"] * 3]
    assert log.splitlines() == lines
    assert shown.splitlines() == ["before", *lines, *["after"] * 3]


@pytest.mark.parametrize("enqueue", [False, True])
def test_messages_are_not_doubled_beside_fast_printing(tmp_path: Path, *, enqueue: bool) -> None:
    """Their handler writes to the stream that is printed on, at once or by a thread, whenever it comes to that."""
    shown, log = run_buffered(
        tmp_path,
        """
        loguru.logger.remove()
        loguru.logger.add(sys.stdout, enqueue=ENQUEUE, format="shown {message}")
        with skald.Logger("run") as logger:
            for number in range(20):
                for each in range(2000):
                    sys.stdout.write(f"{number} {each}\\n")
                logger.info("message {}", number)
            loguru.logger.complete()
        """.replace("ENQUEUE", str(enqueue)),
    )

    messages = [f"message {number}" for number in range(20)]
    assert [line[6:] for line in shown.splitlines() if line.startswith("shown m")] == messages
    assert [MESSAGE.sub("", line) for line in log.splitlines() if "message" in line] == messages
    assert len(log.splitlines()) == 20 * 2001
    assert len(shown.splitlines()) >= 20 * 2001


@posix
def test_forked_child_stands_where_it_printed(tmp_path: Path) -> None:
    """The child's line is below what its parent had printed, and above what it prints then; nothing is doubled."""
    shown, log = run_buffered(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(5):
                for each in range(5000):
                    print(number, each)
                sys.stdout.flush()
                if (child := os.fork()) == 0:
                    print("child", number, flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
        """,
    )

    assert log == shown
    assert log.splitlines()[5000] == "child 0"


@posix
def test_program_waits_for_a_slow_reader(tmp_path: Path) -> None:
    """What is gathered stays small where nobody reads, and nothing is lost."""
    program = """
        import resource
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with skald.Logger("run"):
            before = peak()
            for number in range(400_000):
                print("x" * 99)
            grown = (peak() - before) / 1024
        print(f"grown {grown:.0f}")
        """
    command = [sys.executable, "-c", START + textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, **BUFFERED}) as process:
        assert process.stdout is not None
        begun = process.stdout.read(5_000_000)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        *lines, last = (begun + process.stdout.read()).decode().splitlines()

    assert process.returncode == 0
    assert lines == ["x" * 99] * 400_000
    assert log_of(tmp_path / "runs" / "run").count("x" * 99 + "\n") == 400_000
    assert int(last.split()[1]) < 30


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_full_disk_is_told_to_the_program_that_prints_fast(tmp_path: Path) -> None:
    """As without a log, which has all the same whatever it printed without being told."""
    with Path("/dev/full").open("wb") as full:
        _, log = run_buffered(
            tmp_path,
            """
            told = []
            with skald.Logger("run"):
                for number in range(20000):
                    try:
                        sys.stdout.write(f"{number}\\n")
                    except OSError:
                        told.append(number)
                try:
                    sys.stdout.flush()
                except OSError:
                    told.append(-1)
            open("told", "w").write(repr(told))
            os._exit(0)
            """,
            full,
        )

    told = ast.literal_eval((tmp_path / "told").read_text())
    assert told
    assert {int(line) for line in log.splitlines()} >= {*range(20000)} - {*told}


@both
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_full_disk_is_told_as_a_program_ends_that_has_printed_little(tmp_path: Path, capture: str) -> None:
    """By Python, with its exit status, as without a log."""
    program = f"with skald.Logger('run', capture={capture}): print('a line')"
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", START + program],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
            env={**os.environ, **BUFFERED},
        )

    assert ended.returncode == 120
    assert b"No space left on device" in ended.stderr
    assert log_of(tmp_path / "runs" / "run").startswith("a line\n")


@both
@pytest.mark.parametrize("after", ["", "print('more')"])
def test_program_is_told_once_that_its_reader_is_gone(tmp_path: Path, capture: str, after: str) -> None:
    """`python train.py | head`: with the error and the exit status of without; all that it printed is in the log."""
    program = f"""
        with skald.Logger("run", capture={capture}):
            try:
                for number in range(1_000_000):
                    sys.stdout.write(f"line {{number}}\\n")
            except BrokenPipeError:
                {after or "raise"}
        """
    with subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent(program)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **BUFFERED},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()

    assert process.returncode == (120 if after else 1)
    assert (errors.count(b"Traceback"), errors.count(b"Exception ignored")) == ((0, 1) if after else (1, 0))
    assert errors.count(b"BrokenPipeError: ") == 1
    numbers = [line for line in log_of(tmp_path / "runs" / "run").splitlines() if line.startswith("line ")]
    assert numbers
    assert numbers == [f"line {number}" for number in range(len(numbers))]


@posix
def test_flush_has_the_log_written_of_a_program_that_ends_at_once(tmp_path: Path) -> None:
    """As workers of multiprocessing do, which flush and leave without a word."""
    _, log = run_buffered(
        tmp_path,
        """
        import multiprocessing
        def work():
            for number in range(3000):
                print("work", number)
        with skald.Logger("run"):
            worker = multiprocessing.get_context("fork").Process(target=work)
            worker.start()
            worker.join()
            for number in range(3000):
                print("own", number)
            sys.stdout.flush()
            os._exit(0)
        """,
    )

    assert log.splitlines() == [f"{kind} {number}" for kind in ("work", "own") for number in range(3000)]


@posix
@both
def test_signal_handler_prints_amid_a_write_that_waits(tmp_path: Path, capture: str) -> None:
    """Its line comes after that write, in the log and in the pipe that is read slowly; nobody waits for ever."""
    program = f"""
        import signal
        def stop(*_):
            print("stopped", flush=True)
            sys.exit(7)
        signal.signal(signal.SIGTERM, stop)
        with skald.Logger("run", capture={capture}):
            threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
            for number in range(10**9):
                print(number)
        """
    command = [sys.executable, "-c", START + textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, **BUFFERED}) as process:
        assert process.stdout is not None
        process.stdout.read(1000)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        shown = process.stdout.read().decode()

    assert process.returncode == 7
    assert shown.count("stopped\n") == 1
    assert log_of(tmp_path / "runs" / "run").partition("Traceback")[0].count("stopped\n") == 1


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_encoding_may_be_any_and_change(tmp_path: Path, encoding: str) -> None:
    """The log is UTF-8; what was printed before is decoded as it was encoded."""
    _, log = run_buffered(
        tmp_path,
        f"""
        with skald.Logger("run"):
            for number in range(5000): print("é", number)
            sys.stdout.reconfigure(encoding="{encoding}")
            for number in range(5000): print("é", number)
            sys.stdout.reconfigure(encoding="utf-8")
            for number in range(5000): print("é", number)
        """,
    )

    assert log.replace("\ufeff", "").splitlines() == [f"é {number}" for number in range(5000)] * 3


def test_stream_with_a_write_of_its_own_is_printed_on_fast_while_a_thread_logs(tmp_path: Path) -> None:
    """Neither waits for the other for ever, and nothing is lost."""
    shown, log = run_buffered(
        tmp_path,
        """
        class Upper(io.TextIOWrapper):
            def write(self, text, /): return super().write(text.upper())
        loguru.logger.remove()
        sys.stdout = Upper(sys.stdout.buffer, encoding="utf-8")
        with skald.Logger("run") as logger:
            thread = threading.Thread(target=lambda: [logger.info("message") for _ in range(2000)])
            thread.start()
            number = 0
            while thread.is_alive():
                print("line", number)
                number += 1
        """,
    )

    lines = [line for line in log.splitlines() if "message" not in line]
    assert lines == shown.splitlines() == [f"LINE {number}" for number in range(len(lines))]
    assert len(log.splitlines()) - len(lines) == 2000


@pytest.mark.parametrize("flush", [False, True])
def test_interrupt_amid_fast_printing_leaves_the_log_as_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, flush: bool
) -> None:
    """Wherever Python hears a Ctrl-C, nothing is lost or doubled in either of them."""
    out = (tmp_path / "out").open("w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "__stdout__", out)

    def collect(place: int) -> None:
        print("line", place, flush=flush)
        tees._collect()

    with out, skald.Logger("run", tmp_path):
        place = 0
        while interrupted_at(place, _hastily(partial(collect, place))):
            place += 1

    assert place > 10
    assert log_of(tmp_path / "run") == (tmp_path / "out").read_text()


def _hastily(action: Callable[[], None]) -> Callable[[], None]:
    """Do something while texts are gathered."""
    tees._set_hasty(hasty=False)
    print("begun", flush=True)
    tees._set_hasty(hasty=True)
    assert any(tee.is_fast for tee in tees._tees)
    return action


@posix
@both
@pytest.mark.parametrize(("error", "flush"), [("Late", False), ("TimeoutError", True), ("RuntimeError", True)])
def test_exceptions_of_alarms_amid_fast_printing_lose_and_double_nothing(
    tmp_path: Path, capture: str, error: str, *, flush: bool
) -> None:
    """The program hears all of them, wherever they come, and whatever they are: a `TimeoutError` is an `OSError`."""
    shown, log = run_buffered(
        tmp_path,
        f"""
        import signal
        class Late(Exception): pass
        told = number = 0
        def handle(*_): raise {error}
        signal.signal(signal.SIGALRM, handle)
        with skald.Logger("run", capture={capture}):
            for each in range(3000): print("begin", each)
            for each in range(20):
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.01 + each / 1000)
                    while True:
                        number += 1
                        print("line", number, "x" * 200, flush={flush})
                except {error}:
                    told += 1
            print()
            assert told == 20
        """,
    )

    assert log == shown


@pytest.mark.parametrize("texts", [[b"12345\n" * 9, b"end\n"], ["12345\n" * 9, "end\n"], ["1\n"] * 99])
def test_interrupt_amid_a_large_text_loses_and_doubles_no_part(
    monkeypatch: pytest.MonkeyPatch, texts: list[Any]
) -> None:
    """Wherever Python hears a Ctrl-C while it is given to the log in parts, who comes again gives the rest."""
    monkeypatch.setattr(delivery, "LARGE_CHARACTERS", 20)

    class Log:
        """Takes what it is fed."""

        file = types.SimpleNamespace(name="log", is_writing=False)

        def feed(self, _: str, text: str | bytes) -> None:
            self.file.is_writing = True
            fed.append(text)

    def give(given: delivery.Delivery) -> None:
        given.give([Log()], Decoder("utf-8"))  # type: ignore[list-item]

    fed: list[Any] = []
    place, is_interrupted = 0, True
    while is_interrupted:
        fed.clear()
        given = delivery.Delivery("stdout")
        given.left = texts
        is_interrupted = interrupted_at(place, partial(give, given))
        give(given)

        assert texts[0][:0].join(fed) == texts[0][:0].join(texts)
        place += 1
    assert place > 5


def test_what_a_signal_handler_prints_waits_for_the_end_of_what_it_interrupts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any stream, as the interrupted thread may hold what the handler would wait for; then it is written at once."""
    out, err = [(tmp_path / name).open("w", buffering=1, encoding="utf-8") for name in ("stdout", "stderr")]
    for name, stream in (("stdout", out), ("stderr", err)):
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)
    shown: list[str] = []

    with out, err, skald.Logger("run", tmp_path) as logger:
        below: Any = next(tee._below for tee in tees._tees if tee.name == "stdout")
        put = below._put

        def interrupted(data: bytes) -> int:
            below._put = put
            print("handler", file=sys.stderr)
            shown.append((tmp_path / "stderr").read_text())
            return int(put(data))

        below._put = interrupted
        print("line")
        shown.append((tmp_path / "stderr").read_text())
        log = logger.run.console

    assert shown == ["", "handler\n"]
    assert sorted(log.splitlines()) == ["handler", "line"]


@posix
@both
def test_signal_handler_may_print_to_stderr_amid_fast_printing_to_stdout(tmp_path: Path, capture: str) -> None:
    """Each is there in both, once, and nobody waits for ever."""
    program = f"""
        import signal
        heard = 0
        def handle(*_):
            global heard
            heard += 1
            sys.stderr.write(f"alarm {{heard}}\\n")
        signal.signal(signal.SIGALRM, handle)
        with skald.Logger("run", capture={capture}):
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            for number in range(50_000): sys.stdout.write(f"line {{number}}\\n")
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.stderr.write(f"heard {{heard}}\\n")
        """
    shown, log = run_buffered(tmp_path, program)

    told = (tmp_path / "err").read_text().splitlines()
    alarms = sorted(line for line in told if line.startswith("alarm"))
    assert alarms == sorted(f"alarm {number + 1}" for number in range(len(alarms)))
    assert f"heard {len(alarms)}" in told
    assert sorted(line for line in log.splitlines() if line.startswith("alarm")) == alarms
    assert [line for line in log.splitlines() if line.startswith("line")] == shown.splitlines()
    assert shown.splitlines() == [f"line {number}" for number in range(50_000)]


@posix
@both
def test_signal_handler_may_print_amid_fast_printing(tmp_path: Path, capture: str) -> None:
    """Where Python without a log raises an error that the call is reentrant, it seldom does; 3.11 loses a few texts."""
    shown, log = run_buffered(
        tmp_path,
        f"""
        import signal
        heard = number = 0
        def handle(*_):
            global heard
            heard += 1
            with contextlib.suppress(RuntimeError):
                print("alarm", heard, flush=heard % 2 == 0)
        signal.signal(signal.SIGALRM, handle)
        with skald.Logger("run", capture={capture}):
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.005)
            while heard < 100:
                number += 1
                print("line", number, "x" * 200)
            signal.setitimer(signal.ITIMER_REAL, 0)
        """,
    )

    whole = re.compile(r"(?:line \d+ x{200}|alarm \d+)$", re.MULTILINE)
    lines, logged = (set(whole.findall(text)) for text in (shown, log))
    assert len(lines ^ logged) < 20
    assert sum(line.startswith("alarm") for line in logged) > 50


@posix
def test_pipe_that_does_not_wait_takes_all_that_is_printed_fast(tmp_path: Path) -> None:
    """A child that shares it may have made it so."""
    program = """
        with skald.Logger("run"):
            for number in range(3000): print("before", number)
            os.set_blocking(1, False)
            for number in range(100_000): print("line", number)
            sys.stdout.flush()
            os.set_blocking(1, True)
        """
    command = [sys.executable, "-c", START + textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, **BUFFERED}) as process:
        assert process.stdout is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        shown = process.stdout.read().decode()

    assert process.returncode == 0
    assert shown.splitlines()[3000:] == [f"line {number}" for number in range(100_000)]
    assert log_of(tmp_path / "runs" / "run") == shown


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_characters_in_pieces_are_whole(tmp_path: Path, unbuffered: str) -> None:
    """The first half comes while much is printed, the other after something on another stream."""
    program = """
        with skald.Logger("run"):
            for number in range(30):
                for each in range(3000): sys.stdout.write("line\\n")
                sys.stdout.flush()
                for half in ("é\\n".encode()[:1], "é\\n".encode()[1:]):
                    sys.stdout.buffer.write(half)
                    sys.stdout.buffer.flush()
                    print("error", file=sys.stderr)
        """
    command = [sys.executable, "-c", START + textwrap.dedent(program)]
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        subprocess.run(command, cwd=tmp_path, stdout=out, stderr=err, check=True, env=environment)

    lines = [line for line in log_of(tmp_path / "runs" / "run").splitlines() if line != "error"]
    assert lines == (tmp_path / "out").read_text().splitlines() == (["line"] * 3000 + ["é"]) * 30


def test_streams_stand_in_turns_again_when_the_program_has_calmed_down(tmp_path: Path) -> None:
    """Where they were printed on in turns faster than the order is kept."""
    _, log = run_buffered(
        tmp_path,
        """
        with skald.Logger("run"):
            for number in range(20000): print("fast", number, file=(sys.stdout, sys.stderr)[number % 2])
            time.sleep(0.3)
            for number in range(600): print("line", number, file=(sys.stdout, sys.stderr)[number % 2])
        """,
    )

    assert [line for line in log.splitlines() if line[0] == "l"] == [f"line {number}" for number in range(600)]


@posix
@both
def test_ctrl_c_ends_a_program_whose_output_nobody_reads(tmp_path: Path, capture: str) -> None:
    """No thread waits for the reader with a lock that the program needs; without a log one to three are needed too."""
    program = f"""
        with skald.Logger("run", capture={capture}):
            for number in range(10**7): print("line", number, "x" * 100)
        """
    reader, writer = os.pipe()
    command = [sys.executable, "-c", START + textwrap.dedent(program)]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=writer, stderr=subprocess.DEVNULL, env={**os.environ, **BUFFERED}
    )
    os.close(writer)
    while log_of_size(tmp_path) < 1000:
        time.sleep(0.05)
    time.sleep(1)

    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.5)
            break
    process.kill()
    process.wait()
    os.close(reader)

    assert process.returncode == -signal.SIGINT
    assert skald.Run(tmp_path / "runs" / "run").status == "stopped"


def log_of_size(folder: Path) -> int:
    """Return how much is in the log, if it is there."""
    path = folder / "runs" / "run" / "console.log"
    return path.stat().st_size if path.exists() else 0


@posix
def test_forked_children_print_while_threads_of_the_parent_do(tmp_path: Path) -> None:
    """None of them finds the lock of the stream's buffer held by a thread that it has not."""
    shown, log = run_buffered(
        tmp_path,
        """
        import signal
        def talk(name):
            for number in range(10**6):
                if ended: break
                print(f"{name} {number}")
                time.sleep(0.0003)
        ended = []
        with skald.Logger("run"):
            threads = [threading.Thread(target=talk, args=[name]) for name in "abc"]
            for thread in threads: thread.start()
            for number in range(150):
                sys.stdout.flush()
                child = os.fork()
                if not child:
                    signal.alarm(5)
                    print("child", number)
                    sys.stdout.flush()
                    os._exit(0)
                if os.waitpid(child, 0)[1]: ended.append(number); break
            is_whole = not ended
            ended.append(True)
            for thread in threads: thread.join()
        assert is_whole, ended
        """,
    )

    for text in (shown, log):
        assert sorted(re.findall(r"child \d+", text)) == sorted(f"child {number}" for number in range(150))


@posix
def test_fork_that_is_interrupted_before_it_gives_the_lock_back(tmp_path: Path) -> None:
    """Python ignores what a signal handler raises there; the threads take turns as before, too."""
    run_buffered(
        tmp_path,
        """
        from skald.record import tees
        def interrupted(): raise KeyboardInterrupt
        before, slow_down = sys.getswitchinterval(), tees._slow_down
        with skald.Logger("run"):
            tees._slow_down = interrupted
            child = os.fork()
            if not child: os._exit(0)
            os.waitpid(child, 0)
            tees._slow_down = slow_down
            thread = threading.Thread(target=print, args=["line"])
            thread.start()
            thread.join(5)
            assert not thread.is_alive() and sys.getswitchinterval() == before
            os._exit(0)
        """,
    )
