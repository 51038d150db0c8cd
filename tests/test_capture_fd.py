"""`capture="fd"`: what C code and child processes print is in console.log too, and the terminal stays as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
from pathlib import Path

import pytest

import skald
from skald.record import relay

START = """
import ctypes, os, psutil, signal, subprocess, sys, threading, time
import loguru, skald
from skald.record import descriptors
descriptors.LINE_SECS = 5.0  # a busy machine takes its time
loguru.logger.remove()
libc = ctypes.CDLL(None)
def sh(command):
    subprocess.run(["sh", "-c", command], check=True)
"""


def command_of(program: str) -> list[str]:
    """Return how a program is run."""
    return [sys.executable, "-c", START + textwrap.dedent(program)]


def run_program(folder: Path, program: str, *, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program that opens `skald.Logger("run", capture="fd")`, its output in pipes."""
    environment = {**os.environ, **variables}
    result = subprocess.run(
        command_of(program), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == code, result.stderr
    return result


def run_in_terminal(folder: Path, program: str) -> str:
    """Run a program in a terminal of 33 columns, and return what that shows."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 33, 0, 0))
    process = subprocess.Popen(command_of(program), cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while data := _read(ours):
        shown += data
    os.close(ours)
    assert process.wait(60) == 0, shown
    return shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the last writer is gone
        return b""


def lines_of(folder: Path) -> list[str]:
    """Return the lines of console.log, without the times of messages and the last word of the run."""
    text = (folder / "runs" / "run" / "console.log").read_text(encoding="utf-8")
    lines = [re.sub(r"^[\d-]+ [\d:.]+ \| ", "", line) for line in text.splitlines()]
    return [line for line in lines if not line.startswith("SUCCESS | skald: run")]


def test_output_of_c_code_and_children_is_in_the_log_in_its_order(tmp_path: Path) -> None:
    """Beside what Python prints and Skald's messages, each once; and all of it where it went before."""
    result = run_program(
        tmp_path,
        """
        loguru.logger.add(sys.stderr, format="{message}", level="INFO", filter=lambda r: r["level"].name == "INFO")
        with skald.Logger("run", capture="fd", ids={"epoch": 1}) as logger:
            print("python 1")
            sh("echo child; echo child error >&2")
            print("python 2")
            libc.puts(b"from C")
            libc.fflush(None)
            print("python 3")
            os.write(1, b"raw\\n")
            logger.info("message")
            os.write(2, b"raw error\\n")
            sys.stdout.buffer.write(b"bytes\\n")
        sh("echo outside")
        print("outside")
        """,
    )

    expected = ["python 1", "child", "child error", "python 2", "from C", "python 3", "raw", "raw error", "bytes"]
    lines = lines_of(tmp_path)
    assert lines.pop(7) == "INFO | epoch=1 | message"
    assert sorted(lines[1:3]) == ["child", "child error"]
    assert [lines[0], *sorted(lines[1:3]), *lines[3:]] == expected
    shown = [line for line in expected if "error" not in line]
    assert sorted(result.stdout.splitlines()) == sorted([*shown, "outside", "outside"])
    assert result.stderr.splitlines() == ["child error", "message", "raw error"]
    assert "\x1b" not in result.stdout + result.stderr


def test_line_that_several_have_begun_is_one_in_the_log(tmp_path: Path) -> None:
    """As the terminal shows it; where stdout and stderr show in different places each has its own."""
    program = """
        with skald.Logger("run", capture="fd"):
            print("A", end="", flush=True)
            os.write(1, b"B")
            print("C")
            sh("printf 'Compiling... '")
            print("done")
            os.write(2, b"half an error")
            print("Loading... ", end="", flush=True)
            sh("echo loaded; printf 'next\\\\n begun '")
            print("ended\\nwhole")
            os.write(2, b", ended\\n")
    """

    result = run_program(tmp_path, program, PYTHONUNBUFFERED="1")
    (tmp_path / "terminal").mkdir()
    shown = run_in_terminal(tmp_path / "terminal", program)

    whole = ["ABC", "Compiling... done", "Loading... loaded", "next", " begun ended", "whole"]
    assert result.stdout.splitlines() == whole
    assert sorted(lines_of(tmp_path)) == sorted([*whole, "half an error, ended"])
    assert lines_of(tmp_path / "terminal") == shown.splitlines()


def test_capture_without_descriptors_leaves_children_alone(tmp_path: Path) -> None:
    """`capture=True` is about Python's streams."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run"):
            sh("echo child")
            print("python")
        """,
    )

    assert lines_of(tmp_path) == ["python"]
    assert sorted(result.stdout.split()) == ["child", "python"]


