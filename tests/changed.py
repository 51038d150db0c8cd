"""A program that changes its streams before a run begins, in each way that programs do, and prints inside.

Arguments: what to capture, and where the runs go. Descriptor 1 gets a line with the name of a way before it.
"""

from __future__ import annotations

import codecs
import functools
import io
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any, Final

import loguru

import skald

OUT: Any = sys.stdout
ERR: Any = sys.stderr


class Redacting:
    """A stream that leaves out secrets; one that has no more than it must."""

    def __init__(self, below: Any) -> None:
        self.below = below
        self.held = ""

    def write(self, text: str) -> int:
        """Pass on."""
        return int(self.below.write(text.replace("SECRET", "***")))

    def flush(self) -> None:
        """Pass on."""
        self.below.flush()


class Slotted(Redacting):
    """One without a place for attributes of its own."""

    __slots__ = ()


class ByLine(Redacting):
    """One that passes on whole lines."""

    def write(self, text: str) -> int:
        """Hold back what is no line."""
        *lines, self.held = (self.held + text).split("\n")
        for line in lines:
            super().write(f"{line}\n")
        return len(text)


class Batching(Redacting):
    """One that passes on what it has when it is flushed."""

    def write(self, text: str) -> int:
        """Hold back."""
        self.held += text
        return len(text)

    def flush(self) -> None:
        """Pass on."""
        self.below.write(self.held)
        self.held = ""
        self.below.flush()


class IntoBuffer(Redacting):
    """One that passes on bytes."""

    def write(self, text: str) -> int:
        """Pass on."""
        self.below.buffer.write(text.replace("SECRET", "***").encode())
        return len(text)


class IntoDescriptor(Redacting):
    """One that leaves Python's streams out."""

    def write(self, text: str) -> int:
        """Write."""
        return os.write(1, text.encode())


class Standing:
    """One that stands for the stream below in all, as proxies do."""

    __slots__ = ("_below",)

    def __init__(self, below: Any) -> None:
        self._below = below

    def __getattr__(self, name: str) -> Any:
        """Ask the stream below."""
        return getattr(self._below, name)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        """Ask it."""
        return vars(self._below)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """Ask it."""
        return type(self._below)


class Upper(io.TextIOWrapper):
    """A text stream that changes what is written."""

    def write(self, text: str, /) -> int:
        """Write."""
        return super().write(text.upper())


class Raw(io.RawIOBase):
    """Bytes that go to a text stream."""

    def __init__(self, below: Any) -> None:
        self.below = below

    def writable(self) -> bool:
        """Tell that it is."""
        return True

    def write(self, data: Any, /) -> int:
        """Pass on."""
        self.below.write(bytes(data).decode())
        return len(data)


