"""Generated log functions: a log call compiled for the ids that a run uses, as attrs compiles `__init__`.

A logger hands out one function for its whole life, `log = logger.log_metric`. What it learns, it learns by a new
`__code__`: one branch for each id set in use, in which the call's ids are keyword parameters, the columns are
local variables, and a row is six stores into mapped memory. Whatever a branch is not made for (new names, other
kinds, a full segment, bad input) ends in the logger's slow path, which looks at everything anew.

Invariant: of an id's name only `is_parameter` names reach the source; strings reach it never.
"""

from __future__ import annotations

import builtins
import functools
import keyword
import sys
import time
import types
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from skald.schema import Kind

PREFIX: Final = "_skald_"
MOST_BRANCHES: Final = 4
PATIENCE: Final = 256
"""Calls of further id sets until one of them takes the place of the oldest branch."""
BLOCK_ROWS: Final = 10
"""Up to so many metrics a call are stored row by row, more as a block."""

EXACT_INT: Final = 2**53
PLAIN_VALUES: Final = frozenset({float, bool, np.float64, np.float32})
"""Types that a float64 column stores exactly, and at once."""

IS_ENABLED: Final = getattr(sys, "_is_gil_enabled", lambda: True)()
"""NOTE: without the GIL the slow path, under its lock, is the only path."""


class Branch(NamedTuple):
    """One id set: which of its ids come with the call; the others come from the logger."""

    variable: str
    """Where the stream's state is published."""
    columns: tuple[tuple[str, Kind], ...]
    given: frozenset[str]


