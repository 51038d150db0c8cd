"""`skald tail`: the end of a run's console, or its newest rows, and with -f what comes after them."""

from __future__ import annotations

import datetime as dt
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from skald import layout
from skald.cli.choice import matching_names, parse_ids
from skald.cli.format import given, ids_text, local_time, number_text
from skald.cli.paths import newest_run, resolve
from skald.cli.shapes import to_csv, to_json
from skald.engine.follower import Follower
from skald.errors import InvalidInputError, RunNotFoundError
from skald.reading.selection import has_ids
from skald.record.consolefiles import console_files, read_console, read_end
from skald.run import Run
from skald.schema import METRIC, TIME, VALUE, Id

POLL_SECS: Final = 0.3
_ROW: Final = "\x01row"  # no id can be named so
LATE: Final = dt.timedelta(seconds=5)
"""How much later than others a row may become readable: of another process, or from an accelerator."""

Emit = Callable[[pl.DataFrame], None]


def tail_console(path: str | None, *, lines: int, follow: bool) -> None:
    """Print the last lines of a run's console, and with `follow` those that come until the run ends."""
    run = _run(path)
    if not follow:
        text = read_console(run.path, lines=lines).splitlines(keepends=True)
        sys.stdout.write("".join(text[max(0, len(text) - lines) :]))
        return
    consoles = _Consoles(run.path, lines)
    for _ in _until_ended(run):
        sys.stdout.write("".join(consoles.complete_lines()))
        sys.stdout.flush()
    sys.stdout.write("".join(consoles.complete_lines()) + consoles.rest())


def tail_metrics(
    path: str | None, *, metrics: Sequence[str], ids: Sequence[str], lines: int, follow: bool, form: str
) -> None:
    """Print the newest rows of a run, the newest last, and with `follow` those that come until the run ends.

    Args:
        path: the run; None: the newest in the default folder.
        metrics: globs.
        ids: `NAME=VALUE`.
        lines: how many rows.
        follow: whether to go on.
        form: table, json (a line a row) or csv.
    """
    run = _run(path)
    emit = {"table": _emit_text, "json": _emit_json, "csv": _emit_csv()}[form]
    news = News(run, metrics, ids, waits=follow)
    emit(news.newest(lines))
    if not follow:
        return
    for _ in _until_ended(run):
        emit(news.come())
        sys.stdout.flush()
    emit(news.come())


def _run(path: str | None) -> Run:
    if path is None:
        return Run(newest_run(resolve(None)))
    folder = resolve(path)
    if not layout.is_run(folder):
        error = InvalidInputError(f"tail shows one run, got a folder: {path}")
        error.add_note("hint: name a run in it")
        raise error
    return Run(folder)


def _until_ended(run: Run) -> Iterator[None]:
    """Yield every now and then while the run is being written; Ctrl-C, too, is an end."""
    try:
        while run.status == "running":
            yield
            time.sleep(POLL_SECS)
    except KeyboardInterrupt:
        return
    except RunNotFoundError:
        raise RunNotFoundError(f"the run was removed meanwhile: {run.path}") from None


class _Consoles:
    """The console files of a run, read as far as they consist of whole lines: the last one may still change."""

    def __init__(self, run: Path, lines: int) -> None:
        self._run, self._lines = run, lines
        self._read: dict[Path, int] = {}

    def complete_lines(self) -> Iterator[str]:
        """Return the lines that have come; of a file that is read for the first time, only the last."""
        for path in console_files(self._run):
            is_new = path not in self._read
            start, data = (
                read_end(path, self._lines) if is_new else (self._read[path], _read_from(path, self._read[path]))
            )
            whole = data[: data.rfind(b"\n") + 1]
            self._read[path] = start + len(whole)
            found = whole.decode(errors="replace").splitlines(keepends=True)
            yield from found[max(0, len(found) - self._lines) :] if is_new else found

    def rest(self) -> str:
        """Return the unfinished last lines."""
        return "".join(_read_from(path, start).decode(errors="replace") for path, start in self._read.items())


