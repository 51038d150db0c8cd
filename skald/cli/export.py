"""`skald export`: rows of runs into one file of another program's format."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from skald import layout
from skald.cli.choice import chosen_rows
from skald.cli.parting import parts
from skald.cli.paths import as_source, check_place, check_runs, resolve_all
from skald.cli.report import UsageError
from skald.cli.runchoice import rows_where
from skald.durable import replace
from skald.many.scanning import scan
from skald.reading.selection import chosen, id_kinds, in_series, metric_names
from skald.reading.widening import widen
from skald.run import Run
from skald.schema import METRIC, PARAMS_PREFIX, VALUE

STDOUT: Final = "-"
_JSON_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_CSV_TIME: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
"""Times are in UTC."""

Write = Callable[[pl.LazyFrame, BinaryIO], object]


def export_paths(
    paths: Sequence[str],
    target: Path,
    *,
    metrics: Sequence[str],
    ids: Sequence[str],
    where: str | None = None,
    is_wide: bool,
    index: Sequence[str] = (),
    columns: str | None = None,
) -> None:
    """Write the rows of runs into a file, whose suffix says the format; memory does not grow with the rows.

    Args:
        paths: runs and folders, none: the default folder; of one run the rows are written without the column `run`.
        target: the file, which is replaced; `-` is stdout.
        metrics: globs.
        ids: `NAME=VALUE`.
        where: a condition in SQL over the columns of `runs`; None: all runs.
        is_wide: whether metrics become columns.
        index: of a wide table the ids of a row, or params; none: the ids that all metrics have.
        columns: of a wide table the id each of whose values gets a column; or a param, or `run`.
    """
    write = _writer_for(target)
    if target.stem != STDOUT:
        check_place(target)
    folders = resolve_all(paths)
    check_runs(folders)
    source = as_source(folders)
    is_one = isinstance(source, Path) and layout.is_run(source) and where is None
    params = [name.removeprefix(PARAMS_PREFIX) for name in (*index, columns or "") if name.startswith(PARAMS_PREFIX)]
    frame = Run(folders[0]).metrics if is_one else rows_where(scan(source, params=params), source, where, ids)
    rows = chosen_rows(frame, metrics, ids)
    if is_wide:
        names = _columns_asked(rows, chosen(metric_names(frame), metrics), metrics) if metrics else []
        rows = _in_parts(widen(rows, names, index=index or None, columns=columns, run_in_index=not is_one), rows)
    if target.stem == STDOUT:
        sys.stdout.flush()
        write(rows, sys.stdout.buffer)
    else:
        _replace(target, rows, write)


def _columns_asked(rows: pl.LazyFrame, asked: Sequence[str], globs: Sequence[str]) -> list[str]:
    """Return which of the metrics asked for become columns: those that have rows, in that order.

    Histograms only where they are named, or where nothing else is asked for.
    """
    is_value = in_series(id_kinds(rows.collect_schema()))
    found = rows.select(METRIC, is_value.alias(VALUE)).group_by(METRIC).agg(pl.col(VALUE).any())
    have_values = dict(found.collect(engine="streaming").iter_rows())
    plain = [name for name in asked if have_values.get(name) or (name in have_values and name in globs)]
    return plain or [name for name in asked if name in have_values]


def _in_parts(table: pl.LazyFrame, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return a wide table of these rows that is made while it is written."""

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, _n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for part in parts(table, rows):
            found = part if predicate is None else part.filter(predicate)
            yield found if columns is None else found.select(columns)

    return register_io_source(read, schema=table.collect_schema())


def _writer_for(target: Path) -> Write:
    """Return what writes the format of a file's suffix; `-`, which is stdout, is CSV, and `-.jsonl` JSON lines."""
    is_stdout = target.stem == STDOUT
    writers = _TEXT_WRITERS if is_stdout else _WRITERS
    write = writers.get((target.suffix if target.suffix or not is_stdout else ".csv").lower())
    if write is None:
        raise UsageError(f"-o must end in one of {', '.join(writers)}, got {target.name!r}")
    return write


def _replace(target: Path, rows: pl.LazyFrame, write: Write) -> None:
    beside = layout.temporary(target)
    try:
        with beside.open("xb") as file:
            write(rows, file)
        replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _write_csv(frame: pl.LazyFrame, file: BinaryIO) -> None:
    """Write a header and rows.

    NOTE: infinities are `inf`, which all readers take for numbers; of `Infinity` polars would make a column of text.
    """
    file.write(frame.collect_schema().to_frame().write_csv().encode())
    for batch in _batches(frame):
        text = batch.write_csv(include_header=False, datetime_format=_CSV_TIME)
        file.write(text.encode())


def _write_json_lines(frame: pl.LazyFrame, file: BinaryIO) -> None:
    """Write an object a row, without the ids that it lacks; NaN and infinities are strings."""
    floats = [name for name, dtype in frame.collect_schema().items() if dtype == pl.Float64]
    for batch in _batches(frame):
        _write_objects(file, batch, floats)


def _batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    return frame.collect_batches(maintain_order=True, lazy=True, engine="streaming")


def _write_objects(file: BinaryIO, batch: pl.DataFrame, floats: Sequence[str]) -> None:
    encode = msgspec.json.Encoder().encode
    for row in batch.iter_rows(named=True):
        given: dict[str, Any] = {name: item for name, item in row.items() if item is not None or name == VALUE}
        for name in floats:
            if name in given and given[name] - given[name] != 0:
                given[name] = _JSON_NAMES[str(given[name])]
        file.write(encode(given) + b"\n")


_TEXT_WRITERS: Final[dict[str, Write]] = {".csv": _write_csv, ".jsonl": _write_json_lines}
_WRITERS: Final[dict[str, Write]] = _TEXT_WRITERS | {
    ".parquet": lambda frame, file: frame.sink_parquet(file),
    ".arrow": lambda frame, file: frame.sink_ipc(file),
}
