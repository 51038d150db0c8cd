"""Pictures drawn with characters, by plotext: curves in braille, their ranges shaded, histograms as blocks."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from rich.ansi import AnsiDecoder
from rich.text import Text

from skald.cli.picture import Line, Picture
from skald.cli.ticks import Tick, clock_ticks, duration_unit, log_ticks, number_ticks
from skald.curves import HIGH, LOW, MEAN, NAN, X_MEAN, Span

COLORS: Final = (74, 208, 36, 175, 166, 32, 178, 245)
"""Colours of the 256 of a terminal that can be told apart, also by the colour-blind, on dark and on light."""
SCALE: Final = (54, 55, 61, 25, 31, 30, 36, 35, 71, 113, 149, 184)
"""From small to great: dark and blue to light and yellow."""

_MARKERS: Final = "*+ox#@%&"
_SHADES, _ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"
_TO_ASCII: Final = str.maketrans(
    {**dict.fromkeys("┌┐└┘├┤┬┴┼", "+"), "─": "-", "│": "|", "░": ":", "±": "+-", "≤": "<="}
)
_NAN, _ASCII_NAN = "×", "x"  # noqa: RUF001  the sign is meant
_MOST_RANGES: Final = 3
_MOST_LABELS: Final = 12
FRAME_LINES: Final = 4
"""Lines of a plot around its canvas: the frame, the ticks, what x is."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Held while plotext draws: it has one figure."""


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
    import plotext

    heights = picture.heat.values if picture.heat else _heights(picture)
    is_log = "y" in picture.log and not picture.heat
    y_ticks = (log_ticks if is_log else number_ticks)(*heights, max(3, (style.height - 3) // 3))
    left = max(len(tick.label) for tick in y_ticks) + 1
    canvas = max(style.width - left - 1, 1)
    axes = _Axes(_drawn(span, "x" in picture.log), _drawn(heights, is_log))
    x_ticks = axis_ticks(picture, span, max(2, canvas // 12))
    with _ONE_AT_A_TIME:
        figure = plotext.figure
        figure.clear()
        figure.theme("colorless")
        plotext.terminal.limit(width=False, height=False)
        figure.plot_size(style.width, style.height)
        _set_ticks(figure.ruler("y", "left"), y_ticks, axes.y, is_log=is_log)
        _set_ticks(figure.ruler("x", "lower"), x_ticks, axes.x, is_log="x" in picture.log)
        if style.has_label:
            figure.label(x_label(picture, span), "x", "lower")
        for signal in _signals(picture, axes, style, canvas):
            figure.draw(signal)
        drawn = figure.build().string(colorless=not style.has_colors)
    drawn = drawn.translate(_TO_ASCII) if style.ascii_only else drawn
    text = Text("\n").join(_trimmed(line) for line in AnsiDecoder().decode(drawn.rstrip("\n")))
    return Drawing(text, left, canvas, _canvas_lines(style))


def _canvas_lines(style: Style) -> int:
    return style.height - FRAME_LINES + (not style.has_label)


def _trimmed(line: Text) -> Text:
    line.rstrip()
    return line


def x_label(picture: Picture, span: Span) -> str:
    """Return what x is, with the unit of a duration."""
    if picture.axis.kind != "relative":
        return picture.axis.label
    return f"{duration_unit(span.high - span.low)[1]} since the start"


def axis_ticks(picture: Picture, span: Span, most: int) -> list[Tick]:
    """Return the ticks of x."""
    if "x" in picture.log:
        return log_ticks(*span, most)
    if picture.axis.kind == "time":
        return clock_ticks(*span, most)
    if picture.axis.kind == "relative":
        size, _ = duration_unit(span.high - span.low)
        ticks = number_ticks(span.low / size, span.high / size, most)
        return [Tick(tick.place * size, tick.label) for tick in ticks]
    return number_ticks(*span, most)


def _set_ticks(ruler: Any, ticks: Sequence[Tick], span: Span, *, is_log: bool) -> None:
    places = [math.log10(tick.place) if is_log else tick.place for tick in ticks]
    ruler.lim(*span)
    ruler.ticks(places, [tick.label for tick in ticks])


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
    numbers = numbers.filter(numbers > 0) if "y" in picture.log else numbers
    if numbers.is_empty():
        return Span(1.0, 10.0) if "y" in picture.log else Span(0.0, 1.0)
    return Span(float(numbers.min()), float(numbers.max()))  # type: ignore[arg-type]


def _has_ranges(picture: Picture) -> bool:
    return picture.has_range and len(picture.lines) <= _MOST_RANGES


def _signals(picture: Picture, axes: _Axes, style: Style, canvas: int) -> Iterator[Any]:
    """Yield what is drawn, from the back to the front."""
    if picture.heat is not None:
        yield from _heat(picture, axes, style, canvas)
        return
    places = [_places(line.table, picture.log, axes) for line in picture.lines]
    if _has_ranges(picture):
        for line, place in zip(picture.lines, places, strict=True):
            yield from _range(place, axes.y, "░", _pixel(picture, line, style, "dim"), style.height)
    for line, place in zip(picture.lines, places, strict=True):
        yield from _curve(place, _marker(picture, line, style), _pixel(picture, line, style))
    for place in places:
        yield from _nan(place, axes.y.high, _ASCII_NAN if style.ascii_only else _NAN, style)


def _places(table: pl.DataFrame, log: str, axes: _Axes) -> pl.DataFrame:
    """Return a curve's columns as they are drawn, what lies outside at the edge."""
    x = pl.col(X_MEAN).log(10) if "x" in log else pl.col(X_MEAN)
    heights: list[pl.Expr] = [pl.col(name) for name in (LOW, HIGH, MEAN)]
    if "y" in log:
        heights = [pl.when(height > 0).then(height.log(10)) for height in heights]
    low, high, mean = heights
    shown = [low.fill_null(axes.y.low).clip(*axes.y), high.clip(*axes.y), mean]
    named = [expression.alias(name) for expression, name in zip(shown, (LOW, HIGH, MEAN), strict=True)]
    return table.select(x.alias(X_MEAN), *named, NAN)


def _range(place: pl.DataFrame, span: Span, marker: str, pixel: Any, height: int) -> Iterator[Any]:
    """Yield the shade between minimum and maximum, a point for each half of a character."""
    import plotext

    step = (span.high / 2 - span.low / 2) / height
    points = [
        (x, low + (high - low) * part / parts)
        for x, low, high in place.select(X_MEAN, LOW, HIGH).drop_nulls().iter_rows()
        for parts in [max(math.ceil((high - low) / step), 1)]
        for part in range(parts + 1)
    ]
    if points:
        xs, ys = zip(*points, strict=True)
        yield plotext.figure.signal(xs, ys, marker=plotext.marker(marker, pixel))


def _curve(place: pl.DataFrame, marker: str, pixel: Any) -> Iterator[Any]:
    """Yield the line through the means, broken where there is none."""
    import plotext

    means = place.select(X_MEAN, MEAN, pl.col(MEAN).is_null().cum_sum().alias(NAN)).filter(pl.col(MEAN).is_not_null())
    if means.is_empty():
        return
    xs, ys, breaks = (means[name].to_list() for name in (X_MEAN, MEAN, NAN))
    signal = plotext.figure.signal(xs, ys, marker=plotext.marker(marker, pixel)).lines()
    for number in range(1, len(breaks)):
        if breaks[number] != breaks[number - 1]:
            signal.line(number, active=False)
    yield signal
    alone = [n for n in range(len(xs)) if breaks.count(breaks[n]) == 1] if len(set(breaks)) > 1 or len(xs) == 1 else []
    if alone and marker == "braille":  # a dot of braille is hardly seen
        yield plotext.figure.signal([xs[n] for n in alone], [ys[n] for n in alone], marker=plotext.marker("•", pixel))


def _nan(place: pl.DataFrame, top: float, sign: str, style: Style) -> Iterator[Any]:
    import plotext

    xs = place.filter(pl.col(NAN) > 0)[X_MEAN].to_list()
    if xs:
        pixel = plotext.pixel(160 if style.has_colors else None, style="bold")
        yield plotext.figure.signal(xs, [top] * len(xs), marker=plotext.marker(sign, pixel))


def _heat(picture: Picture, axes: _Axes, style: Style, canvas: int) -> Iterator[Any]:
    """Yield the shares as blocks, from light to dark where there are no colours."""
    import plotext

    assert picture.heat is not None
    shares = np.nan_to_num(picture.heat.shares)
    lines, columns = shares.shape
    levels = SCALE if style.has_colors else (_ASCII_SHADES if style.ascii_only else _SHADES)
    by_level: dict[int, list[tuple[float, float]]] = {}
    canvas_height = _canvas_lines(style)
    for x, y in itertools.product(range(canvas), range(canvas_height)):
        right, up = (x + 0.5) / canvas, (y + 0.5) / canvas_height
        share = float(shares[int(up * lines), int(right * columns)])
        level = min(int(share / shares.max() * len(levels)), len(levels) - 1)
        if share > 0:
            place = [end.low * (1 - part) + end.high * part for end, part in zip(axes, (right, up), strict=True)]
            by_level.setdefault(level, []).append((place[0], place[1]))
    for level, points in sorted(by_level.items()):
        xs, ys = zip(*points, strict=True)
        block = "█" if style.has_colors else str(levels[level])
        pixel = plotext.pixel(SCALE[level]) if style.has_colors else plotext.pixel()
        yield plotext.figure.signal(xs, ys, marker=plotext.marker(block, pixel))


def _marker(picture: Picture, line: Line, style: Style) -> str:
    """Return what a curve is drawn with: where colours do not tell curves apart, signs do."""
    is_told = style.has_colors or len(picture.legend) <= 1
    if is_told and not style.ascii_only:
        return "braille"
    return _MARKERS[0 if is_told else line.color % len(_MARKERS)]


def _pixel(picture: Picture, line: Line, style: Style, look: str | None = None) -> Any:
    import plotext

    return plotext.pixel(color_of(picture, line.color), style=look) if style.has_colors else plotext.pixel()
