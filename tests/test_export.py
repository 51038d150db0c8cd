"""`skald export`: the same rows in other programs' formats."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import output, start
from logged import program

import skald
from skald.cli import parting


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with two runs."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            for step in range(3):
                logger.log_metric("loss", float(step), step=step)
            logger.log_metric("bad", float("nan"), step=0)
            logger.log_metric("bad", float("-inf"), split='val,"x"')
    return tmp_path


READERS: dict[str, Any] = {".csv": pl.read_csv, ".parquet": pl.read_parquet, ".arrow": pl.read_ipc}


@pytest.mark.parametrize("suffix", READERS)
def test_export_writes_the_table_of_scan(runs: Path, suffix: str) -> None:
    """Every row, in its order, with the run."""
    output("export", "runs", "-o", f"rows{suffix}", folder=runs)

    found = READERS[suffix](runs / f"rows{suffix}")
    expected = skald.scan(runs / "runs").collect()
    assert found.columns == expected.columns
    assert found.drop("time").equals(expected.drop("time"))


def test_export_of_one_run_has_no_column_of_runs(runs: Path) -> None:
    """It is the table of Run.metrics."""
    output("export", "a", "-o", "rows.parquet", folder=runs)

    assert pl.read_parquet(runs / "rows.parquet").equals(skald.Run(runs / "runs" / "a").metrics.collect())


def test_export_writes_json_lines(runs: Path) -> None:
    """An object a row, without ids that it lacks; what is no number in JSON is a string."""
    output("export", "a", "-o", "rows.jsonl", folder=runs)

    rows = [json.loads(line) for line in (runs / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in rows:
        assert row.pop("time").endswith("Z")
    assert rows[:1] == [{"metric": "loss", "step": 0, "value": 0.0}]
    assert rows[3:] == [
        {"metric": "bad", "step": 0, "value": "NaN"},
        {"metric": "bad", "split": 'val,"x"', "value": "-Infinity"},
    ]


def test_export_takes_metrics_and_ids(runs: Path) -> None:
    """Only what is asked for is written."""
    output("export", "runs", "-o", "rows.csv", "-m", "loss", "--id", "step=1", folder=runs)

    assert pl.read_csv(runs / "rows.csv")["value"].to_list() == [1.0, 1.0]


def test_export_wide_has_a_column_a_metric(runs: Path) -> None:
    """With the run and the ids before them."""
    output("export", "runs", "-o", "rows.csv", "--wide", "-m", "loss", folder=runs)

    assert pl.read_csv(runs / "rows.csv").rows() == [(run, step, float(step)) for run in "ab" for step in range(3)]


def test_export_wide_takes_what_a_row_is_and_what_becomes_columns(tmp_path: Path) -> None:
    """As `Run.wide` does; a hint says how where it must be named, and without --wide it is wrong usage."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        for task in range(2):
            for seen in range(task + 1):
                logger.log_metric("accuracy", task + seen / 10, task=task, seen=seen)
        logger.log_metric("total", 5.0)
    matrix = ["export", "a", "-o", "rows.csv", "--wide", "-m", "accuracy", "--index", "task", "--columns", "seen"]

    output(*matrix, folder=tmp_path)
    nothing_in_common = start("export", "a", "-o", "rows.csv", "--wide", folder=tmp_path)
    no_wide = start("export", "a", "-o", "rows.csv", "--index", "task", folder=tmp_path)

    assert pl.read_csv(tmp_path / "rows.csv").rows() == [(0, 0.0, None), (1, 1.0, 1.1)]
    assert (nothing_in_common.code, "--index" in nothing_in_common.stderr) == (1, True)
    assert (no_wide.code, "add --wide" in " ".join(no_wide.stderr.split())) == (2, True)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Return a folder with two runs that differ in a param, and have histograms."""
    for name, lr in (("a", 0.1), ("b", 0.2)):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_params(lr=lr, seed=0)
            for epoch in range(2):
                logger.log_metrics({"loss": epoch + lr, "extra": 5.0}, epoch=epoch)
                logger.log_histogram("weights", [epoch, lr], bins=2, epoch=epoch)
                logger.log_histogram("widths", [epoch, lr], bins=2, epoch=epoch)
    return tmp_path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_export_wide_of_a_histogram_has_its_bins(suffix: str, sweep: Path) -> None:
    """As `Run.wide`, where it is named; the rows were silently left out once."""
    output("export", "a", "-o", f"rows{suffix}", "--wide", "-m", "weights", folder=sweep)

    expected = skald.Run(sweep / "runs" / "a").wide("weights").collect()
    assert expected.columns == ["epoch", "bin_low", "bin_high", "weights"]
    assert READERS[suffix](sweep / f"rows{suffix}").equals(expected)


@pytest.mark.parametrize(
    ("metrics", "header"),
    [
        (["loss", "extra"], "epoch,loss,extra"),
        (["extra", "loss"], "epoch,extra,loss"),
        (["w*"], "epoch,bin_low,bin_high,weights,widths"),
        (["*"], "epoch,loss,extra"),
        (["ex*", "*"], "epoch,extra,loss"),
    ],
    ids=str,
)
def test_export_wide_has_the_metrics_in_the_order_asked(metrics: list[str], header: str, sweep: Path) -> None:
    """Histograms are among them where they are named, or a glob finds nothing else."""
    asked = [word for metric in metrics for word in ("-m", metric)]

    printed = output("export", "a", "-o", "-", "--wide", *asked, folder=sweep)

    assert printed.splitlines()[0] == header


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (["--columns", "run"], ["epoch,a,b", "0,0.1,0.2", "1,1.1,1.2"]),
        (["--columns", "run", "-m", "extra"], ["epoch,loss/a,loss/b,extra/a,extra/b", "0,0.1,0.2,5.0,5.0"]),
        (["--columns", "run", "--index", "params.seed", "--index", "epoch"], ["params.seed,epoch,a,b", "0,0,0.1,0.2"]),
        (["--index", "params.lr", "--index", "epoch"], ["run,params.lr,epoch,loss", "a,0.1,0,0.1"]),
        (["--columns", "params.lr"], ["run,epoch,0.1,0.2", "a,0,0.1,", "a,1,1.1,", "b,0,,0.2"]),
    ],
    ids=str,
)
def test_export_wide_takes_runs_and_params_as_columns(options: list[str], rows: list[str], sweep: Path) -> None:
    """A curve a run side by side, told by the params that are named."""
    printed = output("export", "runs", "-o", "-", "--wide", "-m", "loss", *options, folder=sweep)

    assert printed.splitlines()[: len(rows)] == rows


def test_export_wide_of_one_run_has_no_columns_of_runs(sweep: Path) -> None:
    """An error that says what there is."""
    done = start("export", "a", "-o", "-", "--wide", "--columns", "run", folder=sweep)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == "skald: there is no id 'run': the ids are epoch, bin_low, bin_high\n"


@pytest.mark.parametrize(("target", "code"), [("rows.xlsx", 2), ("rows", 2), ("nowhere/rows.csv", 1)])
def test_export_into_what_it_cannot_write_is_an_error(runs: Path, target: str, code: int) -> None:
    """Nothing is left behind; a suffix is wrong whatever is on the disk, which is wrong usage."""
    done = start("export", "a", "-o", target, folder=runs)

    assert done.code == code
    assert done.stderr.startswith("skald: ")
    assert [path.name for path in runs.iterdir()] == ["runs"]


def test_export_leaves_the_files_of_a_run_alone(runs: Path) -> None:
    """A table in their place would lose what they say of themselves."""
    before = (runs / "runs" / "a" / "metrics.parquet").read_bytes()

    done = start("export", "a", "-o", "runs/a/metrics.parquet", folder=runs)

    assert (done.code, "must not be in the folder of a run" in done.stderr) == (1, True)
    assert (runs / "runs" / "a" / "metrics.parquet").read_bytes() == before


@pytest.mark.parametrize("command", [("plot", "a", "-m", "loss", "-o", "{}.svg"), ("export", "a", "-o", "{}.csv")])
def test_what_is_written_into_a_run_goes_to_its_artifacts(runs: Path, command: Sequence[str]) -> None:
    """Where a program may put files of its own; elsewhere they would stand among those of the run."""
    kept, refused = ([part.format(f"runs/a/{place}/x") for part in command] for place in ("artifacts", "segments"))
    for place in ("artifacts", "segments"):
        (runs / "runs" / "a" / place).mkdir(exist_ok=True)

    output(*kept, folder=runs)
    done = start(*refused, folder=runs)

    assert (done.code, "must not be in the folder of a run" in done.stderr) == (1, True)
    assert [path.stem for path in (runs / "runs" / "a" / "artifacts").iterdir()] == ["x"]
    assert not any((runs / "runs" / "a" / "segments").iterdir())


@pytest.mark.parametrize("is_wide", [False, True])
def test_export_does_not_grow_with_the_rows(tmp_path: Path, *, is_wide: bool) -> None:
    """Ten times the rows take little more memory, also where they become a wide table."""
    source = """
