"""Rolls: what happens where a segment, a dictionary or the id sets are full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from logged import rows, values

import skald
from skald.engine.blueprint import Capacity
from skald.engine.dictionary import KEEP
from skald.engine.segment import FIRST_ROWS, MOST_ROWS
from skald.layout import SEGMENTS


def segments(run: Path) -> list[pa.RecordBatch]:
    """Return the batches of a run's segments, each of which must be a valid Arrow file."""
    batches = []
    for path in sorted((run / SEGMENTS).glob("*/*.arrow")):
        with pa.memory_map(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
            batch.validate(full=True)
            batches.append(batch)
    return batches


def test_roll_doubles_segments_up_to_the_largest(tmp_path: Path) -> None:
    """Small runs stay small, and a roll never takes long."""
    with skald.Logger("run", tmp_path) as logger:
        log = logger.log_metric
        for step in range(300_000):
            log("loss", step, step=step)

        sizes = [batch.num_rows for batch in segments(tmp_path / "run")]
        assert sizes[:7] == [FIRST_ROWS << k for k in range(7)]
        assert set(sizes[7:]) == {MOST_ROWS}
    assert values(tmp_path / "run") == list(range(300_000))


def test_roll_keeps_every_instant_a_valid_file(tmp_path: Path) -> None:
    """Other programs can open a segment after any call, though what they read may be torn."""
    with skald.Logger("run", tmp_path) as logger:
        for number in range(200):
            logger.log_metric(f"näme{number}", number, täg="Ω" * (number % 7), split="" if number % 2 else "ﬁ")

            assert segments(tmp_path / "run")
    found = skald.Run(tmp_path / "run").metrics.collect()
    assert sorted(zip(found["value"], found["metric"], strict=True)) == [(n, f"näme{n}") for n in range(200)]
    assert found.filter(value=14)["täg"].to_list() == [""]
    assert found.filter(value=15)["split"].to_list() == [""]


@pytest.mark.parametrize("name_bytes", [1, 3, 1000, 1024])
def test_roll_makes_room_for_thousands_of_names(tmp_path: Path, name_bytes: int) -> None:
    """Names up to the longest, by all paths, each row with the name that it was logged with."""
    count = 3000
    names = [
        f"{number:x}".rjust(name_bytes, "m") if name_bytes > 3 else chr(0x4E00 + number) for number in range(count)
    ]
    with skald.Logger("run", tmp_path) as logger:
        for number, name in enumerate(names):
            logger.log_metric(name, number, step=number)
        logger.log_metrics({name: number for number, name in enumerate(names)}, step=0)

    table = skald.Run(tmp_path / "run").metrics.collect()
    assert table.height == 2 * count
    assert {(row[0], row[2]) for row in table.iter_rows()} == {(name, float(k)) for k, name in enumerate(names)}


def test_roll_makes_room_for_long_string_ids(tmp_path: Path) -> None:
    """The longest string that an id may have, again and again."""
    texts = [chr(97 + number) * 65_536 for number in range(20)]
    with skald.Logger("run", tmp_path) as logger:
        for number, text in enumerate(texts):
            logger.log_metric("loss", number, text=text)

    assert [row["text"] for row in rows(tmp_path / "run")] == texts


def test_roll_widens_ints_to_floats_everywhere(tmp_path: Path) -> None:
    """Streams that had ints go on with floats, and rows from before are read as floats."""
    with skald.Logger("run", tmp_path) as logger:
        for number in range(10):
            logger.log_metric("loss", number, x=number)
            logger.log_metric("loss", number, x=number, y=1)
        logger.log_metric("loss", 10, x=0.5)
        for number in range(10):
            logger.log_metric("loss", number, x=number, y=1)

    found = rows(tmp_path / "run")
    assert [row["x"] for row in found] == [*np.repeat(np.arange(10.0), 2), 0.5, *range(10)]


def test_block_that_does_not_fit_goes_to_the_next_segment_whole(tmp_path: Path) -> None:
    """Also one that is larger than any segment so far."""
    metrics = {f"m{number}": float(number) for number in range(1500)}
    with skald.Logger("run", tmp_path) as logger:
        for step in range(5):
            logger.log_metrics(metrics, step=step)

    table = skald.Run(tmp_path / "run").metrics.collect()
    assert table.height == 7500
    assert table.filter(metric="m7")["step"].to_list() == list(range(5))


def test_large_batch_stands_between_the_rows_around_it(tmp_path: Path) -> None:
    """It gets segments of its own, and log order holds."""
    with skald.Logger("run", tmp_path) as logger:
        for start in (0, 50_000, 100_000):
            logger.log_metric("loss", start, step=start, tag="é")
            logger.log_batch({"loss": np.arange(start + 1, start + 40_001)}, step=np.arange(40_000), tag="é")

    found = values(tmp_path / "run")
    assert found == sorted(found)
    assert len(found) == 120_003


def test_hundreds_of_id_sets_share_few_segments(tmp_path: Path) -> None:
    """Beyond the most that may be open, id sets go to mixed segments, and each row keeps its own ids."""
    with skald.Logger("run", tmp_path) as logger:
        for round_ in range(3):
            for number in range(300):
                logger.log_metric("loss", number, **{f"id{number}": round_, "split": "val"})
            logger.log_batch({"loss": [300.0]}, id299=round_, split="test")
        logger.log_metric("loss", 301, id298=0.5)

    found = rows(tmp_path / "run")
    assert len(found) == 904
    for row in found[:-1]:
        number = int(row["value"])
        assert row.keys() == {"value", "split", f"id{min(number, 299)}"}, row
    assert found[-1] == {"value": 301.0, "id298": 0.5}


def test_dictionary_that_is_dropped_in_the_midst_of_a_call_mixes_up_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes of the first names of the call are of another dictionary than those of the last."""
    monkeypatch.setattr("skald.engine.dictionary.KEEP", Capacity(40, 4096))
    with skald.Logger("run", tmp_path) as logger:
        for step in range(60):
            metrics = {f"m{number}": float(step) for number in range(7 * step, 7 * step + 10)}
            for _ in range(3):
                logger.log_metrics(metrics, step=step)

    table = skald.Run(tmp_path / "run").metrics.collect()
    assert table.height == 60 * 30
    for metric, step, value, _ in table.iter_rows():
        assert step == value
        assert 0 <= int(metric[1:]) - 7 * step < 10


def test_names_that_come_together_have_room_however_many_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also more than a dictionary keeps, in each call."""
    monkeypatch.setattr("skald.engine.dictionary.KEEP", Capacity(40, 4096))
    with skald.Logger("run", tmp_path) as logger:
        for step in range(5):
            logger.log_metrics({f"m{number}": step for number in range(100)}, step=step)
        segments = len(list((tmp_path / "run" / "segments").glob("*/*.arrow")))

    table = skald.Run(tmp_path / "run").metrics.collect()
    assert table.group_by("metric").agg("step")["step"].to_list() == [list(range(5))] * 100
    assert segments < 30


def test_dictionary_beyond_the_most_kept_is_dropped(tmp_path: Path) -> None:
    """Names of long ago are added again when they come back, in every kind of call."""
    with skald.Logger("run", tmp_path, mode="disabled") as logger:
        writer = logger._session.writer()
        logger.log_metrics({"a": 1.0, "b": 2.0})
        stream = writer._streams._by_call[()]
        with writer.lock:
            for number in range(KEEP.entries + 5):
                writer._into(stream, lambda segment, name=f"n{number}": segment.names.add(name))  # type: ignore[misc]
            assert stream.segment is not None
            writer._roll(stream)

        assert len(stream.segment.names) == 0
        logger.log_metrics({"a": 1.0, "b": 2.0})
        logger.log_metrics({f"c{number}": 1.0 for number in range(30)} | {"a": 1.0})
        logger.log_metric("b", 1.0)
        assert len(stream.segment.names) == 32
