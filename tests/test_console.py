"""Log messages: in the terminal through the user's own handlers, and in console.log whatever these let through."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import loguru
import pytest

from skald.record.console import Console, Messages, format_line
from skald.record.logfile import LogFile

LEVELS = ["trace", "debug", "info", "success", "warning", "error", "critical", "exception"]
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


class Log(Messages):
    """The part of a logger that logs messages."""

    def __init__(self, path: Path | None, ids: Mapping[str, object] | None = None) -> None:
        self.ids = dict(ids or {})
        self.file = LogFile(path)
        self._console = Console(self.file, lambda: self.ids)


@pytest.fixture
def records() -> Iterator[list[Any]]:
    """Return what the one handler of the user, of level TRACE, gets to see: loguru's records."""
    seen: list[Any] = []
    loguru.logger.remove()
    loguru.logger.add(lambda message: seen.append(message.record), level="TRACE", format="{message}", catch=False)
    yield seen
    loguru.logger.remove()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a console.log."""
    return tmp_path / "console.log"


def lines_of(path: Path) -> list[str]:
    """Return the lines of a console.log without their times."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [re.sub(rf"^{STAMP} \| ", "", line) for line in lines]


def here() -> int:
    """Return the line of the call."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_message_is_written_with_time_level_and_ids(path: Path, records: list[Any]) -> None:
    """A line of console.log reads `time | level | ids | message`, in local time."""
    before = dt.datetime.now().astimezone()

    Log(path, {"epoch": 3, "split": "val"}).info("message")

    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"{STAMP} \| INFO \| epoch=3 split=val \| message", line)
    shown = dt.datetime.fromisoformat(line[:23]).astimezone()
    assert -1e-3 <= (shown - before).total_seconds() < 60
    assert records[0]["time"].isoformat(sep=" ", timespec="milliseconds")[:23] == line[:23]


def test_message_without_ids_has_no_field_for_them(path: Path, records: list[Any]) -> None:
    """What has no ids shows none."""
    Log(path).warning("low on space")

    assert lines_of(path) == ["WARNING | low on space"]
    assert len(records) == 1


def test_message_has_the_ids_of_its_call(path: Path, records: list[Any]) -> None:
    """Ids are looked up anew for each message."""
    log = Log(path)

    for epoch in range(2):
        log.ids["epoch"] = epoch
        log.info("next")

    assert lines_of(path) == ["INFO | epoch=0 | next", "INFO | epoch=1 | next"]
    assert [record["extra"] for record in records] == [{"epoch": 0}, {"epoch": 1}]


@pytest.mark.parametrize("level", LEVELS)
def test_message_of_each_level_reaches_terminal_and_file_with_its_caller(
    level: str, path: Path, records: list[Any]
) -> None:
    """The record has the level, the text, and the file, line and function of the caller."""
    log = Log(path)
    word = "ERROR" if level == "exception" else level.upper()

    getattr(log, level)("{} of {total}", 1, total=2)
    line = here() - 1

    (record,) = records
    assert (record["level"].name, record["message"]) == (word, "1 of 2")
    assert (record["file"].path, record["line"], record["function"]) == (__file__, line, inspect.stack()[0].function)
    assert record["name"] == __name__
    assert lines_of(path)[0] == f"{word} | 1 of 2"


def test_message_from_opt_has_its_caller(path: Path, records: list[Any]) -> None:
    """`opt` changes nothing about whose message it is, and `depth` goes further up from there."""
    log = Log(path)

    def wrapper() -> None:
        log.opt(depth=1).info("outer")

    log.opt(lazy=True).info("inner")
    line = here() - 1
    wrapper()

    assert [record["line"] for record in records] == [line, line + 2]
    assert lines_of(path) == ["INFO | inner", "INFO | outer"]


def test_message_of_any_level_is_in_the_file(path: Path, records: list[Any]) -> None:
    """Handlers that want warnings only keep nothing out of console.log."""
    loguru.logger.remove()
    loguru.logger.add(records.append, level="WARNING")
    log = Log(path, {"epoch": 1})

    log.debug("{} {b}", "a", b=2)
    log.warning("shown")

    assert lines_of(path) == ["DEBUG | epoch=1 | a 2", "WARNING | epoch=1 | shown"]
    assert len(records) == 1


def test_message_is_in_the_file_when_the_user_removes_all_handlers(path: Path, records: list[Any]) -> None:
    """`loguru.logger.remove()` after the first message silences the terminal, and nothing else."""
    log = Log(path)
    log.info("before")

    loguru.logger.remove()
    log.info("after")

    assert lines_of(path) == ["INFO | before", "INFO | after"]
    assert [record["message"] for record in records] == ["before"]


def test_message_is_in_the_file_when_the_user_disables_its_module(path: Path, records: list[Any]) -> None:
    """`loguru.logger.disable` silences the terminal too, and nothing else."""
    loguru.logger.disable(__name__)
    try:
        Log(path).info("quiet")
    finally:
        loguru.logger.enable(__name__)

    assert lines_of(path) == ["INFO | quiet"]
    assert records == []


def test_handlers_of_the_user_are_untouched(path: Path, records: list[Any]) -> None:
    """Neither the first message nor `close` adds, removes or changes a handler."""
    before = repr(loguru.logger)

    log = Log(path)
    log.info("message")
    during = repr(loguru.logger)
    log.file.close()

    assert during == before
    assert repr(loguru.logger) == before
    assert len(records) == 1


def test_message_after_close_reaches_the_terminal_only(path: Path, records: list[Any]) -> None:
    """A closed run's console.log is final."""
    log = Log(path)
    log.info("last")

    log.file.close()
    log.info("later")
    log.opt(exception=ValueError("x")).error("later")
    with log.catch():
        raise KeyError

    assert lines_of(path) == ["INFO | last"]
    assert len(records) == 4


