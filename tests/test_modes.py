"""The modes of a logger: what each does with a run that is not there, has ended, or is being written."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from logged import program, rows, start, values

import skald
from skald import InvalidInputError, RunExistsError, RunNotFoundError
from skald.layout import temporary
from skald.many.finding import find_runs
from skald.writing.scratch import remove_abandoned

WRITER = """
import sys, skald
logger = skald.Logger("run", ".", mode=sys.argv[1])
logger.log_metric("loss", 7.0)
print("open", flush=True)
sys.stdin.readline()
logger.log_metric("loss", 8.0)
logger.close()
"""

ANOTHER = "hint: choose another name, or another dir=, or move what stands there away"


def make(folder: Path, mode: Any = "new", value: float = 1.0) -> None:
    """Log a run of one row, and end it."""
    with skald.Logger("run", folder, mode=mode) as logger:
        logger.log_metric("loss", value)


@contextmanager
def other_process(folder: Path, mode: str = "new") -> Iterator[subprocess.Popen[str]]:
    """Have another process write the run meanwhile; it logs 7 at once and 8 when it is let go."""
    process = start(WRITER, mode, folder=folder)
    assert process.stdout
    assert process.stdout.readline() == "open\n"
    try:
        yield process
    finally:
        _, told = process.communicate("go\n", timeout=60)
        assert process.returncode == 0, told


RACER = """
import sys, skald
print("ready", flush=True)
sys.stdin.readline()
try:
    logger = skald.Logger("run", ".", mode=sys.argv[1])
except skald.RunExistsError:
    print("lost")
else:
    logger.log_metric("loss", 1.0)
    print("won", flush=True)
    sys.stdin.readline()
"""


def race(racers: list[subprocess.Popen[str]]) -> tuple[list[str], list[str]]:
    """Let processes open the same run at once; return what each says of that, and what it has on stderr."""
    for racer in racers:
        assert racer.stdout
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()
    told = [racer.stdout.readline() for racer in racers if racer.stdout]
    return told, [racer.communicate("\n", timeout=60)[1] for racer in racers]


@pytest.mark.parametrize("mode", ["new", "auto", "join", "overwrite"])
def test_mode_creates_a_run_that_is_not_there(tmp_path: Path, mode: str) -> None:
    """All modes but resume and disabled make a new run, and folders above it."""
    make(tmp_path / "deep" / "runs", mode)

    assert values(tmp_path / "deep" / "runs" / "run") == [1.0]


@pytest.mark.parametrize("mode", ["new", "auto", "join"])
def test_mode_takes_a_folder_that_another_process_has_just_begun(tmp_path: Path, mode: str) -> None:
    """What a process leaves there before run.json has its name is no other thing in the folder."""
    (tmp_path / "run" / "segments").mkdir(parents=True)
    (tmp_path / "run" / ".tmp-0a1b2c3d-run.json").touch()

    make(tmp_path, mode)

    assert values(tmp_path / "run") == [1.0]


def test_resume_wants_a_run(tmp_path: Path) -> None:
    """Without a run resume raises, and makes no folder."""
    with pytest.raises(RunNotFoundError, match="no run to resume") as caught:
        skald.Logger("run", tmp_path, mode="resume")

    assert str(tmp_path / "run") in str(caught.value)
    assert caught.value.__notes__ == ["hint: mode='auto' makes it where there is none"]
    assert not list(tmp_path.iterdir())


def test_resume_of_what_is_no_run_has_no_hint_at_a_mode_that_is_refused_too(tmp_path: Path) -> None:
    """A folder with other things in it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(RunNotFoundError, match="no run to resume") as caught:
        skald.Logger("run", tmp_path, mode="resume")

    assert caught.value.__notes__ == ["hint: what stands there is no run; give the name of one, or another dir="]


def test_new_refuses_an_ended_run(tmp_path: Path) -> None:
    """A run that is there raises, and stays as it is."""
    make(tmp_path)

    with pytest.raises(RunExistsError, match="'run' is there already") as caught:
        skald.Logger("run", tmp_path)

    assert all(f"mode='{mode}'" in caught.value.__notes__[0] for mode in ("resume", "auto", "overwrite"))
    assert values(tmp_path / "run") == [1.0]


