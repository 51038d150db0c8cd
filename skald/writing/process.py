"""What a process has open, and what becomes of it when the process forks or ends."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from skald.errors import is_of_signal
from skald.notice import loguru_logger
from skald.writing.ending import Ending, Word, ending, undisturbed


class Session(Protocol):
    """What a process must know of a session."""

    run: Path | None
    writer_name: str
    forked: bool

    def close(self, status: Word, exception: str | None = None) -> None:
        """End it."""

    def amend(self, ending: Ending, trace: str = "") -> None:
        """Say, after it was closed, that the process has ended badly after all."""

    def lock_of_writer(self) -> threading.RLock | None:
        """Return the lock that is held by a call which makes segments, if there is a writer."""

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""

    def warn_unclosed(self, error: BaseException) -> None:
        """Say, in the terminal and in console.log, that it did not come to its end."""


_sessions: Final[dict[int, Session]] = {}
"""The open sessions; several of one run where a process joined its own."""


class _Closed:
    """The sessions that were closed while an exception was passing, as in a `finally`: it has them as an attribute."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []

    def __reduce__(self) -> tuple[type[_Closed], tuple[()]]:
        """Have none in a copy of the exception, in this process or another."""
        return _Closed, ()


_CLOSED: Final = "_skald_closed"
"""The name of that attribute."""
Places = frozenset[tuple[int, int]]
_closed_early: Final[list[tuple[Places, Session]]] = []
"""Sessions that were closed as a loop over a generator was left early, and where that was."""

FORK_SECS: Final = 1.0
"""How long a fork waits for other threads, which may wait for what the forking one holds."""
_held: Final[dict[int, list[threading.RLock]]] = {}
"""The locks that forking threads hold meanwhile."""

RERAISED: Final = -1
"""The place in a frame from where an exception goes on that was raised at another one."""
_GENERATOR: Final = 0x20 | 0x80 | 0x200
"""NOTE: inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR; inspect takes 10 ms to load."""

_failures: Final[list[Ending]] = []
"""How this child of multiprocessing has failed, if it has."""


def enter(session: Session) -> None:
    """Have a session closed at exit, while messages still reach the terminal.

    NOTE: what is registered last runs first, and loguru registers the end of its handlers when it is imported;
    so it is imported here: 15 ms, which `import skald` does not cost. And pyarrow imports pandas, where there is
    one, at the first array that it makes, which fails at exit unless this module has been imported before.
    """
    import concurrent.futures.thread  # noqa: F401

    loguru_logger()
    close_first()
    _sessions[id(session)] = session
    processes = sys.modules.get("multiprocessing.process")
    if processes is not None and processes.parent_process() is not None:
        end_with_child(session)


def close_first() -> None:
    """Have sessions closed at exit before anything that was registered for it by now; the last is the first there."""
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)


def leave(session: Session) -> None:
    """Forget a session that is closed; unless an exception is passing, by which the process may still fail."""
    _sessions.pop(id(session), None)
    passing = sys.exc_info()[1]
    if isinstance(passing, GeneratorExit):
        _closed_early.append((_places(passing), session))
    elif passing is not None:
        vars(passing).setdefault(_CLOSED, _Closed()).sessions.append(session)


def open_on(run: Path) -> list[Session]:
    """Return the open sessions of this process on a run, but for those that it inherited by a fork."""
    place = os.path.realpath(run)
    sessions = [session for session in list(_sessions.values()) if session.run and not session.forked]
    return [session for session in sessions if session.run and os.path.realpath(session.run) == place]


def end_with_child(session: Session) -> None:
    """Have a session closed at the end of a child of multiprocessing, which ends without atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        _note_failure()
        util.Finalize(None, lambda: _close(session, _ending_of_child()), exitpriority=0)


def _note_failure() -> None:
    """Note by which exception a child of multiprocessing ends, when it prints it.

    NOTE: since Python 3.13 it is forgotten by the time that finalizers run.
    """
    printed = traceback.print_exc
    if printed.__module__ == __name__:
        return

    def print_exc(*args: Any, **options: Any) -> None:
        if sys._getframe(1).f_globals.get("__name__") == "multiprocessing.process":
            _failures.append(ending(sys.exc_info()[1]))
        printed(*args, **options)

    traceback.print_exc = print_exc


def ending_so_far() -> Ending:
    """Return how this child of multiprocessing has failed, or a good end: what its function held goes after that."""
    return _failures[0] if _failures else Ending()


def is_daemon() -> bool:
    """Tell whether this is a child of multiprocessing that its parent ends, as the workers of a pool are."""
    processes = sys.modules.get("multiprocessing.process")
    return processes is not None and bool(processes.current_process().daemon)


def _before_fork() -> None:
    """Wait until no thread makes a segment: the child would find a lock of Arrow's memory held for ever."""
    held = _held.setdefault(threading.get_ident(), [])
    for session in list(_sessions.values()):
        lock = session.lock_of_writer()
        if lock is not None and lock.acquire(timeout=FORK_SECS):
            held.append(lock)


