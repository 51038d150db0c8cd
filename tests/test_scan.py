"""`skald.scan` and `skald.wide`: many runs as one lazy table."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from handmade import row, segment

import skald
from skald.layout import PARQUET, RUN_JSON
from skald.many.union import Member, describe_disagreed, scan_files, scan_folder
from skald.schema import Kind, Kinds


def log(runs: Path, name: str, rows: int = 3, **ids: Any) -> skald.Run:
    """Write a closed run with so many values of `loss`, counted down from `rows`."""
    folder = (runs / name).parent
    with skald.Logger(Path(name).name, folder) as logger:
        for step in range(rows):
            logger.log_metric("loss", rows - step, step=step, **ids)
    return logger.run


def crash(run: Path, lines: int = 2, **ids: Any) -> Path:
    """Write a run as a crash leaves it."""
    segment(run, "w", 0, [row("loss", number, number, step=number, **ids) for number in range(lines)])
    (run / RUN_JSON).write_text(json.dumps({"format": 1, "name": run.name, "started": "2026-11-23T08:15:00Z"}))
    return run


def crash_at(runs: Path, name: str, lines: int, **ids: Any) -> Path:
    """Do as `crash`, with the arguments of `log`."""
    return crash(runs / name, lines, **ids)


def rows(frame: pl.LazyFrame) -> list[tuple[Any, ...]]:
    """Return run, step and value of each row."""
    return frame.select("run", "step", "value").collect().rows()


def damage(run: Path, *, groups: set[int] | None = None, columns: set[str] | None = None) -> None:
    """Overwrite the data of some row groups and columns of a metrics file; None: all."""
    path = run / PARQUET
    metadata = pq.read_metadata(path)
    data = bytearray(path.read_bytes())
    for group in range(metadata.num_row_groups) if groups is None else groups:
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if columns is None or column.path_in_schema in columns:
                start = column.dictionary_page_offset or column.data_page_offset
                data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)


def test_scan_puts_run_before_the_columns_of_a_run(tmp_path: Path) -> None:
    """The table of a run, with `run` first; ids of all runs stand between, null where a run has none."""
    log(tmp_path, "a", 1, split="val")
    log(tmp_path, "b", 1, epoch=7)

    found = skald.scan(tmp_path).collect()

    assert found.schema == {
        "run": pl.String, "metric": pl.String, "step": pl.Int64, "split": pl.String, "epoch": pl.Int64,
        "value": pl.Float64, "time": pl.Datetime("us", "UTC"),
    }  # fmt: skip
    assert found.drop("time").rows() == [("a", "loss", 0, "val", None, 1.0), ("b", "loss", 0, None, 7, 1.0)]


def test_scan_holds_closed_live_crashed_and_csv_runs(tmp_path: Path) -> None:
    """Every row of every run, whatever state it is in, those that were compacted and those that were not."""
    log(tmp_path, "closed", 2)
    with skald.Logger("csv", tmp_path, metrics_format="csv") as logger:
        logger.log_metric("loss", 5.0, step=0)
    crash(tmp_path / "crashed")
    log(tmp_path, "live", 1)
    with skald.Logger("live", tmp_path, mode="resume") as live, skald.Logger("empty", tmp_path):
        live.log_metric("loss", 9.0, step=9)

        found = rows(skald.scan(tmp_path))

    assert sorted(found) == [
        ("closed", 0, 2.0), ("closed", 1, 1.0), ("crashed", 0, 0.0), ("crashed", 1, 1.0), ("csv", 0, 5.0),
        ("live", 0, 1.0), ("live", 9, 9.0),
    ]  # fmt: skip


def test_scan_keeps_runs_of_one_name_apart(tmp_path: Path) -> None:
    """200 runs that share 25 names, beside the folders of TensorBoard and Ultralytics, are 200 runs."""
    runs = tmp_path / "runs"
    for number in range(200):
        name = f"lr={number // 25}/seed{number % 25}"
        (log if number % 10 == 0 else crash_at)(runs, name, 1, number=number)
    (runs / "Nov23_08-15-00_host").mkdir()
    (runs / "Nov23_08-15-00_host" / "events.out.tfevents.1700000000.host.1.0").write_bytes(b"\0" * 16)
    (runs / "detect" / "train" / "weights").mkdir(parents=True)
    (runs / "detect" / "train" / "results.csv").write_text("epoch,loss\n1,2\n")

    found = skald.scan(runs).select("run", "number").collect()

    assert found["run"].n_unique() == 200
    assert dict(found.rows()) == {f"lr={number // 25}/seed{number % 25}": number for number in range(200)}


@pytest.mark.parametrize("name", ["a b", "100%", "ü 日本", "lr=0.1", "x[1]", "#1"])
def test_scan_names_a_run_as_its_folder_is_named(name: str, tmp_path: Path) -> None:
    """No character of a path is lost or escaped on the way through polars, nor taken for a partition."""
    log(tmp_path, f"{name}/{name}", 1)

    assert rows(skald.scan(tmp_path)) == [(f"{name}/{name}", 0, 1.0)]


def test_scan_takes_globs_and_lists(tmp_path: Path) -> None:
    """Names are relative to the folder scanned; for a glob or a list, to the deepest common folder."""
    one, _ = log(tmp_path, "x/a/r", 1), log(tmp_path, "x/b/r", 1)

    assert rows(skald.scan(tmp_path)) == [("x/a/r", 0, 1.0), ("x/b/r", 0, 1.0)]
    assert rows(skald.scan(str(tmp_path / "x" / "*"))) == [("a/r", 0, 1.0), ("b/r", 0, 1.0)]
    assert rows(skald.scan([one, tmp_path / "x" / "b"])) == [("a/r", 0, 1.0), ("b/r", 0, 1.0)]


def test_scan_of_a_folder_without_runs_is_empty(tmp_path: Path) -> None:
    """There is a table, with no rows."""
    found = skald.scan(tmp_path).collect()

    assert found.columns == ["run", "metric", "value", "time"]
    assert found.is_empty()


def test_scan_reads_int_and_float_ids_as_float(tmp_path: Path) -> None:
    """An id that is int in one run and float in another is float, closed or not, and nobody is warned."""
    log(tmp_path, "a", 1, rate=1)
    log(tmp_path, "b", 1, rate=0.5)
    crash(tmp_path / "c", 1, rate=2)

    found = skald.scan(tmp_path).select("run", "rate").collect()

    assert found.rows() == [("a", 1.0), ("b", 0.5), ("c", 2.0)]


def test_scan_reads_ids_of_which_runs_disagree_as_strings(tmp_path: Path) -> None:
    """One warning names the id and the runs; every row is there, and conditions on other columns reach the files."""
    log(tmp_path, "a", 2, fold=1)
    log(tmp_path, "b", 2, fold="one")
    log(tmp_path, "c", 2, fold=True)
    crash(tmp_path / "d", 2, fold=0.5)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = skald.scan(tmp_path)
        found = frame.filter(step=1).select("run", "fold").collect()
        again = frame.filter(fold="true").select("run", "step").collect()

    assert found.sort("run").rows() == [("a", "1"), ("b", "one"), ("c", "true"), ("d", "0.5")]
    assert again.rows() == [("c", 0), ("c", 1)]
    (warning,) = caught
    assert all(text in str(warning.message) for text in ("int in 'a'", "str in 'b'", "bool in 'c'", "float in 'd'"))


@pytest.fixture(name="broken")
def runs_with_broken_ones(tmp_path: Path) -> Path:
    """Return two good runs and four that cannot be read, each in its own way."""
    for name in ("a", "m", "z"):
        log(tmp_path, name, 2)
    for name in ("cut", "foreign", "newer", "pages"):
        log(tmp_path, name, 2)
    file = tmp_path / "cut" / PARQUET
    file.write_bytes(file.read_bytes()[:-100])
    pl.DataFrame({"metric": ["loss"]}).write_parquet(tmp_path / "foreign" / PARQUET)
    newer = tmp_path / "newer" / PARQUET
    newer.write_bytes(newer.read_bytes().replace(b'{"format":1,', b'{"format":9,'))
    damage(tmp_path / "pages")
    return tmp_path


def test_scan_leaves_broken_runs_out_with_a_warning(broken: Path) -> None:
    """Whatever is broken costs its own rows, is named once, and is never fatal."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        frame = skald.scan(broken)
        found = [rows(frame), rows(frame)]

    assert found == [[(name, step, 2.0 - step) for name in "amz" for step in (0, 1)]] * 2
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == 2  # before the files are opened, and when their rows are read
    assert all(f"'{name}'" in texts[0] for name in ("cut", "foreign", "newer"))
    assert "'pages'" in texts[1]


