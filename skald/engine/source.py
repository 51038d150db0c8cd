"""The source of generated log functions: one branch for each id set, and behind them all the slow path.

Invariant: of an id's name only what `is_parameter` allows reaches the source; other strings reach it never.
"""

from __future__ import annotations

import keyword
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from skald.schema import Kind

PREFIX: Final = "_skald_"
"""Of all names in the source that are no id's."""
BLOCK_ROWS: Final = 10
"""Up to so many metrics a call are stored row by row, more as a block."""


class Branch(NamedTuple):
    """One kind of call that the source has code for."""

    variable: str
    """Where the stream's state is published."""
    columns: tuple[tuple[str, Kind], ...]
    given: frozenset[str]
    """Ids that come with the call; the others come from the logger."""
    metrics: int | None = None
    """Metrics of a call of log_metrics; 0 for any number above BLOCK_ROWS."""


def is_parameter(name: str) -> bool:
    """Tell whether an id's name can be a parameter: what Python would change or misread cannot."""
    return (
        name.isidentifier()
        and not keyword.iskeyword(name)
        and name != "__debug__"
        and not name.startswith(PREFIX)
        and unicodedata.normalize("NFKC", name) == name
    )


def write_source(name: str, branches: Sequence[Branch], parameters: Sequence[str], *, contextual: bool) -> str:
    """Write a module with a factory of the function `log_metric` or `log_metrics`.

    Args:
        name: which of the two.
        branches: the calls that get code; all names of their columns are parameters or could be.
        parameters: the ids that are keyword parameters.
        contextual: whether a call must look for ids of `contextualize`.
    """
    arguments = {"log_metric": "_skald_name, _skald_value", "log_metrics": "_skald_metrics"}[name]
    # NOTE: `log("INFO", "text")`, as loguru's hands have it, deserves a better word than Python's own
    more = "_skald_more" if name == "log_metrics" else ""
    body = {"log_metric": _one_row, "log_metrics": _many_rows}[name]
    star = f"*{more}, " if more or parameters else ""
    keywords = "".join(f"{parameter}=_skald_absent, " for parameter in parameters)
    slow = " or ".join(filter(None, ["_skald_rest", more, "_skald_calls.has_context()" if contextual else ""]))
    lines = [
        "def factory(_skald_calls):",
        f"  def {name}({arguments}, /, {star}{keywords}**_skald_rest):",
        "    try:",
        f"      if {slow}: pass",
    ]
    for branch in branches:
        lines.append(f"      elif {_condition(branch, parameters)}:")
        lines += [f"        {line}" for line in body(branch, len(lines))]
    lines += [
        "    except (AttributeError, LookupError, TypeError, ValueError) as _skald_error:",
        "      if not _skald_is_ours(_skald_error): raise",
        f"    _skald_all = _skald_given(({_pairs(parameters)}), _skald_rest)",
        f"    return _skald_calls.{name}({arguments}, _skald_all{f', more={more}' * bool(more)})",
    ]
    return "\n".join(lines)


def _pairs(parameters: Iterable[str]) -> str:
    return "".join(f"({parameter!r}, {parameter}), " for parameter in sorted(parameters))


def _condition(branch: Branch, parameters: Sequence[str]) -> str:
    """Write the test that a call is exactly of this kind, each id of its column's class.

    The class, since a memoryview takes True as 1 and rounds ints into floats; a dictionary checks by itself.
    """
    kinds = dict(branch.columns)
    tests = []
    if branch.metrics is not None:
        tests.append(f"_skald_len(_skald_metrics) {f'== {branch.metrics}' if branch.metrics else f'> {BLOCK_ROWS}'}")
    for name in parameters:
        if name not in branch.given:
            tests.append(f"{name} is _skald_absent")
        elif kinds[name] == "str":
            tests.append(f"{name} is not _skald_absent")
        else:
            tests.append(f"_skald_type({name}) is _skald_{kinds[name]}")
    return " and ".join(tests) or "True"


def _opening(branch: Branch) -> tuple[list[str], list[str]]:
    """Write how a branch gets its columns, and of each id column the expression that it stores.

    What may fail comes first: a row that is taken and then not stored is a hole.
    """
    names = ["names", "counter", "metric", "values", "times"]
    looked_up, stored = [], []
    for k, (name, kind) in enumerate(branch.columns):
        value = name if name in branch.given else f"_skald_ambient[{name!r}]"
        if kind == "str":
            names.append(f"n{k}")
            looked_up.append(f"_skald_i{k} = _skald_n{k}[{value}]")
        elif name not in branch.given:
            looked_up.append(f"_skald_i{k} = {value}")
        names.append(f"c{k}")
        stored.append(name if kind != "str" and name in branch.given else f"_skald_i{k}")
    lines = [f"{', '.join(PREFIX + name for name in names)}, _skald_segment = {branch.variable}"]
    if len(branch.given) < len(branch.columns):
        lines.append("_skald_ambient = _skald_calls.scope.ambient")
    return lines + looked_up, stored


