"""The viewer's tab of the console: it follows the end, is searched, and is at once there however long it is."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Show, play

import skald
from skald.viewer import textfile
from skald.viewer.console_pane import ConsolePane, painted
from skald.viewer.file_view import FileView
from skald.viewer.textfile import Part, State, TextFile, count_ends, state_of


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run whose console has a hundred lines."""
    with skald.Logger("run", tmp_path, capture=False):
        pass
    (tmp_path / "run" / "console.log").unlink()
    write(tmp_path / "run", [f"line {number}" for number in range(100)])
    return tmp_path / "run"


def write(run: Path, lines: list[str], *, name: str = "console.log") -> None:
    """Append lines to a console file of a run."""
    with (run / name).open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def watch(run: Path, scene: Callable[[Show, ConsolePane], Awaitable[None]]) -> None:
    """Play a scene with the console of a run."""

    async def with_pane(show: Show) -> None:
        pane = show.app.query_one(ConsolePane)
        pane.set_interval(0.2, pane.refresh_live)
        await scene(show, pane)

    play(lambda: ConsolePane(run), with_pane, size=(80, 24))


def test_console_follows_the_end(run: Path) -> None:
    """It opens at the end, and lines that come are seen."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99", "console.log", "100 lines", "at the end")
        write(run, ["one more"])
        await show.until_shown("one more", "101 lines")

    watch(run, scene)


def test_console_that_is_scrolled_up_stays_where_it_is(run: Path) -> None:
    """Lines that come move nothing then, until the end is asked for."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        await show.press("pageup", "pageup")
        await show.until_shown("scrolled up")
        before = [line[:60].rstrip() for line in show.lines[:20]]
        write(run, ["one more"])
        await show.until_shown("101 lines")
        assert [line[:60].rstrip() for line in show.lines[:20]] == before
        await show.press("end")
        await show.until_shown("one more", "at the end")

    watch(run, scene)


def test_console_search_goes_to_the_next_match_and_the_one_before(run: Path) -> None:
    """From the end it looks back first; it goes on from the other end, and says so."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        view = show.app.query_one(FileView)
        await show.press("slash")
        await show.type("LINE 3")
        await show.press("enter")
        for key, expected in [("", 39), ("N", 38), ("n", 39), ("n", 3), ("N", 39)]:
            await show.press(*key)
            await show.until(lambda expected=expected: view._found == expected)  # type: ignore[misc]
            assert f"line {expected}" in show.text
        await show.until_shown("search went on from the end")

    watch(run, scene)


def test_console_search_says_that_nothing_matches_and_escape_ends_it(run: Path) -> None:
    """Nothing moves then."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        await show.press("slash")
        await show.type("[red]")
        await show.press("enter")
        await show.until_shown("not found", "line 99")
        await show.press("slash", "escape")
        await show.until_gone("not found", "[red]")

    watch(run, scene)


def test_console_obeys_no_markup_and_no_control_characters(run: Path) -> None:
    """They are seen as they are, or as Python writes them."""
    write(run, ["[red]not red[/red] \x1b[31m \x07 [/] [link=x]", "a\tb"])

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown(r"[red]not red[/red] \x1b[31m \x07 [/] [link=x]", "a       b")

    watch(run, scene)


def test_console_shows_the_rest_of_long_lines_to_the_right(run: Path) -> None:
    """The arrows go there and back, by steps that can be seen."""
    write(run, ["x" * 100 + " the end"])

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("x" * 70)
        await show.press("right", "right", "right")
        await show.until_shown("the end")
        await show.press("left", "left", "left")
        await show.until_shown("line 99")

    watch(run, scene)


def test_console_text_is_copied_with_the_mouse(run: Path) -> None:
    """From where it is pressed to where it is let go, also far from the beginning."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        first, second = (show.lines[row].strip() for row in (0, 1))
        await show.pilot.mouse_down(FileView, offset=(6, 0))
        await show.pilot.hover(FileView, offset=(5, 1))
        await show.pilot.mouse_up(FileView, offset=(5, 1))
        await show.until(lambda: show.app.screen.get_selected_text() is not None)
        await show.press("ctrl+c")
        assert show.app.clipboard == f"{first[5:]}\n{second[:4]}"

    watch(run, scene)


def test_console_shows_what_is_not_finished(tmp_path: Path) -> None:
    """The line that a program is still printing stands below the others."""
    with skald.Logger("run", tmp_path) as logger:
        logger.info("before")
        print("half a line", end="", flush=True)

        async def scene(show: Show, _pane: ConsolePane) -> None:
            await show.until_shown("before", "half a line")

        watch(tmp_path / "run", scene)


def test_console_whose_unfinished_end_is_damaged_shows_the_rest(tmp_path: Path) -> None:
    """Nothing breaks."""
    with skald.Logger("run", tmp_path) as logger:
        logger.info("before")
        print("half a line", end="", flush=True)

        async def scene(show: Show, _pane: ConsolePane) -> None:
            await show.until_shown("half a line")
            for end in (tmp_path / "run" / "segments").glob("*/console.log"):
                end.write_bytes(b"\xffdamaged\n")
            await show.until_gone("half a line")
            await show.until_shown("before", "1 line")

        watch(tmp_path / "run", scene)


def test_console_of_another_process_is_a_key_away(run: Path) -> None:
    """With several files the key is offered, and the line below says which is seen."""
    write(run, ["from a worker"], name="console.w1.log")

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99", "1 of 2", "Next file")
        await show.press("f")
        await show.until_shown("from a worker", "console.w1.log", "2 of 2")
        await show.press("f")
        await show.until_shown("line 99")

    watch(run, scene)


def test_console_that_is_written_anew_is_read_anew(run: Path) -> None:
    """A shorter file is another one."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        (run / "console.log").write_text("all new\n", encoding="utf-8")
        await show.until_shown("all new", "1 line")
        await show.until_gone("line 99")

    watch(run, scene)


