"""Failures, told in one line on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from skald.errors import CorruptRunError, InvalidInputError, SkaldError, StorageError

if TYPE_CHECKING:
    from skald.run import Run


class UsageError(InvalidInputError):
    """The command line is wrong, whatever is on the disk."""


def report(error: BaseException) -> None:
    """Print what failed, with the remedy where the error knows one; notes that are indented stand below as they are."""
    notes = list(getattr(error, "__notes__", ()))
    if not isinstance(error, (SkaldError, OSError)):  # polars', of a file that it cannot read
        notes.append("hint: skald check tells whether a file is damaged")
    parts = [str(error) or type(error).__name__, *(note for note in notes if not note.startswith(" "))]
    line = "; ".join(" ".join(part.split()) for part in parts)
    below = [note for note in notes if note.startswith(" ")]
    print("\n".join([f"skald: {line}", *below]), file=sys.stderr)  # noqa: T201  the command line talks to people


def readable_params(run: Run) -> dict[str, Any]:
    """Return the params of a run; none, and a word on stderr, where params.yaml cannot be read."""
    try:
        return run.params
    except (CorruptRunError, StorageError) as error:
        report(error)
        return {}
