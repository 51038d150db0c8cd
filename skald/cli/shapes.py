"""The JSON and CSV that commands print: their shapes are part of the interface."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from skald.cli.format import given, ids_text, json_value
from skald.run import Run
from skald.schema import METRIC

_ORDER = ("count", "nan", "first", "last", "min", "min_at", "max", "max_at", "mean", "nan_at")


def run_json(run: Run, summary: pl.DataFrame, by: Sequence[str], rows: int, params: Mapping[str, Any]) -> str:
    """Return a run with its series as a JSON object.

    Args:
        run: the run.
        summary: a row a series, whose ids in `by` are its columns after `metric`.
        by: the ids that tell series apart.
        rows: how many rows the run has.
        params: those of its params that are shown.
    """
    return to_json(
        {
            "run": run.name,
            "path": str(run.path),
            "status": run.status,
            "started": run.started,
            "duration": run.duration,
            "rows": rows,
            "tags": run.tags,
            "params": params,
            "metrics": [_series(row, by) for row in _rows(summary, by)],
        }
    )


def summary_csv(summary: pl.DataFrame, by: Sequence[str]) -> str:
    """Return the series as CSV: `metric`, the ids in `by`, the numbers; places as `epoch=3 step=120`."""
    rows = [[row[METRIC], *row["ids"].values(), *(row[name] for name in _ORDER)] for row in _rows(summary, by)]
    return to_csv([METRIC, *summary.columns[1 : len(by) + 1], *_ORDER], rows)


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """Return JSON with NaN and infinities as strings, and times as ISO 8601 in UTC.

    Characters stand as they are, unless stdout has not all of them.
    """
    plain = json_value(value)
    text = json.dumps(plain, indent=indent, ensure_ascii=False) + "\n"
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(plain, indent=indent) + "\n"
    return text


def to_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV with a header."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return file.getvalue()


def _rows(summary: pl.DataFrame, by: Sequence[str]) -> Iterable[dict[str, Any]]:
    """Return the rows of a summary with the ids of each series under `ids`."""
    keys = summary.columns[1 : len(by) + 1]
    for row in summary.iter_rows(named=True):
        yield row | {"ids": dict(zip(by, (row[key] for key in keys), strict=True))}


def _series(row: Mapping[str, Any], by: Sequence[str]) -> dict[str, Any]:
    return {METRIC: row[METRIC], "ids": given({name: row["ids"][name] for name in by})} | {
        name: given(row[name]) if isinstance(row[name], dict) else row[name] for name in _ORDER
    }


def _csv_cell(value: Any) -> Any:
    """Return a cell: places as `epoch=3 step=120`, tags as words, other lists as JSON, bools in lower case."""
    if isinstance(value, dict):
        return ids_text(value, exact=True)
    if isinstance(value, list):
        return " ".join(value) if all(isinstance(item, str) for item in value) else json.dumps(json_value(value))
    return str(value).lower() if isinstance(value, bool) else json_value(value)