@pytest.mark.parametrize("found", ["", "[]", '{"format": 9, "started": "2026-11-23T08:15:00Z"}'])
def test_scan_leaves_out_the_runs_that_a_table_of_runs_leaves_out(tmp_path: Path, found: str) -> None:
    """Those whose run.json cannot be read, or is a newer Skald's; what is joined by `run` has a row on both sides."""
    log(tmp_path, "a", 1)
    log(tmp_path, "b", 1)
    assert len(rows(skald.scan(tmp_path))) == 2
    (tmp_path / "b" / RUN_JSON).write_text(found)

    with pytest.warns(UserWarning, match="1 run cannot be read and is left out: 'b'"):
        assert [name for name, *_ in rows(skald.scan(tmp_path))] == ["a"]
    with pytest.warns(UserWarning, match="1 run cannot be read and is left out: 'b'"):
        assert skald.runs(tmp_path)["run"].to_list() == ["a"]


def test_scan_gives_every_other_row_when_a_file_breaks_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were handed out before a broken file is met are not given again."""
    monkeypatch.setattr("skald.many.scanning._BATCH_ROWS", 10_000)
    steps = np.arange(600_000)
    for name in "abc":
        with skald.Logger(name, tmp_path) as logger:
            logger.log_batch({"loss": steps + 0.0}, step=steps)
    damage(tmp_path / "b", groups={1})

    with pytest.warns(UserWarning, match="'b'"):
        found = skald.scan(tmp_path).group_by("run").agg(pl.len(), pl.col("step").n_unique().alias("steps")).collect()

    counts = {run: (count, different) for run, count, different in found.rows()}
    assert [counts[run] for run in "ac"] == [(600_000, 600_000)] * 2
    assert counts.get("b", (0, 0))[0] == counts.get("b", (0, 0))[1]


def test_query_that_fails_is_not_taken_for_a_broken_run(tmp_path: Path) -> None:
    """An error of the condition is the user's, and is told as polars tells it."""
    log(tmp_path, "a", 1, split="val")

    with pytest.raises(pl.exceptions.PolarsError, match="conversion"):
        skald.scan(tmp_path).filter(pl.col("split").cast(pl.Int64) == 1).collect()


