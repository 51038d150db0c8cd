"""Pictures drawn with characters: curves in braille, their ranges shaded, histograms as blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.text import Text

from skald.cli.canvas import Canvas, Mark
from skald.cli.picture import Line, Picture, x_names
from skald.cli.ticks import Tick, clock_ticks, duration_unit, log_ticks, name_ticks, number_ticks
from skald.reading.axis import Span
from skald.reading.curves import HIGH, LOW, MEAN, NAN, X_MEAN
from skald.reading.heatmap import HeatMap

COLORS: Final = (74, 208, 36, 175, 166, 32, 178, 245, 99, 112, 131, 37)
"""Colours of the 256 of a terminal that can be told apart, also by the colour-blind, on dark and on light."""
SCALE: Final = (54, 55, 61, 25, 31, 30, 36, 35, 71, 113, 149, 184)
"""From small to great: dark and blue to light and yellow."""

_MARKERS: Final = "*+ox#@%&$=~v"
"""As many as the legend has labels, and as there are colours."""
_SHADES, _ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"
_TO_ASCII: Final = str.maketrans(
    {**dict.fromkeys("┌┐└┘├┤┬┴┼", "+"), "─": "-", "│": "|", "░": ":", "±": "+-", "≤": "<="}
)
_POINT: Final = "•"
_NAN, _ASCII_NAN = "×", "x"  # noqa: RUF001  the sign is meant
_MOST_RANGES: Final = 3
_MOST_LABELS: Final = 12
FRAME_LINES: Final = 4
"""Lines of a plot around its canvas: the frame, the ticks, what x is."""
_FRAME: Final = 2
_RED: Final = "color(160)"


class Style(NamedTuple):
    """What the place where it is printed can show, and how much of it; whether it is said what x is."""

    width: int
    height: int
    has_colors: bool
    ascii_only: bool
    has_label: bool = True


class Drawing(NamedTuple):
    """A plot as lines of text.

    Attributes:
        text: the lines.
        left: how many characters stand before the canvas; a line stands above it.
        columns: how many characters of each line are the canvas.
        lines: how many lines are.
    """

    text: Text
    left: int
    columns: int
    lines: int


def draw(picture: Picture, style: Style) -> Text:
    """Return a picture as lines of text: title, legend, the plot, notes."""
    lines = [Text(picture.title, style="bold")]
    lines += legend(picture, style)
    notes = list(picture.notes)
    if picture.span is None or not (picture.lines or picture.heat):
        lines.append(Text("nothing to draw", style="dim"))
    else:
        lines.append(plot(picture, picture.span, style).text)
        shaded = picture.has_range and len(picture.lines) > _MOST_RANGES
        notes += [f"ranges are shown for up to {_MOST_RANGES} curves"] if shaded else []
    lines += [Text(note, style="dim") for note in notes]
    text = Text("\n").join(lines)
    return Text(text.plain.translate(_TO_ASCII)) if style.ascii_only else text


def legend(picture: Picture, style: Style) -> list[Text]:
    """Return what the colours mean, as many as fit a line beside each other."""
    shown = picture.legend[:_MOST_LABELS]
    items = []
    for number, label in enumerate(shown):
        sign = ("━━" if not style.ascii_only else "--") if style.has_colors else _MARKERS[number % len(_MARKERS)]
        items.append(Text.assemble((sign, f"color({color_of(picture, number)})"), " ", label))
    if len(picture.legend) > len(shown):
        items.append(Text(f"and {len(picture.legend) - len(shown):,} more", style="dim"))
    rows: list[Text] = []
    for item in items:
        if rows and rows[-1].cell_len + 3 + item.cell_len <= style.width:
            rows[-1].append("   ").append_text(item)
        else:
            item.truncate(style.width, overflow="ellipsis")
            rows.append(item)
    return rows


def color_of(picture: Picture, number: int) -> int:
    """Return the colour of a place in the legend."""
    if picture.scale is None:
        return COLORS[number % len(COLORS)]
    return SCALE[number * (len(SCALE) - 1) // max(len(picture.scale) - 1, 1)]


class _Axes(NamedTuple):
    """Where the plot begins and ends, as it is drawn: logarithms where an axis is logarithmic."""

    x: Span
    y: Span


def plot(picture: Picture, span: Span, style: Style) -> Drawing:
    """Return a plot with its axes; ASCII only where the style says so.

    Args:
        picture: what is drawn.
        span: from where to where x goes.
        style: the size, and what can be shown.
    """
    heights = picture.heat.values if picture.heat else _heights(picture)
    is_log = "y" in picture.log and not picture.heat
    canvas_lines = max(_canvas_lines(style), 1)
    y_ticks = (log_ticks if is_log else number_ticks)(*heights, _most_ticks(canvas_lines))
    columns = max(style.width - max(len(tick.label) for tick in y_ticks) - _FRAME, 1)
    x_ticks = axis_ticks(picture, span, columns)
    axes = _Axes(_drawn(span, "x" in picture.log), _drawn(heights, is_log))
    canvas = Canvas(columns, canvas_lines)
    if picture.heat is not None:
        _draw_heat(canvas, picture.heat, style)
    else:
        _draw_curves(canvas, picture, axes, style)
    label = x_label(picture, span) if style.has_label else None
    marks = _marks(x_ticks, axes.x, is_log="x" in picture.log), _marks(y_ticks, axes.y, is_log=is_log)
    lines, left = canvas.framed(*marks, label, ascii_only=style.ascii_only)
    return Drawing(Text("\n").join(lines), left, columns, canvas.lines)


def _most_ticks(lines: int) -> int:
    """Return how many ticks an axis of so many lines may have: one on every third, of a few lines on more."""
    return max(min(lines, 3), min(lines // 2, 5), lines // 3, 2)


def _canvas_lines(style: Style) -> int:
    return style.height - FRAME_LINES + (not style.has_label)


def x_label(picture: Picture, span: Span) -> str:
    """Return what x is, with the unit of a duration."""
    if picture.axis.kind != "relative":
        return picture.axis.label
    return f"{duration_unit(span.high - span.low)[1]} since the start"


def axis_ticks(picture: Picture, span: Span, columns: int) -> list[Tick]:
    """Return the ticks of x, on so many columns."""
    if picture.axis.names:
        return name_ticks(x_names(picture), columns)
    most = max(2, columns // 10)
    if "x" in picture.log:
        return log_ticks(*span, most)
    if picture.axis.kind == "time":
        return clock_ticks(*span, most)
    if picture.axis.kind == "relative":
        size, _ = duration_unit(span.high - span.low)
        ticks = number_ticks(span.low / size, span.high / size, most)
        return [Tick(tick.place * size, tick.label) for tick in ticks]
    return number_ticks(*span, most)


def _marks(ticks: Sequence[Tick], span: Span, *, is_log: bool) -> list[Mark]:
    """Return where ticks stand on an axis that is drawn over a span."""
    places = [math.log10(tick.place) if is_log else tick.place for tick in ticks]
    parts = _parts(np.array(places, np.float64), span).tolist()
    return [Mark(part, tick.label) for part, tick in zip(parts, ticks, strict=True) if 0 <= part <= 1]


def _parts(places: npt.NDArray[np.float64], span: Span) -> npt.NDArray[np.float64]:
    """Return places as parts of a span; by halves, as its width may be beyond a float."""
    width = span.high / 2 - span.low / 2
    return (places / 2 - span.low / 2) / width if width else np.full(places.shape, 0.5)


def _drawn(span: Span, is_log: bool) -> Span:  # noqa: FBT001
    """Return from where to where an axis is drawn: it has a width also where all is at one place."""
    low, high = (math.log10(span.low), math.log10(span.high)) if is_log else span
    if low < high:
        return Span(low, high)
    room = abs(low) / 10 or 1.0
    return Span(low - room, high + room)


def _heights(picture: Picture) -> Span:
    """Return the lowest and the highest number that is drawn."""
    names = [MEAN, LOW, HIGH] if _has_ranges(picture) else [MEAN]
    numbers = pl.concat([line.table[name] for line in picture.lines for name in names]).drop_nulls()
    numbers = numbers.filter(numbers.is_finite() & ((numbers > 0) if "y" in picture.log else True))
    if numbers.is_empty():
        return Span(1.0, 10.0) if "y" in picture.log else Span(0.0, 1.0)
    return Span(float(numbers.min()), float(numbers.max()))  # type: ignore[arg-type]


def _has_ranges(picture: Picture) -> bool:
    return picture.has_range and len(picture.lines) <= _MOST_RANGES


def _draw_curves(canvas: Canvas, picture: Picture, axes: _Axes, style: Style) -> None:
    """Draw from the back to the front: the ranges, the curves, and where they are NaN."""
    places = [_places(line.table, picture.log, axes) for line in picture.lines]
    if _has_ranges(picture):
        for line, place in zip(picture.lines, places, strict=True):
            dim = f"{_style(picture, line, style)} dim".strip() if style.has_colors else ""
            shade = ":" if style.ascii_only else "░"
            one = [slice(at, at + 1) for at in range(len(place.x))]  # between two names lies nothing
            for part in one if picture.axis.names else [slice(None)]:
                canvas.shade(place.x[part], place.low[part], place.high[part], shade, dim)
    for line, place in zip(picture.lines, places, strict=True):
        sign, look = _marker(picture, line, style), _style(picture, line, style)
        _draw_curve(canvas, place, sign, look)
        if picture.axis.names:
            known = np.isfinite(place.mean)
            canvas.points(place.x[known], place.mean[known], sign or _POINT, look)
    for place in places:
        cross = _ASCII_NAN if style.ascii_only else _NAN
        canvas.points(place.x[place.nan], np.ones(place.nan.sum()), cross, f"{_RED} bold" if style.has_colors else "")


class _Places(NamedTuple):
    """A curve's columns as parts of the canvas, NaN where there is nothing, and where values are NaN."""

    x: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    nan: npt.NDArray[np.bool_]


