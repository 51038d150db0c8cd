"""Copies of loggers: pickled into other processes, bound in threads, used after a fork."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from logged import ids, program, rows, values

import skald
from skald.errors import InvalidInputError, LoggerClosedError, RunNotFoundError
from skald.writing.copies import OPENED

METHODS = ("spawn", "forkserver", "fork")


def script(source: str, *args: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program from a file, as children of multiprocessing need it, to its end."""
    path = folder / "script.py"
    path.write_text(source, encoding="utf-8")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(path), *map(str, args)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: PLW1510


def copied(logger: skald.Logger) -> skald.Logger:
    """Return a copy as a worker gets it."""
    copy: skald.Logger = pickle.loads(pickle.dumps(logger))
    return copy


def sessions(run: Path) -> list[dict[str, Any]]:
    """Return what run.json says of the processes that wrote the run."""
    found: list[dict[str, Any]] = json.loads((run / "run.json").read_bytes())["sessions"]
    return found


WORKER = """
import multiprocessing, os, sys
import skald

def work(logger):
    assert logger.ids == {"rank": 3, "split": "val", "epoch": 1}, logger.ids
    for step in range(5):
        logger.log_metric("loss", step, step=step)
    logger.log_params(worker=os.getpid())
    logger.info("from the worker")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with skald.Logger("run", ".", ids={"rank": 3}) as logger:
        logger.set_ids(epoch=1)
        logger.log_metric("loss", -1, step=-1)
        process = context.Process(target=work, args=(logger.bind(split="val"),))
        process.start()
        process.join()
        logger.log_metric("loss", 5, step=5)
    print(process.exitcode, process.pid)
"""


@pytest.mark.parametrize("method", METHODS)
def test_copy_in_a_worker_joins_the_run(tmp_path: Path, method: str) -> None:
    """It has the constant, bound and set ids of the logger, a writer and a console file of its own."""
    ended = script(WORKER, method, folder=tmp_path)

    exitcode, pid = ended.stdout.split()
    run = skald.Run(tmp_path / "run")
    assert (exitcode, run.status) == ("0", "finished"), ended.stderr
    assert rows(run.path)[1:6] == [
        {"rank": 3, "epoch": 1, "split": "val", "step": step, "value": step} for step in range(5)
    ]
    assert ids(run.path)[6] == {"rank": 3, "epoch": 1, "step": 5}
    if method == "fork":  # which passes the logger as it is
        return
    assert run.params == {"worker": int(pid)}
    assert [(session["pid"], session["status"]) for session in sessions(run.path)][1:] == [(int(pid), "finished")]
    assert "from the worker" in next(run.path.glob("console.*.log")).read_text(encoding="utf-8")


POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
import skald

def task(given):
    logger, step = given
    logger.log_metric("loss", step, step=step)

def keep(logger):
    global log
    log = logger.log_metric

def kept(step):
    log("loss", step, step=step)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with skald.Logger("run", ".") as logger:
        match sys.argv[1]:
            case "pool":  # which kills its workers at the end
                with context.Pool(2) as pool:
                    pool.map(task, [(logger, step) for step in range(20)], chunksize=1)
            case "initializer":
                with ProcessPoolExecutor(2, mp_context=context, initializer=keep, initargs=(logger,)) as executor:
                    list(executor.map(kept, range(20)))
            case "joblib":
                from joblib import Parallel, delayed
                closure = lambda step: logger.bind(split="val").log_metric("loss", step, step=step)
                Parallel(n_jobs=2)(delayed(closure)(step) for step in range(20))
