"""run.json, and the status of a run whose writers live, have closed, or are gone."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import skald
from skald import layout
from skald.engine.claim import Claim
from skald.engine.lock import FileLock
from skald.errors import CorruptRunError, FormatVersionError, RunNotFoundError, StorageError
from skald.record.info import RunInfo, Session, live_writers, read_info, read_status, settle, write_info

STARTED = dt.datetime(2026, 11, 23, 8, 15, 0, 123_456, tzinfo=dt.UTC)
HOLD_LOCK = """
import pathlib, sys
from skald.engine.lock import FileLock
lock = FileLock(pathlib.Path(sys.argv[1]))
lock.acquire()
print(flush=True)
input()
"""


def info_of(**fields: Any) -> RunInfo:
    """Return the information of a run that has just been opened, with other `fields`."""
    session = Session(writer="w1", host="node", pid=7, started=STARTED)
    return msgspec.structs.replace(RunInfo(name="test", started=STARTED, sessions=[session]), **fields)


def writer_lock(run: Path, writer: str) -> FileLock:
    """Return the lock of a writer, whose folder is made."""
    folder = run / layout.SEGMENTS / writer
    folder.mkdir(parents=True)
    return FileLock(folder / layout.WRITER_LOCK)


def test_info_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Every field survives the file, times to the microsecond and in UTC."""
    ended = STARTED + dt.timedelta(hours=1)
    session = Session(writer="w", host="node", pid=1, started=STARTED, ended=ended, status="failed")
    info = info_of(
        status="failed",
        ended=ended,
        sessions=[session],
        tags=["a", "é"],
        notes="two\nlines",
        metrics_format="csv",
        exception="ValueError: no",
    )

    write_info(tmp_path, info)

    assert read_info(tmp_path) == info


def test_info_is_json_for_people(tmp_path: Path) -> None:
    """One field a line, the format first, times as ISO 8601."""
    write_info(tmp_path, info_of())

    lines = (tmp_path / layout.RUN_JSON).read_text(encoding="utf-8").splitlines()

    assert lines[1] == f'  "format": {layout.FORMAT_VERSION},'
    assert '  "started": "2026-11-23T08:15:00.123456Z",' in lines
    assert '  "ended": null,' in lines


def test_info_keeps_fields_that_it_does_not_know(tmp_path: Path) -> None:
    """A later Skald of the same format may add fields: an older one that writes leaves them."""
    write_info(tmp_path, info_of())
    path = tmp_path / layout.RUN_JSON
    path.write_text(
        json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"git": {"dirty": True}}), encoding="utf-8"
    )

    write_info(tmp_path, msgspec.structs.replace(read_info(tmp_path), status="finished"))

    assert json.loads(path.read_text(encoding="utf-8"))["git"] == {"dirty": True}
    assert read_info(tmp_path).status == "finished"


@pytest.mark.parametrize("name", ["", "missing", "file/inside"])
def test_info_of_no_run_is_an_error_that_names_the_path(name: str, tmp_path: Path) -> None:
    """A folder without run.json, no folder, and a path through a file are no runs."""
    (tmp_path / "file").touch()

    with pytest.raises(RunNotFoundError, match=f"no run at {tmp_path / name}"):
        read_info(tmp_path / name)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"format": 1}',
        b'{"format": 1, "name": 3}',
    ],
)
def test_info_that_is_damaged_is_an_error_that_names_the_file(damage: bytes, tmp_path: Path) -> None:
    """Neither read nor written over."""
    path = tmp_path / layout.RUN_JSON
    path.write_bytes(damage)

    with pytest.raises(CorruptRunError, match=r"run\.json"):
        read_info(tmp_path)

    assert path.read_bytes() == damage


def test_info_of_a_newer_format_is_refused_whatever_else_it_holds(tmp_path: Path) -> None:
    """A newer run is no damaged run: the error says to update, and the file stays as it is."""
    path = tmp_path / layout.RUN_JSON
    newer = json.dumps({"format": layout.FORMAT_VERSION + 1, "name": ["another", "kind"]})
    path.write_text(newer, encoding="utf-8")

    with pytest.raises(FormatVersionError, match="newer"):
        read_info(tmp_path)
    with pytest.raises(FormatVersionError, match="newer"):
        write_info(tmp_path, info_of())

    assert path.read_text(encoding="utf-8") == newer


def test_info_tells_when_the_folder_is_gone(tmp_path: Path) -> None:
    """A run removed under a logger's feet is a clear error."""
    with pytest.raises(StorageError, match="was not written"):
        write_info(tmp_path / "gone", info_of())


def test_info_is_whole_for_whoever_reads_meanwhile(tmp_path: Path) -> None:
    """A reader sees the old fields or the new, never half a file."""
    write_info(tmp_path, info_of(notes="0" * 5_000))
    stop = threading.Event()
    sizes: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            sizes.add(len(set(read_info(tmp_path).notes)))

    reader = threading.Thread(target=read)
    reader.start()
    for digit in range(10):
        write_info(tmp_path, info_of(notes=str(digit) * 5_000))
    stop.set()
    reader.join()

    assert sizes == {1}