def test_message_without_a_file_reaches_the_terminal(tmp_path: Path, records: list[Any]) -> None:
    """A disabled logger still talks."""
    log = Log(None)

    log.info("hello")
    with log.catch():
        raise KeyError

    assert [record["message"] for record in records][:1] == ["hello"]
    assert list(tmp_path.iterdir()) == []


def test_console_file_is_made_by_the_first_message(path: Path, records: list[Any]) -> None:
    """A run that says nothing has no console.log."""
    log = Log(path)
    before = path.exists()

    log.info("message")

    assert not before
    assert path.exists()
    assert len(records) == 1


def test_ids_are_in_the_record_for_the_formats_of_the_user(path: Path, records: list[Any]) -> None:
    """`extra` holds ids and keyword arguments; what the user put there himself wins."""
    log = Log(path, {"epoch": 3, "lr": 0.1})

    with loguru.logger.contextualize(lr="mine"):
        log.info("{epoch}", epoch="call", other=1)
        log.opt(capture=False).info("{other}", other=1)

    assert records[0]["extra"] == {"epoch": "call", "other": 1, "lr": "mine"}
    assert records[0]["message"] == "call"
    assert records[1]["extra"] == {"epoch": 3, "lr": "mine"}


def test_two_runs_get_their_own_messages_only(tmp_path: Path, records: list[Any]) -> None:
    """Messages of another run, and the user's own of loguru, are in no console.log of this one."""
    first, second = Log(tmp_path / "1.log", {"run": 1}), Log(tmp_path / "2.log")

    first.info("one")
    loguru.logger.info("nobody's")
    second.info("two")

    assert lines_of(tmp_path / "1.log") == ["INFO | run=1 | one"]
    assert lines_of(tmp_path / "2.log") == ["INFO | two"]
    assert [record["message"] for record in records] == ["one", "nobody's", "two"]
    assert records[1]["extra"] == {}


def test_consoles_of_one_file_have_their_own_ids(path: Path, records: list[Any]) -> None:
    """Loggers bound to the same run write into one console.log and close together."""
    log, bound = Log(path, {"epoch": 1}), Log(None)
    bound._console = Console(log.file, lambda: {"epoch": 1, "task": "a"})

    log.info("outer")
    bound.info("inner")
    log.file.close()
    log.info("closed")

    assert lines_of(path) == ["INFO | epoch=1 | outer", "INFO | epoch=1 task=a | inner"]
    assert len(records) == 3


def test_colors_are_not_in_the_file(path: Path, records: list[Any]) -> None:
    """Neither colour tags nor a terminal's codes, also where loguru made no record."""
    log = Log(path)
    colored = log.opt(colors=True)

    for logger in (log.info, log.trace):
        logger("\x1b[1;31mred\x1b[0m")
    loguru.logger.remove()
    loguru.logger.add(records.append, level="INFO", colorize=True)
    for say in (colored.info, colored.debug):
        say(r"<red>{}</red> <fg #00ff00>x</> \<b>", "<red>")

    assert lines_of(path) == ["INFO | red", "TRACE | red", "INFO | <red> x <b>", "DEBUG | <red> x <b>"]
    assert "\x1b[31m" in records[-1]


