"""The terminal viewer: `skald RUN`. Textual is loaded here and nowhere else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path


def view(paths: Sequence[Path]) -> None:
    """Show runs in the terminal until the user quits.

    Args:
        paths: a run, a folder of runs, or several of these.

    Raises:
        SystemExit: it was ended by a signal, or failed.
    """
    from skald.viewer.escape import answer_escape_soon

    answer_escape_soon()
    sys.setswitchinterval(0.001)  # what is drawn in a thread must not keep a key waiting
    from skald.viewer.app import ViewerApp

    app = ViewerApp(paths)
    gc.freeze()  # NOTE: a search for garbage among all that was imported, and all that is drawn, keeps a key waiting
    thresholds = gc.get_threshold()  # for 35 to 60 ms
    gc.set_threshold(5_000, 10, 2_000)
    try:
        app.run()
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    if app.return_code:
        sys.exit(app.return_code)
