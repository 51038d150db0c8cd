"""Staged segments: memory that one thread writes into the file, so that the file is right at every instant."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from logged import rows, values

import skald
from skald.engine.blueprint import SEALED_AT
from skald.engine.staged import FLUSH_SECS, Staged
from skald.layout import SEGMENTS


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run that is staged."""
    monkeypatch.setenv("SKALD_STORAGE", "staged")
    return tmp_path / "run"


@pytest.fixture
def logger(run: Path) -> Iterator[skald.Logger]:
    """Log a staged run whose thread ends as soon as it begins: tests flush by hand."""
    with skald.Logger("run", run.parent) as logger:
        logger._session.writer().segments.flusher._thread.stop()
        yield logger


def flush(logger: skald.Logger) -> None:
    """Write what is committed, as the thread does every half second."""
    assert logger._session.writer().segments.flusher.flush() is None


def segment_of(logger: skald.Logger) -> Any:
    """Return the one segment of a run without ids."""
    return logger._session.writer()._streams._by_call[()].segment


def test_staged_rows_are_read_half_a_second_later(run: Path) -> None:
    """The thread writes them without being asked."""
    with skald.Logger("run", run.parent) as logger:
        logger.log_metric("loss", 1.0, tag="é")
        ends = time.monotonic() + 20 * FLUSH_SECS

        while not values(run) and time.monotonic() < ends:
            time.sleep(0.02)

        assert values(run) == [1.0]
        assert [thread.name for thread in threading.enumerate()].count("skald-flush") == 1


def test_staged_file_is_the_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All columns, dictionaries and holes, over several flushes and a roll."""
    found = []
    for storage in ("mapped", "staged"):
        monkeypatch.setenv("SKALD_STORAGE", storage)
        with skald.Logger(storage, tmp_path) as logger:
            for step in range(1500):
                logger.log_metric(
                    f"n{step % 90}", step, step=step, lr=0.5, tag=f"tåg{step % 40}", is_best=step % 2 == 0
                )
                if step % 300 == 0:
                    logger.sync()
            logger.sync()
            files = sorted((tmp_path / storage / SEGMENTS).glob("*/*.arrow"))
            found.append([path.read_bytes() for path in files])

    mapped, staged = found
    assert len(mapped) == len(staged) > 1
    for a, b in zip(mapped, staged, strict=True):
        assert len(a) == len(b)
        assert sum(x != y for x, y in zip(a, b, strict=True)) <= 1500 * 8  # the times differ, and nothing else


def test_flush_leaves_a_hole_to_the_next(logger: skald.Logger, run: Path) -> None:
    """A row that commits late, after rows behind it were flushed, is not forgotten."""
    logger.log_metric("loss", 0.0)
    segment = segment_of(logger)
    late = segment.reserve("loss", {})
    logger.log_metric("loss", 2.0)
    flush(logger)
    before = values(run)

    segment.value[late] = 1.0
    segment.time[late] = time.time_ns()
    logger.log_metric("loss", 3.0)
    flush(logger)

    assert before == [0.0, 2.0]
    assert values(run) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("whole_bytes", [0, 1 << 18], ids=["columns", "whole"])
def test_flush_writes_the_times_last_and_as_they_were_copied(
    whole_bytes: int, logger: skald.Logger, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that commits while the columns are being written is left to the next flush, as its columns may be old."""
    monkeypatch.setattr("skald.engine.staged.WHOLE_BYTES", whole_bytes)
    logger.log_metric("loss", 0.0, tag="a")
    segment = logger._session.writer()._streams._by_call[("tag",)].segment
    assert segment is not None
    storage: Any = segment.storage
    write_pieces = storage._write_pieces
    seen: list[list[dict[str, Any]]] = []

    def write_and_log(*arguments: Any) -> None:
        write_pieces(*arguments)
        if not seen:
            seen.append(rows(run))
            logger.log_metric("loss", 1.0, tag="new")

    storage._write_pieces = write_and_log
    flush(logger)
    after_first = rows(run)
    with pa.memory_map(str(storage.path)) as file:
        times = pa.ipc.open_file(file).get_batch(0).column("time").cast(pa.int64()).to_pylist()
    flush(logger)

    assert seen == [[]]
    assert [time != 0 for time in times[:3]] == [True, False, False]
    assert after_first == [{"value": 0.0, "tag": "a"}]
    assert rows(run) == [{"value": 0.0, "tag": "a"}, {"value": 1.0, "tag": "new"}]


@pytest.mark.parametrize("whole_bytes", [0, 1 << 18], ids=["columns", "whole"])
def test_seal_during_a_flush_loses_no_row(
    whole_bytes: int, logger: skald.Logger, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is committed, and its segment sealed, after a flush copied the times, is in the next flush."""
    monkeypatch.setattr("skald.engine.staged.WHOLE_BYTES", whole_bytes)
    logger.log_metric("loss", 0.0)
    segment = segment_of(logger)
    storage: Any = segment.storage
    write_pieces = storage._write_pieces

    def write_and_seal(*arguments: Any) -> None:
        write_pieces(*arguments)
        storage._write_pieces = write_pieces
        logger.log_metric("loss", 1.0)
        segment.seal()

    storage._write_pieces = write_and_seal
    flush(logger)
    first_done = storage.is_done
    flush(logger)

    assert not first_done
    assert storage.is_done
    assert storage.path.read_bytes()[SEALED_AT] == 1
    assert values(run) == [0.0, 1.0]


def test_flush_from_several_threads_writes_each_segment_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sync` from several threads, beside the thread that flushes: one at a time."""
    write, inside, most = Staged.flush, [0], [0]

    def counted(staged: Staged) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        write(staged)
        inside[0] -= 1

    monkeypatch.setattr(Staged, "flush", counted)
    monkeypatch.setattr("skald.engine.staged.FLUSH_SECS", 0.002)
    logger = skald.Logger("run", run.parent)
    faults: list[BaseException] = []

    def sync() -> None:
        try:
            for _ in range(5):
                logger.sync()
        except BaseException as error:  # noqa: BLE001 told below
            faults.append(error)

    threads = [threading.Thread(target=sync) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(200):
        logger.log_batch({"loss": [float(number)]}, **{f"k{number % 5}": number})
        logger.log_metric("loss", number, new=str(number))
    for thread in threads:
        thread.join()
    logger.close()

    assert not faults
    assert most == [1]
    assert len(values(run)) == 400


def test_staged_segments_are_let_go_when_they_are_written(run: Path) -> None:
    """Memory and descriptors do not grow with the rolls."""
    with skald.Logger("run", run.parent) as logger:
        flusher = logger._session.writer().segments.flusher
        for step in range(200_000):
            logger.log_metric("loss", step)
        flush(logger)

        assert len(flusher._staged) == 1
        assert flusher.waiting_bytes == 0
        links = [path.readlink().name for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
        assert sum(link.endswith(".arrow") for link in links) == 1


@pytest.mark.parametrize("mode", ["mapped", "staged"])
def test_sync_is_a_clear_error_when_the_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """A run removed under a logger's feet is no FileNotFoundError of somewhere inside."""
    monkeypatch.setenv("SKALD_STORAGE", mode)
    logger = skald.Logger("run", tmp_path)
    logger.log_metric("loss", 0.5)
    logger.sync()
    shutil.rmtree(tmp_path / "run")

    with pytest.raises(skald.StorageError, match="gone"):
        logger.sync()

    logger.close()