"""


@pytest.mark.parametrize("pool", ["pool", "initializer", "joblib"])
def test_copies_in_a_pool_lose_nothing(tmp_path: Path, pool: str) -> None:
    """Each worker is one more writer, however many tasks it gets; the run is finished and compacted with the block."""
    ended = script(POOL, pool, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    run = skald.Run(tmp_path / "run")
    assert sorted(values(run.path)) == [*range(20)]
    assert run.status == "finished"
    assert len(sessions(run.path)) <= 3
    assert not (run.path / "segments").exists()


def test_copy_touches_nothing_before_its_first_call(tmp_path: Path) -> None:
    """It can be asked, shown, pickled on and closed, and the run does not know of it."""
    with skald.Logger("run", tmp_path, ids={"rank": 3}) as logger:
        before = (tmp_path / "run" / "run.json").read_bytes()

        copy = copied(copied(logger))

        assert copy.ids == {"rank": 3}
        assert copy.run.path == logger.run.path
        assert "run" in repr(copy)
        copy.close()
        with pytest.raises(LoggerClosedError, match="'run' is closed"):
            copy.log_metric("loss", 1.0)
        assert (tmp_path / "run" / "run.json").read_bytes() == before


CALLS: dict[str, Callable[[skald.Logger], object]] = {
    "log_metric": lambda logger: logger.log_metric("loss", 1.0),
    "log_metrics": lambda logger: logger.log_metrics({"loss": 1.0}),
    "log": lambda logger: logger.log({"loss": 1.0}),
    "log_batch": lambda logger: logger.log_batch({"loss": [1.0]}),
    "log_param": lambda logger: logger.log_param("lr", 0.1),
    "log_params": lambda logger: logger.log_params(lr=0.1),
    "set_ids": lambda logger: logger.set_ids(epoch=1),
    "bind": lambda logger: logger.bind(epoch=1).log_metric("loss", 1.0),
    "track": lambda logger: list(logger.track([1], "epoch")),
    "contextualize": lambda logger: logger.contextualize(epoch=1).__enter__(),
    "info": lambda logger: logger.info("message"),
    "opt": lambda logger: logger.opt(depth=1).info("message"),
    "sync": lambda logger: logger.sync(),
    "with": lambda logger: logger.__enter__(),
}


@pytest.mark.parametrize("call", CALLS)
def test_copy_joins_with_its_first_call_whatever_it_is(tmp_path: Path, call: str) -> None:
    """There are two writers of the run then."""
    with skald.Logger("run", tmp_path) as logger:
        copy = copied(logger)

        CALLS[call](copy)

        assert [session["status"] for session in sessions(tmp_path / "run")] == ["running", "running"]
        copy.close()


def test_copy_and_logger_end_by_themselves(tmp_path: Path) -> None:
    """Neither closes the other, nor another copy, in one process too; the last one out compacts."""
    logger = skald.Logger("run", tmp_path)
    first, second = copied(logger), copied(logger)
    for one, step in ((logger, 0), (first, 1), (second, 2)):
        one.log_metric("loss", step)

    first.close()
    second.log_metric("loss", 3)
    logger.log_metric("loss", 4)
    logger.close()
    second.log_metric("loss", 5)

    before = logger.run.status
    second.close()
    assert (before, logger.run.status) == ("running", "finished")
    assert sorted(values(tmp_path / "run")) == [*range(6)]
    assert not (tmp_path / "run" / "segments").exists()


def test_copy_that_nobody_holds_closes_its_writer(tmp_path: Path) -> None:
    """The run ends with the logger then; the next copy takes the place of the one that is gone."""
    logger = skald.Logger("run", tmp_path)
    pickled = pickle.dumps(logger)

    for step in range(5):
        pickle.loads(pickled).log_metric("loss", step)
        assert [session["status"] for session in sessions(tmp_path / "run")] == ["running", "finished"]
    logger.close()

    assert values(tmp_path / "run") == [*range(5)]
    assert logger.run.status == "finished"
    assert not (tmp_path / "run" / "segments").exists()


def test_functions_of_a_copy_that_nobody_holds_go_on(tmp_path: Path) -> None:
    """What was taken from a copy stays right after it is gone."""
    logger = skald.Logger("run", tmp_path)
    copy = copied(logger)
    bound, log = copy.bind(split="val"), copy.log_metric
    bound.log_metric("loss", 0)
    log("loss", 1)
    log = copy.log_metric  # now one of its own

    del copy
    gc.collect()
    for step in range(2, 50):
        log("loss", step)
        bound.log_metric("loss", step + 100)

    assert logger.run.status == "running"
    bound.close()
    with pytest.raises(LoggerClosedError):
        log("loss", 1)
    logger.close()
    assert sorted(values(tmp_path / "run")) == [*range(50), *range(102, 150)]


def test_copy_after_the_run_ended_goes_on_with_it_and_warns(tmp_path: Path) -> None:
    """As mode="join" does: rows, params and status are those of one run."""
    source = """
