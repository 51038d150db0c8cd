"""The life of a logger: from its folder to its end, whichever way that comes."""

from __future__ import annotations

import copy
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import ids, program, rows, values

import skald
from skald import LoggerClosedError

# Where a run lives.


def test_run_name_is_the_local_time_by_default(tmp_path: Path) -> None:
    """Loggers without a name get the time as one, made unique."""
    loggers = [skald.Logger(dir=tmp_path) for _ in range(4)]

    names = [logger.run.name for logger in loggers]
    for logger in loggers:
        logger.close()

    assert len(set(names)) == 4
    assert all(re.fullmatch(r"\d{8}-\d{6}(-\d)?", name) for name in names)


def test_dir_is_made_absolute_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that changes its folder later still writes where it began."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    logger = skald.Logger("run", "here")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for step in range(2000):
        logger.log_metric("loss", step, step=step)
    logger.close()

    assert values(tmp_path / "here" / "run") == list(range(2000))
    assert not list((tmp_path / "elsewhere").iterdir())


def test_tilde_is_the_home_folder_wherever_a_path_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a shell; a folder of that name would be a trap."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    skald.Logger("run", "~/runs").close()

    assert skald.Run("~/runs/run").path == tmp_path / "runs" / "run"
    assert skald.runs("~/runs")["run"].to_list() == ["run"]
    assert skald.scan("~/runs/run").collect().is_empty()
    assert skald.compact("~/runs/run").rows == 0


def test_close_says_so_where_the_segments_were_removed(tmp_path: Path) -> None:
    """Their rows cannot be had any more, and nobody may think so."""
    logger = skald.Logger("run", tmp_path, capture=False)
    logger.log_metric("loss", 0.5)
    shutil.rmtree(tmp_path / "run" / "segments")
    logger.close()

    assert "rows are lost: their folder was removed" in (tmp_path / "run" / "console.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("said", "expected"), [(None, "runs"), ("", "runs"), ("other", "other")])
def test_dir_is_skald_dir_else_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, expected: str
) -> None:
    """Where no dir is given $SKALD_DIR counts, else `runs` in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SKALD_DIR", raising=False)
    if said is not None:
        monkeypatch.setenv("SKALD_DIR", said)

    with skald.Logger("run") as logger:
        assert logger.run.path == tmp_path / expected / "run"


def test_dir_given_goes_over_skald_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program says counts."""
    monkeypatch.setenv("SKALD_DIR", str(tmp_path / "env"))

    with skald.Logger("run", str(tmp_path / "given")) as logger:
        assert logger.run.path == tmp_path / "given" / "run"


def test_tags_and_notes_are_in_the_run(tmp_path: Path) -> None:
    """A string is one tag."""
    with skald.Logger("one", tmp_path, tags="baseline", notes="first try") as one:
        assert (one.run.tags, one.run.notes) == (["baseline"], "first try")
    with skald.Logger("two", tmp_path, tags=("a", "b")) as two:
        assert (two.run.tags, two.run.notes) == (["a", "b"], "")


def test_metrics_format_is_the_file_that_compaction_writes(tmp_path: Path) -> None:
    """Parquet by default, csv where that is asked for."""
    formats: tuple[Any, ...] = ("parquet", "csv")
    for format_ in formats:
        with skald.Logger(format_, tmp_path, metrics_format=format_) as logger:
            logger.log_metric("loss", 0.5, step=1)

        assert (tmp_path / format_ / f"metrics.{format_}").exists()
        assert rows(tmp_path / format_) == [{"value": 0.5, "step": 1}]


def test_params_are_merged_by_leaf(tmp_path: Path) -> None:
    """The last value of a leaf stands; mappings nest; a call that is refused leaves all as it was."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_params({"lr": 3e-4, "model": {"depth": 12}}, seed=1)
        logger.log_param("model", {"width": 64})
        logger.log_params(seed=2)
        with pytest.raises(skald.InvalidInputError, match="act"):
            logger.log_params({"lr": 1.0}, act=object())

        assert logger.run.params == {"lr": 3e-4, "model": {"depth": 12, "width": 64}, "seed": 2}


# How it ends.


def test_with_block_closes_the_run(tmp_path: Path) -> None:
    """Behind the block the run is finished and compacted."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        statuses = [logger.run.status]
    statuses.append(logger.run.status)

    assert statuses == ["running", "finished"]
    assert (tmp_path / "run" / "metrics.parquet").exists()
    assert not (tmp_path / "run" / "segments").exists()


