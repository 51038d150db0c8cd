"""`skald query`: SQL over the rows and the table of runs."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import pytest
from commands import output, start

import skald


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with two runs."""
    for name, best in (("a", 0.9), ("b", 0.7)):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_params({"lr": best / 10})
            for epoch, value in enumerate((0.1, best, float("nan"))):
                logger.log_metric("accuracy", value, epoch=epoch, split="val")
    return tmp_path


def test_query_answers_over_the_rows(runs: Path) -> None:
    """As a table for people."""
    sql = "select run, max(value) as best from metrics where metric = 'accuracy' group by run order by run"

    lines = output("query", "runs", sql, folder=runs).splitlines()

    assert [line.split() for line in lines] == [["run", "best"], ["a", "0.9"], ["b", "0.7"]]


def test_query_joins_rows_and_runs(runs: Path) -> None:
    """By the name of the run, which is the same in both tables."""
    sql = """select runs."params.lr" as lr, count(*) as n from metrics join runs on metrics.run = runs.run
             where runs.status = 'finished' group by lr order by lr"""

    found = json.loads(output("query", sql, "--format", "json", folder=runs))

    assert [(round(row["lr"], 9), row["n"]) for row in found] == [(0.07, 3), (0.09, 3)]


def test_query_of_one_run(runs: Path) -> None:
    """A run is a folder of one."""
    assert output("query", "a", "select count(*) from metrics", "--format", "csv", folder=runs).splitlines()[1] == "3"


def test_query_takes_params_without_their_prefix(runs: Path) -> None:
    """As `--where` does; `*` means the columns as they are, and a name that nothing has is told."""
    sql = "select run, lr, max(value) from metrics join runs using (run) where lr < 1 group by run, lr order by lr"
    lines = output("query", "runs", sql, folder=runs).splitlines()
    header = output("query", "runs", "select * from runs", "--format", "csv", folder=runs).splitlines()[0]
    done = start("query", "runs", "select run, lrr from runs", folder=runs)

    assert [line.split()[:2] for line in lines[1:]] == [["b", "0.07"], ["a", "0.09"]]
    assert header == "run,path,status,started,duration,rows,tags,params.lr"
    assert done.stderr.startswith("skald: in the SQL: there is no column 'lrr'; did you mean 'lr'?")


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select vlue from metrics", "there is no column 'vlue'; did you mean 'value'?"),
        ("select m.vlue from metrics m", "there is no column 'vlue'; did you mean 'value'?"),
        ("select * from metrcs", "there is no table 'metrcs'; the tables are metrics and runs"),
    ],
)
def test_query_of_a_name_that_is_nearly_right_says_so(sql: str, message: str, runs: Path) -> None:
    """Of columns and tables."""
    assert start("query", "runs", sql, folder=runs).stderr.startswith(f"skald: in the SQL: {message}\n  {sql}\n")


def test_query_prints_csv_and_json(runs: Path) -> None:
    """NaN is a string in JSON."""
    sql = "select epoch, value from metrics where run = 'a' order by epoch"

    rows = list(csv.reader(io.StringIO(output("query", sql, "--format", "csv", folder=runs))))
    objects = json.loads(output("query", sql, "--format", "json", folder=runs))

    assert rows == [["epoch", "value"], ["0", "0.1"], ["1", "0.9"], ["2", "NaN"]]
    assert objects[2] == {"epoch": 2, "value": "NaN"}


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select max(value) > 0.8 from metrics where value < 2", 0),
        ("select max(value) > 0.95 from metrics where value < 2", 1),
    ],
)
def test_query_test_fails_unless_the_first_value_is_true(runs: Path, sql: str, code: int) -> None:
    """For a step of continuous integration."""
    assert start("query", "runs", sql, "--test", folder=runs).code == code


@pytest.mark.parametrize("sql", ["select run from metrics where run = 'c'", "select 1"])
def test_query_test_fails_where_there_is_no_truth(runs: Path, sql: str) -> None:
    """No row, or a value that is no bool."""
    assert start("query", "runs", sql, "--test", folder=runs).code == 1


