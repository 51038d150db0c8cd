"""The command line. Nothing but Typer is loaded until a command runs, so that `skald --help` is quick."""

from __future__ import annotations

from skald.cli.app import main

__all__ = ["main"]
