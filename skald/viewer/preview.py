"""What can be shown of a file: the first rows of a table, a picture, text, or else its first bytes.

Everything here is called in threads, reads little of a large file, and never waits for a pipe or a device.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl
from rich.cells import cell_len

from skald.amounts import plural
from skald.cli.format import number_text, param_text, printable
from skald.viewer.lines import Span
from skald.viewer.table import Column

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_ROWS: Final = 200
MOST_COLUMNS: Final = 100
WIDEST_CELL: Final = 40
FIRST_BYTES: Final = 1 << 13
MOST_PIXELS: Final = 1024
"""Pictures are kept in so many pixels at most, each way: more than any terminal shows."""
_MOST_STRANGE: Final = 0.05
"""Text may hold so many characters that cannot be decoded."""
_HEX_BYTES: Final = 8
_LONGEST_REASON: Final = 120
_IMAGES: Final = frozenset({".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ico", ".ppm"})
_IMAGE_FAULTS: Final = (
    OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, KeyError, OverflowError, MemoryError,
    struct.error, zlib.error,
)  # fmt: skip
"""What Pillow raises at files that are damaged in one way or another."""
_SCANS: Final[Mapping[str, Callable[[Path], pl.LazyFrame]]] = {
    ".parquet": lambda path: pl.scan_parquet(path, glob=False),
    ".arrow": pl.scan_ipc,
    ".feather": pl.scan_ipc,
    ".ipc": pl.scan_ipc,
    ".csv": lambda path: _scan_csv(path, ","),
    ".tsv": lambda path: _scan_csv(path, "\t"),
}

_UNCOUNTED: Final = frozenset({".csv", ".tsv"})
"""They do not tell how many rows they have."""


class FrameRows:
    """The first rows of a table.

    Args:
        frame: these rows.
        note: how many there are in all.
    """

    def __init__(self, frame: pl.DataFrame, note: str) -> None:
        self.note = note
        self.keys: Sequence[int] = range(frame.height)
        self._cells = [[_cell(value) for value in row] for row in frame.iter_rows()]
        self.columns: Sequence[Column] = [
            Column(name, _width(name, [row[place][0] for row in self._cells]), dtype.is_numeric())
            for place, (name, dtype) in enumerate(frame.schema.items())
        ]

    def cells(self, row: int, columns: Sequence[int]) -> Sequence[Span]:
        """Return some columns of a row."""
        return [self._cells[row][place] for place in columns]


class Picture(NamedTuple):
    """An image, in colours and not larger than a terminal has use for, and what it is."""

    image: Image
    note: str


class Text(NamedTuple):
    """A file of text."""

    path: Path
    note: str = ""


class Bytes(NamedTuple):
    """The first bytes of a file, in lines, or why there are none."""

    lines: Sequence[Sequence[Span]]
    note: str


Preview: TypeAlias = FrameRows | Picture | Text | Bytes


def look_into(path: Path) -> Preview:
    """Return what can be shown of a file; what is damaged is shown as text or bytes, with a word why.

    Raises:
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        return Bytes((), "this is no regular file: it is not looked into")
    suffix, note = path.suffix.lower(), ""
    try:
        if suffix in _SCANS:
            return _table(_SCANS[suffix](path), is_counted=suffix not in _UNCOUNTED)
        if suffix in _IMAGES:
            return _picture(path)
    except ModuleNotFoundError:
        note = "pictures need Pillow: pip install pillow"
    except pl.exceptions.PanicException:
        note = "no table that can be read: it is damaged"
    except pl.exceptions.PolarsError as error:
        note = f"no table that can be read: {_first_line(error)}"
    except _IMAGE_FAULTS as error:
        note = f"no picture that can be read: {_first_line(error)}"
    with path.open("rb") as file:
        data = file.read(FIRST_BYTES)
    return Text(path, note) if _is_text(data) else Bytes(list(_hex(data)), note or "no text: the first bytes")


def _scan_csv(path: Path, separator: str) -> pl.LazyFrame:
    return pl.scan_csv(
        path, separator=separator, n_rows=MOST_ROWS, glob=False, ignore_errors=True, truncate_ragged_lines=True
    )


def _table(rows: pl.LazyFrame, *, is_counted: bool) -> FrameRows:
    names = rows.collect_schema().names()
    frame = rows.select(names[:MOST_COLUMNS]).head(MOST_ROWS).collect()
    more = f" of {plural(len(names), 'column')}" if len(names) > MOST_COLUMNS else ""
    what = f"{plural(frame.width, 'column')}{more}"
    if frame.height < MOST_ROWS:
        return FrameRows(frame, f"{plural(frame.height, 'row')}, {what}")
    total = f" of {rows.select(pl.len()).collect().item():,}" if is_counted else ""
    return FrameRows(frame, f"the first {MOST_ROWS}{total} rows, {what}")


def _cell(value: Any) -> Span:
    if value is None:
        return "null", "dim"
    if isinstance(value, float):
        return number_text(value), "bad" if value != value else "plain"  # noqa: PLR0124
    if isinstance(value, bytes):
        return repr(value[:WIDEST_CELL]), "dim"
    short = value[: 2 * WIDEST_CELL] if isinstance(value, (str, list)) else value
    return printable(short) if isinstance(short, str) else param_text(short), "plain"


def _width(name: str, texts: Sequence[str]) -> int:
    return min(WIDEST_CELL, max(map(cell_len, [printable(name), *texts])))


def _picture(path: Path) -> Picture:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            size, mode = image.size, image.mode
            image.draft("RGB", (MOST_PIXELS, MOST_PIXELS))  # of a JPEG only so much is decoded
            image.thumbnail((MOST_PIXELS, MOST_PIXELS))
            colored = _colored(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError as error:
        raise ValueError("it has too many pixels") from error
    return Picture(colored, f"{size[0]:,} x {size[1]:,} pixels, {mode}")


def _colored(image: Image) -> Image:
    """Return an image in red, green and blue, on white where it lets something shine through."""
    from PIL import Image

    if image.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel: from the darkest there is to the lightest
        values = np.asarray(image, dtype=np.float64)
        low, high = values.min(), values.max()
        image = Image.fromarray(((values - low) * (255 / ((high - low) or 1))).astype(np.uint8))
    with_alpha = image.convert("RGBA")
    white = Image.new("RGBA", with_alpha.size, "white")
    return Image.alpha_composite(white, with_alpha).convert("RGB")


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    text = data.decode(errors="replace")
    strange = sum(char == "�" or (char < " " and char not in "\t\n\r\f\x1b") for char in text)
    return strange <= _MOST_STRANGE * len(text) + 1


def _hex(data: bytes) -> Iterator[Sequence[Span]]:
    for at in range(0, len(data), _HEX_BYTES):
        part = data[at : at + _HEX_BYTES]
        text = "".join(chr(byte) if " " <= chr(byte) <= "~" else "." for byte in part)
        yield [(f"{at:08x}  ", "dim"), (part.hex(" ").ljust(_HEX_BYTES * 3 + 1), "plain"), (text, "name")]


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:_LONGEST_REASON]