def test_terminal_is_one_for_the_program_and_its_children(tmp_path: Path) -> None:
    """`isatty`, its size, and line ends are as before; without a terminal there is none inside either."""
    program = """
        def look():
            print(sys.stdout.isatty(), os.isatty(2), os.get_terminal_size().columns if os.isatty(1) else 0, flush=True)
            sh("test -t 1 && echo tty || echo none")
        look()
        with skald.Logger("run", capture="fd"):
            look()
        look()
        """

    (tmp_path / "a").mkdir()
    shown = run_in_terminal(tmp_path / "a", program)
    piped = run_program(tmp_path, program)

    assert shown == "True True 33\r\ntty\r\n" * 3
    assert piped.stdout == "False False 0\nnone\n" * 3
    assert lines_of(tmp_path / "a") == ["True True 33", "tty"]
    assert lines_of(tmp_path) == ["False False 0", "none"]


def test_descriptors_and_streams_are_left_as_they_were_found(tmp_path: Path) -> None:
    """The same files behind 1 and 2, no descriptor, thread or process more, and streams with methods of their own."""
    result = run_program(
        tmp_path,
        """
        def look():
            files = [os.fstat(number)[:3] for number in (0, 1, 2)]
            return files, sorted(os.listdir("/proc/self/fd")), threading.active_count()
        before = look()
        for number in range(3):
            with skald.Logger(f"run{number}", capture="fd"):
                sh("echo child")
        assert look() == before, (look(), before)
        assert not {"write", "flush"} & vars(sys.stdout).keys()
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("no child")
        """,
    )

    assert result.stdout.splitlines() == ["child"] * 3 + ["no child"]


def test_child_that_outlives_the_run_does_not_hang_it(tmp_path: Path) -> None:
    """The block ends at once; what the child prints then still reaches where it went, and no log."""
    result = run_program(
        tmp_path,
        """
        read, write = os.pipe()
        with skald.Logger("run", capture="fd"):
            child = subprocess.Popen(["sh", "-c", f"echo first; read line <&{read}; echo late"], pass_fds=[read])
            print("block")
        print("ended", child.poll(), flush=True)
        os.write(write, b"go\\n")
        """,
    )

    assert sorted(lines_of(tmp_path)) == ["block", "first"]
    assert result.stdout.splitlines()[-2:] == ["ended None", "late"]


def test_killed_process_loses_nothing_in_the_terminal(tmp_path: Path) -> None:
    """The relay passes on what was written; what Python printed is in the log, as it is without descriptors."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            for number in range(100):
                print("python", number, flush=True)
                os.write(1, b"raw\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )

    assert [line for line in lines_of(tmp_path) if line != "raw"] == [f"python {number}" for number in range(100)]
    assert result.stdout.splitlines() == [line for n in range(100) for line in (f"python {n}", "raw")]


def test_c_code_that_holds_the_lock_of_python_is_not_held_up(tmp_path: Path) -> None:
    """More than a pipe takes is written with no other thread able to run, and all of it is in the log."""
    run_program(
        tmp_path,
        """
        holding = ctypes.PyDLL(None)
        with skald.Logger("run", capture="fd"):
            for _ in range(3000):
                holding.write(1, b"x" * 99 + b"\\n", 100)
        """,
    )

    assert lines_of(tmp_path) == ["x" * 99] * 3000


def test_forked_child_is_in_the_log(tmp_path: Path) -> None:
    """What it prints and what its own children print, once; its end leaves the parent's capture alone."""
    result = run_program(
        tmp_path,
        """
        logger = skald.Logger("run", capture="fd")
        with logger:
            print("half", end="")
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                print("child")
                sh("echo grandchild")
                logger.close()
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(pid, 0)
            print(" and half")
            os.write(1, b"parent\\n")
        """,
    )

    assert sorted(lines_of(tmp_path)) == ["child", "grandchild", "half and half", "parent"]
    assert result.stdout.count("child") == 2


