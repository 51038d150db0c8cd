"""Copies: what is pickled of a logger, and how the copy made of that joins the run.

A copy joins at its first call, as one more writer of the run, in whatever process it is then. When nobody holds
the copy any more its writer is closed: a worker gets a copy with each task, and is often killed after the last one.
What was taken from the copy (`log = logger.log_metric`, a bound logger) may go on all the same: its next call
begins another writer.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from skald.errors import RunNotFoundError, SkaldError, logger_closed
from skald.layout import is_run
from skald.record.console import Console
from skald.schema import Id
from skald.writing import process
from skald.writing.calls import Calls
from skald.writing.opening import Description
from skald.writing.scope import Ids, Scope
from skald.writing.session import Session
from skald.writing.starting import start_session


class Origin(NamedTuple):
    """What a pickled logger says of itself."""

    name: str
    run: Path | None
    errors: str
    capture: Any
    constant: Ids
    said: Ids
    """The ids of `contextualize` around it, over those of `set_ids` and `track`, over the constant ones."""
    writer: str | None = None
    """The writer of the logger in the run."""
    closed: bool = False
    """Whether the copy was closed before it had joined."""
    started: dt.datetime | None = None
    """When the run was begun."""

    @classmethod
    def of(cls, session: Session, scope: Scope, capture: Any) -> Origin:
        """Describe a logger."""
        constant, said = dict(scope.constant), {**scope.all_said(), **(session.context.get() or {})}
        return cls(
            session.name, session.run, session.errors, capture, constant, said, session.writer_name,
            started=session.started,
        )  # fmt: skip

    @property
    def ids(self) -> dict[str, Id]:
        """The ids that a call of the copy would get."""
        merged: Mapping[str, Id | None] = {**self.constant, **self.said}
        return {name: value for name, value in merged.items() if value is not None}


OPENED: Final = frozenset({"_calls", "_session", "_console", "_capture", "set_ids", "log_metric", "log_metrics", "log"})
"""The attributes of a logger that stay behind when it is pickled, and that a copy gets when it joins."""

_lock = threading.RLock()
_resting: Final[list[Session]] = []
"""Sessions of copies that nobody holds: the next copy of the same run goes on with one."""


def join(origin: Origin) -> Session:
    """Return a session for a copy in this process.

    Raises:
        LoggerClosedError: the copy was closed.
        RunNotFoundError: the run is not there, or another is in its place.
        StorageError: the run's folder cannot be written.
    """
    if origin.closed:
        raise logger_closed(origin.name, "join" if origin.run else None)
    if origin.run is None:
        return Session(origin.name, None, None, joined=False, errors=origin.errors)
    session = _rested(origin)
    if session is None:
        if not is_run(origin.run):
            raise RunNotFoundError(f"the run of this copy of a logger is not there: {origin.run}")
        description = Description(daemon=process.is_daemon(), copy_of=origin.writer, expected=origin.started)
        session = start_session(origin.name, origin.run.parent, "join", description, errors=origin.errors)
    session.constant = origin.constant
    return session


def leave(session: Session) -> None:
    """Let the session of a copy rest that nobody holds any more."""
    try:
        session.rest()
    except (OSError, SkaldError) as error:
        session.warn_unclosed(error)
    with _lock:
        _resting.append(session)


class Copyable:
    """What makes a logger that can be pickled, and whose copy joins the run at its first call."""

    _origin: Origin | None = None
    """Of a copy that has not joined yet: what it was pickled from."""
    _calls: Calls
    _session: Session
    _console: Console
    _capture: Any

    def _open(self, calls: Calls, capture: Any) -> None:
        """Take up the functions that loops call: as attributes they shadow the methods that document them."""
        self._calls, self._session, self._capture = calls, calls.session, capture
        self._console = Console(calls.session.file, calls.ids)
        self.__dict__["set_ids"] = calls.set_ids
        self.__dict__["log_metric"] = calls.function("log_metric")
        self.__dict__["log_metrics"] = self.__dict__["log"] = calls.function("log_metrics")

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs to join the run, and the attributes of a class of the user's own."""
        state = {name: value for name, value in self.__dict__.items() if name not in {*OPENED, "_tui"}}
        if self._origin is None:
            state["_origin"] = Origin.of(self._session, self._calls.scope, self._capture)
        return state

    if not TYPE_CHECKING:  # where it would hide misspelt names

        def __getattr__(self, name: str) -> Any:
            """Join the run where a copy has not done so: it lacks what an open logger has."""
            if name not in OPENED or self._origin is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            with _lock:
                if self._origin is not None:
                    self._join(self._origin)
            return self.__dict__[name]

    def _join(self, origin: Origin) -> None:
        session = join(origin)
        calls = Calls(session, origin.constant, None, type(self))
        with session.lock:
            calls.scope.set(origin.said)
        self._open(calls, origin.capture)
        weakref.finalize(self, leave, session).atexit = False
        self._origin = None

    def __copy__(self) -> Self:
        """Return the logger itself: there is one writer."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the logger itself: there is one writer."""
        return self


def _rested(origin: Origin) -> Session | None:
    with _lock:
        _resting[:] = [session for session in _resting if not session.closed and not session.forked]
        for session in _resting:
            if (session.run, session.started, session.errors) == (origin.run, origin.started, origin.errors):
                _resting.remove(session)
                return session
    return None


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 another thread of the parent may hold the one that was inherited
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
