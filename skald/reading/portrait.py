"""What a run, or the logger that writes it, looks like in a REPL, on a Rich console, and in a notebook.

Invariant: looking never fails and never takes long, however many rows there are: what would is left out.
"""

from __future__ import annotations

import datetime as dt
import html
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from skald.engine.count import count_rows
from skald.errors import RunNotFoundError, SkaldError
from skald.record.info import read_info, read_status
from skald.record.params import dotted, read_params
from skald.schema import METRIC, VALUE

if TYPE_CHECKING:
    import polars as pl
    from rich.panel import Panel

MOST_SERIES: Final = 12
MOST_PARAMS: Final = 24
MOST_UNCOMPACTED_ROWS: Final = 20_000_000
"""Above, a summary would take a second."""
MOST_CURVE_ROWS: Final = 10_000_000
"""Series are drawn up to so many rows in all."""
CURVE_POINTS: Final = 100
MOST_SAMPLES: Final = 100_000
"""Of a longer curve evenly spaced values stand for all."""
CURVE_SIZE: Final = (150, 26)

COLORS: Final = {
    "running": "#0e7490",
    "finished": "#15803d",
    "stopped": "#b45309",
    "failed": "#dc2626",
    "crashed": "#dc2626",
}
RICH_COLORS: Final = {"running": "cyan", "finished": "green", "stopped": "yellow", "failed": "red", "crashed": "red"}


class Run(Protocol):
    """What is asked of a `skald.Run`."""

    @property
    def path(self) -> Path:
        """Its folder."""

    @property
    def metrics(self) -> pl.LazyFrame:
        """Its rows."""

    @property
    def metric_names(self) -> list[str]:
        """Its metrics."""

    def summary(self) -> pl.DataFrame:
        """Return a row for each of its series."""


class Facts(NamedTuple):
    """What is told of a run in one line."""

    name: str
    status: str
    rows: int | None
    """None where they cannot be counted."""
    path: Path
    uncompacted: int = 0
    tags: Sequence[str] = ()
    notes: str = ""
    started: dt.datetime | None = None

    @property
    def counted(self) -> str:
        """How many rows there are: `1,234 rows`."""
        return "" if self.rows is None else f"{self.rows:,} row{'' if self.rows == 1 else 's'}"

    def line(self, kind: str, *more: str) -> str:
        """Return `Run('name', finished, 1,234 rows, '/path')`."""
        parts = [repr(self.name), self.status, self.counted, *more, repr(str(self.path))]
        return f"{kind}({', '.join(filter(None, parts))})"


def facts_of(path: Path) -> Facts:
    """Return what can be told of a run; of one that is gone, or cannot be read, that it is."""
    name = path.resolve().name
    try:
        info = read_info(path)
        stored, uncompacted = count_rows(path)
        return Facts(
            name, read_status(path), stored + uncompacted, path, uncompacted, info.tags, info.notes, info.started
        )
    except RunNotFoundError:
        return Facts(name, "gone", None, path)
    except (OSError, SkaldError) as error:
        return Facts(name, f"unreadable ({type(error).__name__})", None, path)


def panel(facts: Facts, *more: str) -> Panel:
    """Return a run as a panel for Rich."""
    from rich.panel import Panel
    from rich.text import Text

    text = Text(facts.status, style=f"bold {RICH_COLORS.get(facts.status, 'red')}")
    said = [facts.counted, _local(facts.started), *more, " ".join(f"#{tag}" for tag in facts.tags)]
    for part in filter(None, said):
        text.append(f"   {part}", style="default")
    text.append(f"\n{facts.path}", style="dim")
    if facts.notes:
        text.append(f"\n{facts.notes}", style="italic")
    return Panel(text, title=Text(facts.name, style="bold"), title_align="left", expand=False)


def page(facts: Facts, run: Run | None, *more: str) -> str:
    """Return a run as HTML for a notebook, whose colours it takes: status, params, series with their curves.

    Args:
        facts: what is told in its head.
        run: what the rest is read from; None where that cannot be.
        more: what else is told in its head.
    """
    head = [
        f"<b>{_text(facts.name)}</b>",
        f"<b style='color:{COLORS.get(facts.status, COLORS['failed'])}'>{_text(facts.status)}</b>",
        *(_text(part) for part in (facts.counted, _local(facts.started), *more) if part),
        *(f"#{_text(tag)}" for tag in facts.tags),
        f"<span style='opacity:.6'>{_text(facts.path)}</span>",
    ]
    parts = [" &nbsp; ".join(head)]
    if facts.notes:
        parts.append(f"<i>{_text(facts.notes)}</i>")
    if run is not None and run.path.exists():
        parts += [*_params(run.path), *_series(run, facts)]
    lines = "".join(f"<div style='margin-bottom:.4em'>{part}</div>" for part in parts)
    return f"<div class='skald-run' style='font-size:90%;line-height:1.5'>{lines}</div>"