import pickle, skald
with skald.Logger("run", ".") as logger:
    logger.log_metric("loss", 1)
copy = pickle.loads(pickle.dumps(logger))
copy.log_metric("loss", 2)
print(logger.run.status)
copy.close("failed")
print(logger.run.status)
"""

    ended = program(source, folder=tmp_path)

    assert ended.stdout.split() == ["running", "failed"], ended.stderr
    assert ended.stderr.count("had finished before it was joined") == 1
    assert values(tmp_path / "run") == [1.0, 2.0]


def test_copy_of_a_run_that_is_gone_says_so(tmp_path: Path) -> None:
    """On another machine, or after the folder was removed: nothing is made in its place."""
    with skald.Logger("run", tmp_path) as logger:
        copy = copied(logger)
    (tmp_path / "run").rename(tmp_path / "elsewhere")

    with pytest.raises(RunNotFoundError, match="copy of a logger is not there"):
        copy.log_metric("loss", 1.0)

    assert not (tmp_path / "run").exists()


def test_copy_of_a_disabled_logger_is_disabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps nothing, and checks every call."""
    monkeypatch.chdir(tmp_path)
    copy = copied(skald.Logger("run", mode="disabled", ids={"rank": 3}))

    copy.log_metric("loss", 1.0)
    with pytest.raises(InvalidInputError):
        copy.log_metric("", 1.0)

    assert copy.ids == {"rank": 3}
    assert not list(tmp_path.iterdir())
    copy.close()


def test_copy_has_the_options_of_the_logger(tmp_path: Path) -> None:
    """`errors` and `capture`, and the attributes of a class of the user's own."""
    with Loud("run", tmp_path, errors="warn", capture=False) as logger:
        logger.best = 0.5
        copy = copied(logger)
        copy.log_metric("", 1.0)  # is warned of
        with copy:
            assert isinstance(copy, Loud)
            assert copy.best == 0.5
            assert copy._capture is False


class Loud(skald.Logger):
    """A logger of a user's own."""

    best: float


def test_logger_has_no_attribute_that_a_copy_would_lack(tmp_path: Path) -> None:
    """Whatever an open logger holds is either pickled or made anew."""
    with skald.Logger("run", tmp_path) as logger:
        assert set(vars(logger)) == OPENED
        assert set(vars(logger.bind(a=1))) == OPENED
        copy = copied(logger)
        copy.info("message")
        assert set(vars(copy)) - {"_origin"} == OPENED
        assert not hasattr(logger, "log_metrc")


def test_copy_has_the_ids_that_a_call_of_the_logger_would_get(tmp_path: Path) -> None:
    """Those of `contextualize` around the pickling stand over what was said, and None there removes one too."""
    with skald.Logger("run", tmp_path, ids={"rank": 3, "host": "a", "seed": 1}) as logger:
        copies = []
        for _ in logger.track([7], "epoch"):
            with logger.contextualize(fold=1, epoch=8, seed=None):
                logger.set_ids(host=None)
                copies.append((copied(logger.bind(split="val")), logger.bind(split="val").ids))

        ((copy, expected),) = copies
        before = copy.ids
        copy.log_metric("loss", 1.0)

        assert expected == {"rank": 3, "split": "val", "epoch": 8, "fold": 1}
        assert before == copy.ids == expected
        assert ids(logger) == [expected]
        copy.close()


