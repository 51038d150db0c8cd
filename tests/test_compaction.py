"""Compaction: what it takes in, what it leaves, and who may do it when."""

from __future__ import annotations

import errno
import gc
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow.parquet as pq
import pytest
from handmade import row, segment, write_ids

from skald.engine.claim import Claim, run_lock
from skald.engine.compaction import compact
from skald.engine.lock import FileLock
from skald.engine.reader import scan_metrics
from skald.engine.stored import open_stored
from skald.errors import CorruptRunError, RunNotFoundError, StorageError
from skald.layout import COMPACTION_LOCK, RUN_JSON, SEGMENTS, WRITER_LOCK


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a run without rows."""
    path = tmp_path / "run"
    path.mkdir()
    (path / RUN_JSON).touch()
    return path


@contextmanager
def alive(run: Path, writer: str) -> Iterator[None]:
    """Let a writer look alive."""
    with FileLock(run / SEGMENTS / writer / WRITER_LOCK):
        yield


def names(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {path.name for path in folder.iterdir()}


def values(run: Path) -> list[float]:
    """Return all values of a run, sorted."""
    return sorted(scan_metrics(run).collect()["value"].to_list())


def footer(run: Path) -> dict[str, Any]:
    """Return what metrics.parquet says of itself."""
    metadata = pq.read_metadata(run / "metrics.parquet").metadata
    assert metadata is not None
    said: dict[str, Any] = msgspec.json.decode(metadata[b"skald"])
    return said


def test_dead_run_becomes_one_file(run: Path) -> None:
    """All rows of all writers go into the file, and nothing else is left."""
    write_ids(run, {"step": "int"})
    segment(run, "a", 0, [row("m", 1, 1, step=1)], sealed=True)
    segment(run, "a", 1, [row("m", 2, 2, step=2)], sealed=False)
    segment(run, "b", 0, [row("n", 3, 3)])
    (run / SEGMENTS / "run.lock").touch()

    done = compact(run)

    assert names(run) == {RUN_JSON, "metrics.parquet"}
    assert values(run) == [1, 2, 3]
    assert (done.rows, done.segments, done.damaged, done.damaged_rows) == (3, 3, [], 0)
    assert done.bytes_written == (run / "metrics.parquet").stat().st_size
    assert done.file == run / "metrics.parquet"
    assert done.complete
    assert done.seconds > 0


def test_compacting_again_writes_nothing(run: Path) -> None:
    """Where there is nothing to do nothing is touched."""
    segment(run, "a", 0, [row("m", 1, 1)])
    compact(run)
    before = (run / "metrics.parquet").stat()

    done = compact(run)

    assert (run / "metrics.parquet").stat() == before
    assert names(run) == {RUN_JSON, "metrics.parquet"}
    assert (done.rows, done.segments, done.bytes_written, done.complete) == (0, 0, 0, True)
    assert done.file == run / "metrics.parquet"


def test_run_without_rows_gets_no_file(run: Path) -> None:
    """A writer that logged nothing leaves nothing."""
    segment(run, "a", 0, [], kinds={"step": "int"})
    segment(run, "b", 0, [row("m", 1, 1)._replace(time=0)])

    done = compact(run)

    assert names(run) == {RUN_JSON}
    assert done.file is None
    assert done.complete


def test_folder_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    """A typo in a path is told."""
    with pytest.raises(RunNotFoundError, match="nowhere"):
        compact(tmp_path / "nowhere")


def test_path_may_be_a_string(run: Path) -> None:
    """`skald.compact("runs/a")` works."""
    segment(run, "a", 0, [row("m", 1, 1)])

    done = compact(str(run))

    assert done.rows == 1


def test_living_writer_keeps_what_may_change(run: Path) -> None:
    """Of a writer that lives only sealed segments are taken, also those above an active one."""
    segment(run, "a", 0, [row("m", 1, 1)], sealed=False)
    segment(run, "a", 1, [row("m", 2, 2, x=1)], stream=1)
    segment(run, "a", 2, [row("m", 3, 3, x=1)], stream=1, sealed=False)
    with alive(run, "a"):
        done = compact(run)

        assert names(run / SEGMENTS / "a") == {WRITER_LOCK, "000000.arrow", "000002.arrow"}
        assert (done.rows, done.segments, done.complete) == (1, 1, False)
        assert footer(run)["covered"] == {"a": [[1, 2]]}
        assert values(run) == [1, 2, 3]


def test_writer_that_is_gone_is_named_no_longer(run: Path) -> None:
    """The footer does not grow with the number of writers that a run ever had."""
    for number in range(3):
        segment(run, f"w{number}", 0, [row("m", number, number)])
        compact(run)

    assert footer(run)["covered"] == {"w2": [[0, 1]]}
    assert footer(run)["rows"] == 3
    assert values(run) == [0, 1, 2]


def test_new_ids_and_metrics_join_the_file(run: Path) -> None:
    """Resuming and compacting again merges, and metrics stand in order of first appearance."""
    segment(run, "a", 0, [row("b", 1, 1, step=1), row("a", 2, 2, step=2)])
    compact(run)
    segment(run, "b", 0, [row("c", 3, 3, step=3, split="val"), row("a", 4, 4, step=4, split="val")])

    compact(run)

    rows = pl.read_parquet(run / "metrics.parquet")
    assert rows.drop("time").rows() == [
        ("b", 1, None, 1.0),
        ("a", 2, None, 2.0),
        ("a", 4, "val", 4.0),
        ("c", 3, "val", 3.0),
    ]


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_file_of_many_chunks_takes_in_older_rows(run: Path, monkeypatch: pytest.MonkeyPatch, format_: Any) -> None:
    """A large file is read and written chunk by chunk, and rows that belong between its rows come there."""
    monkeypatch.setattr("skald.engine.merge.LEAST_CHUNK_ROWS", 1)
    monkeypatch.setattr("skald.engine.merge.MOST_CHUNK_ROWS", 4)
    if format_ == "csv":  # it is read a large block at a time
        monkeypatch.setattr("skald.engine.merge.MOST_WAITING", 100)
    monkeypatch.setattr("skald.engine.feeds.BLOCK_ROWS", 2)
    monkeypatch.setattr("skald.engine.feeds.SLICE_ROWS", 4)
    segment(run, "a", 0, [row(f"m{k % 3}", k, k) for k in range(0, 60, 2)])
    compact(run, metrics_format=format_)
    segment(run, "b", 0, [row(f"m{k % 3}", k, k) for k in range(1, 60, 2)])

    compact(run, metrics_format=format_)

    rows = scan_metrics(run).collect()
    assert {m: rows.filter(metric=m)["value"].to_list() for m in ("m0", "m1", "m2")} == {
        f"m{k}": [*range(k, 60, 3)] for k in range(3)
    }
    stored = open_stored(run)
    assert stored is not None
    with stored:
        assert len(stored.coverage.chunks) > 5
        assert sum(rows for rows, _ in stored.coverage.chunks) == 60


def test_older_row_in_a_later_segment_comes_before_newer_rows_of_others(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that steps back, or a batch with times of its own, is waited for."""
    monkeypatch.setattr("skald.engine.merge.LEAST_CHUNK_ROWS", 1)
    monkeypatch.setattr("skald.engine.merge.MOST_CHUNK_ROWS", 1)
    monkeypatch.setattr("skald.engine.merge.MOST_WAITING", 100)
    segment(run, "a", 0, [row("m", 0, 10), row("m", 1, 11)])
    segment(run, "a", 1, [row("n", 2, 1)])
    segment(run, "b", 0, [row("n", 3, 5), row("n", 4, 6)])

    compact(run)

    assert scan_metrics(run).filter(pl.col("metric") == "n").collect()["value"].to_list() == [2, 3, 4]


