"""The viewer in a real pseudo-terminal: beside a process that logs, at the end of a program, and without a terminal."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import logged
import pytest

import skald

pytest.importorskip("pty", reason="there are pseudo-terminals on POSIX only")

from commands import output
from terminals import PLOT, SKALD, Terminal

TRAINING = """
import sys, time, skald
with skald.Logger("live", sys.argv[1]) as logger:
    print("begun", flush=True)
    for step in range(100_000):
        logger.log_metric("train/loss", 1 / (step + 1), step=step)
        if step % 10 == 0:
            logger.log_metric("accuracy", 1 - 1 / (step + 1), step=step, split="val")
        time.sleep(0.002)
        if step > 50 and sys.argv[2] == "short":
            break
"""


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """Return the run of a process that logs until the test ends."""
    process = logged.start(TRAINING, tmp_path, "long", folder=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    yield tmp_path / "live"
    process.kill()
    process.communicate()


def ended(folder: Path) -> Path:
    """Return a run that ended."""
    with skald.Logger("ended", folder, capture=False) as logger:
        for step in range(100):
            logger.log_metric("loss", 1 / (step + 1), step=step)
    return logger.run.path


def test_viewer_follows_a_run_that_is_written_until_it_crashes(tmp_path: Path) -> None:
    """Curves come up, the status is told, and a killed writer changes it; keys are answered, and q ends it well."""
    process = logged.start(TRAINING, tmp_path, "long", folder=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    with Terminal([*SKALD, str(tmp_path / "live")]) as terminal:
        terminal.wait_for(PLOT)
        terminal.wait_for("running")
        terminal.wait_for("train/loss")
        terminal.wait_for("points/s")

        begin = terminal.press("\r")
        terminal.wait_for("All plots", begin=begin)
        begin = terminal.press("2")
        process.send_signal(signal.SIGKILL)
        process.communicate()

        terminal.wait_for("crashed", begin=begin)
        terminal.press("q")
        assert terminal.close() == 0
    assert "Traceback" not in terminal.text()


def test_viewer_keeps_what_it_read_when_the_run_is_deleted(tmp_path: Path) -> None:
    """A run that is gone is told to be gone, and the viewer goes on."""
    run = ended(tmp_path)
    with Terminal([*SKALD, str(run)]) as terminal:
        terminal.wait_for(PLOT)
        terminal.wait_for("finished")

        shutil.rmtree(run)

        terminal.wait_for("gone")
        begin = terminal.press("\r")
        terminal.wait_for("All plots", begin=begin)
        terminal.press("q")
        assert terminal.close() == 0
    assert "Traceback" not in terminal.text()


def test_viewer_goes_on_when_a_run_is_compacted_under_it(live: Path) -> None:
    """Files that come and go under the viewer change nothing on the screen but what is in them."""
    with Terminal([*SKALD, str(live)]) as terminal:
        terminal.wait_for("running")
        terminal.wait_for(PLOT)
        for _ in range(3):
            skald.compact(live)
            begin = terminal.press("s")
            terminal.wait_for(PLOT, begin=begin)
        terminal.press("q")
        assert terminal.close() == 0
    assert "Traceback" not in terminal.text()


@pytest.mark.parametrize("words", [(), ("ended",), (".",)])
def test_skald_without_a_terminal_prints_what_show_prints(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A pipe gets the same as from `skald show`, for a run, a folder, and the default folder."""
    ended(tmp_path)
    environment = {"SKALD_DIR": str(tmp_path)}

    shown = output("show", *words, folder=tmp_path, **environment)

    assert "ended" in shown
    assert output(*words, folder=tmp_path, **environment) == shown
    assert output("view", *words, folder=tmp_path, **environment) == shown


def test_skald_on_a_dumb_terminal_prints_what_show_prints(tmp_path: Path) -> None:
    """Where nothing can be drawn over what stands there, lines are printed."""
    run = ended(tmp_path)

    with Terminal([*SKALD, str(run)], TERM="dumb") as terminal:
        assert terminal.close() == 0

    assert "metric" in terminal.text()
    assert not terminal.text().count("Enlarge")


def test_skald_says_which_run_is_not_there(tmp_path: Path) -> None:
    """A path that does not exist is an error before anything is drawn."""
    with Terminal([*SKALD, str(tmp_path / "none")]) as terminal:
        assert terminal.close() == 1

    assert "there is no run or folder" in terminal.text()


PROGRAM = """
import sys, skald
with skald.Logger("mine", sys.argv[1], tui=True, mode=sys.argv[2]) as logger:
    for step in range(100):
        logger.log_metric("loss", 1 / (step + 1), step=step)
    if sys.argv[2] == "overwrite":
        raise RuntimeError("on purpose")
print("after the viewer", flush=True)
"""


