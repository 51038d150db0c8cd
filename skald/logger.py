"""The logger: what a training loop calls."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from skald.engine.batch import Batch
from skald.errors import InvalidInputError, StorageError, unless_handlers
from skald.record.console import Messages
from skald.record.params import merge
from skald.record.plain import plain
from skald.schema import Id
from skald.writing.artifact_calls import ArtifactCalls
from skald.writing.calls import Calls
from skald.writing.copies import Copyable
from skald.writing.ending import Ending, Word, ending, undisturbed
from skald.writing.opening import Description, check_mode
from skald.writing.scope import plain_ids
from skald.writing.starting import start_session

if TYPE_CHECKING:
    from rich.panel import Panel

    from skald.reading.portrait import Facts
    from skald.run import Run

T = TypeVar("T")
Errors = Literal["raise", "warn"]

SYSTEM_SECS: Final = 5.0


class Logger(Copyable, Messages, ArtifactCalls):
    """Logs one run: metrics with any ids, params, messages and files.

    Example:
        with skald.Logger("test-run-1") as logger:
            for epoch in logger.track(range(10), "epoch"):
                logger.log_metric("loss", 0.3, step=40)
    """

    _tui = False

    def __init__(
        self,
        run_name: str | None = None,
        dir: str | os.PathLike[str] | None = None,
        *,
        ids: Mapping[str, Any] | None = None,
        metrics_format: Literal["parquet", "csv"] | None = None,
        mode: Literal["new", "resume", "auto", "join", "overwrite", "disabled"] | None = None,
        errors: Errors = "raise",
        capture: Literal[True, False, "fd"] = True,
        system: bool = False,
        tags: str | Iterable[str] = (),
        notes: str = "",
        tui: bool = False,
    ) -> None:
        """Open a run for writing.

        Args:
            run_name: the run's folder in `dir`; default: the local time, made unique.
            dir: where runs live; default: `$SKALD_DIR`, else `runs`.
            ids: constant ids on every row, as `{"rank": 3}`.
            metrics_format: the file that compaction writes, "parquet" (default) or "csv"; of a run that is continued:
                the one that it has.
            mode: default `$SKALD_MODE`, else "new": "resume" continues an ended run, "auto" does so or creates,
                "join" writes beside other processes, "overwrite" deletes the run first, "disabled" keeps nothing.
            errors: what a call with bad input does: "raise", or "warn": it is refused, counted and warned of.
            capture: inside the context manager what is printed to stdout and stderr also goes to console.log;
                "fd": also what C code and child processes print (not on Windows); False: nothing.
            system: log system metrics, as `log_system()` does.
            tags: words to find the run by.
            notes: what it is about.
            tui: open the viewer in the terminal when the context manager ends, if there is one: in the process that
                made the run or resumed it.

        Raises:
            InvalidInputError: an argument is none of these.
            RunExistsError, RunNotFoundError: the mode forbids what is there.
            StorageError: the folder cannot be written.
        """
        _check_choice("errors", errors, ("raise", "warn"))
        _check_choice("system", system, (True, False))
        _check_choice("tui", tui, (True, False))
        _check_choice("capture", capture, (True, False, "fd") if os.name == "posix" else (True, False))
        if ids is not None and not isinstance(ids, Mapping):
            raise InvalidInputError(f"ids must be a mapping of names to values, got {type(ids).__name__}")
        constant = plain_ids(ids or {})
        description = Description.of(metrics_format, tags, notes)
        session = start_session(run_name, dir, check_mode(mode), description, errors=errors)
        try:
            session.constant = constant
            self._open(Calls(session, constant, None, type(self)), capture)
            if tui:
                self._tui = True
            if system:
                session.log_system(SYSTEM_SECS)
        except BaseException as error:  # a Ctrl-C, mostly: nobody has the logger, to close it
            undisturbed(partial(session.close, *ending(error)))
            raise

    # --- logging ---

    def log_metric(self, name: str, value: Any, /, **ids: Any) -> None:
        """Log one value of a metric.

        Args:
            name: the metric; `/` groups.
            value: anything with a float value; one on an accelerator is not waited for.
            **ids: what identifies the value: int, float, str or bool; None leaves out an id of the logger.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        self._calls.function("log_metric")(name, value, **ids)

    def log_metrics(self, metrics: Mapping[str, Any], /, **ids: Any) -> None:
        """Log several metrics with the same ids and time.

        Args:
            metrics: name to value; nested mappings are joined with `/`.
            **ids: as in `log_metric`.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        self._calls.function("log_metrics")(metrics, **ids)

    log = log_metrics

    def log_batch(self, metrics: Mapping[str, Any], /, *, time: Any = None, **ids: Any) -> None:
        """Log whole columns at once: a row for each place in the arrays, of each metric.

        Args:
            metrics: name to 1-D array of length n: NumPy, Arrow, Polars, Torch on the CPU, or a sequence.
            time: a datetime (local, where it has no zone; of NumPy, Arrow and Polars UTC) or seconds since the epoch,
                one or an array of n; default: now.
            **ids: arrays of length n, or scalars.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        with self._calls.policy():
            writer = self._session.writer()
            batch = Batch.of(metrics, self._calls.scope.merged(ids), time)
            for name, count in batch.rounded.items():
                self._session.losses.note_rounded(name, count)
            if batch.length:
                writer.append_batch(batch)

    def log_histogram(self, name: str, values: Any, /, *, bins: Any = 64, **ids: Any) -> None:
        """Log how values are spread: a row a bin, its count as the value, its edges as the ids `bin_low`, `bin_high`.

        NaN and infinities are left out, and counted in the metric `NAME/nonfinite`, where there are any. Of no
        finite value there are no bins. `Run.summary` and the tables of metrics leave histograms out.

        Args:
            name: the metric.
            values: numbers in an array of any shape: NumPy, Torch, or what NumPy makes one of.
            bins: how many, their edges, or a rule of NumPy's, as "auto".
            **ids: as in `log_metric`.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        from skald.writing.histogram import histogram_batches

        with self._calls.policy():
            writer = self._session.writer()
            for batch in histogram_batches(name, values, bins, self._calls.scope.merged(ids)):
                writer.append_batch(batch)

    def log_param(self, name: str, value: Any, /) -> None:
        """Log one parameter; a mapping may be nested. The last value of a leaf stands."""
        with self._calls.policy():
            _check_param_name(name)
            self._update_params({name: value})

    def log_params(self, mapping: Any = None, /, **params: Any) -> None:
        """Log parameters, nested as they are: a mapping, or an object with fields, and keyword arguments."""
        with self._calls.policy():
            given = {} if mapping is None else plain(mapping)
            if not isinstance(given, dict):
                raise InvalidInputError(f"log_params takes a mapping of names to values, got {type(mapping).__name__}")
            self._update_params(merge(given, plain(params)))

    def _update_params(self, mapping: Mapping[str, Any]) -> None:
        self._session.writer()  # raises where the session is closed, and joins where it has no writer
        try:
            self._session.params.update(mapping)
        except unless_handlers(StorageError):
            self._session.check_open()  # a signal handler has closed it meanwhile
            raise

    def log_system(self, *, every: float = SYSTEM_SECS) -> None:
        """Log metrics of the system, `system/...`, from now on until the run is closed.

        They are the CPU and memory of this process with its children, and from one process of a host those of the
        machine, its disks and network, and of each NVIDIA GPU, with the id `gpu` (a string, so that each
        has a series of its own). They have the ids of `Logger(ids=)` and no others. Calling it again changes how often.

        Args:
            every: seconds between two readings.
        """
        with self._calls.policy():
            self._session.log_system(_check_secs("every", every))

    # --- ids ---

    @property
    def ids(self) -> dict[str, Id]:
        """The ids that a call would get now."""
        return self._origin.ids if self._origin else self._calls.ids()

    def bind(self, /, **ids: Any) -> Self:
        """Return a logger on the same run with more constant ids.

        It follows `track` and `set_ids` of this logger; what is set on it does not reach back.
        """
        calls = self._calls
        bound = type(self).__new__(type(self))
        given = calls.checked(ids)
        with self._session.lock:
            more = Calls(self._session, {**calls.scope.constant, **given}, calls, type(self))
        bound._open(more, self._capture)
        return bound

    def set_ids(self, /, **ids: Any) -> None:
        """Set ids that stay until they are changed; None removes one.

        They hold for the whole logger, in all threads and tasks: where several work side by side, give each its own
        (`bind`), or use `contextualize`.
        """
        self._calls.set_ids(**ids)

    def contextualize(self, /, **ids: Any) -> AbstractContextManager[None]:
        """Give these ids to every call inside, in this thread or task."""
        return self._session.contextualize(self._calls.checked(ids))

    def track(
        self, iterable: Iterable[T], id: str, *, total: int | None = None, description: str | None = None
    ) -> Iterator[T]:
        """Iterate with a progress bar, and the id set to each item for every call inside.

        Items that are no int, float, str or bool count by their position. When the loop ends, also by `break`
        or an exception, the id is again what it was. It holds for the whole logger, in all threads and tasks: loops
        side by side each go through a logger of their own, `logger.bind().track(...)`.

        Args:
            iterable: what to go through.
            id: the name of the id.
            total: how many items there are in all; default: the length of `iterable`, where it has one.
                Where it is longer than that the loop goes on with something: `track(range(start, n), "step", total=n)`
                begins at `start`.
            description: what the bar says; default: the id.
        """
        from skald.writing.progress import track

        return track(self._calls, iterable, id, total=total, description=description)

    # --- life ---

    def rewind(self, /, **ids: Any) -> None:
        """Go back to a checkpoint: rows beyond these ids no longer count; without ids no row does.

        The ids are compared as a tuple, in the order given. Rows that lack one of them no longer count if they
        were logged after the first row beyond. Concerned is what was logged so far by this logger, and by
        processes that had closed or died when it was opened. Of a logger with constant ids, as `{"rank": 3}`, rows
        with others stay that a process left which had finished, or which began while this one was starting: of
        another rank. Params, console and artifacts stay.

        Args:
            **ids: the last place to keep, from the outer id to the inner: `rewind(epoch=3, step=120)`.

        Raises:
            InvalidInputError: a value is None, NaN or infinite, or an id is unknown and much like a known one.
            IdTypeError: an id of another kind than in this run.
            LoggerClosedError: the logger is closed.
            StorageError: the disk takes no more. In each case all rows count as before.
        """
        from skald.writing.rewinding import rewind

        with self._calls.policy():
            rewind(self._session, ids)

    @property
    def run(self) -> Run:
        """The run that is being written, to be read."""
        from skald.run import Run

        return Run((self._origin and self._origin.run) or self._session.folder())

    def sync(self) -> None:
        """Wait until the disk itself, not only the kernel, has everything that was logged.

        Raises:
            LoggerClosedError: the logger is closed.
            StorageError: the disk takes nothing, the folder is gone.
        """
        self._session.sync()

    def close(self, status: Word = "finished") -> None:
        """Compact the metrics and end the run; closing again does nothing.

        A call that another thread is at may raise LoggerClosedError, and have its row in the run all the same.

        Args:
            status: "finished", "stopped" or "failed".
        """
        _check_choice("status", status, ("finished", "stopped", "failed"))
        if self._origin:
            self._origin = self._origin._replace(closed=True)
        else:
            self._session.close(status)

    def __enter__(self) -> Self:
        """Return the logger; what is printed from now on is in console.log."""
        self._session.check_open()
        if self._capture:
            try:
                self._session.capture.start(deep=self._capture == "fd")
            except BaseException as error:  # no descriptor is left, no process: the block does not begin
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the run, with a status that says how the block was left."""
        left = ending(error)
        try:
            self._leave(left, error)
        finally:
            self._session.capture.stop()
        if self._tui and self._session.run and not (self._session.joined or self._session.forked):
            from skald.writing.viewing import open_viewer

            open_viewer(self._session.run)

    def _leave(self, left: Ending, error: BaseException | None) -> None:
        if self._session.is_ended and error is not None and left.exception:  # closed in the block, as in a `finally`
            trace = "".join(traceback.format_exception(error))
            came = undisturbed(lambda: self._session.amend(left, trace))[1]
            if came:
                raise came
            return
        try:
            if error is not None and left.exception:
                self._session.capture.tell(error)
        finally:  # NOTE: also where a Ctrl-C comes as the traceback is written
            self._session.close(*left)

    def __repr__(self) -> str:
        """Return one line: the run's name, status, rows and path, and the logger's ids."""
        return self._facts().line("Logger", self._ids_text())

    def __rich__(self) -> Panel:
        """Return a small panel for Rich."""
        from skald.reading.portrait import panel

        return panel(self._facts(), self._ids_text())

    def _repr_html_(self) -> str:
        """Return what a notebook shows of the run, and the logger's ids."""
        from skald.reading.portrait import page

        facts = self._facts()
        return page(facts, None if facts.rows is None else self.run, self._ids_text())

    def _facts(self) -> Facts:
        from skald.reading.portrait import Facts, facts_of

        recording = self._origin or self._session
        return facts_of(recording.run) if recording.run else Facts(recording.name, "disabled", None, Path())

    def _ids_text(self) -> str:
        return f"ids {self.ids}" if self.ids else ""


def _check_secs(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < threading.TIMEOUT_MAX:
        raise InvalidInputError(f"{name} must be a number of seconds above 0, got {value!r:.80}")
    return value


def _check_param_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"a param's name must be a str that is not empty, got {name!r:.80}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    try:
        is_one = value in choices
    except ValueError:  # an array has no one answer
        is_one = False
    if not is_one:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(str, choices))}, got {value!r}")