@pytest.mark.parametrize("chunk", [1, 100])
@pytest.mark.parametrize(
    ("times", "ordered"), [("m1 m1 m2 n1", True), ("m2 n1 m3 n1", True), ("m2 m1", False), ("m1 n3 m2 n2 m3", False)]
)
def test_file_knows_whether_times_of_a_metric_step_back(
    run: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, times: str, *, ordered: bool
) -> None:
    """Only where they do, a reader has to look at a whole metric to know its order; chunks make no difference."""
    monkeypatch.setattr("skald.engine.merge.LEAST_CHUNK_ROWS", 1)
    monkeypatch.setattr("skald.engine.merge.MOST_CHUNK_ROWS", chunk)
    for number, line in enumerate(times.split()):
        segment(run, "a", number, [row(line[0], number, int(line[1]))])

    compact(run)

    assert footer(run)["ordered"] == ordered
    assert len(footer(run)["chunks"]) == (len(times.split()) if chunk == 1 else 1)


def test_interrupted_compaction_leaves_the_run_as_it_was(run: Path) -> None:
    """Ctrl-C in the middle loses nothing, leaves no rubbish, and pyarrow has nothing to complain of."""
    segment(run, "a", 0, [row("m", 1, 1)])

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compact(run, progress=interrupt)

    gc.collect()
    assert names(run) == {RUN_JSON, SEGMENTS}
    assert values(run) == [1]


