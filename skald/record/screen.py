"""A screen of lines: what a terminal shows of a text, as far as a log needs it.

Lines come out once nothing can change them any more; what a progress bar redraws stays until it is finished.
Colours and other codes are left out. Wide characters take two columns and all others one, and lines do not wrap.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final
from unicodedata import east_asian_width

HEIGHT: Final = 100
"""How many lines can still change: what is further up has left the screen."""
LONGEST_LINE: Final = 1 << 18
"""Characters after which a line that has no end is let go in pieces."""
_SAMPLE_BYTES: Final = 1 << 10
_FEW_TIMES: Final = 8
"""Of so few in a sample it is quicker to look for any code than for this one."""
_LONGEST_CODE: Final = 1 << 12
_ALTERNATE: Final = frozenset({"?47", "?1047", "?1049"})

_CODES: Final = (b"\x1b", b"\r", b"\b", b"\a", b"\0")
_COLOR: Final = re.compile(rb"\x1b\[[\d;:]*m")
_COLOR_TEXT: Final = re.compile(r"\x1b\[[\d;:]*m")
_TOKEN: Final = re.compile(
    r"\x1b\[(?P<args>[0-?]*)[ -/]*(?P<code>[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # a title, a link
    r"|\x1b(?P<place>[78M])"  # saved, come back to, a line up
    r"|\x1b[ -/]*[0-~]"
    r"|(?P<control>[\x00-\x08\x0a-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x08\x0a-\x1f\x7f]+)"
)
_MAY_BE_WIDE: Final = re.compile(r"[^\x00-\u10ff\u2500-\u25fc]")  # NOTE: not the blocks of which bars are drawn
_SECOND: Final = "\uffff"
"""Stands in the second column of a wide character; it is no character."""
_CUT_CODE: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*\x1b?|[ -/]*)\Z")


class _Row:
    """A line that may still change."""

    __slots__ = ("drawn", "is_gone", "returned", "text")

    def __init__(self, *, is_gone: bool = False) -> None:
        self.text = ""
        self.is_gone = is_gone
        """Whether it is one that was final before, and nothing has been written there since."""
        self.returned = False
        """Whether the cursor went back in it."""
        self.drawn = False
        """Whether something was written after that: it is part of a progress bar."""

    def __str__(self) -> str:
        """Return what is to be seen of it: bars are wiped out with spaces."""
        text = self.text if self.text.isascii() else self.text.replace(_SECOND, "")
        return text.rstrip() if self.drawn else text

    @property
    def line(self) -> str:
        """It and its end; nothing where it was final before."""
        return "" if self.is_gone else f"{self}\n"


class Screen:
    """What one stream has printed and may still change."""

    def __init__(self) -> None:
        """Begin with an empty line."""
        self._rows = [_Row()]
        self._row = self._column = 0
        self._code = ""  # the beginning of a code, or of the end of a line, whose rest has not come
        self._redrawn = 0  # how many of the next lines are drawn again
        self._hidden = self._alternate = False
        self._saved = (0, 0)  # the line and column of the cursor that a program comes back to; below 0 of a final line
        self._is_flat = True  # whether the cursor has never gone to another line but by the end of one
        self.has_ended = False
        """Whether a line has been ended that is held back, and was not before."""
        self._began = False  # whether the cursor has gone to a place on the screen before
        self._left = ""  # what was final before that, or before the screen was erased
        self._above = 0  # how many lines are above the one in which the cursor was hidden

    @property
    def is_blank(self) -> bool:
        """Whether nothing was printed that may still change."""
        return not self.text

    @property
    def text(self) -> str:
        """What has been printed and may still change, the last line with its end."""
        last = str(self._rows[-1])
        return "".join([row.line for row in self._rows[:-1]]) + (last and f"{last}\n")

    @property
    def is_amid_line(self) -> bool:
        """Whether the cursor's line has begun, and is no bar: its end is to be expected at once."""
        row = self._rows[self._row]
        return bool(row.text) and not row.drawn

    @property
    def is_blank_below(self) -> bool:
        """Whether nothing is to be seen from the cursor's line on."""
        return not any(row.text.strip() for row in self._rows[self._row :])

    def feed(self, text: str) -> str:
        """Print a text; return the lines that are now final, each with its end."""
        if self._code:
            text, self._code = self._code + text, ""
        if has_codes := "\x1b" in text:
            text = self._without_cut_code(_COLOR_TEXT.sub("", text))
            has_codes = "\x1b" in text
        if has_returns := "\r" in text:
            if text.endswith("\r"):  # it may be the first half of a line's end
                text, self._code = text[:-1], "\r" + self._code
            text = text.replace("\r\n", "\n")
            has_returns = "\r" in text
        if has_codes or "\b" in text or "\a" in text or "\0" in text:
            self._count_columns()
            text = _in_columns(text)
            for token in _TOKEN.finditer(text):
                self._take(token)
            left, self._left = self._left, ""
            return left + self._final()
        if not has_returns and self._is_plain():
            return self._append(text)
        self._count_columns()
        self._print(_in_columns(text))
        return self._final()

    def feed_bytes(self, data: bytes) -> str | bytes | memoryview:
        """Print a text in UTF-8, which mostly saves to decode it."""
        row, end = self._rows[0], data.rfind(b"\n") + 1
        if self._code or not self._is_plain() or any(map(data.__contains__, _CODES)):
            return self.feed(data.decode())
        if len(data) - end >= LONGEST_LINE:
            end = len(data)
        if not end:
            return self._append(data.decode())
        final: bytes | memoryview = memoryview(data)[:end]
        rest = data[end:].decode()
        column = len(rest)
        if row.text:
            final = b"".join((str(row).encode(errors="backslashreplace"), final))
        row.text, self._column = rest, column  # NOTE: last, so that a signal handler raises before it or after all
        return final

    def settle(self) -> str:
        """Return the lines above the cursor: something is printed below them elsewhere."""
        return self._cut(self._above if self._hidden else self._row)

    def _is_plain(self) -> bool:
        """Tell whether there is one line, which has only been appended to."""
        row = self._rows[0]
        plain = len(self._rows) == 1 and self._column == len(row.text)
        return plain and not (row.returned or self._redrawn or self._hidden or self._alternate)

    def _append(self, text: str) -> str:
        row, end = self._rows[0], text.rfind("\n") + 1
        final = str(row) + text[:end] if end else ""
        row.text = text[end:] if end else str(row) + text
        if len(row.text) >= LONGEST_LINE:
            final, row.text = final + row.text, ""
        self._column = len(row.text)
        return final

    def _count_columns(self) -> None:
        """Have what has only been appended to its line stand in columns."""
        if self._is_plain() and not self._rows[0].text.isascii():
            self._rows[0].text = _in_columns(str(self._rows[0]))
            self._column = len(self._rows[0].text)

    def _without_cut_code(self, text: str) -> str:
        cut = _CUT_CODE.search(text, max(0, len(text) - _LONGEST_CODE))
        if cut is None:
            return text
        self._code = cut[0]
        return text[: cut.start()]

    def _take(self, token: re.Match[str]) -> None:
        if token["code"]:
            self._obey(token["code"], token["args"])
        elif token["text"]:
            self._put(token["text"])
        elif token["place"]:
            self._obey({"7": "s", "8": "u", "M": "A"}[token["place"]], "")
        elif token["control"] == "\n":
            self._end_line()
        elif token["control"] in ("\r", "\b"):
            self._column = max(0, self._column - 1) if token["control"] == "\b" else 0
            self._rows[self._row].returned = True

    def _print(self, text: str) -> None:
        """Print a text with no other codes than the ends of lines and returns to their beginning."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._end_line()
            first, *again = line.split("\r")
            self._put(first)
            if again:
                self._column, self._rows[self._row].returned = 0, True
                self._put(_overlaid(again))
                self._column = len(again[-1])

    def _put(self, text: str) -> None:
        if self._alternate or not text:
            return
        row, column = self._rows[self._row], self._column
        row.drawn |= row.returned
        row.is_gone = False
        self._column = column + len(text)
        row.text = _until(row.text, column).ljust(column) + text + _from(row.text, self._column)

    def _end_line(self) -> None:
        if self._alternate:
            return
        if self._redrawn:
            self._redrawn -= 1
            self._rows[self._row].drawn = True
        self.has_ended |= self._is_flat and self._rows[self._row].drawn
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._rows):
            self._rows.append(_Row())

    def _obey(self, code: str, args: str) -> None:
        """Do what a code of a terminal says (ECMA-48, and the modes of xterm)."""
        first = args.partition(";")[0]
        number = int(first) if first.isdecimal() else 0
        if code in "JK":
            self._erase(number, screen=code == "J")
        elif code in "hl" and args == "?25":
            if not self._hidden:
                self._above = self._row
            self._hidden = code == "l"
        elif code in "hl" and args in _ALTERNATE:
            self._alternate = code == "h"
        elif code in "AFBEHf":
            self._go_to_line(code, number)
        elif code in "su" and not args:
            self._save_or_restore(code)
        elif code in "P@X":
            self._edit(code, min(max(1, number), LONGEST_LINE))
        elif code in "CDG":
            steps = {"C": max(1, number), "D": -max(1, number), "G": max(1, number) - 1 - self._column}[code]
            self._column = min(max(0, self._column + steps), LONGEST_LINE)
            self._rows[self._row].returned |= steps < 0

    def _save_or_restore(self, code: str) -> None:
        """Note the place of the cursor (s), or go back there (u)."""
        if code == "s":
            self._saved = self._row, self._column
            return
        if self._saved[0] < self._row:
            self._go_up(self._row - self._saved[0])
        row, self._column = self._saved  # NOTE: after it, which may add lines above
        self._row = min(max(0, row), len(self._rows) - 1)
        self._rows[self._row].returned = True

    def _edit(self, code: str, count: int) -> None:
        """Delete characters from the cursor on (P), insert blanks (@), or put some in their place (X)."""
        row, column = self._rows[self._row], self._column
        row.returned = True
        blanks = " " * count if column < len(row.text) and code in "@X" else ""
        row.text = _until(row.text, column) + blanks + _from(row.text, column if code == "@" else column + count)

    def _go_to_line(self, code: str, number: int) -> None:
        """Go up (A, F), down (B, E), or to a line of the screen (H, f)."""
        if code in "AF":
            self._go_up(max(1, number))
        elif code in "BE":
            down = min(max(1, number), len(self._rows) - 1 - self._row)
            self._row, self._redrawn = self._row + down, max(0, self._redrawn - down)
        else:
            # NOTE: a dashboard, which draws all anew, leaves its first picture, when nobody could know, and its last
            self._left += self._final()
            if self._began:
                self._redrawn = HEIGHT
            self._began = True
            self._go_up(max(0, self._row - max(0, number - 1)))
        if code not in "AB":
            self._column = 0
            self._rows[self._row].returned = True

    def _go_up(self, lines: int) -> None:
        self._is_flat = False
        gone = min(lines - self._row, HEIGHT - len(self._rows))
        if gone > 0:  # to lines that were final, which may be left out, and others written in their place
            self._rows[:0] = [_Row(is_gone=True) for _ in range(gone)]
            self._shift(-gone)
        self._row = max(0, self._row - lines)
        self._above = min(self._above, self._row)  # it comes back there, too
        self._redrawn = max(self._redrawn, lines)
        self._rows[self._row].returned = True

    def _erase(self, what: int, *, screen: bool) -> None:
        """Erase after the cursor (0), before it (1), or all, in its line or on the screen."""
        if screen and what > 1:
            self._left += self._final()
        row = self._rows[self._row]
        row.returned = True
        if what == 0:
            row.text = _until(row.text, self._column)
        else:
            row.text = _from(row.text, self._column + 1).rjust(len(row.text)) if what == 1 else ""
        if screen and what != 1:
            del self._rows[self._row + 1 :]
        if screen and what != 0:
            self._redrawn = max(self._redrawn, self._row)
            self._drop(self._row)

    def _final(self) -> str:
        """Return the lines that are final: those above a plain one, those of no display, those that left the screen."""
        final = 0
        for place, row in enumerate(self._rows[: self._row]):
            if not row.drawn and (row.text or final == place):
                final = place + 1
        # NOTE: all but the last one, as a second bar begins with the next line
        if self._is_flat and self._row and self._rows[self._row - 1].text:
            final = max(final, self._row - 1)
        if self._hidden:  # whoever hides the cursor comes back to all that follows
            final = self._above
        return self._cut(min(self._row, max(final, len(self._rows) - HEIGHT)))

    def _cut(self, count: int) -> str:
        if not count:
            return ""
        final = "".join([row.line for row in self._rows[:count]])
        self._drop(count)
        return final

    def _drop(self, count: int) -> None:
        """Forget the first lines."""
        del self._rows[:count]
        self._shift(count)

    def _shift(self, count: int) -> None:
        """Count the lines anew, as there are so many less above."""
        self._row -= count
        self._saved = self._saved[0] - count, self._saved[1]
        self._above = max(0, self._above - count)


def _in_columns(text: str) -> str:
    """Return a text with a place for each column that it takes."""
    return text if text.isascii() else _MAY_BE_WIDE.sub(_widened, text)


def _widened(character: re.Match[str]) -> str:
    return character[0] + _SECOND if east_asian_width(character[0]) in "FW" else character[0]


def _until(text: str, column: int) -> str:
    """Return what is before a column, a half character as a blank."""
    before = text[:column]
    return before[:-1] + " " if text[column : column + 1] == _SECOND else before


def _from(text: str, column: int) -> str:
    """Return what is from a column on, a half character as a blank."""
    after = text[column:]
    return " " + after[1:] if after[:1] == _SECOND else after


def _overlaid(texts: list[str]) -> str:
    """Return what is to be seen of texts that are printed over each other."""
    seen = ""
    for text in reversed(texts):  # of an earlier one what is longer
        if len(text) > len(seen):
            seen += _from(text, len(seen))
    return seen


def without_colors(data: bytes) -> bytes:
    """Leave the codes of colours out: one by one those that come often, which is quicker."""
    for code, times in Counter(_COLOR.findall(data, 0, _SAMPLE_BYTES)).items():
        if times > _FEW_TIMES:
            data = data.replace(code, b"")
    return _COLOR.sub(b"", data) if b"\x1b" in data else data
