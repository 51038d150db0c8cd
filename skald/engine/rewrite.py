"""Writing the next metrics file of a run: the rows of the last one, merged with those of segments.

Invariant: the rename of the metrics file is the only commit; until then the run is as it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import pyarrow.parquet as pq

from skald.durable import replace, sync_folder, unlink, write_atomic
from skald.engine.coverage import MAX_NAMED, Coverage, Ranges, encode, ranges
from skald.engine.feeds import Choice, Feed, StoredFeed, StreamFeed, Surveyed, slice_rows
from skald.engine.merge import merge
from skald.engine.order import Clock, Interner
from skald.engine.rewind import Rewinds
from skald.engine.sinks import ParquetSink
from skald.engine.snapshot import SegmentFile, join_kinds, on_stored, warn_disagreed
from skald.engine.stored import FILES, CsvDescription, MetricsFormat, Stored
from skald.engine.tally import Tally
from skald.errors import CorruptRunError
from skald.layout import CSV_DESCRIPTION, rewound_name, temporary
from skald.schema import Kinds

if TYPE_CHECKING:
    from skald.engine.csvsink import CsvSink

Progress = Callable[[int, int], None]
"""Told how many rows are written, and of how many."""
Streams = Mapping[tuple[str, int], StreamFeed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes into the next metrics file.

    Attributes:
        run: the run's folder.
        stored: the metrics file of now, opened; it is closed when the next one takes its place.
        segments: what to take in, all of it final.
        damaged: segments that cannot be read.
        writers: the writers whose folders are there.
        alive: those of them that may go on writing.
        format: what to write.
        rewinds: of the run, read after `segments` were listed.
        is_shared: whether writers live, so that rows of different writers are still to be told apart.
    """

    run: Path
    stored: Stored | None
    segments: Sequence[Surveyed]
    damaged: Sequence[SegmentFile]
    writers: frozenset[str]
    alive: frozenset[str]
    format: MetricsFormat
    rewinds: Rewinds
    is_shared: bool

    @property
    def coverage(self) -> Coverage:
        """What the metrics file of now holds."""
        return self.stored.coverage if self.stored else Coverage()

    @property
    def rows(self) -> int:
        """How many rows there are in all, the damaged ones among them."""
        return self.coverage.rows + sum(segment.rows for segment in self.segments)


class Rewritten(NamedTuple):
    """How many rows a compaction left out of the metrics file."""

    damaged: int
    taken: int


class _Written(NamedTuple):
    """A file that is written, and not yet in its place."""

    sink: ParquetSink | CsvSink
    coverage: Coverage
    damaged: int


def rewrite(plan: Plan, *, progress: Progress | None = None) -> Rewritten:
    """Write the next metrics file and put it into its place, and before it the rows that were taken back.

    Raises:
        CorruptRunError: the metrics file of now cannot be read, or a segment changed on the way.
        OSError: the disk takes no more.
    """
    rewound = plan.run / rewound_name(len(plan.coverage.rewound) + 1)
    taken = _write_rewound(plan, rewound)
    target = plan.run / FILES[plan.format]
    beside = temporary(target)
    try:
        with beside.open("x+b") as file:
            written = _write(plan, file, Choice(plan.rewinds), [rewound.name] * (taken > 0), progress, left_out=taken)
            file.flush()
            os.fsync(file.fileno())  # DURABILITY: before the rename, else the name may come to the disk first
        _check(plan, beside, written, taken)
        _put_in_place(plan, written.sink, beside, target)
    except BaseException:
        unlink(beside)
        raise
    return Rewritten(written.damaged, taken)


def _write_rewound(plan: Plan, target: Path) -> int:
    """Write the rows that were taken back, if there are any; return how many there are."""
    segments = [
        segment for segment in plan.segments if plan.rewinds.on_segment(segment.file.writer, segment.file.number)
    ]
    stored = plan.stored if on_stored(plan.rewinds, plan.stored) else None
    if not segments and not stored:
        return 0
    part = replace_fields(plan, stored=stored, segments=segments, format="parquet")
    beside = temporary(target)
    try:
        with beside.open("x+b") as file:
            written = _write(part, file, Choice(plan.rewinds, taken=True), (), None)
            file.flush()
            os.fsync(file.fileno())
        if written.coverage.rows:
            replace(beside, target)
            sync_folder(plan.run)  # DURABILITY: before the metrics file, which names it, is there
    finally:
        unlink(beside)
    return written.coverage.rows