def test_run_keeps_its_format(run: Path) -> None:
    """Without an order what is there decides, and parquet where nothing is."""
    segment(run, "a", 0, [row("m", 1, 1)])
    compact(run, metrics_format="csv")
    segment(run, "b", 0, [row("m", 2, 2)])

    done = compact(run)

    assert names(run) == {RUN_JSON, "metrics.csv", "metrics.csv.json"}
    assert done.file == run / "metrics.csv"
    assert values(run) == [1, 2]


def test_change_of_format_moves_all_rows(run: Path) -> None:
    """A run resumed with another format has one file, with and without new rows."""
    segment(run, "a", 0, [row("m", 1, 1)])
    compact(run, metrics_format="csv")
    segment(run, "b", 0, [row("m", 2, 2)])

    compact(run, metrics_format="parquet")
    first = names(run)
    compact(run, metrics_format="csv")
    second = names(run)

    assert first == {RUN_JSON, "metrics.parquet"}
    assert second == {RUN_JSON, "metrics.csv", "metrics.csv.json"}
    assert values(run) == [1, 2]


def test_damaged_segments_are_named_and_left(run: Path) -> None:
    """Everything else is compacted, now and later."""
    segment(run, "a", 0, [row("m", 1, 1)])
    broken = segment(run, "a", 1, [row("m", 2, 2)])
    broken.write_bytes(broken.read_bytes()[:700])
    segment(run, "a", 2, [row("m", 3, 3)])

    with pytest.warns(UserWarning, match=r"000001\.arrow"):
        done = compact(run)

    assert done.damaged == [broken]
    assert not done.complete
    assert names(broken.parent) == {WRITER_LOCK, "000001.arrow"}
    assert footer(run)["damaged"] == {"a": [1]}
    assert footer(run)["covered"] == {"a": [[0, 1], [2, 3]]}
    before = (run / "metrics.parquet").stat()
    with pytest.warns(UserWarning, match=r"000001\.arrow"):
        assert compact(run).rows == 0
    assert (run / "metrics.parquet").stat() == before


def test_repaired_segment_is_taken_in_later(run: Path) -> None:
    """What could not be read once is not written off."""
    segment(run, "a", 0, [row("m", 1, 1)])
    broken = segment(run, "a", 1, [row("m", 2, 2)])
    content = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"):
        compact(run)

    broken.write_bytes(content)
    compact(run)

    assert values(run) == [1, 2]
    assert not (run / SEGMENTS).exists()


def test_damaged_rows_are_left_out_and_counted(run: Path) -> None:
    """Rows whose names are lost are gone, and the number of rows is still held against the segments."""
    segment(run, "a", 0, [row("m", 1, 1), row("m", 2, 2), row("m", 3, 3)], codes=[1, 0, 1])

    done = compact(run)

    assert done.damaged_rows == 1
    assert values(run) == [1, 3]
    assert (done.rows, done.complete) == (2, True)


def test_damaged_metrics_file_stops_a_compaction(run: Path) -> None:
    """What is in a file that cannot be read is not overwritten, and no segment goes."""
    segment(run, "a", 0, [row("m", 1, 1)])
    compact(run)
    segment(run, "b", 0, [row("m", 2, 2)])
    (run / "metrics.parquet").write_bytes(b"PAR1 nonsense PAR1")

    with pytest.raises(CorruptRunError, match=r"metrics\.parquet"):
        compact(run)

    assert (run / "metrics.parquet").read_bytes() == b"PAR1 nonsense PAR1"
    assert (run / SEGMENTS / "b" / "000000.arrow").exists()


