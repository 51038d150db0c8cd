"""Log messages: loguru's calls, which reach the terminal through loguru, and the run's console.log.

A message goes to loguru's global logger, whose handlers, which are the user's, show it or not.
Skald adds no handler there: a *patcher* that goes with the one message writes the record that
loguru made of it into console.log. Where loguru makes none, because no handler wants messages
of that level or module, the line is made here.

Invariant: a message is in console.log, whole, when its call returns.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar, cast, overload

from skald.errors import unless_handlers
from skald.notice import loguru_logger, tell
from skald.record.logfile import LogFile
from skald.record.shown import MARK, hush, one_message, unhush

if TYPE_CHECKING:
    from loguru import Record

Ids = Callable[[], Mapping[str, object]]
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
ErrorTypes = type[BaseException] | tuple[type[BaseException], ...]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_OWN_MODULES: Final = ("skald", "contextlib", "weakref")
"""Whose frames are not the caller's."""
_OUR_FRAMES: Final = 2  # between loguru's method and the caller: Console.emit and the method of Messages
_TERMINAL_CODE: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_COLOR_TAG: Final = re.compile(r"\\?</?(?:[fb]g )?[\w#,-]*>")


class Options(NamedTuple):
    """What `opt` sets, with loguru's names and meanings."""

    exception: bool | BaseException | ExcInfo | None = None
    record: bool = False
    lazy: bool = False
    colors: bool = False
    raw: bool = False
    capture: bool = True
    depth: int = 0


class Catcher(Protocol):
    """What `catch` returns: a context manager that swallows exceptions, and a decorator."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> bool: ...

    def __call__(self, function: _Function, /) -> _Function:
        """Return the function with what it raises caught."""


class Console:
    """Where the messages of one logger go: to loguru's handlers, and into a file with the logger's ids."""

    def __init__(self, file: LogFile, ids: Ids) -> None:
        """Log into a file.

        Args:
            file: the console.log; loggers of the same run share it. Once it is closed messages reach only
                the terminal.
            ids: returns the ids that a row would get now.
        """
        self._file = file
        self._ids = ids

    def emit(self, level: str, options: Options, message: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Log a message for a method of Messages, as from the method's caller."""
        taken = False

        def take(record: Record) -> None:
            nonlocal taken
            taken = True
            self._take(record, raw=options.raw)

        opened = options._replace(depth=options.depth + _OUR_FRAMES)
        try:
            logger = loguru_logger()
        except ImportError:  # NOTE: in a signal handler that interrupts the first message in this very import
            pass
        else:
            with one_message():
                logger.opt(**opened._asdict()).patch(take).log(level, message, *args, **kwargs)
        if not taken and self._file.is_open:
            self._make(level, options, _formatted(options, message, args, kwargs))

    def catch(
        self, options: Options, level: str | int, onerror: Callable[[BaseException], object] | None, **kwargs: Any
    ) -> Catcher:
        """Return loguru's catcher for a method of Messages; what it catches is in the file too."""
        taken: set[int] = set()

        def take(record: Record) -> None:
            taken.add(id(record["exception"] and record["exception"].value))
            self._take(record, raw=options.raw)

        def finish(error: BaseException) -> None:
            unhush()
            if id(error) not in taken:
                self._make(str(level), options._replace(exception=error), kwargs.get("message", "caught an error:"))
            taken.discard(id(error))
            if onerror is not None:
                onerror(error)

        logging = loguru_logger().opt(**options._asdict()).patch(take)
        return cast("Catcher", logging.catch(level=level, onerror=finish, **kwargs))

    def _take(self, record: Record, *, raw: bool) -> None:
        """Put the ids into loguru's record, for the user's formats, and the record into the file."""
        ids, text, level = self._ids(), record["message"], record["level"].name
        _give_ids(record, ids)
        self._append(text if raw else format_line(record["time"], level, ids, text, record["exception"]))
        _hush(record, self._file)

    def _make(self, level: str, options: Options, text: str) -> None:
        """Put a message into the file that loguru made no record of."""
        now = dt.datetime.now().astimezone()
        self._append(text if options.raw else format_line(now, level, self._ids(), text, _exc_info(options)))

    def _append(self, line: str) -> None:
        self._file.log(_TERMINAL_CODE.sub("", line))