def _write(
    plan: Plan,
    file: BinaryIO,
    choice: Choice,
    rewound: Sequence[str],
    progress: Progress | None,
    *,
    left_out: int = 0,
) -> _Written:
    interner = Interner(plan.stored.metrics if plan.stored else ())
    stored_kinds = plan.stored.kinds if plan.stored else {}
    kinds, disagreed = join_kinds(plan.run, [stored_kinds, *(segment.kinds for segment in plan.segments)])
    if not choice.taken:
        warn_disagreed(plan.run, disagreed)
    streams = _streams(plan, interner, choice)
    if plan.format == "csv":
        from skald.engine.csvsink import CsvSink  # it loads pyarrow.compute, which takes longer than a small close

        sink: ParquetSink | CsvSink = CsvSink(file, kinds)
    else:
        sink = ParquetSink(file, kinds)
    try:
        tally = Tally(kinds)
        for writer, feeds in _parts(plan, interner, choice, streams).items():
            tally.begin(writer)
            for chunk in merge(feeds, interner, kinds):
                sink.write(chunk)
                tally.add(chunk)
                if progress:
                    progress(tally.rows, plan.rows - left_out)
                del chunk  # before the next one is made
        if choice.taken:
            coverage = Coverage(rows=tally.rows, kinds=kinds)
        else:
            coverage = _coverage(plan, tally, kinds, streams, interner, rewound)
        sink.finish(coverage, tally.used(list(interner.numbers)), tally.series.table())
    except BaseException:
        sink.abandon()
        raise
    return _Written(sink, coverage, sum(stream.damaged for stream in streams.values()))


def _parts(plan: Plan, interner: Interner, choice: Choice, streams: Streams) -> dict[str, list[Feed]]:
    """Return what is merged to become one part of the file: all rows, or those of each writer."""
    feeds: list[tuple[str, Feed]] = []
    if plan.stored:
        parts = plan.stored.coverage.rows_of()
        feeds = [(part.writer, StoredFeed(plan.stored, part, interner, choice)) for part in parts]
    feeds += [(writer, feed) for (writer, _), feed in streams.items()]
    found: dict[str, list[Feed]] = {}
    for writer, feed in feeds:
        found.setdefault(writer if plan.is_shared else "", []).append(feed)
    return found


def _streams(plan: Plan, interner: Interner, choice: Choice) -> dict[tuple[str, int], StreamFeed]:
    grouped: dict[tuple[str, int], list[Surveyed]] = {}
    for segment in sorted(plan.segments, key=lambda segment: segment.file):
        if segment.rows:
            grouped.setdefault((segment.file.writer, segment.stream), []).append(segment)
    rows = slice_rows(len(grouped))
    return {
        stream: StreamFeed(
            segments, interner, Clock(interner, plan.coverage.carried(*stream)), rows=rows, choice=choice
        )
        for stream, segments in grouped.items()
    }


def _coverage(
    plan: Plan, tally: Tally, kinds: Kinds, streams: Streams, interner: Interner, rewound: Sequence[str]
) -> Coverage:
    before = plan.coverage
    carried = {writer: dict(known) for writer, known in before.streams.items() if writer in plan.alive}
    for (writer, stream), feed in streams.items():
        if writer in plan.alive:
            carried.setdefault(writer, {})[stream] = feed.clock.newest(interner.numbers, most=MAX_NAMED)
    return Coverage(
        generation=before.generation + 1,
        rows=tally.rows,
        kinds=kinds,
        covered=_covered(plan, before.covered),
        damaged=_by_writer(plan.damaged),
        rewound=(*before.rewound, *rewound),
        rewinds=max(plan.rewinds.made, before.rewinds),
        parts=tuple(tally.parts.items()) if plan.is_shared else (),
        chunks=tuple(tally.chunks),
        newest=tally.newest,
        ordered=tally.ordered,
        streams=carried,
    )


def _covered(plan: Plan, before: Mapping[str, Ranges]) -> dict[str, Ranges]:
    """Return what the next file covers; a writer whose folder is gone needs no mention."""
    taken = _by_writer(segment.file for segment in plan.segments)
    writers = [writer for writer in sorted({*before, *taken}) if writer in plan.writers]
    return {writer: ranges(taken.get(writer, ()), before.get(writer, ())) for writer in writers}


def _by_writer(files: Iterable[SegmentFile]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        found[file.writer] = (*found.get(file.writer, ()), file.number)
    return found


def _check(plan: Plan, beside: Path, written: _Written, taken: int) -> None:
    """Hold the file against the segments before it takes their place."""
    expected = written.coverage.rows
    rows = expected
    if plan.format == "parquet":
        with beside.open("rb") as file:  # NOTE: pyarrow takes no path that is not UTF-8
            rows = pq.read_metadata(file).num_rows
    if not rows == expected == plan.rows - written.damaged - taken:
        raise CorruptRunError(
            f"expected {plan.rows} rows of which {written.damaged} are damaged and {taken} were taken back, "
            f"wrote {rows}; nothing was removed, in {plan.run}"
        )


def _put_in_place(plan: Plan, sink: ParquetSink | CsvSink, beside: Path, target: Path) -> None:
    """Replace the metrics file, and take away one of another format."""
    before = plan.stored
    if before:
        before.close()  # Windows replaces no file that is open
    if sink.description is not None:
        described = (sink.description, *([before.described] if before and before.described else []))
        # DURABILITY: before the csv, so that whichever csv a crash leaves is described
        write_atomic(plan.run / CSV_DESCRIPTION, encode(CsvDescription(files=described)), sync=True)
    replace(beside, target)
    sync_folder(plan.run)  # DURABILITY: before any segment goes
    remove_other_format(plan.run, keep=plan.format)


def remove_other_format(run: Path, *, keep: MetricsFormat) -> None:
    """Remove the metrics file that a change of format has made worthless."""
    for format_, name in FILES.items():
        if format_ != keep:
            unlink(run / name)
    if keep != "csv":
        unlink(run / CSV_DESCRIPTION)
