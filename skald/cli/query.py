"""`skald query`: SQL over the tables `metrics` and `runs`."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import polars as pl
from rich.text import Text

from skald.amounts import duration_text
from skald.cli import terminal
from skald.cli.format import MISSING, ids_text, local_time, number_text, param_text
from skald.cli.mixedparams import mixed_params, warn_of_text
from skald.cli.paths import as_source, check_runs, resolve_all
from skald.cli.report import UsageError
from skald.cli.shapes import to_csv, to_json
from skald.cli.sqlerror import answered, check_asks
from skald.errors import InvalidInputError
from skald.many.overview import runs
from skald.many.scanning import scan

MOST_ROWS: Final = 1000
"""Rows of a table for people; JSON and CSV have them all."""


def query_paths(words: Sequence[str], *, form: str, test: bool) -> bool:
    """Print the result of a query; tell whether a test passed: whether the first value of the result is true.

    Args:
        words: paths of runs and folders, and last the SQL.
        form: table, json or csv.
        test: whether it is a test.

    Raises:
        InvalidInputError: the SQL is wrong; the message shows where. Or the result of a test has no truth.
    """
    *paths, sql = words
    if not paths and " " not in sql.strip():
        raise UsageError(f"expected SQL as the last argument, got {sql!r}")
    check_asks(sql)
    folders = resolve_all(paths)
    check_runs(folders)
    found = _answer(as_source(folders), sql)
    if form == "json":
        sys.stdout.write(to_json(found.to_dicts()))
    elif form == "csv":
        sys.stdout.write(to_csv(found.columns, found.iter_rows()))
    else:
        _print_table(found)
    return not test or _truth(found)


def _truth(found: pl.DataFrame) -> bool:
    """Return the first value of a result, which must be a bool."""
    first = found.item(0, 0) if found.height and found.width else "no row"
    if isinstance(first, bool):
        return first
    got = first if first == "no row" and not found.height else to_json(first).strip()
    raise InvalidInputError(f"--test expects true or false as the first value of the result, got {got}")


def _answer(source: Any, sql: str) -> pl.DataFrame:
    tables: dict[str, Any] = {"metrics": scan(source)}
    # NOTE: it is looked up for each run, so only where it is asked for
    if re.search(r"\bruns\b|\bshow\s+tables\b", sql, re.IGNORECASE):
        tables["runs"] = runs(source)
        warn_of_text(tables["runs"], mixed_params(tables["runs"], sql))
    named = [table for name, table in tables.items() if re.search(rf"\b{name}\b", sql, re.IGNORECASE)]
    columns = [name for table in named or tables.values() for name in table.collect_schema()]
    return answered(tables, sql, columns)


def _print_table(found: pl.DataFrame) -> None:
    shown = found.head(MOST_ROWS)
    columns = [
        terminal.Column(name, [Text(_cell_text(value)) for value in shown[name].to_list()], right=dtype.is_numeric())
        for name, dtype in shown.schema.items()
    ]
    console = terminal.stdout()
    terminal.print_columns(columns, console)
    if found.is_empty():
        console.print("no rows", style="dim")
    if found.height > MOST_ROWS:
        sys.stdout.write(f"... {found.height - MOST_ROWS:,} more rows: --format csv or json has them all\n")


def _cell_text(value: Any) -> str:
    """Return any value of a table on one line."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dt.datetime):
        return local_time(value)
    if isinstance(value, dt.timedelta):
        return duration_text(value)
    if isinstance(value, Mapping):
        return ids_text(value)
    return number_text(float(value)) if isinstance(value, (int, float, Decimal)) else param_text(value)
