"""Many runs as a table with a row a run.

Invariant: of a closed run no row is read, but where an id that is a number chooses rows, or runs disagree on an id.
"""

from __future__ import annotations

import contextlib
import gc
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec
import polars as pl

from skald.engine.columns import TIME_TYPE
from skald.engine.reader import scan_metrics
from skald.engine.rows import as_text
from skald.errors import IdTypeError, InvalidInputError, SkaldError
from skald.many.card import Card
from skald.many.cardcache import read_cards
from skald.many.cloud import is_cloud
from skald.many.finding import Found, Source, as_list, find_runs
from skald.many.paramtable import param_columns, param_names
from skald.many.scanning import scan_told
from skald.many.seriescolumns import (
    Extremes,
    Metrics,
    Series,
    choose_metrics,
    metric_columns,
    series_in_file,
    series_in_summary,
)  # fmt: skip
from skald.many.union import Member, describe_broken, describe_disagreed, union_kinds
from skald.reading.selection import as_names, has_ids, id_kinds
from skald.reading.summary import read_summary, summarize
from skald.schema import METRIC, RUN, Id, Kind, Kinds, plain_id, series_ids

_METRICS: Final = msgspec.json.Decoder(Metrics)
_EXTREMES: Final = msgspec.json.Decoder(Extremes)
_GLOB: Final = frozenset("*?[")

T = TypeVar("T")


class _Look(NamedTuple):
    """What the metrics of a run are taken from: its ids, and its series.

    NOTE: the series stay JSON until they are wanted, as those of 10,000 runs are millions of objects.
    """

    name: str
    kinds: Kinds
    series: bytes | list[Series]

    @property
    def metrics(self) -> list[str]:
        """The metric of each series."""
        if isinstance(self.series, bytes):
            return _METRICS.decode(self.series).metric
        return [one.metric for one in self.series]

    def chosen(self, metrics: Collection[str], ids: Mapping[str, Id]) -> list[Series]:
        """Return the series of some metrics that have these ids, none of which is a number."""
        found = self.series
        if isinstance(found, bytes):
            found = series_in_file(_EXTREMES.decode(found), self.kinds, metrics)
        if not ids:
            return [one for one in found if one.metric in metrics]
        return [one for one in found if one.metric in metrics and ids.items() <= dict(one.key).items()]


def runs(source: Source, /, *, metrics: Sequence[str] | str = (), **ids: Id) -> pl.DataFrame:
    """Return a table with a row a run, in the order of their names.

    Of closed runs no rows are read, but where an id in `ids` is a number, or runs disagree on the kind of an id. Runs
    that cannot be read are left out with one warning.

    Args:
        source: a folder of runs, which is searched at every depth, a run, a glob, or several paths and Runs.
        metrics: names of metrics, or globs of them; a metric that is named so exactly wins.
        ids: which series of the metrics (`split="val"`), or which of their rows (`epoch=3`).

    Returns:
        `run`, `path`, `status`, `started`, `duration`, `rows`, `tags`, the params as `params.NAME`, and for each metric
        `NAME.last`, `NAME.min`, `NAME.min_at`, `NAME.max`, `NAME.max_at`. Where a metric has several series, each has
        its columns: `accuracy{split=val}.max`.

    Raises:
        RunNotFoundError: a path does not exist, or nothing matches a glob.
        InvalidInputError: no run has such a metric or id; a metric has more than 50 series, and the message names the
            id to give.
        IdTypeError: an id of another kind than in the runs.
    """
    table, broken = read_runs(source, metrics, ids)
    if broken:
        warnings.warn(describe_broken(broken), stacklevel=2)
    return table


def read_runs(
    source: Source, metrics: Sequence[str] | str, ids: Mapping[str, Id], *, skips_crowded: bool = False
) -> tuple[pl.DataFrame, dict[str, BaseException]]:
    """Return the table that `runs` returns, and of each run that cannot be read, by its name, what is wrong with it.

    Args:
        source: as there.
        metrics: as there.
        ids: as there.
        skips_crowded: whether a metric that only a glob names is left out with a warning where it has too many series.
    """
    globs = as_names(metrics, "metrics")
    if ids and not globs:
        raise InvalidInputError(f"ids choose series of the metrics in metrics=, which names none; got {', '.join(ids)}")
    paths = as_list(source)  # once: it may be an iterator
    source = paths[0] if isinstance(source, (str, os.PathLike)) else paths
    if any(map(is_cloud, paths)):
        raise InvalidInputError(
            f"skald.runs reads folders, got the address of a cloud store: {paths[0]}; use skald.scan"
        )
    with _garbage_left():
        found = find_runs(source)
        cards, broken = read_cards(found)
        columns = _metric_columns(source, found, cards, globs, ids, broken, skips_crowded) if globs else []
        return _facts([(run, cards[run.name]) for run in found if run.name in cards]).hstack(columns), broken


