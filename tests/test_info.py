"""run.json, and the status of a run whose writers live, have closed, or are gone."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from skald import layout
from skald.engine.lock import FileLock
from skald.errors import CorruptRunError, FormatVersionError, RunNotFoundError, StorageError
from skald.record.info import RunInfo, Session, live_writers, read_info, read_status, write_info

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


@pytest.mark.parametrize("word", ["finished", "stopped", "failed", "crashed"])
def test_status_of_an_ended_run_is_the_word_written(word: str, tmp_path: Path) -> None:
    """Whoever still holds a lock: the word is the last one."""
    write_info(tmp_path, info_of(status=word))

    with writer_lock(tmp_path, "w1"):
        assert read_status(tmp_path) == word
    assert read_status(tmp_path) == word


def test_status_is_running_while_one_writer_lives(tmp_path: Path) -> None:
    """The dead among several writers change nothing."""
    write_info(tmp_path, info_of())
    writer_lock(tmp_path, "w1").path.touch()

    with writer_lock(tmp_path, "w2"):
        assert read_status(tmp_path) == "running"
        assert live_writers(tmp_path) == ["w2"]


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
    locks = [writer_lock(tmp_path, writer).path for writer in ("w1", "w2")]
    for lock in locks:
        os.mkfifo(lock)  # who looks at it waits until somebody opens the other end
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append(read_status(tmp_path)), daemon=True)
    reader.start()

    ends = [os.open(locks[0], os.O_WRONLY)]  # the reader has seen `running` and is on its way
    write_info(tmp_path, info_of(status="finished"))
    ends += [os.open(lock, os.O_RDWR) for lock in locks]
    reader.join()
    for end in ends:
        os.close(end)

    assert seen == ["finished"]


def test_live_writers_are_the_locked_ones_oldest_first(tmp_path: Path) -> None:
    """Files beside the writers' folders, and folders without a lock, are no writers."""
    (tmp_path / layout.SEGMENTS / "w0").mkdir(parents=True)
    run_lock = FileLock(tmp_path / layout.SEGMENTS / layout.RUN_LOCK)

    with writer_lock(tmp_path, "w3"), writer_lock(tmp_path, "w1"), run_lock:
        assert live_writers(tmp_path) == ["w1", "w3"]
