"""Pictures drawn into files by altair: PNG, SVG, or HTML that holds all it needs. No browser and no network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final, Literal

import altair as alt
import polars as pl
import vl_convert  # noqa: F401  altair draws with it, and would miss it only later

from skald.cli.chart import x_label
from skald.cli.picture import Line, Picture, x_names
from skald.cli.ticks import duration_unit
from skald.reading.axis import Span
from skald.reading.curves import COUNT, HIGH, LOW, MEAN, NAN, X_MEAN
from skald.record.figures import ScriptJson

Form = Literal["png", "svg", "html"]

COLORS: Final = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5c5c5c", "#8c6d31"),
    *("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#882255", "#aa4499"),
)
"""The colours of Okabe and Ito without their yellow, then the muted ones of Paul Tol: both for the colour-blind too."""

_LABEL: Final = "abs(datum.value) >= 10000 ? format(datum.value, '~s') : format(datum.value, '~g')"
_FEW: Final = 40
"""Curves of so few points show them."""
_SHARPNESS: Final = 2.0
_GREY, _RED, _INK = "#e3e3e3", "#c1272d", "#333333"
_MOST_LABELS: Final = 30
_LONG_LABEL: Final = 320
_LEVEL_NAMES: Final = 70
"""Names of so many characters have room beside each other."""
_TURNED: Final = -40
_TURNED_NAMES: Final = 35
"""So many have room where they are turned, however long they are; of more those are left out that would overlap."""


def render(pictures: Sequence[Picture], form: Form, width: int, height: int) -> bytes:
    """Return pictures, one below the other, as a file's content.

    Args:
        pictures: what is drawn.
        form: png, svg or html.
        width: of each plot in pixels, without its labels.
        height: likewise.
    """
    charts = [_chart(picture).properties(width=width, height=height) for picture in pictures]
    together = charts[0] if len(charts) == 1 else alt.vconcat(*charts).resolve_scale(color="independent")
    if form == "html":
        text = io.StringIO()
        json = {"cls": ScriptJson}
        _styled(together).save(text, format="html", inline=True, embed_options={"actions": False}, json_kwds=json)
        return text.getvalue().encode()
    data = io.BytesIO() if form == "png" else io.StringIO()
    _styled(together).save(data, format=form, scale_factor=_SHARPNESS if form == "png" else 1)
    found = data.getvalue()
    return found.encode() if isinstance(found, str) else found


def _styled(chart: Any) -> Any:
    return (
        chart.configure(background="white", font="Helvetica, Arial, sans-serif", padding=12)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor=_GREY,
            domainColor="#999999",
            tickColor="#999999",
            labelColor=_INK,
            titleColor=_INK,
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            titlePadding=10,
        )
        .configure_axisX(grid=False)
        .configure_title(
            anchor="start", fontSize=15, color=_INK, subtitleColor="#666666", subtitleFontSize=12, offset=12
        )
        .configure_legend(
            title=None, labelFontSize=12, labelColor=_INK, labelLimit=_LONG_LABEL, symbolStrokeWidth=3, orient="top",
            direction="horizontal", columns=4, symbolLimit=_MOST_LABELS,
        )
    )  # fmt: skip


def _chart(picture: Picture) -> Any:
    title: dict[str, Any] = {"text": picture.title, "subtitle": picture.notes}
    if picture.span is None or not (picture.lines or picture.heat):
        nothing = alt.Chart(_data(pl.DataFrame({"text": ["nothing to draw"]})))
        return nothing.mark_text(color="#666666").encode(text="text:N").properties(title=title)
    if picture.heat is not None:
        return _heat(picture, picture.span).properties(title=title)
    return alt.layer(*_layers(picture, picture.span)).properties(title=title)


def _data(table: pl.DataFrame) -> Any:
    """Return rows that stand in the file itself, as many as there are.

    NOTE: as CSV; altair checks rows that are objects one by one, which of 200 curves took longer than all else.
    """
    kinds = {name: "number" if dtype.is_numeric() else "string" for name, dtype in table.schema.items()}
    return alt.InlineData(values=table.write_csv(), format=alt.CsvDataFormat(type="csv", parse=kinds))


def _x(picture: Picture, span: Span) -> Any:
    """Return the axis of x, over the column `x`."""
    if picture.axis.kind == "time":
        return alt.X("x:T", title=picture.axis.label)
    if picture.axis.names:
        names = x_names(picture)
        turned = 0 if sum(map(len, names)) <= _LEVEL_NAMES else _TURNED
        axis = alt.Axis(labelAngle=turned, labelOverlap=len(names) > _TURNED_NAMES)
        return alt.X("x:O", title=picture.axis.label, sort=names, axis=axis)
    kind = alt.Scale(type="log", nice=False) if "x" in picture.log else alt.Scale(zero=False, nice=False)
    axis = alt.Axis(tickCount=8, labelExpr=_LABEL) if picture.axis.kind != "relative" else alt.Axis(tickCount=8)
    return alt.X("x:Q", title=x_label(picture, span), scale=kind, axis=axis)


def _layers(picture: Picture, span: Span) -> list[Any]:
    """Return what lies over each other: ranges, curves, points, NaN."""
    table = pl.concat([_table(line, picture, span) for line in picture.lines])
    data = _data(table)
    scale = alt.Scale(type="log", nice=False) if "y" in picture.log else alt.Scale(zero=False)
    x, color = _x(picture, span), _color(picture)
    y_axis = alt.Axis(tickCount=6, labelExpr=_LABEL)
    base = alt.Chart(data).encode(x=x, detail="line:N", **({"color": color} if color else {}))
    base = base.encode(order="place:Q") if picture.axis.names else base
    plain: dict[str, Any] = {} if color else {"color": COLORS[0]}
    layers = []
    if picture.has_range:
        ranges = (
            base.mark_rule(opacity=0.4, strokeWidth=3, **plain)
            if picture.axis.names
            else base.mark_area(fillOpacity=0.2, **plain)
        )
        layers.append(ranges.encode(y=alt.Y("low:Q", scale=scale, title=None, axis=y_axis), y2="high:Q"))
    if table.select(((pl.col("rows") == 1) & (pl.col("high") != pl.col("mean"))).any()).item():  # what was smoothed
        logged = base.mark_line(strokeWidth=1, strokeOpacity=0.3, **plain)
        layers.append(logged.encode(y=alt.Y("high:Q", scale=scale, title=None, axis=y_axis)))
    y = alt.Y("mean:Q", scale=scale, title=None, axis=y_axis)
    kind = {"time": "T", "name": "O"}.get(picture.axis.kind, "Q")
    tooltip = [alt.Tooltip(name) for name in ("curve:N", f"x:{kind}", "mean:Q")]
    tooltip += [alt.Tooltip("low:Q"), alt.Tooltip("high:Q")] if picture.has_range else []
    layers.append(base.mark_line(strokeWidth=2, strokeJoin="round", **plain).encode(y=y, tooltip=tooltip))
    if picture.axis.names or max(len(line.table) for line in picture.lines) <= _FEW:
        layers.append(base.mark_point(filled=True, size=36, opacity=1, **plain).encode(y=y, tooltip=tooltip))
    if table["nan"].sum():
        marks = base.transform_filter("datum.nan > 0").mark_text(text="×", fontSize=18, color=_RED)  # noqa: RUF001
        layers.append(marks.encode(y=alt.value(4), color=alt.value(_RED), tooltip=[alt.Tooltip("nan:Q")]))
    return layers


def _table(line: Line, picture: Picture, span: Span) -> pl.DataFrame:
    """Return a curve as altair gets it; what has no logarithm is left out."""
    unit = {"time": 1e-3, "relative": duration_unit(span.high - span.low)[0]}.get(picture.axis.kind, 1.0)
    numbers = [pl.col(name) for name in (LOW, HIGH, MEAN)]
    low, high, mean = [pl.when(one > 0).then(one) for one in numbers] if "y" in picture.log else numbers
    x = [(pl.col(X_MEAN) / unit).alias("x")]
    if picture.axis.names:
        names = pl.lit(pl.Series(x_names(picture))).gather(pl.col(X_MEAN).cast(pl.UInt32))
        x = [names.alias("x"), pl.col(X_MEAN).alias("place")]
    return line.table.select(
        *x,
        low.fill_null(mean).alias("low"),
        high.alias("high"),
        mean.alias("mean"),
        pl.col(NAN).alias("nan"),
        pl.col(COUNT).alias("rows"),
        pl.lit(line.label).alias("curve"),
        pl.lit(id(line.table)).alias("line"),
        pl.lit(picture.legend[line.color] if picture.legend else line.label).alias("color"),
        pl.lit(picture.scale[line.color] if picture.scale else None, pl.Float64).alias("number"),
    )


def _color(picture: Picture) -> Any:
    if picture.scale is not None:
        name = picture.legend[0].partition("=")[0]
        legend = alt.Legend(title=name, orient="right", direction="vertical")
        return alt.Color("number:Q", scale=alt.Scale(scheme="viridis"), legend=legend)
    if not picture.legend:
        return None
    colors = [COLORS[number % len(COLORS)] for number in range(len(picture.legend))]
    shown = alt.Legend(symbolOpacity=1, symbolType="square", title=None)
    return alt.Color("color:N", scale=alt.Scale(domain=picture.legend, range=colors), sort=picture.legend, legend=shown)


def _heat(picture: Picture, span: Span) -> Any:
    """Return histograms over x: the darker a cell, the more of the values of its column lie there."""
    assert picture.heat is not None
    shares, values = picture.heat
    lines, columns = shares.shape
    is_log, names = "x" in picture.log, x_names(picture)
    cells = [
        {
            "x": names[column] if names else _edge(span, column / columns, is_log=is_log) / unit,
            "x2": None if names else _edge(span, (column + 1) / columns, is_log=is_log) / unit,
            "y": _edge(values, line / lines),
            "y2": _edge(values, (line + 1) / lines),
            "share": float(shares[line, column]),
        }
        for unit in [{"time": 1e-3, "relative": duration_unit(span.high - span.low)[0]}.get(picture.axis.kind, 1.0)]
        for line in range(lines)
        for column in range(columns)
        if shares[line, column] > 0
    ]
    color = alt.Color(
        "share:Q", scale=alt.Scale(scheme="viridis", reverse=True),
        legend=alt.Legend(title="share", orient="right", direction="vertical", format="~%"),
    )  # fmt: skip
    chart = alt.Chart(_data(pl.DataFrame(cells))).mark_rect(clip=True)
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False))
    return chart.encode(x=_x(picture, span), y=y, y2="y2", color=color, **({} if names else {"x2": "x2"}))


def _edge(span: Span, part: float, *, is_log: bool = False) -> float:
    if is_log:
        return float(span.low ** (1 - part) * span.high**part)
    return span.low * (1 - part) + span.high * part
