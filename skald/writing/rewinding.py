"""Going back to a checkpoint: what `Logger.rewind` checks, does and says."""

from __future__ import annotations

import difflib
import math
import os
import platform
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from skald.engine.rewind import Bound, are_comparable
from skald.errors import InvalidInputError, RunNotFoundError, folder_gone
from skald.record.info import Session as SessionInfo
from skald.record.info import read_info
from skald.schema import KIND_OF, Id, Kinds, check_id_name, kind_error, plain_id
from skald.writing.session import Session

if TYPE_CHECKING:
    from skald.engine.takeback import Taken

MOST_NAMED: Final = 10
"""Metrics that the message names."""
_NEAR: Final = 0.7
"""How alike two names are of which one is taken for a slip."""


def rewind(session: Session, ids: Mapping[str, Any]) -> None:
    """Let the rows beyond the ids no longer count.

    Raises:
        As `Logger.rewind`.
    """
    bound = checked_bound(ids)
    writer = session.writer()
    if session.run is None or writer.claim is None:
        fit_bound(bound, writer.registry.kinds)
        return
    from skald.engine.registry import read_kinds
    from skald.engine.takeback import Scope, take_back

    try:
        info = read_info(session.run)
    except RunNotFoundError:
        raise folder_gone(session.run) from None
    if session.started not in (None, info.started):
        raise folder_gone(session.run, replaced=True)
    kinds = writer.registry.kinds | read_kinds(session.run)
    bound = fit_bound(bound, kinds)
    stop = writer.cut()
    session.pending.finish()
    writer.segments.flush()
    sessions, own = info.sessions, _own(session, bound)
    ranks = _other_ranks(sessions) if own else set()
    scope = Scope(writer.claim.name, stop, tuple(sorted(session.ended)))
    if ranks:
        scope = scope._replace(ranks=tuple(sorted(session.ended & ranks)), own=own)
    taken = take_back(session.run, bound, scope)
    session.say("INFO", told(bound, taken, scope.own))
    had_ranks = any(each.joined for each in sessions)
    warning = warning_of(bound, taken, kinds, had_ranks=had_ranks)
    if warning:
        session.warn(warning)


def _other_ranks(sessions: Iterable[SessionInfo]) -> set[str]:
    """Return the writers of processes that had done their part, or began beside this one: not in or by it."""
    here, pid = platform.node(), os.getpid()
    others = [each for each in sessions if each.host != here or pid not in (each.pid, each.parent)]
    began = _process_began() if others else 0.0
    return {each.writer for each in others if each.status == "finished" or each.started.timestamp() > began}


def _process_began() -> float:
    """Return when this process began, in seconds since 1970."""
    import psutil  # it takes 20 ms to load

    created = psutil.Process().create_time()
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return created
    # NOTE: Linux counts from its boot, of which psutil knows the second alone, and in ticks, of which one is added: who
    # died just before did not begin beside this process, also where it is held up between the two looks at the clock
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.time() - boot + created - psutil.boot_time() + 1 / os.sysconf("SC_CLK_TCK")


def _own(session: Session, bound: Bound) -> Bound:
    """Return the constant ids that a rewind does not name itself."""
    named = {name for name, _ in bound}
    constant = ((name, value) for name, value in session.constant.items() if value is not None and name not in named)
    return tuple((name, value) for name, value in constant if not isinstance(value, float) or math.isfinite(value))


def checked_bound(ids: Mapping[str, Any]) -> Bound:
    """Return ids that rows can be compared with.

    Raises:
        InvalidInputError: a name that no id can have; None, NaN or infinity, which say no place.
        IdTypeError: a value of a kind that no id can have.
    """
    bound = []
    for name, value in ids.items():
        check_id_name(name)
        plain = None if value is None else plain_id(name, value)
        if plain is None or (isinstance(plain, float) and not math.isfinite(plain)):
            error = InvalidInputError(f"rewind goes back to a place, got {name}={value!r}")
            error.add_note("hint: rewind() without ids takes all rows back")
            raise error
        bound.append((name, plain))
    return tuple(bound)


def fit_bound(bound: Bound, kinds: Kinds) -> Bound:
    """Hold ids against those of the run; one that no row has yet is right, as at a first start.

    Raises:
        InvalidInputError: an id that looks like a slip of the pen.
        IdTypeError: an id of another kind in this run.
    """
    return tuple((name, _fit(name, value, kinds)) for name, value in bound)


def _fit(name: str, value: Id, kinds: Kinds) -> Id:
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, n=1, cutoff=_NEAR)
        if near:
            raise InvalidInputError(f"no row has an id {name!r}; did you mean {near[0]!r}?")
        return value
    if not are_comparable(kinds[name], value):
        raise kind_error(name, KIND_OF[type(value)], kinds[name])
    return int(value) if isinstance(value, float) and kinds[name] == "int" and value.is_integer() else value


def told(bound: Bound, taken: Taken, own: Bound) -> str:
    """Return the message: how many rows of which metrics, and how many stay that have constant ids otherwise."""
    place = f"rewound to {as_call(bound)}" if bound else "rewound to the start"
    if not taken.left:
        return f"{place}: {_taken_back(bound, taken)}"
    names = " or ".join(name for name, _ in own)
    stay = f"{taken.left:,} of another {names} stay, as their process has finished or began with this one"
    return f"{place}: {_taken_back(bound, taken) if taken.metrics else 'no row is taken back'}; {stay}"


def _taken_back(bound: Bound, taken: Taken) -> str:
    if not taken.metrics:
        return "no row is beyond it" if bound else "there was no row"
    total, named = sum(taken.metrics.values()), taken.metrics.most_common(MOST_NAMED)
    parts = [f"{count:,} of {name}" for name, count in named]
    others = len(taken.metrics) - len(named)
    if others:
        parts.append(f"{total - sum(count for _, count in named):,} of {others:,} other metrics")
    return f"{total:,} {'row no longer counts' if total == 1 else 'rows no longer count'} ({', '.join(parts)})"


def warning_of(bound: Bound, taken: Taken, kinds: Kinds, *, had_ranks: bool) -> str | None:
    """Return what is suspicious in a rewind; `had_ranks`: of a run that several processes have written at a time."""
    if taken.restarts or (taken.ended_restarts and not had_ranks):
        return (
            f"rows that are not beyond {as_call(bound)} were logged after rows that are: "
            "if an id begins anew, as step does in each epoch, name the outer id too: rewind(epoch=..., step=...)"
        )
    if bound and taken.concerned and not taken.complete:
        return f"no row has {as_call(bound, values=False)}, so none was taken back; the ids are {', '.join(kinds)}"
    return None


def as_call(bound: Bound, *, values: bool = True) -> str:
    """Return ids as a message shows them: `epoch=3 step=120`."""
    return " ".join(f"{name}={value}" for name, value in bound) if values else " and ".join(name for name, _ in bound)
