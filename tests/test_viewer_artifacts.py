"""The viewer's tab of artifacts: a tree of files, and what is in them, whatever that may be."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from stage import Show, play

import skald
from skald.record.artifacts import Artifact, read_artifacts
from skald.viewer.artifacts_pane import ArtifactsPane, files_of
from skald.viewer.file_view import FileView
from skald.viewer.outline import Outline
from skald.viewer.picture_view import PictureView, blocks
from skald.viewer.preview import MOST_COLUMNS, MOST_ROWS, Bytes, FrameRows, Picture, Text, look_into


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run with a text, a table and an image, and with files that a program has put there itself."""
    with skald.Logger("run", tmp_path, capture=False) as logger:
        logger.log_text("notes", "# Title\nSome [red]text[/red]\n" * 50, epoch=1)
        logger.log_table("scores", pl.DataFrame({"label": ["cat", "[b]dog"], "score": [0.5, float("nan")]}))
        logger.log_image("red", np.full((8, 16, 3), (255, 0, 0), np.uint8))
    kept = tmp_path / "run" / "artifacts"
    (kept / "odd\x1b[31m[red].bin").write_bytes(bytes(range(256)))
    (kept / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (kept / "git.diff").unlink(missing_ok=True)
    for diff in kept.glob("git-*.diff"):
        diff.unlink()
    return tmp_path / "run"


def watch(run: Path, scene: Callable[[Show], Awaitable[None]], size: tuple[int, int] = (100, 20)) -> None:
    """Play a scene with the artifacts of a run."""

    async def live(show: Show) -> None:
        pane = show.app.query_one(ArtifactsPane)
        pane.set_interval(0.2, pane.refresh_live)
        await scene(show)

    play(lambda: ArtifactsPane(run), live, size=size)


async def go_to(show: Show, *path: str) -> None:
    """Put the cursor on a file."""
    await show.until_shown("artifact")
    await show.until(lambda: path in show.app.query_one(Outline).rows.keys)
    show.app.query_one(Outline).go_to(path)


def test_artifacts_are_a_tree_with_sizes(run: Path) -> None:
    """A screen as it looks: folders first, names as Python writes what must not be obeyed."""

    async def scene(show: Show) -> None:
        await show.until_shown("scores.parquet")
        shown = [" ".join(line[:39].split()) for line in show.lines[:8]]
        assert shown == [
            "artifact size",
            "▼ notes 1.4 kB",
            "epoch=1.txt 1.4 kB",
            "broken.png 10 B",
            r"odd\x1b[31m[red].bin 256 B",
            "red.png " + shown[5].removeprefix("red.png "),
            "scores.parquet " + shown[6].removeprefix("scores.parquet "),
            "",
        ]

    watch(run, scene)


def test_artifacts_of_text_are_shown_with_sum_and_ids(run: Path) -> None:
    """From the beginning; the path can be copied, and the text is searched when it has the focus."""

    async def scene(show: Show) -> None:
        artifact = next(one for one in read_artifacts(run) if one.path.startswith("notes"))
        await go_to(show, "notes", "epoch=1.txt")
        await show.until_shown("# Title", "Some [red]text[/red]", "epoch=1", f"sha256:{artifact.sha256}"[:40])
        await show.press("y")
        assert show.app.clipboard == str(run / "artifacts" / "notes" / "epoch=1.txt")
        await show.press("enter")
        assert show.app.query_one(FileView).has_focus
        await show.press("slash", *"TEXT", "enter", "N")
        await show.until_shown("search went on from")
        await show.press("escape")
        await show.until_gone("search went on")
        await show.press("escape")
        assert show.app.query_one(Outline).has_focus

    watch(run, scene)


def test_artifacts_that_are_tables_are_shown_as_such(run: Path) -> None:
    """With how many rows and columns they have."""

    async def scene(show: Show) -> None:
        await go_to(show, "scores.parquet")
        await show.until_shown("label", "[b]dog", "NaN", "2 rows, 2 columns")

    watch(run, scene)


def test_artifacts_that_are_images_are_shown_in_half_blocks(run: Path) -> None:
    """In their colours, as large as fits, also after the terminal became smaller."""

    async def scene(show: Show) -> None:
        await go_to(show, "red.png")
        await show.until_shown("▀▀▀", "16 x 8 pixels, RGB")
        view = show.app.query_one(PictureView)
        strip = view.render_line(0)
        color = next(segment.style.color for segment in strip if segment.style and "▀" in segment.text)
        assert color is not None
        assert color.triplet == (255, 0, 0)
        await show.pilot.resize_terminal(80, 10)
        await show.until(lambda: len(view._strips) <= view.size.height and "▀▀▀" in show.text)

    watch(run, scene)


def test_artifacts_that_are_damaged_or_binary_show_their_bytes(run: Path) -> None:
    """With a word why, and markup in a name is obeyed nowhere."""

    async def scene(show: Show) -> None:
        await go_to(show, "broken.png")
        await show.until_shown("no picture that can be", "00000000  89 50 4e 47")
        await go_to(show, "odd\x1b[31m[red].bin")
        await show.until_shown("no text: the first bytes", "00 01 02 03")
        assert r"odd\x1b[31m[red].bin" in show.lines[0]

    watch(run, scene)


def test_artifacts_come_change_and_go_while_they_are_watched(run: Path) -> None:
    """The file with the cursor is shown anew when it changes, and the tree follows."""

    async def scene(show: Show) -> None:
        await go_to(show, "notes", "epoch=1.txt")
        await show.until_shown("# Title")
        (run / "artifacts" / "notes" / "epoch=1.txt").write_text("changed\n", encoding="utf-8")
        await show.until_shown("changed", "no checksum")
        (run / "artifacts" / "notes" / "epoch=2.txt").write_text("another", encoding="utf-8")
        await show.until_shown("epoch=2.txt")
        (run / "artifacts" / "notes" / "epoch=1.txt").unlink()
        await show.until_shown("another")
        shutil.rmtree(run)
        await show.until_shown("This run is gone", "epoch=2.txt")

    watch(run, scene)


def test_artifacts_are_searched_by_name_and_id(run: Path) -> None:
    """With their folders; escape shows all again."""

    async def scene(show: Show) -> None:
        await show.until_shown("scores.parquet")
        await show.press("slash", *"EPOCH=1")
        await show.until_gone("scores.parquet")
        await show.until_shown("epoch=1.txt")
        await show.press("enter", "escape")
        await show.until_shown("scores.parquet")
        await show.press("slash", *"nothing")
        await show.until_shown("no file is like that")

    watch(run, scene)


def test_artifacts_have_the_whole_width_without_the_tree(run: Path) -> None:
    """A key hides it and shows it."""

    async def scene(show: Show) -> None:
        await go_to(show, "scores.parquet")
        await show.until_shown("[b]dog")
        await show.press("t")
        await show.until_gone("broken.png")
        await show.until_shown("[b]dog")
        await show.press("escape")
        await show.until_shown("broken.png")

    watch(run, scene)


def test_artifacts_that_are_none_are_said_to_be(tmp_path: Path) -> None:
    """An empty tab has a word in it."""
    with skald.Logger("run", tmp_path, capture=False):
        pass
    shutil.rmtree(tmp_path / "run" / "artifacts", ignore_errors=True)

    async def scene(show: Show) -> None:
        await show.until_shown("this run has no artifacts")

    watch(tmp_path / "run", scene)


def test_tree_of_artifacts_has_numbers_in_their_order() -> None:
    """Epoch 9 stands before epoch 10, folders before files."""
    when = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    paths = ["b.txt", "a/epoch=10.png", "a/epoch=9.png", "a/x/y"]

    files = files_of([Artifact(path=path, size=2, time=when) for path in paths])

    assert files.folders == {("a",): (3, 6), ("a", "x"): (1, 2)}
    assert [list(files.tree), list(files.tree["a"])] == [["a", "b.txt"], ["x", "epoch=9.png", "epoch=10.png"]]


def test_preview_of_a_large_table_reads_its_first_rows(tmp_path: Path) -> None:
    """And says how many there are; of a CSV file that more may follow."""
    frame = pl.DataFrame({f"c{n}": range(1000) for n in range(MOST_COLUMNS + 5)})
    frame.write_parquet(tmp_path / "large.parquet")
    frame.write_csv(tmp_path / "large.csv")

    parquet, csv = look_into(tmp_path / "large.parquet"), look_into(tmp_path / "large.csv")

    assert isinstance(parquet, FrameRows)
    assert isinstance(csv, FrameRows)
    assert (len(parquet.keys), len(parquet.columns)) == (MOST_ROWS, MOST_COLUMNS)
    assert parquet.note == "the first 200 of 1,000 rows, 100 columns of 105 columns"
    assert csv.note.startswith("the first 200 rows, 100 columns")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.csv", "a.jpg", "a.tiff"])
def test_preview_of_a_damaged_file_says_why(tmp_path: Path, name: str) -> None:
    """Empty, cut off, or something else altogether: text or bytes are shown, and nothing is raised."""
    for data in (b"", b"PAR1\0\0\0\0PAR1", b"\xff\xd8\xff\xe0\0\x10JFIF", os.urandom(999), b"plain text\n"):
        (tmp_path / name).write_bytes(data)

        preview = look_into(tmp_path / name)

        assert isinstance(preview, Text | Bytes | FrameRows)


def test_preview_of_odd_values_shows_them_on_one_line(tmp_path: Path) -> None:
    """Missing ones, bytes, lists, and text with ends of lines."""
    frame = pl.DataFrame({"a": [None, 1], "b": [b"\0x", None], "c": [[1, 2], []], "d": ["x\ny\x1b", "[red]"]})
    frame.write_parquet(tmp_path / "odd.parquet")

    preview = look_into(tmp_path / "odd.parquet")

    assert isinstance(preview, FrameRows)
    assert [text for text, _ in preview.cells(0, range(4))] == ["null", r"b'\x00x'", "[1, 2]", r"x\ny\x1b"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16", "HSV", "YCbCr"])
def test_preview_shows_images_of_every_mode(tmp_path: Path, mode: str) -> None:
    """In red, green and blue, and no larger than a terminal has use for."""
    image = Image.new(mode, (3000, 20))
    image.save(tmp_path / "image.tiff") if mode != "HSV" else image.convert("RGB").save(tmp_path / "image.tiff")

    preview = look_into(tmp_path / "image.tiff")

    assert isinstance(preview, Picture)
    assert preview.image.mode == "RGB"
    assert preview.image.width == 1024
    assert preview.note.startswith("3,000 x 20 pixels")


def test_preview_of_an_image_of_gigapixels_decodes_nothing(tmp_path: Path) -> None:
    """A small file may claim to be an image that no memory holds."""
    header = struct.pack(">IIBBBBB", 1_000_000, 1_000_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", b"")):
        data += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    (tmp_path / "bomb.png").write_bytes(data)

    preview = look_into(tmp_path / "bomb.png")

    assert preview.note == "no picture that can be read: it has too many pixels"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes")
def test_preview_waits_for_no_pipe(tmp_path: Path) -> None:
    """A file that is none is not opened."""
    os.mkfifo(tmp_path / "pipe")

    preview = look_into(tmp_path / "pipe")

    assert preview == Bytes((), "this is no regular file: it is not looked into")


def test_preview_without_pillow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are shown then."""
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)

    preview = look_into(tmp_path / "a.png")

    assert isinstance(preview, Bytes)
    assert preview.note == "pictures need Pillow: pip install pillow"


def test_blocks_keep_the_proportions_of_a_picture() -> None:
    """Two pixels a character, or one without half blocks, in as many lines and columns as there are."""
    image = Image.new("RGB", (100, 100), "blue")

    halves, whole = (blocks(image, 80, 20, halves=halves) for halves in (True, False))

    assert [len(halves), halves[0].cell_length] == [20, 40]
    assert [len(whole), whole[0].cell_length] == [20, 40]
    assert halves[0].text == "▀" * 40
    assert whole[0].text == " " * 40
    assert [strip.cell_length for strip in blocks(Image.new("RGB", (5000, 1)), 30, 5, halves=True)] == [30]