@pytest.mark.parametrize("mode", ["resume", "auto", "join"])
def test_mode_continues_an_ended_run(tmp_path: Path, mode: str) -> None:
    """What is logged now stands behind what was there, also a third time."""
    make(tmp_path)

    make(tmp_path, mode, 2.0)
    make(tmp_path, mode, 3.0)

    assert values(tmp_path / "run") == [1.0, 2.0, 3.0]
    assert (tmp_path / "run" / "metrics.parquet").exists()
    assert not (tmp_path / "run" / "segments").exists()


@pytest.mark.parametrize(("mode", "warnings"), [("resume", 0), ("auto", 0), ("join", 1)])
def test_join_warns_of_a_run_that_had_finished(tmp_path: Path, mode: str, warnings: int) -> None:
    """Who joins meant to write beside others, and is told that they are done; who resumes knows."""
    make(tmp_path)

    make(tmp_path, mode)

    assert skald.Run(tmp_path / "run").console.count("WARNING | skald: run 'run' had finished") == warnings


@pytest.mark.parametrize("mode", ["resume", "auto", "join"])
def test_mode_continues_a_crashed_run(tmp_path: Path, mode: str) -> None:
    """The rows of a process that was killed are kept."""
    killed = program(
        "import os, signal, skald\n"
        "logger = skald.Logger('run', '.')\n"
        "logger.log_metric('loss', 1.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
        folder=tmp_path,
    )
    assert killed.returncode < 0

    make(tmp_path, mode, 2.0)

    assert values(tmp_path / "run") == [1.0, 2.0]


def test_overwrite_replaces_an_ended_run(tmp_path: Path) -> None:
    """The old run is gone with all that was in its folder, and nothing of it stays beside the new one."""
    make(tmp_path)
    (tmp_path / "run" / "model.pt").write_text("old")

    make(tmp_path, "overwrite", 2.0)

    assert values(tmp_path / "run") == [2.0]
    assert not (tmp_path / "run" / "model.pt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("mode", ["new", "resume", "auto", "overwrite"])
def test_mode_refuses_a_run_that_another_process_writes(tmp_path: Path, mode: str) -> None:
    """All modes but join raise, naming host and pid where that is the reason, and disturb nothing."""
    with other_process(tmp_path) as process:
        with pytest.raises(RunExistsError) as caught:
            skald.Logger("run", tmp_path, mode=mode)  # type: ignore[arg-type]
        assert mode == "new" or f"process {process.pid} on {platform.node()}" in str(caught.value)

    assert values(tmp_path / "run") == [7.0, 8.0]


@pytest.mark.parametrize("mode", ["new", "resume", "auto"])
def test_mode_says_that_this_very_process_writes_the_run(tmp_path: Path, mode: Any) -> None:
    """A person who forgot a logger, as in a notebook, is told to close it, and looks for no other process."""
    by_this = rf"by this process, {os.getpid()} on"

    with skald.Logger("run", dir=tmp_path), pytest.raises(RunExistsError, match=by_this) as raised:
        skald.Logger("run", dir=tmp_path, mode=mode)

    (hint,) = raised.value.__notes__
    assert hint.startswith("hint: close() its logger before; if that is lost, mode='join' writes beside it; ")


def test_join_writes_beside_another_process(tmp_path: Path) -> None:
    """The rows of both are in the run while they write, and after the last one out has compacted it."""
    with other_process(tmp_path):
        with skald.Logger("run", tmp_path, mode="join") as logger:
            logger.log_metric("loss", 1.0, rank=1)
            assert sorted(values(logger)) == [1.0, 7.0]
        assert skald.Run(tmp_path / "run").status == "running"

    assert sorted(values(tmp_path / "run")) == [1.0, 7.0, 8.0]
    assert skald.Run(tmp_path / "run").status == "finished"
    assert not (tmp_path / "run" / "segments").exists()


def test_join_may_outlive_the_process_that_made_the_run(tmp_path: Path) -> None:
    """Whoever closes last compacts."""
    with other_process(tmp_path):
        logger = skald.Logger("run", tmp_path, mode="join")
    logger.log_metric("loss", 9.0)
    assert not (tmp_path / "run" / "metrics.parquet").exists()
    logger.close()

    assert sorted(values(tmp_path / "run")) == [7.0, 8.0, 9.0]
    assert (tmp_path / "run" / "metrics.parquet").exists()


def test_join_needs_a_name(tmp_path: Path) -> None:
    """There is no default run to join."""
    with pytest.raises(InvalidInputError, match="run_name"):
        skald.Logger(dir=tmp_path, mode="join")


def test_join_in_the_same_process_is_another_writer(tmp_path: Path) -> None:
    """Two loggers of a process on one run keep their rows, and closing one leaves the other open."""
    with skald.Logger("run", tmp_path) as first:
        with skald.Logger("run", tmp_path, mode="join") as second:
            first.log_metric("loss", 1.0)
            second.log_metric("loss", 2.0)
        first.log_metric("loss", 3.0)

    assert sorted(values(tmp_path / "run")) == [1.0, 2.0, 3.0]


def test_overwrite_closes_loggers_of_the_same_process_first(tmp_path: Path) -> None:
    """A notebook cell run twice: the old loggers, joined ones too, are closed, and the run is new."""
    first = skald.Logger("run", tmp_path, mode="overwrite")
    second = skald.Logger("run", tmp_path, mode="join")
    first.log_metric("loss", 1.0)

    with skald.Logger("run", tmp_path, mode="overwrite") as third:
        for old in (first, second):
            with pytest.raises(skald.LoggerClosedError):
                old.log_metric("loss", 1.0)
        third.log_metric("loss", 2.0)

    assert values(tmp_path / "run") == [2.0]


def test_overwrite_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    """Where another process has joined the run, the logger of this one goes on."""
    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1.0)
        with other_process(tmp_path, "join") as other:
            with pytest.raises(RunExistsError, match=f"written by process {other.pid} on"):
                skald.Logger("run", tmp_path, mode="overwrite")

            logger.log_metric("loss", 2.0)

    assert sorted(values(tmp_path / "run")) == [1.0, 2.0, 7.0, 8.0]


