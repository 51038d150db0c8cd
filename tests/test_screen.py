"""What a terminal would show of a text: lines that are final, and those that may still change."""

from __future__ import annotations

import random

import pytest

from skald.record.screen import HEIGHT, LONGEST_LINE, Screen


def shown(*texts: str) -> str:
    """Return all that is left of texts that are printed one after the other."""
    screen = Screen()
    return "".join(screen.feed(text) for text in texts) + screen.text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("a\nb\n", "a\nb\n"),
        ("\n\na\n\n", "\n\na\n\n"),
        ("half", "half\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("long line\rshort\n", "shortline\n"),
        ("long line\r\x1b[Kshort\n", "short\n"),
        ("abc\x1b[2K\rx\n", "x\n"),
        ("abc\x1b[1Kd\n", "   d\n"),
        ("\x1b7step 1\x1b8\x1b[Kstep 2\x1b8done\n", "done 2\n"),
        ("a\nbar \x1b[s 50%\x1b[u100%\nb\n", "a\nbar 100%\nb\n"),
        ("top\x1b7\nbelow\x1b8!\n", "top!\nbelow\n"),
        ("12345\x1b[3D\x1b[1K\n", "   45\n"),
        ("abcdef\x1b[3D\x1b[2Px\n", "abcx\n"),
        ("abcdef\x1b[3D\x1b[X\n", "abc ef\n"),
        ("abc\x1b[1Gx\x1b[2@__\n", "x__bc\n"),
        ("ab\x1b[999999@\x1b[9X\x1b[9P\n", "ab\n"),
        ("abc\b\bX\n", "aXc\n"),
        ("abc\x1b[2DX\n", "aXc\n"),
        ("a\x1b[3Cb\n", "a   b\n"),
        ("abc\x1b[2GX\n", "aXc\n"),
        ("\x1b[1;31mred\x1b[0m \x1b[38:2::1:2:3mrgb\x1b[m\n", "red rgb\n"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", "alink\n"),
        ("\x07a\x00\x1b7b\x1b8\x1b(B\n", "ab\n"),
        ("\rone\n\x1b[Atwo\n", "two\n"),
        ("\r1\n\r2\n\r3\x1b[2A\rX\x1b[1BY\n", "X\n2Y\n3\n"),
        ("\r1\n\r2\n\r3\x1b[2F\x1b[Jnew\n", "new\n"),
        ("\r1\n\r2\x1b[2J\x1b[Hnew\n", "new\n"),
        ("above\nclear\x1b[2Jafter\n", "above\n     after\n"),
        ("above\n\r 50%\x1b[H\x1b[2J\x1b[3Jnew\n", "above\nnew\n"),
        ("a\n\x1b[?1049hfull screen\n\x1b[?1049lb\n", "a\nb\n"),
        ("\x1b[?25l1\n2\n\x1b[2A3\n4\n\x1b[?25h", "3\n4\n"),
        ("é漢😀\r\x1b[Kx\n", "x\n"),
        ("\x1b[999999999999C.\r\x1b[K\x1b[5000000B\x1b[9999999A\rok\x1b[K\n", "ok\n"),
        ("\x1b[;H\x1b[x1\n", "1\n"),
        ("日本語\rab\n", "ab本語\n"),
        ("日本語\rabc\n", "abc 語\n"),
        ("日本語\x1b[4Dx\n", "日x 語\n"),
        ("日本語\x1b[5Dx\n", " x本語\n"),
        ("你好x\r\x1b[1Ky\n", "y 好x\n"),
        ("a\nb\x1bM\rA\nb\n", "A\nb\n"),
        ("你好x\x1b[4D\x1b[K.\n", " .\n"),
        ("你好x\x1b[4D\x1b[P.\n", " . x\n"),
        ("日本語\b\bx\n", "日本x\n"),
        ("😀😀\r\x1b[2Cz\n", "😀z\n"),
        ("loading\r日本語a\n", "日本語a\n"),
    ],
)
def test_screen_shows_what_a_terminal_would(text: str, left: str) -> None:
    """Returns, steps back, moves of the cursor and erasing change what was printed; colours are nothing to see."""
    assert shown(text) == left