ENDING = """
import multiprocessing, os, pickle, signal, sys
import skald

def work(pickled, ending):
    logger = pickle.loads(pickled)  # as a process does that is not forked, and takes longer to start
    logger.log_metric("loss", 1.0)
    exec(ending)

if __name__ == "__main__":
    with skald.Logger("run", ".") as logger:
        context = multiprocessing.get_context("fork")
        process = context.Process(target=work, args=(pickle.dumps(logger), sys.argv[1]), daemon=len(sys.argv) > 2)
        process.start()
        process.join()
"""


@pytest.mark.parametrize(
    ("ending", "status", "exception"),
    [
        ("pass", "finished", None),
        ("sys.exit(3)", "finished", None),
        ("raise ValueError('too deep')", "failed", "ValueError: too deep"),
        ("logger.close('stopped')", "stopped", None),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crashed", None),
    ],
)
def test_copy_counts_for_the_status_of_the_run(tmp_path: Path, ending: str, status: str, exception: str | None) -> None:
    """How its process ends is a word among those of the run's last session, of which the worst counts."""
    script(ENDING, ending, folder=tmp_path)

    run = skald.Run(tmp_path / "run")
    assert (run.status, run.info["exception"]) == (status, exception)
    assert values(run.path) == [1.0]


def test_daemon_that_is_killed_is_no_crash(tmp_path: Path) -> None:
    """Workers of a pool are ended by their parent, without a word; their rows are there."""
    script(ENDING, "os.kill(os.getpid(), signal.SIGTERM)", "daemon", folder=tmp_path)

    assert skald.Run(tmp_path / "run").status == "finished"
    assert values(tmp_path / "run") == [1.0]


def test_copy_outlives_the_process_that_made_the_run(tmp_path: Path) -> None:
    """The run is running until its last copy has ended, which compacts it."""
    source = """
import pickle, subprocess, sys, skald
with skald.Logger("run", ".") as logger:
    child = subprocess.Popen([sys.executable, "-c", '''
import pickle, sys
logger = pickle.load(sys.stdin.buffer)
logger.log_metric("loss", 1.0)
print("ready", flush=True)
sys.stdin.read()
logger.log_metric("loss", 2.0)
'''], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pickle.dump(logger, child.stdin)
    child.stdin.flush()
    assert child.stdout.readline() == b"ready\\n"
print(logger.run.status)
child.stdin.close()
child.wait()
print(logger.run.status)
"""

    ended = program(source, folder=tmp_path)

    assert ended.stdout.split() == ["running", "finished"], ended.stderr
    assert values(tmp_path / "run") == [1.0, 2.0]
    assert not (tmp_path / "run" / "segments").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_copy_made_before_a_fork_joins_in_parent_and_child(tmp_path: Path) -> None:
    """One that has not joined belongs to nobody yet: each process is a writer of its own."""
    source = """
import os, pickle, skald
with skald.Logger("run", ".") as logger:
    copy = pickle.loads(pickle.dumps(logger))
    child = os.fork()
    for step in range(100):
        copy.log_metric("loss", step)
    copy.close()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""

    ended = program(source, folder=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert sorted(values(tmp_path / "run")) == sorted([*range(100)] * 2)
    assert [session["status"] for session in sessions(tmp_path / "run")] == ["finished"] * 3


def test_copy_is_joined_once_by_many_threads(tmp_path: Path) -> None:
    """Threads that make its first call at the same time share one writer."""
    with skald.Logger("run", tmp_path) as logger:
        copy = copied(logger)
        start = threading.Barrier(8)

        def log(number: int) -> None:
            start.wait()
            copy.log_metric("loss", number)

        threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(sessions(tmp_path / "run")) == 2
        assert sorted(values(logger)) == [*range(8)]
        copy.close()


def test_loggers_bound_in_threads_have_their_own_ids(tmp_path: Path) -> None:
    """`bind` may be called in any thread, and follows `set_ids` of the logger from there."""
    with skald.Logger("run", tmp_path) as logger:

        def log(number: int) -> None:
            bound = logger.bind(worker=number)
            for step in range(50):
                bound.log_metric("loss", number, step=step)

        logger.set_ids(epoch=1)
        threads = [threading.Thread(target=log, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        expected = [{"epoch": 1, "worker": number, "step": step} for number in range(8) for step in range(50)]
        assert sorted(ids(logger), key=lambda row: (row["worker"], row["step"])) == expected


def statuses(run: Path) -> list[str]:
    """Return what each session of a run ended with."""
    return [session["status"] for session in sessions(run)]


def test_copy_that_comes_late_does_not_hide_a_failure(tmp_path: Path) -> None:
    """It belongs to the session that it was made in, whose worst word counts; also after a rest."""
    logger = skald.Logger("run", tmp_path)
    late, run = copied(logger), logger.run
    with pytest.raises(ValueError, match="no such thing"), logger:
        raise ValueError("no such thing")

    late.log_metric("loss", 0.5)
    bound, seen = late.bind(), [run.status]
    del late
    gc.collect()
    seen.append(run.status)
    bound.log_metric("loss", 1.5)
    seen.append(run.status)
    bound.close()

    assert seen == ["running", "failed", "running"]
    assert (run.status, run.info["exception"]) == ("failed", "ValueError: no such thing")
    assert statuses(run.path) == ["failed", "finished"]
    assert values(run.path) == [0.5, 1.5]


def test_copy_that_comes_late_does_not_hide_a_crash(tmp_path: Path) -> None:
    """The process that made the run was killed before the copy's first call."""
    source = (
        "import os, pickle, skald\nlogger = skald.Logger('run', '.')\nopen('copy', 'wb').write(pickle.dumps(logger))"
    )
    program(source + "\nos.kill(os.getpid(), 9)", folder=tmp_path)
    late = pickle.loads((tmp_path / "copy").read_bytes())

    late.log_metric("loss", 0.5)
    late.close()

    assert skald.Run(tmp_path / "run").status == "crashed"
    assert statuses(tmp_path / "run") == ["crashed", "finished"]