def test_overwritten_run_s_failure_is_not_told_in_the_new_one(tmp_path: Path) -> None:
    """The block of a logger that was closed by it ends with an error: that is none of the new run's."""
    old = skald.Logger("run", tmp_path, capture=False).__enter__()
    logger = skald.Logger("run", tmp_path, mode="overwrite", capture=False)
    before = logger.run.info

    old.__exit__(ValueError, ValueError("of the old one"), None)

    assert (logger.run.info, logger.run.console) == (before, "")
    logger.close()


def test_overwrite_closes_a_logger_of_the_same_process_that_came_by_another_path(tmp_path: Path) -> None:
    """A link, or `..` in the path, leads to the same run; a link stays one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    first = skald.Logger("run", tmp_path / "link", mode="overwrite")

    with skald.Logger("run", tmp_path / "real" / ".." / "real", mode="overwrite") as second:
        second.log_metric("loss", 2.0)
        with pytest.raises(skald.LoggerClosedError):
            first.log_metric("loss", 1.0)

    assert values(tmp_path / "link" / "run") == [2.0]


def test_overwrite_of_a_link_replaces_what_it_leads_to(tmp_path: Path) -> None:
    """Runs are put on another disk by a link of their name."""
    make(tmp_path / "disk")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run").symlink_to(tmp_path / "disk" / "run")

    make(tmp_path / "runs", "overwrite", 2.0)

    assert (tmp_path / "runs" / "run").is_symlink()
    assert values(tmp_path / "disk" / "run") == [2.0]
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["run"]


OVERWRITER = """
import os, shutil, sys, skald
EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "ctypes.dlsym"}
def die_at(number):
    done = 0
    def operation():
        nonlocal done
        if done == number: os._exit(77)
        done += 1
    def audit(event, arguments):
        if event in EVENTS: operation()
    def fsync(descriptor, fsync=os.fsync):
        operation()
        fsync(descriptor)
    os.fsync = fsync  # it raises no audit event
    sys.addaudithook(audit)
with skald.Logger("run", "old") as logger:
    logger.log_metric("loss", 1.0)
    logger.log_params(lr=0.1)
import skald.engine.stored
number, code = 0, 77
while code == 77:
    shutil.copytree("old", str(number))
    if os.fork() == 0:
        die_at(number)
        with skald.Logger("run", str(number), mode="overwrite"):
            os._exit(0)
    code = os.waitstatus_to_exitcode(os.wait()[1])
    number += 1