@pytest.mark.parametrize("level", ["DEBUG", "ERROR"])
def test_lazy_arguments_are_called_once(level: str, path: Path) -> None:
    """Whether a handler of the user wants the message or not."""
    loguru.logger.remove()
    loguru.logger.add(lambda _: None, level=level)
    calls: list[str] = []

    def argument() -> str:
        calls.append("called")
        return "a"

    Log(path).opt(lazy=True).info("{} {b}", argument, b=lambda: "b")
    loguru.logger.remove()

    assert calls == ["called"]
    assert lines_of(path) == ["INFO | a b"]


def test_lazy_arguments_are_not_called_for_nobody() -> None:
    """Without a handler and without a file nothing is formatted."""
    loguru.logger.remove()

    Log(None).opt(lazy=True).info("{}", lambda: pytest.fail("called"))


def test_message_can_use_the_record(path: Path, records: list[Any]) -> None:
    """As in loguru; a message that loguru made no record of keeps its text."""
    log = Log(path)

    log.opt(record=True).info("line {record[line]} of {}", 9)
    line = here() - 1
    loguru.logger.remove()
    log.opt(record=True).info("line {record[line]} of {}", 9)

    assert lines_of(path) == [f"INFO | line {line} of 9", "INFO | line {record[line]} of {}"]
    assert len(records) == 1


def test_raw_message_is_written_as_it_is(path: Path, records: list[Any]) -> None:
    """Neither time nor line end is added, with or without a record."""
    log = Log(path).opt(raw=True)

    log.info("a\n")
    loguru.logger.remove()
    log.info("b")

    assert path.read_text(encoding="utf-8") == "a\nb"
    assert len(records) == 1


@pytest.mark.parametrize("heard", [True, False])
def test_exception_is_written_with_its_traceback(path: Path, records: list[Any], *, heard: bool) -> None:
    """By `exception` and `opt(exception=...)`, whether a handler of the user wants it or not."""
    log = Log(path)
    if not heard:
        loguru.logger.remove()

    try:
        raise ValueError("é")  # noqa: TRY301 - the test is about it
    except ValueError as error:
        log.exception("went {}", "wrong")
        log.opt(exception=error).debug("given")
        log.opt(exception=(type(error), error, error.__traceback__)).debug("given")

    text = path.read_text(encoding="utf-8")
    assert text.count("Traceback (most recent call last):") == 3
    assert text.count('raise ValueError("é")') == 3
    assert text.count("\nValueError: é\n") == 3
    assert len(records) == (3 if heard else 0)


@pytest.mark.parametrize("heard", [True, False])
def test_catch_is_a_context_manager_and_a_decorator(path: Path, records: list[Any], *, heard: bool) -> None:
    """What it catches is in terminal and file, once, and the program goes on."""
    log = Log(path, {"epoch": 1})
    if not heard:
        loguru.logger.remove()
    caught: list[BaseException] = []

    @log.catch
    def plain() -> int:
        raise ValueError("plain")

    @log.catch(KeyError, level="WARNING", default=7, message="no key", onerror=caught.append)
    def configured() -> int:
        raise KeyError("configured")

    with log.catch(message="in a block"):
        raise ValueError("block")
    block = here() - 2
    results = [plain(), configured()]
    calls = here() - 1

    lines = [line for line in lines_of(path) if "epoch=1" in line]
    assert [line.split(" | ")[0] for line in lines] == ["ERROR", "ERROR", "WARNING"]
    assert lines[0] == "ERROR | epoch=1 | in a block"
    assert lines[2] == "WARNING | epoch=1 | no key"
    assert path.read_text(encoding="utf-8").count("Traceback (most recent call last)") == 3
    assert results == [None, 7]
    assert [str(error) for error in caught] == ["'configured'"]
    assert [record["line"] for record in records] == ([block, calls, calls] if heard else [])
    assert all(record["extra"] == {"epoch": 1} for record in records)


def test_catch_lets_through_what_it_should(path: Path, records: list[Any]) -> None:
    """`reraise`, `exclude`, and other types, as in loguru."""
    log = Log(path)

    with pytest.raises(ValueError, match="again"), log.catch(reraise=True):
        raise ValueError("again")
    with pytest.raises(KeyError), log.catch(exclude=KeyError):
        raise KeyError
    with pytest.raises(KeyError), log.catch((ValueError, TypeError)):
        raise KeyError

    assert len([line for line in lines_of(path) if line.startswith("ERROR")]) == 1
    assert len(records) == 1


