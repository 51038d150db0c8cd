"""Parameters: what does not change during a run, as nested plain data in params.yaml.

Invariant: params.yaml is whole at every instant and holds, leaf by leaf, the last value that any
process of the run gave.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from skald import layout
from skald.durable import write_atomic
from skald.engine.lock import FileLock
from skald.errors import CorruptRunError, InvalidInputError, StorageError

MAX_DEPTH: Final = 64
"""Deepest nesting: what is deeper most likely contains itself."""

LOCK_SECS: Final = 30.0
"""How long to wait for the other processes of the run, each of which takes a few milliseconds."""


class Params:
    """The params of one run, which several threads and processes may set at once."""

    def __init__(self, run: Path | None, lock: Path | None = None) -> None:
        """Set params of a run, or only check them.

        Args:
            run: the run's folder; None writes nothing, and `update` only checks.
            lock: the file that those who write params lock meanwhile; it must be given with `run`.
        """
        assert (run is None) == (lock is None)
        self._run = run
        self._lock = lock

    def update(self, mapping: Any) -> None:
        """Merge into params.yaml, leaf by leaf; it is on disk when the call returns.

        Args:
            mapping: a mapping, or an object with fields (dataclass, msgspec.Struct, Namespace).

        Raises:
            InvalidInputError: a value is no plain data and has no such form; nothing is written.
            CorruptRunError: params.yaml was edited and cannot be read; it stays as it is.
            StorageError: the disk takes no more, the folder is gone.
        """
        params = plain(mapping)
        if not isinstance(params, dict):
            raise InvalidInputError(f"params must be a mapping of names to values, got {_type_name(mapping)}")
        if self._run is None or self._lock is None or not params:
            return
        try:
            self._write(self._run, self._lock, params)
        except OSError as error:
            raise StorageError(f"params were not written: {error}, in {self._run}") from error

    def _write(self, run: Path, lock_path: Path, params: dict[str, Any]) -> None:
        lock = FileLock(lock_path, reentrant=True)
        # NOTE: a signal handler may call this in the middle of itself, so waiting for ever is no choice
        if not lock.acquire(LOCK_SECS):
            raise TimeoutError(f"another process held {lock_path.name} for {LOCK_SECS:.0f} s")
        try:
            merged = merge(read_params(run), params)
            write_atomic(run / layout.PARAMS, msgspec.yaml.encode(merged), sync=True)
        finally:
            lock.release()


def read_params(run: Path) -> dict[str, Any]:
    """Return the params of a run, nested as they were given; empty where there are none.

    Raises:
        CorruptRunError: params.yaml is no YAML, or no mapping of names to plain data.
    """
    path = run / layout.PARAMS
    try:
        return decode_params(path.read_bytes(), path)
    except FileNotFoundError:
        return {}


def decode_params(data: bytes, path: object) -> dict[str, Any]:
    """Return the params in the content of a params.yaml.

    Args:
        data: the content.
        path: where it stands, for messages.

    Raises:
        As `read_params`.
    """
    try:
        found = plain(msgspec.yaml.decode(data))
    except (msgspec.DecodeError, ValueError) as error:
        raise CorruptRunError(f"params cannot be read: {error}, in {path}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CorruptRunError(f"params must be a mapping, got {_type_name(found)}, in {path}")
    return found


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return `old` with the leaves of `new`; a list is one leaf, names keep their order."""
    merged = dict(old)
    for name, value in new.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = merge(before, value)
        else:
            merged[name] = value
    return merged


def plain(value: Any, path: str = "") -> Any:
    """Return `value` as data that YAML knows: None, bool, int, float, str, dates, lists, dicts.

    Tuples and arrays become lists, sets sorted lists, objects with fields dicts, enums their
    value, paths strings, functions and classes their qualified name.

    Args:
        value: what was given as a param, or all of them.
        path: where it stands among the params, for messages.

    Raises:
        InvalidInputError: something inside has no such form; the message names its path.
    """
    return _plain(value, (path,) if path else ())


def _plain(value: Any, path: tuple[str, ...]) -> Any:
    if len(path) > MAX_DEPTH:
        raise InvalidInputError(f"param {_dotted(path):.80} nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, enum.Enum):
        return _plain(value.value, path)
    if value is None or isinstance(value, (int, float, str, PurePath, dt.date)):
        return _scalar(value, path)
    if _is_numpy(value):
        return _plain(_from_numpy(value), path)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _list(value, path)
    if (fields := _fields(value)) is not None:
        return _mapping(fields, path)
    if (name := _qualified_name(value)) is not None:
        return name
    error = InvalidInputError(f"param {_dotted(path)!r} must be plain data, got {_type_name(value)}")
    error.add_note("hint: give its name or its settings, as a str, numbers or a dict")
    raise error


def _scalar(value: Any, path: tuple[str, ...]) -> Any:
    """Return an instance of a subclass as its plain base."""
    match value:
        case str():
            found: Any = _text(str.__str__(value), path)
        case PurePath():
            found = _text(str(value), path)
        case bool() | None:
            found = value
        case int():
            found = int(value)
        case float():
            found = float(value)
        case dt.datetime():
            found = dt.datetime.combine(value.date(), value.timetz())
        case _:
            # NOTE: dates are made anew, as YAML writes an object that it meets twice as `&id001` and `*id001`
            found = dt.date(value.year, value.month, value.day)
    return found


def _text(text: str, path: tuple[str, ...]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"param {_dotted(path)!r} must be valid Unicode, got {text!r:.80}") from None
    return text


def _list(items: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], path: tuple[str, ...]) -> list[Any]:
    """Return a list; a set, which has no order, in that of its items, or of their text where they have none."""
    found = [_plain(item, (*path, str(index))) for index, item in enumerate(items)]
    if isinstance(items, (list, tuple)):
        return found
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=repr)


def _mapping(fields: Mapping[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in fields.items():
        name = _key(key, path)
        if name in found:
            raise InvalidInputError(f"param {_dotted((*path, name))!r} is given twice: its keys differ in type only")
        found[name] = _plain(value, (*path, name))
    return found


def _key(key: Any, path: tuple[str, ...]) -> str:
    """Return a key as a str: a number, an enum, a path turns into one."""
    name = _plain(key, path)
    if isinstance(name, (list, dict)):
        raise InvalidInputError(f"keys of param {_dotted(path)!r} must be str, got {_type_name(key)}")
    return str(name)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return what a mapping or an object with fields holds, None for others and for classes."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    argparse = sys.modules.get("argparse")  # NOTE: not imported: what is not loaded made no value
    is_namespace = argparse is not None and isinstance(value, argparse.Namespace)
    return dict(vars(value)) if is_namespace else None


def _is_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, (numpy.generic, numpy.ndarray))


def _from_numpy(value: Any) -> Any:
    """Return a NumPy scalar or array as Python's own, times as datetime and timedelta."""
    kind = value.dtype.kind
    if kind in "mM":  # NOTE: `tolist` makes an int of a time in nanoseconds
        value = value.astype(f"{kind}8[us]")
    elif kind == "f":  # NOTE: `tolist` leaves a longdouble as it is
        value = value.astype(float)
    return value.tolist()


def _qualified_name(value: Any) -> str | None:
    """Return the name of a function or a class, `torch.relu` or `int`, None for others."""
    name = getattr(value, "__qualname__", None) if callable(value) else None
    if not isinstance(name, str):
        return None
    module = getattr(value, "__module__", None)
    return name if module in (None, "builtins") else f"{module}.{name}"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _type_name(value: Any) -> str:
    return _qualified_name(type(value)) or type(value).__name__
