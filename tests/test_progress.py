"""Loops that are followed: bars on real terminals, lines elsewhere, cells of a real notebook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from logged import ids, program

import skald
from skald.engine.newest import newest_values

pty = pytest.importorskip("pty", reason="there are pseudo-terminals on POSIX only")

START = """
import sys, loguru, skald
loguru.logger.disable("skald")  # the last word of a run
logger = skald.Logger('run', sys.argv[1])
"""
SIZE = """
import fcntl, struct, termios
fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
"""
"""Libraries show no bars on a terminal of no columns."""


def shown_on_terminal(source: str, folder: Path, *, stdout_too: bool = True, **variables: str) -> str:
    """Run a program whose stderr, and stdout, is a terminal; return all that it wrote there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    command = [sys.executable, "-c", START + source, str(folder)]
    out = theirs if stdout_too else subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 65_536):
            shown += piece
    except OSError:  # Linux says the end so
        pass
    finally:
        os.close(ours)
    assert process.wait(60) == 0, shown.decode()
    return shown.decode()


def screen(shown: str) -> list[str]:
    """Return the lines that a terminal shows in the end."""
    lines, row, column = [""], 0, 0
    for code, text in re.findall(r"(\x1b\[[\d;]*[A-Za-z]|\r|\n)|([^\x1b\r\n]+)", shown):
        if code == "\r":
            column = 0
        elif code == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif code == "\x1b[2K":
            lines[row] = ""
        elif code == "\x1b[1A":
            row -= 1
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
        else:
            assert code.endswith("m"), repr(code)
    return [line.rstrip() for line in lines if line.strip()]


def images(shown: str) -> list[str]:
    """Return what was drawn, one after the other, without colours."""
    return re.split(r"\r(?:\x1b\[2K|\x1b\[1A)*", re.sub(r"\x1b\[[\d;]*m", "", shown))


# --- on a terminal ---


def test_track_shows_a_bar_with_the_newest_values(tmp_path: Path) -> None:
    """The last state stays, with the last values of the last few metrics."""
    source = """
for epoch in logger.track(range(10), "epoch"):
    logger.log_metric("loss", 1 / (epoch + 1))
    logger.log_metrics({"accuracy": epoch / 10, "f1": 0.25}, split="val")
"""
    shown = shown_on_terminal(source, tmp_path)

    (line,) = screen(shown)
    assert line.startswith("epoch ━━━━")
    assert "10/10" in line
    assert line.endswith("loss=0.1 accuracy=0.9 f1=0.25")


def test_track_draws_at_once_and_then_ten_times_a_second_at_most(tmp_path: Path) -> None:
    """A loop of slow items is seen from the beginning; one of quick items costs nothing."""
    shown = shown_on_terminal("for step in logger.track(range(20_000), 'step', description='training'): pass", tmp_path)

    drawn = images(shown)
    assert drawn[0].startswith("training ")
    assert "0/20,000" in drawn[0]
    assert len(drawn) < 100
    assert "20,000/20,000" in screen(shown)[0]


def test_track_begins_where_it_is_resumed(tmp_path: Path) -> None:
    """With a total larger than what is left, the bar begins at the difference."""
    shown = shown_on_terminal("for step in logger.track(range(7, 10), 'step', total=10): pass", tmp_path)

    assert " 7/10 " in images(shown)[0]
    assert " 10/10 " in screen(shown)[0]


def test_track_leaves_each_of_several_loops_however_short(tmp_path: Path) -> None:
    """Those that end before the next drawing, also by an exception, once on the screen and once in the log."""
    source = """
with logger:
    for name in ("quick1", "quick2", "quick3"):
        for i in logger.track(range(5), name): logger.log_metric("loss", i)
    try:
        for i in logger.track(range(5), "broken"): assert i < 3
    except AssertionError: pass
"""
    shown = [line for line in screen(shown_on_terminal(source, tmp_path)) if "SUCCESS" not in line]

    log = skald.Run(tmp_path / "run").console
    assert [line.split()[0] for line in shown] == ["quick1", "quick2", "quick3", "broken"]
    for number, name in enumerate(("quick1", "quick2", "quick3", "broken")):
        count = "3/5" if name == "broken" else "5/5"
        assert count in shown[number]
        assert re.findall(rf"{name} .*{count}", log) != []
        assert log.count(name) == 1


