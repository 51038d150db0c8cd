"""What `skald plot` draws: the curves or histograms of metrics, apart from how they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from skald import layout
from skald.amounts import plural
from skald.cli.choice import matching_metrics, parse_ids
from skald.cli.format import ids_text
from skald.cli.paths import resolve
from skald.curves import (
    COUNT,
    HIGH,
    LOW,
    NAN,
    Axis,
    Span,
    axis_span,
    band,
    choose_axis,
    cut,
    named_axis,
    series_columns,
    series_keys,
    split,
    survey,
)  # fmt: skip
from skald.errors import InvalidInputError, RunNotFoundError, SkaldError
from skald.finding import find_runs
from skald.heatmap import HeatMap, heat_map, is_histogram
from skald.paramtable import dotted, param_columns, param_names
from skald.record.params import read_params
from skald.run import Run
from skald.scanning import scan
from skald.schema import METRIC, PARAMS_PREFIX, RUN, VALUE
from skald.selection import close_matches, has_ids, id_kinds


class Wish(NamedTuple):
    """What pictures are asked for.

    Attributes:
        metrics: globs; each metric that one matches gets a picture.
        ids: `NAME=VALUE` that rows must have.
        x: an id, `time` or `relative`; None: chosen.
        smoothing: from 0 to less than 1, 0 for none.
        log: the axes that are logarithmic: a part of `xy`.
        band: the run, a param or an id over which curves are averaged; None: none.
        color: the run, a param or an id that gives curves their colour; None: each curve has its own.
    """

    metrics: Sequence[str]
    ids: Sequence[str] = ()
    x: str | None = None
    smoothing: float = 0.0
    log: str = ""
    band: str | None = None
    color: str | None = None


class Line(NamedTuple):
    """A curve of a picture.

    Attributes:
        label: what tells it from the others.
        color: the place of its colour in the legend.
        table: its columns, as `skald.curves.cut` returns them.
    """

    label: str
    color: int
    table: pl.DataFrame


class Picture(NamedTuple):
    """One metric over x: lines, or a heat map of histograms.

    Attributes:
        title: the metric, and what is drawn of it.
        axis: what x is.
        span: from where to where x goes; None where there is nothing to draw.
        log: the axes that are logarithmic.
        lines: the curves.
        legend: what each colour means, where there are several.
        scale: the numbers that the colours stand for, where they are many numbers.
        has_range: whether more is known than the means: minima and maxima, or deviations.
        heat: the histograms, which have no lines.
        notes: what is not to be seen.
    """

    title: str
    axis: Axis
    span: Span | None
    log: str
    lines: list[Line]
    legend: list[str]
    scale: list[float] | None
    has_range: bool
    heat: HeatMap | None
    notes: list[str]


class _Source(NamedTuple):
    """Rows of one run or of several, with the params of these."""

    rows: pl.LazyFrame
    params: pl.DataFrame


MOST_PICTURES: Final = 20
_MOST_COLORS: Final = 8
"""Beyond so many numbers a colour is a place on a scale."""


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
    source = _open(paths, wants_params=bool(wish.band or wish.color))
    kinds = id_kinds(source.rows.collect_schema())
    names = matching_metrics(source.rows, wish.metrics)
    if len(names) > MOST_PICTURES:
        raise InvalidInputError(f"plot draws at most {MOST_PICTURES} metrics at a time, got {len(names):,}")
    rows = source.rows.filter(has_ids(parse_ids(wish.ids, kinds), kinds)) if wish.ids else source.rows
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


def _open(paths: Sequence[str], *, wants_params: bool) -> _Source:
    folders = [resolve(path) for path in paths] or [resolve(None)]
    source: Path | list[Path] = folders[0] if len(folders) == 1 else folders
    found = find_runs(source)
    if not found:
        raise RunNotFoundError(f"there are no runs in {', '.join(map(str, folders))}")
    if len(folders) == 1 and layout.is_run(folders[0]):
        return _Source(Run(folders[0]).metrics, pl.DataFrame())
    if not wants_params:
        return _Source(scan(source), pl.DataFrame())
    params = [_readable_params(Path(run.folder)) for run in found]
    names = pl.Series(RUN, [run.name for run in found], pl.String)
    return _Source(scan(source), pl.DataFrame([names, *param_columns(params, param_names(params, "*"))]))


def _readable_params(run: Path) -> dict[str, Any]:
    """Return the params of a run by their dotted names; none where they cannot be read, which `scan` tells of."""
    try:
        return dotted(read_params(run))
    except (SkaldError, OSError):
        return {}


def _column_of(name: str, source: _Source) -> str:
    """Return the column that a name on the command line means: the run, an id, or a param."""
    columns = source.rows.collect_schema().names()
    if name in {RUN, *id_kinds(source.rows.collect_schema())} and name in columns:
        return name
    param = name if name.startswith(PARAMS_PREFIX) else f"{PARAMS_PREFIX}{name}"
    if param in source.params.columns:
        return param
    existing = [column.removeprefix(PARAMS_PREFIX) for column in (*columns, *source.params.columns)]
    raise InvalidInputError(f"there is no id and no param {name!r} of several runs{close_matches(name, existing)}")


def _curves(name: str, source: _Source, wish: Wish, band_by: str | None, color_by: str | None, columns: int) -> Picture:
    kinds = id_kinds(source.rows.collect_schema())
    keys = series_keys(source.rows)
    keys += [asked for asked in dict.fromkeys((band_by, color_by)) if asked in kinds and asked not in keys]
    surveyed = survey(source.rows, keys)
    axis = named_axis(wish.x, kinds) if wish.x else choose_axis(surveyed)
    is_log = "x" in wish.log
    span = axis_span(source.rows, surveyed, axis, is_log=is_log)
    found = cut(source.rows, surveyed, axis, span or Span(0, 0), columns, is_log=is_log, smoothing=wish.smoothing)
    notes = _notes(found, surveyed, wish.log)
    by = series_columns(surveyed)
    params = _params(source.params, surveyed, band_by, color_by)
    if params:
        found = found.join(source.params.select(RUN, *params), on=RUN, how="left", maintain_order="left")
    if band_by:
        averaged = {band_by, RUN} if band_by.startswith(PARAMS_PREFIX) else {band_by}
        by = [key for key in (*by, *params) if key not in averaged]
        found = band(found, by)
    has_range = bool(wish.band or wish.smoothing or (found[LOW] < found[HIGH]).any())
    lines, legend, scale = _lines(found, [*dict.fromkeys((*by, *params))] if not band_by else by, color_by)
    title = f"{name}, mean ± std over {wish.band}" if wish.band else name
    return Picture(title, axis, span, wish.log, lines, legend, scale, has_range, None, notes)


def _params(params: pl.DataFrame, surveyed: pl.DataFrame, band_by: str | None, color_by: str | None) -> list[str]:
    """Return the params that are looked at: those asked for, and those that tell groups of runs apart."""
    asked = [name for name in (band_by, color_by) if name and name.startswith(PARAMS_PREFIX)]
    if not band_by or not band_by.startswith(PARAMS_PREFIX) or color_by:
        return list(dict.fromkeys(asked))
    own = params.join(surveyed.select(RUN).unique(), on=RUN, how="semi")
    differing = [name for name in own.columns if name != RUN and own[name].n_unique() > 1]
    return list(dict.fromkeys([*asked, *differing]))


def _lines(
    found: pl.DataFrame, by: Sequence[str], color_by: str | None
) -> tuple[list[Line], list[str], list[float] | None]:
    """Return the curves, what each colour means, and the numbers of a scale of colours."""
    varying = [key for key in by if found[key].n_unique() > 1]
    curves = split(found, by)
    labels = [_label({key: ids[key] for key in varying}) for ids, _ in curves]
    if color_by is None:
        return _colored(curves, labels, range(len(curves))), labels if len(curves) > 1 else [], None
    values = list(dict.fromkeys(ids[color_by] for ids, _ in curves))
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    values = sorted(values) if are_numbers else values
    colors = [values.index(ids[color_by]) for ids, _ in curves]
    scale = [float(value) for value in values] if are_numbers and len(values) > _MOST_COLORS else None
    return _colored(curves, labels, colors), [_label({color_by: value}) for value in values], scale


def _colored(
    curves: Sequence[tuple[dict[str, Any], pl.DataFrame]], labels: Sequence[str], colors: Sequence[int]
) -> list[Line]:
    return [Line(label, color, table) for label, color, (_, table) in zip(labels, colors, curves, strict=True)]


def _label(values: Mapping[str, Any]) -> str:
    """Return what tells a curve from others: its run, ids and params."""
    named = {name.removeprefix(PARAMS_PREFIX): value for name, value in values.items() if name != RUN}
    return " ".join(filter(None, [values.get(RUN, ""), ids_text(named)])) or "-"


def _notes(found: pl.DataFrame, surveyed: pl.DataFrame, log: str) -> list[str]:
    total, drawn = int(surveyed[VALUE].struct.field("count").sum()), int(found[COUNT].sum())
    nan = int(found[NAN].sum())
    lowest = found.select(pl.col(LOW).min()).item()
    return [
        *([f"× {plural(nan, 'value')} NaN or infinite"] if nan else []),  # noqa: RUF001  the sign is meant
        *([f"{plural(total - drawn, 'row')} without an x that can be drawn"] if total > drawn else []),
        *(["values ≤ 0 have no logarithm"] if "y" in log and lowest is not None and lowest <= 0 else []),
    ]


def _heat_maps(name: str, source: _Source, wish: Wish, cells: tuple[int, int]) -> list[Picture]:
    """Return a picture for each series of a metric whose rows are histograms."""
    keys = series_keys(source.rows)
    surveyed = survey(source.rows, keys)
    if len(surveyed) > MOST_PICTURES:
        raise InvalidInputError(f"plot draws at most {MOST_PICTURES} histograms at a time, got {len(surveyed):,}")
    varying = [key for key in keys if surveyed[key].n_unique() > 1]
    axis = named_axis(wish.x, id_kinds(source.rows.collect_schema())) if wish.x else choose_axis(surveyed)
    pictures = []
    for part in surveyed.iter_slices(1):
        own = [pl.col(key).eq_missing(pl.lit(part.item(0, key))) for key in varying]
        rows = source.rows.filter(own) if own else source.rows
        span = axis_span(rows, part, axis, is_log="x" in wish.log)
        heat = None
        if span:
            span, columns = _steps(part, axis, span, cells[0], wish.log)
            heat = heat_map(rows, part, axis, span, (columns, cells[1]), is_log="x" in wish.log)
        title = " ".join(filter(None, [name, _label({key: part.item(0, key) for key in varying}) if varying else ""]))
        pictures.append(Picture(title, axis, span, wish.log, [], [], None, False, heat, []))  # noqa: FBT003
    return pictures


def _steps(surveyed: pl.DataFrame, axis: Axis, span: Span, columns: int, log: str) -> tuple[Span, int]:
    """Return a column for each histogram where they are few, with its x in the middle."""
    steps = surveyed[axis.label].struct.field("values").item() if axis.kind == "id" else columns
    if steps >= columns or "x" in log:
        return span, columns
    half = (span.high - span.low) / (steps - 1) / 2 if steps > 1 else 0.5
    return Span(span.low - half, span.high + half), steps
