"""Starting a session: what a logger does with its arguments."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from skald.amounts import plural
from skald.engine.claim import Claim
from skald.engine.storage import check_variable
from skald.errors import InvalidInputError
from skald.layout import check_run_name, default_run_name, runs_dir
from skald.record.environment import Gathering
from skald.writing import process
from skald.writing.closing import abandon
from skald.writing.ending import ending, undisturbed
from skald.writing.opening import Description, Mode, Opened, open_run, open_unnamed
from skald.writing.refusals import check_sole
from skald.writing.session import Session


def start_session(
    run_name: str | None, folder: str | os.PathLike[str] | None, mode: Mode, description: Description, *, errors: str
) -> Session:
    """Open a run as the mode says, and a session on it.

    Raises:
        InvalidInputError, RunExistsError, RunNotFoundError, StorageError: as `Logger` says.
    """
    runs = runs_dir(folder)
    if mode in ("join", "resume") and run_name is None:
        raise InvalidInputError(f"mode={mode!r} needs the run_name of the run to {mode}")
    check_variable()
    if mode == "disabled":
        name = default_run_name() if run_name is None else check_run_name(run_name)
        return Session(name, None, None, joined=False, errors=errors)
    gathering, made, session = Gathering(), list[Claim](), None
    try:
        opened = _open(run_name, runs, mode, description._replace(environment=gathering.facts, made=made))
        run, claim, ended = opened.run, opened.claim, opened.ended
        session = Session(
            run.name, run, claim, joined=opened.joined, errors=errors, ended=ended, started=opened.started
        )
        if opened.joined:
            gathering.stop()
        else:
            session.environment = gathering
            gathering.record_rest(opened.run, session.artifacts, session.warn)
        _warn(session, opened, mode, description)
    except BaseException as error:  # a Ctrl-C, mostly
        gathering.stop()
        if session is not None:
            undisturbed(partial(session.close, *ending(error)))
        for claim in made:
            if not any(each.writer_name == claim.name for each in process.open_on(claim.run)):
                undisturbed(partial(abandon, claim, ending(error)))
        raise
    return session


def _warn(session: Session, opened: Opened, mode: Mode, description: Description) -> None:
    """Warn of what is not as somebody may think."""
    if description.metrics_format not in (None, opened.metrics_format):
        given, kept = description.metrics_format, opened.metrics_format
        session.warn(f"run {session} goes on with metrics_format={kept!r}, as it began, and not {given!r}")
    if opened.missing_rows:
        gone = plural(opened.missing_rows, "row")
        session.warn(f"the metrics file of run {session} is missing, and with it at least {gone} that were logged")
    if mode == "join" and opened.was_finished:
        session.warn_finished()


def _open(run_name: str | None, runs: Path, mode: Mode, description: Description) -> Opened:
    if run_name is None:
        return open_unnamed(runs, mode, description)
    run = runs / check_run_name(run_name)
    if mode == "overwrite":
        sessions = process.open_on(run)
        check_sole(run, {session.writer_name for session in sessions})
        for session in sessions:
            session.close("stopped")  # a notebook cell run twice
    return open_run(run, mode, description)