def _fork_is_over() -> None:
    for lock in _held.pop(threading.get_ident(), ()):
        lock.release()


def _after_fork() -> None:
    _fork_is_over()
    _held.clear()  # of threads that the child has not
    _failures.clear()
    for session in list(_sessions.values()):
        session.after_fork()


def _at_exit() -> None:
    with contextlib.suppress(KeyboardInterrupt):  # who presses it again does not want to wait for them
        _join_children()
    for session in list(_sessions.values()):
        _close(session, _ending())
    undisturbed(_amend_closed)
    if isinstance(getattr(sys, "last_value", None), KeyboardInterrupt):
        # NOTE: Python ends by SIGINT, as shells and launchers look for, unless a string is evaluated after the Ctrl-C,
        # as the import of a module with a named tuple does
        with contextlib.suppress(KeyboardInterrupt):
            exec("raise KeyboardInterrupt")  # noqa: S102  a constant


def _amend_closed() -> None:
    """Say of sessions that were closed amid the exception that ends the interpreter that they have failed."""
    left = _ending()
    for error in _with_others(getattr(sys, "last_value", None) if left.exception else None):
        passed = set(_passed(error.__traceback__))
        early = [session for places, session in _closed_early if places & passed]
        for session in (*vars(error).get(_CLOSED, _Closed()).sessions, *early):
            session.amend(left)


def _with_others(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an exception, those of a group, and those amid which it came, as a Ctrl-C in a `finally`."""
    while error is not None:
        yield error
        for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
            yield from _with_others(each)
        error = error.__context__


def _passed(trace: TracebackType | None) -> Iterator[tuple[int, int]]:
    """Go through where an exception has passed which frame."""
    while trace is not None:
        yield from ((id(trace.tb_frame), trace.tb_lasti), (id(trace.tb_frame), RERAISED))
        trace = trace.tb_next


def _places(error: GeneratorExit) -> Places:
    """Return where the loop over a generator was that is left early: what it is left by cannot be seen from inside."""
    import opcode  # it is not needed before

    frame = error.__traceback__.tb_frame.f_back if error.__traceback__ else None
    places = set()
    while frame is not None:
        is_reraised = frame.f_code.co_code[frame.f_lasti] == opcode.opmap["RERAISE"]  # by a `finally` inside the loop
        places.add((id(frame), RERAISED if is_reraised else frame.f_lasti))
        frame = frame.f_back if frame.f_code.co_flags & _GENERATOR else None
    return frozenset(places)


def _close(session: Session, ending: Ending) -> None:
    for _ in range(2):  # NOTE: where a Ctrl-C comes just before it can be put off, there is another try
        try:
            session.close(*ending)
            return
        except BaseException as error:  # noqa: BLE001 told, and other sessions are still to be closed
            if is_of_signal(error):
                continue
            session.warn_unclosed(error)
            return


def _ending() -> Ending:
    """Return how the interpreter ends: by the exception that it has told of on stderr, or well."""
    if _failures:
        return _failures[0]
    if hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__"):
        return Ending()  # the last error of a person who went on
    return ending(getattr(sys, "last_value", None))


def _ending_of_child() -> Ending:
    """Return how a child of multiprocessing ends, which is on its way out of its function."""
    error = sys.exc_info()[1]
    if _failures:
        return _failures[0]
    return Ending() if isinstance(error, SystemExit) else ending(error)  # as where a process cannot see it


def _join_children() -> None:
    """Wait for the workers that multiprocessing would wait for a little later: their rows belong to the runs.

    Those that it ends instead, its daemons, may be ended by others before, and are none of our business.
    """
    processes = sys.modules.get("multiprocessing.process")
    for child in processes.active_children() if processes and _sessions else ():
        if not child.daemon:
            child.join()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_fork_is_over, after_in_child=_after_fork)
