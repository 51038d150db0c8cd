"""Opening a run for writing: what each mode does with a run that is there, ended, or being written."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from skald.durable import exchange, sync_folder, unlink
from skald.engine.claim import Claim, run_lock, sole_lock, writer_names
from skald.engine.registry import read_kinds, write_kinds
from skald.errors import (
    CorruptRunError,
    InvalidInputError,
    RunExistsError,
    RunNotFoundError,
    SkaldError,
    StorageError,
    unless_handlers,
)
from skald.layout import (
    ARTIFACTS,
    SEGMENTS,
    default_run_name,
    is_run,
    temporary,
)
from skald.record.environment import replace_environment
from skald.record.info import RunInfo, read_info, settle, write_info, writing
from skald.record.info import Session as SessionInfo
from skald.schema import encoded
from skald.upkeep.leftovers import remove, remove_leftovers
from skald.writing.ending import completed
from skald.writing.refusals import (
    alive_writers,
    already_there,
    being_written,
    check_free,
    check_identity,
    check_own,
    taken,
)

Mode = Literal["new", "resume", "auto", "join", "overwrite", "disabled"]
MetricsFormat = Literal["parquet", "csv"]
DEFAULT_MODE: Final = "new"

_MAKE_IT: Final = "hint: mode='auto' makes it where there is none"
_CHOOSE_A_RUN: Final = "hint: what stands there is no run; give the name of one, or another dir="


class Description(NamedTuple):
    """What a new run says of itself."""

    metrics_format: MetricsFormat | None = None
    """None: what the run has, else parquet."""
    tags: tuple[str, ...] = ()
    notes: str = ""
    environment: Mapping[str, Any] = {}
    daemon: bool = False
    """Of a session: whether it is one that the parent of its process ends."""
    copy_of: str | None = None
    """Of a session: the writer of the logger of which it has a copy."""
    made: list[Claim] | None = None
    """Of a session: gets its claim as it is made, for who ends what a Ctrl-C has interrupted."""
    expected: dt.datetime | None = None
    """Of a session that goes on with a run: when that was begun, by which it is told from others of its name."""

    @classmethod
    def of(cls, metrics_format: Any, tags: Any, notes: Any) -> Description:
        """Check what a logger got.

        Raises:
            InvalidInputError: it is none of what is expected.
        """
        is_one = isinstance(metrics_format, str) and metrics_format in get_args(MetricsFormat)
        if metrics_format is not None and not is_one:
            raise InvalidInputError(f"metrics_format must be parquet or csv, got {metrics_format!r}")
        words = (tags,) if isinstance(tags, str) else tuple(tags) if isinstance(tags, Iterable) else (tags,)
        for word in (*words, notes):
            if not isinstance(word, str):
                raise InvalidInputError(f"tags and notes must be str, got {type(word).__name__}: {word!r:.80}")
            encoded(word, "tags and notes")
        return cls(metrics_format, words, notes)


class Opened(NamedTuple):
    """A run that this process may write."""

    run: Path
    claim: Claim
    metrics_format: MetricsFormat
    joined: bool
    """Whether another process was writing it."""
    was_finished: bool
    """Whether the run had been ended well before."""
    ended: frozenset[str]
    """The writers that had closed or died, as far as their segments are there."""
    started: dt.datetime
    """When the run was begun: no other run of its name was begun then."""
    missing_rows: int = 0
    """How many rows at least have gone with a metrics file that is not there."""


def check_mode(given: str | None) -> Mode:
    """Return the mode: the one given, else $SKALD_MODE, else `new`.

    Raises:
        InvalidInputError: there is no such mode.
    """
    mode: Any = given if given is not None else os.environ.get("SKALD_MODE") or DEFAULT_MODE
    if not (isinstance(mode, str) and mode in get_args(Mode)):
        source = " from $SKALD_MODE" if given is None else ""
        raise InvalidInputError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}{source}")
    return mode  # type: ignore[return-value]


def unused_name(folder: Path) -> str:
    """Return the local time as a run's name, made unique in the folder."""
    name = base = default_run_name()
    number = 1
    while os.path.lexists(folder / name):
        number += 1
        name = f"{base}-{number}"
    return name


def open_unnamed(folder: Path, mode: Mode, description: Description) -> Opened:
    """Make a run that has the local time as its name; as open_run otherwise.

    Raises:
        RunNotFoundError: a run without a name cannot be resumed.
        StorageError: the folder cannot be made or written.
    """
    while True:
        run = folder / unused_name(folder)
        try:
            return open_run(run, mode if mode == "resume" else "new", description)
        except RunExistsError:
            continue  # another process took the name at the same moment


def open_run(run: Path, mode: Mode, description: Description, *, before: str | None = None) -> Opened:
    """Make or continue a run, as the mode says, and claim a writer's folder in it.

    Args:
        run: the run's folder.
        mode: what to do with a run that is there.
        description: of a run that is new.
        before: the writer that this process had in the run before, whose place in run.json it takes again.

    Raises:
        RunExistsError: the run is there, or somebody is writing it, and the mode forbids that.
        RunNotFoundError: the run is not there, or is not the one expected, and the mode wants it.
        StorageError: the folder cannot be made or written.
    """
    try:
        if mode == "resume" and not is_run(run):
            error = RunNotFoundError(f"there is no run to resume at {run}")
            error.add_note(_CHOOSE_A_RUN if os.path.lexists(run) else _MAKE_IT)
            raise error
        if mode == "overwrite" and is_run(run):
            check_own(run)
            return _overwrite(Path(os.path.realpath(run)), run, description)
        if mode == "new" or not is_run(run):
            check_free(run, is_new=mode == "new")
        else:
            read_info(run)  # NOTE: before something is made in a folder that is not ours
        missing = _missing_rows(run)  # NOTE: before the lock, which makes the folder of segments
        run.mkdir(parents=True, exist_ok=True)
        with run_lock(run):
            return _open_locked(run, mode, description, before)._replace(missing_rows=missing)
    except SkaldError:
        raise
    except FileExistsError as error:
        found = "a link to what is not there" if run.is_symlink() and not run.exists() else "a file"
        raise taken(f"{run} is {found}, so it cannot be a run") from error
    except unless_handlers(OSError) as error:
        raise StorageError(error.errno, f"cannot write a run at {run}: {error.strerror}") from error


