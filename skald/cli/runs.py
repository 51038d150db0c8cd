"""A list of runs: what each is, and how much it holds."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.text import Text

from skald import layout
from skald.amounts import duration_text
from skald.cli import terminal
from skald.cli.format import local_time, path_text
from skald.cli.page import STYLES
from skald.cli.paths import find_runs, short_names
from skald.cli.report import report
from skald.cli.shapes import facts, to_csv, to_json
from skald.errors import RunNotFoundError, SkaldError
from skald.run import Run

_COLUMNS: Final = ("run", "path", "status", "started", "duration", "rows", "tags")


def show_runs(folders: Sequence[Path], form: str) -> None:
    """Print the runs among and inside the folders, newest first; those that cannot be read are told on stderr.

    Raises:
        RunNotFoundError: there are none.
    """
    runs = list(dict.fromkeys(run for folder in folders for run in find_runs(folder)))
    if not runs:
        raise RunNotFoundError(f"there are no runs in {', '.join(map(path_text, folders))}")
    base = folders[0] if len(folders) == 1 and not layout.is_run(folders[0]) else None
    rows = [row for run, name in zip(runs, short_names(runs, base), strict=True) if (row := _describe(run, name))]
    rows.sort(key=lambda row: row["started"], reverse=True)
    if form == "json":
        sys.stdout.write(to_json(rows))
    elif form == "csv":
        cells = [[*(row | {"tags": " ".join(row["tags"])}).values()] for row in rows]
        sys.stdout.write(to_csv(_COLUMNS, cells))
    else:
        _print_table(rows)


def _describe(path: Path, name: str) -> dict[str, Any] | None:
    """Return what stands in a run's row, None where it cannot be read."""
    try:
        run = Run(path)
        rows = run.metrics.select(pl.len()).collect(engine="streaming").item()
        return {"run": name, **facts(run), "rows": rows, "tags": run.tags}
    except (SkaldError, OSError) as error:
        report(error)
        return None


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    columns = [
        terminal.Column("run", [Text(row["run"]) for row in rows]),
        terminal.Column("status", [Text(row["status"], style=STYLES[row["status"]]) for row in rows]),
        terminal.Column("started", [Text(local_time(row["started"])) for row in rows]),
        terminal.Column(
            "duration", [Text(duration_text(dt.timedelta(seconds=row["duration"]))) for row in rows], right=True
        ),
        terminal.Column("rows", [Text(f"{row['rows']:,}") for row in rows], right=True),
        terminal.Column("tags", [Text(" ".join(row["tags"]), style="magenta") for row in rows]),
    ]
    terminal.stdout().print(terminal.table(columns))
