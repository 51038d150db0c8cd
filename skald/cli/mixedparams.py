"""Params that are numbers in some runs and text in others: their column is text, which has another order."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from skald.cli.sqltokens import tokens_of
from skald.many.union import name_some
from skald.schema import PARAMS_PREFIX, RUN

SQL_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
"""A text in SQL, with its quotes."""
_SETTLED: Final = re.compile(
    r'cast\s*\(\s*(?:[\w.]|"(?:[^"]|"")+")+\s+as\b|(?:[\w.]|"(?:[^"]|"")+")+\s+is\s+(?:not\s+)?null\b', re.IGNORECASE
)
"""Where it is the same of text and numbers what a column is."""


def names_in(sql: str) -> list[str]:
    """Return the words of SQL that may be names, quoted or not."""
    return [token.name.removeprefix("runs.") for token in tokens_of(sql) if token.kind == "name"]


def mixed_params(table: pl.DataFrame, sql: str) -> list[str]:
    """Return the columns of a table of runs that SQL names, are text, and hold numbers too."""
    columns = [name for name in table.columns if name.startswith(PARAMS_PREFIX) and table[name].dtype == pl.String]
    if not columns:
        return []
    known = {*table.columns, *(name.removeprefix(PARAMS_PREFIX) for name in table.columns)}
    words = names_in(_SETTLED.sub("", SQL_TEXT.sub("", sql)))
    named = {word if word in known else word.partition(".")[2] for word in words}  # runs.lr
    return [
        name
        for name in columns
        if named & {name, name.removeprefix(PARAMS_PREFIX)} and _numbers(table[name]).count() > 0
    ]


def with_numbers(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Return a table of runs in which these columns are numbers, null where there is none."""
    return table.with_columns(_numbers(table[name]) for name in columns)


def warn_of_numbers(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Say in which runs a param that is compared as a number is none."""
    for name, without in _without_number(table, columns):
        short = name.removeprefix(PARAMS_PREFIX)
        warnings.warn(f"param {short!r} is compared as a number, which it is not in {name_some(without)}", stacklevel=2)


def warn_of_text(table: pl.DataFrame, columns: Sequence[str]) -> None:
    """Say which params are compared as text though they are numbers in some runs, and what to write."""
    for name, without in _without_number(table, columns):
        short = name.removeprefix(PARAMS_PREFIX)
        word = short if re.fullmatch(r"[^\W\d]\w*", short) else f'"{name}"'
        warnings.warn(
            f"param {short!r} is compared as text, as it is no number in {name_some(without)}; "
            f"hint: for numbers write try_cast({word} as double)",
            stacklevel=2,
        )


def compared_with_numbers(columns: Sequence[str], sql: str) -> list[str]:
    """Return those of the columns that SQL compares with a number as it is written."""
    plain = SQL_TEXT.sub("", sql)
    words = {name: re.escape(name.removeprefix(PARAMS_PREFIX)) for name in columns}
    return [name for name, word in words.items() if re.search(rf'(?<!\w){word}"?\s*[<>=!]+\s*[-+]?\.?\d', plain)]


def _numbers(column: pl.Series) -> pl.Series:
    return column.cast(pl.Float64, strict=False)


def _without_number(table: pl.DataFrame, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield those of the columns that are no number in some runs that have them, and these runs."""
    for name in columns:
        without = table[RUN].filter(table[name].is_not_null() & _numbers(table[name]).is_null()).to_list()
        if without:
            yield name, without
