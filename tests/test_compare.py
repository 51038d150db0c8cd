"""`skald compare`: what differs first, and where runs part."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import polars as pl
import pytest
from commands import output, start

import skald
from skald.reading.comparison import find_partings


def train(folder: Path, name: str, *, lr: float, part_at: int, steps: int = 10) -> None:
    """Log a run whose loss goes its own way from a step on."""
    with skald.Logger(name, folder, capture=False) as logger:
        logger.log_params({"lr": lr, "model": {"depth": 12}})
        for step in range(steps):
            loss = 1 / (step + 1) + (lr if step >= part_at else 0)
            logger.log_metric("loss", loss, epoch=step // 5, step=step, split="train")
        logger.log_metric("accuracy", 0.5, split="val")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a folder with three runs."""
    train(tmp_path / "runs", "a", lr=0.1, part_at=100)
    train(tmp_path / "runs", "b", lr=0.2, part_at=7, steps=12)
    train(tmp_path / "runs", "c", lr=0.3, part_at=8)
    return tmp_path


def test_compare_shows_params_that_differ_and_where_series_part(runs: Path) -> None:
    """What is the same is not shown of params, and comes last of series."""
    shown = output("compare", "a", "b", folder=runs)

    lines = [line.split() for line in shown.splitlines()]
    assert ["lr", "0.1", "0.2"] in lines
    assert "depth" not in shown
    loss = next(line for line in lines if line[:1] == ["loss"])
    accuracy = next(line for line in lines if line[:1] == ["accuracy"])
    assert loss[-2:] == ["epoch=1", "step=7"]
    assert accuracy[-1] == "same"
    assert lines.index(loss) < lines.index(accuracy)


def test_compare_as_json(runs: Path) -> None:
    """Params that differ and every series, by the names of the runs."""
    found = json.loads(output("compare", "runs", "--format", "json", folder=runs))

    assert found["runs"] == ["a", "b", "c"]
    assert found["params"] == {"lr": {"a": 0.1, "b": 0.2, "c": 0.3}}
    loss, accuracy = found["series"]
    assert (loss["metric"], loss["ids"]) == ("loss", {"split": "train"})
    assert loss["parts_at"] == {"epoch": 1, "step": 7, "split": "train"}
    assert loss["numbers"]["a"] == {"last": 0.1, "min": 0.1, "max": 1.0}
    assert accuracy["parts_at"] is None


def test_compare_as_csv(runs: Path) -> None:
    """A row a param, and a row a number of a series."""
    rows = list(csv.reader(io.StringIO(output("compare", "a", "b", "--format", "csv", folder=runs))))

    assert rows[0] == ["kind", "name", "ids", "statistic", "a", "b", "parts_at"]
    assert rows[1] == ["param", "lr", "", "", "0.1", "0.2", ""]
    assert ["metric", "accuracy", "split=val", "last", "0.5", "0.5", ""] in rows


def test_compare_takes_metrics_and_ids(runs: Path) -> None:
    """Only what is asked for is compared."""
    found = json.loads(output("compare", "a", "b", "-m", "acc*", "--id", "split=val", "--format", "json", folder=runs))

    assert [series["metric"] for series in found["series"]] == ["accuracy"]


def test_compare_of_one_run_is_an_error(runs: Path) -> None:
    """There is nothing beside it: the command line is wrong; of a folder it may be right another day."""
    done = start("compare", "a", folder=runs)
    of_folder = start("compare", "runs", "--where", "run = 'a'", folder=runs)

    assert (done.code, done.stderr) == (2, "skald: compare takes two runs or more, got 1 run\n")
    assert (of_folder.code, of_folder.stderr) == (1, done.stderr)


def frame(*runs: list[tuple[int | None, float]]) -> pl.LazyFrame:
    """Return rows of one metric with a step, of the runs 0, 1, ..."""
    rows = [(str(number), "loss", step, value) for number, run in enumerate(runs) for step, value in run]
    schema = {"run": pl.String, "metric": pl.String, "step": pl.Int64, "value": pl.Float64}
    return pl.LazyFrame(rows, schema=schema, orient="row")


NAN = float("nan")


@pytest.mark.parametrize(
    ("one", "two", "step"),
    [
        ([(1, 0.5), (2, 0.5)], [(1, 0.5), (2, 0.5)], None),
        ([(1, 0.5), (2, 0.5)], [(2, 0.6), (1, 0.7)], 1),
        ([(1, NAN), (2, 0.5)], [(1, NAN), (2, NAN)], 2),
        ([(1, 0.5), (1, 0.6)], [(1, 0.5), (1, 0.6)], None),
        ([(1, 0.5), (3, 0.6)], [(1, 0.5), (2, 9.0)], None),
    ],
    ids=["same", "by ids, not by place", "NaN", "ids that recur", "rows of one run only"],
)
def test_partings_pair_rows_by_all_their_ids(
    one: list[tuple[int | None, float]], two: list[tuple[int | None, float]], step: int | None
) -> None:
    """The first in the order of the first run counts."""
    found = find_partings(frame(one, two), ["0", "1"])

    place = found["parts_at"].to_list()[0]
    assert (place and place["step"]) == step


def test_partings_of_several_runs_are_the_first_of_any() -> None:
    """Each is compared with the first."""
    found = find_partings(frame([(1, 0.0), (2, 0.0)], [(1, 0.0), (2, 1.0)], [(1, 1.0), (2, 0.0)]), ["0", "1", "2"])

    assert found["parts_at"].to_list() == [{"step": 1}]


