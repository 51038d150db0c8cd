"""What bytes say that a text stream has written: as text, or as they are where a log can have them so."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable
from typing import Final

from skald.record.screen import without_colors

_ORDERED: Final = {name: f"{name}-{sys.byteorder[0]}e" for name in ("utf-16", "utf-32")}
"""What those are once their mark has been written."""


class Decoder:
    """Decodes what streams of one encoding have written, piece by piece."""

    def __init__(self, encoding: str) -> None:
        """Begin with nothing."""
        name = codecs.lookup(encoding).name
        self._is_utf8 = name == "utf-8"
        self._cut = b""
        """The beginning of a character, in UTF-8."""
        self._decode: Callable[[bytes], str] = codecs.getincrementaldecoder(_ORDERED.get(name, encoding))(
            "backslashreplace"
        ).decode
        """For other encodings."""

    def decoded(self, data: bytes) -> str:
        """Return the text of bytes that have been written; the beginning of a character is kept for its end."""
        if not self._is_utf8:
            return self._decode(data)
        data = self._cut + data if self._cut else data
        text, size = codecs.utf_8_decode(data, "surrogateescape", False)  # noqa: FBT003 more is to come
        self._cut = data[size:]
        return text

    def light(self, data: bytes) -> str | bytes:
        """Return the text of bytes without colours, as it is where it is UTF-8."""
        if not self._is_utf8:
            return self._decode(data)
        if self._cut:
            data, self._cut = self._cut + data, b""
        if b"\x1b" in data:
            data = without_colors(data)
        if data.isascii():
            return data
        try:
            _, size = codecs.utf_8_decode(data, "strict", False)  # noqa: FBT003 as above
        except UnicodeDecodeError:
            return self.decoded(data)
        self._cut = data[size:]
        return data[:size] if self._cut else data
