"""Threads, signal handlers and interrupted calls: each row once, and none made of two."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import trials
from logged import rows, values

import skald
from skald.engine import lock
from skald.engine.lock import FileLock, is_locked


@pytest.mark.parametrize(("storage", "seed"), [("mapped", 1), ("staged", 4)])
def test_threads_lose_and_double_no_row(tmp_path: Path, storage: str, seed: int) -> None:
    """Four threads, a signal handler, Ctrl-C at any bytecode, and close in flight."""
    rows = trials.threads(tmp_path / "run", seed, storage=storage)

    assert rows > 3000


@pytest.fixture
def at_each_line() -> Iterator[Callable[[str, str, Callable[[], None]], list[int]]]:
    """Let a test do something in the midst of a function, as a signal handler would, a few times at each line."""

    def begin(module: str, function: str, action: Callable[[], None]) -> list[int]:
        done: list[int] = []
        met: Counter[int] = Counter()

        def trace(frame: object, event: str, _: object) -> object:
            code = frame.f_code  # type: ignore[attr-defined]
            if code.co_name == function and code.co_filename.endswith(module):
                line = frame.f_lineno  # type: ignore[attr-defined]
                met[line] += event == "line"
                if event == "line" and met[line] % 17 in (1, 3, 4) and len(done) < 100:
                    done.append(line)
                    action()
                return trace
            return None  # no line of another function is looked at, which would take most of the time

        sys.settrace(trace)  # type: ignore[arg-type]
        return done

    yield begin
    sys.settrace(None)


PLACES = [
    ("writer.py", "_roll"),
    ("writer.py", "_activate"),
    ("writer.py", "_append"),
    ("dictionary.py", "add"),
    ("registry.py", "learn"),
    ("segment.py", "reserve"),
    ("segment.py", "seal"),
    ("open_segments.py", "retire"),
    ("storage.py", "create"),
]


@pytest.mark.parametrize(("module", "function"), PLACES)
def test_handler_may_log_anything_at_any_line_of_the_slow_path(
    tmp_path: Path, at_each_line: Callable[[str, str, Callable[[], None]], list[int]], module: str, function: str
) -> None:
    """A call that interrupts another is neither lost nor doubled, with new names, new ids and large batches."""
    logged: list[float] = []

    with skald.Logger("run", tmp_path) as logger:

        def handle() -> None:
            number = float(len(logged))
            logged.extend([number, number + 1, number + 2])
            logger.log_metric("handled", number, epoch=1)
            logger.log_metrics({"handled": number + 1}, **{f"id{number}": "täg"})
            logger.log_batch({"handled": [number + 2]}, new=[number])
            logger.log_metric(f"name{number}", 0.0, epoch=1)

        lines = at_each_line(module, function, handle)
        for step in range(1100):
            logger.log_metric("loss", float(step), epoch=1)
        logger.log_metric("loss", 1100.0, epoch=1.5)
        sys.settrace(None)

    assert lines
    assert values(tmp_path / "run") == [float(step) for step in range(1101)]
    assert sorted(values(tmp_path / "run", "handled")) == logged


@pytest.mark.parametrize(("module", "function"), [*PLACES, ("streams.py", "_new"), ("segment.py", "_release_views")])
def test_interrupt_at_any_line_of_the_slow_path_leaves_it_whole(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    at_each_line: Callable[[str, str, Callable[[], None]], list[int]],
    module: str,
    function: str,
) -> None:
    """A call that raised may have logged its row or not; all others did, in order, and the run can be closed.

    So it is for a Ctrl-C as for the error of an alarm, which is no fault of the disk.
    """
    errors = [KeyboardInterrupt, TimeoutError]
    raised: list[int] = []
    monkeypatch.setattr("skald.engine.writer.FIRST_ROWS", 16)
    monkeypatch.setattr("skald.engine.writer.MOST_ROWS", 16)
    with skald.Logger("run", tmp_path) as logger:

        def interrupt() -> None:
            raise errors[len(raised) % 2]

        lines = at_each_line(module, function, interrupt)
        tracer = sys.gettrace()
        for step in range(6000):
            number = step if step < 5500 else step + 0.5  # in between the id widens
            value = Decimal(step) if step % 3 else float(step)  # the slow path and the fast one take turns
            ids = {f"k{step % 70}": step} if step % 2 else {}
            calls = [(f"name{step % 100}", value, ids)]
            if step % 60 == 0:  # these fill the dictionary of a segment that has room for rows
                calls += [(f"{step}/{letter * 250}", 0.0, {}) for letter in "abcdefgh"]
            for metric, value_, ids_ in calls:
                while True:
                    try:
                        logger.log_metric(metric, value_, epoch=number, **ids_)
                        break
                    except (KeyboardInterrupt, TimeoutError):
                        raised.append(step)
                        sys.settrace(tracer)  # an exception of its own ends tracing
        sys.settrace(None)

    table = skald.Run(tmp_path / "run").metrics.collect()
    assert lines
    assert len(raised) == len(lines)
    for name in range(100):
        found = table.filter(metric=f"name{name}")["value"].to_list()
        assert found == sorted(found)
        assert sorted(set(found)) == list(range(name, 6000, 100))
    assert table.height <= 6800 + len(raised)
    for k in range(1, 70, 2):
        own = table.filter(table["value"] % 70 == k, table["metric"].str.starts_with("name"))
        assert own[f"k{k}"].to_list() == own["value"].to_list()


def test_interrupted_roll_is_made_up_for_by_the_next_call(
    tmp_path: Path, at_each_line: Callable[[str, str, Callable[[], None]], list[int]]
) -> None:
    """The slow path and the fast one go on in the same segment, or rows would change their order."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with skald.Logger("run", tmp_path) as logger:
        for number in range(3):
            logger.log_metric("loss", float(number))
        at_each_line("writer.py", "_activate", interrupt)
        with pytest.raises(KeyboardInterrupt):  # when the dictionary is full, though there are rows left
            logger.log_metrics({letter * 250: 0.0 for letter in "abcdefgh"})
        sys.settrace(None)
        for number in range(3, 9):
            logger.log_metric("loss", Decimal(number) if number % 2 else float(number))

    assert values(tmp_path / "run") == list(range(9))


