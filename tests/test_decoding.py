"""What bytes say that a stream has written, however they are cut."""

from __future__ import annotations

import random

import pytest

from skald.record.decoding import Decoder
from skald.record.screen import Screen

PARTS = ["word ", "\n", "é", "漢", "😀", "\x1b[31mred\x1b[0m", "\r 10%", "\udc80", "\udcc3", "x" * 50]


def logged(screen: Screen, text: str | bytes) -> bytes:
    """Print a text; return what is final, as a log has it."""
    final = screen.feed(text) if isinstance(text, str) else screen.feed_bytes(text)
    return final.encode(errors="backslashreplace") if isinstance(final, str) else bytes(final)


@pytest.mark.parametrize("seed", range(60))
def test_bytes_show_the_same_however_they_are_cut(seed: int) -> None:
    """Within a character, a code or the end of a line, and whether they are UTF-8 or not."""
    chance = random.Random(seed)
    data = "".join(chance.choices(PARTS[: chance.choice([2, 5, 7, 10])], k=200)).encode(errors="surrogateescape")
    cuts = sorted(chance.sample(range(len(data)), chance.choice([1, 10, 100])))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)] + [b"\n"]

    decoder, screen = Decoder("utf-8"), Screen()
    shown = b"".join([logged(screen, decoder.light(piece)) for piece in pieces])

    whole = Screen()
    assert shown == logged(whole, data.decode(errors="surrogateescape") + "\n")
    assert screen.text == whole.text


@pytest.mark.parametrize("colors", [1, 5000])
def test_utf8_is_left_as_it_is(colors: int) -> None:
    """It is checked, and not decoded; colours are left out, few or many."""
    data = "\x1b[1;32m" * colors + "é漢\x1b[0m\n"

    assert Decoder("utf-8").light(data.encode()) == "é漢\n".encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "cp1252"])
def test_other_encodings_become_text(encoding: str) -> None:
    """Also where a character comes in two pieces."""
    data = "é\n".encode(encoding)
    mark = len("".encode(encoding))
    decoder = Decoder(encoding)

    assert "".join([str(decoder.light(data[start : start + 1])) for start in range(mark, len(data))]) == "é\n"


def test_line_without_an_end_is_let_go_as_bytes() -> None:
    """In pieces, as its end may never come; what was begun before it stands before it."""
    screen = Screen()

    assert logged(screen, b"begun ") == b""
    assert logged(screen, b"x" * (1 << 18)) == b"begun " + b"x" * (1 << 18)
    assert logged(screen, b"end\n") == b"end\n"