def _places(table: pl.DataFrame, log: str, axes: _Axes) -> _Places:
    """Return where a curve is drawn; what lies outside is at the edge."""
    x, low, high, mean = (table[name].cast(pl.Float64).to_numpy() for name in (X_MEAN, LOW, HIGH, MEAN))
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.log10(x) if "x" in log else x
        if "y" in log:
            low, high, mean = (np.where(heights > 0, np.log10(heights), np.nan) for heights in (low, high, mean))
            low = np.where(np.isnan(low) & np.isfinite(high), axes.y.low, low)
        low, high, mean = (_parts(np.clip(numbers, *axes.y), axes.y) for numbers in (low, high, mean))
    return _Places(np.clip(_parts(x, axes.x), 0, 1), low, high, mean, table[NAN].to_numpy() > 0)


def _draw_curve(canvas: Canvas, place: _Places, sign: str, style: str) -> None:
    """Draw the line through the means, broken where there is none."""
    known = np.isfinite(place.mean)
    edges = np.flatnonzero(np.diff(known.astype(np.int8), prepend=0, append=0))
    for first, stop in edges.reshape(-1, 2).tolist():
        part = slice(first, stop)
        is_alone = stop - first == 1 and not sign and canvas.columns > 1  # a dot of braille is hardly seen
        draw = canvas.points if is_alone else canvas.line
        draw(place.x[part], place.mean[part], _POINT if is_alone else sign, style)


