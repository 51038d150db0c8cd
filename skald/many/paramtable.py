"""Params of many runs as columns `params.NAME`, of one kind each."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from skald.reading.selection import chosen
from skald.record.params import dotted, for_json
from skald.schema import PARAMS_PREFIX

_INT64: Final = range(-(2**63), 2**63)


def flat(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested params by their dotted names, each of a kind that a column can have."""
    return {name: _plain(value) for name, value in dotted(params).items()}


def param_names(runs: Sequence[Mapping[str, Any]], globs: Sequence[str]) -> list[str]:
    """Return the dotted names among those of some runs that are asked for, in order of first appearance.

    Args:
        runs: the params of each run by their dotted names, as `flat` returns them.
        globs: dotted names or globs of them; an exact name stands for itself alone.

    Raises:
        InvalidInputError: there are runs, and none of them has a param of that name.
    """
    existing = list(dict.fromkeys(name for run in runs for name in run))
    return chosen_names(existing, globs) if runs else []


def chosen_names(existing: Sequence[str], globs: Sequence[str]) -> list[str]:
    """Return the names that one of the globs matches, in their order; an exact name stands for itself alone.

    Raises:
        InvalidInputError: none has such a name.
    """
    asked = [glob if glob in existing else glob.removeprefix(PARAMS_PREFIX) for glob in globs]
    found = set(chosen(existing, [glob for glob in asked if existing or glob != "*"], "param"))
    return [name for name in existing if name in found]


def chosen_params(params: Mapping[str, Any], globs: Sequence[str]) -> dict[str, Any]:
    """Return nested params without those leaves whose dotted names no glob matches; all where none is given.

    Raises:
        InvalidInputError: there is no such param.
    """
    return _kept(params, set(chosen_names([*dotted(params)], globs)), "") if globs else dict(params)


def _kept(params: Mapping[str, Any], names: set[str], prefix: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            inner = _kept(value, names, f"{prefix}{name}.")
            kept |= {name: inner} if inner else {}
        elif f"{prefix}{name}" in names:
            kept[name] = value
    return kept


def param_columns(runs: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[pl.Series]:
    """Return a column `params.NAME` for each name, null where a run has no such param.

    The kinds of the runs are joined: int and float to float, anything else that differs to string. Lists, empty
    mappings and what else has no kind are JSON.
    """
    return [_column(f"{PARAMS_PREFIX}{name}", [run.get(name) for run in runs]) for name in names]


def _plain(value: Any) -> Any:
    """Return a param as a bool, an int of 64 bits, a float or a text: lists, empty mappings and the like as JSON."""
    if isinstance(value, int) and not isinstance(value, bool) and value not in _INT64:
        return str(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return json.dumps(for_json(value), default=str)


def _column(name: str, values: Sequence[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if float in kinds and kinds <= {int, float}:
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64())
    if kinds <= {int}:
        return pl.Series(name, values, pl.Int64() if kinds else pl.Null())
    if kinds == {bool}:
        return pl.Series(name, values, pl.Boolean())
    return pl.Series(name, [None if value is None else _text(value) for value in values], pl.String())


def _text(value: bool | float | str) -> str:  # noqa: FBT001  one of the kinds
    return str(value).lower() if isinstance(value, bool) else str(value)
