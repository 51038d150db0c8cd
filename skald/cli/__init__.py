"""The command line. Nothing but Typer is loaded until a command runs, so that `skald --help` is quick."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from skald.cli.app import main

__all__ = ["main", "run"]


def run() -> NoReturn:
    """Run the command line as a whole process: `main`, and the end of the process with its exit code.

    NOTE: the libraries' threads are not waited for: their end takes 0.1 s.
    """
    code: object = None
    try:
        main()
    except SystemExit as end:
        code = end.code
    with contextlib.suppress(BrokenPipeError):  # who reads has gone: `| head`
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
