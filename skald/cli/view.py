"""`skald RUN`: the viewer on a terminal; elsewhere what `skald show` prints."""

from __future__ import annotations

from collections.abc import Sequence

from skald.writing.viewing import is_interactive


def view_paths(paths: Sequence[str]) -> None:
    """Open the viewer on runs and folders of runs; without a terminal print them.

    Args:
        paths: as given on the command line; none: the default folder.
    """
    if not is_interactive():
        from skald.cli.runchoice import RunWish
        from skald.cli.show import show_paths

        show_paths(paths, RunWish(), form="table")
        return
    from skald.cli.paths import resolve_all
    from skald.viewer import view

    view(resolve_all(paths))