@pytest.mark.parametrize(
    "way",
    [
        "for step in logger.track(range(10), 'step'):\n    if step == 3: break",
        "try:\n    for step in logger.track(range(10), 'step'): assert step < 3\nexcept AssertionError: pass",
    ],
)
def test_track_leaves_how_far_it_came_when_it_is_left_early(way: str, tmp_path: Path) -> None:
    """By break and by an exception; the item that was not finished does not count."""
    (line,) = screen(shown_on_terminal(way, tmp_path))

    assert " 3/10 " in line


def test_track_goes_without_a_length(tmp_path: Path) -> None:
    """A generator has only a count."""
    (line,) = screen(shown_on_terminal("for step in logger.track(iter(range(7)), 'step'): pass", tmp_path))

    assert re.fullmatch(r"step\s+7 0:00:0\d", line)


def test_track_shows_nested_loops_below_each_other(tmp_path: Path) -> None:
    """Each has its bar, the values stand at the last, and in the end the outer one is left."""
    source = """
import time
for epoch in logger.track(range(2), "epoch"):
    for step in logger.track(range(3), "step"):
        logger.log_metric("loss", 0.5)
        time.sleep(0.11)
"""
    shown = shown_on_terminal(source, tmp_path)

    assert re.search(r"epoch\s.* 1/2 .*\r?\n.*step\s.* 2/3 .*loss=0.5", re.sub(r"\x1b\[[\d;]*m", "", shown))
    (line,) = screen(shown)
    assert "2/2" in line


def test_track_of_two_runs_shows_both(tmp_path: Path) -> None:
    """Loops of several loggers share the terminal."""
    source = """
import time
other = skald.Logger("other", sys.argv[1])
for epoch in logger.track(range(2), "outer"):
    for step in other.track(range(2), "inner"):
        other.log_metric("loss", 0.125)
        time.sleep(0.11)
"""
    shown = re.sub(r"\x1b\[[\d;]*m", "", shown_on_terminal(source, tmp_path))

    assert re.search(r"outer.*\r?\n.*inner.*loss=0.125", shown)


def test_track_of_several_threads_leaves_the_streams_as_it_found_them(tmp_path: Path) -> None:
    """Loops that begin and end at the same moment share one place, which the last one leaves."""
    source = """
import threading
sys.setswitchinterval(1e-6)
start = threading.Barrier(4)

def work():
    for _ in range(5):
        start.wait()
        for step in logger.track(range(20), "step"): pass

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not any("write" in vars(stream) for stream in (sys.stdout, sys.stderr))
print("done")
"""
    assert screen(shown_on_terminal(source, tmp_path))[-1] == "done"


def test_track_keeps_how_far_it_is_where_the_terminal_is_narrow(tmp_path: Path) -> None:
    """Descriptions and values are cut, the count is not."""
    source = """
for step in logger.track(range(3), "step", description="a loop with a long description"):
    logger.log_metric("a/metric/with/a/long/name", 0.5)
"""
    (line,) = screen(shown_on_terminal(source, tmp_path, COLUMNS="40"))

    assert re.search(r"a lo.*… ━+ 3/3 0:00:0\d a/me.*…", line)


def test_track_draws_what_the_terminal_can_show(tmp_path: Path) -> None:
    """Where its encoding has no lines the bar is of dashes."""
    shown = shown_on_terminal("for _ in logger.track(range(3), 'step'): pass", tmp_path, PYTHONIOENCODING="ascii")

    assert re.fullmatch(r"step -+ 3/3 0:00:0\d", screen(shown)[0])