def _one_row(branch: Branch, _: int) -> list[str]:
    opening, stored = _opening(branch)
    return [
        *opening,
        "_skald_code = _skald_names[_skald_name]",
        "if _skald_type(_skald_value) is not _skald_float: _skald_value = _skald_plain(_skald_value)",
        "_skald_row = _skald_next(_skald_counter)",
        "_skald_metric[_skald_row] = _skald_code",
        "_skald_values[_skald_row] = _skald_value",
        *[f"_skald_c{k}[_skald_row] = {value}" for k, value in enumerate(stored)],
        "_skald_times[_skald_row] = _skald_time_ns()",
        "return",
    ]


def _many_rows(branch: Branch, line: int) -> list[str]:
    opening, stored = _opening(branch)
    opening.append("_skald_now = _skald_time_ns()")
    if not branch.metrics:
        return [*opening, *_block(stored)]
    names, codes, values = (_variables(letter, branch.metrics) for letter in "mkv")
    places = range(branch.metrics)
    is_float = " and ".join(f"_skald_type(_skald_v{k}) is _skald_float" for k in places)
    checked = [
        *opening,
        f"{names} {codes} = _skald_segment.layouts[{branch.metrics}]",
        "try:",
        # NOTE: other mappings may have a value for any name
        "  if _skald_type(_skald_metrics) is not _skald_dict: raise _skald_KeyError",
        f"  {'; '.join(f'_skald_v{k} = _skald_metrics[_skald_m{k}]' for k in places)}",
        "except _skald_KeyError as _skald_error:",
        "  if not _skald_is_ours(_skald_error): raise",
        f"  {names} = _skald_metrics",
        f"  {codes} = _skald_segment.layouts[({names})]",
        f"  {values} = _skald_metrics.values()",
        f"if not ({is_float}): {values} = _skald_map(_skald_plain, ({values}))",
        "try:",
    ]
    return [
        *checked,
        *[f"  {_stores(k, stored)}" for k in places],
        "  return",
        "except (LookupError, TypeError, ValueError) as _skald_error:",
        "  if not _skald_is_ours(_skald_error): raise",
        # NOTE: each row has a line of its own, so the line that failed tells which rows are stored already
        f"  _skald_done = _skald_error.__traceback__.tb_lineno - {line + len(checked) + 1}",
        f"  _skald_left = _skald_dict(_skald_list(_skald_zip(({names}), ({values})))[_skald_done:])",
        f"  return _skald_calls.log_metrics(_skald_left, _skald_given(({_pairs(branch.given)}), {{}}), _skald_now)",
    ]


def _block(stored: Sequence[str]) -> list[str]:
    """Write how many rows are stored side by side."""
    types, ids = "_skald_map(_skald_type, _skald_metrics.values())", ", ".join([*stored, ""])
    return [
        "_skald_names, _skald_codes = _skald_segment.layouts[_skald_len(_skald_metrics)]",
        "if _skald_tuple(_skald_metrics) != _skald_names:",
        "  _skald_codes = _skald_segment.layouts[_skald_tuple(_skald_metrics)]",
        # the first question is faster, and nearly always enough
        f"if _skald_count({types}, _skald_float) != _skald_len(_skald_metrics):",
        f"  if not _skald_plains.issuperset({types}): _skald_metrics = _skald_plain_all(_skald_metrics)",
        f"_skald_segment.store_known(_skald_codes, _skald_metrics.values(), ({ids}), _skald_now)",
        "return",
    ]


def _variables(letter: str, count: int) -> str:
    return "".join(f"{PREFIX}{letter}{k}, " for k in range(count)).rstrip()


def _stores(k: int, stored: Sequence[str]) -> str:
    ids = "".join(f"_skald_c{column}[_skald_row] = {value}; " for column, value in enumerate(stored))
    return (
        "_skald_row = _skald_next(_skald_counter); "
        f"_skald_metric[_skald_row] = _skald_k{k}; _skald_values[_skald_row] = _skald_v{k}; "
        f"{ids}_skald_times[_skald_row] = _skald_now"
    )