# What run.json and the locks together say.


def sessions_of(*words: str) -> list[Session]:
    """Return processes that wrote a run beside each other, from the words that they left: w1, w2, ..."""
    return [
        Session(writer=f"w{k}", host="node", pid=k, started=STARTED, status=word, joined=k > 1)  # type: ignore[arg-type]
        for k, word in enumerate(words, 1)
    ]


@pytest.mark.parametrize("word", ["finished", "stopped", "failed", "crashed"])
def test_status_of_an_ended_run_is_the_word_written(word: str, tmp_path: Path) -> None:
    """Whoever still holds a lock: the word is the last one."""
    write_info(tmp_path, info_of(status=word))

    with writer_lock(tmp_path, "w1"):
        assert read_status(tmp_path) == word
    assert read_status(tmp_path) == word


def test_status_is_running_while_one_writer_lives(tmp_path: Path) -> None:
    """The dead and the ended among several writers change nothing."""
    write_info(tmp_path, info_of(sessions=sessions_of("running", "failed", "running")))
    writer_lock(tmp_path, "w1").path.touch()

    with writer_lock(tmp_path, "w3"):
        assert read_status(tmp_path) == "running"
        assert live_writers(tmp_path) == ["w3"]


def test_status_ignores_writers_that_are_not_in_the_file(tmp_path: Path) -> None:
    """A child that was forked writes on after its parent has died: the run has crashed all the same."""
    write_info(tmp_path, info_of())

    with writer_lock(tmp_path, "w2"):
        assert read_status(tmp_path) == "crashed"


@pytest.mark.parametrize("alone", ["finished", "stopped", "failed"])
def test_status_is_the_word_of_the_last_process_when_two_close_at_once(alone: str, tmp_path: Path) -> None:
    """Where each saw the other alive, neither ended the run in run.json, but their words are there."""
    write_info(tmp_path, info_of(sessions=sessions_of("finished", alone)))

    assert read_status(tmp_path) == alone


@pytest.mark.parametrize(
    ("words", "worst"),
    [
        (["finished"], "finished"),
        (["finished", "stopped", "finished"], "stopped"),
        (["stopped", "failed", "finished"], "failed"),
        (["failed", "running", "stopped"], "crashed"),
        ([], "crashed"),
    ],
)
def test_settled_run_has_the_worst_word_of_its_processes(words: list[str], worst: str) -> None:
    """Crashed, then failed, then stopped, then finished; who left no word has crashed."""
    info = info_of(sessions=sessions_of(*words))

    settle(info, writing=())

    assert info.status == worst


def test_settled_run_has_the_exception_of_the_worst_that_has_one() -> None:
    """Where one process fails, what ends the others is not the reason."""
    info = info_of(sessions=sessions_of("stopped", "running", "failed", "failed"))
    for session, exception in zip(info.sessions, ["SystemExit(143)", None, "E: first", "E: second"], strict=True):
        session.exception = exception

    settle(info, writing=())

    assert (info.status, info.exception) == ("crashed", "E: first")


def test_settled_run_counts_the_processes_since_it_was_resumed() -> None:
    """What came before the last process that found nobody writing is of another session."""
    info = info_of(sessions=[*sessions_of("running", "failed"), *sessions_of("finished", "finished")])

    settle(info, writing=())

    assert [session.status for session in info.sessions] == ["crashed", "failed", "finished", "finished"]
    assert (info.status, info.exception) == ("finished", None)


def test_settled_run_goes_on_while_a_process_writes_it() -> None:
    """The dead are said to be dead, and the run is running."""
    info = info_of(sessions=sessions_of("running", "running"))

    settle(info, writing=["w2"])

    assert [session.status for session in info.sessions] == ["crashed", "running"]
    assert (info.status, info.ended) == ("running", None)


