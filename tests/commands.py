"""The command line called inside the tests' process: as `skald ARGS` in a folder, with what it prints."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import typer.main

from skald.cli import main

typer.main.get_command = functools.cache(typer.main.get_command)  # the same each time, and half of a call's time

_FOREIGN: Final = frozenset({"COLUMNS", "FORCE_COLOR", "NO_COLOR", "SKALD_DIR"})
"""What the tests' own terminal says must not reach the command."""


class Done(NamedTuple):
    """How a command ended, and what it printed."""

    code: object
    stdout: str
    stderr: str


def start(*args: str, folder: Path, encoding: str = "utf-8", **environment: str) -> Done:
    """Call `skald` in a folder, with a pipe of that encoding as its stdout."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n") for _ in range(2))
    here = _environment(environment), contextlib.chdir(folder), _argv("skald", *args)
    prints = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    code: object = None
    with contextlib.ExitStack() as stack:
        for context in (*here, *prints):
            stack.enter_context(context)
        try:
            main()
        except SystemExit as end:
            code = end.code
    return Done(code or 0, _text(out), _text(err))


def output(*args: str, folder: Path, encoding: str = "utf-8", **environment: str) -> str:
    """Return what a command prints that must not fail."""
    done = start(*args, folder=folder, encoding=encoding, **environment)
    assert (done.code, done.stderr) == (0, "")
    return done.stdout


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(stream.encoding)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in _FOREIGN & os.environ.keys():
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _argv(*args: str) -> Iterator[None]:
    before, sys.argv = sys.argv, list(args)
    try:
        yield
    finally:
        sys.argv = before
