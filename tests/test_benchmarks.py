"""The benchmarks: each runs, and says what it measured as lines of JSON; nothing here looks at a time."""

from __future__ import annotations

import datetime as dt
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = sorted(path.stem for path in (ROOT / "benchmarks").glob("bench_*.py"))
QUESTIONS = {
    "bench_close", "bench_console", "bench_create", "bench_disabled", "bench_import", "bench_latency",
    "bench_log_batch", "bench_log_metric", "bench_log_metrics", "bench_memory", "bench_names", "bench_read",
    "bench_rivals", "bench_runs", "bench_scan", "bench_show", "bench_track", "bench_viewer",
}  # fmt: skip


@pytest.fixture(name="figures", scope="module")
def load_figures() -> dict[str, Callable[..., Any]]:
    """Return the functions of scripts/figures.py."""
    return runpy.run_path(str(ROOT / "scripts" / "figures.py"))


def test_benchmarks_answer_every_question() -> None:
    """No benchmark is lost."""
    assert set(BENCHMARKS) >= QUESTIONS


@pytest.fixture(name="runs", scope="module")
def run_benchmarks() -> dict[str, subprocess.CompletedProcess[str]]:
    """Run all benchmarks tiny, as many at a time as there are cores."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, f"benchmarks/{name}.py", "--tiny"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(BENCHMARKS, pool.map(run, BENCHMARKS), strict=True))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_prints_figures_when_it_runs_tiny(
    name: str, runs: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    """Each benchmark works, and says what it measured, where, with what and when."""
    result = runs[name]

    assert result.returncode == 0, result.stderr
    figures = [json.loads(line) for line in result.stdout.splitlines()]
    assert figures
    assert len({figure["name"] for figure in figures}) == len(figures)
    for figure in figures:
        assert figure["benchmark"] == name
        assert figure["tiny"] is True
        assert figure["question"].endswith("?")
        assert figure["machine"]
        assert {"python", "pyarrow", "polars", "numpy"} <= figure["versions"].keys()
        assert dt.datetime.fromisoformat(figure["date"]).tzinfo
        assert isinstance(figure["value"], float)
        assert {"name", "unit", "spread", "repeats", "ratio", "goal", "reached"} <= figure.keys()
        assert (figure["goal"] is None) == (figure["reached"] is None)


def figure(**changed: Any) -> str:
    """Return a line as a benchmark prints it."""
    line = {
        "benchmark": "bench_log_metric", "question": "What does a call cost?", "name": "log_metric", "value": 0.25,
        "unit": "µs a call", "spread": [0.24, 0.26], "repeats": 9, "ratio": 0.41, "ratio_spread": [0.4, 0.42],
        "goal": "ratio <= 0.5", "reached": True, "tiny": False, "machine": "a machine", "versions": {"python": "3.14"},
        "date": "2026-11-23T12:00:00+00:00",
    }  # fmt: skip
    return json.dumps(line | changed)


def test_figures_table_shows_the_newest_of_each_figure(figures: dict[str, Callable[..., Any]]) -> None:
    """Measuring again replaces a row, and a tiny run does not."""
    text = "\n".join([figure(value=0.5), figure(), figure(value=9.0, tiny=True)])

    table = figures["figures_table"](figures["read_figures"](text))

    assert "| log_metric | 0.25 µs a call (0.24 to 0.26) | 0.41 | ratio ≤ 0.5 |" in table
    assert "0.5 µs" not in table
    assert "a machine; python 3.14" in table


def test_figures_table_says_which_goals_are_missed(figures: dict[str, Callable[..., Any]]) -> None:
    """A goal that is not reached is not hidden."""
    table = figures["figures_table"](figures["read_figures"](figure(reached=False)))

    assert "ratio ≤ 0.5, missed" in table


def test_rivals_table_has_a_row_a_rival(figures: dict[str, Callable[..., Any]]) -> None:
    """What was measured of each rival stands side by side."""
    lines = [
        figure(benchmark="bench_rivals", name=f"{rival}: {what}", unit=unit, value=value)
        for rival, value in (("csv_lines", 1.5), ("skald_logger", 0.25))
        for what, unit in (("p50", "µs"), ("close", "s"))
    ]

    table = figures["rivals_table"](figures["read_figures"]("\n".join(lines))).splitlines()

    assert table[0] == "| | p50, µs | close, s |"
    assert table[2:4] == ["| csv lines | 1.5 | 1.5 |", "| skald logger | 0.25 | 0.25 |"]


def test_figures_part_of_a_text_is_replaced_between_its_markers(figures: dict[str, Callable[..., Any]]) -> None:
    """What stands around the table stays."""
    text = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n"

    replaced = figures["replace_part"](text, "figures", "new")

    assert replaced == "before\n<!-- figures -->\nnew\n<!-- /figures -->\nafter\n"