@pytest.mark.parametrize(
    ("sql", "mark"),
    [
        ("select run fro metrics", 15),
        ("select epok from metrics", 7),
        ("select * from metrix", 14),
    ],
)
def test_query_errors_point_at_the_sql(runs: Path, sql: str, mark: int) -> None:
    """The line, and a mark below the place."""
    done = start("query", "runs", sql, folder=runs)

    assert done.code == 1
    assert "Traceback" not in done.stderr
    assert f"  {sql}\n  {' ' * mark}^" in done.stderr


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_query_fits_the_width(width: int, runs: Path) -> None:
    """Columns that have no room are named below; cells stay on one line, and so does every row."""
    lines = output("query", "runs", "select * from runs", folder=runs, COLUMNS=str(width)).splitlines()

    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines[:3]] == ["run", "a", "b"]
    assert len(lines) == (4 if width < 120 else 3)
    assert ("params.lr" in lines[0]) == (width >= 120)
    assert width >= 120 or lines[3].startswith("no room for ")


def test_query_without_rows_says_so(runs: Path) -> None:
    """For people; CSV has its header."""
    sql = "select run from runs where run = 'c'"

    assert output("query", "runs", sql, folder=runs) == "no rows\n"
    assert output("query", "runs", sql, "--format", "csv", folder=runs) == "run\n"


def test_query_prints_what_show_prints_of_runs(tmp_path: Path) -> None:
    """Durations in seconds, times in UTC, tags as a list or as words, bools in lower case: in JSON and in CSV."""
    with skald.Logger("a", tmp_path / "runs", capture=False, tags=["x", "y"]) as logger:
        logger.log_params(flag=True, sizes=[1, 2])
    sql = "select run, started, duration, tags, flag, sizes from runs"

    row = json.loads(output("query", "runs", sql, "--format", "json", folder=tmp_path))[0]
    shown = json.loads(output("show", "runs", "--format", "json", folder=tmp_path))[0]
    cells = next(csv.DictReader(io.StringIO(output("query", "runs", sql, "--format", "csv", folder=tmp_path))))

    assert row["duration"] == shown["duration"]
    assert row["started"] == shown["started"]
    assert (row["tags"], row["flag"], row["sizes"]) == (["x", "y"], True, "[1, 2]")
    assert (cells["tags"], cells["flag"], cells["sizes"]) == ("x y", "true", "[1, 2]")
    assert float(cells["duration"]) == shown["duration"]
    assert cells["started"] == shown["started"]


def test_query_prints_decimals_as_numbers(runs: Path) -> None:
    """A number with a point is a decimal in SQL, and a number everywhere else."""
    assert json.loads(output("query", "runs", "select 1.5 as x", "--format", "json", folder=runs)) == [{"x": 1.5}]
    assert output("query", "runs", "select 1.5 as x", "--format", "csv", folder=runs) == "x\n1.5\n"
    assert output("query", "runs", "select 1.5 as x", folder=runs).split() == ["x", "1.5"]


def test_query_says_how_nan_is_asked_for(runs: Path) -> None:
    """There is no isnan in the SQL of polars; what the hint says to write works."""
    done = start("query", "runs", "select count(*) from metrics where isnan(value)", folder=runs)
    hint = done.stderr.partition("hint: write ")[2].splitlines()[0].removesuffix(" for the others")

    sql = "select count(*) as n from metrics where "
    counts = [output("query", "runs", sql + condition, folder=runs).split()[1] for condition in hint.split(", or ")]

    assert counts == ["2", "4"]


@pytest.mark.parametrize(
    "args", [("query", "runs", "select '\udcff' from metrics"), ("show", "--where", "lr = '\udcff'")]
)
def test_query_of_bytes_that_are_no_text_says_so(args: tuple[str, ...], runs: Path) -> None:
    """As Python hands them over: a word on stderr, and no traceback."""
    done = start(*args, folder=runs)

    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith("skald: the SQL must be UTF-8, got ")