@pytest.mark.parametrize("opened", [0, 40])
@pytest.mark.parametrize("capture", ["True", "'fd'"])
def test_forked_child_that_closes_all_descriptors_writes_into_no_file_of_its_own(
    tmp_path: Path, capture: str, opened: int
) -> None:
    """As one that becomes a daemon does; what it prints and logs is in the log, and it waits for nothing."""
    result = run_program(
        tmp_path,
        f"""
        descriptors.START_SECS = descriptors.LINE_SECS = 1000  # it would wait so long
        with skald.Logger("run", capture={capture}) as logger:
            print("parent", flush=True)
            if os.fork() == 0:
                os.closerange(3, 100)
                files = [open(str(number), "w+b", buffering=0) for number in range({opened})]
                print("child", flush=True)
                logger.info("message")
                os._exit(any(os.fstat(file.fileno()).st_size for file in files))
            assert os.wait()[1] == 0
        """,
    )

    assert result.stdout == "parent\nchild\n"
    assert result.stderr == ""
    assert lines_of(tmp_path) == ["parent", "child", "INFO | message"]


def test_forked_child_has_the_descriptors_of_a_run_of_its_own(tmp_path: Path) -> None:
    """Both logs have what it and its own children print, once, also where the child forks again."""
    result = run_program(
        tmp_path,
        """
        def log(name, inside):
            pid = os.fork()
            if pid == 0:
                print("before", name)
                with skald.Logger(name, capture="fd") as logger:
                    os.system(f"echo child of {name}; echo error of {name} >&2")
                    print("python", name, flush=True)
                    logger.info("message")
                    inside()
                os.system(f"echo after {name}")
                print("after python", name)
                sys.stdout.flush()
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        with skald.Logger("run", capture="fd"):
            log("b", lambda: log("c", lambda: None))
            print("parent")
        """,
    )

    def printed(name: str) -> list[str]:
        return [f"child of {name}", f"error of {name}", f"python {name}"]

    def around(name: str) -> list[str]:
        return [f"before {name}", f"after {name}", f"after python {name}"]

    all_of_c = printed("c") + around("c")
    logs = {name: skald.Run(tmp_path / "runs" / name).console for name in "bc"}
    kept = {name: [line for line in log.splitlines() if " | " not in line] for name, log in logs.items()}
    assert sorted(lines_of(tmp_path)) == sorted([*printed("b"), *around("b"), *all_of_c, "parent"])
    assert sorted(kept["b"]) == sorted(printed("b") + all_of_c)
    assert sorted(kept["c"]) == sorted(printed("c"))
    assert logs["b"].count("message") == logs["c"].count("message") == 1
    assert sorted(result.stdout.splitlines() + result.stderr.splitlines()) == sorted(lines_of(tmp_path))


def test_nested_runs_share_the_descriptors(tmp_path: Path) -> None:
    """Each has what was printed inside its block, in whichever order they end."""
    run_program(
        tmp_path,
        """
        outer, inner = (skald.Logger(name, capture="fd") for name in ("run", "inner"))
        with outer:
            sh("echo 1")
            inner.__enter__()
            sh("echo 2")
            outer.close()
            sh("echo 3")
        inner.close()
        sh("echo 4")
        """,
    )

    assert lines_of(tmp_path) == ["1", "2"]
    assert skald.Run(tmp_path / "runs" / "inner").console.splitlines()[:2] == ["2", "3"]