def test_scan_may_be_kept_and_collected_later(tmp_path: Path) -> None:
    """What is there is found anew: runs that went on, came and went, with ids that are new."""
    log(tmp_path, "a", 1)
    gone = log(tmp_path, "gone", 1)
    logger = skald.Logger("live", tmp_path)
    frame = skald.scan(tmp_path)
    before = rows(frame)

    logger.log_metric("loss", 4.0, step=4)
    live = rows(frame)
    logger.close()
    with skald.Logger("a", tmp_path, mode="resume") as again:
        again.log_metric("loss", 7.0, step=7, fold="x")
    (gone.path / RUN_JSON).unlink()
    log(tmp_path, "new", 1)

    assert before == [("a", 0, 1.0), ("gone", 0, 1.0)]
    assert live == [*before, ("live", 4, 4.0)]
    assert rows(frame) == [("a", 0, 1.0), ("a", 7, 7.0), ("live", 4, 4.0), ("new", 0, 1.0)]
    assert frame.filter(fold="x").select("run", "step").collect().rows() == [("a", 7)]


def test_scan_looks_at_a_file_anew_that_another_took_the_place_of(tmp_path: Path) -> None:
    """What was found out of a file holds for that file alone, also in the scans that come after."""
    for name, step in (("a", 1), ("a", 0.5)):
        with skald.Logger(name, tmp_path, mode="overwrite", capture=False) as logger:
            logger.log_metric("loss", 1.0, step=step)
        found = skald.scan(tmp_path).collect()

        assert found["step"].to_list() == [step]
        assert found.schema["step"] == (pl.Int64() if step == 1 else pl.Float64())


