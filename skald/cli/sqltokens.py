"""SQL as tokens: names with their dots, texts, numbers, signs; blanks and comments are none."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_QUOTED: Final = r'"(?:[^"]|"")*"|`[^`]*`'
_WORD: Final = r"[^\W\d][\w$]*"
_PART: Final = re.compile(rf"{_QUOTED}|\w[\w$]*")
_TOKEN: Final = re.compile(
    rf"""(?P<blank>[\s;]+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')
    |(?P<name>(?:{_QUOTED}|{_WORD})(?:\s*\.\s*(?:{_QUOTED}|\w[\w$]*))*)|(?P<number>\.?\d[\w.]*)|(?P<sign>.)""",
    re.DOTALL | re.VERBOSE,
)


class Token(NamedTuple):
    """A part of SQL.

    Attributes:
        kind: name, text, number or sign.
        text: as it is written.
        start: where it begins.
        end: where what follows it begins.
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """What may be a word of SQL itself, in lower case: a name without quotes and dots; empty for others."""
        return self.text.lower() if self.kind == "name" and self.text.isidentifier() else ""

    @property
    def parts(self) -> list[str]:
        """The parts of a name between its dots, without quotes."""
        return [_unquoted(part) for part in _PART.findall(self.text)]

    @property
    def name(self) -> str:
        """A name as one text."""
        return ".".join(self.parts)


def tokens_of(sql: str) -> list[Token]:
    """Return the tokens of SQL."""
    found = _TOKEN.finditer(sql)
    return [Token(str(one.lastgroup), one[0], *one.span()) for one in found if one.lastgroup != "blank"]


def quoted(name: str) -> str:
    """Return a name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def _unquoted(part: str) -> str:
    return part[1:-1].replace('""', '"') if part[0] in '"`' else part
