"""The interpreter's stdout and stderr, and how methods of a stream are replaced in the object itself."""

from __future__ import annotations

import contextlib
import errno
import io
import select
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from skald.errors import unless_handlers

_ABSENT: Final = object()
PATIENCE_SECS: Final = 0.5
"""How long what a signal handler raises is put off where nobody takes what is printed."""
_LAST_OPTIONS: Final = frozenset(("line_buffering", "write_through"))
"""Of those of a text stream's `reconfigure`, the ones that it takes last."""


def streams(name: str) -> list[Any]:
    """Return the stream of this name, and the one that the interpreter began with where another took its place.

    One that has no place for a `write` of its own is left out: what it forwards is heard below it.
    """
    found = {id(stream): stream for stream in (getattr(sys, name), getattr(sys, f"__{name}__"))}
    return [each for each in found.values() if callable(getattr(each, "write", None)) and _has_place(each)]


def flush(stream: Any) -> None:
    """Have a stream write out what it holds, if it can: it may be None, closed, or one of the program's own."""
    try:
        stream.flush()
    except unless_handlers(Exception):
        return


def descriptor_of(stream: Any) -> int:
    """Return where a stream writes to; below 0 where that is no descriptor."""
    try:
        number: int = stream.fileno()
    except unless_handlers(Exception):
        return -1
    return number


def _has_place(stream: Any) -> bool:
    """Tell whether a `write` in the object itself is the one that is called: a proxy may have it put elsewhere."""
    if not hasattr(stream, "__dict__"):
        return False
    write = stream.write
    if vars(stream).get("write") is write:
        return True
    restore = replace(stream, "write", write)
    try:
        return stream.write is write
    finally:
        restore()


def is_of_call(error: BaseException) -> bool:
    """Tell whether it was a call made where an error is caught that raised it, and no signal handler amid that."""
    return error.__traceback__ is None or error.__traceback__.tb_next is None


def is_direct(buffer: Any) -> bool:
    """Tell whether the bytes that a buffer gets are written to its descriptor as they are."""
    files = (buffer, getattr(buffer, "raw", buffer))
    own = any("write" in vars(file) for file in files if hasattr(file, "__dict__"))
    return not own and type(buffer) in (io.BufferedWriter, io.FileIO) and type(files[1]) is io.FileIO


def buffer_of(stream: Any) -> Any:
    """Return what a text stream writes bytes to, None where it has none, or none with a place for a `write`."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    try:
        return stream.buffer if hasattr(stream.buffer, "__dict__") else None
    except (AttributeError, ValueError):  # detached
        return None


def replace(owner: Any, name: str, function: Callable[..., Any]) -> Callable[[], None]:
    """Replace a method in an object itself; return what puts it back, unless others have replaced it since."""
    own = vars(owner)  # NOTE: no `setattr`, which objects around a stream may pass on to it
    before = own.get(name, _ABSENT)
    own[name] = function

    def restore() -> None:
        if own.get(name) is not function:
            return
        if before is _ABSENT:
            del own[name]
        else:
            own[name] = before

    return restore


def replace_write(stream: Any, writer: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Callable[[], None]:
    """Replace the `write` of a stream; return what puts it back, unless others have replaced it since.

    In a cell of a notebook it is the one below IPython's, which stands again at the cell's end.

    Args:
        stream: the stream.
        writer: returns what takes the place of a `write`.
    """
    cell = _below_ipython(stream)
    if cell is None:
        return replace(stream, "write", writer(stream.write))
    before = cell.cell_contents
    write = cell.cell_contents = writer(before)

    def restore() -> None:
        own, cell = vars(stream), _below_ipython(stream)
        if cell is not None and cell.cell_contents is write:
            cell.cell_contents = before
        elif own.get("write") is write:
            own["write"] = before

    return restore


def _below_ipython(stream: Any) -> types.CellType | None:
    """Return what refers to the `write` that IPython's calls, of a cell or of several, one in the other, that run."""
    found, write = None, vars(stream).get("write")
    while isinstance(write, types.FunctionType) and write.__module__ == "IPython.core.interactiveshell":
        below = dict(zip(write.__code__.co_freevars, write.__closure__ or (), strict=True)).get("original_write")
        if below is None:
            break
        found, write = below, below.cell_contents
    return found


def reconfigurer(original: Callable[..., None]) -> Callable[..., None]:
    """Return what takes the place of a text stream's `reconfigure` while its descriptor leads to the relay."""

    def reconfigure(**options: Any) -> None:
        try:
            original(**options)
        except OSError as error:
            if error.errno != errno.ESPIPE:
                raise
            # NOTE: a stream that was made over a file asks for its place there, which descriptors that lead to the
            # relay have not; by then it has done all but these
            original(**{name: given for name, given in options.items() if name in _LAST_OPTIONS})

    return reconfigure


def await_room(descriptor: int, secs: float | None = None) -> bool:
    """Wait until a descriptor takes something, or so long; return whether it does.

    NOTE: a child may have made one that it shares not wait by itself.
    """
    if not hasattr(select, "poll"):  # Windows
        return True
    room = select.poll()
    room.register(descriptor, select.POLLOUT)
    return bool(room.poll(None if secs is None else secs * 1000))


class TextStream:
    """A text stream, and its methods as they were found."""

    def __init__(self, text: io.TextIOWrapper) -> None:
        """Take note of them."""
        self.text = text
        self.flush = text.flush
        found = text.reconfigure  # NOTE: ours, where another has the same dictionary, as one that stands for it
        self.reconfigure: Callable[..., None] = getattr(found, "__wrapped__", None) or reconfigurer(found)
        self.was_through = text.write_through
        """Whether it gives its buffer each text at once by itself."""

    @property
    def may_hold(self) -> bool:
        """Whether it holds texts back by itself.

        NOTE: not one with methods of others, as its `flush` may wait for who has the texts, and that one for us.
        """
        return not (self.was_through or {"write", "flush"} & vars(self.text).keys())

    def be_through(self, *, through: bool) -> None:
        """Have it give each text at once, or as it was found."""
        with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads any more
            self.reconfigure(write_through=through or self.was_through)