assert code == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere two folders are not exchanged at once")
def test_overwrite_leaves_the_old_run_or_the_new_wherever_it_is_killed(tmp_path: Path) -> None:
    """Before each of its disk operations: the old one is there whole, or the new one, and can be overwritten again."""
    ended = program(OVERWRITER, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr

    folders = sorted((path for path in tmp_path.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    seen = []
    for folder in folders:
        run = skald.Run(folder / "run")
        is_old = run.status == "finished"
        seen.append(is_old)
        assert run.name == "run"
        assert run.metrics.collect()["value"].to_list() == ([1.0] if is_old else [])
        assert run.params == ({"lr": 0.1} if is_old else {})
        assert is_old or run.status == "crashed"
        assert [Path(found.folder) for found in find_runs(folder)] == [folder / "run"]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 2
    assert len(seen) > 10

    for left in folders[seen.index(False)].glob(".tmp-*"):
        os.utime(left, (0, 0))
    make(folders[seen.index(False)], "overwrite", 2.0)

    assert [path.name for path in folders[seen.index(False)].iterdir()] == ["run"]


def test_overwrite_waits_for_a_compaction(tmp_path: Path) -> None:
    """A compaction of the old run must not put its rows into the new one."""
    program("import os, skald\nskald.Logger('run', '.').log_metric('loss', 1.0)\nos._exit(0)", folder=tmp_path)
    compacting, overwritten = threading.Event(), threading.Event()

    def overwrite() -> None:
        compacting.wait(60)
        make(tmp_path, "overwrite", 2.0)
        overwritten.set()

    def progress(_done: int, _rows: int) -> None:
        compacting.set()
        assert not overwritten.wait(0.1)

    thread = threading.Thread(target=overwrite)
    thread.start()
    skald.upkeep.compacting.compact(tmp_path / "run", progress=progress)
    thread.join()

    assert overwritten.is_set()
    assert values(tmp_path / "run") == [2.0]


def test_overwrite_of_several_processes_at_once_is_won_by_one(tmp_path: Path) -> None:
    """One of them writes the new run, and the others raise RunExistsError."""
    make(tmp_path)
    racers = [start(RACER, "overwrite", folder=tmp_path) for _ in range(4)]

    told, errors = race(racers)

    assert sorted(told) == ["lost\n", "lost\n", "lost\n", "won\n"], errors
    assert values(tmp_path / "run") == [1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("mode", ["new", "overwrite"])
def test_mode_refuses_a_folder_that_is_no_run(tmp_path: Path, mode: str) -> None:
    """Other people's files are neither deleted nor written among."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("text")

    with pytest.raises(RunExistsError, match="no run") as caught:
        skald.Logger("run", tmp_path, mode=mode)  # type: ignore[arg-type]

    assert caught.value.__notes__ == [ANOTHER]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("mode", ["new", "auto", "join", "overwrite"])
def test_mode_refuses_a_file(tmp_path: Path, mode: str) -> None:
    """A file of the run's name is no folder to write in, and stays."""
    (tmp_path / "run").write_text("text")

    with pytest.raises(RunExistsError, match="is a file, so it cannot be a run") as caught:
        skald.Logger("run", tmp_path, mode=mode)  # type: ignore[arg-type]

    assert caught.value.__notes__ == [ANOTHER]
    assert (tmp_path / "run").read_text() == "text"


@pytest.mark.parametrize("mode", ["new", "auto", "join", "overwrite"])
def test_mode_refuses_a_link_that_leads_nowhere(tmp_path: Path, mode: Any) -> None:
    """The message says what it is: a listing shows it as a name like any other."""
    (tmp_path / "run").symlink_to(tmp_path / "gone")

    with pytest.raises(RunExistsError, match="is a link to what is not there, so it cannot be a run") as caught:
        skald.Logger("run", tmp_path, mode=mode)

    assert caught.value.__notes__ == [ANOTHER]


@pytest.mark.parametrize("mode", ["new", "auto", "join", "overwrite"])
def test_mode_takes_an_empty_folder(tmp_path: Path, mode: str) -> None:
    """An existing empty folder is free."""
    (tmp_path / "run").mkdir()

    make(tmp_path, mode)

    assert values(tmp_path / "run") == [1.0]


def test_new_of_several_processes_at_once_is_won_by_one(tmp_path: Path) -> None:
    """Exactly one makes the run, the others raise RunExistsError, and its row is there."""
    told, errors = race([start(RACER, "new", folder=tmp_path) for _ in range(4)])

    assert sorted(told) == ["lost\n", "lost\n", "lost\n", "won\n"], errors
    assert values(tmp_path / "run") == [1.0]


def test_join_of_several_processes_at_once_makes_one_run(tmp_path: Path) -> None:
    """One makes the run, and the others write beside it."""
    told, errors = race([start(RACER, "join", folder=tmp_path) for _ in range(4)])

    assert told == ["won\n"] * 4, errors
    assert values(tmp_path / "run") == [1.0] * 4


UNNAMED = """
import sys, skald
sys.stdin.readline()
for _ in range(3):
    with skald.Logger(dir=".") as logger:
        logger.log_metric("loss", 1.0)
"""


def test_default_names_are_unique_among_processes(tmp_path: Path) -> None:
    """Processes that begin in the same second without a name each get runs of their own."""
    racers = [start(UNNAMED, folder=tmp_path) for _ in range(3)]
    for racer in racers:
        assert racer.stdin
        racer.stdin.write("go\n")
        racer.stdin.flush()

    errors = [racer.communicate(timeout=60)[1] for racer in racers]

    assert [racer.returncode for racer in racers] == [0, 0, 0], errors
    assert len(list(tmp_path.iterdir())) == 9


def test_default_names_are_unique_among_threads(tmp_path: Path) -> None:
    """Loggers made at the same instant each get a run."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    barrier = threading.Barrier(8)
    names: list[str] = []

    def open_one() -> None:
        barrier.wait()
        with skald.Logger(dir=tmp_path) as logger:
            names.append(logger.run.name)

    threads = [threading.Thread(target=open_one) for _ in range(8)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert len(set(names)) == 8


def test_mode_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """$SKALD_MODE replaces the default, and not what the program says."""
    make(tmp_path)
    monkeypatch.setenv("SKALD_MODE", "resume")

    make(tmp_path, None, 2.0)
    with pytest.raises(RunExistsError):
        make(tmp_path, "new")
    monkeypatch.setenv("SKALD_MODE", "sometimes")
    with pytest.raises(InvalidInputError, match=r"mode must be one of .*'sometimes'"):
        make(tmp_path, None)

    assert values(tmp_path / "run") == [1.0, 2.0]


def test_disabled_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    """Every call works, in a folder that stays empty, also beside a run of that name."""
    (tmp_path / "temporary").mkdir()
    done = program(
        "import skald, tempfile\n"
        "tempfile.tempdir = 'temporary'\n"
        "with skald.Logger('run', 'runs', mode='disabled') as logger:\n"
        "    for epoch in logger.track(range(3), 'epoch'):\n"
        "        logger.log_metric('loss', 0.5, step=1)\n"
        "        logger.log_metrics({'a': 1, 'b': 2})\n"
        "        logger.log_batch({'a': range(50_000)})\n"
        "        with logger.contextualize(k=1): logger.bind(j=2).log_metric('loss', 1)\n"
        "    logger.log_params({'lr': 0.1}); logger.log_param('depth', 3)\n"
        "    logger.set_ids(k=3); logger.sync(); logger.info('done')\n"
        "    (logger.run.path / 'model.pt').write_text('weights')\n"
        "    assert logger.run.name == 'run' and logger.run.status == 'running', logger.run.status\n"
        "    print(logger)\n",
        folder=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "done" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["temporary"]


def test_disabled_checks_its_input(tmp_path: Path) -> None:
    """What would be refused in a real run is refused, ids of another kind among it."""
    with skald.Logger("run", tmp_path, mode="disabled") as logger:
        logger.log_metric("loss", 0.5, step=1)

        calls: list[Callable[[], object]] = [
            lambda: logger.log_metric("loss", "x"),
            lambda: logger.log_metric("loss", 0.5, step="x"),
            lambda: logger.log_metrics({"": 1}),
            lambda: logger.log_batch({"loss": [[1]]}),
            lambda: logger.log_params(act=object()),
        ]
        for call in calls:
            with pytest.raises(skald.SkaldError):
                call()

    with pytest.raises(skald.LoggerClosedError):
        logger.log_metric("loss", 0.5)


def test_disabled_run_has_the_status_of_a_real_one(tmp_path: Path) -> None:
    """For a program that looks at it, while the run is written and after."""
    logger = skald.Logger("run", tmp_path, mode="disabled")
    run, status = logger.run, logger.run.status
    with pytest.raises(ValueError, match="3"), logger:
        raise ValueError(3)
    unseen = skald.Logger("run", tmp_path, mode="disabled")
    unseen.close("stopped")

    assert (status, run.status, run.info["exception"]) == ("running", "failed", "ValueError: 3")
    assert run.ended is not None
    assert unseen.run.status == "stopped"


def test_disabled_run_that_was_read_goes_without_a_word(tmp_path: Path) -> None:
    """Also where its logger is closed by the end of the interpreter only."""
    source = "import skald; logger = skald.Logger('run', mode='disabled'); print(logger.run.status)"

    done = program(source, folder=tmp_path, TMPDIR=str(tmp_path))

    assert (done.stdout, done.stderr) == ("running\n", "")
    assert not list(tmp_path.iterdir())


def test_disabled_run_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    """And none of a process that lives, nor what only looks like one."""
    make_run = "import os, skald; run = skald.Logger('run', mode='disabled').run; print(run.path, flush=True)"
    others = [tmp_path / "skald-disabled-x1y2", tmp_path / "skald-disabled-0-link", tmp_path / "skald-disabled-1-x"]
    others[0].mkdir()
    others[1].symlink_to(tmp_path / "skald-disabled-x1y2", target_is_directory=True)
    others[2].mkdir()  # of a process that lives
    program(f"{make_run}; os.kill(os.getpid(), 9)", folder=tmp_path, TMPDIR=str(tmp_path))
    (killed,) = set(tmp_path.iterdir()).difference(others)
    living = start(f"{make_run}; input()", folder=tmp_path, TMPDIR=str(tmp_path))
    assert living.stdout
    path = Path(living.stdout.readline().strip())

    program(make_run, folder=tmp_path, TMPDIR=str(tmp_path))

    assert not killed.exists()
    assert path.is_dir()
    living.communicate("\n", timeout=60)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_disabled_run_is_kept_where_its_writer_lives_under_another_number(tmp_path: Path) -> None:
    """As in a container: its lock is held, though nobody here has the number in the folder's name."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = tmp_path / f"skald-disabled-{ended.pid}-x"
    with skald.Logger("run", folder, capture=False) as logger:
        remove_abandoned(tmp_path)
        logger.sync()

    remove_abandoned(tmp_path)

    assert not folder.exists()


def test_disabled_may_be_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SKALD_MODE=disabled turns a whole program's logging off."""
    monkeypatch.setenv("SKALD_MODE", "disabled")

    with skald.Logger(dir=tmp_path) as logger:
        logger.log_metric("loss", 0.5)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_resume_keeps_the_format_of_the_run(tmp_path: Path, format_: Any) -> None:
    """metrics_format belongs to the run: a session that resumes it does not change the file."""
    with skald.Logger("run", tmp_path, metrics_format=format_) as logger:
        logger.log_metric("loss", 1.0, step=1)

    make(tmp_path, "resume", 2.0)

    assert rows(tmp_path / "run") == [{"value": 1.0, "step": 1}, {"value": 2.0}]
    assert (tmp_path / "run" / f"metrics.{format_}").exists()


@pytest.mark.parametrize(("given", "warnings"), [(None, 0), ("csv", 0), ("parquet", 1)])
def test_another_format_on_resume_is_warned_of(tmp_path: Path, given: Any, warnings: int) -> None:
    """A run goes on with the format that it has; who asks for another one is told."""
    skald.Logger("run", tmp_path, metrics_format="csv").close()

    with skald.Logger("run", tmp_path, mode="resume", metrics_format=given) as logger:
        logger.log_metric("loss", 1.0)

    assert logger.run.console.count("goes on with metrics_format='csv'") == warnings
    assert (tmp_path / "run" / "metrics.csv").exists()


def test_resume_adds_tags_and_replaces_notes(tmp_path: Path) -> None:
    """What a resumed session says of the run is kept; what it leaves out stays."""
    skald.Logger("run", tmp_path, tags=["a", "b"], notes="first").close()

    skald.Logger("run", tmp_path, mode="resume", tags=["c", "b"], notes="second").close()
    skald.Logger("run", tmp_path, mode="resume").close()

    run = skald.Run(tmp_path / "run")
    assert (run.tags, run.notes) == (["a", "b", "c"], "second")


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"\xff", b'{"format": 1}', b'{"format": 1, "kinds": {"step": 7}}']
)
@pytest.mark.parametrize("name", ["run.json", "segments/ids.json"])
def test_resume_of_a_damaged_run_is_a_clear_error(tmp_path: Path, name: str, damage: bytes) -> None:
    """It names the file, and the run stays as it is."""
    program("import os, skald\nskald.Logger('run', '.').log_metric('a', 1, step=1)\nos._exit(0)", folder=tmp_path)
    (tmp_path / "run" / name).write_bytes(damage)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}

    modes: tuple[Any, ...] = ("resume", "auto", "join")
    for mode in modes:
        with pytest.raises(skald.CorruptRunError, match=re.escape(name)):
            skald.Logger("run", tmp_path, mode=mode)

    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_damaged_run_can_be_overwritten(tmp_path: Path) -> None:
    """It is to go anyway."""
    make(tmp_path)
    (tmp_path / "run" / "run.json").write_bytes(b"{")

    make(tmp_path, "overwrite", 2.0)

    assert values(tmp_path / "run") == [2.0]


@pytest.mark.parametrize("content", ['{"scripts": {"start": "x"}}', "[]", "no JSON"])
def test_folder_with_the_run_json_of_another_program_is_left_as_it_was(tmp_path: Path, content: str) -> None:
    """No mode writes or deletes something there."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(content)
    (tmp_path / "run" / "thesis.tex").write_text("years of work")

    with pytest.raises(skald.RunExistsError, match=r"is no run, as its run.json is not Skald's"):
        make(tmp_path, "overwrite")
    with pytest.raises(skald.RunExistsError):
        make(tmp_path)
    modes: tuple[Any, ...] = ("resume", "auto", "join")
    for mode in modes:
        with pytest.raises(skald.CorruptRunError):
            make(tmp_path, mode)

    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["run.json", "thesis.tex"]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_run_with_the_longest_name_can_be_overwritten(tmp_path: Path, name: str) -> None:
    """What is left of one that was killed at it is removed."""
    skald.Logger(name, tmp_path, capture=False).close()
    skald.Logger("left", tmp_path, capture=False).close()
    left = (tmp_path / "left").rename(temporary(tmp_path / name))
    os.utime(left, (0, 0))

    with skald.Logger(name, tmp_path, mode="overwrite", capture=False) as logger:
        logger.log_metric("loss", 2.0)

    assert values(tmp_path / name) == [2.0]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_disabled_call_runs_the_code_of_a_real_one(tmp_path: Path) -> None:
    """So it costs no more, whatever ids the calls have; benchmarks/bench_disabled.py measures that."""
    with skald.Logger("run", tmp_path) as real, skald.Logger("run", tmp_path, mode="disabled") as disabled:
        for logger in (real, disabled):
            for step in range(10):
                logger.log_metric("loss", 0.5, step=step)
                logger.log_metric("loss", 0.5, step=step, split="train")
                logger.log_metrics({"a": 0.5, "b": 0.5}, step=step)

        real_calls, disabled_calls = ([each.log_metric, each.log_metrics] for each in (real, disabled))

    assert [call.__code__ for call in disabled_calls] == [call.__code__ for call in real_calls]
    assert "split" in disabled.log_metric.__code__.co_varnames


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory comes page by page")
def test_disabled_call_waits_for_no_memory(tmp_path: Path) -> None:
    """The pages of its segments are there before it, as those of a real one are."""
    faults = {}
    for mode in ("disabled", "overwrite"):
        counted = program(
            "import resource, skald\n"
            "count = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            f"with skald.Logger('run', 'runs', mode='{mode}', capture=False) as logger:\n"
            "    for step in range(70_000): logger.log_metric('loss', 0.5, step=step)\n"
            "    before = count()\n"
            "    for step in range(50_000): logger.log_metric('loss', 0.5, step=step)\n"
            "    print(count() - before)\n",
            folder=tmp_path,
        )
        faults[mode] = int(counted.stdout)

    assert faults["disabled"] <= faults["overwrite"] + 50