ANOTHER = "copy of a logger is gone, and another stands in its place"


@pytest.mark.parametrize("mode", ["overwrite", "new"])
def test_copy_of_a_run_in_whose_place_is_another_refuses_to_write(tmp_path: Path, mode: Any) -> None:
    """Overwritten, or removed and made anew: the rows and params of two runs are never mixed."""
    with skald.Logger("run", tmp_path, capture=False) as old:
        late = copied(old)
    if mode == "new":
        (tmp_path / "run").rename(tmp_path / "elsewhere")
    logger = skald.Logger("run", tmp_path, mode=mode, capture=False)

    for call in ("log_metric", "log_param"):
        with pytest.raises(RunNotFoundError, match=ANOTHER):
            CALLS[call](late)

    assert len(sessions(tmp_path / "run")) == 1
    copied(logger).log_metric("loss", 1.5)
    logger.close()
    assert (values(tmp_path / "run"), logger.run.params) == ([1.5], {})


def test_copy_that_rested_refuses_a_run_in_the_place_of_its_own(tmp_path: Path) -> None:
    """Neither its functions go on in the other run, nor does its session serve copies of the other one's logger."""
    old = skald.Logger("run", tmp_path, capture=False)
    copy = copied(old)
    copy.log_metric("loss", 0.5)
    bound = copy.bind()
    del copy
    gc.collect()
    old.close()
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    logger = skald.Logger("run", tmp_path, capture=False)

    copied(logger).log_metric("loss", 1.5)
    with pytest.raises(RunNotFoundError, match=ANOTHER):
        bound.log_metric("loss", 2.5)

    logger.close()
    assert values(tmp_path / "run") == [1.5]


def test_copy_knows_a_run_again_that_was_resumed(tmp_path: Path) -> None:
    """It is the same run, whichever process goes on with it, and wherever the folder of runs has been moved."""
    with skald.Logger("run", tmp_path / "a", capture=False) as old:
        late = copied(old)
    program("import skald; skald.Logger('run', 'a', mode='resume').log_metric('loss', 1)", folder=tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "a").symlink_to("b")

    late.log_metric("loss", 2)

    late.close()
    assert values(tmp_path / "b" / "run") == [1, 2]
