"""`skald check`: damage is found, told, and with --repair put aside, with nothing lost that can be read."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from commands import output, start
from handmade import row, segment
from logged import crash, program, values

import skald
from skald.engine import pages
from skald.engine.checksum import is_as_written
from skald.engine.footer import Footer
from skald.engine.stored import open_stored
from skald.layout import CSV_DESCRIPTION, PARAMS, PARQUET, RUN_JSON
from skald.upkeep.repair import repair
from skald.upkeep.verification import find_faults


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a closed run of two row groups."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_params({"lr": 0.1})
        for metric in ("loss", "accuracy"):
            logger.log_batch({metric: [k / 7 for k in range(140_000)]}, step=range(140_000))
    return tmp_path / "run"


def damage(path: Path, at: int, count: int = 64) -> bytes:
    """Turn some bytes of a file round; return what was there."""
    before = path.read_bytes()
    path.write_bytes(before[:at] + bytes(255 - byte for byte in before[at : at + count]) + before[at + count :])
    return before


def damage_first_row_group(file: Path) -> int:
    """Damage the first row group of a parquet file; return how many rows the others have."""
    metadata = pq.read_metadata(file)
    column = metadata.row_group(0).column(0)
    damage(file, (column.dictionary_page_offset or column.data_page_offset) + 8, column.total_compressed_size - 8)
    return metadata.num_rows - metadata.row_group(0).num_rows


def test_check_of_a_whole_run_finds_nothing(run: Path) -> None:
    """One line, and exit code 0."""
    assert output("check", "run", folder=run.parent) == "1 run checked, none damaged\n"


def test_check_finds_a_damaged_row_group_and_repair_keeps_the_others(run: Path) -> None:
    """What can be read is a run again, and the damaged file is put aside as it was."""
    left = damage_first_row_group(run / PARQUET)
    damaged = (run / PARQUET).read_bytes()

    done = start("check", "run", folder=run.parent)
    assert (done.code, "1 damaged" in done.stdout) == (1, True)
    assert PARQUET in done.stdout
    repaired = output("check", "run", "--repair", folder=run.parent)

    assert f"{left:,} rows kept" in repaired
    assert repaired.endswith("1 run checked, 1 repaired\n")
    assert (run / "damaged" / PARQUET).read_bytes() == damaged
    assert values(run, "accuracy") == [k / 7 for k in range(140_000)]
    assert output("check", "run", folder=run.parent) == "1 run checked, none damaged\n"
    summary = skald.Run(run).summary()
    assert summary["metric"].to_list() == ["accuracy"]


@pytest.mark.parametrize(
    ("damaged", "lost"),
    [
        ([("value", 2)], {2}),
        ([("value", 0)], {0}),
        ([("step", 4), ("time", 1), ("value", 1), ("metric", 3)], {1, 2, 4}),
    ],
)
def test_repair_keeps_the_rows_of_sound_pages(tmp_path: Path, damaged: list[tuple[str, int]], lost: set[int]) -> None:
    """Of a row group in which some are damaged; what is given up is told, and the order stays."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for metric in "ab":
            logger.log_batch({metric: [k % 1000 / 7 for k in range(50_000)]}, step=range(50_000), split="val")
    run, file = tmp_path / "run", tmp_path / "run" / PARQUET
    before, group = skald.Run(run).metrics.collect(), pq.read_metadata(file).row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    for name, number in damaged:  # of a column with a dictionary that is the first page
        damage(file, pages_of(file, columns[name])[number], 1)
    kept = pl.concat(
        [before[first : first + 20_000] for page, first in enumerate(range(0, 100_000, 20_000)) if page not in lost]
    )

    said = start("check", "run", folder=tmp_path).stdout
    repaired = output("check", "run", "--repair", folder=tmp_path)

    assert f"; {kept.height:,} rows can be read\n" in said
    assert f"{kept.height:,} rows kept" in repaired
    assert skald.Run(run).metrics.collect().equals(kept)
    assert output("check", "run", folder=tmp_path) == "1 run checked, none damaged\n"