@pytest.fixture
def at_each_bytecode() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Let a test do something between any two bytecodes of a generated function."""

    def begin(action: Callable[[], None]) -> None:
        def trace(frame: Any, event: str, _: object) -> object:
            if not frame.f_code.co_filename.startswith("<skald"):
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                action()
            return trace

        sys._getframe().f_trace_opcodes = True  # NOTE: Python 3.12 asks for it when the tracing begins
        sys.settrace(trace)  # type: ignore[arg-type]

    yield begin
    sys.settrace(None)


Call = Callable[[skald.Logger, float], None]


def one(logger: skald.Logger, number: float) -> None:
    """Log one row."""
    logger.log_metric("loss", number, step=int(number), tag=f"t{number}", is_best=True)


def few(logger: skald.Logger, number: float) -> None:
    """Log two rows, which are stored one by one."""
    logger.log_metrics({"loss": number, "more": number}, step=int(number), tag=f"t{number}")


def many(logger: skald.Logger, number: float) -> None:
    """Log a block."""
    logger.log_metrics(dict.fromkeys(map(str, range(20)), 0.5) | {"loss": number}, step=int(number))


@pytest.mark.parametrize("call", [one, few, many])
def test_row_is_read_whole_or_not_at_all_between_any_two_bytecodes(
    tmp_path: Path, at_each_bytecode: Callable[[Callable[[], None]], None], call: Call
) -> None:
    """The time is stored last."""
    seen: set[tuple[tuple[str, Any], ...]] = set()
    with skald.Logger("run", tmp_path) as logger:
        for number in range(5):
            call(logger, float(number))

        def look() -> None:
            sys.settrace(None)
            seen.update(tuple(row.items()) for row in rows(tmp_path / "run"))
            sys.settrace(tracer)

        at_each_bytecode(look)
        tracer = sys.gettrace()
        call(logger, 5.0)
        sys.settrace(None)

    assert seen == {tuple(row.items()) for row in rows(tmp_path / "run")}


@pytest.mark.parametrize("call", [one, few, many])
def test_interrupt_between_any_two_bytecodes_doubles_no_row(
    tmp_path: Path, at_each_bytecode: Callable[[Callable[[], None]], None], call: Call
) -> None:
    """A call that raised may have logged its row; made again it logs it once, and no row is wrong."""
    left, raised = [0], set()

    def interrupt() -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    with skald.Logger("run", tmp_path) as logger:
        for number in range(5):
            call(logger, float(number))
        for number in range(5, 400):
            left[0] = number - 4
            at_each_bytecode(interrupt)
            try:
                call(logger, float(number))
            except KeyboardInterrupt:
                sys.settrace(None)
                raised.add(float(number))
                call(logger, float(number))
            sys.settrace(None)

    found = rows(tmp_path / "run")
    numbers = [row["value"] for row in found]
    assert sorted(set(numbers)) == [float(number) for number in range(400)]
    assert all(numbers.count(number) == 1 or number in raised for number in numbers)
    assert len(numbers) < 440  # few instructions stand between the last store and the return
    assert all(
        row["step"] == row["value"] and row.get("tag", f"t{row['value']}") == f"t{row['value']}" for row in found
    )


def test_handler_may_close_in_the_midst_of_a_roll(
    tmp_path: Path, at_each_line: Callable[[str, str, Callable[[], None]], list[int]]
) -> None:
    """The call that it interrupted raises LoggerClosedError, and what was logged before is kept."""
    logger = skald.Logger("run", tmp_path)
    logger.log_metric("loss", 0.0)
    lines: list[int] = []

    def close() -> None:
        if len(lines) == 5:
            logger.close()

    lines = at_each_line("writer.py", "_roll", close)
    with pytest.raises(skald.LoggerClosedError):
        logger.log_metric("loss", 1.0, epoch=1)
    sys.settrace(None)

    assert values(tmp_path / "run") == [0.0]


@pytest.mark.parametrize("function", ["acquire", "_try", "release"])
def test_lock_is_had_by_a_handler_wherever_it_interrupts(
    at_each_line: Callable[[str, str, Callable[[], None]], list[int]], tmp_path: Path, function: str
) -> None:
    """As its thread takes the lock or gives it back too: it waits for nobody, and others are kept out meanwhile."""
    path = tmp_path / "lock"

    def interrupt() -> None:
        inner = FileLock(path, reentrant=True)
        assert inner.acquire(5)
        assert is_locked(path)
        inner.release()

    lines = at_each_line("lock.py", function, interrupt)
    for _ in range(40):
        with FileLock(path, reentrant=True):
            assert is_locked(path)
        assert not is_locked(path)
    sys.settrace(None)

    assert len(set(lines)) >= 4
    assert not lock.reentrant


def test_handler_may_keep_an_artifact_in_the_midst_of_another(
    at_each_line: Callable[[str, str, Callable[[], None]], list[int]], tmp_path: Path
) -> None:
    """As one for SIGTERM does that saves a checkpoint: both are whole, with their sums."""
    logger = skald.Logger("run", tmp_path)
    lines = at_each_line("artifacts.py", "put", lambda: logger.log_text("b", "inner", n=len(lines)))
    for number in range(40):
        logger.log_text("a", f"outer {number}")
    sys.settrace(None)
    logger.close()

    run = skald.Run(tmp_path / "run")
    assert len(set(lines)) >= 5
    for artifact in run.artifacts.filter(pl.col("path").str.ends_with(".txt")).rows(named=True):
        data = (run.path / "artifacts" / artifact["path"]).read_bytes()
        assert (artifact["size"], artifact["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert len(list((run.path / "artifacts" / "b").iterdir())) == len(lines)
    assert (run.path / "artifacts" / "a.txt").read_text() == "outer 39"


def test_handler_that_logs_a_new_id_does_not_wait_for_params(tmp_path: Path) -> None:
    """The lock of the run is held by the very thread that the handler interrupted, so waiting would be for ever."""
    with skald.Logger("run", tmp_path) as logger, FileLock(tmp_path / "run/segments/run.lock", reentrant=True):
        previous = signal.signal(signal.SIGUSR1, lambda *_: logger.log_metric("loss", 1.0, new=1))
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, previous)

    assert values(tmp_path / "run") == [1.0]


def test_handler_may_close_in_the_midst_of_log_params(tmp_path: Path) -> None:
    """As one for SIGTERM does: the lock of the run, which closing needs, is held by the call that it interrupted."""
    logger = skald.Logger("run", tmp_path)
    logger.log_metric("loss", 1.0)

    with FileLock(tmp_path / "run/segments/run.lock", reentrant=True):
        previous = signal.signal(signal.SIGUSR1, lambda *_: logger.close())
        signal.raise_signal(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, previous)

    assert skald.Run(tmp_path / "run").status == "finished"
    assert values(tmp_path / "run") == [1.0]


class Interrupted:
    """A lock that a Ctrl-C meets once it is taken, and before its block begins, as Python 3.14 lets it."""

    def __init__(self, lock: Any) -> None:
        self.lock, self.release, self._is_owned = lock, lock.release, lock._is_owned

    def __enter__(self) -> None:
        self.lock.acquire()
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        self.release()


def test_interrupt_as_the_lock_is_taken_leaves_it_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or other threads would wait for ever."""
    with skald.Logger("run", tmp_path) as logger:
        writer = logger._session.writer()
        with monkeypatch.context() as patch:
            patch.setattr(writer, "lock", Interrupted(writer.lock))
            with pytest.raises(KeyboardInterrupt):
                logger.log_metric("loss", 0.0)
        is_held = lock.is_held_here(writer.lock)
        logger.log_metric("loss", 1.0)

    assert not is_held
    assert values(tmp_path / "run") == [1.0]


