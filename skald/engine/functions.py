"""Generated log functions: a log call compiled for the ids that a run uses, as attrs compiles `__init__`.

A logger hands out one function for its whole life, `log = logger.log_metric`. What it learns, it learns by a new
`__code__`: one branch for each id set in use, in which the call's ids are keyword parameters, the columns are
local variables, and a row is one store a column into mapped memory. Whatever a branch is not made for (new names, other
kinds, a full segment, bad input) ends in the logger's slow path, which looks at everything anew.

Invariant: code and the states it stores into may be swapped at any instant, each by one store.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import sys
import time
import types
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np

from skald.engine.source import PREFIX, Branch, write_source
from skald.values import EXACT_INT

MOST_BRANCHES: Final = 4
PATIENCE: Final = 256
"""Calls of further id sets until one of them takes the place of the oldest branch."""

PLAIN_VALUES: Final = frozenset({float, bool, np.float64, np.float32})
"""Types that a float64 column stores exactly, and at once."""

IS_ENABLED: Final = getattr(sys, "_is_gil_enabled", lambda: True)()
"""NOTE: without the GIL the slow path, under its lock, is the only path."""


class Namespace:
    """The global variables of a run's generated functions, among them the state of each stream."""

    def __init__(self) -> None:
        """Begin without streams."""
        self.variables: dict[str, Any] = {
            PREFIX + name: value
            for name, value in {
                "KeyError": KeyError,
                "absent": _ABSENT,
                "count": operator.countOf,
                "dict": dict,
                "given": given,
                "is_ours": is_ours,
                "len": len,
                "list": list,
                "map": map,
                "next": next,
                "plain": plain_value,
                "plain_all": plain_values,
                "plains": PLAIN_VALUES,
                "time_ns": time.time_ns,
                "tuple": tuple,
                "type": type,
                "zip": zip,
                **{kind.__name__: kind for kind in (int, float, bool)},
            }.items()
        }
        self.variables["__builtins__"] = builtins
        self._streams: dict[tuple[str, ...], str] = {}

    def variable(self, names: tuple[str, ...]) -> str:
        """Return the variable of an id set's stream; it stays the same for the life of the namespace."""
        if names not in self._streams:
            variable = f"{PREFIX}s{len(self._streams)}"
            self.variables.setdefault(variable, ())
            self._streams[names] = variable
        return self._streams[names]

    def publish(self, names: tuple[str, ...], state: tuple[Any, ...]) -> None:
        """Let all functions store into another segment from now on: one store."""
        self.variables[self.variable(names)] = state

    def empty(self) -> None:
        """Send all functions to the slow path."""
        for variable in list(self._streams.values()):
            self.variables[variable] = ()


def plain_value(value: Any) -> float:
    """Return a number as a float64 has it; ValueError and TypeError leave all others to the slow path."""
    kind = type(value)
    if kind in PLAIN_VALUES or (kind is int and -EXACT_INT <= value <= EXACT_INT):
        return float(value)
    raise ValueError(value)


def plain_values(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics with `plain_value` of each."""
    return {name: plain_value(value) for name, value in metrics.items()}


def given(pairs: Iterable[tuple[str, Any]], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ids of a call: the parameters that were given, and the rest."""
    return {**{name: value for name, value in pairs if value is not _ABSENT}, **rest}


def is_ours(error: BaseException) -> bool:
    """Tell whether generated code, or what it calls, raised an error, and not a signal handler that interrupted it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module: str = trace.tb_frame.f_globals.get("__name__", "skald") if trace else "skald"
    return module.partition(".")[0] == "skald"


_ABSENT: Final = inspect.Parameter.empty
"""NOTE: not one of ours: it must stay the same where a notebook reloads this module."""


class LogFunction:
    """One function that a logger hands out for life, and the id sets that its code is made for."""

    def __init__(self, name: str, calls: object, namespace: Namespace) -> None:
        """Make the function before any id is known."""
        code, _ = compile_function(name, (), contextual=False)
        self.function = types.FunctionType(code, namespace.variables, name, None, (types.CellType(calls),))
        self.function.__qualname__ = f"Logger.{name}"
        self.function.__kwdefaults__ = {}
        self._branches: dict[frozenset[str], tuple[Branch, ...]] = {}
        self._misses = 0

    def adapt(self, ambient: Iterable[str], branch: Branch, *, contextual: bool) -> bool:
        """Take note that a call with the ids of `branch` went the slow path, and make code for it if that pays.

        Returns whether there is code for it already: the call went the slow path for another reason.

        Args:
            ambient: names of the ids that the logger has.
            branch: the id set.
            contextual: whether calls must look for `contextualize`.
        """
        key = frozenset(ambient)
        branches = self._branches.get(key, ())
        if branch in branches:
            return True
        others = [other for other in branches if (other.given, other.metrics) != (branch.given, branch.metrics)]
        if len(others) == MOST_BRANCHES:
            self._misses += 1
            if self._misses % PATIENCE:
                return False
            del others[0]
        self._branches[key] = (*others, branch)
        self.switch(key, contextual=contextual)
        return False

    def switch(self, ambient: Iterable[str], *, contextual: bool) -> None:
        """Give the function the code for what the logger has.

        Calls in flight go on in the code they began in, which stays right: it takes the published states and
        the logger's ids as they are.
        """
        function = self.function
        branches = self._branches.get(frozenset(ambient), ())
        code, parameters = compile_function(function.__name__, branches, contextual=contextual)
        # the defaults first: another thread may call between the two stores
        function.__kwdefaults__ = {**(function.__kwdefaults__ or {}), **dict.fromkeys(parameters, _ABSENT)}
        function.__code__ = code


@functools.lru_cache(maxsize=1024)
def compile_function(
    name: str, branches: tuple[Branch, ...], *, contextual: bool
) -> tuple[types.CodeType, tuple[str, ...]]:
    """Compile `log_metric` or `log_metrics` for some id sets; return its code and its keyword parameters."""
    parameters = tuple(dict.fromkeys(id_ for branch in branches for id_, _ in branch.columns if id_ in branch.given))
    source = write_source(name, branches if IS_ENABLED else (), parameters, contextual=contextual)
    module = compile(source, f"<skald {name}>", "exec")
    return _with_plain_arguments(_code_in(_code_in(module))), parameters


def _with_plain_arguments(code: types.CodeType) -> types.CodeType:
    """Let Python's own errors call the positional arguments what people call them: they are no id's parameters."""
    count = code.co_posonlyargcount
    plain = tuple(name.removeprefix(PREFIX) for name in code.co_varnames[:count])
    return code.replace(co_varnames=(*plain, *code.co_varnames[count:]))


def _code_in(code: types.CodeType) -> types.CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