def _read_from(path: Path, start: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""


class News:
    """The rows that come into a run, each told once.

    Only new rows are read. Where files or ids have changed, as after a compaction, the last seconds are read again:
    then time and content tell which rows are new.
    """

    def __init__(self, run: Run, metrics: Sequence[str], ids: Sequence[str], *, waits: bool = True) -> None:
        """Look at nothing yet.

        Args:
            run: the run.
            metrics: globs.
            ids: `NAME=VALUE`.
            waits: whether a metric or an id that is not there yet is no failure: then it is told once.
        """
        self._run, self._metrics, self._ids, self._waits = run, metrics, ids, waits
        self._follower = Follower(run.path)
        self._where: dict[str, Id] | None = None
        self._has_told = False
        self._begun: dt.datetime | None = None
        self._told = self._ahead = pl.DataFrame()  # of the last seconds; beyond the follower's last look

    def newest(self, count: int) -> pl.DataFrame:
        """Return the newest rows, the newest last; those of the same microsecond as they stand in the table."""
        self._follower.poll()
        order = [TIME, _ROW]
        found = self._all().with_row_index(_ROW).top_k(count, by=order).collect(engine="streaming")
        self._ahead = found.sort(order).drop(_ROW)
        self._begun = _latest(self._ahead)
        return self._ahead

    def come(self) -> pl.DataFrame:
        """Return the rows that have come since the last call, oldest first."""
        news = self._follower.poll()
        if news.is_anew:
            rows = self._recent(self._all()).collect(engine="streaming")
            new = _without(rows, self._told)
            self._told = self._ahead = rows
        else:
            new = _without(self._chosen(news.rows.lazy()).collect(), self._ahead)
            self._ahead = self._ahead.clear()
            self._told = self._recent(pl.concat([self._told, new], how="diagonal_relaxed").lazy()).collect()
        return new.sort(TIME, maintain_order=True)

    def _all(self) -> pl.LazyFrame:
        rows, self._where = self._run.metrics, None
        try:
            self._where = parse_ids(self._ids, rows)
        except InvalidInputError as error:
            self._tell(error)
        return self._chosen(rows)

    def _chosen(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows that are asked for; none where what is asked for is not there yet."""
        if self._where is None:
            return rows.clear()
        if self._metrics:
            names: list[str] = []
            try:
                names = matching_names(self._follower.names, self._metrics)
            except InvalidInputError as error:
                self._tell(error)
            rows = rows.filter(pl.col(METRIC).is_in(names))
        return rows.filter(has_ids(self._where, self._follower.kinds))

    def _tell(self, error: InvalidInputError) -> None:
        if not self._waits:
            raise error
        if not self._has_told:
            warnings.warn(f"{error}; it is waited for", stacklevel=2)
        self._has_told = True

    def _recent(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows that came after the first look, and not much before those that were told last."""
        latest = _latest(self._told)
        rows = rows if self._begun is None else rows.filter(pl.col(TIME) > self._begun)
        return rows if latest is None else rows.filter(pl.col(TIME) >= latest - LATE)


def _latest(rows: pl.DataFrame) -> dt.datetime | None:
    return rows[TIME].max() if rows.height else None  # type: ignore[return-value]


def _without(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that are not among those that are known, each of which stands for one."""
    latest = _latest(known)
    if latest is None:
        return rows
    is_later = pl.col(TIME) > latest
    left = Counter(map(_content, known.iter_rows(named=True)))
    is_new = []
    doubtful = rows.filter(~is_later)
    for row in map(_content, doubtful.iter_rows(named=True)):
        is_new.append(not left[row])
        left[row] -= 1 if left[row] else 0
    return pl.concat([doubtful.filter(pl.Series(is_new, dtype=pl.Boolean)), rows.filter(is_later)])


def _content(row: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return what a row holds, by which it is known again: NaN equals itself, and other rows' ids change nothing."""
    items = given(row).items()
    return frozenset((name, str(float(item) if isinstance(item, (int, float)) else item)) for name, item in items)


def _emit_text(rows: pl.DataFrame) -> None:
    for row in rows.iter_rows(named=True):
        moment, metric, value = row.pop(TIME), row.pop(METRIC), row.pop(VALUE)
        sys.stdout.write(f"{local_time(moment)}  {metric}  {number_text(value)}  {ids_text(row)}".rstrip() + "\n")


def _emit_json(rows: pl.DataFrame) -> None:
    for row in rows.iter_rows(named=True):
        moment, metric, value = row.pop(TIME), row.pop(METRIC), row.pop(VALUE)
        line: dict[str, Any] = {METRIC: metric, "ids": given(row), VALUE: value, TIME: moment}
        sys.stdout.write(to_json(line, indent=None))


def _emit_csv() -> Emit:
    header: list[str] = []

    def emit(rows: pl.DataFrame) -> None:
        lines = to_csv(rows.columns, rows.iter_rows())
        if header == rows.columns:
            lines = lines.partition("\n")[2]
        header[:] = rows.columns  # with a new id the columns change, and a new header says so
        sys.stdout.write(lines)

    return emit
