"""The log calls of one logger: the functions that it hands out, and the slow path behind them."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from skald.engine.functions import LogFunction
from skald.engine.pending import snapshot
from skald.engine.source import BLOCK_ROWS, Branch, is_parameter
from skald.errors import InvalidInputError, LoggerClosedError, SkaldError
from skald.record.plain import MAX_DEPTH
from skald.schema import Id, Kinds, check_id_name, check_metric_name, plain_id
from skald.values import as_value
from skald.writing.scope import Ids, Scope, plain_ids
from skald.writing.session import Session

IDLE_CALLS: Final = 3
"""Calls of a bound logger until it gets code of its own: many are bound for one call."""
MOST_SETTLED: Final = 1024


class Calls:
    """What generated code falls back on: it checks everything anew, logs, and has better code made."""

    def __init__(self, session: Session, constant: Ids, parent: Calls | None, like: type) -> None:
        """Make the functions of a logger.

        Args:
            session: where the rows go.
            constant: the ids of `Logger(ids=)` and `bind`.
            parent: the calls of the logger that this one is bound from.
            like: the class whose methods the functions stand for.
        """
        self.session = session
        self._functions = {name: LogFunction(name, self, session.namespace) for name in ("log_metric", "log_metrics")}
        self.scope: Scope = Scope(session.context, constant, parent.scope if parent else None, self.switch)
        self._idle = IDLE_CALLS if parent else 0
        self._settled: dict[tuple[str | int | None, ...], Kinds] = {}
        for name, generated in self._functions.items():
            method = getattr(like, name)
            generated.function.__doc__ = method.__doc__
            generated.function.__signature__ = _without_self(method)  # type: ignore[attr-defined]
        session.calls.add(self)
        self.switch()

    def function(self, name: str) -> Callable[..., None]:
        """Return one of the functions to hand out, `log_metric` or `log_metrics`."""
        return self._functions[name].function

    def ids(self) -> dict[str, Id]:
        """Return the ids that a call would get now."""
        return self.scope.merged({})

    def switch(self) -> None:
        """Give the functions the code for the ids that the logger has now; the session's lock is held."""
        for function in self._functions.values():
            function.switch(self.scope.ambient, contextual=self.session.contextual)

    @contextmanager
    def policy(self) -> Iterator[None]:
        """Raise errors of bad input, or count them, as the logger's `errors` says."""
        try:
            yield
        except SkaldError as error:
            self.refuse(error)

    def checked(self, ids: Mapping[str, Any]) -> Ids:
        """Return ids for many calls, plain and of the kinds that they have in this run; none where that is refused."""
        try:
            plain = plain_ids(ids)
            self.session.check_kinds(plain)
        except SkaldError as error:
            self.refuse(error)
            return {}
        return plain

    def set_ids(self, /, **ids: Any) -> None:
        """Set ids that stay until they are changed; None removes one."""
        session = self.session
        with session.lock:
            if session.closed or not self.scope.replace(ids):
                self._change_ids(ids)

    def put_ids(self, ids: Mapping[str, Any]) -> bool:
        """Set ids as `set_ids` does; tell whether none was refused."""
        with self.session.lock:
            return (not self.session.closed and self.scope.replace(ids)) or self._change_ids(ids)

    def _change_ids(self, ids: Mapping[str, Any]) -> bool:
        self.session.writer()
        checked = self.checked(ids)
        self.scope.set(checked)
        return len(checked) == len(ids)

    def refuse(self, error: SkaldError) -> None:
        """Raise an error of bad input, or count it, as the logger's `errors` says."""
        if self.session.errors == "raise" or isinstance(error, LoggerClosedError):
            raise error
        self.session.losses.refuse(error)

    # --- what generated code calls ---

    def has_context(self) -> bool:
        """Tell whether this thread or task is inside `contextualize`."""
        return self.session.context.get() is not None

    def log_metric(self, name: str, value: Any, ids: Mapping[str, Any]) -> None:
        """Log one value."""
        try:
            resolved = self._plain(ids)
            self._log([(check_metric_name(name), value)], resolved, time.time_ns())
            self._adapt("log_metric", ids, resolved, None)
        except SkaldError as error:
            self.refuse(error)

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        ids: Mapping[str, Any],
        left_at: int | None = None,
        *,
        more: Sequence[Any] = (),
    ) -> None:
        """Log several values.

        Args:
            metrics: name to value.
            ids: those of the call.
            left_at: the time of a call that has stored some of its rows already.
            more: arguments that are too many.
        """
        if more and isinstance(metrics, Mapping):
            raise TypeError(f"Logger.log_metrics() takes 1 positional argument but {1 + len(more)} were given")
        try:
            resolved = self._plain(ids)
            rows = [*_flat(metrics)]
            self._log(rows, resolved, left_at or time.time_ns())
            if len(rows) == len(metrics) and left_at is None:
                self._adapt("log_metrics", ids, resolved, len(rows) if len(rows) <= BLOCK_ROWS else 0)
        except SkaldError as error:
            self.refuse(error)

    # --- the slow path ---

    def _plain(self, ids: Mapping[str, Any]) -> dict[str, Id]:
        """Return all ids of a call, those of the logger among them, checked and plain."""
        merged = self.scope.merged(ids)
        kinds = self.session.writer().registry.kinds
        for name, value in merged.items():
            if name not in kinds:
                check_id_name(name)
            merged[name] = plain_id(name, value)
        return merged

    def _log(self, metrics: list[tuple[str, Any]], ids: Mapping[str, Id], time_ns: int) -> None:
        """Append checked names and unchecked values; of values on a device, reserve the rows."""
        rows, waiting = [], []
        for name, value in metrics:
            device = None if type(value) is float else snapshot(value)
            if device is None:
                rows.append((name, self._number(name, value)))
            else:
                waiting.append((name, device))
        writer = self.session.writer()
        if rows:
            writer.append(rows, ids, time_ns)
        for name, device in waiting:
            self.session.pending.add(device, writer.reserve(name, ids), writer, name, time_ns)

    def _number(self, name: str, value: Any) -> float:
        if type(value) is float:
            return value
        number, rounded = as_value(name, value)
        if rounded:
            self.session.losses.note_rounded(name)
        return number

    def _adapt(self, function: str, given: Mapping[str, Any], resolved: Mapping[str, Id], count: int | None) -> None:
        """Have code made for this kind of call, if generated code can serve it."""
        if self._idle:
            self._idle -= 1
            return
        if self.has_context() or None in given.values():
            return
        session, ambient = self.session, self.scope.ambient
        kinds = session.writer().registry.kinds
        call = (function, count, *given, None, *resolved, None, *ambient)
        if self._settled.get(call) is kinds:
            return
        if not all(map(is_parameter, resolved)):
            self._settle(call, kinds)
            return
        columns = session.writer().columns_of(resolved)
        if columns is None:
            return
        with session.lock:
            variable = session.namespace.variable(tuple(name for name, _ in columns))
            branch = Branch(variable, columns, frozenset(given), count)
            if self._functions[function].adapt(ambient, branch, contextual=session.contextual):
                self._settle(call, kinds)
            else:
                self._settled = {}  # new code may have taken the place of older code

    def _settle(self, call: tuple[str | int | None, ...], kinds: Kinds) -> None:
        """Remember a kind of call that goes the slow path whatever code is made, while ids have these kinds."""
        if len(self._settled) < MOST_SETTLED:
            self._settled[call] = kinds


@functools.cache
def _without_self(method: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(method)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def _flat(metrics: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Go through a mapping of metrics, the names of nested ones joined with `/`."""
    if not isinstance(metrics, Mapping):
        error = InvalidInputError(f"log_metrics takes a mapping of names to values, got {type(metrics).__name__}")
        if isinstance(metrics, str):
            error.add_note("hint: info(...) logs a message; log_metric(name, value) logs one metric")
        raise error
    if depth > MAX_DEPTH:
        raise InvalidInputError(f"metrics nest deeper than {MAX_DEPTH} levels: does the mapping contain itself?")
    for name, value in metrics.items():
        checked = check_metric_name(name)
        if isinstance(value, Mapping):
            yield from ((check_metric_name(f"{checked}/{inner}"), number) for inner, number in _flat(value, depth + 1))
        else:
            yield checked, value
