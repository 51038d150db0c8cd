"""`skald show`: a run with its metrics, or a list of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from skald import layout
from skald.cli import shapes
from skald.cli.choice import select
from skald.cli.page import print_page
from skald.cli.paths import resolve
from skald.cli.runs import show_runs
from skald.run import Run


def show_paths(paths: Sequence[str], *, metrics: Sequence[str], ids: Sequence[str], form: str) -> None:
    """Print one run, or a list of several.

    Args:
        paths: as given on the command line; none: the default folder.
        metrics: globs; of a run only metrics that one of them matches are shown; a table of runs has them added.
        ids: `NAME=VALUE`; only rows with these ids are shown.
        form: table, json or csv.
    """
    folders = [resolve(path) for path in paths] or [resolve(None)]
    if len(folders) == 1 and layout.is_run(folders[0]):
        _show_run(Run(folders[0]), metrics, ids, form)
        return
    show_runs(folders, metrics=metrics, ids=ids, form=form)


def _show_run(run: Run, metrics: Sequence[str], ids: Sequence[str], form: str) -> None:
    selection = select(run, metrics, ids)
    if form == "table":
        print_page(run, selection)
        return
    text = shapes.run_json(run, selection.summary, selection.by, selection.total_rows)
    if form == "csv":
        text = shapes.summary_csv(selection.summary, selection.by)
    sys.stdout.write(text)
