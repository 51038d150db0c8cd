"""The logger: what a training loop calls."""

from __future__ import annotations

import contextlib
import inspect
import os
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from skald.batch import Batch
from skald.console import Console, Messages
from skald.errors import InvalidInputError, LoggerClosedError, SkaldError
from skald.functions import Branch, LogFunction, is_parameter
from skald.layout import check_run_name, runs_dir
from skald.opening import Description, check_mode, open_run, unused_name
from skald.pending import snapshot
from skald.progress import Bar
from skald.schema import KIND_OF, Id, check_id_name, check_metric_name, kind_error, plain_id, widen
from skald.session import Session, open_session
from skald.values import as_value

if TYPE_CHECKING:
    from skald.info import Status
    from skald.run import Run

T = TypeVar("T")
Errors = Literal["raise", "warn"]
IDLE_CALLS: Final = 3
"""Calls of a bound logger until it gets functions of its own: many are bound for one call."""


class Logger(Messages):
    """Logs one run: metrics with any ids, params and messages.

    Example:
        with skald.Logger("test-run-1") as logger:
            for epoch in logger.track(range(10), "epoch"):
                logger.log_metric("loss", 0.3, step=40)
    """

    def __init__(
        self,
        run_name: str | None = None,
        dir: str | os.PathLike[str] | None = None,  # noqa: A002 the word people expect
        *,
        ids: Mapping[str, Any] | None = None,
        metrics_format: Literal["parquet", "csv"] = "parquet",
        mode: Literal["new", "resume", "auto", "join", "overwrite", "disabled"] | None = None,
        errors: Errors = "raise",
        tags: str | Iterable[str] = (),
        notes: str = "",
    ) -> None:
        """Open a run for writing.

        Args:
            run_name: the run's folder in `dir`; default: the local time, made unique.
            dir: where runs live; default: `$SKALD_DIR`, else `runs`.
            ids: constant ids on every row, as `{"rank": 3}`.
            metrics_format: the file that compaction writes.
            mode: default `$SKALD_MODE`, else "new": "resume" continues an ended run, "auto" does so or creates,
                "join" writes beside other processes, "overwrite" deletes the run first, "disabled" keeps nothing.
            errors: what a call with bad input does: "raise", or "warn": it is refused, counted and warned of.
            tags: words to find the run by.
            notes: what it is about.

        Raises:
            InvalidInputError: an argument is none of these.
            RunExistsError, RunNotFoundError: the mode forbids what is there.
            StorageError: the folder cannot be written.
        """
        _check_choice("metrics_format", metrics_format, ("parquet", "csv"))
        _check_choice("errors", errors, ("raise", "warn"))
        chosen = check_mode(mode)
        if chosen == "join" and run_name is None:
            raise InvalidInputError("mode='join' needs the run_name of the run to join")
        constant = _plain_ids(ids or {})
        description = Description(metrics_format, (tags,) if isinstance(tags, str) else tuple(tags), notes)
        self._session = _open(run_name, dir, chosen, description, errors=errors)
        self._settle(None, constant)

    def _settle(self, parent: Logger | None, constant: Mapping[str, Id | None]) -> None:
        """Take up the ids, and the functions to hand out."""
        session = self._session
        self._parent = parent
        self._constant = dict(constant)
        self._layer: dict[str, Id | None] = {}  # of set_ids and track
        self._children: weakref.WeakSet[Logger] = weakref.WeakSet()
        self._ambient: dict[str, Id] = {}
        self._calls = 0
        self._console = parent._console.derive(self._ids_now) if parent else Console(session.file, self._ids_now)
        self._functions = {name: LogFunction(name, self, session.namespace) for name in ("log_metric", "log_metrics")}
        for name, generated in self._functions.items():
            generated.function.__doc__ = getattr(type(self), name).__doc__
            generated.function.__signature__ = _SIGNATURES[name]  # type: ignore[attr-defined]
            self.__dict__[name] = generated.function
        self.__dict__["log"] = self._functions["log_metrics"].function
        session.loggers.add(self)
        if parent is not None:
            parent._children.add(self)
        self._refresh(anew=True)

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
        self._log_metric(name, value, ids)

    def log_metrics(self, metrics: Mapping[str, Any], /, **ids: Any) -> None:
        """Log several metrics with the same ids and time.

        Args:
            metrics: name to value; nested mappings are joined with `/`.
            **ids: as in `log_metric`.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        self._log_metrics(metrics, ids)

    log = log_metrics

    def log_batch(self, metrics: Mapping[str, Any], /, *, time: Any = None, **ids: Any) -> None:
        """Log whole columns at once: a row for each place in the arrays, of each metric.

        Args:
            metrics: name to 1-D array of length n: NumPy, Arrow, Polars, Torch on the CPU, or a sequence.
            time: a datetime or seconds since the epoch, one or an array of n; default: now.
            **ids: arrays of length n, or scalars.

        Raises:
            InvalidInputError, ValueTypeError, IdTypeError: nothing was logged.
            LoggerClosedError: the logger is closed.
        """
        with self._policy():
            batch = Batch.of(metrics, self._merged(ids), time)
            self._session.writer().append_batch(batch)

    def log_param(self, name: str, value: Any, /) -> None:
        """Log one parameter; a mapping may be nested. The last value of a leaf stands."""
        with self._policy():
            if not isinstance(name, str) or not name:
                raise InvalidInputError(f"a param's name must be a str that is not empty, got {name!r}")
            self._update_params({name: value})

    def log_params(self, mapping: Any = None, /, **params: Any) -> None:
        """Log parameters, nested as they are: a mapping, or an object with fields, and keyword arguments."""
        with self._policy():
            if mapping is not None:
                self._update_params(mapping)
            if params:
                self._update_params(params)

    def _update_params(self, mapping: Any) -> None:
        if self._session.closed:
            raise LoggerClosedError("the logger is closed, so no params can be logged to this run")
        self._session.params.update(mapping)

    # --- ids ---

    @property
    def ids(self) -> dict[str, Id]:
        """The ids that a call would get now."""
        return dict(self._ids_now())

    def bind(self, **ids: Any) -> Self:
        """Return a logger on the same run with more constant ids.

        It follows `track` and `set_ids` of this logger; what is set on it does not reach back.
        """
        constant = {**self._constant, **_plain_ids(ids)}
        bound = type(self).__new__(type(self))
        bound._session = self._session
        bound._settle(self, constant)
        return bound

    def set_ids(self, **ids: Any) -> None:
        """Set ids that stay until they are changed; None removes one."""
        ambient = self._ambient
        for name, value in ids.items():
            if name not in self._layer or type(ambient.get(name)) is not type(value) or type(value) not in KIND_OF:
                break
        else:
            if not self._children:
                self._layer = {**self._layer, **ids}
                self._ambient = {**ambient, **ids}
                return
        with self._policy():
            self._set(_plain_ids(ids))

    def _set(self, ids: Mapping[str, Id | None]) -> None:
        for name, value in ids.items():
            known = self._session.writer().registry.kinds.get(name)
            if value is not None and known and not widen(known, KIND_OF[type(value)]):
                raise kind_error(name, KIND_OF[type(value)], known)
        with self._session.lock:
            self._layer = {**self._layer, **ids}
            self._refresh()

    @contextlib.contextmanager
    def contextualize(self, **ids: Any) -> Iterator[None]:
        """Give these ids to every call inside, in this thread or task."""
        session = self._session
        with session.lock:
            if not session.contextual:
                session.contextual = True
                for logger in list(session.loggers):
                    logger._refresh(anew=True)
        token = session.context.set({**(session.context.get() or {}), **_plain_ids(ids)})
        try:
            yield
        finally:
            session.context.reset(token)

    def track(
        self, iterable: Iterable[T], id: str, *, total: int | None = None, description: str | None = None  # noqa: A002
    ) -> Iterator[T]:
        """Iterate with a progress bar, and the id set to each item for every call inside.

        Items that are no int, float, str or bool count by their position. When the loop ends, also by `break`
        or an exception, the id is again what it was.

        Args:
            iterable: what to go through.
            id: the name of the id.
            total: how many items there are in all; default: the length of `iterable`, where it has one.
            description: what the bar says; default: the id.
        """
        check_id_name(id)
        if total is None:
            total = len(iterable) if hasattr(iterable, "__len__") else None
        return self._tracked(iter(iterable), id, Bar(description or id, total))

    def _tracked(self, items: Iterator[T], name: str, bar: Bar) -> Iterator[T]:
        before = self._layer.get(name, _ABSENT)
        try:
            for position, item in enumerate(items):
                self.set_ids(**{name: _as_id(item, position)})
                bar.show(position, item)
                yield item
                bar.advance(position + 1)
        finally:
            bar.close()
            with self._session.lock:
                self._layer = {key: value for key, value in self._layer.items() if key != name}
                if before is not _ABSENT:
                    self._layer[name] = before  # type: ignore[assignment]
                self._refresh()

    def _refresh(self, *, anew: bool = False) -> None:
        """Work out the ids that calls get from the logger, for it and those bound to it; the lock is held."""
        merged = {**self._constant, **self._layers()}
        ambient = {name: value for name, value in merged.items() if value is not None}
        changed = ambient.keys() != self._ambient.keys()
        self._ambient = ambient
        if changed or anew:
            for function in self._functions.values():
                function.switch(ambient, contextual=self._session.contextual)
        for child in list(self._children):
            child._refresh(anew=anew)

    def _layers(self) -> dict[str, Id | None]:
        return {**(self._parent._layers() if self._parent else {}), **self._layer}

    def _ids_now(self) -> Mapping[str, Id]:
        context = self._session.context.get()
        return self._resolved(context) if context else self._ambient

    def _resolved(self, ids: Mapping[str, Id | None]) -> dict[str, Id]:
        return {name: value for name, value in {**self._ambient, **ids}.items() if value is not None}

    def _has_context(self) -> bool:
        return self._session.context.get() is not None

    def _merged(self, ids: Mapping[str, Any]) -> dict[str, Any]:
        context = self._session.context.get()
        ids = {**context, **ids} if context else ids
        return {name: value for name, value in {**self._ambient, **ids}.items() if value is not None}

    # --- the slow path of a log call ---

    def _log_metric(self, name: str, value: Any, ids: Mapping[str, Any]) -> None:
        try:
            resolved = self._plain(ids)
            checked = check_metric_name(name)
            device = None if type(value) is float else snapshot(value)
            now = time.time_ns()
            writer = self._session.writer()
            if device is not None:
                slot = writer.reserve(checked, resolved)
                self._session.pending.add(device, slot, writer, checked, now)
                return
            writer.append([(checked, self._number(checked, value))], resolved, now)
            self._adapt("log_metric", ids, resolved)
        except SkaldError as error:
            self._refuse(error)

    def _log_metrics(self, metrics: Mapping[str, Any], ids: Mapping[str, Any], now: int | None = None) -> None:
        try:
            resolved = self._plain(ids)
            if now is None:
                now = time.time_ns()
            rows, waiting = [], []
            for name, value in _flat(metrics):
                device = None if type(value) is float else snapshot(value)
                if device is None:
                    rows.append((name, self._number(name, value)))
                else:
                    waiting.append((name, device))
            writer = self._session.writer()
            if rows:
                writer.append(rows, resolved, now)
            for name, device in waiting:
                self._session.pending.add(device, writer.reserve(name, resolved), writer, name, now)
            if rows and not waiting:
                self._adapt("log_metrics", ids, resolved)
        except SkaldError as error:
            self._refuse(error)

    def _number(self, name: str, value: Any) -> float:
        if type(value) is float:
            return value
        number, rounded = as_value(name, value)
        if rounded:
            self._session.note_rounded(name)
        return number

    def _plain(self, ids: Mapping[str, Any]) -> dict[str, Id]:
        """Return all ids of a call, those of the logger among them, checked and plain."""
        merged = self._merged(ids)
        kinds = self._session.writer().registry.kinds
        for name, value in merged.items():
            if name not in kinds:
                check_id_name(name)
            merged[name] = plain_id(name, value)
        return merged

    def _adapt(self, function: str, given: Mapping[str, Any], resolved: Mapping[str, Id]) -> None:
        """Have code made for this id set, if generated code can serve it."""
        self._calls += 1
        session = self._session
        if self._parent is not None and self._calls <= IDLE_CALLS:
            return
        if session.context.get() or None in given.values() or not all(map(is_parameter, given)):
            return
        with session.lock:
            writer = session.writer()
            columns = writer.columns_of(resolved)
            if columns is None:
                return
            variable = session.namespace.variable(tuple(name for name, _ in columns))
            branch = Branch(variable, columns, frozenset(given))
            self._functions[function].adapt(self._ambient, branch, contextual=session.contextual)

    @contextlib.contextmanager
    def _policy(self) -> Iterator[None]:
        try:
            yield
        except SkaldError as error:
            self._refuse(error)

    def _refuse(self, error: SkaldError) -> None:
        """Raise an error, or count it where `errors` says so."""
        if self._session.errors == "raise" or isinstance(error, LoggerClosedError):
            raise error
        self._session.refuse(error)

    # --- life ---

    @property
    def run(self) -> Run:
        """The run that is being written, to be read."""
        from skald.run import Run

        if self._session.run is None:
            raise InvalidInputError("a disabled logger writes no run, so there is none to read")
        return Run(self._session.run)

    def sync(self) -> None:
        """Wait until the disk itself, not only the kernel, has everything that was logged."""
        self._session.sync()

    def close(self, status: Status = "finished") -> None:
        """Compact the metrics and end the run; closing again does nothing.

        Args:
            status: "finished", "stopped" or "failed".
        """
        _check_choice("status", status, ("finished", "stopped", "failed"))
        self._session.close(status)

    def __enter__(self) -> Self:
        """Return the logger."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the run, with a status that says how the block was left."""
        self.close(_status_after(error))

    def __copy__(self) -> Self:
        """Return the logger itself: there is one writer."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """Return the logger itself: there is one writer."""
        return self

    def __repr__(self) -> str:
        """Return one line: the run's name, its ids, its folder."""
        session = self._session
        state = "closed" if session.closed else "open"
        return f"<skald.Logger {session} {state}, ids {dict(self._ambient)}, {session.run or 'nothing on disk'}>"