def test_with_block_left_by_an_exception_keeps_its_rows(tmp_path: Path) -> None:
    """The exception goes on, the run is failed, and all rows are there."""

    def train() -> None:
        with skald.Logger("run", tmp_path) as logger:
            logger.log_metric("loss", 0.5)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        train()

    assert skald.Run(tmp_path / "run").status == "failed"
    assert values(tmp_path / "run") == [0.5]


ENDINGS = {
    "the script's end": "",
    "sys.exit": "sys.exit(3)",
    "an exception": "1 / 0",
    "Ctrl-C": "raise KeyboardInterrupt",
    "a thread that still logs": (
        "def log():\n"
        "    try:\n"
        "        while True: logger.log_metric('other', 1.0)\n"
        "    except skald.LoggerClosedError: pass\n"
        "threading.Thread(target=log, daemon=True).start()"
    ),
    "another atexit": "atexit.register(lambda: logger.log_metric('loss', 2.0))",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_run_is_closed_at_the_end_of_the_interpreter(tmp_path: Path, ending: str) -> None:
    """A script without a block ends with its runs compacted, whichever way it ends."""
    done = program(
        "import atexit, sys, threading, skald\n"
        "logger = skald.Logger('run', '.')\n"
        "logger.log_metric('loss', 0.5)\n"
        f"{ENDINGS[ending]}\n",
        folder=tmp_path,
    )

    assert values(tmp_path / "run")[:1] == [0.5], done.stderr
    assert (tmp_path / "run" / "metrics.parquet").exists(), done.stderr
    assert not (tmp_path / "run" / "segments").exists()
    assert "Error" not in done.stderr or ending == "an exception", done.stderr
    if ending == "another atexit":
        assert values(tmp_path / "run") == [0.5, 2.0]


def test_all_runs_are_closed_at_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """A run that cannot be closed well is told of, and the others are closed all the same."""
    done = program(
        "import shutil, skald\n"
        "loggers = [skald.Logger(f'run{k}', '.') for k in range(3)]\n"
        "for logger in loggers: logger.log_metric('loss', 0.5)\n"
        "(loggers[0].run.path / 'run.json').write_text('{')\n"
        "shutil.rmtree(loggers[1].run.path)\n",
        folder=tmp_path,
    )

    assert done.returncode == 0
    assert "run0" in done.stderr
    assert "folder was removed" in done.stderr
    assert "run1" in done.stderr
    assert (tmp_path / "run2" / "metrics.parquet").exists()


def test_messages_at_the_end_of_the_interpreter_reach_the_terminal(tmp_path: Path) -> None:
    """What Skald says while it closes at exit is on stderr, although loguru ends its handlers at exit too."""
    done = program(
        "import skald\n"
        "logger = skald.Logger('run', '.')\n"
        "from loguru import logger as terminal\n"
        "terminal.remove()\n"
        "terminal.add(__import__('sys').stderr, format='terminal: {message}')\n"
        "import shutil; shutil.rmtree('run')\n",
        folder=tmp_path,
    )

    assert "terminal: skald: the run's folder was removed" in done.stderr


@pytest.mark.parametrize("capture", [True, "fd"])
def test_run_in_the_place_of_one_that_was_removed_gets_nothing_of_it(tmp_path: Path, capture: Any) -> None:
    """Params, output, messages, rewinds and the end of the process that wrote the old one: an error, or a warning."""
    done = program(
        "import shutil, subprocess, sys, skald\n"
        f"logger = skald.Logger('run', '.', capture={capture!r})\n"
        "with logger:\n"
        "    logger.log_metric('loss', 0.5, step=9)\n"
        "    shutil.rmtree('run')\n"
        '    new = \'run = skald.Logger("run", "."); run.log_params(lr=1); run.log_metric("a", 1, step=9)\'\n'
        "    subprocess.run([sys.executable, '-c', 'import skald; ' + new], check=True)\n"
        "    print('of the old run')\n"
        "    logger.info('of the old run')\n"
        "    for call in (lambda: logger.log_params(old=True), lambda: logger.rewind(step=1)):\n"
        "        try:\n"
        "            call()\n"
        "        except skald.StorageError as error:\n"
        "            print(error)\n",
        folder=tmp_path,
    )
    run = skald.Run(tmp_path / "run")

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("and another run stands in its place") == 2
    assert "the run's folder was removed while it was written" in done.stderr
    assert run.params == {"lr": 1}
    assert run.metrics.collect().select("metric", "value").rows() == [("a", 1.0)]
    assert "old" not in (tmp_path / "run" / "console.log").read_text(encoding="utf-8")


def test_close_is_idempotent(tmp_path: Path) -> None:
    """The first close counts, also where it came from another thread or a block."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        thread = threading.Thread(target=logger.close, args=("stopped",))
        thread.start()
        thread.join()
        written = (tmp_path / "run" / "run.json").read_bytes()
        logger.close()

    assert logger.run.status == "stopped"
    assert (tmp_path / "run" / "run.json").read_bytes() == written


def test_sync_that_cannot_be_done_is_an_error_of_ours(tmp_path: Path) -> None:
    """Whichever file of the run it is."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 0.5)
        console = tmp_path / "run" / "console.log"
        console.unlink(missing_ok=True)
        console.mkdir()

        with pytest.raises(skald.StorageError, match=r"console\.log"):
            logger.sync()

        console.rmdir()


def test_close_takes_a_status(tmp_path: Path) -> None:
    """The status is finished by default; stopped and failed; anything else is refused, and the logger stays open."""
    statuses: tuple[Any, ...] = ("finished", "stopped", "failed")
    for status in statuses:
        logger = skald.Logger(status, tmp_path)
        with pytest.raises(skald.InvalidInputError, match=r"status must be one of .*'done'"):
            logger.close("done")  # type: ignore[arg-type]
        logger.log_metric("loss", 0.5)
        logger.close(status)

        assert logger.run.status == status


CLOSED: dict[str, Callable[[skald.Logger], Any]] = {
    "log_metric": lambda logger: logger.log_metric("loss", 0.5, step=1),
    "log_metrics": lambda logger: logger.log_metrics({"loss": 0.5}, step=1),
    "log_metrics of many": lambda logger: logger.log_metrics({str(k): 0.5 for k in range(20)}, step=1),
    "log_batch": lambda logger: logger.log_batch({"loss": [0.5]}),
    "log_batch of nothing": lambda logger: logger.log_batch({}),
    "log_param": lambda logger: logger.log_param("lr", 0.1),
    "log_params": lambda logger: logger.log_params(lr=0.1),
    "set_ids": lambda logger: logger.set_ids(epoch=1),
    "sync": lambda logger: logger.sync(),
    "bound": lambda logger: logger.bind(k=1).log_metric("loss", 0.5),
    "track": lambda logger: list(logger.track([1], "k")),
}


@pytest.mark.parametrize("call", CLOSED)
def test_closed_logger_refuses(tmp_path: Path, call: str) -> None:
    """After close every call that would record something raises LoggerClosedError that names the run."""
    with skald.Logger("run", tmp_path) as logger:
        logger.set_ids(epoch=0)
        for _ in range(5):
            CLOSED["log_metric"](logger)
            CLOSED["log_metrics"](logger)
            CLOSED["log_metrics of many"](logger)

    with pytest.raises(LoggerClosedError, match="closed"):
        CLOSED[call](logger)

    assert values(logger) == [0.5] * 10


@pytest.mark.parametrize("name", ["log_metric", "log_metrics", "log"])
def test_functions_taken_from_a_closed_logger_refuse(tmp_path: Path, name: str) -> None:
    """`log = logger.log_metric` raises after close, that of a bound logger too."""
    arguments: tuple[Any, ...] = ("loss", 0.5) if name == "log_metric" else ({"loss": 0.5},)
    with skald.Logger("run", tmp_path) as logger:
        functions = [getattr(logger, name), getattr(logger.bind(k=1), name)]
        for log in functions * 5:
            log(*arguments)

    for log in functions:
        with pytest.raises(LoggerClosedError, match="'run'"):
            log(*arguments)

    assert len(values(logger)) == 10


def test_closed_logger_can_still_be_asked(tmp_path: Path) -> None:
    """Its run, ids and repr are there, and blocks and loops around it end quietly."""
    logger = skald.Logger("run", tmp_path)
    logger.set_ids(epoch=1)

    with logger.contextualize(step=2):
        for _ in logger.track([1], "k"):
            logger.close()

    assert logger.ids == {"epoch": 1}
    assert logger.run.name == "run"
    assert "finished" in repr(logger)


def test_messages_reach_console_log_and_the_terminal(tmp_path: Path) -> None:
    """Messages of every level stand in console.log with their ids, and on stderr; after close only there."""
    done = program(
        "import skald\n"
        "with skald.Logger('run', '.') as logger:\n"
        "    logger.set_ids(epoch=3)\n"
        "    logger.info('half way')\n"
        "    logger.bind(split='val').success('score {}', 7)\n"
        "logger.warning('all over')\n",
        folder=tmp_path,
    )

    console = skald.Run(tmp_path / "run").console
    assert "| INFO | epoch=3 | half way\n" in console
    assert "| SUCCESS | split=val epoch=3 | score 7\n" in console
    assert "all over" not in console
    for message in ("half way", "score 7", "all over"):
        assert done.stderr.count(message) == 1


def test_sync_leaves_the_logger_open(tmp_path: Path) -> None:
    """What was logged is on the disk, console and params among it, and logging goes on."""
    with skald.Logger("run", tmp_path) as logger:
        logger.sync()
        logger.info("message")
        logger.log_params(lr=0.1)
        for step in range(3000):
            logger.log_metric("loss", step)
        logger.sync()
        logger.log_metric("loss", -1)

        assert values(logger) == [*range(3000), -1]


# What it is to Python.


def test_run_reads_what_is_being_written(tmp_path: Path) -> None:
    """`logger.run` sees each row as soon as its call has returned."""
    with skald.Logger("run", tmp_path) as logger:
        run = logger.run
        for step in range(3):
            logger.log_metric("loss", step, step=step)
            assert len(run.metrics.collect()) == step + 1


def test_copies_are_the_logger_itself(tmp_path: Path) -> None:
    """Copy and deepcopy return the logger, also from inside of what holds it."""
    with skald.Logger("run", tmp_path) as logger:
        bound = logger.bind(k=1)
        callback = copy.deepcopy({"logger": bound, "log": bound.log_metric})

        assert copy.copy(logger) is logger
        assert copy.deepcopy(logger) is logger
        callback["logger"].log_metric("loss", 0.5)  # type: ignore[attr-defined]
        callback["log"]("loss", 1.5)  # type: ignore[operator]

        assert ids(logger) == [{"k": 1}, {"k": 1}]


def test_logger_can_be_subclassed(tmp_path: Path) -> None:
    """A class of its own may add to a logger, and bound loggers are of that class."""

    class Mine(skald.Logger):
        def log_loss(self, value: float) -> None:
            self.log_metric("loss", value)

    with Mine("run", tmp_path) as logger:
        logger.bind(k=1).log_loss(0.5)

        assert ids(logger) == [{"k": 1}]


def test_children_of_multiprocessing_are_waited_for(tmp_path: Path) -> None:
    """A script that ends while its workers still log has their rows, in a run that is finished."""
    done = program(
        "import multiprocessing.util, os, time, skald\n"
        "def work():\n"
        "    for step in range(5):\n"
        "        logger.log_metric('loss', step)\n"
        "        begun.set()\n"
        "        time.sleep(0.05)\n"
        "logger = skald.Logger('run', '.')\n"
        "context = multiprocessing.get_context('fork')\n"
        "begun = context.Event()\n"
        "context.Process(target=work).start()\n"
        "begun.wait()\n",
        folder=tmp_path,
    )

    assert values(tmp_path / "run") == list(range(5)), done.stderr
    assert skald.Run(tmp_path / "run").status == "finished"
    assert not (tmp_path / "run" / "segments").exists()


@pytest.mark.parametrize(
    ("end", "status"), [("1 / 0", "failed"), ("raise KeyboardInterrupt", "stopped"), ("", "finished")]
)
def test_logger_without_a_block_ends_as_the_interpreter_does(end: str, status: str, tmp_path: Path) -> None:
    """An exception that nobody caught is no finished run."""
    source = f"import skald\nlogger = skald.Logger('run', '.')\nlogger.log_metric('a', 1)\n{end}"

    program(source, folder=tmp_path)

    assert skald.Run(tmp_path / "run").status == status


def test_refused_calls_are_warned_of_once_a_kind_and_counted_in_the_last_word(tmp_path: Path) -> None:
    """Nothing that was refused goes without a word, and a long training is not drowned in them."""
    source = """
import skald
logger = skald.Logger("run", ".", errors="warn")
for step in range(100):
    logger.log_metric("", 1)
    logger.log_metric("a", "text", step=step)
    logger.log_metric("a", 1, time=step)
logger.close()
"""

    ended = program(source, folder=tmp_path)

    warned = [line for line in ended.stderr.splitlines() if "WARNING" in line]
    assert len(warned) == 3
    assert "; 300 calls refused (200 x InvalidInputError, 100 x ValueTypeError)" in ended.stderr.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_logger_writes_in_a_folder_whose_name_is_no_unicode(tmp_path: Path) -> None:
    """As a disk has them that was used under another locale: all is there, and compacted."""
    folder = tmp_path / os.fsdecode(b"\xff\xe9")

    with skald.Logger("run", folder) as logger:
        logger.log_metric("loss", 0.5)
        logger.log_params({"lr": 0.1})
        logger.log_text("note", "text")
        print("printed")

    run = skald.Run(folder / "run")
    assert (run.status, run.params, values(run.path)) == ("finished", {"lr": 0.1}, [0.5])
    assert run.console.startswith("printed\n")
    assert not (run.path / "segments").exists()


@pytest.mark.skipif(os.name != "posix", reason="a way to see the descriptors")
def test_block_that_cannot_begin_closes_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has failed, by what was raised, and the streams are as they were."""

    def streams() -> list[object]:
        files = [os.fstat(number).st_ino for number in (1, 2)]
        return [*files, len(os.listdir("/dev/fd")), sys.stdout.write, sys.stderr.write]  # noqa: PTH208 names only

    before = streams()
    logger = skald.Logger("run", tmp_path, capture="fd")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))

    with pytest.raises(skald.StorageError, match=r"cannot be captured: .*No such file"), logger:
        pass

    run = skald.Run(tmp_path / "run")
    assert run.status == "failed"
    assert "StorageError: " in str(run.info["exception"])
    assert streams() == before
    with pytest.raises(skald.LoggerClosedError):
        logger.log_metric("loss", 0.5)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_block_that_finds_no_descriptors_leaves_none_open(tmp_path: Path) -> None:
    """However far it has got when they are used up, the run has failed, and the descriptors are as they were."""
    source = """
import os, resource, skald
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
files = lambda: set(os.listdir("/proc/self/fd"))
skald.Logger("first", ".").close()
before = files()
for room in range(3, 20):
    logger = skald.Logger(f"run{room}", ".", capture="fd")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(files()) + room, limits[1]))
    try:
        with logger:
            pass
    except OSError as error:
        pass
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    print(room, logger.run.status, files() == before)
"""

    ended = program(source, folder=tmp_path)

    said = [line.split(" ", 1)[1] for line in ended.stdout.splitlines()]
    assert set(said) == {"failed True", "finished True"}, ended
    assert said == sorted(said)


@pytest.mark.parametrize("name", ["capture", "mode", "errors", "metrics_format"])
def test_option_that_is_an_array_is_refused(tmp_path: Path, name: str) -> None:
    """By a word of ours, though it has no one answer to whether it is one of several."""
    options: dict[str, Any] = {name: np.zeros(2)}
    with pytest.raises(skald.InvalidInputError, match=f"{name} must be "):
        skald.Logger("run", tmp_path, **options)