def out(make: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    """Return what puts another stream in the place of stdout."""
    return lambda: redirect_stdout(make(OUT))


def err(make: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    """Return what puts another stream in the place of stderr."""
    return lambda: redirect_stderr(make(ERR))


def own_write(stream: Any, change: Callable[[str], str] = str) -> Callable[[], AbstractContextManager[Any]]:
    """Return what gives a stream another `write`."""

    def patch() -> AbstractContextManager[Any]:
        below = stream.write
        stream.write = lambda text: below(change(text))
        return nullcontext()

    return patch


def handled(enqueue: bool) -> Callable[[], AbstractContextManager[Any]]:  # noqa: FBT001 the rest would be longer
    """Return what has loguru show messages on a stream that leaves out secrets."""

    def change() -> AbstractContextManager[Any]:
        stream: Any = Redacting(ERR)
        loguru.logger.add(stream, format="shown {message}", level="INFO", filter=is_info, enqueue=enqueue)
        if not enqueue:
            show = functools.partial(print, "again", end="")
            loguru.logger.add(show, format="shown {message}", level="INFO", filter=is_info)
        return redirect_stderr(stream)

    return change


def is_info(record: Any) -> bool:
    """Leave out the last word."""
    return bool(record["level"].name == "INFO")


def over_buffer(**options: Any) -> Callable[[Any], Any]:
    """Return what makes a new text stream over the bytes of one."""
    return lambda stream: io.TextIOWrapper(stream.buffer, encoding="utf-8", **options)


PRINTED: Final = ["out SECRET", "err line", "half and half"]
REDACTED: Final = ["out ***", "err line", "half and half"]
LOUD: Final = ["OUT SECRET", "err line", "HALF AND HALF"]
Way = tuple[Callable[[], AbstractContextManager[Any]], list[str]]
WAYS: Final[dict[str, Way]] = {
    "as they are": (nullcontext, PRINTED),
    "stderr is stdout": (err(lambda _: OUT), PRINTED),
    "stdout is stderr": (out(lambda _: ERR), PRINTED),
    "out over buffer": (out(over_buffer()), PRINTED),
    "out over buffer by line": (out(over_buffer(line_buffering=True)), PRINTED),
    "out over buffer at once": (out(over_buffer(write_through=True)), PRINTED),
    "err over buffer by line": (err(over_buffer(line_buffering=True)), PRINTED),
    "err over buffer of stdout": (err(lambda _: over_buffer(line_buffering=True)(OUT)), PRINTED),
    "out over descriptor": (out(lambda stream: open(stream.fileno(), "w", closefd=False)), PRINTED),  # noqa: SIM115
    "out by codec": (out(lambda stream: codecs.getwriter("utf-8")(stream.buffer)), PRINTED),
    "out over raw": (out(lambda stream: io.TextIOWrapper(io.BufferedWriter(Raw(stream)))), PRINTED),
    "own write of stdout": (own_write(OUT), PRINTED),
    "own write of stderr": (own_write(ERR), PRINTED),
    "own write that changes": (own_write(OUT, str.upper), LOUD),
    "redacting": (out(Redacting), REDACTED),
    "redacting twice": (out(lambda stream: Redacting(Redacting(stream))), REDACTED),
    "redacting stdout as stderr": (err(lambda _: Redacting(OUT)), PRINTED),
    "slotted": (out(Slotted), REDACTED),
    "standing": (out(Standing), PRINTED),
    "by line": (out(ByLine), REDACTED),
    "batching": (out(Batching), PRINTED),
    "into buffer": (out(IntoBuffer), REDACTED),
    "upper": (out(lambda stream: Upper(stream.buffer, encoding="utf-8")), LOUD),
    "handler": (handled(enqueue=False), PRINTED),
    "queued handler": (handled(enqueue=True), PRINTED),
    "in memory": (lambda: redirect_stdout(redirect_stderr(io.StringIO()).__enter__()), PRINTED),
    "into descriptor": (out(IntoDescriptor), PRINTED),
}


def run(name: str, capture: Any, folder: str) -> None:
    """Print inside a run, with the streams changed."""
    change, _ = WAYS[name]
    with change(), skald.Logger(name.replace(" ", "-"), folder, capture=capture) as logger:
        print("out SECRET")
        sys.stderr.write("err line\n")
        print("half", end="")
        sys.stdout.flush()
        print(" and half")
        sys.stdout.flush()
        logger.info("message")
        loguru.logger.remove()
        sys.stdout.flush()
        changed: list[Any] = [sys.stdout, sys.stderr]
    sys.stdout, sys.stderr = OUT, ERR
    for stream in changed:
        if issubclass(type(stream), io.TextIOWrapper) and stream not in (OUT, ERR):
            stream.detach()  # else it closes what is below
    for stream in (OUT, ERR):
        stream.flush()
        vars(stream).pop("write", None)


def left() -> list[Any]:
    """Return what a run has to leave as it was."""
    return [(vars(stream), vars(stream.buffer), stream.write_through) for stream in (OUT, ERR)]


def main() -> None:
    """Go through all ways."""
    capture: Any = {"True": True, "fd": "fd"}[sys.argv[1]]
    loguru.logger.remove()
    before = repr(left())
    for name in WAYS:
        os.write(1, f"--- {name}\n".encode())
        run(name, capture, sys.argv[2])
        if repr(left()) != before:
            sys.exit(f"{name}: {left()}")


if __name__ == "__main__":
    main()