class Namespace:
    """The global variables of a run's generated functions, among them the state of each stream."""

    def __init__(self) -> None:
        """Begin without streams."""
        self.variables: dict[str, Any] = {
            PREFIX + name: value
            for name, value in {
                "absent": _ABSENT,
                "block": BLOCK_ROWS,
                "dict": dict,
                "given": given,
                "iter": iter,
                "len": len,
                "map": map,
                "next": next,
                "plain": plain_value,
                "plain_all": plain_values,
                "plains": PLAIN_VALUES,
                "time_ns": time.time_ns,
                "type": type,
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


def is_parameter(name: str) -> bool:
    """Tell whether an id's name can be a parameter: what Python would change or misread cannot."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and name != "__debug__"
        and not name.startswith(PREFIX)
        and unicodedata.normalize("NFKC", name) == name
    )


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


class _Absent:
    def __repr__(self) -> str:
        return "absent"


_ABSENT: Final = _Absent()


class LogFunction:
    """One function that a logger hands out for life, and the id sets that its code is made for."""

    def __init__(self, name: str, logger: object, namespace: Namespace) -> None:
        """Make the function before any id is known."""
        code, _ = compile_function(name, (), contextual=False)
        self.function = types.FunctionType(code, namespace.variables, name, None, (types.CellType(logger),))
        self.function.__kwdefaults__ = {}
        self._branches: dict[frozenset[str], tuple[Branch, ...]] = {}
        self._misses = 0

    def adapt(self, ambient: Iterable[str], branch: Branch, *, contextual: bool) -> None:
        """Take note that a call with the ids of `branch` went the slow path, and make code for it if that pays.

        Args:
            ambient: names of the ids that the logger has.
            branch: the id set.
            contextual: whether calls must look for `contextualize`.
        """
        key = frozenset(ambient)
        branches = self._branches.get(key, ())
        if branch in branches:
            return
        others = [other for other in branches if other.given != branch.given]
        if len(others) == MOST_BRANCHES:
            self._misses += 1
            if self._misses % PATIENCE:
                return
            del others[0]
        self._branches[key] = (*others, branch)
        self.switch(key, contextual=contextual)

    def switch(self, ambient: Iterable[str], *, contextual: bool) -> None:
        """Give the function the code for what the logger has.

        Calls in flight go on in the code they began in, which stays right: it takes the published states and
        the logger's ids as they are.
        """
        function = self.function
        branches = self._branches.get(frozenset(ambient), ())
        code, parameters = compile_function(function.__name__, branches, contextual=contextual)
        # the defaults first: another thread may call between the two stores
        function.__kwdefaults__ = {**function.__kwdefaults__, **dict.fromkeys(parameters, _ABSENT)}
        function.__code__ = code


@functools.lru_cache(maxsize=1024)
def compile_function(
    name: str, branches: tuple[Branch, ...], *, contextual: bool
) -> tuple[types.CodeType, tuple[str, ...]]:
    """Compile `log_metric` or `log_metrics` for some id sets; return its code and its keyword parameters."""
    parameters = tuple(dict.fromkeys(id_ for branch in branches for id_, _ in branch.columns if id_ in branch.given))
    source = _source(name, branches if IS_ENABLED else (), parameters, contextual=contextual)
    module = compile(source, f"<skald {name}>", "exec")
    factory = _code_in(module)
    return _code_in(factory), parameters


def _code_in(code: types.CodeType) -> types.CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, types.CodeType))


def _source(name: str, branches: Sequence[Branch], parameters: Sequence[str], *, contextual: bool) -> str:
    arguments = {"log_metric": "name value", "log_metrics": "metrics"}[name].split()
    body = {"log_metric": _one_row, "log_metrics": _many_rows}[name]
    first = [PREFIX + argument for argument in arguments]
    slow = "_skald_rest" + (" or _skald_self._has_context()" if contextual else "")
    lines = [
        "def factory(_skald_self):",
        f"  def {name}({', '.join(first)}, /, {'*, ' if parameters else ''}"
        + "".join(f"{parameter}=_skald_absent, " for parameter in parameters)
        + "**_skald_rest):",
        "    try:",
        f"      if {slow}: pass",
    ]
    for branch in branches:
        lines.append(f"      elif {_condition(branch, parameters)}:")
        lines += [f"        {line}" for line in body(branch)]
    lines += [
        "    except (AttributeError, LookupError, TypeError, ValueError): pass",
        f"    return _skald_self._{name}({', '.join(first)}, _skald_given(({_pairs(parameters)}), _skald_rest))",
    ]
    return "\n".join(lines)


def _pairs(parameters: Iterable[str]) -> str:
    return "".join(f"({parameter!r}, {parameter}), " for parameter in sorted(parameters))


def _condition(branch: Branch, parameters: Sequence[str]) -> str:
    """Write the test that a call's ids are exactly those of the branch, each of its column's class.

    The class, since a memoryview takes True as 1 and rounds ints into floats; a dictionary checks by itself.
    """
    kinds = dict(branch.columns)
    tests = []
    for name in parameters:
        if name not in branch.given:
            tests.append(f"{name} is _skald_absent")
        elif kinds[name] == "str":
            tests.append(f"{name} is not _skald_absent")
        else:
            tests.append(f"_skald_type({name}) is _skald_{kinds[name]}")
    return " and ".join(tests) or "True"


def _unpacked(branch: Branch) -> list[str]:
    """Write how a branch gets its columns, and the ids that the logger has."""
    names = ["names", "counter", "metric", "values", "times"]
    for k, (_, kind) in enumerate(branch.columns):
        names += [f"n{k}", f"c{k}"] if kind == "str" else [f"c{k}"]
    lines = [f"{', '.join(PREFIX + name for name in names)}, _skald_segment = {branch.variable}"]
    if any(name not in branch.given for name, _ in branch.columns):
        lines.append("_skald_ambient = _skald_self._ambient")
    return lines


def _stored(branch: Branch) -> list[str]:
    """Write, of each id column, the expression that it stores."""
    stored = []
    for k, (name, kind) in enumerate(branch.columns):
        value = name if name in branch.given else f"_skald_ambient[{name!r}]"
        stored.append(f"_skald_n{k}[{value}]" if kind == "str" else value)
    return stored


def _one_row(branch: Branch) -> list[str]:
    return [
        *_unpacked(branch),
        "_skald_code = _skald_names[_skald_name]",
        "if _skald_type(_skald_value) is not _skald_float: _skald_value = _skald_plain(_skald_value)",
        *_locals(branch),
        "_skald_row = _skald_next(_skald_counter)",
        "_skald_metric[_skald_row] = _skald_code",
        "_skald_values[_skald_row] = _skald_value",
        *[f"_skald_c{k}[_skald_row] = {stored}" for k, stored in enumerate(_late(branch))],
        "_skald_times[_skald_row] = _skald_time_ns()",
        "return",
    ]


def _locals(branch: Branch) -> list[str]:
    """Write the look-ups of string ids, which are done before a row is taken."""
    return [
        f"_skald_i{k} = {stored}"
        for k, ((_, kind), stored) in enumerate(zip(branch.columns, _stored(branch), strict=True))
        if kind == "str"
    ]


def _late(branch: Branch) -> list[str]:
    return [
        f"_skald_i{k}" if kind == "str" else stored
        for k, ((_, kind), stored) in enumerate(zip(branch.columns, _stored(branch), strict=True))
    ]


def _many_rows(branch: Branch) -> list[str]:
    count = len(branch.columns)
    return [
        *_unpacked(branch),
        *_locals(branch),
        *[f"_skald_i{k} = {stored}" for k, stored in enumerate(_late(branch)) if not stored.startswith(PREFIX + "i")],
        "_skald_now = _skald_time_ns()",
        "if not _skald_plains.issuperset(_skald_map(_skald_type, _skald_metrics.values())):",
        "  _skald_metrics = _skald_plain_all(_skald_metrics)",
        "if _skald_len(_skald_metrics) > _skald_block:",
        f"  _skald_segment.store_known(_skald_metrics, ({''.join(f'_skald_i{k}, ' for k in range(count))}), _skald_now)",
        "  return",
        "if _skald_metrics.keys() <= _skald_names.keys():",
        "  _skald_items = _skald_iter(_skald_metrics.items())",
        "  try:",
        "    for _skald_name, _skald_value in _skald_items:",
        "      _skald_row = _skald_next(_skald_counter)",
        "      _skald_metric[_skald_row] = _skald_names[_skald_name]",
        "      _skald_values[_skald_row] = _skald_value",
        *[f"      _skald_c{k}[_skald_row] = _skald_i{k}" for k in range(count)],
        "      _skald_times[_skald_row] = _skald_now",
        "    return",
        "  except (LookupError, TypeError, ValueError):",
        "    _skald_rows = {_skald_name: _skald_value, **_skald_dict(_skald_items)}",  # those not stored yet
        f"    return _skald_self._log_metrics(_skald_rows, _skald_given(({_pairs(branch.given)}), ()), _skald_now)",
    ]
