"""What run.json tells of a run, as lines of text: identity, exception, sessions, environment, packages."""

from __future__ import annotations

import datetime as dt
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from rich.cells import cell_len

from skald.amounts import duration_text, plural, size_text
from skald.cli.format import local_time, param_text, printable
from skald.cli.page import size_on_disk
from skald.engine.claim import owners
from skald.engine.count import count_rows
from skald.record.info import Child, RunInfo, Session, read_info, read_status
from skald.run import Run
from skald.viewer.lines import STATUS_TONES, Span

Line = Sequence[Span]

_NAME_WIDTH: Final = 12
_MANY_LINES: Final = 200
"""So many lines of an exception are shown: its end tells what happened."""
_APART: Final = frozenset({"variables", "packages", "git", "command", "missing", "memory_bytes", "pid"})


class Facts(NamedTuple):
    """What is told of a run.

    Attributes:
        path: its folder.
        info: its run.json.
        status: as `Run.status`.
        duration: as `Run.duration`.
        rows: in its metrics file, and in its segments.
        size: bytes of all its files.
        storage: how its living writers keep their rows.
    """

    path: Path
    info: RunInfo
    status: str
    duration: dt.timedelta
    rows: tuple[int, int]
    size: int
    storage: Sequence[str]


def read_facts(run: Path) -> Facts:
    """Look at a run.

    Raises:
        SkaldError: a file of the run cannot be read.
        OSError: the run was removed meanwhile.
    """
    return Facts(
        path=run,
        info=read_info(run),
        status=read_status(run),
        duration=Run(run).duration,
        rows=count_rows(run),
        size=size_on_disk(run),
        storage=sorted({owner.storage for owner in owners(run).values() if owner}),
    )


def page(facts: Facts, width: int) -> list[Line]:
    """Return what is told, in lines of at most so many columns."""
    info, environment = facts.info, facts.info.environment
    lines = [
        *_identity(facts, width),
        *_exception(info.exception, width),
        *_titled("notes", _wrapped(info.notes, width, "plain")),
        *_titled("sessions" if len(info.sessions) > 1 else "session", _sessions(info.sessions, width)),
        *_titled("forked children", _pairs(_lost(info.children), width, tone="warm")),
        *_titled("environment", _environment(environment, width)),
        *_titled("git", _pairs(_mapping(environment, "git"), width)),
        *_titled("not known", _pairs(_mapping(environment, "missing"), width)),
        *_titled("variables", _pairs(_mapping(environment, "variables"), width)),
        *_titled("packages", _packages(_mapping(environment, "packages"), width)),
    ]
    return lines[1:]


def _titled(title: str, lines: Iterator[Line]) -> Iterator[Line]:
    """Yield lines below an empty one and a title; nothing without lines."""
    for number, line in enumerate(lines):
        if number == 0:
            yield []
            yield [(title, "heading")]
        yield line


def _identity(facts: Facts, width: int) -> Iterator[Line]:
    info, stored = facts.info, sum(facts.rows)
    left = f", {facts.rows[1]:,} of them not compacted yet" if facts.rows[1] else ""
    yield []
    yield [(info.name, "strong"), ("  ", "plain"), (facts.status, STATUS_TONES.get(facts.status, "bad"))]
    told = {
        "folder": str(facts.path),
        "started": local_time(info.started),
        "ended": local_time(info.ended) if info.ended else "",
        "duration": duration_text(facts.duration),
        "rows": f"{stored:,}{left}",
        "size": size_text(facts.size),
        "storage": ", ".join(facts.storage),
        "written as": info.metrics_format,
    }
    yield from _pairs({name: text for name, text in told.items() if text}, width)
    if info.tags:
        yield [("tags".ljust(_NAME_WIDTH), "dim"), (" ".join(f"#{tag}" for tag in info.tags), "tag")]


def _exception(text: str | None, width: int) -> Iterator[Line]:
    lines = (text or "").splitlines()[-_MANY_LINES:]
    yield from _titled("exception", (line for one in lines for line in _wrapped(one, width, "bad")))


