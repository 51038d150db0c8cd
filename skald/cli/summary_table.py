"""The table of a run's series, fitted to the width of the terminal.

Of several layouts, from the richest to the leanest, the first that fits is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl
from rich.text import Text

from skald.cli.format import ids_text, number_text
from skald.cli.sparkline import ASCII_INFINITY, ASCII_NAN, INFINITY, NAN, Curve, draw
from skald.cli.terminal import Column, total_width
from skald.schema import METRIC

LONG_CURVE, SHORT_CURVE = 24, 12

_DIM: Final = "dim"
_BAD: Final = "bold red"
_MARKS: Final = frozenset((NAN, INFINITY, ASCII_NAN, ASCII_INFINITY))


def fit(
    summary: pl.DataFrame, curves: Sequence[Curve], by: Sequence[str], *, width: int, ascii_only: bool
) -> list[Column]:
    """Return the columns of the table, in the richest layout that fits `width`, else in the leanest.

    Args:
        summary: a row a series, whose ids in `by` are its columns after `metric`.
        curves: the curve of each.
        by: the ids that tell series apart; they are left out where a minimum is placed.
        width: columns of the terminal.
        ascii_only: whether it cannot show block characters.
    """
    rows = list(summary.iter_rows(named=True))
    columns: list[Column] = []
    for columns in _layouts(rows, curves, summary.columns[1 : len(by) + 1], by, ascii_only=ascii_only):
        if total_width([column for column in columns if not column.is_empty]) <= width:
            break
    return columns


def _layouts(
    rows: Sequence[Mapping[str, Any]],
    curves: Sequence[Curve],
    keys: Sequence[str],
    by: Sequence[str],
    *,
    ascii_only: bool,
) -> Iterator[list[Column]]:
    """Return the layouts from the richest to the leanest: beside, then below the numbers stand their ids."""
    long, short = (
        Column("curve", [_curve(draw(curve, size, ascii_only=ascii_only)) for curve in curves])
        for size in (LONG_CURVE, SHORT_CURVE)
    )
    counts = [
        Column("count", [Text(f"{row['count']:,}") for row in rows], right=True),
        Column("last", [_number(row["last"]) for row in rows], right=True),
    ]
    nan = Column("NaN", [Text(f"{row['nan']:,}" if row["nan"] else "", style=_BAD) for row in rows], right=True)
    ids = [dict(zip(by, (row[key] for key in keys), strict=True)) for row in rows]
    beside = [
        Column("metric", [_metric(row[METRIC]) for row in rows]),
        Column("series", [Text(ids_text(found), style="cyan") for found in ids]),
    ]
    below = [Column("metric", [_metric(row[METRIC], found) for row, found in zip(rows, ids, strict=True)])]
    flat = [*_extreme("min", rows, by), *_extreme("max", rows, by)]
    stacked = [_stacked("min", rows, by, " "), _stacked("max", rows, by, " ")]
    tall = [_stacked("min", rows, by, "\n"), _stacked("max", rows, by, "\n")]
    for extremes, names, curve in ((flat, beside, long), (flat, beside, short), (stacked, beside, long)):
        yield [*names, *counts, *extremes, nan, curve]
    for extremes, curve in ((stacked, long), (stacked, short), (tall, short)):
        yield [*below, *counts, *extremes, nan, curve]
    yield [*below, counts[1], *tall, nan, short]
    yield [*below, counts[1], *tall, nan]


def _metric(name: str, ids: Mapping[str, Any] | None = None) -> Text:
    group, slash, own = name.rpartition("/")
    text = Text.assemble((group + slash, _DIM), own)
    found = ids_text(ids or {})
    return text.append(f"\n{found}", style="cyan") if found else text


def _number(value: float | None) -> Text:
    text = number_text(value)
    return Text(text, style=_BAD if text in {"NaN", "inf", "-inf"} else "")


def _extreme(name: str, rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[Column]:
    """Return the column of an extreme, and beside it that of the ids where it was logged."""
    places = [Text(ids_text(place), style=_DIM) for place in _places(name, rows, by)]
    return [Column(name, [_number(row[name]) for row in rows], right=True), Column("at", places)]


def _stacked(name: str, rows: Sequence[Mapping[str, Any]], by: Sequence[str], gap: str) -> Column:
    """Return the column of an extreme, with the ids where it was logged below it."""
    cells = [
        _number(row[name]).append("".join(f"\n{line}" for line in _lines(place, gap)), style=_DIM)
        for row, place in zip(rows, _places(name, rows, by), strict=True)
    ]
    return Column(name, cells)


def _places(name: str, rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    places = (row[f"{name}_at"] or {} for row in rows)
    return [{key: value for key, value in place.items() if key not in by} for place in places]


def _lines(place: Mapping[str, Any], gap: str) -> list[str]:
    parts = [ids_text({name: value}) for name, value in place.items() if value is not None]
    return gap.join(parts).split("\n") if parts else []


def _curve(drawn: str) -> Text:
    text = Text(drawn, style="cyan")
    for position, char in enumerate(drawn):
        if char in _MARKS:
            text.stylize(_BAD, position, position + 1)
    return text