def test_catch_keeps_functions_what_they_are(path: Path, records: list[Any]) -> None:
    """Coroutine functions are awaited, generators run, names stay; a class is refused as by loguru."""
    log = Log(path)

    @log.catch
    async def fetch() -> None:
        raise ValueError("async")

    @log.catch
    def count() -> Iterator[int]:
        yield 1
        raise ValueError("generator")

    asyncio.run(fetch())
    numbers = list(count())

    assert numbers == [1]
    assert fetch.__name__ == "fetch"
    assert len(records) == 2
    assert len([line for line in lines_of(path) if line.startswith("ERROR")]) == 2
    with pytest.raises(TypeError, match="not a class"):
        log.catch(dict)


def test_message_that_cannot_be_formatted_raises_as_in_loguru(path: Path, records: list[Any]) -> None:
    """A missing argument is told at the call, whether a handler wants the message or not."""
    log = Log(path)

    with pytest.raises(IndexError):
        log.info("{} {}", 1)
    loguru.logger.remove()
    with pytest.raises(IndexError):
        log.info("{} {}", 1)

    assert records == []
    assert not path.exists()


def test_message_with_braces_and_no_arguments_is_taken_as_it_is(path: Path, records: list[Any]) -> None:
    """A dict's text can be logged, and what is no string is turned into one."""
    log = Log(path)

    log.info("{'lr': 0.1}")
    log.info({"lr": 0.1})  # type: ignore[arg-type]

    assert lines_of(path) == ["INFO | {'lr': 0.1}"] * 2
    assert len(records) == 2


