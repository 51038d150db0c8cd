"""Locks where the file system has none, or none that reach other hosts: marks beside them, and signs of life."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import skald
from skald import layout
from skald.durable import read_atomic, write_atomic
from skald.engine.claim import lock_of_compaction, lock_of_run, owners, sole_lock
from skald.engine.compaction import compact
from skald.engine.lock import FileLock

LOCKLESS = """
import errno, fcntl, os, sys, time
def flock(*given):
    raise OSError(errno.ENOSYS, "Function not implemented")
fcntl.flock = flock
import skald
place, *given = sys.argv[1:]
"""
"""What a program begins with whose file system knows no locks, as Lustre mounted without them."""


def start(program: str, place: Path, *given: object) -> subprocess.Popen[str]:
    """Start a program on a file system without locks."""
    command = [sys.executable, "-c", LOCKLESS + program, str(place), *map(str, given)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def outputs(*processes: subprocess.Popen[str]) -> list[str]:
    """Return what processes print, all of which end well."""
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return said


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, too, know no locks."""

    def flock(*_: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)


@pytest.fixture
def reach_no_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the locks of this host be seen by no other."""
    mounts = tmp_path / "mounts"
    mounts.write_text("none / beegfs rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr("skald.engine.storage._MOUNTS", mounts)
    monkeypatch.setattr("skald.engine.storage._REACHING", {})


def run_lock(folder: Path) -> FileLock:
    """Return the lock of a run that has the folder it stands in."""
    (folder / layout.SEGMENTS).mkdir(exist_ok=True)
    return lock_of_run(folder)


# No locks at all.


def test_processes_that_join_where_there_are_no_locks_keep_everything(tmp_path: Path) -> None:
    """Rows, params, ids and sessions of all are there, and the last of them compacts."""
    program = """
with skald.Logger("run", place, mode="join", ids={"rank": int(given[0])}) as logger:
    logger.log_params({"of" + given[0]: 1})
    for step in range(200):
        logger.log_metric("loss", step, step=step, **{"only" + given[0]: 1})
"""
    outputs(*(start(program, tmp_path, rank) for rank in range(4)))

    run = skald.Run(tmp_path / "run")
    assert run.metrics.collect().group_by("rank").len().sort("rank").rows() == [(rank, 200) for rank in range(4)]
    assert sorted(run.params) == ["of0", "of1", "of2", "of3"]
    assert run.status == "finished"
    assert len(run.info["sessions"]) == 4
    assert not (run.path / layout.SEGMENTS).exists()


def test_of_several_new_at_once_one_wins_where_there_are_no_locks(tmp_path: Path) -> None:
    """The others are told that the run exists."""
    program = """
while time.time() < float(given[0]): pass
try:
    logger = skald.Logger("run", place)
    time.sleep(0.3)
    print("won")
except skald.RunExistsError:
    print("lost")
"""
    said = outputs(*(start(program, tmp_path, time.time() + 1.5) for _ in range(4)))

    assert sorted(said) == ["lost", "lost", "lost", "won"]


@pytest.mark.usefixtures("without_locks")
def test_writer_without_locks_counts_as_alive_until_its_process_is_gone(tmp_path: Path) -> None:
    """Nobody resumes its run meanwhile, or compacts what it is writing; after a kill both work."""
    program = """
logger = skald.Logger("run", place)
logger.log_metric("loss", 1)
print(flush=True)
sys.stdin.read()
"""
    writer = start(program, tmp_path)
    assert writer.stdout
    writer.stdout.readline()
    run = skald.Run(tmp_path / "run")

    assert skald.Run(run.path).status == "running"
    assert skald.compact(run.path).rows == 0
    with pytest.raises(skald.RunExistsError, match=f"process {writer.pid} on"):
        skald.Logger("run", tmp_path, mode="resume")

    writer.kill()
    writer.communicate()
    assert skald.Run(run.path).status == "crashed"
    with skald.Logger("run", tmp_path, mode="resume") as logger:
        logger.log_metric("loss", 2)
    assert run.metrics.collect()["value"].to_list() == [1.0, 2.0]
    assert run.status == "finished"


@pytest.mark.usefixtures("without_locks")
def test_lock_without_locks_keeps_threads_apart(tmp_path: Path) -> None:
    """A second holder in the same process waits for the first."""
    with run_lock(tmp_path):
        other = FileLock(tmp_path / layout.SEGMENTS / layout.RUN_LOCK, everywhere=True)
        assert not other.acquire(0.05)

    assert other.acquire(0.05)
    other.release()


# Locks that end at the host.


def mark_by(folder: Path, *, host: str = "elsewhere", pid: int = 7, age_secs: float = 0) -> Path:
    """Make the mark of a process that holds a run's lock."""
    mark = layout.mark_of(run_lock(folder).path)
    mark.write_text(json.dumps({"host": host, "pid": pid}), encoding="utf-8")
    os.utime(mark, times=(0, time.time() - age_secs))
    return mark


@pytest.mark.usefixtures("reach_no_host")
def test_lock_is_not_had_while_another_host_holds_it(tmp_path: Path) -> None:
    """Its mark is respected, and when it is gone the lock is free."""
    mark = mark_by(tmp_path)
    lock = lock_of_run(tmp_path)

    assert not lock.acquire(0.05)
    assert mark.exists()
    mark.unlink()
    assert lock.acquire(0.05)
    assert json.loads(mark.read_text(encoding="utf-8")) == {"host": platform.node(), "pid": os.getpid()}
    lock.release()
    assert not mark.exists()


