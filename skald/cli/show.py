"""`skald show`: a run with its metrics, or a list of runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from skald import layout
from skald.cli import shapes
from skald.cli.choice import select
from skald.cli.page import print_page
from skald.cli.paths import resolve_all
from skald.cli.report import readable_params
from skald.cli.runchoice import RunWish, names_where
from skald.cli.runs import show_runs
from skald.many.paramtable import chosen_params
from skald.run import Run


def show_paths(paths: Sequence[str], wish: RunWish, *, form: str) -> None:
    """Print one run, or a table of several.

    The shape depends on the paths alone, and not on how many runs a condition leaves.

    Args:
        paths: as given on the command line; none: the default folder.
        wish: what to show; one run is shown as a run, if the condition holds of it.
        form: table, json or csv.
    """
    folders = resolve_all(paths)
    if len(folders) == 1 and layout.is_run(folders[0]):
        if wish.where is not None:
            names_where(folders[0], wish.where, wish.ids)
        _show_run(Run(folders[0]), wish, form)
    else:
        show_runs(folders, wish, form=form)


def _show_run(run: Run, wish: RunWish, form: str) -> None:
    selection = select(run, wish.metrics, wish.ids)
    params = chosen_params(readable_params(run), wish.params)
    if form == "table":
        print_page(run, selection, params)
        return
    text = shapes.run_json(run, selection.summary, selection.by, selection.total_rows, params)
    if form == "csv":
        text = shapes.summary_csv(selection.summary, selection.by)
    sys.stdout.write(text)