@pytest.mark.parametrize(
    ("texts", "left"),
    [
        (["task 0%\n", "\x1b[1A\r\x1b[2Ktask 100%\x1b[1B\r", "ok\n"], "task 0%\ntask 100%\nok\n"),
        (["1\n2\n3\n", "\x1b[2A\x1b[2KTWO\x1b[2B\r", "four\n"], "1\n2\n3\nTWO\nfour\n"),
        (
            ["a 0\nb 0\nc 0\n", "\x1b[1A\ra 1\x1b[1B\r", "\x1b[3A\ra 9\x1b[3B\r", "\x1b[1A\rc 9\x1b[1B\r", "end\n"],
            "a 0\nb 0\nc 0\na 9\nc 9\nend\n",
        ),
        (["a\nb\n", "\x1b[2A\x1b[J", "c\nd\n", "e\n"], "a\nb\nc\nd\ne\n"),
        (["a\n", "\x1b[5A", "\x1b[5B", "b\n"], "a\nb\n"),
        (["語", "\rx", "\n"], "x\n"),
        (["日本", "語\n", "a\n"], "日本語\na\n"),
        (["1\n2\n", "\x1b[?25l", *["\x1b[2A3\n4\n"] * 50, "\x1b[?25h", "5\n"], "1\n2\n3\n4\n5\n"),
        (["\x1b[s", "1\n2\n", *["\x1b[u3\n4\n"] * 50, "5\n"], "1\n2\n3\n4\n3\n4\n5\n"),  # its first and its last
    ],
)
def test_screen_shows_a_line_anew_that_is_drawn_again_from_below(texts: list[str], left: str) -> None:
    """What was final stays, and what is written there later stands below it, in the same order."""
    assert shown(*texts) == left


@pytest.mark.parametrize("seed", range(40))
def test_screen_shows_the_same_however_a_text_is_cut(seed: int) -> None:
    """Codes, line ends and bars may come in any pieces."""
    chance = random.Random(seed)
    parts = [
        "\x1b[31mred\x1b[0m",
        "\r 10%",
        "\r 20%",
        "\n",
        "word ",
        "\r\n",
        "\x1b[2K",
        "over\r\x1b[K",
        "\x1b]0;t\x07",
        "\b",
        "é",
    ]
    text = "".join(chance.choices(parts, k=60)) + "\n"
    cuts = sorted(chance.sample(range(len(text)), 30))

    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]

    assert shown(*pieces) == shown(text)


@pytest.mark.parametrize("odd", ["", "\N{SNOWMAN}", "\udc80"])
def test_screen_leaves_colors_out_of_large_texts(odd: str) -> None:
    """However many lines come at once, and whatever stands between the codes."""
    line = f"\x1b[1;32mINFO\x1b[0m a{odd}b \x1b[38;5;214mc\x1b[0m"

    shown = Screen().feed(f"{line}\n" * 2000)

    assert shown == f"INFO a{odd}b c\n" * 2000


def test_screen_lets_plain_lines_go_at_once() -> None:
    """A line that is only appended to is final when it ends, coloured or not."""
    screen = Screen()

    final = [screen.feed(text) for text in ("a", "b", "\nc\nd", "\x1b[32m!\x1b[0m\n", "e")]

    assert final == ["", "", "ab\nc\n", "d!\n", ""]
    assert screen.text == "e\n"


def test_screen_keeps_a_bar_until_something_is_below_it() -> None:
    """A bar that ended its line may be drawn again from below: bars of tqdm stand in each other's way like that."""
    screen = Screen()

    first = screen.feed("\r 50%") + screen.feed("\r100%") + screen.feed("\n")
    kept = screen.text
    second = screen.feed("done\n")

    assert (first, kept, second) == ("", "100%\n", "100%\ndone\n")


def test_screen_keeps_no_more_than_its_height() -> None:
    """What has left the screen cannot change: memory does not grow with bars that follow each other."""
    screen = Screen()

    final = "".join(screen.feed(f"\r{number}\r{number}!\n") for number in range(1000))

    assert screen.text.count("\n") <= HEIGHT
    assert (final + screen.text).splitlines() == [f"{number}!" for number in range(1000)]