_ABSENT: Final = object()


def _signature(method: str) -> inspect.Signature:
    full = inspect.signature(getattr(Logger, method))
    return full.replace(parameters=list(full.parameters.values())[1:])


_SIGNATURES: Final = {method: _signature(method) for method in ("log_metric", "log_metrics")}


def _open(
    run_name: str | None, folder: str | os.PathLike[str] | None, mode: str, description: Description, *, errors: str
) -> Session:
    """Open the session of a new logger."""
    runs = runs_dir(folder)
    name = unused_name(runs) if run_name is None else check_run_name(run_name)
    if mode == "disabled":
        return Session(None, None, joined=False, errors=errors)
    path = runs / name
    session = open_session(path)
    if session and mode == "overwrite" and not session.forked:
        session.close("stopped")  # a notebook cell run twice
    opened = open_run(path, mode, description)  # type: ignore[arg-type]
    return Session(opened.run, opened.claim, joined=opened.joined, errors=errors)


def _plain_ids(ids: Mapping[str, Any]) -> dict[str, Id | None]:
    """Return ids checked and plain; None stays, as it removes an id."""
    for name in ids:
        check_id_name(name)
    return {name: None if value is None else plain_id(name, value) for name, value in ids.items()}


def _as_id(item: object, position: int) -> Id:
    try:
        return plain_id("item", item)
    except SkaldError:
        return position


def _flat(metrics: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Go through a mapping of metrics, the names of nested ones joined with `/`."""
    if not isinstance(metrics, Mapping):
        error = InvalidInputError(f"log_metrics takes a mapping of names to values, got {type(metrics).__name__}")
        if isinstance(metrics, str):
            error.add_note("hint: log.info(...) logs a message; log_metric(name, value) logs one metric")
        raise error
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            check_metric_name(name)
            yield from ((check_metric_name(f"{name}/{inner}"), number) for inner, number in _flat(value))
        else:
            yield check_metric_name(name), value


def _status_after(error: BaseException | None) -> Status:
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "finished"
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidInputError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