@pytest.mark.usefixtures("reach_no_host")
@pytest.mark.parametrize(
    "left",
    [{"age_secs": 70}, {"host": platform.node(), "pid": 2**22 + 1}, {"host": platform.node(), "pid": os.getpid()}],
    ids=["old", "of a process that is gone", "of this process, which lost it"],
)
def test_mark_of_one_that_is_gone_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: dict[str, Any]
) -> None:
    """A host that crashed while it held the lock holds nobody up for more than a minute."""
    monkeypatch.setattr("skald.engine.mark._STEAL_SECS", 0.0)
    mark_by(tmp_path, **left)
    lock = lock_of_run(tmp_path)

    assert lock.acquire(5)
    lock.release()


@pytest.mark.usefixtures("reach_no_host")
def test_compaction_says_meanwhile_that_it_holds_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that takes longer than a minute keeps other hosts out."""
    with skald.Logger("run", tmp_path / "runs") as logger:
        logger.log_metric("loss", 1)
        kept: list[bool] = []
        mark = layout.mark_of(lock_of_compaction(logger.run.path).path)
        monkeypatch.setattr("skald.engine.mark.os.utime", lambda path: kept.append(path == mark))

    assert kept
    assert all(kept)


def test_lock_that_reaches_all_needs_no_mark(tmp_path: Path) -> None:
    """On local disks nothing stands beside it."""
    with run_lock(tmp_path) as lock:
        assert [path.name for path in lock.path.parent.iterdir()] == [layout.RUN_LOCK]


# Files that other hosts replace.


def test_run_that_another_host_has_just_made_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system may show no run.json yet: `new` is refused then, and `join` joins."""
    with skald.Logger("run", tmp_path) as first:
        first.log_params(lr=1)
        seen = iter([False, False])
        is_run = layout.is_run
        with monkeypatch.context() as blind:
            blind.setattr("skald.writing.opening.check_free", lambda *_, **__: None)
            blind.setattr("skald.writing.opening.is_run", lambda run: next(seen, None) is None and is_run(run))
            with pytest.raises(skald.RunExistsError):
                skald.Logger("run", tmp_path)
            seen = iter([False, False])
            with skald.Logger("run", tmp_path, mode="join") as second:
                second.log_metric("loss", 1)

    assert first.run.params == {"lr": 1}
    assert len(first.run.info["sessions"]) == 2


def test_file_that_must_be_new_is_not_replaced(tmp_path: Path) -> None:
    """Neither where the file system has links nor where it has none."""
    path = tmp_path / "file"
    write_atomic(path, b"one", new=True)

    with pytest.raises(FileExistsError):
        write_atomic(path, b"two", new=True)

    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_must_be_new_is_made_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on exFAT and some network shares."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    path = tmp_path / "file"
    write_atomic(path, b"one", new=True)
    with pytest.raises(FileExistsError):
        write_atomic(path, b"two", new=True)

    assert path.read_bytes() == b"one"


def test_file_that_is_stale_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was replaced on another host between the look at its name and the reading."""
    path = tmp_path / "file"
    path.write_bytes(b"new")
    faults = [OSError(errno.ESTALE, "Stale file handle")] * 2
    read = Path.read_bytes

    def stale(path: Path) -> bytes:
        if faults:
            raise faults.pop()
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", stale)

    assert read_atomic(path) == b"new"


def test_lock_file_that_is_stale_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host removed it with the folder of segments, or made it anew."""
    import fcntl

    faults, flock = [OSError(errno.ESTALE, "Stale file handle")], fcntl.flock

    def stale(descriptor: int, operation: int) -> None:
        if faults:
            raise faults.pop()
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", stale)

    with run_lock(tmp_path) as lock:
        assert lock.held
    assert not faults


def test_owners_of_a_run_that_is_closed_just_then_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of segments may go between two looks at it."""
    with monkeypatch.context() as late:
        late.setattr(Path, "is_dir", lambda _: True)
        assert owners(tmp_path) == {}


def test_close_removes_the_folder_of_segments_where_open_files_keep_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Network file systems keep a file that is removed while it is open, under another name, until it is closed."""
    release = FileLock.release

    def unlink(path: Path) -> None:
        if path.name == layout.COMPACTION_LOCK:
            path.rename(path.with_name(".nfs0001"))
        else:
            path.unlink(missing_ok=True)

    def release_last(lock: FileLock) -> None:
        release(lock)
        if lock.path.name == layout.COMPACTION_LOCK:
            lock.path.with_name(".nfs0001").unlink(missing_ok=True)

    monkeypatch.setattr("skald.engine.compaction.unlink", unlink)
    monkeypatch.setattr(FileLock, "release", release_last)

    with skald.Logger("run", tmp_path) as logger:
        logger.log_metric("loss", 1)

    assert not (logger.run.path / layout.SEGMENTS).exists()


@pytest.mark.parametrize("way", ["overwrite", "compact"])
def test_ctrl_c_as_a_lock_has_been_taken_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Also while its exception is held, as a notebook does, which has all that was under way in its frames."""
    run, acquire = tmp_path / "run", FileLock.acquire
    skald.Logger("run", tmp_path, capture=False).close()
    (run / layout.SEGMENTS).mkdir()

    def acquire_and_stop(lock: FileLock, *args: Any, **options: Any) -> bool:
        acquire(lock, *args, **options)
        raise KeyboardInterrupt

    def hold() -> None:
        if way == "compact":
            compact(run, metrics_format="parquet")
        else:
            with sole_lock(run):
                pass

    with monkeypatch.context() as patch:
        patch.setattr(FileLock, "acquire", acquire_and_stop)
        with pytest.raises(KeyboardInterrupt) as caught:
            hold()

    for lock in (lock_of_run(run), lock_of_compaction(run)):
        (run / layout.SEGMENTS).mkdir(exist_ok=True)
        assert lock.acquire(0)
        lock.release()
    assert caught.tb is not None
