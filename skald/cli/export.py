"""`skald export`: rows of runs into one file of another program's format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import polars as pl

from skald import layout
from skald.cli.choice import chosen_rows
from skald.cli.format import path_text
from skald.cli.paths import resolve
from skald.cli.runchoice import rows_where
from skald.durable import replace
from skald.errors import InvalidInputError
from skald.many.scanning import scan
from skald.reading.widening import wide, widen
from skald.run import Run
from skald.schema import VALUE

_JSON_NAMES: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}

Write = Callable[[pl.LazyFrame, Path], object]


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
        paths: runs and folders; of one run the rows are written without the column `run`.
        target: the file, which is replaced.
        metrics: globs.
        ids: `NAME=VALUE`.
        where: a condition in SQL over the columns of `runs`; None: all runs.
        is_wide: whether metrics become columns.
        index: of a wide table the ids of a row; none: those that all metrics have.
        columns: of a wide table the id each of whose values gets a column.
    """
    write = _WRITERS.get(target.suffix.lower())
    if write is None:
        raise InvalidInputError(f"-o must end in one of {', '.join(_WRITERS)}, got {target.name!r}")
    if not target.parent.is_dir():
        raise InvalidInputError(f"there is no folder {path_text(target.parent)} to write {target.name} into")
    if layout.is_run(target.parent):
        raise InvalidInputError(
            f"-o must not be in the folder of a run, whose files are its own, got {path_text(target)}"
        )
    folders = [resolve(path) for path in paths]
    source: Path | list[Path] = folders[0] if len(folders) == 1 else folders
    is_one = isinstance(source, Path) and layout.is_run(source) and where is None
    frame = Run(folders[0]).metrics if is_one else rows_where(scan(source), source, where, ids)
    rows = chosen_rows(frame, metrics, ids)
    if is_wide:
        rows = (widen if is_one else wide)(rows, index=index or None, columns=columns)
    beside = layout.temporary(target)
    try:
        write(rows, beside)
        replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _write_json_lines(frame: pl.LazyFrame, path: Path) -> None:
    """Write an object a row, without the ids that it lacks; NaN and infinities are strings."""
    floats = [name for name, dtype in frame.collect_schema().items() if dtype == pl.Float64]
    with path.open("xb") as file:
        for batch in frame.collect_batches(maintain_order=True, engine="streaming"):
            _write_objects(file, batch, floats)


def _write_objects(file: BinaryIO, batch: pl.DataFrame, floats: Sequence[str]) -> None:
    encode = msgspec.json.Encoder().encode
    for row in batch.iter_rows(named=True):
        given: dict[str, Any] = {name: item for name, item in row.items() if item is not None or name == VALUE}
        for name in floats:
            if name in given and given[name] - given[name] != 0:
                given[name] = _JSON_NAMES[str(given[name])]
        file.write(encode(given) + b"\n")


_WRITERS: Final[dict[str, Write]] = {
    ".csv": lambda frame, path: frame.sink_csv(path),
    ".parquet": lambda frame, path: frame.sink_parquet(path),
    ".arrow": lambda frame, path: frame.sink_ipc(path),
    ".jsonl": _write_json_lines,
}