def test_handler_and_thread_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A handler in a call that holds the writer's lock logs, while a thread has code made for its calls."""
    with skald.Logger("run", tmp_path) as logger:
        session = logger._session
        writer, ready, go = session.writer(), threading.Event(), threading.Event()

        def beside() -> None:
            for step in range(20):
                logger.log_metric("beside", float(step), **{f"id{step}": step})
                ready.set()
                go.wait(10)

        thread = threading.Thread(target=beside)
        thread.start()
        ready.wait(10)
        with writer.lock:  # as an interrupted call holds it
            go.set()
            for step in range(20):
                logger.log_metric("loss", float(step), **{f"own{step}": step})
        thread.join()

    assert len(values(tmp_path / "run")) == len(values(tmp_path / "run", "beside")) == 20


class Produced:
    """A value that its device has just produced, as a JAX array says."""

    shape = ()

    def __init__(self) -> None:
        self.ready, self.asked = threading.Event(), threading.Event()

    def is_ready(self) -> bool:
        """Tell whether the device is done."""
        return self.ready.is_set()

    def __float__(self) -> float:
        self.asked.set()
        return 0.5


@pytest.mark.parametrize("method", ["sync", "close"])
def test_handler_may_sync_and_close_while_a_thread_commits_values_of_a_device(tmp_path: Path, method: str) -> None:
    """The thread waits for the lock of the call that the handler interrupted, and the handler not for the thread."""
    with skald.Logger("run", tmp_path) as logger:
        value = Produced()
        logger.log_metric("loss", value)
        with logger._session.writer().lock:  # as an interrupted call holds it
            value.ready.set()
            assert value.asked.wait(10)
            getattr(logger, method)()

            assert values(tmp_path / "run") == [0.5]