def test_partings_of_a_series_that_the_first_run_lacks() -> None:
    """The first run that has it counts, in the order given."""
    found = find_partings(frame([], [(1, 0.0), (2, 0.0)], [(1, 0.0), (2, 1.0)]), ["0", "2", "1"])

    assert found.select("pairs", "parts_at").rows() == [(2, {"step": 2})]


def test_partings_of_rows_without_ids() -> None:
    """A null is equal to a null."""
    found = find_partings(frame([(None, 0.0)], [(None, 1.0)]), ["0", "1"])

    assert found["parts_at"].to_list() == [{"step": None}]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_compare_fits_the_width(width: int, tmp_path: Path) -> None:
    """Where runs have no room beside each other each has its row, and nothing of what was asked is left out."""
    for number in range(6):
        with skald.Logger(f"a_run_with_a_name_{number}", tmp_path / "runs", capture=False) as logger:
            logger.log_params(seed=number)
            logger.log_metric("loss", number / 8, step=0)

    text = output("compare", "runs", folder=tmp_path, COLUMNS=str(width))

    assert max(map(len, text.splitlines())) <= width
    assert all(text.count(f"a_run_with_a_name_{number}") == 2 for number in range(6))
    assert "0.625" in text
    assert "…" not in text


def test_compare_tells_of_params_that_cannot_be_read_and_shows_the_rest(runs: Path) -> None:
    """A params.yaml that somebody broke hides nothing else."""
    (runs / "runs" / "a" / "params.yaml").write_text("lr: [0.1\\n", encoding="utf-8")

    done = start("compare", "a", "b", folder=runs)

    assert done.code == 0
    assert len(done.stderr.splitlines()) == 1
    assert "loss" in done.stdout


def test_compare_takes_a_condition_and_the_default_folder(runs: Path) -> None:
    """`--where` chooses among the runs, by the names that they have in the folder."""
    found = json.loads(output("compare", "--where", "lr > 0.15", "--format", "json", folder=runs))

    assert found["runs"] == ["b", "c"]
    assert found["params"] == {"lr": {"b": 0.2, "c": 0.3}}
    assert set(found["series"][0]["numbers"]) == {"b", "c"}


def test_compare_takes_globs_of_params(runs: Path) -> None:
    """Of those only that differ; one that no run has is an error."""
    chosen = json.loads(output("compare", "runs", "--param", "l*", "--format", "json", folder=runs))
    same = json.loads(output("compare", "runs", "--param", "model.*", "--format", "json", folder=runs))
    done = start("compare", "runs", "--param", "lrr", folder=runs)

    assert list(chosen["params"]) == ["lr"]
    assert same["params"] == {}
    assert (done.code, done.stderr) == (1, "skald: there is no param 'lrr'; did you mean 'lr'?\n")


def test_compare_says_where_no_rows_can_be_paired(tmp_path: Path) -> None:
    """Runs that log a metric under other ids are not the same for that."""
    for name, ids in (("a", {"step": 1}), ("b", {"step": 1, "epoch": 0})):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            logger.log_metric("loss", 0.5, **ids)

    assert "no rows with the same ids" in output("compare", "a", "b", folder=tmp_path)


def test_compare_keeps_the_order_in_which_runs_were_named(runs: Path) -> None:
    """The first is what the others are compared with; runs of a folder come by their names."""
    found = json.loads(output("compare", "c", "a", "--format", "json", folder=runs))
    all_runs = json.loads(output("compare", "runs", "--format", "json", folder=runs))

    assert found["runs"] == ["c", "a"]
    assert all_runs["runs"] == ["a", "b", "c"]


def test_compare_says_where_a_run_is_named_twice(runs: Path) -> None:
    """However it is spelled; the first place counts."""
    alone = start("compare", "a", "runs/a", folder=runs)
    others = start("compare", "b", "a", "runs/../runs/b", "--format", "json", folder=runs)

    assert (alone.code, alone.stderr) == (2, "skald: compare takes two runs or more, got 1 run, named 2 times\n")
    assert json.loads(others.stdout)["runs"] == ["b", "a"]
    assert others.stderr == "skald: named more than once, and compared once: runs/../runs/b\n"


def test_compare_names_the_runs_of_a_folder_as_scan_does(tmp_path: Path) -> None:
    """By their paths in the folder that was given, also where all are in one folder below it."""
    for name in ("a", "b"):
        with skald.Logger(name, tmp_path / "runs" / "sweep", capture=False) as logger:
            logger.log_metric("loss", 1.0, step=1)

    shown = json.loads(output("compare", "runs", "--format", "json", folder=tmp_path))

    assert shown["runs"] == ["sweep/a", "sweep/b"]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([3, 3, 3], "same"),
        ([3, 2, 3], "same in 5 pairs of rows"),
        ([3, 0], "in 1 of 2 runs"),
        ([0, 3, 3], "same, in 2 of 3 runs"),
        ([0, 3, 2], "same in 2 pairs of rows, in 2 of 3 runs"),
        ([0, 0], "no run has metrics"),
    ],
)
def test_compare_says_how_far_a_series_is_the_same(steps: list[int], said: str, tmp_path: Path) -> None:
    """Of runs that stopped early not as if they were whole, and of series that some runs lack in how many they are."""
    for name, count in zip("abc", steps, strict=False):
        with skald.Logger(name, tmp_path / "runs", capture=False) as logger:
            for step in range(count):
                logger.log_metric("loss", step / 4, step=step)

    shown = output("compare", "runs", folder=tmp_path).splitlines()

    assert shown[0] == "no run has params"
    assert shown[-1].endswith(said if said.startswith("no") else f"  {said}")