def test_logger_opens_the_viewer_when_its_block_ends(tmp_path: Path) -> None:
    """With tui=True the run is on the screen once it is closed, and the program goes on when it is left."""
    with Terminal([sys.executable, "-c", PROGRAM, str(tmp_path), "new"]) as terminal:
        terminal.wait_for(PLOT)
        terminal.wait_for("finished")
        assert "after the viewer" not in terminal.text()

        terminal.press("q")

        terminal.wait_for("after the viewer")
        assert terminal.close() == 0


def test_logger_opens_the_viewer_when_its_block_fails(tmp_path: Path) -> None:
    """The run says that it failed, and the exception goes its way after that."""
    with Terminal([sys.executable, "-c", PROGRAM, str(tmp_path), "overwrite"]) as terminal:
        terminal.wait_for("failed")

        terminal.press("q")

        terminal.wait_for("RuntimeError: on purpose")
        assert terminal.close() == 1


@pytest.mark.parametrize("mode", ["new", "disabled"])
def test_logger_opens_no_viewer_without_a_terminal(tmp_path: Path, mode: str) -> None:
    """In a job, and where nothing is kept, the program goes on at once."""
    result = logged.program(PROGRAM, tmp_path, mode, folder=tmp_path)

    assert (result.returncode, result.stdout) == (0, "after the viewer\n")


def test_logger_opens_no_viewer_for_a_run_that_is_not_kept(tmp_path: Path) -> None:
    """A disabled logger has nothing to show, also in a terminal."""
    with Terminal([sys.executable, "-c", PROGRAM, str(tmp_path), "disabled"]) as terminal:
        terminal.wait_for("after the viewer")
        assert terminal.close() == 0


def test_logger_refuses_a_tui_that_is_neither_yes_nor_no(tmp_path: Path) -> None:
    """A misspelt argument is an error at once."""
    with pytest.raises(skald.InvalidInputError, match="tui must be one of"):
        skald.Logger("mine", tmp_path, tui="yes")  # type: ignore[arg-type]


def test_escape_is_told_from_keys_that_begin_with_it(tmp_path: Path) -> None:
    """Alone it goes back, also right behind another key; the same byte as the beginning of an arrow does not."""
    run = ended(tmp_path)
    with Terminal([*SKALD, str(run)]) as terminal:
        terminal.wait_for(PLOT)
        begin = terminal.press("\r")
        terminal.wait_for("step 99", begin=begin)
        begin = terminal.press("\x1b[D\x1b[D")
        terminal.wait_for("step 9[0-8]", begin=begin)
        begin = terminal.press("\x1b")
        terminal.wait_for("Enlarge", begin=begin)
        terminal.press("q")
        assert terminal.close() == 0


def test_viewer_draws_ascii_where_the_locale_has_no_more(tmp_path: Path) -> None:
    """Without UTF-8 nothing reaches the terminal that it cannot show, and the curves are still there."""
    run = ended(tmp_path)
    with Terminal([*SKALD, str(run)], LC_ALL="en_US.ISO-8859-1") as terminal:
        terminal.wait_for(r"\*\*\*")
        terminal.wait_for("finished")
        terminal.wait_for("enter Enlarge")
        terminal.press("q")
        assert terminal.close() == 0

    assert terminal.text().isascii()


def test_viewer_that_is_told_to_end_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    """SIGTERM: no other screen, no reports of the mouse, and the exit code that shells know."""
    with Terminal([*SKALD, str(ended(tmp_path))]) as terminal:
        terminal.wait_for(PLOT)
        terminal.process.terminate()
        assert terminal.close() == 128 + signal.SIGTERM

    drawn = terminal.raw()
    for mode in (b"\x1b[?1049", b"\x1b[?1000"):
        assert -1 < drawn.rfind(mode + b"h") < drawn.rfind(mode + b"l")


def test_search_takes_what_comes_in_one_piece_with_its_key(tmp_path: Path) -> None:
    """Over a slow line keys arrive together: none of them is a command, and a slash is a sign like others."""
    with Terminal([*SKALD, str(ended(tmp_path))]) as terminal:
        terminal.wait_for(PLOT)
        begin = terminal.press("/sq/q")
        terminal.wait_for("sq/q", begin=begin)
        begin = terminal.press("\r")
        terminal.wait_for("Smooth", begin=begin)
        terminal.press("q")
        assert terminal.close() == 0


def test_viewer_whose_errors_go_to_a_file_prints_what_show_prints(tmp_path: Path) -> None:
    """It would be drawn into the file."""
    run = ended(tmp_path)
    errors = tmp_path / "errors.txt"
    command = f"exec {shlex.join([*SKALD, str(run)])} 2>{shlex.quote(str(errors))}"

    with Terminal(["sh", "-c", command]) as terminal:
        assert terminal.close() == 0

    assert "metric" in terminal.text()
    assert errors.read_bytes() == b""
