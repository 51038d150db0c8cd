"""`skald.runs`: many runs as a table with a row a run."""

from __future__ import annotations

import datetime as dt
import gc
import json
import math
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from handmade import row, segment
from logged import program
from test_scan import damage

import skald
from skald.layout import PARAMS, PARQUET, RUN_JSON
from skald.many import cardcache
from skald.many.card import read_card
from skald.reading.summary import summarize

CRASHES_AND_FORKS = """
import os, skald
logger = skald.Logger("forked", ".", capture=False)
child = os.fork()
(logger if child == 0 else skald.Logger("crashed", ".", capture=False)).log_metric("loss", 1.0, step=1)
if child:
    os.waitpid(child, 0)
    logger.close()
os._exit(1)
"""
FACTS = ["run", "path", "status", "started", "duration", "rows", "tags"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for caches that the user does not have."""
    folder = tmp_path_factory.mktemp("home") / "cache"
    monkeypatch.setenv("SKALD_CACHE_DIR", str(folder))
    return folder


def train(
    runs: Path, name: str, values: list[float], *, mode: Any = "new", tags: tuple[str, ...] = (), **params: Any
) -> Path:
    """Write a closed run whose accuracy counts for training and validation; return its folder."""
    with skald.Logger(name, runs, mode=mode, tags=tags) as logger:
        logger.log_params(params)
        for epoch, value in enumerate(values):
            logger.log_metric("accuracy", value, epoch=epoch, split="train")
            logger.log_metric("accuracy", value / 2, epoch=epoch, split="val")
            logger.log_metric("loss", -value, epoch=epoch)
    return logger.run.path


@pytest.fixture(name="sweep")
def two_runs(tmp_path: Path) -> Path:
    """Return a folder with two closed runs."""
    train(tmp_path, "a", [0.5, 1.0, 0.75], tags=("first", "sweep"), lr=1, model={"depth": 2})
    train(tmp_path, "b", [0.25, math.nan], lr=0.5)
    return tmp_path


def test_runs_tells_what_each_run_is(sweep: Path) -> None:
    """A row a run: what it is, how long it took, how much it holds, and its params, null where it has none."""
    found = skald.runs(sweep)

    assert found.columns == [*FACTS, "params.lr", "params.model.depth"]
    assert found.schema["started"] == pl.Datetime("us", "UTC")
    assert found.schema["duration"] == pl.Duration("us")
    for line, name in zip(found.rows(named=True), "ab", strict=True):
        run = skald.Run(sweep / name)
        assert (line["run"], line["path"], line["status"]) == (name, str(run.path), "finished")
        assert (line["started"], line["duration"], line["tags"]) == (run.started, run.duration, run.tags)
    assert found["rows"].to_list() == [9, 6]
    assert found.select("params.lr", "params.model.depth").rows() == [(1.0, 2), (0.5, None)]


def test_runs_has_the_last_value_and_the_extremes_of_a_metric(sweep: Path) -> None:
    """Of each metric five columns; the places hold the ids, NaN is a last value and no extreme."""
    found = skald.runs(sweep, metrics="loss")

    assert found.columns[-5:] == ["loss.last", "loss.min", "loss.min_at", "loss.max", "loss.max_at"]
    first, second = found.select(found.columns[-5:]).rows()
    assert first == (-0.75, -1.0, {"epoch": 1}, -0.5, {"epoch": 0})
    assert math.isnan(second[0])
    assert second[1:] == (-0.25, {"epoch": 0}, -0.25, {"epoch": 0})


def test_runs_gives_each_series_its_columns(sweep: Path) -> None:
    """Where a metric has several series they are told apart by the ids in which they differ."""
    found = skald.runs(sweep, metrics=["accuracy", "loss"])

    names = [f"{name}.{of}" for name in ("accuracy{split=train}", "accuracy{split=val}", "loss") for of in (
        "last", "min", "min_at", "max", "max_at")]  # fmt: skip
    assert found.columns[len(FACTS) + 2 :] == names
    assert found["accuracy{split=val}.max"].to_list() == [0.5, 0.125]
    assert found["accuracy{split=train}.max_at"].to_list() == [
        {"epoch": 1, "split": "train"},
        {"epoch": 0, "split": "train"},
    ]


def test_runs_ids_choose_the_series(sweep: Path) -> None:
    """A string or bool id leaves one series, which has its plain name."""
    found = skald.runs(sweep, metrics="accuracy", split="val")

    assert found.columns[-5:] == [f"accuracy.{of}" for of in ("last", "min", "min_at", "max", "max_at")]
    assert found["accuracy.max"].to_list() == [0.5, 0.125]


def test_runs_ids_that_are_numbers_choose_rows(sweep: Path) -> None:
    """Then rows are read: those with the id, of every run."""
    found = skald.runs(sweep, metrics=["accuracy", "loss"], epoch=1, split="train")
    both = skald.runs(sweep, metrics="accuracy", epoch=0)

    assert found["accuracy.last"].to_list()[0] == 1.0
    assert math.isnan(found["accuracy.last"].to_list()[1])
    assert found["accuracy.max_at"].to_list() == [{"epoch": 1, "split": "train"}, None]
    assert found["loss.last"].to_list() == [None, None]
    assert both["accuracy{split=val}.last"].to_list() == [0.25, 0.125]


def test_runs_of_closed_runs_reads_no_rows(sweep: Path) -> None:
    """Files whose rows are damaged tell all that a table needs, also with string ids."""
    expected = [skald.runs(sweep, metrics="*"), skald.runs(sweep, metrics="accuracy", split="val")]
    for name in "ab":
        damage(sweep / name)

    found = [skald.runs(sweep, metrics="*"), skald.runs(sweep, metrics="accuracy", split="val")]

    assert all(one.equals(other) for one, other in zip(found, expected, strict=True))
    with pytest.warns(UserWarning, match="'a', 'b'"):
        skald.runs(sweep, metrics="accuracy", epoch=1)


def test_runs_of_every_state_tell_the_same_of_their_series(tmp_path: Path) -> None:
    """Closed, csv, live and crashed: the columns are those of `Run.summary`."""
    values = [3.0, math.nan, 1.0, 2.0]
    for name, format_ in (("closed", "parquet"), ("csv", "csv")):
        with skald.Logger(name, tmp_path, metrics_format=format_) as logger:  # type: ignore[arg-type]
            for step, value in enumerate(values):
                logger.log_metric("loss", value, step=step)
    lines = [row("loss", value, step, step=step) for step, value in enumerate(values)]
    segment(tmp_path / "crashed", "w", 0, lines)
    said = {"format": 1, "name": "crashed", "started": "2026-11-23T08:15:00Z"}
    (tmp_path / "crashed" / RUN_JSON).write_text(json.dumps(said))
    with skald.Logger("live", tmp_path) as logger:
        for step, value in enumerate(values):
            logger.log_metric("loss", value, step=step)

        found = skald.runs(tmp_path, metrics="loss")

    assert found.select("run", "status", "rows").rows() == [
        ("closed", "finished", 4), ("crashed", "crashed", 4), ("csv", "finished", 4), ("live", "running", 4),
    ]  # fmt: skip
    assert found.select("loss.last", "loss.min", "loss.min_at", "loss.max", "loss.max_at").unique().rows() == [
        (2.0, 1.0, {"step": 2}, 3.0, {"step": 0})
    ]
    assert skald.runs(tmp_path, metrics="loss", step=3)["loss.last"].to_list() == [2.0] * 4


def test_runs_takes_globs_of_metrics_and_an_exact_name_wins(tmp_path: Path) -> None:
    """A name that is there stands for itself, whatever else it matches as a glob."""
    with skald.Logger("a", tmp_path) as logger:
        logger.log_metrics({"f*": 1.0, "f1": 2.0, "loss/a": 3.0, "loss/b": 4.0})

    def metrics(*globs: str) -> list[str]:
        columns = skald.runs(tmp_path, metrics=globs).columns
        return [name.removesuffix(".last") for name in columns if name.endswith(".last")]

    assert metrics("f*") == ["f*"]
    assert metrics("f?") == ["f*", "f1"]
    assert metrics("loss/*", "f1") == ["loss/a", "loss/b", "f1"]


def test_runs_with_too_many_series_names_the_id_to_give(tmp_path: Path) -> None:
    """More than 50 series of a metric are no table."""
    with skald.Logger("a", tmp_path) as logger:
        for number in range(51):
            logger.log_metric("loss", number, sample=f"s{number}", split="val")

    with pytest.raises(skald.InvalidInputError, match=r"'loss' has 51 series.*'sample', with 51 values"):
        skald.runs(tmp_path, metrics="loss")
    assert skald.runs(tmp_path, metrics="loss", sample="s7")["loss.last"].to_list() == [7.0]


def test_runs_of_a_run_whose_file_tells_no_series_reads_them(tmp_path: Path) -> None:
    """Beyond 10,000 series the file tells of metrics only, and rows are read."""
    with skald.Logger("a", tmp_path) as logger:
        for number in range(10_001):
            logger.log_metric("loss", number, sample=str(number))

    assert skald.runs(tmp_path, metrics="loss", sample="7")["loss.last"].to_list() == [7.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "acuracy"}, "did you mean 'accuracy'"),
        ({"metrics": "x*"}, "there is no metric 'x\\*'"),
        ({"metrics": "loss", "fold": 1}, "there is no id 'fold'"),
        ({"split": "val"}, "ids choose series"),
    ],
)
def test_runs_asked_for_what_is_not_there_is_an_error(options: Any, message: str, sweep: Path) -> None:
    """A name with a slip is told, with what was perhaps meant."""
    with pytest.raises(skald.InvalidInputError, match=message):
        skald.runs(sweep, **options)


def test_runs_asked_for_an_id_of_another_kind_is_an_error(sweep: Path) -> None:
    """No row can have it."""
    with pytest.raises(skald.IdTypeError, match="split"):
        skald.runs(sweep, metrics="loss", split=3)


def test_runs_keeps_a_metric_that_no_row_with_the_ids_has(sweep: Path) -> None:
    """The columns are there, null in each run."""
    found = skald.runs(sweep, metrics="loss", split="val")

    assert found["loss.last"].to_list() == [None, None]


def test_runs_joins_kinds_of_ids_and_params(tmp_path: Path) -> None:
    """Int and float join to float, all else to string, with a warning that names id and runs."""
    for name, fold, lr in (("a", 1, 1), ("b", "x", "auto")):
        with skald.Logger(name, tmp_path) as logger:
            logger.log_params(lr=lr)
            logger.log_metric("loss", 1.0, fold=fold, rate=1 if name == "a" else 0.5)

    with pytest.warns(UserWarning, match=r"'fold' is int in 'a', str in 'b'"):
        found = skald.runs(tmp_path, metrics="loss")

    assert found["params.lr"].to_list() == ["1", "auto"]
    assert found["loss{fold=1}.min_at"].to_list() == [{"fold": "1", "rate": 1.0}, None]
    assert found["loss{fold=x}.min_at"].to_list() == [None, {"fold": "x", "rate": 0.5}]


def test_runs_leaves_broken_runs_out_with_a_warning(sweep: Path) -> None:
    """Whatever is broken is named once, and costs its own row."""
    for name in ("json", "newer", "nothing", "cut", "good"):
        train(sweep, name, [1.0], lr=1)
    (sweep / "json" / RUN_JSON).write_text("{")
    text = (sweep / "newer" / RUN_JSON).read_text()
    (sweep / "newer" / RUN_JSON).write_text(text.replace('"format": 1', '"format": 9'))
    (sweep / "nothing" / RUN_JSON).write_text("null")
    file = sweep / "cut" / PARQUET
    file.write_bytes(file.read_bytes()[:-100])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = skald.runs(sweep, metrics="loss")

    assert found["run"].to_list() == ["a", "b", "good"]
    (warning,) = caught
    assert all(text in str(warning.message) for text in ("4 runs", "'cut'", "'json'", "'newer'", "'nothing'"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a forked child")
def test_runs_tells_of_a_metrics_file_that_is_missing(tmp_path: Path) -> None:
    """Of a closed run, of one that crashed and was compacted, and of one whose forked child alone has logged."""
    with skald.Logger("closed", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, step=1)
    program(CRASHES_AND_FORKS, folder=tmp_path)
    for name in ("closed", "crashed", "forked"):
        skald.compact(tmp_path / name)
        assert skald.runs(tmp_path / name)["rows"].to_list() == [1]
        assert not (tmp_path / name / "segments").exists()
        (tmp_path / name / PARQUET).unlink()

        with pytest.warns(UserWarning, match=f"the metrics file of run '{name}' is missing"):
            assert skald.runs(tmp_path / name).is_empty()


def test_runs_and_scan_tell_all_that_is_broken_in_one_warning(sweep: Path) -> None:
    """At the line that asked, with the reason of each of a handful."""
    for name in ("gone", "json", "cut"):
        train(sweep, name, [1.0])
    (sweep / "gone" / PARQUET).unlink()
    (sweep / "json" / RUN_JSON).write_text("{")
    (sweep / "cut" / PARQUET).write_bytes(b"PAR1")

    for is_scan in (False, True):
        with pytest.warns(UserWarning, match="3 runs cannot be read") as told:
            found = skald.scan(sweep).collect() if is_scan else skald.runs(sweep, metrics="*")
        assert found["run"].unique().sort().to_list() == ["a", "b"]

        (warning,) = told
        said = str(warning.message)
        assert warning.filename == __file__
        assert "3 runs cannot be read and are left out: 'cut', 'gone', 'json' (" in said
        assert all(reason in said for reason in ("file of run 'gone' is missing", "json/run.json", "do not end as one"))


def test_runs_of_a_folder_without_runs_is_empty(tmp_path: Path) -> None:
    """There are the columns that every table has."""
    found = skald.runs(tmp_path, metrics="loss")

    assert found.columns == FACTS
    assert found.is_empty()


def test_runs_are_named_as_in_scan(tmp_path: Path) -> None:
    """200 runs that share 25 names are 200 runs, and the names join both tables."""
    for number in range(200):
        folder = tmp_path / f"lr={number // 25}"
        segment(folder / f"seed{number % 25}", "w", 0, [row("loss", number, 0, step=0)])
        said = {"format": 1, "name": f"seed{number % 25}", "started": "2026-11-23T08:15:00Z"}
        (folder / f"seed{number % 25}" / RUN_JSON).write_text(json.dumps(said))
    (tmp_path / "detect" / "train").mkdir(parents=True)

    found = skald.runs(tmp_path, metrics="loss")

    assert found["run"].n_unique() == 200
    joined = skald.scan(tmp_path).join(found.lazy(), on="run").select(pl.col("value") == pl.col("loss.last")).collect()
    assert joined.to_series().to_list() == [True] * 200


@pytest.fixture(name="many")
def runs_worth_a_cache(tmp_path: Path) -> Path:
    """Return a folder with as many runs as are worth a file, all of which ended a while ago."""
    source = train(tmp_path, "source", [0.5, 1.0], lr=1)
    runs = tmp_path / "runs"
    for number in range(cardcache.FEWEST):
        run = runs / f"run{number:02}"
        run.mkdir(parents=True)
        for file in (PARQUET, RUN_JSON, PARAMS):
            (run / file).write_bytes((source / file).read_bytes())
            age(run / file)
    return runs


def age(file: Path, seconds: float = 60) -> None:
    """Make a file as old as that."""
    then = time.time() - seconds
    os.utime(file, (then, then))


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each run is added that is read anew."""
    names: list[str] = []

    def count(found: Any) -> Any:
        names.append(found.name)
        return read_card(found)

    monkeypatch.setattr(cardcache, "read_card", count)
    return names


def test_table_is_the_same_from_the_cache(many: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept gives the same table, and no run is read."""
    first = skald.runs(many, metrics="*")
    assert len(list(cache.iterdir())) == 1

    names = reads(monkeypatch)

    assert skald.runs(many, metrics="*").equals(first)
    assert names == []


@pytest.mark.parametrize("change", ["params", "run.json", "metrics", "resumed"])
def test_run_that_changed_is_read_anew(
    change: str, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card is not believed where a file was changed, by Skald or by hand, even to the same size."""
    skald.runs(many)
    run = many / "run07"
    if change == "params":
        (run / PARAMS).write_text((run / PARAMS).read_text().replace("1", "2"))
    elif change == "run.json":
        (run / RUN_JSON).write_text((run / RUN_JSON).read_text().replace('"finished"', '"stopped"', 1))
    elif change == "metrics":
        (run / PARQUET).write_bytes((train(tmp_path, "other", [9.0]) / PARQUET).read_bytes())
    else:
        train(many, "run07", [9.0], mode="resume", lr=1)
    names = reads(monkeypatch)

    found = skald.runs(many, metrics="loss").row(7, named=True)

    assert names == ["run07"]
    expected = summarize(skald.Run(run).metrics).filter(metric="loss").row(0, named=True)
    assert found["loss.last"] == expected["last"]
    assert found["params.lr"] == (2 if change == "params" else 1)
    assert found["status"] == ("stopped" if change == "run.json" else "finished")
    assert found["rows"] == skald.Run(run).metrics.select(pl.len()).collect().item()


def test_run_that_changed_a_moment_ago_is_not_kept(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change could hide behind the same time, so such a run is read until it is older."""
    (many / "run03" / PARAMS).touch()
    skald.runs(many)
    names = reads(monkeypatch)

    skald.runs(many)

    assert names == ["run03"]


@pytest.mark.parametrize("damage_", [b"", b"nonsense", None])
def test_cache_that_is_damaged_or_gone_is_made_anew(
    damage_: bytes | None, many: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is disposable: without it the table is the same, only later."""
    first = skald.runs(many)
    (file,) = cache.iterdir()
    file.unlink() if damage_ is None else file.write_bytes(damage_)

    assert skald.runs(many).equals(first)

    names = reads(monkeypatch)
    assert skald.runs(many).equals(first)
    assert names == []


def test_cache_in_which_a_bit_is_flipped_is_made_anew(many: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever it is: its content is not believed, nobody is told, and the next look finds it whole."""
    first = skald.runs(many, metrics="loss")
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    names = reads(monkeypatch)
    for at in (0, 3, 4, 5, *range(6, len(whole), len(whole) // 12)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        names.clear()

        assert skald.runs(many, metrics="loss").equals(first), at
        assert len(names) == cardcache.FEWEST, at
        assert file.read_bytes() == whole, at


def test_cache_that_cannot_be_written_is_done_without(many: Path, cache: Path) -> None:
    """A file where the folder should be: nothing is kept, and nothing fails."""
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("in the way")

    assert skald.runs(many).equals(skald.runs(many))


def test_cache_holds_no_run_that_is_gone(many: Path) -> None:
    """A run that was removed is in no table."""
    skald.runs(many)
    for file in (many / "run05").iterdir():
        file.unlink()

    assert "run05" not in skald.runs(many)["run"].to_list()


def test_run_that_is_being_written_is_never_kept(many: Path) -> None:
    """A live run is looked at each time."""
    with skald.Logger("live", many) as logger:
        logger.log_metric("loss", 1.0)
        before = skald.runs(many).filter(run="live")["rows"].item()
        logger.log_metric("loss", 2.0)
        after = skald.runs(many).filter(run="live")

    assert (before, after["rows"].item()) == (1, 2)
    assert after["duration"].item() < dt.timedelta(minutes=5)
    assert skald.runs(many).filter(run="live")["status"].item() == "finished"


def test_place_of_a_metric_without_ids_is_empty_and_of_nan_alone_none(tmp_path: Path) -> None:
    """It has a place, which no id tells; where there is no extreme there is none."""
    for name, value in (("a", 1.0), ("b", math.nan)):
        with skald.Logger(name, tmp_path) as logger:
            logger.log_metric("loss", value)

    table = skald.runs(tmp_path, metrics="loss")

    assert table["loss.max_at"].to_list() == [{}, None]


def test_garbage_is_collected_again_after_a_table_and_after_an_error(sweep: Path) -> None:
    """What is put off while a table is made is not put off for ever."""
    skald.runs(sweep)
    with pytest.raises(skald.InvalidInputError):
        skald.runs(sweep, metrics="nowhere")

    assert gc.isenabled()


def test_runs_of_a_cloud_store_are_told_who_reads_them() -> None:
    """Not that the folder is missing."""
    with pytest.raises(
        skald.InvalidInputError, match=r"skald\.runs reads folders, got .* s3://bucket/runs; use skald\.scan"
    ):
        skald.runs("s3://bucket/runs")


def test_runs_takes_an_iterator(sweep: Path) -> None:
    """It is gone through once, also where the rows of the runs are read after their cards."""
    paths = sorted(path.parent for path in sweep.rglob("run.json"))

    table = skald.runs(iter(paths), metrics="loss", epoch=0)

    assert table["path"].to_list() == [str(path.resolve()) for path in paths]
    assert table["loss.last"].to_list() == [-0.5, -0.25]


def test_runs_of_closed_runs_loads_nothing_that_reads_rows_of_open_ones(sweep: Path) -> None:
    """A process that is started for one table waits for no module that it does not need."""
    code = "import sys, skald; skald.runs(sys.argv[1], metrics='loss'); print('skald.run' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code, sweep], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"


@pytest.mark.parametrize("metrics", [3, [3], b"loss", None])
def test_runs_refuses_metrics_that_are_no_names(tmp_path: Path, metrics: Any) -> None:
    """What was expected is said, and what came."""
    train(tmp_path, "a", [1.0])

    with pytest.raises(skald.InvalidInputError, match="metrics= must be names or globs, got "):
        skald.runs(tmp_path, metrics=metrics)
    with pytest.raises(skald.InvalidInputError, match="params= must be names or globs, got "):
        skald.scan(tmp_path, params=metrics)


def test_runs_refuses_bytes_as_a_source() -> None:
    """They are no list of numbers."""
    with pytest.raises(skald.InvalidInputError, match=r"expected a folder of runs, .* got bytes: b'sweep'"):
        skald.runs(b"sweep")  # type: ignore[arg-type]


def test_runs_says_that_a_histogram_has_no_numbers(tmp_path: Path) -> None:
    """It is there, and it is drawn elsewhere."""
    with skald.Logger("a", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, epoch=0)
        logger.log_histogram("weights", [0.0, 1.0], bins=2, epoch=0)

    with pytest.raises(skald.InvalidInputError, match="'weights' is a histogram, which has no last, min or max"):
        skald.runs(tmp_path, metrics="weights")
    with pytest.raises(skald.InvalidInputError, match="there is no metric 'weight'"):
        skald.runs(tmp_path, metrics="weight")


def test_runs_warns_of_ids_that_disagree_at_the_line_of_the_caller(tmp_path: Path) -> None:
    """As of runs that are broken, which are to be checked."""
    for name, split in (("a", "val"), ("b", 1)):
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_metric("loss", 1.0, split=split)
    with pytest.warns(UserWarning, match="id 'split' is str in 'a', int in 'b'") as told:
        skald.runs(tmp_path, metrics="loss")
    (tmp_path / "a" / PARQUET).write_bytes(b"junk")
    with pytest.warns(UserWarning, match="1 run cannot be read and is left out: 'a' .*; hint: ") as broken:
        skald.scan(tmp_path).collect()

    assert {warning.filename for warning in (*told, *broken)} == {__file__}


def test_runs_warns_at_the_line_of_a_program_in_a_folder_named_like_a_library(tmp_path: Path) -> None:
    """Which module a line is of tells, not the path of its file."""
    (tmp_path / "a").mkdir()
    for name in (RUN_JSON, PARQUET):
        (tmp_path / "a" / name).write_bytes(b"junk")
    source = f"import skald\nskald.scan({str(tmp_path)!r}).collect()\n"

    with pytest.warns(UserWarning, match="cannot be read and is left out") as told:
        exec(compile(source, "/data/polars/train.py", "exec"), {"__name__": "__main__"})  # noqa: S102

    assert [(warning.filename, warning.lineno) for warning in told] == [("/data/polars/train.py", 2)]


def test_runs_that_disagree_on_an_id_are_named_to_who_asks_with_the_wrong_kind(tmp_path: Path) -> None:
    """And what to give, which finds the rows of all."""
    for name, epoch in (("a", 3), ("b", 3), ("odd", "3")):
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_metric("loss", 1.0, epoch=epoch)

    with pytest.raises(
        skald.IdTypeError, match="id 'epoch' is int in 'a', 'b', str in 'odd': read as string, got 3"
    ) as error:
        skald.runs(tmp_path, metrics="loss", epoch=3)
    with pytest.warns(UserWarning, match="id 'epoch'"):
        found = skald.runs(tmp_path, metrics="loss", epoch="3")

    assert error.value.__notes__ == ["hint: give it as '3'"]
    assert len(found) == 3


def test_runs_names_ten_that_are_broken_and_counts_the_others(tmp_path: Path) -> None:
    """Who has a few sees all of them."""
    for number in range(12):
        (tmp_path / f"r{number:02}").mkdir()
        (tmp_path / f"r{number:02}" / RUN_JSON).write_bytes(b"junk")

    with pytest.warns(
        UserWarning, match="12 runs cannot be read and are left out: 'r00', .*, 'r09' and 2 more "
    ) as told:
        skald.runs(tmp_path)

    assert str(told[0].message).count("'r") == 10


def test_series_are_the_same_whatever_the_order_in_which_runs_had_their_ids(tmp_path: Path) -> None:
    """Keywords have none."""
    for name, first, second in (("a", "split", "phase"), ("b", "phase", "split")):
        with skald.Logger(name, tmp_path, capture=False) as logger:
            for value, (split, phase) in enumerate([("val", "x"), ("val", "y"), ("train", "x")]):
                ids = {"split": split, "phase": phase}
                logger.log_metric("loss", value, **{first: ids[first], second: ids[second]})

    table = skald.runs(tmp_path, metrics="loss")

    assert [name for name in table.columns if name.endswith(".last")] == [
        "loss{split=val,phase=x}.last",
        "loss{split=val,phase=y}.last",
        "loss{split=train,phase=x}.last",
    ]
    assert table["loss{split=val,phase=y}.last"].to_list() == [1.0, 1.0]
    assert skald.runs(tmp_path, metrics="loss", split="val")["loss{phase=y}.last"].to_list() == [1.0, 1.0]
