"""Which rows of a run a command shows: those of `--metric GLOB` and `--id NAME=VALUE`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import polars as pl

from skald.engine.count import count_rows
from skald.errors import InvalidInputError
from skald.reading.selection import check_ids, chosen, close_matches, has_ids, id_kinds, metric_names
from skald.reading.summary import read_summary, summarize
from skald.run import Run
from skald.schema import METRIC, Id, Kind, series_ids

_BOOLS: Final = {"true": True, "false": False, "1": True, "0": False}


class Selection(NamedTuple):
    """The rows of a run that are shown, and what tells their series apart."""

    rows: pl.LazyFrame
    by: list[str]
    summary: pl.DataFrame
    total_rows: int


def select(run: Run, metrics: Sequence[str], ids: Sequence[str]) -> Selection:
    """Return the rows of metrics that match a glob and have the ids, with their summary (its span included).

    Raises:
        InvalidInputError: no metric matches, an id does not exist, a value is not of its kind.
    """
    frame = run.metrics
    kinds = id_kinds(frame.collect_schema())
    by = series_ids(kinds)
    where = parse_ids(ids, frame)
    names = matching_names(run.metric_names, metrics) if metrics else None
    rows = frame if names is None else frame.filter(pl.col(METRIC).is_in(names))
    rows = rows.filter(has_ids(where, kinds)) if where else rows
    # the summary in the file tells the places of rows among all
    summary = summarize(rows, span=True) if metrics or ids else read_summary(run.path, span=True)
    return Selection(rows, by, summary, sum(count_rows(run.path)))


def parse_ids(given: Sequence[str], frame: pl.LazyFrame) -> dict[str, Id]:
    """Return ids given as `NAME=VALUE`, each of the kind of its column; warn where no row has them.

    Raises:
        InvalidInputError: the id does not exist, or the value is not of its kind.
    """
    if not given:
        return {}
    kinds = id_kinds(frame.collect_schema())
    pairs = [pair.partition("=") for pair in given]
    check_ids([name for name, _, _ in pairs], kinds)
    where = {name: _parse_id(name, text, kinds[name]) for name, _, text in pairs}
    _warn_unless_there(where, frame, kinds)
    return where


def _warn_unless_there(where: Mapping[str, Id], frame: pl.LazyFrame, kinds: Mapping[str, Kind]) -> None:
    """Say which of some ids no row has, and what there is; or that no row has all of them."""
    if _is_there(where, frame, kinds):
        return
    absent = {name: value for name, value in where.items() if not _is_there({name: value}, frame, kinds)}
    text = "no row has " + " and ".join(f"{name}={value}" for name, value in (absent or where).items())
    for name in (name for name in absent if kinds[name] == "str"):
        values = frame.select(pl.col(name).unique().drop_nulls()).collect(engine="streaming")[name].sort()
        text += close_matches(str(where[name]), values, f"values of {name}")
    warnings.warn(text, stacklevel=2)


def _is_there(where: Mapping[str, Id], frame: pl.LazyFrame, kinds: Mapping[str, Kind]) -> bool:
    return frame.filter(has_ids(where, kinds)).head(1).collect(engine="streaming").height > 0


def _parse_id(name: str, text: str, kind: Kind) -> Id:
    try:
        return _BOOLS[text.lower()] if kind == "bool" else {"int": int, "float": float, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise InvalidInputError(f"id {name!r} is {kind} in this run, got {text!r}") from None


def matching_metrics(frame: pl.LazyFrame, globs: Sequence[str]) -> list[str]:
    """Return the metrics of a table that one of the globs matches; exact names are looked up without reading all rows.

    Raises:
        InvalidInputError: no metric matches.
    """
    exact = list(dict.fromkeys(globs))
    if all(frame.filter(pl.col(METRIC) == name).head(1).collect(engine="streaming").height for name in exact):
        return exact
    return matching_names(metric_names(frame), globs)


def matching_names(names: Sequence[str], globs: Sequence[str]) -> list[str]:
    """Return the names that are asked for, in their own order.

    Raises:
        InvalidInputError: no name matches.
    """
    found = set(chosen(names, globs))
    return [name for name in names if name in found]


def chosen_rows(frame: pl.LazyFrame, metrics: Sequence[str], ids: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of metrics that match a glob and have the ids; all where none is given.

    Raises:
        InvalidInputError: no metric matches, an id does not exist, a value is not of its kind.
    """
    if metrics:
        frame = frame.filter(pl.col(METRIC).is_in(matching_names(metric_names(frame), metrics)))
    if ids:
        kinds = id_kinds(frame.collect_schema())
        frame = frame.filter(has_ids(parse_ids(ids, frame), kinds))
    return frame