def test_track_keeps_prints_and_messages_whole(tmp_path: Path) -> None:
    """What is printed, logged by loguru or by Skald stands above the bar, each line by itself and once."""
    source = """
import sys, time
import loguru
from loguru import logger as theirs
for step in logger.track(range(6), "step"):
    print("printed", step)
    theirs.warning("theirs {}", step)
    logger.info("ours {}", step)
    sys.stdout.write("half ")
    sys.stdout.write("line\\n")
    sys.stderr.write("in\\nthree\\nlines\\n")
    time.sleep(0.05)
"""
    lines = screen(shown_on_terminal(source, tmp_path))

    plain = [line for line in lines if " | " not in line]
    expected = [line for step in range(6) for line in (f"printed {step}", "half line", "in", "three", "lines")]
    assert plain[:-1] == expected
    assert "6/6" in plain[-1]
    assert [line.endswith(f"theirs {k}") for k, line in enumerate(line for line in lines if "theirs" in line)] == [
        True
    ] * 6
    assert sum("ours" in line for line in lines) == 6


def test_track_waits_for_the_end_of_a_line_that_is_being_printed(tmp_path: Path) -> None:
    """A prompt, or the bar of another library, is not drawn over."""
    source = """
import time
for step in logger.track(range(3), "step"):
    print("waiting", end="", flush=True)
    time.sleep(0.11)
print(" done")
"""
    lines = screen(shown_on_terminal(source, tmp_path))

    assert lines[0] == "waitingwaitingwaiting"
    assert lines[1].startswith("step ")
    assert lines[2] == " done"


def test_track_begins_below_a_line_that_has_no_end(tmp_path: Path) -> None:
    """What was printed before the loop stays, wherever the cursor is."""
    source = """
print("training: ", end="", flush=True)
for step in logger.track(range(3), "step"): pass
"""
    shown = shown_on_terminal(SIZE + source, tmp_path)

    assert shown.startswith("training: " + " " * 80 + "\r" + "step ")


def test_track_that_ends_before_it_is_drawn_leaves_its_state_below_a_line_that_has_no_end(tmp_path: Path) -> None:
    """As one that is drawn does."""
    source = """
for step in logger.track(range(3), "first"): pass
print("training: ", end="", flush=True)
for step in logger.track(range(3), "step"): pass
"""
    shown = shown_on_terminal(SIZE + source, tmp_path)

    assert "training: " + " " * 80 + "\r" + "step " in shown


def test_track_comes_back_when_the_bar_of_another_library_is_gone(tmp_path: Path) -> None:
    """As tqdm wipes out the bar of an inner loop; and while that is there nothing is drawn over it."""
    source = """
import os, time
from tqdm import tqdm
for epoch in logger.track(range(2), "epoch"):
    for step in tqdm(range(3), leave=False, mininterval=0):
        time.sleep(0.11)
    if epoch: os._exit(0)
"""
    shown = shown_on_terminal(SIZE + source, tmp_path)

    (line,) = screen(shown)
    assert shown.count("3/3") == 2
    assert line.startswith("epoch ")
    assert " 1/2 " in line


def test_track_leaves_the_streams_as_it_found_them(tmp_path: Path) -> None:
    """Whatever happens in the loop; and a stream that leads elsewhere is never touched."""
    source = """
streams = [sys.stdout, sys.stderr]
seen = []
for step in logger.track(range(3), "step"):
    seen.append(["write" in vars(stream) for stream in streams])
    if step: break
assert seen[0] == [sys.stdout.isatty(), True], seen
assert not any("write" in vars(stream) for stream in streams)
"""
    shown_on_terminal(source, tmp_path / "both")
    shown_on_terminal(source, tmp_path / "stderr", stdout_too=False)


def test_track_has_no_thread(tmp_path: Path) -> None:
    """Neither in the loop nor after it."""
    source = """
import threading
for step in logger.track(range(3), "step"):
    assert threading.active_count() == 1
assert threading.active_count() == 1
"""
    assert "3/3" in shown_on_terminal(source, tmp_path)