class Messages:
    """loguru's calls, which reach the terminal through the user's handlers, and the run's console.log.

    `message` is formatted with the arguments as by `str.format`, if there are any.
    """

    _console: Console
    _options: Options = Options()

    def trace(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level TRACE."""
        self._console.emit("TRACE", self._options, message, args, kwargs)

    def debug(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level DEBUG."""
        self._console.emit("DEBUG", self._options, message, args, kwargs)

    def info(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level INFO."""
        self._console.emit("INFO", self._options, message, args, kwargs)

    def success(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level SUCCESS."""
        self._console.emit("SUCCESS", self._options, message, args, kwargs)

    def warning(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level WARNING."""
        self._console.emit("WARNING", self._options, message, args, kwargs)

    def error(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level ERROR."""
        self._console.emit("ERROR", self._options, message, args, kwargs)

    def critical(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level CRITICAL."""
        self._console.emit("CRITICAL", self._options, message, args, kwargs)

    def exception(self, message: str, /, *args: Any, **kwargs: Any) -> None:
        """Log a message of level ERROR with the exception that is being handled."""
        self._console.emit("ERROR", self._options._replace(exception=True), message, args, kwargs)

    def opt(
        self,
        *,
        exception: bool | BaseException | ExcInfo | None = None,
        record: bool = False,
        lazy: bool = False,
        colors: bool = False,
        raw: bool = False,
        capture: bool = True,
        depth: int = 0,
    ) -> Messages:
        """Return the same calls with other options, `logger.opt(exception=True).debug("retrying")`.

        Args:
            exception: add a traceback: of the exception being handled (True), or of this one.
            record: let the message use loguru's record, `{record[line]}`.
            lazy: take the arguments as functions, called only when the message is formatted.
            colors: let the message hold colour tags, `<red>`, which console.log leaves out.
            raw: log the message as it is, with no time, level or line end.
            capture: put keyword arguments into the record's `extra`.
            depth: show the caller this many frames further up.
        """
        messages = Messages()
        messages._console = self._console
        messages._options = Options(exception, record, lazy, colors, raw, capture, depth)
        return messages

    @overload
    def catch(self, exception: _Function, /) -> _Function: ...
    @overload
    def catch(
        self,
        exception: ErrorTypes = ...,
        *,
        level: str | int = ...,
        reraise: bool = ...,
        onerror: Callable[[BaseException], object] | None = ...,
        exclude: ErrorTypes | None = ...,
        default: Any = ...,
        message: str = ...,
    ) -> Catcher: ...
    def catch(
        self,
        exception: Any = Exception,
        *,
        level: str | int = "ERROR",
        reraise: bool = False,
        onerror: Callable[[BaseException], object] | None = None,
        exclude: ErrorTypes | None = None,
        default: Any = None,
        message: str | None = None,
    ) -> Any:
        """Log the exceptions of a block or a function, and go on after it.

        A decorator, `@logger.catch` or `@logger.catch(...)`, and a context manager.

        Args:
            exception: what to catch: a type or several.
            level: the level of the message.
            reraise: go on with the exception after it is logged.
            onerror: called with the exception once it is logged.
            exclude: what not to catch.
            default: what the function returns in place of the exception.
            message: the message; it may use loguru's record, `{record[function]}`.
        """
        if callable(exception) and not isinstance(exception, type):
            return self._console.catch(self._options, level, onerror)(exception)
        given: dict[str, Any] = {} if message is None else {"message": message}
        given |= {"exception": exception, "reraise": reraise, "exclude": exclude, "default": default}
        return self._console.catch(self._options, level, onerror, **given)


def _hush(record: Record, file: LogFile) -> None:
    """Keep a message that a file has out of what it gets from the streams: handlers show it here, or in a thread."""
    cast("dict[str, Any]", record)[MARK] = file.name
    hush(file.name)


def _give_ids(record: Record, ids: Mapping[str, object]) -> None:
    """Let the user's formats use the ids, where a field of the user's has no such name."""
    for name, value in ids.items():
        record["extra"].setdefault(name, value)


def note(file: LogFile, level: str, text: str) -> None:
    """Say something of Skald's own in a console file."""
    file.log(format_line(dt.datetime.now().astimezone(), level, {}, text))


def show(file: LogFile, level: str, text: str, ids: Mapping[str, object]) -> None:
    """Say in the terminal, as from the line that called Skald, what a console file has.

    The ids, which the run's messages have all along, are for the user's formats.
    """

    def take(record: Record) -> None:
        _give_ids(record, ids)
        _hush(record, file)

    logger = loguru_logger()
    try:
        with one_message():
            logger.opt(depth=_own_frames()).patch(take).log(level, "{}", text)
    except unless_handlers(Exception) as error:  # of a handler with `catch=False`, which nobody has called here
        tell(f"a handler of loguru failed, {error!r}, as it was to show: {text}")


def _own_frames() -> int:
    """Return how many frames of Skald are above the caller, its generated functions among them."""
    depth, frame = 0, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "skald").partition(".")[0] in _OWN_MODULES:
        depth, frame = depth + 1, frame.f_back
    return depth


def format_line(
    time: dt.datetime, level: str, ids: Mapping[str, object], message: str, exc_info: ExcInfo | None = None
) -> str:
    """Return a message as console.log has it: `time | level | ids | message`, then the traceback."""
    fields = [f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}", level, message]
    if ids:
        fields.insert(2, " ".join(f"{name}={value}" for name, value in ids.items()))
    trace = "".join(traceback.format_exception(*exc_info)) if exc_info else ""
    return f"{' | '.join(fields)}\n{trace}"


def _formatted(options: Options, message: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return the text of a message that loguru made no record of.

    A message that uses the record is returned unformatted, as there is none.
    """
    text = str(message)
    if options.colors:
        text = _COLOR_TAG.sub(lambda tag: tag[0][1:] if tag[0].startswith("\\") else "", text)
    if options.record or not (args or kwargs):
        return text
    if options.lazy:
        args = tuple(arg() for arg in args)
        kwargs = {name: arg() for name, arg in kwargs.items()}
    return text.format(*args, **kwargs)


def _exc_info(options: Options) -> ExcInfo | None:
    """Return what there is to tell of an exception."""
    exception = options.exception
    if isinstance(exception, BaseException):
        return type(exception), exception, exception.__traceback__
    if isinstance(exception, tuple):
        return exception
    return sys.exc_info() if exception else None
