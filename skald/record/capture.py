"""Capture: what is printed while a logger's block runs goes to the run's console file.

Invariant: what the terminal shows stands there once. Skald's own messages go there with their ids, and not again
when loguru shows them.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from skald.errors import StorageError, unless_handlers
from skald.record.logfile import LogFile

if TYPE_CHECKING:
    from skald.record.transcript import Transcript


class Capture:
    """Writes what is printed into a console file, from `start` to `stop`; what that takes is loaded by `start`."""

    def __init__(self, file: LogFile, unfinished: Path | None) -> None:
        """Prepare; nothing is captured yet.

        Args:
            file: the run's console file.
            unfinished: where lines stand that are not finished.
        """
        self._file, self._unfinished = file, unfinished
        self._transcript: Transcript | None = None
        """Where what is printed goes while it is captured."""

    def start(self, *, deep: bool = False) -> None:
        """Begin; a run without a file, or one that is captured already, stays as it is.

        Args:
            deep: also what C code and child processes print.

        Raises:
            StorageError: there are no descriptors left, or no process can be started.
        """
        if self._file.is_open and self._file.source is None:
            from skald.record.tees import tee
            from skald.record.transcript import Transcript

            # NOTE: before it begins, so that `stop` ends what a Ctrl-C has interrupted
            self._transcript, self._file.source = Transcript(self._file, self._unfinished), self
            try:
                tee(self._transcript, deep=deep)
            except unless_handlers(OSError) as error:
                raise StorageError(error.errno, f"what is printed cannot be captured: {error}") from error

    def catch_up(self) -> None:
        """Write what has been printed so far."""
        from skald.record.tees import catch_up

        catch_up()

    def leave_folder(self) -> None:
        """Use the writer's folder no more: it is about to be anybody's."""
        if self._transcript:
            from skald.record.tees import finish

            finish(self._transcript, for_good=True)

    def stop(self) -> None:
        """Write everything, and leave the streams as they were found."""
        if self._transcript:
            from skald.record.tees import untee

            untee(self._transcript)
            self._transcript = self._file.source = None  # NOTE: last: where a Ctrl-C comes before, it is done again

    def tell(self, error: BaseException) -> None:
        """Write the traceback of an exception that leaves the block: the interpreter shows it after that."""
        if self._transcript:
            from skald.record.tees import finish, is_relayed_by_parent

            if is_relayed_by_parent(self._transcript):  # it will be in the log as the interpreter shows it
                return
            finish(self._transcript)
            self._file.append("".join(traceback.format_exception(error)))