def raise_at(place: int, error: type[Exception], file: str) -> list[int]:
    """Raise an error at a line that the code of a file comes to, as a signal handler would; return where that was."""
    raised: list[int] = []
    lines = 0

    def trace(frame: object, event: str, _: object) -> object:
        nonlocal lines
        if not frame.f_code.co_filename.startswith(file):  # type: ignore[attr-defined]
            return None
        lines += event == "line"
        if event == "line" and lines == place:
            raised.append(frame.f_lineno)  # type: ignore[attr-defined]
            raise error
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    return raised


@pytest.mark.parametrize("error", [ValueError, TypeError, KeyError, AttributeError])
@pytest.mark.parametrize("metrics", [0, 3, 30])
def test_error_of_a_handler_is_raised_by_the_call_that_it_interrupts(
    tmp_path: Path, error: type[Exception], metrics: int
) -> None:
    """Errors of a full segment or of a new name are Skald's own affair; those of others are not taken for them."""
    given = {str(number): 0.5 for number in range(metrics)}
    with skald.Logger("run", tmp_path) as logger:

        def log(step: int) -> None:
            if given:
                logger.log_metrics(given, step=step)
            else:
                logger.log_metric("loss", 0.5, step=step)

        for step in range(10):
            log(step)
        interrupted = []
        for place in range(1, 12):
            raised = raise_at(place, error, "<skald log_metric")
            try:
                log(10 + place)
            except error:
                interrupted += raised
            else:
                assert not raised
            finally:
                sys.settrace(None)
        log(100)

    assert len(interrupted) > 5