def pages_of(file: Path, column: Any) -> list[int]:
    """Return where the data of each page of a column begins."""
    place = column.dictionary_page_offset or column.data_page_offset
    data, stop, found = file.read_bytes(), place + column.total_compressed_size, []
    while place < stop:
        header, place = pages._struct(data, place)
        found.append(place)
        place += header[3]
    return found


@pytest.mark.parametrize("wrong", ["beb8021512", "c0b802157e"])
def test_repair_gives_a_row_group_up_whose_pages_do_not_fit_together(
    tmp_path: Path, wrong: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What a header says of its rows and their encoding has no checksum: no row would have its own value."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_batch({"loss": [k / 7 for k in range(50_000)]}, step=range(50_000))
    file = tmp_path / "run" / PARQUET
    column = pq.read_metadata(file).row_group(0).column(2)
    first, _, last = pages_of(file, column)
    whole = file.read_bytes()
    right = bytes.fromhex("c0b8021512")  # 20,000 rows, encoded as number 9, as Thrift writes it
    at = whole.index(right, column.data_page_offset, first)
    file.write_bytes(whole[:at] + bytes.fromhex(wrong) + whole[at + len(right) :])
    damage(file, last, 1)
    capfd.readouterr()

    assert "0 rows kept" in output("check", "run", "--repair", folder=tmp_path)
    assert "panicked" not in capfd.readouterr().err


def test_check_finds_any_byte_that_changed_and_repair_leaves_a_run_that_can_be_read(tmp_path: Path) -> None:
    """Of data, of what the footer says, and of the checksum itself: nothing of it is read as if it were right."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for step in range(100):
            logger.log_metric("loss", step / 3, step=step, split="train" if step % 2 else "val")
    whole = (run / PARQUET).read_bytes()
    steps = sorted({*range(4), *range(0, len(whole), 83), *range(len(whole) - 120, len(whole))})
    for at, change in ((at, change) for at in steps for change in (0x01, 0xFF)):
        (run / PARQUET).write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])

        assert [fault.path for fault in find_faults(run)] == [run / PARQUET], at
        if change != (0x01, 0xFF)[at % 2]:  # one of the two is repaired, which takes most of the time
            continue
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run, copy)
        repair(copy)

        left = values(copy)
        assert (left == [step / 3 for step in range(100)] or not left, list(find_faults(copy))) == (True, []), at
        assert skald.Run(copy).summary()["count"].sum() == len(left)
        assert (copy / "damaged" / PARQUET).read_bytes() == (run / PARQUET).read_bytes()


def test_repair_survives_a_footer_that_is_damaged(run: Path) -> None:
    """A process that asks pyarrow for a column of which such a footer tells is ended by it."""
    source = """
import pathlib, sys
import skald
from skald.engine.salvage import count_readable
from skald.engine.stored import open_parquet
path = pathlib.Path(sys.argv[1])
whole = path.read_bytes()
begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
for at in range(begin, begin + 100):
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    try:
        count_readable(open_parquet(path))
    except skald.CorruptRunError:
        pass
"""
    result = program(source, run / PARQUET, folder=run)

    assert result.returncode == 0, result.stderr


def test_check_finds_a_checksum_that_is_gone_and_bears_a_file_that_never_had_one(run: Path) -> None:
    """A file says that it has one."""
    stored = open_stored(run)
    assert stored
    with stored:
        assert is_as_written(stored)
        footer = Footer(stored.file, stored.path)
        place = footer.place(b"skald.crc32")
    assert place
    whole = (run / PARQUET).read_bytes()
    (run / PARQUET).write_bytes(whole.replace(b"skald.crc32", b"skald.other"))
    assert [fault.path.name for fault in find_faults(run)] == [PARQUET]

    older = whole.replace(b"skald.crc32", b"skald.other").replace(b'"summed":true', b'"summde":true')
    (run / PARQUET).write_bytes(older)

    assert list(find_faults(run)) == []


def test_check_finds_lines_of_a_list_that_tell_of_no_artifact(kept: Path) -> None:
    """The others are kept, the list as it was is put aside, and one that is being written is no fault."""
    listed = kept / "artifacts.jsonl"
    lines = listed.read_bytes().splitlines(keepends=True)
    listed.write_bytes(lines[0] + b"{oops\n" + b"".join(lines[1:]) + b'{"path": "half')
    damaged = listed.read_bytes()

    done = start("check", "run", folder=kept.parent)
    repaired = output("check", "run", "--repair", folder=kept.parent)

    assert (done.code, "artifacts.jsonl: 1 line without an artifact\n" in done.stdout) == (1, True)
    assert (
        "artifacts.jsonl: 1 line without an artifact; other lines kept, copied to damaged/artifacts.jsonl" in repaired
    )
    assert (kept / "damaged" / "artifacts.jsonl").read_bytes() == damaged
    assert listed.read_bytes().splitlines() == [line.rstrip(b"\n") for line in lines]
    assert output("check", "run", folder=kept.parent) == "1 run checked, none damaged\n"


def test_repair_of_a_file_without_its_footer_deletes_nothing(run: Path) -> None:
    """Nothing of it can be read, and it is there for those who know more."""
    whole = (run / PARQUET).read_bytes()
    (run / PARQUET).write_bytes(whole[: len(whole) // 2])

    assert "; no row of it can be read\n" in start("check", "run", folder=run.parent).stdout
    assert "0 rows kept" in output("check", "run", "--repair", folder=run.parent)
    assert (run / "damaged" / PARQUET).read_bytes() == whole[: len(whole) // 2]
    assert skald.Run(run).metrics.collect().height == 0


def test_repair_keeps_the_segments_beside_a_damaged_one(tmp_path: Path) -> None:
    """The others are compacted, and the damaged one is put aside."""
    run = tmp_path / "run"
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 0.0)
    segment(run, "w", 0, [row("loss", k, k) for k in range(1, 10)])
    bad = segment(run, "w", 1, [row("loss", k, k) for k in range(10, 20)])
    bad.write_bytes(bad.read_bytes()[:100])

    assert start("check", "run", folder=tmp_path).code == 1
    output("check", "run", "--repair", folder=tmp_path)

    assert sorted(values(run)) == [float(k) for k in range(10)]
    assert (run / "damaged" / bad.relative_to(run)).stat().st_size == 100
    assert not (run / "segments").exists()


def test_repair_keeps_the_rows_of_a_segment_that_was_cut_off(tmp_path: Path) -> None:
    """Those that are whole, at whichever byte: a footer holds no row, and one that lacks an id is none."""
    source = "for k in range(1000): logger.log_metric('ab'[k % 2], k / 7, step=k, split='xyz'[k % 3])"
    crash(f"import os, skald\nlogger = skald.Logger('run', '.', capture=False)\n{source}", tmp_path)
    logged = skald.Run(tmp_path / "run").metrics.sort("step").collect()
    (file,) = (tmp_path / "run").glob("segments/*/*.arrow")
    whole, kept = file.read_bytes(), []
    for left in sorted([*range(0, len(whole), 1999), *range(len(whole) - 2000, len(whole), 499), len(whole) - 1]):
        file.write_bytes(whole[:left])
        run = tmp_path / f"cut/{left}"
        shutil.copytree(tmp_path / "run", run)

        (done,) = repair(run)

        table = skald.Run(run).metrics.collect()
        kept.append(len(table))
        assert f"{len(table):,} row{'s' * (len(table) != 1)} kept" in done.done
        assert done.fault.rows == len(table)
        assert len(table) == 0 or table.sort("step").select(logged.columns).equals(logged.head(len(table)))
        assert (run / "damaged" / file.relative_to(tmp_path / "run")).read_bytes() == whole[:left]
        assert list(find_faults(run)) == []

    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 1000)
    assert len(set(kept)) > 3


@pytest.mark.parametrize("metrics_format", ["parquet", "csv"])
def test_check_misses_a_metrics_file_that_was_removed(metrics_format: Any, tmp_path: Path) -> None:
    """Until a repair says that its rows are given up; readers warn, each time, and find no rows."""
    with skald.Logger("run", tmp_path, capture=False, metrics_format=metrics_format) as logger:
        logger.log_batch({"loss": range(1000)}, step=range(1000))
    file = tmp_path / "run" / f"metrics.{metrics_format}"
    file.unlink()

    done = start("check", "run", folder=tmp_path)
    for frame in (skald.Run(tmp_path / "run").metrics, skald.scan(tmp_path)):
        with pytest.warns(UserWarning, match="the metrics file of run 'run' is missing"):
            assert frame.collect().is_empty()
    repaired = output("check", "run", "--repair", folder=tmp_path)

    assert done.code == 1
    assert f"run/{file.name}: it is missing, and with it at least 1,000 rows that were logged" in done.stdout
    assert "nothing is left of it" in repaired
    assert output("check", "run", folder=tmp_path) == "1 run checked, none damaged\n"


def test_check_finds_nothing_in_runs_that_have_no_metrics_file(tmp_path: Path) -> None:
    """Of runs without rows, that are being written, or that were taken back and resumed."""
    with skald.Logger("empty", tmp_path, capture=False):
        pass
    with skald.Logger("back", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, step=1)
        logger.rewind()
    with skald.Logger("back", tmp_path, capture=False, mode="resume"):
        pass
    with skald.Logger("live", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, step=1)

        assert output("check", ".", folder=tmp_path) == "3 runs checked, none damaged\n"
        assert skald.scan(tmp_path).collect()["run"].to_list() == ["live"]


def test_repair_makes_up_run_json(run: Path) -> None:
    """Status and environment are lost; the rows are not."""
    (run / RUN_JSON).write_bytes(b"{")

    assert start("check", "run", folder=run.parent).code == 1
    output("check", "run", "--repair", folder=run.parent)

    assert skald.Run(run).status == "crashed"
    assert (run / "damaged" / RUN_JSON).read_bytes() == b"{"
    assert len(values(run)) == 140_000


@pytest.mark.parametrize("has_params", [True, False])
def test_repair_makes_run_json_anew_and_leaves_good_params_alone(run: Path, *, has_params: bool) -> None:
    """They are read from params.yaml then, where there is one."""
    if not has_params:
        (run / PARAMS).unlink()
    damaged = (run / RUN_JSON).read_bytes()[:5]
    (run / RUN_JSON).write_bytes(damaged)

    shown = start("show", "run", folder=run.parent)
    assert (shown.code, "hint: skald check --repair" in shown.stderr) == (1, True)
    found = start("check", "run", folder=run.parent)
    assert (found.stdout.count(RUN_JSON), PARAMS in found.stdout) == (1, False)
    output("check", "run", "--repair", folder=run.parent)

    assert (run / "damaged" / RUN_JSON).read_bytes() == damaged
    assert skald.Run(run).params == ({"lr": 0.1} if has_params else {})
    assert len(values(run, "loss")) == 140_000


@pytest.mark.parametrize(("path", "loses"), [("runs", "closed"), ("runs/lost", "crashed")])
def test_check_finds_a_run_without_its_run_json(path: str, loses: str, tmp_path: Path) -> None:
    """Which no other command takes for a run; repair makes one up. Tables of other programs are let alone."""
    folder = tmp_path / "runs" / "lost"
    if loses == "closed":
        with skald.Logger("lost", tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 0.5, step=1)
        (folder / RUN_JSON).unlink()
    else:
        segment(folder, "writer", 0, [row("loss", 0.5, 0)])
    foreign = tmp_path / "runs" / "other" / PARQUET
    foreign.parent.mkdir()
    pl.DataFrame({"loss": [1.0]}).write_parquet(foreign)

    done = start("check", path, folder=tmp_path)
    repaired = output("check", path, "--repair", folder=tmp_path)

    assert done.code == 1
    assert "runs/lost/run.json: it is missing, so the folder counts as no run\n1 run checked, 1 damaged" in done.stdout
    assert "run.json: it is missing, so the folder counts as no run; made up anew\n" in repaired
    assert output("check", path, folder=tmp_path) == "1 run checked, none damaged\n"
    assert values(folder, "loss")
    assert [file.name for file in foreign.parent.iterdir()] == [PARQUET]


def test_check_finds_params_that_are_gone_and_repair_puts_them_back(run: Path) -> None:
    """run.json has them too."""
    (run / PARAMS).unlink()

    assert "params.yaml: it is missing" in start("check", "run", folder=run.parent).stdout
    assert "it is there again" in output("check", "run", "--repair", folder=run.parent)
    assert skald.Run(run).params == {"lr": 0.1}
    assert output("check", "run", folder=run.parent) == "1 run checked, none damaged\n"


def test_check_finds_params_that_are_no_yaml(run: Path) -> None:
    """Edited by hand, perhaps."""
    (run / PARAMS).write_text("lr: [", encoding="utf-8")

    done = start("check", "run", "--format", "json", folder=run.parent)

    assert done.code == 1
    assert [fault["path"] for fault in json.loads(done.stdout)] == [PARAMS]


def test_check_finds_a_csv_that_was_changed(tmp_path: Path) -> None:
    """Its size and its sum are known."""
    with skald.Logger("run", tmp_path, metrics_format="csv", capture=False) as logger:
        logger.log_metric("loss", 0.25)
    file = tmp_path / "run" / "metrics.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("0.25", "0.75"), encoding="utf-8")

    done = start("check", "run", folder=tmp_path)

    assert done.code == 1
    assert "other content" in done.stdout


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-30])


def _edit(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("0.25", "0.125"), encoding="utf-8")


def _spoil(file: Path) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace("0.25", "zero"), encoding="utf-8")


def _lose_description(file: Path) -> None:
    (file.parent / CSV_DESCRIPTION).unlink()


def _spoil_description(file: Path) -> None:
    (file.parent / CSV_DESCRIPTION).write_text("{")


@pytest.mark.parametrize(
    ("damages", "left"),
    [
        ([_cut], [1.0, 0.25, math.nan, math.inf]),
        ([_edit], [1.0, 0.125, math.nan, math.inf, 5.0]),
        ([_spoil], [1.0, math.nan, math.inf, 5.0]),
        ([_lose_description], [1.0, 0.25, math.nan, math.inf, 5.0]),
        ([_spoil_description], [1.0, 0.25, math.nan, math.inf, 5.0]),
        ([_cut, _lose_description], [1.0, 0.25, math.nan, math.inf]),
    ],
)
def test_repair_keeps_the_rows_of_a_csv_that_can_be_read(
    tmp_path: Path, damages: list[Callable[[Path], None]], left: list[float]
) -> None:
    """With their ids and times, in order; the damaged file stands aside, and the run is whole again."""
    with skald.Logger("run", tmp_path, metrics_format="csv", capture=False) as logger:
        for step, value in enumerate((1, 0.25, math.nan, math.inf, 5)):
            logger.log_metric("loss", value, step=step, part=step / 2, split='a "b",\nc', note="", best=step > 1)
    file, before = tmp_path / "run" / "metrics.csv", skald.Run(tmp_path / "run").metrics.collect()
    for damaging in damages:
        damaging(file)
    damaged = file.read_bytes()

    told = start("check", "run", "--format", "json", folder=tmp_path)
    done = output("check", "run", "--repair", folder=tmp_path)
    found = skald.Run(tmp_path / "run").metrics.collect()

    assert json.loads(told.stdout)[0]["rows"] == len(left)
    assert f"{len(left)} rows kept, moved to damaged/metrics.csv" in done
    assert (tmp_path / "run" / "damaged" / "metrics.csv").read_bytes() == damaged
    assert str(found["value"].to_list()) == str(left)
    kept = before.filter(pl.col("step").is_in(found["step"].to_list()))
    assert found.drop("value").equals(kept.drop("value").select(found.drop("value").columns))
    assert output("check", "run", folder=tmp_path) == "1 run checked, none damaged\n"
    assert file.exists()


def test_check_says_that_the_description_of_a_csv_is_missing(tmp_path: Path) -> None:
    """It is not taken for another file."""
    with skald.Logger("run", tmp_path, metrics_format="csv", capture=False) as logger:
        logger.log_metric("loss", 0.25)
    _lose_description(tmp_path / "run" / "metrics.csv")

    done = start("check", "run", folder=tmp_path)

    assert "metrics.csv: expected metrics.csv.json beside it" in done.stdout


def test_check_does_not_repair_a_run_that_is_being_written(tmp_path: Path) -> None:
    """Nothing is touched."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1)
        (tmp_path / "run" / PARAMS).write_text("lr: [", encoding="utf-8")

        done = start("check", "run", "--repair", folder=tmp_path)

        assert done.code == 1
        assert "being written" in done.stderr
        assert (tmp_path / "run" / PARAMS).exists()


@pytest.fixture
def rewound(tmp_path: Path) -> Path:
    """Return a closed run of which some rows were taken back."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for metric in ("loss", "accuracy"):
            logger.log_batch({metric: [k / 7 for k in range(280_000)]}, step=range(280_000))
        logger.rewind(step=139_999)
    return tmp_path / "run"


def test_check_finds_damage_in_rows_that_were_taken_back(rewound: Path) -> None:
    """They are rows of the run too: what can be read of them is kept."""
    left = damage_first_row_group(rewound / "rewound-1.parquet")

    assert "rewound-1.parquet" in start("check", "run", folder=rewound.parent).stdout
    assert f"{left:,} rows kept" in output("check", "run", "--repair", folder=rewound.parent)
    assert skald.Run(rewound).rewound.collect().height == left
    assert values(rewound) == [k / 7 for k in range(140_000)]
    assert output("check", "run", folder=rewound.parent) == "1 run checked, none damaged\n"


@pytest.mark.parametrize("damage_", ["removed", "cut"])
def test_check_misses_rows_that_were_taken_back_until_repair_notes_it(rewound: Path, damage_: str) -> None:
    """Of a file that is gone, or of which nothing can be read."""
    file = rewound / "rewound-1.parquet"
    file.unlink() if damage_ == "removed" else file.write_bytes(b"PAR1 and no more")

    done = start("check", "run", folder=rewound.parent)
    repaired = output("check", "run", "--repair", folder=rewound.parent)

    assert (done.code, "run/rewound-1.parquet: " in done.stdout) == (1, True)
    assert "nothing is left of it" in repaired or "0 rows kept, moved to damaged/rewound-1.parquet" in repaired
    assert output("check", "run", folder=rewound.parent) == "1 run checked, none damaged\n"
    assert skald.Run(rewound).rewound.collect().is_empty()
    with skald.Logger("run", rewound.parent, mode="resume", capture=False) as logger:
        logger.rewind(step=0)
    assert skald.Run(rewound).rewound.collect().height == 2 * 139_999


def test_repair_keeps_what_was_taken_back_of_a_file_that_is_damaged(rewound: Path) -> None:
    """A metrics file that is repaired names them still; with one that cannot be they are put aside."""
    whole = (rewound / PARQUET).read_bytes()
    damage_first_row_group(rewound / PARQUET)
    output("check", "run", "--repair", folder=rewound.parent)
    kept = skald.Run(rewound).rewound.collect().height
    (rewound / PARQUET).write_bytes(whole[: len(whole) // 2])
    output("check", "run", "--repair", folder=rewound.parent)

    assert kept == 280_000
    assert (rewound / "damaged" / "rewound-1.parquet").exists()
    assert not (rewound / "rewound-1.parquet").exists()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a run with four artifacts: one replaced since it was first logged, one in a folder, one linked."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.bin").write_bytes(bytes(1000))
    (tmp_path / "big.bin").write_bytes(bytes(1000))
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_text("notes.md", "first")
        logger.log_text("notes.md", "second thoughts")
        logger.log_artifact(tmp_path / "model")
        logger.log_artifact(tmp_path / "big.bin", link=True)
    return tmp_path / "run"


def test_check_holds_artifacts_against_their_sums(kept: Path) -> None:
    """One flipped byte is found, and a file cut short; repair moves them aside, and the next check finds nothing."""
    weights, notes = kept / "artifacts" / "model" / "weights.bin", kept / "artifacts" / "notes.md"
    assert output("check", "run", folder=kept.parent) == "1 run checked, none damaged\n"
    damage(weights, 500, count=1)
    notes.write_text("second")

    done = start("check", "run", folder=kept.parent)
    repaired = output("check", "run", "--repair", folder=kept.parent)

    assert done.code == 1
    assert "model/weights.bin: expected the 1,000 bytes that were logged, found other content\n" in done.stdout
    assert "notes.md: expected the 15 bytes that were logged, found 6 bytes\n" in done.stdout
    assert "moved to damaged/artifacts/notes.md" in repaired
    assert (kept / "damaged" / "artifacts" / "notes.md").read_text() == "second"
    assert output("check", "run", folder=kept.parent) == "1 run checked, none damaged\n"


def test_repair_puts_the_params_of_before_an_edit_back(run: Path) -> None:
    """The file that cannot be read is kept, and the next check finds nothing."""
    (run / PARAMS).write_text("lr: [0.1\n", encoding="utf-8")

    repaired = output("check", "run", "--repair", folder=run.parent)

    assert "those of before the edit are back, moved to damaged/params.yaml" in repaired
    assert skald.Run(run).params == {"lr": 0.1}
    assert output("check", "run", folder=run.parent) == "1 run checked, none damaged\n"


def test_check_names_artifacts_that_are_gone_until_repair_notes_it(kept: Path) -> None:
    """As a copy that was cut off leaves them; who has removed a checkpoint says so once, and no line is lost."""
    notes, before = kept / "artifacts" / "notes.md", (kept / "artifacts.jsonl").read_text()
    (kept / "artifacts" / "model" / "weights.bin").unlink()
    notes.unlink()

    done = start("check", "run", folder=kept.parent)
    repaired = output("check", "run", "--repair", folder=kept.parent)

    assert done.code == 1
    assert "run/artifacts/model/weights.bin: expected the 1,000 bytes that were logged, found no file\n" in done.stdout
    assert "run/artifacts/notes.md: expected the 15 bytes that were logged, found no file\n" in done.stdout
    assert "found no file; noted, so that it is not missed again\n" in repaired
    assert output("check", "run", folder=kept.parent) == "1 run checked, none damaged\n"
    assert (kept / "artifacts.jsonl").read_text().startswith(before)
    notes.write_text("back again")
    assert skald.Run(kept).artifacts.filter(path="notes.md")["size"].to_list() == [10]


def test_check_misses_no_artifact_that_was_replaced_or_linked(kept: Path) -> None:
    """By a file, a folder, a folder of fewer files; a crash may leave the content that was to be replaced."""
    (kept / "artifacts" / "notes.md").write_text("first")
    (kept.parent / "big.bin").write_bytes(b"another")
    (kept / "artifacts" / "big.bin").unlink()
    folder = kept.parent / "parts"
    folder.mkdir()
    with skald.Logger("run", kept.parent, mode="resume", capture=False) as logger:
        for files in (["a", "b"], ["b"]):
            shutil.rmtree(folder)
            folder.mkdir()
            for file in files:
                (folder / file).write_text(file)
            for name in ("parts", "parts-then-file"):
                logger.log_artifact(folder, name)
        logger.log_text("parts-then-file", "all")
        logger.log_text("file-then-parts", "all")
        logger.log_artifact(folder, "file-then-parts")

    assert output("check", "run", folder=kept.parent) == "1 run checked, none damaged\n"


def test_check_takes_no_file_for_damaged_that_is_replaced_meanwhile(tmp_path: Path) -> None:
    """The run is being written, and its list was read before."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        for name in ("a.md", "b.md"):
            logger.log_text(name, "first")
        (tmp_path / "run" / "artifacts" / "a.md").write_text("damaged")
        faults = find_faults(tmp_path / "run")
        assert next(faults).path.name == "a.md"

        logger.log_text("b.md", "second")

        assert list(faults) == []


def test_check_tells_each_fault_on_a_line_and_in_every_form(run: Path) -> None:
    """A parser's words of several lines too; JSON is a list of objects, CSV a row a fault."""
    (run / PARAMS).write_text("lr: [0.1\n", encoding="utf-8")

    lines = start("check", "run", folder=run.parent).stdout.splitlines()
    objects = json.loads(start("check", "run", "--format", "json", folder=run.parent).stdout)
    rows = list(csv.DictReader(start("check", "run", "--format", "csv", folder=run.parent).stdout.splitlines()))

    assert [line[:15] for line in lines] == ["run/params.yaml", "1 run checked, ", "--repair keeps "]
    assert (lines[0].count(PARAMS), lines[0].endswith(", line 2")) == (1, True)
    assert [(one["run"], one["path"], one["rows"], one["repaired"]) for one in objects] == [("run", PARAMS, 0, "")]
    assert [(row["run"], row["path"], row["problem"]) for row in rows] == [("run", PARAMS, objects[0]["problem"])]


def test_check_says_how_many_rows_repair_keeps_though_the_first_cannot_be_read(run: Path) -> None:
    """What it says is what can be read, not what comes before the damage."""
    left = damage_first_row_group(run / PARQUET)

    said = start("check", "run", folder=run.parent).stdout

    assert f"; {left:,} rows can be read\n" in said
    assert f"{left:,} rows kept" in output("check", "run", "--repair", folder=run.parent)


@pytest.mark.parametrize("name", ["metrics.parquet", "metrics.csv"])
def test_check_finds_a_folder_in_the_place_of_the_metrics(run: Path, name: str) -> None:
    """As damage, which reading and repair know too."""
    (run / PARQUET).unlink()
    (run / name).mkdir()

    with pytest.raises(skald.CorruptRunError, match="expected a file, found a folder, in "):
        skald.Run(run).metrics  # noqa: B018  it looks
    said = start("check", "run", folder=run.parent).stdout
    output("check", "run", "--repair", folder=run.parent)

    assert said.startswith(f"run/{name}: expected a file, found a folder; no row")
    assert "1 run checked, 1 damaged\n" in said
    assert skald.Run(run).metrics.collect().is_empty()


def test_check_names_a_run_that_it_cannot_check(tmp_path: Path) -> None:
    """In the table, JSON and CSV, with the reason; it is counted by itself."""
    for name in "ab":
        skald.Logger(name, tmp_path, capture=False).close()
    info = json.loads((tmp_path / "b" / RUN_JSON).read_text(encoding="utf-8"))
    (tmp_path / "b" / RUN_JSON).write_text(json.dumps(info | {"format": 99}), encoding="utf-8")

    done = start("check", ".", folder=tmp_path)
    [fault] = json.loads(start("check", ".", "--format", "json", folder=tmp_path).stdout)
    [row] = csv.DictReader(start("check", ".", "--format", "csv", folder=tmp_path).stdout.splitlines())

    assert (done.code, done.stdout.splitlines()[1]) == (1, "1 run checked, none damaged, 1 could not be checked")
    assert done.stdout.startswith("b: ")
    assert (fault["run"], row["run"]) == ("b", "b")
    assert "99" in fault["problem"]
    assert fault["problem"] == row["problem"]


def test_check_names_rows_with_a_time_that_no_writer_stores(tmp_path: Path) -> None:
    """Readers leave them out with a warning, and so does compaction."""
    run = tmp_path / "run"
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 0.0)
    bad = row("loss", 9, 9)._replace(time=-1)
    file = segment(run, "w", 0, [row("loss", 1, 1), bad, row("loss", 2, 2), bad])

    with pytest.warns(UserWarning, match="2 damaged rows of a segment left out, in .*w/"):
        left = values(run)
    with pytest.warns(UserWarning, match="2 damaged rows of a segment left out"):
        last = skald.Run(run).summary()["last"].to_list()
    said = start("check", "run", folder=tmp_path).stdout
    done = skald.compact(run)

    assert (left, last) == ([0, 1, 2], [2])
    assert "2 rows without a name or a time; 2 rows can be read" in said
    assert done.damaged_rows == 2
    assert not file.exists()
    assert values(run) == left


@pytest.mark.parametrize("end", [b"PAR1xx", b"PAS1", b"PAR1" * 2])
def test_repair_keeps_all_rows_of_a_file_whose_last_bytes_are_wrong(run: Path, end: bytes) -> None:
    """Others that follow, or a changed mark, cost no row."""
    file = run / PARQUET
    kept = values(run)
    file.write_bytes(file.read_bytes()[: -len(b"PAR1")] + end)
    assert [fault.rows for fault in find_faults(run)] == [280_000]

    repair(run)

    assert values(run) == kept
    assert list(find_faults(run)) == []
    assert [path.name for path in run.iterdir() if path.suffix == ".tmp" or "tmp" in path.name] == []
