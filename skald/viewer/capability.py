"""What the terminal can show: whether more than ASCII, and how what is on the screen is brought down to it."""

from __future__ import annotations

import os
import sys
import unicodedata
from functools import lru_cache
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_LOOKS: Final = {
    **dict.fromkeys("─━╌┄┈╍═▔▁▂🬂🬋🬭", "-"),
    **dict.fromkeys("│┃╎┆▏▕▎▍║", "|"),
    **dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┣┫┳┻╋╸╺╹╻", "+"),
    **dict.fromkeys("█▇▆▅▄▀▌▐▊▋▉■", "#"),
    **dict.fromkeys("░▒▓", ":"),
    **dict.fromkeys("•●◉", "*"),
    **dict.fromkeys("▶▸→▷", ">"),
    **dict.fromkeys("▼▾↓", "v"),
    **dict.fromkeys("◀◂←", "<"),
    **dict.fromkeys("▲▴↑", "^"),
    "…": "~",
    "·": ".",
    "×": "x",  # noqa: RUF001  the sign is meant
    "±": "+",
    "µ": "u",
}


def is_ascii_only() -> bool:
    """Tell whether the terminal shows only ASCII: by the encoding, the locale, or the kernel's console."""
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "utf-8")
    says_utf8 = [text.lower().replace("-", "").find("utf8") >= 0 for text in (encoding, locale)]
    return not all(says_utf8) or os.environ.get("TERM") == "linux"


@lru_cache(maxsize=4096)
def to_ascii(text: str) -> str:
    """Return text in ASCII that takes as many columns."""
    return text if text.isascii() else "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    found = _LOOKS.get(character) or unicodedata.normalize("NFKD", character)[:1]
    if not found.isascii():
        found = "?"
    return found.ljust(cell_len(character))[: cell_len(character)]


class AsciiFilter(LineFilter):
    """Brings all that is put on the screen down to ASCII."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        """Return a line in ASCII."""
        return [Segment(to_ascii(text), style, control) for text, style, control in segments]
