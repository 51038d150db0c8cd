"""Plain data: what any value given as a param becomes, so that YAML and JSON can say it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import sys
from collections.abc import Mapping
from pathlib import PurePath
from types import ModuleType
from typing import Any, Final

import msgspec

from skald.errors import InvalidInputError

MAX_DEPTH: Final = 64
"""Deepest nesting: what is deeper most likely contains itself."""


def plain(value: Any, path: str = "") -> Any:
    """Return `value` as data that YAML knows: None, bool, int, float, str, dates, lists, dicts.

    Tuples and arrays become lists, sets sorted lists, objects with fields dicts, enums their
    value, paths strings, functions, classes, dtypes and modules their qualified name.

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
    value = _unwrapped(value, path)
    if value is None or isinstance(value, (int, float, str, PurePath, dt.date)):
        return _scalar(value, path)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _list(value, path)
    if (fields := _fields(value)) is not None:
        return _mapping(fields, path)
    if (name := _qualified_name(value)) is not None:
        return name
    error = InvalidInputError(f"param {_dotted(path)!r} must be plain data, got {type_name(value)}")
    error.add_note("hint: give its name or its settings, as a str, numbers or a dict")
    raise error


def _unwrapped(value: Any, path: tuple[str, ...]) -> Any:
    """Return what an enum, a NumPy value or a container of OmegaConf stands for, others as they are."""
    while isinstance(value, enum.Enum):
        value = value.value
    if _is_of(value, "numpy", "generic", "ndarray"):
        return _from_numpy(value)
    return _resolved(value, path) if _is_of(value, "omegaconf", "Container") else value


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
        where = f"param {_dotted(path)!r}" if path else "params"
        raise InvalidInputError(f"keys of {where} must be str, got {type_name(key)}")
    return str(name)


def _fields(value: Any) -> Mapping[Any, Any] | None:
    """Return what a mapping or an object with fields holds, None for others and for classes."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        return None
    if _is_of(value, "pydantic", "BaseModel"):
        return dict(value)  # extra fields are among them
    if _is_of(value, "argparse", "Namespace"):
        return dict(vars(value))
    names = _field_names(value)
    return None if names is None else {name: getattr(value, name) for name in names}


def _field_names(value: Any) -> list[str] | None:
    if isinstance(value, msgspec.Struct):
        return list(value.__struct_fields__)
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    attributes = getattr(type(value), "__attrs_attrs__", None)
    return None if attributes is None else [field.name for field in attributes]


def _is_of(value: Any, module: str, *names: str) -> bool:
    """Tell whether a value is of a class of a library, which is not imported: if it is not loaded, it made no value."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(value, tuple(getattr(loaded, name, ()) for name in names))


def _resolved(value: Any, path: tuple[str, ...]) -> Any:
    """Return an OmegaConf container with its interpolations resolved; what is missing in it stays `???`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException as error:
        full_key = ".".join(filter(None, [_dotted(path), getattr(error, "full_key", None)]))
        raise InvalidInputError(f"param {full_key!r} cannot be resolved: {str(error).partition(chr(10))[0]}") from error


def _from_numpy(value: Any) -> Any:
    """Return a NumPy scalar or array as Python's own, times as datetime and timedelta."""
    kind = value.dtype.kind
    if kind in "mM":  # NOTE: `tolist` makes an int of a time in nanoseconds
        value = value.astype(f"{kind}8[us]")
    elif kind == "f":  # NOTE: `tolist` leaves a longdouble as it is
        value = value.astype(float)
    return value.tolist()


def _qualified_name(value: Any) -> str | None:
    """Return the name of a function, class, dtype, device or module, `torch.relu` or `int`, None for others."""
    if isinstance(value, ModuleType):
        return value.__name__
    if _is_of(value, "numpy", "dtype"):
        return f"numpy.{value.name}" if value.isbuiltin == 1 else str(value)
    if _is_of(value, "torch", "dtype", "device"):
        return str(value)
    name = getattr(value, "__qualname__", None) if callable(value) else None
    if not isinstance(name, str):
        return None
    module = getattr(value, "__module__", None)
    if module in (None, "builtins"):
        return name
    # NOTE: `torch.relu` says that it is torch._VariableFunctionsClass.relu
    short = name.rpartition(".")[2]
    return f"{module}.{short if getattr(sys.modules.get(module), short, None) is value else name}"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def type_name(value: Any) -> str:
    """Return the name of a value's class, for messages."""
    return _qualified_name(type(value)) or type(value).__name__