def test_screen_keeps_all_while_the_cursor_is_hidden() -> None:
    """Who hides the cursor, as Rich does, draws all its lines again, until it shows the cursor."""
    screen = Screen()

    during = screen.feed("\x1b[?25l") + "".join(screen.feed(f"a {n}\nb {n}\x1b[1A\r") for n in range(50))
    during += screen.settle()
    after = screen.feed("\n\n\x1b[?25h") + screen.settle()

    assert during == ""
    assert after == "a 49\nb 49\n"


def test_screen_lets_go_what_is_above_the_line_where_the_cursor_is_hidden() -> None:
    """A bar that is finished stands above what is logged while the next is drawn."""
    screen = Screen()

    first = screen.feed("\x1b[?25l\r 50%\r100%\n\x1b[?25h")
    second = screen.feed("\x1b[?25l\r 10%\n\r 20%\x1b[1A\r 30%") + screen.settle()

    assert (first, second) == ("", "100%\n")
    assert screen.text == " 30%\n 20%\n"


def test_screen_lets_an_endless_line_go() -> None:
    """A program that never ends its line does not fill the memory."""
    screen = Screen()

    final = "".join(screen.feed("x" * 10_000) for _ in range(300))

    assert len(screen.text) <= LONGEST_LINE
    assert len(final) + len(screen.text.rstrip()) == 3_000_000


def test_screen_leaves_few_lines_of_a_display_that_goes_up() -> None:
    """A display of three lines that is drawn 500 times leaves its first, when nobody could know, and its last."""
    frames = [f"a {n}\nb {n}\nc {n}\n" for n in range(500)]

    left = shown(frames[0], *[f"\x1b[3A{frame}" for frame in frames[1:]])

    assert left == frames[0] + frames[-1]


@pytest.mark.parametrize("clear", ["\x1b[H\x1b[J", "\x1b[2J\x1b[H", "\x1b[H\x1b[2J\x1b[3J", "\x1b[1;1H"])
@pytest.mark.parametrize("cut", [False, True])
def test_screen_leaves_few_lines_of_a_display_that_is_drawn_anew(clear: str, *, cut: bool) -> None:
    """As that of `watch`: its first picture, when nobody could know, and its last; and what was printed before it."""
    frames = [f"frame {n}\na {n}\nb {n}\n" for n in range(100, 600)]
    text = "".join(["before\n", *(f"{clear}{frame}" for frame in frames)])

    left = shown(*text) if cut else shown(text)

    assert left == f"before\n{frames[0]}{frames[-1]}"


def test_screen_lets_lines_go_again_that_follow_a_display() -> None:
    """They may be part of it as long as they fit on the screen."""
    screen = Screen()
    for _ in range(3):
        screen.feed("\x1b[H\x1b[Jframe\n")

    final = "".join(screen.feed(f"{number}\n") for number in range(2 * HEIGHT))

    assert final.splitlines()[-1] == str(2 * HEIGHT - 1)
    assert screen.text == ""


@pytest.mark.parametrize(
    ("text", "is_blank"),
    [
        ("", True),
        ("a line\n", True),
        ("half a line", False),
        ("50%\r", False),
        ("50%\r   \r", True),
        ("outer\ninner\x1b[A\r", False),
        ("outer\r     \r\n     \x1b[A\r", True),
    ],
)
def test_screen_knows_whether_the_line_of_the_cursor_is_free(text: str, *, is_blank: bool) -> None:
    """Neither a line without an end nor bars below the cursor are there."""
    screen = Screen()
    screen.feed(text)

    assert screen.is_blank_below is is_blank


def test_lines_that_were_written_over_wait_for_one_more_unless_the_cursor_goes_up() -> None:
    """A second bar would be drawn below: only that, and what goes on after it, tells whether they stay."""
    screen = Screen()
    final = [screen.feed(f"\rstep {number} of 3\repoch {number} done\n") for number in range(3)]
    assert final == ["", "epoch 0 done\n", "epoch 1 done\n"]
    assert screen.text == "epoch 2 done\n"

    pieces = [piece for number in range(3) for piece in (f"\router {number}", "\n", f"\rinner {number}", "\x1b[A")]
    assert "".join(map(screen.feed, pieces)) == "epoch 2 done\n"
    assert screen.text == "outer 2\ninner 2\n"