def test_status_of_a_killed_run_is_crashed(tmp_path: Path) -> None:
    """The system lets go of a killed process's lock, and nothing else says that it is gone."""
    write_info(tmp_path, info_of())
    lock = writer_lock(tmp_path, "w1")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(lock.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        alive = read_status(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert alive == "running"
    assert read_status(tmp_path) == "crashed"


def test_status_of_a_run_without_segments_that_says_running_is_crashed(tmp_path: Path) -> None:
    """A process that died between the last compaction and its last word left no writer."""
    write_info(tmp_path, info_of())

    assert live_writers(tmp_path) == []
    assert read_status(tmp_path) == "crashed"


@pytest.mark.skipif(os.name == "nt", reason="no named pipes")
def test_status_is_never_crashed_while_a_writer_closes(tmp_path: Path) -> None:
    """Who writes the last word between a reader's look at run.json and its look at the lock is not taken for dead."""
    write_info(tmp_path, info_of())
    lock = writer_lock(tmp_path, "w1").path
    os.mkfifo(lock)  # who looks at it waits until somebody opens the other end
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(read_status(tmp_path)), daemon=True)
    reader.start()

    end = os.open(lock, os.O_WRONLY)  # the reader has seen `running` and is on its way
    write_info(tmp_path, info_of(status="finished"))
    lock.unlink()
    os.close(end)
    reader.join()

    assert seen == ["finished"]


# A writer on another host.


def other_host(run: Path, *, age_secs: float, monkeypatch: pytest.MonkeyPatch, mount: str) -> None:
    """Make the folder of a writer on another host, whose lock this host does not see; the disk is mounted so."""
    mounts = run.parent / "mounts"
    mounts.write_text(f"none / {mount} 0 0\n", encoding="utf-8")
    monkeypatch.setattr("skald.engine.storage._MOUNTS", mounts)
    monkeypatch.setattr("skald.engine.storage._REACHING", {})
    lock = writer_lock(run, "w1").path
    lock.write_text('{"host": "elsewhere", "pid": 7}', encoding="utf-8")
    os.utime(lock, times=(0, time.time() - age_secs))
    write_info(run, info_of())


@pytest.mark.parametrize(
    ("mount", "young"),
    [
        ("ext4 rw", "crashed"),
        ("nfs4 rw,local_lock=none", "crashed"),
        ("nfs rw,nolock,local_lock=all", "running"),
        ("nfs rw,local_lock=flock", "running"),
        ("lustre rw,flock", "crashed"),
        ("lustre rw,localflock", "running"),
        ("beegfs rw", "running"),
        ("fuse.sshfs rw", "running"),
    ],
)
def test_status_of_a_writer_on_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str, young: str
) -> None:
    """Its lock counts where this host would see it, else its files' time: it is gone when they are a minute old."""
    for age_secs, status in ((20, young), (70, "crashed")):
        run = tmp_path / str(age_secs) / "run"
        run.mkdir(parents=True)
        other_host(run, age_secs=age_secs, monkeypatch=monkeypatch, mount=mount)

        assert read_status(run) == status


@pytest.mark.parametrize("mode", ["resume", "auto", "overwrite"])
def test_run_of_another_host_is_taken_over_once_it_gives_no_sign(
    mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes within a minute is told who is writing it."""
    run = tmp_path / "run"
    run.mkdir()
    other_host(run, age_secs=20, monkeypatch=monkeypatch, mount="beegfs rw")
    with pytest.raises(skald.RunExistsError, match="process 7 on elsewhere"):
        skald.Logger("run", tmp_path, mode=mode)

    os.utime(run / layout.SEGMENTS / "w1" / layout.WRITER_LOCK, times=(0, time.time() - 70))
    with skald.Logger("run", tmp_path, mode=mode) as logger:
        logger.log_metric("loss", 1)

    assert skald.Run(run).status == "finished"
    assert skald.Run(run).metrics.collect().height == 1


def test_writer_on_another_host_that_gave_its_lock_back_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However young its files are: it says so in the lock file."""
    other_host(tmp_path / "run", age_secs=70, monkeypatch=monkeypatch, mount="beegfs rw")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("platform.node", lambda: "elsewhere")
        claim = Claim(tmp_path / "run")
    alive = live_writers(tmp_path / "run")

    claim.release()

    assert alive == [claim.name]
    assert live_writers(tmp_path / "run") == []


def test_compaction_leaves_a_writer_on_another_host_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder stays while it gives signs of life, although its lock can be had, and goes when it is silent."""
    other_host(tmp_path / "run", age_secs=20, monkeypatch=monkeypatch, mount="beegfs rw")
    lock = tmp_path / "run" / layout.SEGMENTS / "w1" / layout.WRITER_LOCK

    skald.compact(tmp_path / "run")
    assert lock.exists()
    os.utime(lock, times=(0, time.time() - 70))
    skald.compact(tmp_path / "run")

    assert not lock.exists()


def test_writer_whose_lock_others_do_not_see_touches_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that logs nothing for a while gives a sign of life to other hosts."""
    mounts = tmp_path / "mounts"
    mounts.write_text("none / beegfs rw 0 0\n", encoding="utf-8")
    monkeypatch.setattr("skald.engine.storage._MOUNTS", mounts)
    monkeypatch.setattr("skald.engine.storage._REACHING", {})
    monkeypatch.setattr("skald.engine.staged.SIGN_SECS", 0.0)
    monkeypatch.setattr("skald.engine.staged.FLUSH_SECS", 0.002)

    with skald.Logger("run", tmp_path) as logger:
        (lock,) = logger.run.path.glob(f"{layout.SEGMENTS}/*/{layout.WRITER_LOCK}")
        os.utime(lock, times=(0, 0))
        deadline = time.monotonic() + 30
        while lock.stat().st_mtime == 0:
            assert time.monotonic() < deadline


def test_live_writers_are_the_locked_ones_oldest_first(tmp_path: Path) -> None:
    """Files beside the writers' folders, and folders without a lock, are no writers."""
    (tmp_path / layout.SEGMENTS / "w0").mkdir(parents=True)
    run_lock = FileLock(tmp_path / layout.SEGMENTS / layout.RUN_LOCK)

    with writer_lock(tmp_path, "w3"), writer_lock(tmp_path, "w1"), run_lock:
        assert live_writers(tmp_path) == ["w1", "w3"]
