"""`skald compare`: what differs between runs: params, series side by side, and where they part."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from rich.text import Text

from skald import layout
from skald.amounts import plural
from skald.cli import terminal
from skald.cli.choice import chosen_rows
from skald.cli.format import MISSING, given, ids_text, json_value, number_text, param_text, path_text, printable
from skald.cli.paths import as_source, resolve_all
from skald.cli.report import UsageError, readable_params
from skald.cli.runchoice import names_where
from skald.cli.shapes import to_csv, to_json
from skald.errors import InvalidInputError
from skald.many.finding import Found, find_runs
from skald.many.paramtable import chosen_names
from skald.many.scanning import scan
from skald.reading.comparison import PAIRS, PARTS_AT, find_partings
from skald.reading.selection import id_kinds
from skald.reading.summary import summarize
from skald.record.params import dotted
from skald.run import Run
from skald.schema import METRIC, RUN, series_ids

_SHOWN: Final = ("last", "min", "max")
_SAME: Final = "dim"
_DIFFERENT: Final = "bold"

Params = dict[str, dict[str, Any]]


class Series(NamedTuple):
    """One series in several runs.

    Attributes:
        metric: its metric.
        ids: its string and bool ids.
        numbers: of each run that has it its last, min and max.
        rows: of each of these runs how many rows of it there are.
        parts_at: the first ids at which the runs differ; None where they do not, or only one has the series.
        pairs: how many rows were compared: those of others that have all ids of a row of the first run that has it.
    """

    metric: str
    ids: dict[str, Any]
    numbers: dict[str, dict[str, float | None]]
    rows: dict[str, int]
    parts_at: dict[str, Any] | None
    pairs: int


def compare_paths(
    paths: Sequence[str],
    *,
    metrics: Sequence[str],
    ids: Sequence[str],
    form: str,
    where: str | None = None,
    params: Sequence[str] = (),
) -> None:
    """Print what differs between runs.

    Args:
        paths: two runs or more, the first of which the others are compared with; a folder stands for the runs in it;
            none: the default folder.
        metrics: globs.
        ids: `NAME=VALUE`.
        where: a condition in SQL over the columns of `runs`; None: all runs.
        form: table, json or csv.
        params: globs; of these params those that differ are shown; none: of all.

    Raises:
        InvalidInputError: they are fewer than two runs.
    """
    folders = resolve_all(paths)
    found = _runs_of(folders, where, ids)
    names = [run.name for run in found]
    given = {run.name: dotted(readable_params(Run(run.folder))) for run in found}
    if params:
        wanted = chosen_names(list(dict.fromkeys(leaf for run in names for leaf in given[run])), params)
        given = {
            run: {leaf: value for leaf, value in leaves.items() if leaf in wanted} for run, leaves in given.items()
        }
    differing = _different(given, names)
    series = _series(scan(as_source(folders)).filter(pl.col(RUN).is_in(names)), names, metrics, ids)
    if form == "json":
        shape = {"runs": names, "params": differing, "series": [one._asdict() for one in series]}
        sys.stdout.write(to_json(shape))
    elif form == "csv":
        sys.stdout.write(_csv(names, differing, series))
    else:
        _print(names, differing, series, has_params=any(given.values()))


def _runs_of(folders: Sequence[Path], where: str | None, ids: Sequence[str]) -> list[Found]:
    """Return the runs that are compared, in the order in which they were named.

    Raises:
        As `compare_paths`.
    """
    places = {os.path.realpath(folder): place for place, folder in reversed([*enumerate(folders)])}
    source = as_source(folders)
    found = sorted(find_runs(source), key=lambda run: places.get(run.folder, len(places)))
    if where is not None and found:
        chosen = set(names_where(source, where, ids))
        found = [run for run in found if run.name in chosen]
    if len(found) < 2:  # noqa: PLR2004
        is_alone = len(places) == 1 and layout.is_run(folders[0])
        fault = UsageError if is_alone else InvalidInputError
        again = f", named {len(folders)} times" if is_alone and len(folders) > 1 else ""
        raise fault(f"compare takes two runs or more, got {plural(len(found), 'run')}{again}")
    repeated = [folder for place, folder in enumerate(folders) if places[os.path.realpath(folder)] != place]
    if repeated:
        twice = ", ".join(dict.fromkeys(map(path_text, repeated)))
        warnings.warn(f"named more than once, and compared once: {twice}", stacklevel=2)
    return found


def _different(params: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Params:
    """Return the params that are not the same in all runs: of each the value in those that have it."""
    leaves = dict.fromkeys(leaf for run in names for leaf in params[run])
    values = {leaf: {run: params[run][leaf] for run in names if leaf in params[run]} for leaf in leaves}
    return {leaf: found for leaf, found in values.items() if len(found) < len(names) or not _are_equal(found.values())}


def _are_equal(values: Any) -> bool:
    return len({json.dumps(json_value(value), sort_keys=True) for value in values}) == 1


def _series(rows: pl.LazyFrame, names: Sequence[str], metrics: Sequence[str], ids: Sequence[str]) -> list[Series]:
    rows = chosen_rows(rows, metrics, ids)
    kinds = id_kinds(rows.collect_schema())
    by = series_ids(kinds)
    partings = {_key(row, by): row for row in find_partings(rows, names).iter_rows(named=True)}
    numbers: dict[tuple[Any, ...], dict[str, Any]] = {}
    counts: dict[tuple[Any, ...], dict[str, int]] = {}
    for row in summarize(rows, by=by, runs=True).iter_rows(named=True):
        run, *key = list(row.values())[: 2 + len(by)]
        numbers.setdefault(tuple(key), {})[run] = {what: row[what] for what in _SHOWN}
        counts.setdefault(tuple(key), {})[run] = row["count"]
    nothing = {PARTS_AT: None, PAIRS: 0}
    series = [
        Series(key[0], given(dict(zip(by, key[1:], strict=True))), found, counts[key], place and given(place), pairs)
        for key, found in numbers.items()
        for place, pairs in [itemgetter(PARTS_AT, PAIRS)(partings.get(key, nothing))]
    ]
    return sorted(series, key=lambda one: (one.parts_at is None, len(one.numbers) < len(names)))


def _key(row: Mapping[str, Any], by: Sequence[str]) -> tuple[Any, ...]:
    return (row[METRIC], *(row[name] for name in by))


def _csv(names: Sequence[str], params: Params, series: Sequence[Series]) -> str:
    """Return a row a param and a row a number of a series, with a column a run."""
    rows: list[list[Any]] = [
        ["param", leaf, "", "", *(found.get(run) for run in names), ""] for leaf, found in params.items()
    ]
    for one in series:
        for what in _SHOWN:
            values = [one.numbers.get(run, {}).get(what) for run in names]
            parts = "" if one.parts_at is None else ids_text(one.parts_at, exact=True)
            rows.append(["metric", one.metric, ids_text(one.ids, exact=True), what, *values, parts])
    return to_csv(["kind", "name", "ids", "statistic", *names, PARTS_AT], rows)


def _print(names: Sequence[str], params: Params, series: Sequence[Series], *, has_params: bool) -> None:
    console = terminal.stdout()
    if params:
        columns = _params_by_run(names, params)
        if terminal.total_width(columns) > console.width:
            columns = _runs_by_param(names, params)
        terminal.print_columns(columns, console)
    else:
        console.print("all params are the same" if has_params else "no run has params", style=_SAME)
    console.print()
    if not series:
        console.print("no run has metrics", style=_SAME)
        return
    columns = _series_by_run(names, series)
    if terminal.total_width([column for column in columns if not column.is_empty]) > console.width:
        columns = _runs_of_series(names, series)
    terminal.print_columns(columns, console)


def _params_by_run(names: Sequence[str], params: Params) -> list[terminal.Column]:
    """Return a row a param, a column a run."""
    return [
        terminal.Column("param", [Text(printable(leaf)) for leaf in params]),
        *(terminal.Column(run, [_param(found, run) for found in params.values()]) for run in names),
    ]


def _runs_by_param(names: Sequence[str], params: Params) -> list[terminal.Column]:
    """Return a row a run, a column a param: where the runs have no room beside each other."""
    return [
        terminal.Column("run", [Text(run) for run in names]),
        *(terminal.Column(leaf, [_param(found, run) for run in names]) for leaf, found in params.items()),
    ]


def _param(found: Mapping[str, Any], run: str) -> Text:
    return Text(param_text(found[run]) if run in found else MISSING)


def _series_by_run(names: Sequence[str], series: Sequence[Series]) -> list[terminal.Column]:
    """Return a row a series, a column a run."""
    return [
        terminal.Column("metric", [Text(one.metric) for one in series]),
        terminal.Column("series", [Text(ids_text(one.ids), style="cyan") for one in series]),
        *(terminal.Column(f"{run} last", [_last(one, run) for one in series], right=True) for run in names),
        terminal.Column("part at", [_parting(one, len(names)) for one in series]),
    ]


def _runs_of_series(names: Sequence[str], series: Sequence[Series]) -> list[terminal.Column]:
    """Return a row for each run of each series: where the runs have no room beside each other."""
    rows = [(one, run) for one in series for run in names if run in one.numbers]
    return [
        terminal.Column("metric", [Text(one.metric) for one, _ in rows]),
        terminal.Column("series", [Text(ids_text(one.ids), style="cyan") for one, _ in rows]),
        terminal.Column("part at", [_parting(one, len(names)) for one, _ in rows]),
        terminal.Column("run", [Text(run) for _, run in rows]),
        terminal.Column("last", [_last(one, run) for one, run in rows], right=True),
    ]


def _last(one: Series, run: str) -> Text:
    value = one.numbers.get(run, {}).get("last")
    is_same = len({repr(numbers["last"]) for numbers in one.numbers.values()}) == 1
    return Text(number_text(value), style=_SAME if is_same else _DIFFERENT)


def _parting(one: Series, runs: int) -> Text:
    """Return where a series parts; else how far it is the same, and in how many runs it is."""
    if one.parts_at is not None:
        place = {name: value for name, value in one.parts_at.items() if name not in one.ids}
        return Text(ids_text(place) or "the first row", style="yellow")
    having = len(one.rows)
    words = [f"in {having} of {runs} runs"] if having < runs else []
    if having > 1 and not one.pairs:
        return Text(", ".join(["no rows with the same ids", *words]), style="yellow")
    if having > 1:
        counts = set(one.rows.values())
        is_all = len(counts) == 1 and one.pairs == counts.pop() * (having - 1)
        words.insert(0, "same" if is_all else f"same in {plural(one.pairs, 'pair')} of rows")
    return Text(", ".join(words), style=_SAME)
