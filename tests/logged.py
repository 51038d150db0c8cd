"""What was logged, as tests compare it; and programs that log in a process of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl

import skald

_SWITCHES = ("SKALD_DIR", "SKALD_MODE", "SKALD_STORAGE")


def rows(logger: skald.Logger | Path, metric: str = "loss") -> list[dict[str, Any]]:
    """Return the rows of a metric in log order: their value, and the ids that they have."""
    run = skald.Run(logger) if isinstance(logger, Path) else logger.run
    found = run.metrics.collect().drop("time").rows(named=True)
    return [
        {name: value for name, value in row.items() if value is not None and name != "metric"}
        for row in found
        if row["metric"] == metric
    ]


def ids(logger: skald.Logger | Path, metric: str = "loss") -> list[dict[str, Any]]:
    """Return the ids of a metric's rows in log order."""
    return [{name: value for name, value in row.items() if name != "value"} for row in rows(logger, metric)]


def values(logger: skald.Logger | Path, metric: str = "loss") -> list[float]:
    """Return the values of a metric in log order."""
    return [row["value"] for row in rows(logger, metric)]


def steps(run: skald.Logger | Path, metric: str = "loss") -> list[Any]:
    """Return the steps of a metric's rows in log order."""
    return [found.get("step") for found in ids(run, metric)]


def rewound(run: Path, metric: str = "loss") -> list[float]:
    """Return the values of a metric's rows that were taken back, sorted."""
    frame = skald.Run(run).rewound.filter(pl.col("metric") == metric)
    return sorted(frame.collect()["value"].to_list())


def program(source: str, *args: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end in a folder; its lines are numbered as they stand."""
    return subprocess.run(_command(source, args), cwd=folder, env=_clean(environment), capture_output=True, text=True)  # noqa: PLW1510


def start(source: str, *args: object, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a Python program in a folder that talks through its stdin and stdout."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        _command(source, args), cwd=folder, env=_clean(environment), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )


def crash(source: str, folder: Path, *args: object) -> None:
    """Run a program that kills itself with SIGKILL."""
    result = program(source + "\nos.kill(os.getpid(), 9)", *args, folder=folder)
    assert result.returncode == -signal.SIGKILL, result.stderr


def _command(source: str, args: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-c", source, *map(str, args)]


def _clean(environment: dict[str, str]) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in _SWITCHES}, **environment}
