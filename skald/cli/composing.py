"""What `skald plot` draws: which rows of which runs become which pictures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from skald import layout
from skald.cli.choice import matching_metrics, parse_ids
from skald.cli.paths import as_source, no_runs, resolve_all
from skald.cli.picture import Picture, color_lines, curve_label, heat_picture, notes_on
from skald.cli.runchoice import rows_where
from skald.errors import InvalidInputError, SkaldError
from skald.many.finding import find_runs
from skald.many.paramtable import param_columns, param_names
from skald.many.scanning import scan_for_plots
from skald.reading.axis import (
    Axis,
    Span,
    axis_span,
    choose_axis,
    named_axis,
    names_axis,
    series_columns,
    series_keys,
    survey,
)
from skald.reading.curves import COUNT, HIGH, LOW, band, cut
from skald.reading.heatmap import is_histogram
from skald.reading.selection import close_matches, has_ids, id_kinds
from skald.record.params import dotted, read_params
from skald.run import Run
from skald.schema import METRIC, PARAMS_PREFIX, RUN


class Wish(NamedTuple):
    """What pictures are asked for.

    Attributes:
        metrics: globs; each metric that one matches gets a picture.
        ids: `NAME=VALUE` that rows must have.
        x: an id, `time` or `relative`; None: chosen. The names that an id may be stand side by side.
        smoothing: from 0 to less than 1, 0 for none.
        log: the axes that are logarithmic: a part of `xy`.
        band: the run, a param or an id over which curves are averaged; None: none.
        color: the run, a param or an id that gives curves their colour; None: each curve has its own.
        where: a condition in SQL over the columns of `runs`; None: all runs.
    """

    metrics: Sequence[str]
    ids: Sequence[str] = ()
    x: str | None = None
    smoothing: float = 0.0
    log: str = ""
    band: str | None = None
    color: str | None = None
    where: str | None = None


class _Source(NamedTuple):
    """Rows of one run or of several, with the params of these."""

    rows: pl.LazyFrame
    params: pl.DataFrame


MOST_PICTURES: Final = 20
MOST_CURVES: Final = 500
_MOST_CELLS: Final = 40_000
"""So many points are drawn, of all curves together: beside each other hundreds cannot be told so well."""
_LEAST_COLUMNS: Final = 150


def compose(paths: Sequence[str], wish: Wish, columns: int, cells: tuple[int, int]) -> list[Picture]:
    """Return a picture for each metric, or for each series of one that is a histogram.

    Args:
        paths: as given on the command line; none: the default folder.
        wish: what is asked for.
        columns: into how many columns curves are cut.
        cells: into how many columns and lines histograms are cut.

    Raises:
        RunNotFoundError: there are no runs.
        InvalidInputError: a metric, an id or a param does not exist, or cannot be what it is asked to be.
    """
    source = _open(paths, wish)
    kinds = id_kinds(source.rows.collect_schema())
    names = matching_metrics(source.rows, wish.metrics)
    if len(names) > MOST_PICTURES:
        raise InvalidInputError(f"plot draws at most {MOST_PICTURES} metrics at a time, got {len(names):,}")
    rows = source.rows.filter(has_ids(parse_ids(wish.ids, source.rows), kinds)) if wish.ids else source.rows
    source = source._replace(rows=rows)
    band_by, color_by = (_column_of(name, source) if name else None for name in (wish.band, wish.color))
    pictures: list[Picture] = []
    for name in names:
        found = source._replace(rows=rows.filter(pl.col(METRIC) == name))
        if is_histogram(found.rows):
            pictures += _heat_maps(name, found, wish, cells)
        else:
            pictures.append(_curves(name, found, wish, band_by, color_by, columns))
    return pictures


def _open(paths: Sequence[str], wish: Wish) -> _Source:
    folders = resolve_all(paths)
    source = as_source(folders)
    found = find_runs(source)
    if not found:
        raise no_runs(folders)
    if len(folders) == 1 and layout.is_run(folders[0]) and wish.where is None:
        return _Source(Run(folders[0]).metrics, pl.DataFrame())
    rows = rows_where(scan_for_plots(source), source, wish.where, wish.ids)
    if not (wish.band or wish.color):
        return _Source(rows, pl.DataFrame())
    params = [_readable_params(Path(run.folder)) for run in found]
    names = pl.Series(RUN, [run.name for run in found], pl.String)
    return _Source(rows, pl.DataFrame([names, *param_columns(params, param_names(params, "*"))]))


def _readable_params(run: Path) -> dict[str, Any]:
    """Return the params of a run by their dotted names; none where they cannot be read, which `scan` tells of."""
    try:
        return dotted(read_params(run))
    except (SkaldError, OSError):
        return {}


def _column_of(name: str, source: _Source) -> str:
    """Return the column that a name on the command line means: the run, an id, or a param."""
    schema = source.rows.collect_schema()
    kinds = id_kinds(schema)
    if name in {RUN, *kinds} and name in schema:
        return name
    param = name if name.startswith(PARAMS_PREFIX) else f"{PARAMS_PREFIX}{name}"
    if param in source.params.columns:
        return param
    if RUN not in schema:
        error = InvalidInputError(f"there is no id {name!r} in this run{close_matches(name, kinds, 'ids')}")
        error.add_note("hint: the run and its params tell several runs apart: name more runs, or their folder")
        raise error
    existing = [RUN, *kinds, *(column.removeprefix(PARAMS_PREFIX) for column in source.params.columns if column != RUN)]
    raise InvalidInputError(f"there is no id and no param {name!r}{close_matches(name, existing, 'names')}")


def _curves(name: str, source: _Source, wish: Wish, band_by: str | None, color_by: str | None, columns: int) -> Picture:
    kinds = id_kinds(source.rows.collect_schema())
    if wish.x and wish.x in (band_by, color_by):
        raise InvalidInputError(f"-x must be another id than that of --band and --color, got {wish.x!r}")
    keys = [key for key in series_keys(source.rows) if key != wish.x]
    keys += [asked for asked in dict.fromkeys((band_by, color_by)) if asked in kinds and asked not in keys]
    surveyed = survey(source.rows, keys)
    if not band_by:
        _check_count(name, surveyed, keys)
    axis = _axis(wish, source.rows, surveyed)
    averaged = _averaged(band_by, surveyed) if band_by else set()
    if color_by in averaged:
        error = InvalidInputError(f"--band {wish.band} averages over {wish.color!r}, so no curve has one to colour")
        error.add_note("hint: give --color what is left apart, or leave it out")
        raise error
    is_log = "x" in wish.log
    span = axis_span(source.rows, surveyed, axis, is_log=is_log)
    columns = len(axis.names) or min(columns, max(_MOST_CELLS // max(surveyed.height, 1), _LEAST_COLUMNS))
    found = cut(source.rows, surveyed, axis, span or Span(0, 0), columns, is_log=is_log, smoothing=wish.smoothing)
    notes = notes_on(found, surveyed, wish.log)
    if axis.names and not band_by and (found[COUNT] > 1).any():
        notes.append(f"mean of the values of each {axis.label}, and their range")
    by = series_columns(surveyed)
    params = _params(source.params, surveyed, averaged, [name for name in (band_by, color_by) if name])
    if params:
        found = found.join(source.params.select(RUN, *params), on=RUN, how="left", maintain_order="left")
    if band_by:
        by = [key for key in (*by, *params) if key not in averaged]
        found = band(found, by)
        _check_count(name, found.select(by).unique() if by else found.head(1), by)
    has_range = bool(wish.band or wish.smoothing or (found[LOW] < found[HIGH]).any())
    lines, legend, scale = color_lines(found, [*dict.fromkeys((*by, *params))] if not band_by else by, color_by)
    title = f"{name}, mean ± std over {wish.band}" if wish.band else name
    return Picture(title, axis, span, wish.log, lines, legend, scale, has_range, None, notes)


def _axis(wish: Wish, rows: pl.LazyFrame, surveyed: pl.DataFrame) -> Axis:
    """Return what curves are drawn over: what is asked for, else what is chosen."""
    if wish.x is None:
        return choose_axis(surveyed)
    kinds = id_kinds(rows.collect_schema())
    if kinds.get(wish.x) not in {"str", "bool"}:
        return named_axis(wish.x, kinds)
    if "x" in wish.log or wish.smoothing:
        asked = "--log-x" if "x" in wish.log else "--smooth"
        raise InvalidInputError(f"{asked} takes an x that is a number or a time; {wish.x!r} is {kinds[wish.x]} here")
    return names_axis(wish.x, rows)


def _check_count(name: str, curves: pl.DataFrame, by: Sequence[str]) -> None:
    """Raise where a metric has more curves than anybody could tell apart."""
    if len(curves) > MOST_CURVES:
        most = max(by, key=lambda key: curves[key].n_unique())
        error = InvalidInputError(f"plot draws at most {MOST_CURVES} curves, got {len(curves):,} of {name!r}")
        said = most.removeprefix(PARAMS_PREFIX)
        error.add_note(f"hint: {said!r} has {curves[most].n_unique():,} values; --id chooses, --band averages")
        raise error


def _averaged(band_by: str, surveyed: pl.DataFrame) -> set[str]:
    """Return the columns that a band averages over: the runs too, where each has one value of its param or id."""
    name = band_by.removeprefix(PARAMS_PREFIX)
    is_of_runs = name != band_by or (RUN in surveyed.columns and band_by != RUN and _tells_runs(band_by, surveyed))
    return {RUN, name, f"{PARAMS_PREFIX}{name}"} if is_of_runs else {band_by}


def _tells_runs(name: str, surveyed: pl.DataFrame) -> bool:
    """Tell whether an id has one value in each run, and not the same in all."""
    values = surveyed.select(RUN, name).unique()
    return values[name].n_unique() > 1 and values[RUN].n_unique() == len(values)


def _params(params: pl.DataFrame, surveyed: pl.DataFrame, averaged: Collection[str], asked: Sequence[str]) -> list[str]:
    """Return the params that are looked at: those asked for, else those that tell averages of runs apart."""
    names = [name for name in asked if name.startswith(PARAMS_PREFIX)]
    if RUN not in averaged or len(averaged) == 1 or len(asked) > 1:
        return list(dict.fromkeys(names))
    own = params.join(surveyed.select(RUN).unique(), on=RUN, how="semi")
    differing = [name for name in own.columns if name != RUN and own[name].n_unique() > 1]
    return list(dict.fromkeys([*names, *differing]))


def _heat_maps(name: str, source: _Source, wish: Wish, cells: tuple[int, int]) -> list[Picture]:
    """Return a picture for each series of a metric whose rows are histograms."""
    keys = [key for key in series_keys(source.rows) if key != wish.x]
    surveyed = survey(source.rows, keys)
    if len(surveyed) > MOST_PICTURES:
        raise InvalidInputError(f"plot draws at most {MOST_PICTURES} histograms at a time, got {len(surveyed):,}")
    varying = [key for key in keys if surveyed[key].n_unique() > 1]
    axis = _axis(wish, source.rows, surveyed)
    pictures = []
    for part in surveyed.iter_slices(1):
        own = [pl.col(key).eq_missing(pl.lit(part.item(0, key))) for key in varying]
        rows = source.rows.filter(own) if own else source.rows
        title = " ".join(
            filter(None, [name, curve_label({key: part.item(0, key) for key in varying}) if varying else ""])
        )
        pictures.append(heat_picture(title, rows, part, axis, cells, wish.log))
    return pictures