def test_track_goes_on_when_the_terminal_is_gone(tmp_path: Path) -> None:
    """A window that is closed ends no training."""
    source = (
        START
        + """
import signal, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
for step in logger.track(range(10), "step"):
    logger.log_metric("loss", 0.5)
    if step == 1:
        sys.stdin.readline()
    time.sleep(0.03)
"""
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", source, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        os.read(ours, 1)
        os.close(ours)
        process.communicate(b"\n", timeout=60)

    assert [row["step"] for row in ids(tmp_path / "run")] == list(range(10))


def test_track_of_a_forked_child_leaves_the_terminal_to_its_parent(tmp_path: Path) -> None:
    """Also of one that goes on with the loop it was forked in; and what it prints passes."""
    source = """
import os
for step in logger.track(range(4), "step"):
    if step == 1 and not (child := os.fork()):
        description = "child"
        print("from the child")
        for inner in logger.track(range(3), "inner"): pass
    elif step == 1:
        os.waitpid(child, 0)
"""
    shown = shown_on_terminal(source, tmp_path)

    assert "inner" not in shown
    assert shown.count("4/4") == 1
    assert shown.count("from the child") == 1


def test_track_of_a_worker_shows_nothing(tmp_path: Path) -> None:
    """A child of multiprocessing, spawned or forked, and a process that joins the run."""
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, sys
import loguru
import skald

loguru.logger.remove()  # the last word of a run

def work(name, mode):
    logger = skald.Logger(name, sys.argv[1], mode=mode)
    for step in logger.track(range(3), "step"): pass

if __name__ == "__main__":
    with skald.Logger("run", sys.argv[1]):
        skald.Logger("run", sys.argv[1], mode="join").track(range(3), "step")
        for method, mode in (("spawn", "join"), ("fork", "join")):
            for name in ("run", method):
                child = multiprocessing.get_context(method).Process(target=work, args=(name, mode))
                child.start()
                child.join()
                assert child.exitcode == 0
        joined = skald.Logger("run", sys.argv[1], mode="join")
        for step in joined.track(range(3), "step"): pass
        joined.close()
""",
        encoding="utf-8",
    )
    ours, theirs = pty.openpty()

    done = subprocess.run([sys.executable, script, tmp_path / "runs"], stderr=theirs, timeout=60, check=False)

    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 65_536)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0


def test_track_leaves_one_line_in_the_console_log(tmp_path: Path) -> None:
    """The last state of the outer loop, among what was printed and logged meanwhile."""
    source = """
import time
from loguru import logger as theirs
with logger:
    for epoch in logger.track(range(2), "epoch"):
        for step in logger.track(range(2), "step"):
            print("printed", epoch, step)
            time.sleep(0.06)
        theirs.warning("theirs")
"""
    shown = shown_on_terminal(source, tmp_path)

    log = skald.Run(tmp_path / "run").console.splitlines()
    lines = [line.rpartition(" - ")[2] for line in log if "SUCCESS" not in line]
    last = next(line for line in lines if "2/2" in line)
    assert lines == ["printed 0 0", "printed 0 1", "theirs", "printed 1 0", "printed 1 1", "theirs", last]
    assert sum("2/2" in line for line in screen(shown)) == 1


# --- elsewhere ---


def test_track_writes_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    """A log file gets the last state of the outer loop, and no bars; Rich is not even loaded."""
    source = (
        START
        + """
for epoch in logger.track(range(3), "epoch"):
    for step in logger.track(range(4), "step"):
        logger.log_metric("loss", 0.5)
print("rich" in sys.modules)
"""
    )
    done = program(source, tmp_path, folder=tmp_path)

    assert re.fullmatch(r"epoch 3/3 0:00:0\d  loss=0.5\n", done.stderr)
    assert done.stdout == "False\n"


def test_track_writes_a_line_every_half_minute(tmp_path: Path) -> None:
    """A loop of hours leaves a few lines: here every item takes half a minute."""
    source = (
        START
        + """
import skald.writing.board
skald.writing.board.Lines.period_secs = 0
for epoch in logger.track(range(2), "epoch"):
    for step in logger.track(range(2), "step", total=2, description="step of two"):
        pass
"""
    )
    done = program(source, tmp_path, folder=tmp_path)

    lines = [re.sub(r"0:00:0\d", "T", line) for line in done.stderr.splitlines()]
    assert lines == [
        "epoch 0/2 T",
        "epoch 0/2 T, step of two 0/2 T",
        "epoch 0/2 T, step of two 1/2 T < T",
        "epoch 1/2 T < T",
        "epoch 1/2 T < T, step of two 0/2 T",
        "epoch 1/2 T < T, step of two 1/2 T < T",
        "epoch 2/2 T",
    ]


def test_track_writes_lines_on_a_terminal_that_cannot_move_its_cursor(tmp_path: Path) -> None:
    """`TERM=dumb`, as in an editor."""
    shown = shown_on_terminal("for step in logger.track(range(3), 'step'): pass", tmp_path, TERM="dumb")

    assert re.fullmatch(r"step 3/3 0:00:0\d\r?\n", shown)


def test_track_goes_without_stderr(tmp_path: Path) -> None:
    """A program without a console loops all the same."""
    source = START + "sys.stderr = None\nfor step in logger.track(range(3), 'step'): logger.log_metric('loss', 1)"

    assert program(source, tmp_path, folder=tmp_path).returncode == 0
    assert [row["step"] for row in ids(tmp_path / "run")] == [0, 1, 2]


def test_track_shows_a_bar_in_a_notebook(tmp_path: Path) -> None:
    """One output that changes, in a real kernel; nothing on the streams."""
    client = pytest.importorskip("jupyter_client.manager")
    source = f"""
import time, loguru, skald
loguru.logger.remove()
logger = skald.Logger("run", {str(tmp_path)!r})
for epoch in logger.track(range(3), "epoch"):
    logger.log_metric("<loss>", 0.5)
    time.sleep(0.11)
logger.close()
"""
    manager = client.KernelManager(kernel_name="python3")
    manager._kernel_spec = client.KernelManager().kernel_spec_manager.get_kernel_spec("python3")
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(cwd=str(tmp_path))
    kernel = manager.blocking_client()
    messages: list[dict[str, Any]] = []
    try:
        kernel.start_channels()
        kernel.wait_for_ready(timeout=60)
        reply = kernel.execute_interactive(source, output_hook=messages.append, timeout=60)
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)

    assert reply["content"]["status"] == "ok", reply
    types = [message["msg_type"] for message in messages]
    assert types.count("display_data") == 1
    assert types.count("update_display_data") >= 3
    last = messages[-2 if types[-1] == "status" else -1]["content"]["data"]
    assert "3/3" in last["text/plain"]
    assert "&lt;loss&gt;=0.5" in last["text/html"]
    assert last["text/html"].startswith("<pre")
    assert "stream" not in types


# --- in any place ---


@pytest.mark.parametrize("total", [-1, 2.5, "10", True])
def test_track_refuses_a_total_that_is_no_count(total: Any, tmp_path: Path) -> None:
    """A clear error at the call."""
    with skald.Logger("run", tmp_path) as logger, pytest.raises(skald.InvalidInputError, match="total must be"):
        logger.track(range(3), "step", total=total)


def test_newest_values_are_those_of_the_last_calls(tmp_path: Path) -> None:
    """Over id sets, threads and rolls; a closed run has none."""
    logger = skald.Logger("run", tmp_path)
    for step in range(3000):  # over two rolls
        logger.log_metric("loss", step, step=step)
    logger.log_metrics({"é": 1.5, "f1": 2.5}, split="val")
    logger.log_histogram("weights", [1.0, 2.0])
    thread = threading.Thread(target=logger.log_metric, args=("other", 3.5))
    thread.start()
    thread.join()
    logger.log_metric("f1", 4.5, split="train")

    found = {name: newest.value for name, newest in logger._session.newest().items()}
    logger.close()

    assert found == {"loss": 2999, "é": 1.5, "other": 3.5, "f1": 4.5}
    assert logger._session.newest() == {}
    assert newest_values([]) == {}
