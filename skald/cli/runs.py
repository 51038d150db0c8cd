"""A table of runs: what each is, how much it holds, and what was asked of its metrics and params."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skald.cli.format import given
from skald.cli.paths import as_source, no_runs
from skald.cli.runchoice import RunWish, choose_runs
from skald.cli.runs_table import print_table
from skald.cli.shapes import to_csv, to_json
from skald.many.paramtable import chosen_names
from skald.schema import PARAMS_PREFIX


def show_runs(folders: Sequence[Path], wish: RunWish, *, form: str) -> None:
    """Print the runs among and inside the folders that are wished for; those that cannot be read are told on stderr.

    Args:
        folders: runs, and folders of runs.
        wish: which of them, in which order, and what of them.
        form: table, json or csv.

    Raises:
        RunNotFoundError: there are none.
        InvalidInputError: there is no such metric, param, id or column, or the SQL is wrong.
    """
    table, sorted_by = choose_runs(as_source(folders), wish)
    if table.is_empty() and wish.where is None:
        raise no_runs(folders)
    params = [name.removeprefix(PARAMS_PREFIX) for name in table.columns if name.startswith(PARAMS_PREFIX)]
    left_out = {*params} - {*chosen_names(params, wish.params)} if wish.params else set()
    table = table.drop(f"{PARAMS_PREFIX}{name}" for name in left_out)
    asked = [f"{PARAMS_PREFIX}{name}" for name in params if wish.params and name not in left_out]
    if form == "table":
        print_table(table, sorted_by=sorted_by if wish.sort is not None else None, params=asked)
        return
    rows = [_plain(row) for row in table.iter_rows(named=True)]
    if form == "json":
        sys.stdout.write(to_json(rows))
    else:
        sys.stdout.write(to_csv(table.columns, (list(row.values()) for row in rows)))


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its duration in seconds, and of places the ids that are there."""
    return {name: given(value) if isinstance(value, dict) else value for name, value in row.items()} | {
        "duration": row["duration"].total_seconds()
    }