def test_descriptors_are_put_back_by_the_last_of_runs_that_end_together(tmp_path: Path) -> None:
    """Each in a thread of its own; one that begins meanwhile waits until they are back, and leads them away anew."""
    result = run_program(
        tmp_path,
        """
        from skald.record import tees
        between_lines = tees._between_lines
        def later(transcript, action):
            time.sleep(0.02)
            between_lines(transcript, action)
        tees._between_lines = later
        def work(number):
            for count in range(3):
                with skald.Logger(f"run{number}-{count}", capture="fd"):
                    sh(f"echo {number}-{count}.")
                    gate.wait()
        gate = threading.Barrier(3)
        found = [os.readlink(f"/proc/self/fd/{number}") for number in (1, 2)]
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [os.readlink(f"/proc/self/fd/{number}") for number in (1, 2)]
        assert threading.active_count() == 1
        """,
    )

    names = sorted(f"{number}-{count}" for number in range(3) for count in range(3))
    assert sorted(result.stdout.split()) == [f"{name}." for name in names]
    for name in names:
        assert f"{name}." in (tmp_path / "runs" / f"run{name}" / "console.log").read_text(encoding="utf-8")


def test_relay_that_is_killed_takes_nothing_down(tmp_path: Path) -> None:
    """What is printed goes where it went before, from then on with no copy of what children print."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd") as logger:
            print("before", flush=True)
            sh("echo child")
            logger.info("message")
            (relay,) = psutil.Process().children()
            relay.kill()
            print("after", flush=True)
            sh("echo child after; seq 100000")
        print("outside")
        """,
    )

    assert lines_of(tmp_path)[:2] == ["before", "child"]
    assert lines_of(tmp_path)[2:] == ["INFO | message", "after"]
    numbers = map(str, range(1, 100_001))
    assert result.stdout.splitlines() == ["before", "child", "after", "child after", *numbers, "outside"]


def test_relay_that_takes_long_to_begin_misses_nothing(tmp_path: Path) -> None:
    """Lines keep their order, and signals for the whole group do not end it."""
    slow = tmp_path / "slow.py"
    slow.write_text(f"import time\ntime.sleep(0.3)\nexec(open({relay.__file__!r}).read())")
    result = run_program(
        tmp_path,
        f"""
        from skald.record import relay
        relay.__file__ = {str(slow)!r}
        with skald.Logger("run", capture="fd"):
            print("began", flush=True)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                psutil.Process().children()[-1].send_signal(number)
            os.write(1, b"raw\\n")
            print("python")
        """,
    )

    assert result.stdout.splitlines() == ["began", "raw", "python"]
    assert lines_of(tmp_path) == ["began", "raw", "python"]