def _params(path: Path) -> Iterator[str]:
    try:
        params = dotted(read_params(path))
    except SkaldError as error:
        yield f"params: {_text(error)}"
        return
    shown = itertools.islice(params.items(), MOST_PARAMS)
    words = [f"<span style='opacity:.6'>{_text(name)}=</span>{_text(_short(value))}" for name, value in shown]
    if len(params) > MOST_PARAMS:
        words.append(f"and {len(params) - MOST_PARAMS:,} more")
    if words:
        yield " &nbsp; ".join(words)


def _series(run: Run, facts: Facts) -> Iterator[str]:
    """Yield a table of the series, of a large run that is not yet compacted only the names of its metrics.

    What a damaged file makes polars raise stands in its place.
    """
    import polars as pl

    try:
        if facts.uncompacted > MOST_UNCOMPACTED_ROWS:
            names = ", ".join(map(_text, run.metric_names[:MOST_SERIES]))
            yield f"{names} (not summed up here while so many rows are not compacted: run.summary())"
        elif facts.rows != 0:
            yield _table(run, run.summary())
    except (OSError, SkaldError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        yield f"metrics: {_text(' '.join(str(error).split()))} (skald check says what is damaged)"


def _table(run: Run, summary: pl.DataFrame) -> str:
    by = summary.columns[1 : summary.columns.index("count")]
    names = [METRIC, *by, "count", "last", "min", "max"]
    shown = summary.head(MOST_SERIES)
    lines = [_row("th", [*names, ""])]
    for series, curve in zip(shown.rows(named=True), _curves(run, shown, by), strict=True):
        cells = [_text("" if series[name] is None else _short(series[name])) for name in names]
        lines.append(_row("td", [*cells, curve]))
    if len(summary) > MOST_SERIES:
        lines.append(f"<tr><td>and {len(summary) - MOST_SERIES:,} more series</td></tr>")
    return f"<table style='border-collapse:collapse;margin:0;color:inherit;background:none'>{''.join(lines)}</table>"


def _row(tag: str, cells: Iterable[str]) -> str:
    style = "text-align:left;padding:1px 12px 1px 0;background:none;color:inherit"
    return "<tr>" + "".join(f"<{tag} style='{style}'>{cell}</{tag}>" for cell in cells) + "</tr>"


def _curves(run: Run, summary: pl.DataFrame, by: Sequence[str]) -> Iterator[str]:
    """Yield the values of each series, in log order, as a small drawing; all are read at once."""
    import polars as pl

    drawn = summary.filter(pl.col("count").cum_sum() <= MOST_CURVE_ROWS)
    rows = (
        run.metrics.filter(pl.col(METRIC).is_in(drawn[METRIC].unique().to_list()))
        .select(METRIC, *(pl.col(name.removesuffix(" (id)")).alias(name) for name in by), VALUE)
        .collect()
    )
    values = rows.group_by(METRIC, *by).agg(VALUE)  # NOTE: polars keeps the order inside a group
    places = {tuple(key): place for place, key in enumerate(values.select(METRIC, *by).iter_rows())}
    for number, key in enumerate(summary.select(METRIC, *by).iter_rows()):
        is_drawn = number < len(drawn) and key in places
        yield _svg(_points(values[VALUE][places[key]].alias(VALUE))) if is_drawn else ""


def _points(values: pl.Series) -> list[float | None]:
    """Return the means of values that follow each other, of those that are finite."""
    import polars as pl

    few = values.gather_every(max(1, len(values) // MOST_SAMPLES)).to_frame()
    points: list[float | None] = (
        few.select(pl.when(pl.col(VALUE).is_finite()).then(VALUE))
        .group_by(pl.int_range(pl.len()) * CURVE_POINTS // max(len(few), CURVE_POINTS), maintain_order=True)
        .agg(pl.col(VALUE).mean())[VALUE]
        .to_list()
    )
    return points


def _svg(points: Sequence[float | None]) -> str:
    """Draw points from left to right in the colour of the text; where one is missing the line is broken."""
    known = [point for point in points if point is not None]
    if not known:
        return ""
    (width, height), low, high = CURVE_SIZE, min(known), max(known)
    lines: list[list[str]] = [[]]
    for place, point in enumerate(points):
        if point is None:
            lines.append([])
            continue
        x = place * (width - 4) / max(1, len(points) - 1) + 2
        span = high / 2 - low / 2  # halves stay inside a float
        y = (high / 2 - point / 2) / span if span else 0.5
        lines[-1].append(f"{x:.1f},{2 + y * (height - 4):.1f}")
    drawn = "".join(f"<polyline points='{' '.join(line if len(line) > 1 else line * 2)}'/>" for line in lines if line)
    return (
        f"<svg width='{width}' height='{height}' viewBox='0 0 {width} {height}' fill='none' stroke='currentColor' "
        f"stroke-width='1.5' stroke-linecap='round' stroke-linejoin='round'>{drawn}</svg>"
    )


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"  # noqa: PLR2004  as wide as a page of `skald show` allows


def _local(moment: dt.datetime | None) -> str:
    return f"started {moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def _text(value: object) -> str:
    return html.escape(str(value))