def _draw_heat(canvas: Canvas, heat: HeatMap, style: Style) -> None:
    """Draw the shares as blocks, from light to dark where there are no colours."""
    shares = np.nan_to_num(heat.shares)
    line, column = (
        ((np.arange(count) + 0.5) / count * size).astype(np.int64)
        for count, size in zip((canvas.lines, canvas.columns), shares.shape, strict=True)
    )
    drawn = shares[line[::-1, None], column[None, :]]
    signs = "█" * len(SCALE) if style.has_colors else (_ASCII_SHADES if style.ascii_only else _SHADES)
    styles = [f"color({color})" for color in SCALE] if style.has_colors else [""] * len(signs)
    levels = np.minimum((drawn / shares.max() * len(signs)).astype(np.int64), len(signs) - 1)
    canvas.cells(np.where(drawn > 0, levels, -1), "#" * len(signs) if _is_plain(style) else signs, styles)


def _is_plain(style: Style) -> bool:
    return style.has_colors and style.ascii_only


def _marker(picture: Picture, line: Line, style: Style) -> str:
    """Return the sign that a curve is drawn with, none for braille: where colours do not tell it, signs do."""
    is_told = style.has_colors or len(picture.legend) <= 1
    if is_told and not style.ascii_only:
        return ""
    return _MARKERS[0 if is_told else line.color % len(_MARKERS)]


def _style(picture: Picture, line: Line, style: Style) -> str:
    return f"color({color_of(picture, line.color)})" if style.has_colors else ""