import resource, sys, numpy, skald
from skald.cli import parting
from skald.cli.export import export_paths
from collections.abc import Sequence
from pathlib import Path
from typing import Any
rows, is_wide, parting.PART_ROWS = int(sys.argv[1]), sys.argv[2] == "True", 500_000
with skald.Logger("run", ".", mode="overwrite", capture=False) as logger:
    for first in range(0, rows, 500_000):
        logger.log_batch({"loss": numpy.random.rand(500_000)}, step=numpy.arange(first, first + 500_000))
export_paths(["run"], Path("rows.parquet"), metrics=[], ids=[], is_wide=is_wide)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    small, large = (int(program(source, rows, is_wide, folder=tmp_path).stdout) for rows in (500_000, 6_000_000))

    assert large < small + 250_000


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--index", "epoch"],
        ["--index", "x", "--index", "split"],
        ["--index", "split", "--index", "epoch"],
        ["--columns", "epoch"],
        ["-m", "loss", "-m", "accuracy"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("source", ["runs", "runs/b"])
def test_export_wide_is_the_same_in_parts(
    source: str, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows a part has, also where an id is NaN or infinite, or is no number."""
    for name, xs in (("a", [0.5, -3.0]), ("b", [1e300, -1e300, 2.0, math.nan]), ("c", [math.inf, 1.0, -math.inf])):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            for epoch, x in itertools.product(range(-2, 5), xs):
                logger.log_metrics({"loss": epoch + 0.5, "accuracy": x}, epoch=epoch, x=x, split="ab"[epoch % 2])

    whole = output("export", source, "-o", "-", "--wide", *options, folder=tmp_path)
    monkeypatch.setattr(parting, "PART_ROWS", 5)
    parted = output("export", source, "-o", "-", "--wide", *options, folder=tmp_path)

    assert parted == whole
    assert len(whole.splitlines()) > 2


def test_export_takes_a_condition_over_the_runs(runs: Path) -> None:
    """Of runs of which it does not hold nothing is written; of none it is an error."""
    names = sorted(skald.runs(runs / "runs")["run"])
    output("export", "runs", "-o", "one.csv", "--where", f"run = '{names[0]}'", folder=runs)
    done = start("export", "runs", "-o", "none.csv", "--where", "run = 'nowhere'", folder=runs)

    assert set(pl.read_csv(runs / "one.csv")["run"]) == {names[0]}
    assert (done.code, done.stderr) == (1, "skald: no run meets the condition \"run = 'nowhere'\"\n")
    assert not (runs / "none.csv").exists()


def test_export_writes_times_as_iso_8601_in_utc(runs: Path) -> None:
    """Which every reader takes."""
    output("export", "a", "-o", "rows.csv", folder=runs)

    times = pl.read_csv(runs / "rows.csv")["time"]
    expected = skald.Run(runs / "runs" / "a").metrics.collect()["time"]
    assert [dt.datetime.fromisoformat(time) for time in times] == expected.to_list()
    assert all(time.endswith("Z") for time in times)


@pytest.mark.parametrize(("target", "file"), [("-", "rows.csv"), ("-.csv", "rows.csv"), ("-.jsonl", "rows.jsonl")])
def test_export_to_stdout_prints_what_a_file_would_hold(target: str, file: str, runs: Path) -> None:
    """For a pipe: rows as text."""
    output("export", "runs", "-o", file, folder=runs)

    assert output("export", "runs", "-o", target, folder=runs) == (runs / file).read_text(encoding="utf-8")
    assert not (runs / target).exists()


@pytest.mark.parametrize("rows", ["-m loss --id step=99", "-m loss --id split=train", "--wide -m loss --id step=99"])
def test_export_of_no_rows_is_a_header(rows: str, runs: Path) -> None:
    """So that who reads it finds the columns; a note says which id no row has."""
    done = start("export", "runs", "-o", "-", *rows.split(), folder=runs)

    assert done.code == 0
    assert done.stdout.startswith("run,")
    assert done.stdout.count("\n") == 1
    assert done.stderr.startswith("skald: no row has ")


def test_export_says_which_rows_a_wide_table_leaves_out(tmp_path: Path) -> None:
    """One line on stderr, and the table all the same."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_metric("loss", 1.0, epoch=0, batch=1, split="train")
        logger.log_metric("loss", 2.0, epoch=0, split="val")

    done = start("export", "runs", "-o", "-", "--wide", folder=tmp_path)

    assert (done.code, done.stdout) == (0, "run,epoch,batch,split,loss\na,0,1,train,1.0\n")
    assert done.stderr.startswith("skald: a wide table leaves out 1 row of 'loss' without id 'batch'; hint: ")
    assert done.stderr.count("\n") == 1


def test_csv_is_numbers_again_in_polars_pandas_and_duckdb(runs: Path) -> None:
    """Without being told so, NaN and infinities too."""
    output("export", "a", "-o", "rows.csv", "--metric", "bad", folder=runs)
    file = runs / "rows.csv"

    polars = pl.read_csv(file)["value"].to_list()
    pandas = pytest.importorskip("pandas").read_csv(file)["value"].to_list()
    rows = pytest.importorskip("duckdb").sql(f"select value from '{file}'").fetchall()  # noqa: S608  of our own

    for found in (polars, pandas, [value for (value,) in rows]):
        assert [math.isnan(found[0]), found[1]] == [True, -math.inf]


def test_json_lines_are_numbers_again_in_polars_pandas_and_duckdb(runs: Path) -> None:
    """NaN and infinities, which JSON lacks, too."""
    output("export", "a", "-o", "rows.jsonl", "--metric", "bad", folder=runs)
    file = runs / "rows.jsonl"

    polars = pl.read_ndjson(file, schema_overrides={"value": pl.String})["value"].cast(pl.Float64).to_list()
    frame = pytest.importorskip("pandas").read_json(file, lines=True)
    rows = pytest.importorskip("duckdb").sql(f"select value::double from '{file}'").fetchall()  # noqa: S608  of our own

    for found in (polars, frame["value"].astype(float).to_list(), [value for (value,) in rows]):
        assert [math.isnan(found[0]), found[1]] == [True, -math.inf]
