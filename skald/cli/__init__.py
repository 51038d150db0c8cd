"""The command line. Nothing but Typer is loaded until a command runs, so that `skald --help` is quick."""

from __future__ import annotations

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
    _open_streams()
    try:
        main()
    except SystemExit as end:
        code = end.code
    os._exit(_flush(code if isinstance(code, int) else int(code is not None)))


def _open_streams() -> None:
    """Open what the shell has closed: stdout (`>&-`) so that printing fails, stderr so that nothing comes of it."""
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115


def _flush(code: int) -> int:
    """Print what is not printed yet; return the exit code, which is that of a failure where this cannot be."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:  # who reads has gone: `| head`
        return code
    except OSError as error:
        if not code:
            from skald.cli.report import report

            report(error)
        return code or 1
    return code