def test_scan_of_a_relative_path_may_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It means the folder that it meant at the call, wherever the program goes meanwhile."""
    log(tmp_path / "runs", "a", 1)
    monkeypatch.chdir(tmp_path)
    frame = skald.scan("runs")

    monkeypatch.chdir("/")

    assert frame.collect().height == 1


def test_scan_joins_params(tmp_path: Path) -> None:
    """Params come as columns by their dotted names, of joined kinds, null where a run has none."""
    params: dict[str, Mapping[str, Any]] = {
        "a": {"lr": 1, "model": {"depth": 2, "sizes": [1, 2]}, "name": "x", "flag": True},
        "b": {"lr": 0.5, "model": {"depth": 3}, "name": 7, "empty": {}},
        "c": {},
    }
    for name, given in params.items():
        with skald.Logger(name, tmp_path) as logger:
            logger.log_params(given)
            logger.log_metric("loss", 1.0)

    found = skald.scan(tmp_path, params="*").drop("metric", "value", "time").collect()

    assert found.rows(named=True) == [
        {"run": "a", "params.lr": 1.0, "params.model.depth": 2, "params.model.sizes": "[1, 2]", "params.name": "x",
         "params.flag": True, "params.empty": None},
        {"run": "b", "params.lr": 0.5, "params.model.depth": 3, "params.model.sizes": None, "params.name": "7",
         "params.flag": None, "params.empty": "{}"},
        {"run": "c", "params.lr": None, "params.model.depth": None, "params.model.sizes": None, "params.name": None,
         "params.flag": None, "params.empty": None},
    ]  # fmt: skip
    assert skald.scan(tmp_path, params=["lr", "model.*"]).collect_schema().names()[-3:] == [
        "params.lr", "params.model.depth", "params.model.sizes",
    ]  # fmt: skip
    with pytest.raises(skald.InvalidInputError, match="did you mean 'lr'"):
        skald.scan(tmp_path, params="lrr")


def test_scan_joins_params_to_runs_of_every_state(tmp_path: Path) -> None:
    """A crashed run has params as a closed one has; where an edit broke them, those of before count, with a warning."""
    for name in ("closed", "broken"):
        with skald.Logger(name, tmp_path) as logger:
            logger.log_params(lr=1)
            logger.log_metric("loss", 1.0, step=0)
    (crash(tmp_path / "crashed", 1) / "params.yaml").write_text("lr: 2\n")
    (tmp_path / "broken" / "params.yaml").write_text("lr: [")

    with pytest.warns(UserWarning, match="params cannot be read.*broken/params.yaml, line 2"):
        found = skald.scan(tmp_path, params="lr").select("run", "params.lr").collect()

    assert found.sort("run").rows() == [("broken", 1), ("closed", 1), ("crashed", 2)]


def test_scan_with_histograms_has_them_as_rows(tmp_path: Path) -> None:
    """A row a bin is a row like any other."""
    with skald.Logger("a", tmp_path) as logger:
        for low in (0.0, 0.5):
            logger.log_metric("weights", 3, bin_low=low, bin_high=low + 0.5, step=1)

    found = skald.scan(tmp_path).filter(metric="weights").select("bin_low", "bin_high", "value").collect()

    assert found.rows() == [(0.0, 0.5, 3.0), (0.5, 1.0, 3.0)]


@pytest.fixture(name="big", scope="module")
def runs_of_several_row_groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two runs whose files have a row group for `loss`, and two for `reward`."""
    runs = tmp_path_factory.mktemp("big")
    for name in "ab":
        with skald.Logger(name, runs) as logger:
            for metric, count in (("loss", 200_000), ("reward", 600_000)):
                steps = np.arange(count)
                logger.log_batch({metric: steps + 0.5}, step=steps, epoch=steps // 1000)
                logger.sync()
        metadata = pq.read_metadata(logger.run.path / PARQUET)
        assert [metadata.row_group(k).num_rows for k in range(3)] == [200_000, 524_288, 75_712]
    return runs


def copied(big: Path, to: Path) -> Path:
    """Return a copy of the big runs that may be damaged."""
    for name in "ab":
        (to / name).mkdir()
        for file in (PARQUET, RUN_JSON):
            (to / name / file).write_bytes((big / name / file).read_bytes())
    return to


@pytest.mark.parametrize(
    ("condition", "columns", "damaged", "expected"),
    [
        (pl.col("metric") == "loss", ["step"], [("a", {1, 2}, None), ("b", {1, 2}, None)], 400_000),
        ((pl.col("metric") == "reward") & (pl.col("step") >= 590_000), ["value"], [("a", {0, 1}, None)], 20_000),
        ((pl.col("epoch") == 599) & (pl.col("metric") == "reward"), ["run", "step"], [("b", {0, 1}, None)], 2_000),
        (pl.col("run") == "b", ["metric"], [("a", None, None)], 800_000),
        (pl.col("run").is_in(["b"]) & (pl.col("metric") == "loss"), ["value"], [("a", None, None)], 200_000),
        (pl.col("run").str.ends_with("a"), ["value"], [("b", None, None)], 800_000),
        (pl.col("metric") == "loss", ["run", "value"], [("a", None, {"step", "epoch", "time"})], 400_000),
    ],
)
def test_scan_reads_only_the_row_groups_and_columns_that_a_query_wants(
    condition: pl.Expr,
    columns: list[str],
    damaged: list[tuple[str, Any, Any]],
    expected: int,
    big: Path,
    tmp_path: Path,
) -> None:
    """What is damaged on purpose is not met, so it was not read: conditions on metric, run and ids, and columns."""
    runs = copied(big, tmp_path)
    for name, groups, chosen in damaged:
        damage(runs / name, groups=groups, columns=chosen)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = skald.scan(runs).filter(condition).select(columns).collect()

    assert found.height == expected


def test_damage_is_met_when_it_is_read(big: Path, tmp_path: Path) -> None:
    """The proof above is one: a query that wants the damaged part fails to read it."""
    runs = copied(big, tmp_path)
    damage(runs / "a", groups={1, 2})

    with pytest.warns(UserWarning, match="'a'"):
        found = skald.scan(runs).filter(metric="reward").select("step").collect()

    assert found.height == 600_000


def test_scan_reads_no_more_than_the_first_rows(big: Path, tmp_path: Path) -> None:
    """`head` stops at what it wants, over all runs."""
    runs = copied(big, tmp_path)
    damage(runs / "b")

    found = skald.scan(runs).head(5).collect()

    assert found["run"].to_list() == ["a"] * 5
    assert found["step"].to_list() == [0, 1, 2, 3, 4]


def test_rows_are_counted_where_no_column_is_wanted(tmp_path: Path) -> None:
    """A cross join, and the numbers of rows, ask for none: of closed, csv and crashed runs."""
    log(tmp_path, "closed")
    with skald.Logger("csv", tmp_path, metrics_format="csv") as logger:
        logger.log_metric("loss", 1.0)
    crash_at(tmp_path, "crashed", 2)
    alone = [(skald.Run(tmp_path / name).metrics, count) for name, count in (("closed", 3), ("csv", 1), ("crashed", 2))]

    for frame, count in ((skald.scan(tmp_path), 6), *alone):
        assert frame.join(frame, how="cross").select(pl.len()).collect().item() == count**2
        assert frame.with_row_index("at").select("at").collect()["at"].to_list() == list(range(count))


def test_wide_has_a_row_for_each_run_and_index(tmp_path: Path) -> None:
    """As `Run.wide`, with the run before the index; seeds stand side by side as columns."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path) as logger:
            for step in range(2):
                logger.log_metrics({"loss": step + 0.5, "accuracy": step}, step=step, split="val")
            logger.log_metric("loss", math.nan, step=0, split="train")

    frame = skald.scan(tmp_path)

    found = skald.wide(frame, "loss", "accuracy", split="val").collect()
    assert found.columns == ["run", "step", "split", "loss", "accuracy"]
    assert found.select("run", "step", "loss", "accuracy").rows() == [
        ("a", 0, 0.5, 0.0), ("a", 1, 1.5, 1.0), ("b", 0, 0.5, 0.0), ("b", 1, 1.5, 1.0),
    ]  # fmt: skip
    by_split = skald.wide(frame.collect(), "loss", index="step", columns="split").collect()
    assert by_split.columns == ["run", "step", "train", "val"]
    assert by_split.height == 4


def test_wide_of_a_table_without_run_is_an_error(tmp_path: Path) -> None:
    """A table of one run has `Run.wide`."""
    run = log(tmp_path, "a", 1)

    with pytest.raises(skald.InvalidInputError, match="column 'run'"):
        skald.wide(run.metrics, "loss")


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="every path there is text")
def test_runs_in_a_folder_whose_name_is_no_text_are_left_out(tmp_path: Path) -> None:
    """With one warning that says what to rename, as no table can hold their path."""
    odd = tmp_path / os.fsdecode(b"odd\xff")
    for folder in (tmp_path / "good", odd):
        with skald.Logger("a", folder, capture=False) as logger:
            logger.log_metric("loss", 1.0, step=1)

    with pytest.warns(UserWarning, match="must be UTF-8.*rename the folder") as told:
        rows = skald.scan(tmp_path).collect()
    assert (rows["run"].to_list(), len(told)) == (["good/a"], 1)
    with pytest.warns(UserWarning, match="must be UTF-8.*rename the folder"):
        assert skald.runs(tmp_path, metrics="loss")["run"].to_list() == ["good/a"]
    assert skald.Run(odd / "a").metrics.collect().height == 1


def test_warning_of_kinds_stays_short_whatever_differs() -> None:
    """Ids that differ in the same runs are named together; of many runs and ids some are named, and how many more."""
    runs: dict[Kind, list[str]] = {"int": [f"a{number}" for number in range(60)], "str": ["b"]}
    alike = {f"id{number}": runs for number in range(10)}
    alone: dict[str, dict[Kind, list[str]]] = {
        f"other{number}": {"int": [f"a{number}"], "str": ["b"]} for number in range(20)
    }

    assert describe_disagreed({"id0": runs}, "out") == (
        "id 'id0' is int in 'a0', 'a1', 'a2' and 57 more, str in 'b': out"
    )
    assert describe_disagreed(alike | alone, "out") == (
        "ids 'id0', 'id1', 'id2' and 7 more are int in 'a0', 'a1', 'a2' and 57 more, str in 'b'; "
        "id 'other0' is int in 'a0', str in 'b'; id 'other1' is int in 'a1', str in 'b'; "
        "18 more ids differ likewise: out"
    )


def test_rows_with_ids_that_came_after_the_look_are_left_out_of_a_live_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that was made before them cannot show them, also where another run has such an id."""
    with skald.Logger("other", tmp_path, capture=False) as other:
        other.log_metric("loss", 0.0, step=0)

    def log_meanwhile(one: Member, kinds: Kinds) -> pl.LazyFrame:
        rows = scan_folder(one, kinds)
        logger.log_metric("loss", 1.0, step=1)
        logger.log_metric("loss", 2.0, step=2, split="train")
        return rows

    with skald.Logger("live", tmp_path, capture=False) as logger:
        monkeypatch.setattr("skald.many.scanning.scan_folder", log_meanwhile)
        rows = skald.scan(tmp_path).collect()
        monkeypatch.undo()

        assert rows.select("run", "step", "value").rows() == [("other", 0, 0.0), ("live", 1, 1.0)]
        assert skald.scan(tmp_path).collect()["split"].to_list() == [None, None, "train"]


def test_rows_with_ids_that_came_after_the_look_are_left_out_of_a_replaced_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is resumed and closed meanwhile is read as it was."""
    for name in "ab":
        with skald.Logger(name, tmp_path, capture=False) as logger:
            logger.log_metric("loss", 1.0, step=1)

    def log_meanwhile(*arguments: Any) -> pl.LazyFrame:
        if not skald.Run(tmp_path / "b").tags:
            with skald.Logger("b", tmp_path, mode="resume", tags="again", capture=False) as logger:
                logger.log_metric("loss", 2.0, step=2, split="train")
        return scan_files(*arguments)

    monkeypatch.setattr("skald.many.scanning.scan_files", log_meanwhile)

    assert skald.scan(tmp_path).collect().select("run", "step", "value").rows() == [("a", 1, 1.0), ("b", 1, 1.0)]
    assert skald.scan(tmp_path).collect()["split"].to_list() == [None, None, "train"]


@pytest.mark.parametrize("state", ["closed", "csv", "live"])
def test_first_rows_are_taken_before_a_condition_that_follows(tmp_path: Path, state: str) -> None:
    """As of any table; and a condition comes first where the first rows of what meets it are asked for."""
    logger = skald.Logger("run", tmp_path, capture=False, metrics_format="csv" if state == "csv" else "parquet")
    for step in range(10):
        logger.log_metric("loss", step / 2, step=step)
    if state != "live":
        logger.close()

    for table in (skald.Run(tmp_path / "run").metrics, skald.scan(tmp_path)):
        assert table.head(3).filter(pl.col("step") > 5).collect()["step"].to_list() == []
        assert table.head(8).filter(step=7).select("value").collect().to_series().to_list() == [3.5]
        assert table.head(8).filter(pl.col("step") > 5).select(pl.len()).collect().item() == 2
        assert table.filter(pl.col("step") > 5).head(2).collect()["step"].to_list() == [6, 7]
    logger.close()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_columns_stand_in_their_order_whatever_the_engine(tmp_path: Path, engine: Any) -> None:
    """The run comes first."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_metric("loss", 1.0, step=1)
    rows = skald.scan(tmp_path)

    assert rows.collect(engine=engine).schema == rows.collect_schema()