def test_console_of_a_removed_run_says_so_and_stays(run: Path) -> None:
    """What was seen can still be read."""

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("line 99")
        shutil.rmtree(run)
        await show.until_shown("This run is gone", "line 99")

    watch(run, scene)


def test_console_without_a_line_says_so(tmp_path: Path) -> None:
    """A run that printed nothing has an empty tab with a word in it."""
    with skald.Logger("run", tmp_path, capture=False):
        pass
    (tmp_path / "run" / "console.log").unlink(missing_ok=True)

    async def scene(show: Show, _pane: ConsolePane) -> None:
        await show.until_shown("nothing was logged or printed")

    watch(tmp_path / "run", scene)


def test_console_message_has_its_level_in_a_colour() -> None:
    """Errors and warnings are coloured as a whole, what was printed is not."""
    assert painted("2026-11-29 01:02:03.456 | ERROR | no")[1:] == [("ERROR", "bad"), (" | ", "dim"), ("no", "bad")]
    assert painted("2026-11-29 01:02:03.456 | INFO | yes")[1:] == [("INFO", "name"), (" | ", "dim"), ("yes", "plain")]
    assert painted("ERROR | no") == [("ERROR | no", "plain")]


def test_text_file_shows_its_end_before_the_rest_is_read(tmp_path: Path) -> None:
    """Of 2 GB less than a megabyte is read first, and then the lines before it, a part at a time."""
    path = tmp_path / "large.log"
    with path.open("wb") as file:
        file.seek(2 << 30)
        file.write(b"\n" + b"a line\n" * 100_000)
    text = TextFile(path, state_of(path), from_end=True)

    first = text.next_part()

    assert first is not None
    assert first.stop - first.start < 1 << 20
    text.take(first, count_ends(path, first))
    assert text.line(text.line_count - 1) == "a line"
    second = text.next_part()
    assert second is not None
    assert second.stop - second.start <= textfile.STEP_BYTES


@settings(deadline=None)
@given(
    lines=st.lists(st.text(alphabet="ab\r é", max_size=30), max_size=40),
    more=st.text(alphabet="ab\n", max_size=300),
    torn=st.booleans(),
    from_end=st.booleans(),
)
def test_text_file_has_the_lines_that_its_text_has(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    more: str,
    torn: bool,  # noqa: FBT001
    from_end: bool,  # noqa: FBT001
) -> None:
    """Whatever part of it is known, the lines are its last or its first ones; and it may grow."""
    path = tmp_path_factory.mktemp("text") / "file"
    content = "".join(f"{line}\n" for line in lines) + "torn" * torn
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BLOCK", "FIRST_BYTES", "STEP_BYTES"):
            patch.setattr(textfile, name, 16)
        path.write_bytes(content.encode())
        text = TextFile(path, state_of(path), from_end=from_end)
        for data in (content, content + more):
            path.write_bytes(data.encode())
            assert text.update(State(text.state.number, len(data.encode())))
            expected = [line.rstrip("\r") for line in data.split("\n")]
            expected = expected if expected[-1] else expected[:-1]
            while part := text.next_part():
                before = [text.line(number) for number in range(text.line_count)]
                moved = text.take(part, count_ends(path, part))
                if text.known.start > 0 and text.known.stop == text.state.size:
                    found = [text.line(number) for number in range(text.line_count)]
                    assert found == expected[len(expected) - len(found) :]
                    assert found[moved:] == before or not moved
            assert [text.line(number) for number in range(text.line_count)] == expected
            places = [sum(len(line.encode()) + 1 for line in data.split("\n")[:n]) for n in range(len(expected))]
            assert [text.line_at(place) for place in places] == list(range(len(expected)))


def test_text_file_cuts_a_line_of_megabytes(tmp_path: Path) -> None:
    """Its beginning is shown, with a mark, and the line after it is found."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (3 << 20) + b"\nafter\n")
    text = TextFile(path, state_of(path), from_end=False)

    while part := text.next_part():
        text.take(part, count_ends(path, part))

    assert text.line(0) == "x" * textfile.LONGEST_LINE + "…"
    assert text.line(1) == "after"
    assert text.start(1) == (3 << 20) + 1


def test_text_file_that_is_gone_reads_as_empty_lines(tmp_path: Path) -> None:
    """The number of lines stays what it was."""
    path = tmp_path / "file"
    path.write_bytes(b"a\n" * textfile.BLOCK)
    text = TextFile(path, state_of(path), from_end=False)
    part = Part(0, 2 * textfile.BLOCK)
    text.take(part, count_ends(path, part))
    path.unlink()

    assert text.line_count == textfile.BLOCK
    assert text.line(0) == ""