@pytest.mark.parametrize("sql", ["delete from metrics", "/* all */ drop table runs", "(Create table x as select 1)"])
def test_query_refuses_sql_that_would_change_a_table(sql: str, runs: Path) -> None:
    """With one clear line, as nothing is changed that an answer could tell of."""
    done = start("query", "runs", sql, folder=runs)

    assert done.code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("skald: a query only asks and changes no run, got")


def test_query_says_how_times_are_compared_with_now(runs: Path) -> None:
    """Times have a zone and polars' now() has none; what the hint says to write works."""
    done = start("query", "runs", "select count(*) from metrics where time > now()", folder=runs)
    hint = done.stderr.partition("hint: write ")[2].splitlines()[0]

    for condition in hint.split(", or "):
        sql = "select count(*) as n from metrics where "
        assert output("query", "a", sql + condition, folder=runs).split()[0] == "n"
    assert "is compared with one that has no time zone" in done.stderr


@pytest.mark.parametrize(
    ("sql", "got"),
    [
        ("select 1", "1"),
        ("select 'true'", '"true"'),
        ("select null", "null"),
        ("select run from runs where false", "no row"),
    ],
)
def test_query_test_says_what_it_expects(runs: Path, sql: str, got: str) -> None:
    """On one line, and what the first value is; what is false needs no word."""
    done = start("query", "runs", sql, "--test", folder=runs)

    assert (done.code, done.stderr) == (
        1,
        f"skald: --test expects true or false as the first value of the result, got {got}\n",
    )
    assert start("query", "runs", "select 1 > 2", "--test", folder=runs).stderr == ""


def test_query_shows_its_tables(runs: Path) -> None:
    """Both, though the table of runs is only made where it is asked for."""
    assert output("query", "runs", "show tables", "--format", "csv", folder=runs).split() == ["name", "metrics", "runs"]


def test_query_names_columns_of_the_tables_that_it_asks(runs: Path) -> None:
    """Of `runs` alone, not those of `metrics`."""
    said = start("query", "runs", 'select run from runs where "loss.min" < 1', folder=runs).stderr

    assert "the columns are run, path, status, started, duration, rows, tags, lr\n" in said


def test_query_gives_only_columns_of_the_tables_where_a_param_is_named(runs: Path) -> None:
    """`*` means them, whatever else the SQL speaks of; and `run` once where two tables are joined by it."""
    header = "run,path,status,started,duration,rows,tags,params.lr\n"
    joined = "run,metric,epoch,split,value,time,path,status,started,duration,rows,tags,params.lr\n"

    for sql, columns in (
        ("select * from runs where lr > 9", header),
        ('select r.* from runs r where "lr" > 9', header),
        ("select * from metrics join runs using (run) where lr > 9", joined),
    ):
        assert output("query", "runs", sql, "--format", "csv", folder=runs) == columns


def test_query_finds_params_beside_a_name_that_is_an_id_too(tmp_path: Path) -> None:
    """That name is the id, as its column is called so; the param is that of its table."""
    for seed in range(3):
        with skald.Logger(f"r{seed}", tmp_path / "runs", ids={"seed": seed}, capture=False) as logger:
            logger.log_params(seed=10 * seed, lr=seed / 10)
            logger.log_metric("loss", seed, epoch=0)
    sql = """select lr, seed, runs.seed, min(value) v from metrics join runs using (run)
             where seed = 1 group by lr, seed, runs.seed"""

    assert output("query", "runs", sql, "--format", "csv", folder=tmp_path) == "lr,seed,runs.seed,v\n0.1,1,10,1.0\n"


def test_query_of_lists_that_hold_nan_is_json(tmp_path: Path) -> None:
    """NaN and infinities are strings in it, wherever params are columns."""
    with skald.Logger("a", tmp_path / "runs", capture=False) as logger:
        logger.log_params(l=[math.inf, 1, {"y": math.nan}, -math.inf])
    text = '["Infinity", 1, {"y": "NaN"}, "-Infinity"]'

    assert json.loads(output("query", "select l from runs", "--format", "json", folder=tmp_path)) == [{"l": text}]
    assert skald.runs(tmp_path / "runs")["params.l"].to_list() == [text]