def _missing_rows(run: Path) -> int:
    if not is_run(run):
        return 0
    from skald.engine.snapshot import missing_rows  # it is not needed for a new run

    return missing_rows(run)


def _open_locked(run: Path, mode: Mode, description: Description, before: str | None) -> Opened:
    there = is_run(run)
    if mode in ("new", "overwrite") and there:
        raise already_there(run)
    alive = alive_writers(run, patient=mode != "join") if there else {}
    if alive and mode != "join":
        raise being_written(run, alive)
    info = read_info(run) if there or description.expected else _new_info(run, description)
    check_identity(run, info, description.expected)
    entered: list[Path] = []
    if there:
        from skald.record.consolefiles import finish_consoles
        from skald.record.lossfile import enter_losses

        finish_consoles(run)
        entered = enter_losses(run, info, alive)
        _seed_kinds(run)
    others = writing(info, alive)
    settle(info, writing=others)
    was_finished = there and not others and info.status == "finished"
    ended = _writers(run).difference(alive) if there else frozenset[str]()
    claim = Claim(run, made=description.made)
    # NOTE: a copy belongs to the session that it was made in, also where that has ended by now, and so does its word
    belongs = not {before, description.copy_of}.isdisjoint(session.writer for session in info.sessions)
    joined = bool(others) or belongs
    _begin(info, claim, description, joined=joined, before=before)
    try:
        write_info(run, info, new=not there)
    except RunExistsError:  # NOTE: it was made on another host, and network file systems showed no file here
        claim.release()
        return _open_locked(run, mode, description, before)
    for path in entered:
        unlink(path)
    (run / ARTIFACTS).mkdir(exist_ok=True)  # NOTE: after run.json: what is there before is taken for another's folder
    return Opened(
        run, claim, info.metrics_format, joined=joined, was_finished=was_finished, ended=ended, started=info.started
    )


def _writers(run: Path) -> frozenset[str]:
    """Return all writers whose rows can be told apart."""
    from skald.engine.stored import stored_writers

    try:
        return writer_names(run) | stored_writers(run)
    except CorruptRunError:  # a rewind, which alone asks for them, cannot read the metrics file either, and says so
        return writer_names(run)


def _begin(info: RunInfo, claim: Claim, description: Description, *, joined: bool, before: str | None = None) -> None:
    """Enter this process among those that write the run."""
    if not joined:
        if description.environment:
            replace_environment(info, description.environment)
        info.exception = None
    info.tags = list(dict.fromkeys((*info.tags, *description.tags)))
    info.notes = description.notes or info.notes
    session = next((session for session in info.sessions if joined and session.writer == before), None)
    if session is None:
        now = dt.datetime.now(dt.UTC)
        session = SessionInfo(
            writer=claim.name, host=platform.node(), pid=os.getpid(), parent=os.getppid(), started=now, joined=joined
        )
        info.sessions.append(session)
        session.daemon = joined and description.daemon
    session.writer, session.status, session.ended = claim.name, "running", None
    info.status, info.ended = "running", None


def _new_info(run: Path, description: Description) -> RunInfo:
    return RunInfo(
        name=run.name,
        started=dt.datetime.now(dt.UTC),
        metrics_format=description.metrics_format or "parquet",
    )


def _seed_kinds(run: Path) -> None:
    """Let the writers of a run that was compacted know the kinds of its ids, those of artifacts among them.

    Raises:
        CorruptRunError: they cannot be read; nothing was changed.
    """
    if not read_kinds(run):
        from skald.engine.stored import stored_kinds
        from skald.record.artifacts import artifact_kinds

        kinds = artifact_kinds(run, stored_kinds(run))
        if kinds:
            write_kinds(run / SEGMENTS, kinds)


def _overwrite(place: Path, run: Path, description: Description) -> Opened:
    """Put a new run in the place of one that nobody is writing: at every instant there is the one or the other.

    The new run is made beside it, and exchanged with it; its lock is held from before, so that nobody else opens it.
    """
    remove_leftovers(place.parent, {place.name})
    beside, made = temporary(place), description.made if description.made is not None else []

    def take_place() -> Claim:
        if not os.path.samestat(place.stat(), new):
            exchange(beside, place)
        sync_folder(place.parent)  # DURABILITY: before the old run is removed
        for claim in made:  # of before a Ctrl-C
            claim.release()
        claim = Claim(run, made=made)
        info.sessions.clear()
        _begin(info, claim, description, joined=False)
        write_info(run, info)
        return claim

    try:
        with sole_lock(place):
            alive = alive_writers(place, patient=True)
            if alive:
                raise being_written(run, alive, overwrites=True)
            beside.mkdir()
            new = beside.stat()
            with run_lock(beside):
                info = _new_info(run, description)
                write_info(beside, info)
                (beside / ARTIFACTS).mkdir()
                claim = completed(take_place)
    finally:
        completed(partial(remove, beside))
    return Opened(
        run, claim, info.metrics_format, joined=False, was_finished=False, ended=frozenset(), started=info.started
    )