def test_reader_that_goes_away_is_told_as_ever(tmp_path: Path) -> None:
    """`python train.py | head`: the program gets BrokenPipeError where it did before, and does not hang."""
    program = """
        try:
            with skald.Logger("run", capture="fd"):
                while True:
                    print("x" * 1000, flush=True)
        except BrokenPipeError:
            os._exit(7)
        """
    process = subprocess.Popen(command_of(program), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()

    assert process.wait(60) == 7


@pytest.mark.parametrize("where", ["pipe", "terminal"])
def test_child_is_told_when_nobody_reads_any_more(where: str, tmp_path: Path) -> None:
    """One that prints more than a pipe holds gets an error, as without Skald, and the run is closed."""
    program = """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        many = "for number in range(100_000): print('a line of a child', number)"
        with skald.Logger("run", capture="fd") as logger:
            child = subprocess.run([sys.executable, "-c", many], stderr=subprocess.DEVNULL)
            logger.log_metric("code", child.returncode)
        os._exit(0)
        """
    ours, theirs = pty.openpty() if where == "terminal" else os.pipe()
    process = subprocess.Popen(command_of(program), cwd=tmp_path, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.read(ours, 100)
    os.close(ours)

    assert process.wait(60) == 0
    run = skald.Run(tmp_path / "runs" / "run")
    assert run.status == "finished"
    assert run.metrics.collect()["value"].to_list() != [0]


def test_descriptors_may_be_many(tmp_path: Path) -> None:
    """A program that has more than 1,023 files open, which `select` does not take, is captured."""
    run_program(
        tmp_path,
        """
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1200)]
        with skald.Logger("run", capture="fd"):
            sh("echo child")
            print("python")
        """,
    )

    assert lines_of(tmp_path) == ["child", "python"]


def test_closed_descriptor_is_left_out(tmp_path: Path) -> None:
    """A daemon without stdout still has its stderr captured."""
    program = """
        with skald.Logger("run", capture="fd"):
            sh("echo error >&2")
        """
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *command_of(program)]

    result = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert (result.returncode, result.stderr) == (0, "error\n")
    assert lines_of(tmp_path) == ["error"]


def test_progress_of_a_child_leaves_its_final_state(tmp_path: Path) -> None:
    """A bar that a child draws is one line, and Python's lines stand beside it."""
    run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            sh(r"for i in 1 2 3 4; do printf '\\r%s0%%' $i; done; echo")
            print("python")
        """,
    )

    assert sorted(lines_of(tmp_path)) == ["40%", "python"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_relay_passes_everything_on_in_any_pieces(size: int) -> None:
    """Marks may be cut anywhere; what is not one of them, other codes too, stays as it is."""
    text = b"a\x1b[31m" + relay.OWN + b"own\x1b_other\x1b\\" + relay.OTHER + b"b\x1b" + relay.END + b"after\x1b"
    (source, feed), (shown, target), (back, copies) = os.pipe(), os.pipe(), os.pipe()
    state = bytearray(relay.STATE_BYTES)
    thread = threading.Thread(
        target=relay.relay,
        args=(relay.Copies(copies, state, ""), [relay.Channel(0, source, target)], state),
    )
    thread.start()
    for start in range(0, len(text), size):
        os.write(feed, text[start : start + size])
        while any(fcntl.ioctl(source, termios.FIONREAD, bytes(4))):  # each piece is read by itself
            time.sleep(0)
    os.close(feed)
    thread.join(30)
    os.close(target)

    copied, frames = os.read(back, 1 << 16), b""
    while copied:
        _, length = relay.HEADER.unpack_from(copied)
        frames += copied[relay.HEADER.size : relay.HEADER.size + length]
        copied = copied[relay.HEADER.size + length :]
    assert os.read(shown, 1 << 16) == b"a\x1b[31mown\x1b_other\x1b\\b\x1bafter\x1b"
    assert frames == b"a\x1b[31mb\x1b"
    for descriptor in (shown, back):
        os.close(descriptor)


def test_descriptor_that_the_program_leads_elsewhere_stays_there(tmp_path: Path) -> None:
    """What is printed from then on is in the program's own file, as it was written, also after the block."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            print("before", flush=True)
            own = os.open("own.txt", os.O_CREAT | os.O_WRONLY)
            os.dup2(own, 1)
            print("python", flush=True)
            sh("echo child")
            sh("echo error >&2")
        print("after", flush=True)
        sh("echo child after; echo error after >&2")
        """,
    )

    assert result.stdout == "before\n"
    assert (tmp_path / "own.txt").read_text(encoding="utf-8") == "python\nchild\nafter\nchild after\n"
    assert result.stderr == "error\nerror after\n"
    assert lines_of(tmp_path) == ["before", "python", "error"]


def test_descriptor_that_is_led_elsewhere_for_a_while_is_in_the_log_again(tmp_path: Path) -> None:
    """As pytest and libraries that silence C code do."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            sh("echo silenced")
            os.dup2(kept, 1)
            os.close(kept)
            sh("echo heard")
        sh("echo outside")
        """,
    )

    assert result.stdout == "heard\noutside\n"
    assert lines_of(tmp_path) == ["heard"]


def test_lines_of_c_code_and_python_keep_their_order_in_a_terminal(tmp_path: Path) -> None:
    """A prompt of readline's, an echo, a print after it: on the screen and in the log as they were written."""
    program = """
    with skald.Logger("run", capture="fd") as logger:
        for number in range(500):
            libc.write(1, f"c{number}\\n".encode(), len(f"c{number}\\n"))
            print(f"p{number}")
    """

    shown = run_in_terminal(tmp_path, program)

    expected = [f"{who}{number}" for number in range(500) for who in "cp"]
    assert shown.split() == expected
    assert lines_of(tmp_path) == expected


def test_bars_of_track_are_in_the_log_at_their_end_alone(tmp_path: Path) -> None:
    """On a terminal they are drawn for the eye, below what is printed and logged meanwhile."""
    program = """
    with skald.Logger("run", capture="fd") as logger:
        for epoch in logger.track(range(2), "epoch"):
            for step in logger.track(range(3), "step"):
                time.sleep(0.15)
            print("printed", epoch)
            logger.info("message {}", epoch)
            sh("echo child")
    """

    shown = run_in_terminal(tmp_path, program)

    *lines, bar = lines_of(tmp_path)
    assert lines == [
        *("printed 0", "INFO | epoch=0 | message 0", "child"),
        *("printed 1", "INFO | epoch=1 | message 1", "child"),
    ]
    assert re.fullmatch(r"epoch .* 2/2 .*", bar)
    assert "1/3" in shown


def test_program_sees_a_new_size_of_its_terminal(tmp_path: Path) -> None:
    """Also one that prints nothing by a descriptor; the terminal that it sees is not the one that changed."""
    program = """
    os.open(os.ttyname(0), os.O_RDWR)  # it is the terminal of this session now
    with skald.Logger("run", capture="fd"):
        print("began with", os.get_terminal_size(1).columns, flush=True)
        deadline = time.monotonic() + 10
        while os.get_terminal_size(1).columns == 33 and time.monotonic() < deadline:
            time.sleep(0.01)
        print("is now", os.get_terminal_size(1).columns)
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 11, 33, 0, 0))
    process = subprocess.Popen(
        command_of(program), cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    while b"\n" not in shown:
        shown += _read(ours)

    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 133, 0, 0))

    while data := _read(ours):
        shown += data
    os.close(ours)
    assert process.wait(60) == 0, shown
    assert lines_of(tmp_path) == ["began with 33", "is now 133"]


def test_thread_that_prints_on_keeps_its_order_as_the_block_ends(tmp_path: Path) -> None:
    """Nothing overtakes, is torn or doubled where the descriptors are led away and back."""
    program = """
    def work():
        for number in range(10**9):
            if ended.is_set():
                break
            print("line", number, "of the thread", flush=True)
    ended = threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    for _ in range(3):
        with skald.Logger("run", capture="fd", mode="overwrite"):
            time.sleep(0.05)
    ended.set()
    thread.join()
    """

    shown = run_program(tmp_path, program).stdout.splitlines()

    assert shown == [f"line {number} of the thread" for number in range(len(shown))]
    log = lines_of(tmp_path)[1:-1]  # the first and the last may be halves
    first = int(log[0].split()[1])
    assert log == [f"line {number} of the thread" for number in range(first, first + len(log))]


def test_lines_of_a_child_stand_above_what_is_printed_after_it(tmp_path: Path) -> None:
    """However much it has printed: what Python prints goes past the relay only when that has nothing to pass on."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            for _ in range(5):
                sh("seq 1 20000")
                print("done", flush=True)
        """,
    )

    child = [str(number) for number in range(1, 20_001)]
    assert result.stdout.splitlines() == [*child, "done"] * 5
    assert sorted(lines_of(tmp_path)) == sorted([*child, "done"] * 5)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_stream_over_a_file_may_be_reconfigured_inside(tmp_path: Path, unbuffered: str) -> None:
    """Jobs write into files, and choose the encoding of what they print; the stream does as it is told."""
    program = """
    with skald.Logger("run", capture="fd"):
        print("before")
        sys.stdout.reconfigure(encoding="latin-1", line_buffering=True)
        print("d\\xe4nach")
        sh("echo child")
    print("after", sys.stdout.encoding, sys.stdout.line_buffering)
    """
    with (tmp_path / "output").open("wb") as output:
        subprocess.run(
            command_of(program),
            cwd=tmp_path,
            stdout=output,
            check=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )

    lines = (tmp_path / "output").read_bytes().decode("latin-1").splitlines()
    assert lines == ["before", "d\xe4nach", "child", "after latin-1 True"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_bytes_that_the_program_changes_are_shown_and_logged_changed(tmp_path: Path, unbuffered: str) -> None:
    """They are not written past what changes them."""
    program = """
    write = sys.stdout.buffer.write
    sys.stdout.buffer.write = lambda data: write(bytes(data).replace(b"secret", b"***"))
    with skald.Logger("run", capture="fd"):
        print("a secret", flush=True)
        sys.stdout.buffer.write(b"the secret\\n")
        sys.stdout.flush()
        time.sleep(0.1)
    """
    result = run_program(tmp_path, program, PYTHONUNBUFFERED=unbuffered)

    assert result.stdout == "a ***\nthe ***\n"
    assert lines_of(tmp_path) == ["a ***", "the ***"]


def test_proxy_that_shares_the_place_of_what_it_changes_is_left_to_it(tmp_path: Path) -> None:
    """As those of wrapt: a method put there would be called by itself without end."""
    program = """
    class Proxy:
        __slots__ = ("_inner",)
        def __init__(self, inner):
            object.__setattr__(self, "_inner", inner)
        __dict__ = property(lambda self: self._inner.__dict__)
        def __getattr__(self, name):
            return getattr(self._inner, name)
        def write(self, text):
            return self._inner.write(text.replace("secret", "***"))
    sys.stdout = Proxy(sys.stdout)
    for capture in (True, "fd"):
        with skald.Logger("run", capture=capture, mode="overwrite"):
            print("a secret")
    """
    assert run_program(tmp_path, program).stdout == "a ***\na ***\n"
    assert lines_of(tmp_path) == ["a ***"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_stream_may_be_wrapped_inside_where_output_goes_to_a_file(tmp_path: Path, unbuffered: str) -> None:
    """A file has places, which a pipe has not: what is made over the buffer asks for them."""
    program = """
    import io
    assert sys.stdout.buffer.seekable()
    with skald.Logger("run", capture="fd"):
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "utf-8", line_buffering=True)
        print("wrapped")
    assert sys.__stdout__.buffer.seekable()
    """
    with (tmp_path / "output").open("w") as output:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        result = subprocess.run(
            command_of(program), cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.PIPE, check=False
        )

    assert result.returncode == 0, result.stderr
    assert (tmp_path / "output").read_text() == "wrapped\n"
    assert lines_of(tmp_path) == ["wrapped"]


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), 9)", "os.abort()", "os._exit(1)"])
def test_what_c_code_says_at_last_is_in_the_log_of_a_process_that_dies(tmp_path: Path, death: str) -> None:
    """Why it dies, mostly; each line once, and none of Python's twice."""
    program = f"""
    with skald.Logger("run", capture="fd"):
        print("training", flush=True)
        sh("echo child")
        libc.puts(b"\\x1b[31mfatal")
        libc.fflush(None)
        os.write(2, b"raw\\n")
        {death}
    """
    result = subprocess.run(command_of(program), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert result.stdout == "training\nchild\n\x1b[31mfatal\n"
    assert sorted(lines_of(tmp_path)) == ["child", "fatal", "raw", "training"]
    assert sorted(skald.Run(tmp_path / "runs" / "run").console.splitlines()) == ["child", "fatal", "raw", "training"]


@pytest.mark.parametrize("death", ["", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_program_that_prints_fast_keeps_its_order(tmp_path: Path, death: str) -> None:
    """Whatever way a text goes, by its size and by what else is under way; also where the process is killed then."""
    result = run_program(
        tmp_path,
        f"""
        with skald.Logger("run", capture="fd") as logger:
            for number in range(9000):
                print(number, flush=True)
                if number % 50 == 0:
                    os.write(1, f"c {{number}}\\n".encode())
                if number % 1000 == 0:
                    print("x" * 9000, flush=True)
                    logger.info("message {{}}", number)
            {death}
        """,
        code=-signal.SIGKILL if death else 0,
        PYTHONUNBUFFERED="1",
    )

    expected: list[str] = []
    for number in range(9000):
        expected += [str(number), *([f"c {number}"] * (number % 50 == 0)), *(["x" * 9000] * (number % 1000 == 0))]
    assert result.stdout.splitlines() == expected
    messages = [f"INFO | message {number}" for number in range(0, 9000, 1000)]
    logged = sorted(lines_of(tmp_path))
    assert logged == sorted(expected + messages) if not death else set(messages) <= set(logged)


def test_descriptor_that_does_not_wait_takes_all_that_is_printed(tmp_path: Path) -> None:
    """A child may have made it so, as programs of Node do; more than the pipe holds is printed before it is read."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            for _ in range(3000):
                print("before", flush=True)
            os.set_blocking(1, False)
            (relay,) = psutil.Process().children()
            relay.suspend()
            threading.Timer(0.2, relay.resume).start()
            for number in range(3000):
                print(number, "x" * 500, flush=True)
            print("y" * 100_000, flush=True)
            os.set_blocking(1, True)
        """,
    )

    numbers = [f"{number} {'x' * 500}" for number in range(3000)]
    assert result.stdout.splitlines() == ["before"] * 3000 + numbers + ["y" * 100_000]


def test_bar_of_c_code_that_stands_still_can_be_read(tmp_path: Path) -> None:
    """Its newest state is there soon, however fast it was drawn, and stays after a kill."""
    run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd") as logger:
            for number in range(20_000):
                os.write(1, f"\\rstep {number}".encode())
            while not skald.Run(logger.run.path).console.endswith("step 19999\\n"):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        code=-signal.SIGKILL,
    )

    assert skald.Run(tmp_path / "runs" / "run").console == "step 19999\n"


@pytest.mark.parametrize(("unbuffered", "flush"), [("", True), ("1", False)])
def test_half_lines_that_others_end_are_in_the_log_as_shown(tmp_path: Path, unbuffered: str, *, flush: bool) -> None:
    """Line by line: what Python begins stands below what others have ended before."""
    result = run_program(
        tmp_path,
        f"""
        with skald.Logger("run", capture="fd"):
            for number in range(200):
                print("part", number, end=" ... ", flush={flush})
                os.write(1, b"ended\\n")
        """,
        PYTHONUNBUFFERED=unbuffered,
    )

    assert lines_of(tmp_path) == result.stdout.splitlines() == [f"part {number} ... ended" for number in range(200)]


def test_line_of_c_code_stands_below_what_was_printed_fast_before_it(tmp_path: Path) -> None:
    """Though what is printed fast waits for a thread, and what C code prints does not."""
    run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            log = "runs/run/console.log"
            for number in range(5000):
                print(number, flush=True)
            libc.write(1, b"c\\n", 2)
            while "c\\n" not in open(log).read():
                time.sleep(0.001)
            print("after")
        """,
    )

    assert lines_of(tmp_path) == [*map(str, range(5000)), "c", "after"]


def test_forked_child_prints_below_what_c_code_has_printed_before(tmp_path: Path) -> None:
    """It waits for the relay as its parent does."""
    result = run_program(
        tmp_path,
        """
        with skald.Logger("run", capture="fd"):
            time.sleep(0.2)
            for number in range(20):
                os.write(1, f"c {number}\\n".encode())
                if os.fork() == 0:
                    print("child", number, flush=True)
                    os._exit(0)
                os.wait()
        """,
    )

    expected = [line for number in range(20) for line in (f"c {number}", f"child {number}")]
    assert result.stdout.splitlines() == expected
    assert lines_of(tmp_path) == expected


@pytest.mark.parametrize("when", ["before", "inside"])
def test_stream_of_the_program_that_refuses_to_flush_is_passed_over(tmp_path: Path, when: str) -> None:
    """As that of a console in a window that is gone: the block begins and ends, and all is as it was found."""
    result = run_program(
        tmp_path,
        f"""
        class Window:
            is_gone = {when == "before"}
            def write(self, text):
                return sys.__stdout__.write(text)
            def flush(self):
                if self.is_gone:
                    raise RuntimeError("the window is gone")
            fileno = flush
        place = os.fstat(1)[:2]
        sys.stdout = Window()
        with skald.Logger("run", capture="fd"):
            print("printed")
            Window.is_gone = True
        assert os.fstat(1)[:2] == place
        Window.is_gone = False
        """,
    )

    assert result.stdout == "printed\n"
    assert skald.Run(tmp_path / "runs" / "run").status == "finished"
    assert "printed\n" in skald.Run(tmp_path / "runs" / "run").console
