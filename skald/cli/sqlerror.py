"""What polars says of SQL that is wrong, made short, with a mark at the place."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from skald.cli.sqlnames import BEFORE_OPERANDS, with_full_names
from skald.errors import InvalidInputError
from skald.reading.selection import close_matches
from skald.schema import PARAMS_PREFIX

_PLACE: Final = re.compile(r" at Line: (\d+), Column: (\d+)")
_QUOTED: Final = re.compile(r"""["'`]([^"'`]+)["'`]""")
_UNKNOWN: Final = re.compile(
    r"""unable to find column "(.*?)"; valid columns: |column named '(.+?)' found""", re.DOTALL
)
_NO_FIELD: Final = pl.exceptions.StructFieldNotFoundError
_SIGNS: Final = "complex field access chains"
_MISSING: Final = re.compile("there is no column '(.+)'; the columns are ")
_AT_END: Final = "found: EOF"
_NO_TABLE: Final = re.compile("relation ('.+') was not found")

_COMMENTS: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CHANGING: Final = frozenset(
    {"alter", "copy", "create", "delete", "drop", "insert", "merge", "replace", "set", "truncate", "update"}
)
_ZONED, _BARE = "Datetime('μs', 'UTC')", "Datetime('μs')"


def check_asks(sql: str) -> None:
    """Refuse SQL that would change a table: polars answers it as if it had been done.

    Raises:
        InvalidInputError: it does not ask.
    """
    first = re.match(r"[\s(]*(\w+)", _COMMENTS.sub(" ", sql))
    if first and first[1].lower() in _CHANGING:
        error = InvalidInputError(
            f"a query only asks and changes no run, got {first[1]!r} as the first word of the SQL"
        )
        error.add_note("hint: begin with select")
        raise error


def answered(
    tables: Mapping[str, pl.DataFrame | pl.LazyFrame],
    sql: str,
    columns: Sequence[str],
    *,
    around: tuple[str, str] = ("", ""),
) -> pl.DataFrame:
    """Return what polars answers; params need no `params.`.

    Args:
        tables: what is asked.
        sql: what a person wrote.
        columns: those that a message names.
        around: what stands before and after that in the SQL.

    Raises:
        InvalidInputError: the SQL is wrong; the message shows where.
    """
    before, after = around
    try:
        return _collected(tables, f"{before}{sql}{after}")
    except UnicodeEncodeError:
        raise InvalidInputError(f"the SQL must be UTF-8, got {sql!a}") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise _explained(error, sql, columns, 1 + before.count("\n")) from None


def _collected(tables: Mapping[str, pl.DataFrame | pl.LazyFrame], sql: str) -> pl.DataFrame:
    context = pl.SQLContext(tables)
    known = {name: table.collect_schema().names() for name, table in tables.items()}
    try:
        answer = context.execute(with_full_names(sql, known), eager=False)
    except pl.exceptions.SQLInterfaceError as error:
        if _PLACE.search(str(error)):
            context.execute(sql, eager=False)  # is wrong at the same word, whose place this tells
        raise
    try:
        return answer.collect(engine="streaming")
    except pl.exceptions.SchemaError:  # NOTE: streaming, polars 2.1 cannot sort by `case when lr > 1 then 0 else 1 end`
        return answer.collect(engine="in-memory")


def _explained(error: BaseException, sql: str, columns: Sequence[str], line: int) -> InvalidInputError:
    """Return what polars says, short, and below it the line of the SQL with a mark at the place."""
    message = str(error)
    place = _PLACE.search(message)
    names = [message.partition("\n")[0]] if isinstance(error, _NO_FIELD) else _QUOTED.findall(message)
    row, column = (int(place[1]) - line, int(place[2]) - 1) if place else _find(names, sql)
    lines = sql.splitlines() or [""]
    said = _shortened(error, message, sql, columns)
    if _AT_END in said or (place and row >= len(lines)):  # what was put around it is no business of theirs
        row, column, said = len(lines) - 1, len(lines[-1]), re.sub("found: .*", "found: its end", said)
    is_bare = _ZONED in message and _BARE in message
    if is_bare:
        said = "a time, which is in UTC, is compared with one that has no time zone"
    explained = InvalidInputError(f"in the SQL: {said}")
    if 0 <= row < len(lines):
        explained.add_note(f"  {lines[row]}\n  {' ' * min(column, len(lines[row]))}^")
    if is_bare:
        explained.add_note(
            "hint: write time > '2026-01-31 12:00', or cast(time as timestamp) > now() - interval '1 hour'"
        )
    missing = _MISSING.match(said)
    if missing and re.search(rf'(?:[=>]|\blike|\bin\s*\()\s*"{re.escape(missing[1])}"', sql, re.IGNORECASE):
        explained.add_note(f"hint: a text stands in single quotes: '{missing[1]}'")
    if "'isnan'" in said:
        explained.add_note(
            "hint: write value = cast('nan' as double), or value <> cast('nan' as double) for the others"
        )
    if "cannot cast List" in said or "list[str]" in said:
        explained.add_note("hint: tags is a list: write array_contains(tags, 'vit')")
    return explained


def _shortened(error: BaseException, message: str, sql: str, columns: Sequence[str]) -> str:
    said = _PLACE.sub("", message.partition("\n\n")[0]).removeprefix("sql parser error: ")
    if _SIGNS in said:
        return "a name that has other signs than letters, digits, _ and . stands in double quotes"
    table = _NO_TABLE.match(said)
    if table:
        return f"there is no table {table[1]}; the tables are metrics and runs"
    unknown = _UNKNOWN.search(message)
    if not unknown and not isinstance(error, _NO_FIELD):
        return said
    part = re.escape((unknown[1] or unknown[2]) if unknown else said.partition("\n")[0])
    # NOTE: of a name with dots polars tells one part
    written = re.search(rf"(?<![\w.]){part}(?:\.\w+)*" if unknown else rf"[\w.]*\.{part}(?!\w)", sql)
    name = written[0] if written else part
    names = list(dict.fromkeys(column.removeprefix(PARAMS_PREFIX) for column in columns))
    if name.lower() in BEFORE_OPERANDS:
        return f"{name!r} is a word of SQL: as the name of a column it stands in double quotes"
    if name in columns or name in names:
        return f"there is no column {name!r} here: join the table that has it, or select it where it comes from"
    return f"there is no column {name!r}{close_matches(name.removeprefix(PARAMS_PREFIX), names, 'columns')}"


def _find(names: Sequence[str], sql: str) -> tuple[int, int]:
    """Return where in the SQL the first of some names stands; a row of -1 where none does."""
    for name in itertools.chain.from_iterable((name, name.removeprefix(PARAMS_PREFIX)) for name in names):
        place = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql)
        if place:
            before = sql[: place.start()]
            return before.count("\n"), len(before) - before.rfind("\n") - 1
    return -1, 0
