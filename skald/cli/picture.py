"""Pictures of metrics, apart from how they are drawn: curves with their colours, or the heat map of histograms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

from skald.amounts import plural
from skald.cli.format import ids_text, printable
from skald.reading.axis import Axis, Span, axis_span
from skald.reading.curves import COUNT, LOW, NAN, split
from skald.reading.heatmap import FARTHEST, HeatMap, count_unbounded, heat_map
from skald.schema import PARAMS_PREFIX, RUN, VALUE

_MOST_COLORS: Final = 8
"""Beyond so many numbers a colour is a place on a scale."""


class Line(NamedTuple):
    """A curve of a picture.

    Attributes:
        label: what tells it from the others.
        color: the place of its colour in the legend.
        table: its columns, as `skald.reading.curves.cut` returns them.
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


def x_names(picture: Picture) -> list[str]:
    """Return the names along x as they are written."""
    return [printable(name) or '""' for name in picture.axis.names]


def color_lines(
    found: pl.DataFrame, by: Sequence[str], color_by: str | None
) -> tuple[list[Line], list[str], list[float] | None]:
    """Return the curves, what each colour means, and the numbers of a scale of colours."""
    varying = [key for key in by if found[key].n_unique() > 1]
    curves = split(found, by)
    labels = [curve_label({key: ids[key] for key in varying}) for ids, _ in curves]
    if color_by is None:
        return _colored(curves, labels, range(len(curves))), labels if len(curves) > 1 else [], None
    values = list(dict.fromkeys(ids[color_by] for ids, _ in curves))
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    values = sorted(values) if are_numbers else values
    colors = [values.index(ids[color_by]) for ids, _ in curves]
    scale = [float(value) for value in values] if are_numbers and len(values) > _MOST_COLORS else None
    return _colored(curves, labels, colors), [curve_label({color_by: value}) for value in values], scale


def _colored(
    curves: Sequence[tuple[dict[str, Any], pl.DataFrame]], labels: Sequence[str], colors: Sequence[int]
) -> list[Line]:
    return [Line(label, color, table) for label, color, (_, table) in zip(labels, colors, curves, strict=True)]


def curve_label(values: Mapping[str, Any]) -> str:
    """Return what tells a curve from others: its run, ids and params."""
    named = {name.removeprefix(PARAMS_PREFIX): value for name, value in values.items() if name != RUN}
    return " ".join(filter(None, [values.get(RUN, ""), ids_text(named)])) or "-"


def notes_on(found: pl.DataFrame, surveyed: pl.DataFrame, log: str) -> list[str]:
    """Return what is not to be seen in curves."""
    total, drawn = int(surveyed[VALUE].struct.field("count").sum()), int(found[COUNT].sum())
    nan = int(found[NAN].sum())
    lowest = found.select(pl.col(LOW).min()).item()
    return [
        *([f"× {plural(nan, 'value')} NaN or infinite"] if nan else []),  # noqa: RUF001  the sign is meant
        *([f"{plural(total - drawn, 'row')} without an x that can be drawn"] if total > drawn else []),
        *(["values ≤ 0 have no logarithm"] if "y" in log and lowest is not None and lowest <= 0 else []),
    ]


def heat_picture(
    title: str,
    rows: pl.LazyFrame,
    surveyed: pl.DataFrame,
    axis: Axis,
    cells: tuple[int, int],
    log: str = "",
    part: Span | None = None,
) -> Picture:
    """Return the heat map of one series of histograms.

    Args:
        title: what stands above it.
        rows: its rows.
        surveyed: the survey of them, one row.
        axis: what x is.
        cells: into how many columns and lines it is cut.
        log: the axes that are logarithmic.
        part: from where to where; None: all.
    """
    is_log = "x" in log
    span, heat = axis_span(rows, surveyed, axis, is_log=is_log), None
    if span:
        span, columns = _heat_columns(surveyed, axis, span, part, cells[0], log)
        heat = heat_map(rows, surveyed, axis, span, (columns, cells[1]), is_log=is_log)
    unbounded = count_unbounded(rows)
    notes = [f"{plural(unbounded, 'bin')} beyond ±{FARTHEST:g} left out"] if unbounded else []
    return Picture(title, axis, span, log, [], [], None, has_range=False, heat=heat, notes=notes)


def _heat_columns(
    surveyed: pl.DataFrame, axis: Axis, whole: Span, part: Span | None, columns: int, log: str
) -> tuple[Span, int]:
    """Return a column for each histogram where they are few, with its x in the middle."""
    if axis.names:
        return whole, len(axis.names)
    if whole.low == whole.high:
        return (Span(whole.low / 2, whole.low * 2) if "x" in log else Span(whole.low - 0.5, whole.low + 0.5)), 1
    span, steps = part or whole, surveyed[axis.label].struct.field("values").item() if axis.kind == "id" else 0
    step = (whole.high - whole.low) / (steps - 1) if steps > 1 else 1.0
    first, last = (math.floor((end - whole.low) / step + 0.5) if step else 0 for end in span)
    if not steps or last - first + 1 >= columns or "x" in log:
        return span, columns
    return Span(whole.low + (first - 0.5) * step, whole.low + (last + 0.5) * step), last - first + 1
