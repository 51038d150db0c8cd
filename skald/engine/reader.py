"""Reading a run's metrics: a polars LazyFrame whose files are found when it is collected.

Invariant: every collect sees one snapshot, in which each row stands once and each metric in log order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from skald.engine.closed import ClosedRun, closed_run
from skald.engine.columns import (
    TIME_TYPE,
    counts,
    first_then_filtered,
    fit,
    frame_of,
    holds,
    table_schema,
    without_later,
)
from skald.engine.extraction import Wants, read_segment
from skald.engine.order import NEVER, Clock, Interner
from skald.engine.rewind import Rewind, choose, id_names
from skald.engine.rows import Ints, Mask, Rows
from skald.engine.segmentfile import read_header
from skald.engine.snapshot import (
    SegmentFile,
    Snapshot,
    of_closed,
    table_kinds,
    take_snapshot,
    warn_disagreed,
)
from skald.engine.stored import Stored, open_parquet, read_tables
from skald.notice import warn
from skald.schema import METRIC, TIME, VALUE, Kinds

if TYPE_CHECKING:
    import pyarrow as pa

_KEY: Final = "\x01key"
"""An inner column: the time at which a row counts as logged, in ns. No id can be named so."""
_ROW: Final = "\x01row"
"""An inner column: where a row stands in the metrics file."""
_AT_ONCE: Final = 1 << 21
"""A metrics file of no more rows is read at once, which takes 2 % less than in batches, and 100 MB at most."""
_FRAME_ROWS: Final = 1 << 19
"""Segments are handed to polars together up to about so many rows."""


def scan_metrics(run: Path, kinds: Kinds | None = None) -> pl.LazyFrame:
    """Return the table of a run: `metric`, its ids in order of first appearance, `value`, `time`.

    It may be kept: what is there is found out anew whenever it is collected.

    Args:
        run: the run's folder; without any rows in it the table is empty.
        kinds: the ids of the table, as of an earlier look; rows that it cannot show are left out. None: those that
            there are.

    Raises:
        CorruptRunError: the metrics file cannot be read.
        FormatVersionError: a newer Skald wrote the run.
    """
    return _scan(_Source(run, kinds))


def scan_rewound(run: Path) -> pl.LazyFrame:
    """Return the rows that a rewind took back, as `scan_metrics` returns those that count.

    Raises:
        As `scan_metrics`.
    """
    return _scan(_Source(run, taken=True))


def _scan(source: _Source) -> pl.LazyFrame:
    source.look()  # polars would wrap its errors
    return register_io_source(source.read, schema=source.schema)


def metric_names(run: Path) -> list[str]:
    """Return the metrics of a run, in order of first appearance.

    Raises:
        As `scan_metrics`.
    """
    snapshot = take_snapshot(run, _names_copy)
    names: list[str] = []
    if snapshot.stored:
        with snapshot.stored as stored:
            names += stored_names(stored, snapshot.rewinds)
    for _, rows in snapshot.segments:
        used = np.flatnonzero(np.bincount(rows.metric))  # a tenth of the time of `unique`
        names += [rows.names[code].as_py() for code in used.tolist()]
    return list(dict.fromkeys(names))


def _names_copy(file: SegmentFile, rewinds: Sequence[Rewind]) -> Rows:
    return choose(read_segment(file.path, columns=id_names(rewinds)), rewinds)


def stored_names(stored: Stored, rewinds: Sequence[Rewind]) -> Iterable[str]:
    """Return the metrics that have rows that count in a metrics file."""
    if not rewinds:
        return stored.metrics
    counting = _chosen_table(stored, rewinds)
    left = set(counting.select(pl.col(METRIC).unique()).collect()[METRIC].to_list())
    return [name for name in stored.metrics if name in left]


class _Source:
    """What polars asks for the columns and the rows of a run."""

    def __init__(self, run: Path, kinds: Kinds | None = None, *, taken: bool = False) -> None:
        self._run, self._given, self._taken = run, kinds, taken
        self._kinds: Kinds = kinds or {}
        self._closed: ClosedRun | None = None
        self._told: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open file, as of a table that is pickled."""
        return {**vars(self), "_closed": None}

    def schema(self) -> pl.Schema:
        """Return the columns that there are now.

        NOTE: polars 2.1 asks at every collect, also where `collect_schema` was called before (12 kinds of plans
        tried); rows with ids that are newer than this answer were logged after that collect began.
        """
        self.look()
        return table_schema(self._kinds)

    def look(self) -> None:
        """Find out which ids there are now."""
        if self._given is None:
            self._closed = closed_run(self._run)
            self._kinds, disagreed = table_kinds(self._run, self._closed)
            warn_disagreed(self._run, [name for name in disagreed if name not in self._told])
            self._told.update(disagreed)

    def read(
        self, columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows that there are now, as the IO sources of polars do."""
        if predicate is not None and n_rows is not None:
            yield from first_then_filtered(self.read, columns, predicate, n_rows)
            return
        kinds = self._kinds
        # NOTE: of no columns, as a cross join asks, a frame would have no rows either
        wanted = [METRIC, *kinds, VALUE, TIME] if columns is None else columns or [METRIC]
        query = Query(kinds, wanted, predicate, n_rows, taken=self._taken)
        snapshot = of_closed(self._closed) or take_snapshot(self._run, _Copies(query).copy)
        try:
            yield from _head(query, read_frames(query, snapshot))
        finally:
            if snapshot.stored:
                snapshot.stored.close()


class Query(NamedTuple):
    """What a collect wants."""

    kinds: Kinds
    columns: Sequence[str]
    predicate: pl.Expr | None
    n_rows: int | None
    taken: bool = False
    """Whether the rows are wanted that a rewind took back, in place of those that count."""

    def of(self, rows: pl.LazyFrame, *keys: str, has: Sequence[str] = ()) -> pl.LazyFrame:
        """Return the rows and columns that are wanted, and the inner columns named; `has`: those that there are."""
        rows = rows if self.predicate is None else rows.filter(self.predicate)
        columns = [*self.columns, *keys]
        return rows if columns == has else rows.select(columns)


class _Copies:
    """What a query wants of segments."""

    def __init__(self, query: Query) -> None:
        self._query = query
        self._known: dict[str, bool] = {}
        """Of the metrics met so far, whether they are wanted."""

    @functools.cached_property
    def _wants(self) -> Wants | None:
        """What tells which metrics are wanted, where the predicate is about nothing else."""
        predicate = self._query.predicate
        return self._are_wanted if predicate is not None and set(predicate.meta.root_names()) == {METRIC} else None

    def copy(self, file: SegmentFile, rewinds: Sequence[Rewind]) -> Rows:
        """Copy what is wanted of a segment."""
        query = self._query
        later = [name for name, kind in read_header(file.path).kinds.items() if not holds(query.kinds, name, kind)]
        stop = 0 if query.taken and not rewinds else None
        columns = {*query.columns, *later, *id_names(rewinds)}
        rows = read_segment(file.path, columns=columns, stop=stop, wants=self._wants)
        return without_later(choose(rows, rewinds, taken=query.taken), query.kinds)

    def _are_wanted(self, names: list[str]) -> Mask:
        new = pl.DataFrame({METRIC: [name for name in names if name not in self._known]}, schema={METRIC: pl.String})
        if len(new) and self._query.predicate is not None:
            wanted = new.select(self._query.predicate.fill_null(value=False)).to_series()
            self._known.update(zip(new[METRIC], wanted, strict=True))
        return np.array([self._known[name] for name in names], np.bool_)


def _head(query: Query, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the first rows only, where no more are wanted."""
    if query.n_rows is None:
        yield from frames
        return
    left = query.n_rows
    for frame in frames:
        yield frame.head(left)
        left -= frame.height
        if left <= 0:
            return


def read_frames(query: Query, snapshot: Snapshot[Rows]) -> Iterator[pl.DataFrame]:
    """Yield the rows of a snapshot in log order, those that were taken back file by file."""
    stored = snapshot.stored
    if stored and not (query.taken or snapshot.segments or stored.coverage.is_patchy()):
        yield from _stored_frames(query, stored, snapshot.rewinds)
        return
    if stored and query.taken:
        for name in stored.coverage.rewound:
            yield from _rewound_frames(query, stored.path.with_name(name))
        stored = stored if snapshot.rewinds else None
    segments = [(file, rows) for file, rows in snapshot.segments if len(rows)]
    oldest = min((int(rows.time.min()) for _, rows in segments), default=None)
    newest = stored.coverage.newest if stored else None
    overlaps = oldest is not None and newest is not None and oldest < newest * 1000
    overlaps = overlaps or bool(stored and stored.coverage.is_patchy())
    if stored and not overlaps:
        yield from _stored_frames(query, stored, snapshot.rewinds)
    if overlaps or len({(file.writer, rows.stream) for file, rows in segments}) > 1:
        yield from _merged(query, snapshot._replace(stored=stored, segments=segments), overlaps=overlaps)
        return
    for frames in _grouped(query, (frame_of(rows, query.kinds, query.columns) for _, rows in segments)):
        yield query.of(frames.lazy()).collect()


def _stored_frames(query: Query, stored: Stored, rewinds: Sequence[Rewind]) -> Iterator[pl.DataFrame]:
    """Yield the rows of an open metrics file, in its order."""
    table = [METRIC, *stored.kinds, VALUE, TIME]
    is_whole = stored.kinds == query.kinds and not stored.coverage.is_patchy()
    wanted = query.of(_table(query, stored, rewinds), has=table if is_whole else ())
    wanted = wanted if query.n_rows is None else wanted.head(query.n_rows)
    return _batches(wanted) if stored.coverage.rows > _AT_ONCE else iter([wanted.collect(engine="streaming")])


def _merged(query: Query, snapshot: Snapshot[Rows], *, overlaps: bool) -> Iterator[pl.DataFrame]:
    """Yield the rows of several streams by their keys; where the metrics file overlaps them, with its rows."""
    stored, segments = snapshot.stored, snapshot.segments
    keys = _keys(stored, segments)
    first = min((int(of_segment.min()) for of_segment in keys), default=NEVER)
    keyed = (
        frame_of(rows, query.kinds, query.columns).with_columns(pl.Series(_KEY, of_segment))
        for (_, rows), of_segment in zip(segments, keys, strict=True)
    )
    parts = [query.of(frames.lazy(), _KEY).collect() for frames in _grouped(query, keyed)]
    if stored and overlaps:
        table = _table(query, stored, snapshot.rewinds)
        if stored.coverage.ordered:
            # A row's key is then its time, so all that is older than the segments comes first, as it stands.
            cut = pl.lit(-(-first // 1000)).cast(TIME_TYPE)
            yield from _batches(query.of(table.filter(pl.col(TIME) < cut)))
            table = table.filter(pl.col(TIME) >= cut)
            time = pl.col(TIME).to_physical()
        else:
            time = pl.col(TIME).to_physical().cum_max().over(METRIC, _part_number(stored))
        parts.insert(0, query.of(table.with_columns((time * 1000).alias(_KEY)), _KEY).collect())
    yield pl.concat(parts).sort(_KEY, maintain_order=True).drop(_KEY)


def _keys(stored: Stored | None, segments: Sequence[tuple[SegmentFile, Rows]]) -> list[Ints]:
    """Return the keys of each segment's rows."""
    interner = Interner(stored.metrics if stored else ())
    clocks: dict[tuple[str, int], Clock] = {}
    keys = []
    for file, rows in segments:
        stream = (file.writer, rows.stream)
        if stream not in clocks:
            clocks[stream] = Clock(interner, stored.coverage.carried(*stream) if stored else None)
        keys.append(clocks[stream].keys(interner.number(rows.metric, rows.names), rows.time))
    return keys


def _grouped(query: Query, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Put small frames together; ids that some of them lack are null there."""
    schema = table_schema(query.kinds)
    every = pl.DataFrame(schema={name: schema[name] for name in query.columns})
    group, rows = [every], 0
    for frame in frames:
        group.append(frame)
        rows += frame.height
        if rows >= _FRAME_ROWS:
            yield pl.concat(group, how="diagonal")
            group, rows = [every], 0
    if rows:
        yield pl.concat(group, how="diagonal")


def _table(query: Query, stored: Stored, rewinds: Sequence[Rewind]) -> pl.LazyFrame:
    """Return the wanted rows of an open metrics file, lazily; of one that is patchy with _ROW."""
    return fit(_chosen_table(stored, rewinds, taken=query.taken), stored.kinds, query.kinds)


def _chosen_table(stored: Stored, rewinds: Sequence[Rewind], *, taken: bool = False) -> pl.LazyFrame:
    """Return the rows of an open metrics file that count, or those that were taken back."""
    if not rewinds and not taken:
        return _stored_table(stored, with_rows=stored.coverage.is_patchy())
    writers = [writer for writer, _, _ in stored.coverage.rows_of()]
    is_split = any(len({rewind.on_part(writer) for writer in writers}) > 1 for rewind in rewinds)
    table = _stored_table(stored, with_rows=is_split or stored.coverage.is_patchy())
    is_counting = counts(rewinds, stored.kinds, writers, _part_number(stored) if is_split else None)
    table = table.filter(~is_counting if taken else is_counting)
    return table if stored.coverage.is_patchy() or not is_split else table.drop(_ROW)


def _part_number(stored: Stored) -> pl.Expr:
    """Return the number of the part that a row of a metrics file stands in, by its _ROW."""
    stops = [part.stop for part in stored.coverage.rows_of()]
    return pl.lit(0) if len(stops) == 1 else pl.sum_horizontal((pl.col(_ROW) >= stop).cast(pl.Int32) for stop in stops)


def _stored_table(stored: Stored, *, with_rows: bool = False) -> pl.LazyFrame:
    if stored.format == "csv":
        table = _scan_csv(stored)
        return table.with_row_index(_ROW) if with_rows else table
    # NOTE: polars reads an open file through its own duplicate of the descriptor, and prunes as it does by path;
    # it takes the file to begin where it stands
    stored.file.seek(0)
    return pl.scan_parquet(stored.file, row_index_name=_ROW if with_rows else None)


def _rewound_frames(query: Query, path: Path) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file that a compaction put aside."""
    rewound = open_parquet(path)
    if rewound is None:
        warn(f"rows that a rewind took back are left out: {path} is gone")
        return
    with rewound:
        yield from _batches(query.of(fit(_stored_table(rewound), rewound.kinds, query.kinds)))


def _scan_csv(stored: Stored) -> pl.LazyFrame:
    def read(
        columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        if predicate is not None and n_rows is not None:
            return first_then_filtered(read, columns, predicate, n_rows)
        wanted = schema.names() if columns is None else columns or [METRIC]
        query = Query(stored.kinds, wanted, predicate, n_rows)
        frames = (_frame(table).lazy().cast({pl.Categorical: pl.String}) for table in read_tables(stored, wanted))
        return _head(query, (query.of(frame).collect() for frame in frames))

    schema = table_schema(stored.kinds)
    return register_io_source(read, schema=schema)


def _frame(table: pa.Table) -> pl.DataFrame:
    """Return an Arrow table as a frame whose columns have the same names: Polars gives one to a column without."""
    frame = pl.DataFrame(table.rename_columns([str(place) for place in range(table.num_columns)]))
    frame.columns = table.column_names
    return frame


def _batches(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    yield from rows.collect_batches(maintain_order=True, lazy=True)
