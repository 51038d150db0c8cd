"""The last word of a run: one line, as its last process closes it, of what was kept and what was not."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from skald.amounts import duration_text, plural, size_text
from skald.engine.snapshot import segment_files
from skald.engine.stored import FILES, open_stored
from skald.errors import SkaldError
from skald.layout import SEGMENTS
from skald.record.info import Child, RunInfo, Session, last_children, last_sessions, read_info
from skald.record.lifetime import duration_of


def last_word(run: Path, info: RunInfo) -> str:
    """Return the line.

    Args:
        run: the run's folder.
        info: what its run.json holds, now that the run has ended.
    """
    missing = ", ".join(_missing(info))
    lasted = duration_text(duration_of(run, info))
    line = f"run {run.resolve().name!r} {info.status} in {lasted}: {_kept(run)}, in {run}"
    return f"{line}; {missing}" if missing else line


def was_last(run: Path, info: RunInfo) -> bool:
    """Tell whether no process has joined the run since that was in its run.json; one that has says its own word."""
    with contextlib.suppress(SkaldError):  # it is gone already
        return [session.writer for session in read_info(run).sessions] == [each.writer for each in info.sessions]
    return True


def _kept(run: Path) -> str:
    """Return the rows, metrics and bytes of a run's metrics file; where there is more, that it is in segments."""
    try:
        if segment_files(run):
            return f"its rows are in {SEGMENTS}/, not compacted"
        with open_stored(run) or contextlib.nullcontext() as stored:
            if stored is None:
                return "no rows"
            size = (run / FILES[stored.format]).stat().st_size
            rows, metrics = plural(stored.coverage.rows, "row"), plural(len(stored.metrics), "metric")
    except (OSError, SkaldError) as error:
        return f"its rows cannot be read ({error})"
    return f"{rows} of {metrics}, {size_text(size)}"


def _missing(info: RunInfo) -> Iterator[str]:
    """Go through what the run's last processes got and did not keep as it was."""
    sessions = last_sessions(info)
    all_lost: list[Session | Child] = [*sessions, *last_children(info)]
    refused = _sum(each.refused for each in all_lost)
    if refused:
        kinds = ", ".join(f"{count:,} x {kind}" for kind, count in refused.most_common())
        yield f"{plural(refused.total(), 'call')} refused ({kinds})"
    failed = sum(each.failed_values for each in all_lost)
    if failed:
        yield f"{plural(failed, 'value')} lost, as their device failed"
    rounded = sum(each.rounded for each in all_lost)
    if rounded:
        yield f"{plural(rounded, 'int')} rounded, as too large for a float64"
    lines = sum(session.lost_lines for session in sessions)
    if lines:
        yield f"{plural(lines, 'line')} of the console lost, as the disk did not take them"


def _sum(counts: Iterable[dict[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total