def test_messages_of_threads_stand_in_whole_lines(path: Path, records: list[Any]) -> None:
    """No line is inside another, and none is lost."""
    log = Log(path)

    def talk(name: str) -> None:
        for number in range(200):
            log.info("{} {} {}", name, number, "x" * 500)

    threads = [threading.Thread(target=talk, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    expected = {f"INFO | t{thread} {number} {'x' * 500}" for thread in range(8) for number in range(200)}
    assert len(lines_of(path)) == len(expected)
    assert set(lines_of(path)) == expected
    assert len(records) == len(expected)


def test_message_from_a_handler_of_the_user_is_written(path: Path) -> None:
    """A sink that logs, which loguru itself refuses, loses no line of the file and blocks nothing."""
    log = Log(path)
    loguru.logger.remove()
    loguru.logger.add(lambda _: log.opt(raw=True).info("echo\n"), filter=lambda record: record["message"] == "a")

    log.info("a")
    loguru.logger.remove()

    assert lines_of(path) == ["INFO | a", "echo"]


def run_python(program: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a program that has a `log` on the path given, and return what it printed."""
    start = (
        "import os, signal, sys, pathlib\n"
        "from skald.record.console import Console, Messages\n"
        "from skald.record.logfile import LogFile\n"
        "log = Messages()\n"
        "log._console = Console(LogFile(pathlib.Path(sys.argv[1])), lambda: {'epoch': 1})\n"
    )
    command = [sys.executable, "-c", start + program, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_messages_of_forked_processes_stand_in_whole_lines(path: Path) -> None:
    """Parent and children write one file, and a child's `close` takes nothing from the parent."""
    program = """
log.info("first")
children = []
for child in range(4):
    pid = os.fork()
    if pid == 0:
        for number in range(200):
            log.info("{} {} {}", child, number, "x" * 500)
        log._console._file.close()
        os._exit(0)
    children.append(pid)
for number in range(200):
    log.info("{} {} {}", "parent", number, "x" * 500)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
log.info("last")
"""

    result = run_python(program, path)

    expected = {f"INFO | epoch=1 | {who} {n} {'x' * 500}" for who in [0, 1, 2, 3, "parent"] for n in range(200)}
    lines = lines_of(path)
    assert result.returncode == 0, result.stderr
    assert (lines[0], lines[-1]) == ("INFO | epoch=1 | first", "INFO | epoch=1 | last")
    assert len(lines) == len(expected) + 2
    assert set(lines[1:-1]) == expected
    assert result.stderr.count("\n") == len(lines)


def test_messages_are_in_the_file_after_a_kill(path: Path) -> None:
    """Nothing waits in a buffer for a process that is gone."""
    result = run_python("for n in range(100): log.info(n)\nos.kill(os.getpid(), signal.SIGKILL)", path)

    assert result.returncode == -signal.SIGKILL
    assert lines_of(path) == [f"INFO | epoch=1 | {n}" for n in range(100)]


def test_message_of_a_signal_handler_is_written(path: Path) -> None:
    """A handler that logs while its thread is logging loses no line and blocks nothing."""
    program = """
count = 0
def handle(*_):
    global count
    count += 1
    log.info("signal")
    signal.setitimer(signal.ITIMER_REAL, 5e-4)
log.info("message")
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 5e-4)
for n in range(1999):
    log.info("message")
signal.signal(signal.SIGALRM, signal.SIG_IGN)
print(count)
"""

    result = run_python(program, path)

    lines = lines_of(path)
    assert result.returncode == 0, result.stderr
    assert lines.count("INFO | epoch=1 | message") == 2000
    assert lines.count("INFO | epoch=1 | signal") == int(result.stdout) > 0


def test_message_in_the_middle_of_the_import_of_loguru_is_written(path: Path) -> None:
    """A signal handler may interrupt the first message of a run while that one loads loguru."""
    program = """
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "loguru._logger":
            log.info("from inside")
sys.meta_path.insert(0, Interrupt())
log.info("first")
"""

    result = run_python(program, path)

    assert result.returncode == 0, result.stderr
    assert lines_of(path) == ["INFO | epoch=1 | from inside", "INFO | epoch=1 | first"]
    assert result.stderr.count("\n") == 1


def test_full_disk_never_reaches_the_training(path: Path) -> None:
    """It is told once on stderr, counted, and once there is room again lines are whole again."""
    program = """
import resource
from loguru import logger
logger.remove()
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
for n in range(30):
    log.info("x" * 50)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
log.info("room again")
print(log._console._file.lost)
"""

    result = run_python(program, path)

    whole, lines = f"INFO | epoch=1 | {'x' * 50}", lines_of(path)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("\n") == 1
    assert str(path) in result.stderr
    assert int(result.stdout) + lines.count(whole) == 30
    assert lines.count(whole) == 10
    assert lines[-1] == "INFO | epoch=1 | room again"


def test_missing_folder_never_reaches_the_training(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each message is tried again: a folder that comes back gets the next one."""
    log = Log(path.parent / "gone" / "console.log")
    loguru.logger.remove()

    log.info("lost")
    log.info("lost too")
    (path.parent / "gone").mkdir()
    log.info("kept")

    assert log.file.lost == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert lines_of(path.parent / "gone" / "console.log") == ["INFO | kept"]


def test_console_closes_its_file(path: Path) -> None:
    """A process that opens and closes many runs keeps no descriptor."""
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - a path of Linux
        pytest.skip("no list of open files")
    loguru.logger.remove()
    gc.collect()  # what other tests have left open
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names only

    for _ in range(20):
        log = Log(path)
        log.info("message")
        log.file.close()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - names only
    assert len(lines_of(path)) == 20


def test_messages_load_loguru_only_when_there_is_one(path: Path) -> None:
    """A training that logs metrics only does not pay for loguru's import."""
    result = run_python("print('loguru' in sys.modules)\nlog.info('x')\nprint('loguru' in sys.modules)", path)

    assert result.stdout.split() == ["False", "True"]


def test_format_line_puts_the_traceback_below() -> None:
    """A pure function of what is in a line."""
    error = ValueError("no")
    time = dt.datetime(2026, 11, 23, 8, 15, 0, 123_999, tzinfo=dt.UTC)

    line = format_line(time, "ERROR", {"a": 1, "b": "x"}, "message", (ValueError, error, None))

    assert line == "2026-11-23 08:15:00.123 | ERROR | a=1 b=x | message\nValueError: no\n"


def test_text_that_is_no_unicode_is_written_escaped(path: Path, records: list[Any]) -> None:
    """A file name of undecodable bytes stops nobody."""
    Log(path).info("\udcff é")

    assert lines_of(path) == ["INFO | \\udcff é"]
    assert len(records) == 1


def check_types(log: Messages) -> Callable[[int], int]:
    """Show the type checker that a decorated function keeps its type."""

    @log.catch
    def double(number: int) -> int:
        return 2 * number

    with log.catch(ValueError, message="no"):
        double(1)
    return double
