"""200 runs that share 25 names, beside other programs' folders: everywhere they stay 200 runs."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import polars as pl
import pytest
from commands import output
from sweeps import EPOCHS, RATES, SEEDS, loss, write_sweep

import skald

NAMES = {f"lr={rate}/seed{seed}" for rate in RATES for seed in range(SEEDS)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder whose `runs` holds the sweep."""
    folder = tmp_path_factory.mktemp("many")
    write_sweep(folder / "runs")
    return folder


@pytest.fixture(autouse=True)
def _no_warning_counts(recwarn: pytest.WarningsRecorder) -> object:
    """Other programs' folders are no runs, and not mentioned."""
    yield
    assert [str(one.message) for one in recwarn.list] == []


def test_scan_has_them_all(folder: Path) -> None:
    """Every row, under the name of its run."""
    rows = skald.scan(folder / "runs").filter(metric="loss", split="val").collect()

    assert set(rows["run"]) == NAMES
    assert rows.height == len(NAMES) * EPOCHS


def test_wide_has_them_all(folder: Path) -> None:
    """A row for each run and epoch."""
    table = skald.wide(skald.scan(folder / "runs"), "loss", split="val").collect()

    assert table.columns == ["run", "epoch", "split", "loss"]
    assert table.height == len(NAMES) * EPOCHS


def test_runs_has_them_all_by_the_names_of_scan(folder: Path) -> None:
    """And each has its own params and values, so that the two can be joined."""
    table = skald.runs(folder / "runs", metrics="loss", split="val")
    joined = (
        skald.scan(folder / "runs").filter(metric="loss", split="val").group_by("run").agg(low=pl.col("value").min())
    )

    both = table.join(joined.collect(), on="run")
    assert set(table["run"]) == NAMES
    assert both.height == len(NAMES)
    assert both["loss.min"].equals(both["low"].rename("loss.min"))
    assert all(run == f"lr={lr}/seed{seed}" for run, lr, seed in table["run", "params.lr", "params.seed"].iter_rows())
    assert set(table["loss.min"]) == {loss(rate, seed, 1) for rate in RATES for seed in range(SEEDS)}


def test_show_has_them_all(folder: Path) -> None:
    """In every form."""
    table = output("show", "runs", folder=folder).splitlines()
    objects = json.loads(output("show", "runs", "--format", "json", folder=folder))
    rows = csv.DictReader(io.StringIO(output("show", "runs", "--format", "csv", folder=folder)))

    assert {line.split()[0] for line in table[1:]} == NAMES
    assert {one["run"] for one in objects} == NAMES
    assert {row["run"] for row in rows} == NAMES


def test_query_has_them_all(folder: Path) -> None:
    """In both tables."""
    sql = "select count(distinct r.run) as runs, count(*) as n from runs r join metrics m on r.run = m.run"

    found = json.loads(output("query", "runs", sql, "--format", "json", folder=folder))

    assert found == [{"runs": len(NAMES), "n": len(NAMES) * EPOCHS * 3}]


def test_compare_has_them_all(folder: Path) -> None:
    """Of one name, each its own numbers."""
    found = json.loads(output("compare", "runs", "-m", "loss", "--id", "split=val", "--format", "json", folder=folder))

    assert set(found["runs"]) == NAMES
    assert set(found["params"]["lr"]) == NAMES
    numbers = found["series"][0]["numbers"]
    assert {run: numbers[run]["min"] for run in sorted(NAMES) if run.endswith("/seed3")} == {
        f"lr={rate}/seed3": loss(rate, 3, 1) for rate in RATES
    }


def test_plot_has_them_all(folder: Path) -> None:
    """A curve each, and one band for each learning rate."""
    picture = folder / "loss.html"
    output("plot", "runs", "-m", "loss", "--id", "split=val", "-o", "loss.html", folder=folder)
    band = output("plot", "runs", "-m", "loss", "--id", "split=val", "--band", "seed", folder=folder)

    assert set(re.findall(r"lr=[0-9.]+(?:e-\d+)?/seed\d+", picture.read_text(encoding="utf-8"))) == NAMES
    assert all(f"lr={rate:g}" in band or f"lr={rate}" in band for rate in RATES)


def test_export_has_them_all(folder: Path) -> None:
    """Long and wide."""
    output("export", "runs", "-o", "long.parquet", "--id", "split=val", "-m", "loss", folder=folder)
    output("export", "runs", "-o", "wide.csv", "--wide", "--id", "split=val", "-m", "loss", folder=folder)

    long, wide = pl.read_parquet(folder / "long.parquet"), pl.read_csv(folder / "wide.csv")
    assert set(long["run"]) == set(wide["run"]) == NAMES
    assert long.height == wide.height == len(NAMES) * EPOCHS


def test_check_and_compact_have_them_all(folder: Path) -> None:
    """And say how many."""
    assert output("check", "runs", folder=folder).splitlines()[-1] == "200 runs checked, none damaged"
    assert output("compact", "runs", folder=folder) == "200 runs: nothing to compact\n"
