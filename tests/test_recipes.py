"""The README's recipes over 200 runs that share 25 names, and its table of what to write instead."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from commands import output
from sweeps import EPOCHS, RATES, SEEDS, accuracy, loss, write_sweep
from test_readme import README, Step, steps_of

import skald


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a sweep of 200 runs, and a run that learned four tasks after each other."""
    folder = tmp_path_factory.mktemp("recipes")
    write_sweep(folder / "sweep")
    with skald.Logger("continual", folder / "learned", capture=False) as logger:
        for task in range(4):
            for seen in range(task + 1):
                logger.log_metric("accuracy", 0.9 - 0.1 * (task - seen), task=task, eval_task=seen)
    return folder


def section(title: str) -> str:
    """Return the text of a section of the README."""
    return re.split(r"^## ", README.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def shown_steps(title: str) -> list[Step]:
    """Return what a reader sees of a section's steps."""
    return list(steps_of(re.sub(r"<!-- run unseen:.*?-->", "", section(title), flags=re.DOTALL)))


@pytest.fixture(scope="module")
def found(sweep: Path) -> dict[str, Any]:
    """Return the names that the recipes' Python leaves behind, and what their commands print."""
    import matplotlib as mpl

    mpl.use("agg")
    names: dict[str, Any] = {"skald": skald, "pl": pl, "printed": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(sweep)
        for step in shown_steps("Recipes"):
            if step.kind == "python":
                exec(compile(step.text, "README.md", "exec"), names)  # noqa: S102  it is the README's own
            else:
                names["printed"].append(output(*shlex.split(step.text)[1:], folder=sweep))
    return names


def test_recipe_finds_the_best_loss_of_each_run(found: dict[str, Any]) -> None:
    """200 runs, each with its params and where it was; the best first; NaN is no best."""
    table = found["table"]

    best = table.row(0, named=True)
    assert table.height == len(RATES) * SEEDS
    assert (best["run"], best["params.lr"], best["params.seed"]) == ("lr=0.01/seed0", 0.01, 0)
    assert best["loss.min"] == loss(0.01, 0, 1)
    assert best["loss.min_at"]["epoch"] == 1
    assert table["loss.min"].is_finite().all()


def test_recipe_opens_the_best_run_again(found: dict[str, Any], sweep: Path) -> None:
    """From the path in its row."""
    assert found["run"].path == (sweep / "sweep" / "lr=0.01" / "seed0").resolve()
    assert found["run"].params == {"lr": 0.01, "seed": 0}


def test_recipe_takes_mean_and_deviation_over_seeds(found: dict[str, Any]) -> None:
    """Of each learning rate and epoch, without the values that are NaN."""
    curves = {row[:2]: row[2:] for row in found["curves"].collect().iter_rows()}
    peaks = {rate: (mean, std) for rate, mean, std in found["peaks"].iter_rows()}

    values = [accuracy(0.01, seed, 1) for seed in range(SEEDS)]
    assert len(curves) == len(RATES) * EPOCHS
    assert curves[0.01, 1] == pytest.approx((np.mean(values), np.std(values, ddof=1), SEEDS))
    assert curves[0.3, EPOCHS - 1] == (None, None, 0)
    assert peaks[0.01] == pytest.approx((np.mean(values), np.std(values, ddof=1)))


def test_recipe_makes_a_frame_for_seaborn_and_altair(found: dict[str, Any], sweep: Path) -> None:
    """One row a value, whose names both take: seaborn drew a line a learning rate, altair a page."""
    lines = [line for line in found["sns"].mpl.pyplot.gca().lines if len(line.get_xdata())]
    page = (sweep / "accuracy.html").read_text(encoding="utf-8")

    assert found["frame"].columns == ["run", "epoch", "value", "lr"]
    assert found["frame"].height == len(RATES) * SEEDS * EPOCHS
    assert len(lines) == len(RATES)
    assert "mean" in page
    assert "0.0003" in page


def test_recipe_tells_what_a_continual_run_forgot(found: dict[str, Any]) -> None:
    """A row a task learned, a column a task tested; forgetting is what was lost since the best."""
    matrix = found["matrix"]

    assert matrix.columns == ["task", "0", "1", "2", "3"]
    assert matrix.row(3) == pytest.approx((3, 0.6, 0.7, 0.8, 0.9))
    assert matrix.row(0) == (0, 0.9, None, None, None)
    assert found["forgetting"].rows() == [(0, pytest.approx(0.3)), (1, pytest.approx(0.2)), (2, pytest.approx(0.1))]


def test_recipe_asks_the_same_in_duckdb(found: dict[str, Any]) -> None:
    """The best accuracy of each run and where it was, NaN left out; without the filter NaN is the largest."""
    import duckdb

    text = next(step.text for step in shown_steps("Recipes") if "duckdb.sql" in step.text)
    sql = re.findall(r'"""(.*?)"""', text, re.DOTALL)[0]
    rows = found["rows"]
    best = duckdb.execute(sql).fetchall()
    believed = duckdb.execute(sql.replace("filter (not isnan(value))", "")).fetchall()

    assert rows is not None
    assert len(best) == len(RATES) * SEEDS
    assert best[0] == ("lr=0.01/seed0", 0.01, accuracy(0.01, 0, 1), 1)
    assert not any(math.isnan(row[2]) for row in best)
    assert sum(math.isnan(row[2]) for row in believed) == SEEDS


def test_recipe_asks_the_same_on_the_command_line(found: dict[str, Any]) -> None:
    """The best loss of each run, mean and deviation, a test that passes, and the runs in order."""
    best, means, test, shown = found["printed"]

    assert best.splitlines()[1].split()[:2] == ["lr=0.01/seed0", "0.01"]
    assert len(best.splitlines()) == 1 + len(RATES) * SEEDS
    assert len(means.splitlines()) == 1 + len(RATES)
    assert "true" in test
    assert shown.splitlines()[1].split()[0] == "lr=0.01/seed0"
    assert len(shown.splitlines()) == 1 + 6 * SEEDS


def replacements() -> list[str]:
    """Return the code in the right column of the table of what to write instead."""
    rows = [
        line.split(" | ") for line in section("What you wrote, what you write").splitlines() if line.startswith("| ")
    ]
    assert {len(row) for row in rows} == {2}
    return [code for _, right in rows for code in re.findall(r"`([^`]+)`", right)]


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Return the names that the table speaks of, in a folder with a file to keep."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    (tmp_path / "model.pt").write_bytes(b"1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        yield {
            "skald": skald, "pl": pl, "config": {"lr": 0.1}, "lr": 0.1, "x": 0.5, "y": 0.9, "i": 1, "e": 2,
            "m": {"f1": 1.0}, "a": np.zeros((4, 4)), "w": np.arange(10.0), "t": pl.DataFrame({"k": [1]}),
            "text": "words", "figure": plt.figure(),
        }  # fmt: skip


@pytest.mark.filterwarnings("ignore:a wide table leaves out")  # one run has what all the rows of the table log
def test_what_to_write_instead_works(beside: dict[str, Any], tmp_path: Path) -> None:
    """Every piece of code in the right column runs, in order."""
    codes = replacements()

    for code in codes:
        if code.startswith("skald "):
            assert output(*shlex.split(code)[1:], folder=tmp_path)
        else:
            if code.startswith("logger = ") and "logger" in beside:
                beside["logger"].close()
            exec(code, beside)  # noqa: S102  it is the README's own

    beside["logger"].close()
    run = skald.Run("runs/a")
    assert len(codes) > 40
    assert run.params == {"lr": 0.1}
    assert {"loss", "val/acc", "w"} <= set(run.metric_names)
    assert "model.pt" in run.artifacts["path"].to_list()
    assert skald.scan("runs/d", params="*").collect().is_empty()


@pytest.mark.parametrize("library", ["W&B", "MLflow", "TensorBoard", "DVCLive", "skald 0.4.0"])
def test_what_to_write_instead_is_told_of_each_library(library: str) -> None:
    """Whoever comes from it finds rows of their own."""
    assert f"| **{library}** `" in section("What you wrote, what you write")