def test_segments_stay_when_the_file_lacks_rows(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows written are held against the segments before these go: here a segment loses a row on the way."""
    monkeypatch.setattr("skald.engine.merge.LEAST_CHUNK_ROWS", 1)
    monkeypatch.setattr("skald.engine.merge.MOST_CHUNK_ROWS", 1)
    segment(run, "a", 0, [row("m", 1, 1)])
    victim = segment(run, "a", 1, [row("m", 2, 2), row("m", 3, 3)])

    def lose_a_row(done: int, _total: int) -> None:
        if done == 1:
            segment(run, "a", 1, [row("m", 2, 2)])

    with pytest.raises(CorruptRunError, match="expected 3 rows"):
        compact(run, progress=lose_a_row)

    assert victim.exists()
    assert names(run) == {RUN_JSON, SEGMENTS}


FULL_DISK = """
import resource, sys
from skald.engine.compaction import compact
from skald.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    compact(sys.argv[1], metrics_format=sys.argv[2])
except StorageError as error:
    print(error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_full_disk_leaves_the_run_as_it_was(run: Path, format_: str) -> None:
    """A compaction that finds no room says so; no row and no rubbish is left behind."""
    segment(run, "a", 0, [row("m", math.sin(k), math.sin(k) + 1, step=k) for k in range(1000)])

    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(run), format_], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == str(errno.EFBIG)
    assert result.stderr == ""
    assert names(run) == {RUN_JSON, SEGMENTS}
    assert len(values(run)) == 1000
    assert compact(run).rows == 1000


def test_rubbish_of_dead_compactions_and_writers_is_removed(run: Path) -> None:
    """Unfinished files of the run go; temporary files of others stay."""
    for name in ("metrics.parquet", "metrics.csv", "metrics.csv.json", "run.json", "params.yaml", "notes.txt"):
        (run / f".tmp-01234567-{name}").touch()
    segment(run, "a", 0, [row("m", 1, 1)])
    (run / SEGMENTS / "a" / ".tmp-0123-000001.arrow").touch()
    (run / SEGMENTS / ".tmp-0123-ids.json").touch()

    compact(run)

    assert names(run) == {RUN_JSON, "metrics.parquet", ".tmp-01234567-notes.txt"}


def test_unfinished_run_json_of_an_interrupted_call_is_left_alone(run: Path) -> None:
    """A signal handler may close the run in the midst of such a call, which then goes on."""
    segment(run, "a", 0, [row("m", 1, 1)])
    unfinished = run / ".tmp-01234567-run.json"
    unfinished.touch()

    with run_lock(run):
        compact(run)

    assert unfinished.exists()


def test_foreign_files_are_not_removed(run: Path) -> None:
    """Who puts a file into a writer's folder finds it there."""
    segment(run, "a", 0, [row("m", 1, 1)])
    (run / SEGMENTS / "a" / "notes.txt").touch()

    done = compact(run)

    assert names(run / SEGMENTS / "a") == {WRITER_LOCK, "notes.txt"}
    assert not done.complete
    assert values(run) == [1]


def test_many_dead_writers_are_compacted(run: Path) -> None:
    """Each dead writer's lock is a descriptor: they are taken some hundred at a time."""
    for number in range(600):
        segment(run, f"w{number:03}", 0, [row("m", number, number)])

    done = compact(run)

    assert (done.rows, done.segments, done.complete) == (600, 600, True)
    assert scan_metrics(run).collect()["value"].to_list() == [*range(600)]


def test_progress_is_told(run: Path) -> None:
    """The last word is that all is done."""
    segment(run, "a", 0, [row("m", 1, 1)])
    compact(run)
    segment(run, "b", 0, [row("m", k, k) for k in range(9)])
    told: list[tuple[int, int]] = []

    compact(run, progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (10, 10)


def test_compaction_waits_for_another(run: Path) -> None:
    """Two at a time would write the same file."""
    segment(run, "a", 0, [row("m", 1, 1)])
    lock = FileLock(run / SEGMENTS / COMPACTION_LOCK)
    lock.acquire()
    thread = threading.Thread(target=compact, args=(run,))

    thread.start()
    thread.join(0.2)
    waited = thread.is_alive()
    lock.release()
    thread.join(10)

    assert waited
    assert not (run / SEGMENTS).exists()


def test_last_one_out_leaves_the_work_to_those_who_live(run: Path) -> None:
    """With `last_out` a closing writer does nothing while another lives."""
    segment(run, "a", 0, [row("m", 1, 1)])
    segment(run, "b", 0, [row("m", 2, 2)], sealed=False)
    with alive(run, "b"):
        started = time.perf_counter()
        done = compact(run, last_out=True)

        assert (done.rows, done.complete, done.file) == (0, False, None)
        assert time.perf_counter() - started < 0.5

    assert compact(run, last_out=True).rows == 2


def test_one_of_many_that_close_at_once_compacts(run: Path) -> None:
    """Whoever is last takes in all, however close they are."""
    for attempt in range(20):
        writers = [f"w{attempt}-{number}" for number in range(4)]
        barrier = threading.Barrier(len(writers))
        with ExitStack() as stack:
            for number, writer in enumerate(writers):
                segment(run, writer, 0, [row("m", attempt * 4 + number, attempt)])
            locks = {writer: FileLock(run / SEGMENTS / writer / WRITER_LOCK) for writer in writers}
            for lock in locks.values():
                lock.acquire()
                stack.callback(lock.release)

            def close(lock: FileLock, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                lock.release()
                compact(run, last_out=True)

            threads = [threading.Thread(target=close, args=(lock,)) for lock in locks.values()]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert not (run / SEGMENTS).exists()

    assert values(run) == [*range(80)]


def test_new_writer_keeps_its_folder_while_others_compact(run: Path) -> None:
    """However a writer's opening meets a compaction, its folder stands while it lives."""
    stop = threading.Event()

    def compact_all_the_time() -> None:
        while not stop.is_set():
            compact(run)

    thread = threading.Thread(target=compact_all_the_time)
    thread.start()
    opened = 0
    deadline = time.monotonic() + 1.5
    try:
        while time.monotonic() < deadline:
            with run_lock(run):
                claim = Claim(run)
            opened += 1
            time.sleep(0)
            assert claim.folder.is_dir()
            assert (claim.folder / WRITER_LOCK).exists()
            claim.release()
    finally:
        stop.set()
        thread.join()

    assert opened > 20


def test_folder_of_segments_may_go_as_it_is_found_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last writer of a run removes it, while the next one makes it."""
    make, found = os.mkdir, [FileExistsError(errno.EEXIST, "it was there")]

    def removed_meanwhile(path: Path, mode: int = 0o777) -> None:
        if found:
            raise found.pop()
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", removed_meanwhile)

    with run_lock(tmp_path):
        assert (tmp_path / SEGMENTS).is_dir()


def test_reader_that_probes_does_not_make_a_dead_writer_look_alive(run: Path) -> None:
    """Somebody who looks whether a writer lives holds its lock for a moment: that is waited for."""
    segment(run, "a", 0, [row("m", 1, 1)])
    probe = """
import fcntl, sys, time
with open(sys.argv[1]) as file:
    fcntl.flock(file, fcntl.LOCK_SH)
    print("probing", flush=True)
    time.sleep(0.3)
"""
    with subprocess.Popen(
        [sys.executable, "-c", probe, str(run / SEGMENTS / "a" / WRITER_LOCK)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        done = compact(run)

    assert (done.rows, done.complete) == (1, True)


IMPORTS = """
import sys
from skald.engine.compaction import compact
compact(sys.argv[1])
print({"polars", "pandas"} & set(sys.modules))
"""


def test_compaction_loads_neither_polars_nor_pandas(run: Path) -> None:
    """A training process that closes its logger pays for no tables, also where it merges with a file that is there."""
    segment(run, "a", 0, [row("m", 1, 1, n=1, x=0.5, s="s", b=True), row("m", 2, 2)], mixed=True)
    compact(run)
    segment(run, "b", 0, [row("m", 3, 3, n=0.5, s="t")])

    result = subprocess.run([sys.executable, "-c", IMPORTS, str(run)], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "set()"
    assert values(run) == [1, 2, 3]


def test_unwritable_folder_is_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the system says what could not be done, in our words."""
    segment(run, "a", 0, [row("m", 1, 1)])

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("os.open", refuse)

    with pytest.raises(StorageError, match="run") as caught:
        compact(run)

    assert caught.value.errno == errno.EROFS