def _sessions(sessions: Sequence[Session], width: int) -> Iterator[Line]:
    """Yield what is told of each process, the newest first."""
    for session in reversed(sessions):
        tone = STATUS_TONES.get(session.status, "bad")
        took = f"  {duration_text(session.ended - session.started)}" if session.ended else ""
        joined = "  joined" if session.joined else ""
        where = f"  {session.host}, process {session.pid}{joined}"
        yield [(session.status.ljust(_NAME_WIDTH), tone), (local_time(session.started), "plain"), (took, "plain")]
        yield [(" " * (_NAME_WIDTH - 2) + where, "dim")]
        exception = ((session.exception or "").strip().splitlines() or [""])[-1]
        yield from _pairs({**_lost([session]), "exception": exception}, width, tone="warm", indent=_NAME_WIDTH)
        yield from _pairs(_short(session.environment), width, indent=_NAME_WIDTH)


def _lost(processes: Iterable[Session | Child]) -> dict[str, str]:
    """Return what processes got and did not keep as it was."""
    counts: Counter[str] = Counter()
    for each in processes:
        counts.update({f"refused calls ({kind})": count for kind, count in each.refused.items()})
        counts.update({"lost values": each.failed_values, "rounded ints": each.rounded})
    return {name: f"{count:,}" for name, count in counts.items() if count}


def _short(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was different in the environment of a session, of packages and the like only how many."""
    return {
        name: plural(len(value), "entry").replace("entrys", "entries") if isinstance(value, Mapping) else value
        for name, value in environment.items()
    }


def _environment(environment: Mapping[str, Any], width: int) -> Iterator[Line]:
    command = environment.get("command")
    if command:
        yield from _pairs({"command": " ".join(map(str, command)) if isinstance(command, list) else command}, width)
    yield from _pairs({name: value for name, value in environment.items() if name not in _APART}, width)
    memory = environment.get("memory_bytes")
    if isinstance(memory, int):
        yield from _pairs({"memory": size_text(memory)}, width)


def _mapping(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a part of the environment; nothing where somebody has made something else of it."""
    found = environment.get(name)
    return found if isinstance(found, Mapping) else {}


def _packages(packages: Mapping[str, str], width: int) -> Iterator[Line]:
    """Yield packages in columns, which are read downwards."""
    items = list(packages.items())
    if not items:
        return
    column = max(cell_len(name) + cell_len(str(version)) for name, version in items) + 3
    columns = max(1, width // column)
    height = -(-len(items) // columns)
    for row in range(height):
        line: list[Span] = []
        for name, version in items[row::height]:
            gap = " " * (column - cell_len(name) - cell_len(str(version)) - 1)
            line += [(name, "plain"), (f" {version}{gap}", "dim")]
        yield line


def _pairs(values: Mapping[str, Any], width: int, *, tone: str = "plain", indent: int = 0) -> Iterator[Line]:
    """Yield names and values, long ones on several lines."""
    room = max((cell_len(name) + 2 for name in values), default=0)
    room = max(room, _NAME_WIDTH) if not indent else room
    for name, value in values.items():
        if value is None or value in ("", []):
            continue
        text = ", ".join(map(str, value)) if isinstance(value, list) else param_text(value)
        lead = " " * indent + name.ljust(room)
        for number, (part, _) in enumerate(line[0] for line in _wrapped(text, width - indent - room, tone)):
            yield [(lead if number == 0 else " " * len(lead), "dim"), (part, tone)]


def _wrapped(text: str, width: int, tone: str) -> Iterator[list[Span]]:
    """Yield a text in lines that fit."""
    for line in text.splitlines():
        parts = textwrap.wrap(printable(line), max(width, 20), drop_whitespace=False, replace_whitespace=False)
        yield from ([(part, tone)] for part in parts or [""])


def as_text(info: RunInfo) -> str:
    """Return run.json as people copy it."""
    return msgspec.json.format(msgspec.json.encode(info), indent=2).decode()