@contextlib.contextmanager
def _garbage_left() -> Iterator[None]:
    """Look for no garbage meanwhile: among the objects of 10,000 runs that takes a quarter of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _metric_columns(
    source: Source,
    found: Sequence[Found],
    cards: dict[str, Card],
    globs: Sequence[str],
    ids: Mapping[str, Id],
    broken: dict[str, BaseException],
    skips_crowded: bool,  # noqa: FBT001  one of many
) -> list[pl.Series]:
    """Return the columns of the metrics asked for; runs that turn out to be broken lose their card."""
    looks = list(_looks(found, cards, broken))
    kinds, disagreed = union_kinds([Member(look.name, look.kinds, None) for look in looks])
    if not looks:
        return []
    condition = _condition(ids, kinds, disagreed)
    has_globs = any(_GLOB & set(glob) for glob in globs)
    names = _names(source, looks, globs, cards, broken) if has_globs else list(dict.fromkeys(globs))
    if not disagreed and all(kinds[name] in {"str", "bool"} for name in ids):
        plain = {name: plain_id(name, value) for name, value in ids.items()}
        chosen = frozenset(names)
        series = _sound(looks, lambda look: look.chosen(chosen, plain), cards, broken)
    else:
        rows = scan_told(source, broken).filter(pl.col(METRIC).is_in(names), condition)
        series = _by_run(summarize(rows, runs=True), series_ids(kinds))
    if not {one.metric for of_run in series.values() for one in of_run} >= set(names):
        names = _names(source, looks, globs, cards, broken)  # raises unless it is the ids that nothing has
    of_runs = [series.get(run.name, []) for run in found if run.name in cards]
    columns: list[pl.Series] = []
    for name in names:
        try:
            columns += metric_columns(name, of_runs, kinds)
        except InvalidInputError as error:
            if not skips_crowded or name in globs:
                raise
            warnings.warn("; ".join([f"{error}: left out", *error.__notes__]), stacklevel=2)
    return columns


def _condition(ids: Mapping[str, Id], kinds: Kinds, disagreed: Mapping[str, Mapping[Kind, Sequence[str]]]) -> pl.Expr:
    try:
        return has_ids(ids, kinds)
    except IdTypeError as error:
        for name in (name for name in ids if name in disagreed and not isinstance(ids[name], str)):
            text = as_text(plain_id(name, ids[name]))
            mixed = IdTypeError(describe_disagreed({name: disagreed[name]}, f"read as string, got {ids[name]!r}"))
            mixed.add_note(f"hint: give it as {text!r}")
            raise mixed from error
        raise


def _looks(found: Sequence[Found], cards: dict[str, Card], broken: dict[str, BaseException]) -> Iterator[_Look]:
    """Look at the ids and the series of runs; those that cannot be read lose their card."""
    for run in found:
        card = cards.get(run.name)
        try:
            if card is not None:
                yield _look(run, card)
        except (SkaldError, OSError, msgspec.MsgspecError, pl.exceptions.PolarsError) as error:
            broken[run.name] = error
            del cards[run.name]


def _look(run: Found, card: Card) -> _Look:
    by = b'{"by":' + msgspec.json.encode(series_ids(card.kinds))  # the file tells of each series, and not of more
    if card.series and card.series.startswith(by):
        return _Look(run.name, card.kinds, card.series)
    kinds = id_kinds(scan_metrics(Path(run.folder)).collect_schema())
    summary = read_summary(Path(run.folder)).insert_column(0, pl.lit(run.name).alias(RUN))
    found = _by_run(summary, series_ids(kinds))
    return _Look(run.name, kinds, found.get(run.name, []))


def _names(
    source: Source,
    looks: Sequence[_Look],
    globs: Sequence[str],
    cards: dict[str, Card],
    broken: dict[str, BaseException],
) -> list[str]:
    found = _sound(looks, lambda look: look.metrics, cards, broken)
    try:
        return choose_metrics((metric for metrics in found.values() for metric in metrics), globs)
    except InvalidInputError:
        rows = scan_told(source, broken).filter(pl.col(METRIC).is_in(globs)).select(METRIC).unique()
        have_rows = set(rows.collect(engine="streaming")[METRIC])
        for name in have_rows.difference(*(found.values())):
            raise InvalidInputError(
                f"{name!r} is a histogram, which has no last, min or max; skald plot draws it"
            ) from None
        raise


def _sound(
    looks: Sequence[_Look], ask: Callable[[_Look], T], cards: dict[str, Card], broken: dict[str, BaseException]
) -> dict[str, T]:
    """Return what is asked of the series of each run; those whose series cannot be read lose their card."""
    found = {}
    for look in looks:
        try:
            found[look.name] = ask(look)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            broken[look.name] = error
            cards.pop(look.name, None)
    return found


def _by_run(summary: pl.DataFrame, by: Sequence[str]) -> dict[str, list[Series]]:
    """Return the series of each run from a summary of several."""
    names = dict(zip(summary.columns[2 : 2 + len(by)], by, strict=True))
    series: dict[str, list[Series]] = {}
    for row in summary.iter_rows(named=True):
        key = tuple((name, row[column]) for column, name in names.items() if row[column] is not None)
        series.setdefault(row[RUN], []).append(series_in_summary(row, key))
    return series


def _facts(cards: Sequence[tuple[Found, Card]]) -> pl.DataFrame:
    """Return the columns that every table of runs has."""
    params = [card.params for _, card in cards]
    return pl.DataFrame(
        [
            pl.Series(RUN, [run.name for run, _ in cards], pl.String),
            pl.Series("path", [run.folder for run, _ in cards], pl.String),
            pl.Series("status", [card.status for _, card in cards], pl.String),
            pl.Series("started", [card.started for _, card in cards], TIME_TYPE),
            pl.Series("duration", [card.duration for _, card in cards], pl.Duration("us")),
            pl.Series("rows", [card.rows for _, card in cards], pl.Int64),
            _tags([card.tags for _, card in cards]),
            *param_columns(params, param_names(params, ["*"])),
        ]
    )


def _tags(tags: Sequence[Sequence[str]]) -> pl.Series:
    """Return lists of tags as a column; NOTE: polars makes lists of Python's one by one, and few of these differ."""
    numbers: dict[tuple[str, ...], int] = {}
    places = [numbers.setdefault(tuple(one), len(numbers)) for one in tags]
    different = pl.Series("tags", [list(one) for one in numbers], pl.List(pl.String))
    return different.gather(pl.Series(places, dtype=pl.UInt32))
