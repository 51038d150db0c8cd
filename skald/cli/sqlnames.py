"""Names of columns in SQL as people write them: `lr` and `model.depth` for params, which become `"params.lr"`.

What a name means is told by the tables that its own `select` asks; a column that is called so comes before a param.
What is computed is named as it is written, as the names that polars gives say little.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from skald.cli.sqltokens import Token, quoted, tokens_of
from skald.schema import PARAMS_PREFIX

_SETS: Final = frozenset({"union", "except", "intersect"})
_CLAUSES: Final = frozenset({"select", "from", "where", "group", "having", "qualify", "window", "order", "limit"})
_CONSTANTS: Final = frozenset({"null", "true", "false"})
_WORDS: Final = """all and any as between by case distinct div else escape except from having ilike in intersect is
    join like not on or over qualify recursive regexp rlike select similar some then to union using when where with"""
BEFORE_OPERANDS: Final = frozenset(_WORDS.split())
"""Words after which a value or a name stands."""
_OPENING: Final = frozenset("([")
_CLOSING: Final = frozenset(")]")

Columns = frozenset[str]


def with_full_names(sql: str, tables: Mapping[str, Iterable[str]]) -> str:
    """Return SQL in which params have the names of their columns.

    Args:
        sql: what a person wrote; where it is wrong it is wrong at the same place afterwards.
        tables: the columns of each table.
    """
    reader = _Reader(sql)
    try:
        reader.query({name: frozenset(columns) for name, columns in tables.items()})
    except RecursionError:  # polars reads less deep, and says so
        return sql
    for start, end, text in sorted(reader.edits, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return sql


class _Meaning(NamedTuple):
    """What a name is in full, and what it is called in the result."""

    sql: str
    label: str


def _meaning(parts: Sequence[str], columns: Columns) -> _Meaning | None:
    """Return what the longest beginning of a name that is a column means, with the fields of it that follow.

    None: it stands for itself, or for nothing.
    """
    for size in range(len(parts), 0, -1):
        name, fields = ".".join(parts[:size]), parts[size:]
        for column in (name, f"{PARAMS_PREFIX}{name}"):
            if column in columns:
                sql = ".".join(map(quoted, [column, *fields]))
                return (
                    None
                    if column == parts[0] and column not in _CLAUSES
                    else _Meaning(sql, fields[-1] if fields else name)
                )
    return None


@dataclasses.dataclass
class _Select:
    """What one `select` says.

    Attributes:
        clause: the word that the part began with which is being read.
        tables: the columns of what it asks, by name and alias.
        expects_table: whether the next name is that of a table.
        latest: the columns of the table that was read last, until it has its alias.
        join: the word before `join`.
        repeated: columns that polars gives twice because of `using`.
        items: the places of the tokens of each column that it gives.
        labels: the places of the names that were given to columns.
        names: the places of names of columns, each with its clause; none inside of parentheses.
    """

    clause: str = ""
    tables: dict[str, Columns] = dataclasses.field(default_factory=dict)
    expects_table: bool = False
    latest: Columns | None = None
    join: str = ""
    repeated: list[str] = dataclasses.field(default_factory=list)
    items: list[list[int]] = dataclasses.field(default_factory=lambda: [[]])
    labels: set[int] = dataclasses.field(default_factory=set)
    names: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def add_table(self, name: str, columns: Columns) -> None:
        self.tables[name] = self.latest = columns
        self.expects_table = False

    def add_alias(self, name: str) -> None:
        if self.latest is not None:
            self.tables[name] = self.latest
        self.latest = None

    def columns(self, table: str | None = None) -> Columns:
        """Return the columns of a table; of all, where there is none of that name."""
        return self.tables[table] if table in self.tables else Columns().union(*self.tables.values())

    def meaning(self, name: Token) -> _Meaning | None:
        """Return what a name means, None where it stands for itself or for nothing."""
        table, *rest = name.parts
        if rest and table in self.tables:
            found = _meaning(rest, self.tables[table])
            before = table if table.isidentifier() else quoted(table)
            if found or rest[0] in self.tables[table]:
                return found and _Meaning(f"{before}.{found.sql}", found.label)
        return _meaning(name.parts, self.columns())


class _Reader:
    """Reads SQL from its beginning to its end.

    Attributes:
        edits: what is to be written anew: where it begins and ends, and the text.
    """

    def __init__(self, sql: str) -> None:
        self.edits: list[tuple[int, int, str]] = []
        self._sql = sql
        self._tokens = tokens_of(sql)
        self._place = 0
        self._follows_operand = False

    def query(self, known: Mapping[str, Columns]) -> Columns:
        """Read selects up to the `)` behind them; return the columns that they give.

        Args:
            known: the columns of the tables that may be asked.
        """
        known = dict(known)
        if self._at().word == "with":
            self._read_common_tables(known)
        given = self._read_select(known)
        while self._at().word in _SETS:
            self._place += 1
            self._read_select(known)
        return given

    def _at(self, offset: int = 0) -> Token:
        place = self._place + offset
        return self._tokens[place] if 0 <= place < len(self._tokens) else Token("", "", 0, 0)

    def _is_at_query(self) -> bool:
        return self._at().text == "(" and self._at(1).word in {"select", "with"}

    def _read_inner(self, known: Mapping[str, Columns]) -> Columns:
        self._place += 1
        given = self.query(known)
        self._place = min(self._place + 1, len(self._tokens))
        self._follows_operand = True
        return given

    def _read_common_tables(self, known: dict[str, Columns]) -> None:
        while self._at().word in {"with", "recursive"} or self._at().text == ",":
            self._place += 1
            name = self._at().name
            while self._at().text and not self._is_at_query():
                self._place += 1
            known[name] = self._read_inner(known)

    def _read_select(self, known: Mapping[str, Columns]) -> Columns:
        select, depth, self._follows_operand = _Select(), 0, False
        while (token := self._at()).text and (depth or (token.text != ")" and token.word not in _SETS)):
            begin, clause = self._place, select.clause
            if self._is_at_query():
                given = self._read_inner(known)
                if select.expects_table:
                    select.add_table("", given)
            else:
                depth += (token.text in _OPENING) - (token.text in _CLOSING)
                if token.kind == "name":
                    self._read_name(token, select, depth, known)
                else:
                    self._read_other(token, select, depth)
                self._place = min(self._place + 1, len(self._tokens))
            if clause == select.clause == "select" and (depth or token.text != ","):
                self._add_to_item(select.items[-1], begin, depth)
        return self._finish(select)

    def _add_to_item(self, item: list[int], begin: int, depth: int) -> None:
        """Add to a column of a result what was read, but for `distinct on (...)` before the first."""
        item += range(begin, self._place)
        word = self._tokens[item[0]].word
        if word in {"distinct", "all"} or (word == "on" and not depth and len(item) > 1):
            item.clear()
            self._follows_operand = False

    def _read_other(self, token: Token, select: _Select, depth: int) -> None:
        self._follows_operand = token.kind != "sign" or token.text in _CLOSING
        if token.text == "," and not depth:
            select.expects_table = select.clause == "from"
            select.items.append([])

    def _read_name(self, token: Token, select: _Select, depth: int, known: Mapping[str, Columns]) -> None:
        """Take in what may be a name: `order` is one where an operand may stand, as in `where order = 1`."""
        word, before, after = token.word, self._at(-1), self._at(1)
        follows, self._follows_operand = self._follows_operand, word not in BEFORE_OPERANDS
        if not depth and word in _CLAUSES and (follows or not self._follows_operand) and before.word != "distinct":
            select.clause, select.latest, select.expects_table = word, None, word == "from"
        elif word == "join":
            select.join, select.expects_table = before.word, True
        elif word == "using" and follows:
            self._read_using(select)
        elif select.expects_table and word not in BEFORE_OPERANDS:
            select.add_table(token.name, known.get(token.name) or known.get(word) or Columns())
        elif word in BEFORE_OPERANDS | _CONSTANTS:
            pass
        elif follows or before.word == "as":
            if word != "end":
                select.labels.add(self._place)
            select.add_alias(token.name)
        elif word and (after.text == "(" or after.kind == "text" or after.word == "by"):
            self._follows_operand = False
        elif after.text != "." and before.word not in {"over", "nulls"} and before.text != ":":
            is_distinct_on = bool(select.items[-1]) and self._tokens[select.items[-1][0]].word == "on"
            select.names.append((self._place, "order" if is_distinct_on else "" if depth else select.clause))

    def _read_using(self, select: _Select) -> None:
        """Pass over the names of a `using`: both tables have them."""
        table = next(reversed(select.tables), "")
        while self._at().text not in {"", ")"}:
            self._place += 1
            if self._at().kind == "name" and select.join not in {"right", "full", "outer"}:
                select.repeated.append(f"{self._at().name}:{table}")
        self._follows_operand = True

    def _finish(self, select: _Select) -> Columns:
        """Write names anew, now that all tables of their select are known; return the columns that it gives."""
        items = [item for item in select.items if item]
        given = {self._tokens[item[-1]].name for item in items if item[-1] in select.labels}
        for item in items:
            given |= self._finish_item(select, item, given)
        labels = {"order": given, "having": {self._tokens[place].name for place in select.labels}}
        for place, clause in select.names:
            token = self._tokens[place]
            meaning = select.meaning(token)
            if meaning and token.name in labels.get(clause, ()):
                meaning = _Meaning(quoted(token.name), token.name)
            if meaning:
                self.edits.append((token.start, token.end, meaning.sql))
        return frozenset(given)

    def _finish_item(self, select: _Select, item: Sequence[int], given: Collection[str]) -> Columns:
        """Name a column of a result as it is written, where it has no other name; return what it is called."""
        tokens = [self._tokens[place] for place in item]
        first, last = tokens[0], tokens[-1]
        written = " ".join(self._sql[first.start : last.end].split())
        if first.text == "*" or [one.text for one in tokens[1:3]] == [".", "*"]:
            if written == "*" and select.repeated:
                self.edits.append((last.end, last.end, f" exclude ({', '.join(map(quoted, select.repeated))})"))
            return select.columns(first.name)
        if item[-1] in select.labels:
            return Columns({last.name})
        is_plain = len(tokens) == 1 and first.kind == "name"
        meaning = select.meaning(first) if is_plain else None
        label = meaning.label if meaning else first.parts[-1] if is_plain else written
        is_named = is_plain and not meaning
        if label in given:
            label, is_named = written, label == written
        if not is_named and not any(one.word == "columns" for one in tokens):
            self.edits.append((last.end, last.end, f" as {quoted(label)}"))
        return Columns({label})
