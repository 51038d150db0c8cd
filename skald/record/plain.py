"""Plain data: what any value given as a param becomes, so that YAML and JSON can say it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import numbers
import sys
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import ModuleType
from typing import Any, Final, get_origin

import msgspec

from skald.errors import InvalidInputError, is_of_handler, unless_handlers

_Path = tuple[str, ...]
MAX_DEPTH: Final = 64
"""Deepest nesting: what is deeper most likely contains itself."""
MAX_DIGITS: Final = 4_000
"""Of an int: Python and msgspec read no text of one with more than 4,300."""
_FIRST_TOO_LONG: Final = 10**MAX_DIGITS


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
    start = (path,) if path else ()
    try:
        return _plain(value, start)
    except _TooDeepError as error:
        circle = _circle(value, start, ())
        if circle is None:
            raise InvalidInputError(*error.args) from None
        outer, inner = circle
        raise InvalidInputError(f"{_named(outer)} contains itself, as {_dotted(inner)!r}") from None


class _TooDeepError(InvalidInputError):
    """What was given has no end, or hardly any."""


def _plain(value: Any, path: _Path) -> Any:
    if len(path) > MAX_DEPTH:
        raise _TooDeepError(f"param {_dotted(path):.80} nests deeper than {MAX_DEPTH} levels")
    try:
        return _converted(value, path)
    except Exception as error:
        if isinstance(error, InvalidInputError) or is_of_handler(error):
            raise
        raise _unreadable(path, error) from error


def _converted(value: Any, path: _Path) -> Any:
    value = _unwrapped(value, path)
    if value is None or isinstance(value, (int, float, str, PurePath, dt.date)):
        return _scalar(value, path)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _list(value, path)
    if (fields := _fields(value, path)) is not None:
        return _mapping(fields, path)
    if (name := _qualified_name(value)) is not None:
        return name
    if not path:
        raise InvalidInputError(f"params must be a mapping of names to values, got {type_name(value)}")
    error = InvalidInputError(f"param {_dotted(path)!r} must be plain data, got {type_name(value)}")
    error.add_note(f"hint: {_remedy(value)}")
    raise error


def _unreadable(path: _Path, cause: Exception) -> InvalidInputError:
    """Return what is raised where somebody's object raises an error of its own as it is looked at."""
    error = InvalidInputError(f"{_named(path)} cannot be read: it raised {cause!r:.200}")
    error.add_note("hint: set what it lacks, or log a dict of what can be read of it")
    return error


def _remedy(value: Any) -> str:
    """Return what to log in place of a value."""
    match value:
        case dt.timedelta() | dt.time():
            return f"log its {'.total_seconds()' if isinstance(value, dt.timedelta) else '.isoformat()'}"
        case bytes() | bytearray():
            return "log its .hex(), or the file that it is as an artifact"
        case complex():
            return "log [value.real, value.imag]"
        case numbers.Number():
            return "log float(value), or str(value)"
        case Iterable():
            return "log value.tolist()" if hasattr(value, "tolist") else "log list(value), if it is short"
    return "log str(value), its name, or a dict of its settings"


def _circle(value: Any, path: _Path, above: tuple[tuple[Any, _Path], ...]) -> tuple[_Path, _Path] | None:
    """Return where a value stands, and where it stands again inside itself; None where there is no such value."""
    for other, place in above:
        if value is other:
            return place, path
    if len(path) > MAX_DEPTH:
        return None
    inside = _fields(value, path)
    if inside is None:
        inside = dict(enumerate(value)) if isinstance(value, (list, tuple)) else {}
    found = (_circle(item, (*path, str(name)), (*above, (value, path))) for name, item in inside.items())
    return next(filter(None, found), None)


def _unwrapped(value: Any, path: _Path) -> Any:
    """Return what an enum, a partial, a NumPy value or a container of OmegaConf stands for, others as they are."""
    while isinstance(value, (enum.Enum, functools.partial)):
        value = value.value if isinstance(value, enum.Enum) else value.func
    if _is_of(value, "numpy", "generic", "ndarray"):
        return _from_numpy(value)
    return _resolved(value, path) if _is_of(value, "omegaconf", "Container") else value


def _scalar(value: Any, path: _Path) -> Any:
    """Return an instance of a subclass as its plain base."""
    match value:
        case str():
            found: Any = _text(str.__str__(value), path)
        case PurePath():
            found = _text(str(value), path)
        case bool() | None:
            found = value
        case int():
            found = _int(int(value), path)
        case float():
            found = float(value)
        case dt.datetime() if value != value:  # noqa: PLR0124  pandas' NaT
            found = None
        case dt.datetime():
            found = _datetime(dt.datetime.combine(value.date(), value.timetz()))
        case _:
            # NOTE: dates are made anew, as YAML writes an object that it meets twice as `&id001` and `*id001`
            found = dt.date(value.year, value.month, value.day)
    return found


def _datetime(time: dt.datetime) -> dt.datetime:
    """Return a time with an offset that YAML knows, of whole minutes; local times of long ago have others."""
    offset = time.utcoffset()
    return time if offset is None or not offset % dt.timedelta(minutes=1) else time.astimezone(dt.UTC)


def _int(number: int, path: _Path) -> int:
    if abs(number) >= _FIRST_TOO_LONG:
        error = InvalidInputError(f"param {_dotted(path)!r} must be an int of at most {MAX_DIGITS:,} digits")
        error.add_note("hint: log hex(value)")
        raise error
    return number


def _text(text: str, path: _Path) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"param {_dotted(path)!r} must be valid Unicode, got {text!r:.80}") from None
    return text


def _list(items: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], path: _Path) -> list[Any]:
    """Return a list; a set, which has no order, in that of its items, or of their text where they have none."""
    found = [_plain(item, (*path, str(index))) for index, item in enumerate(items)]
    if isinstance(items, (list, tuple)):
        return found
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=repr)


def _mapping(fields: Mapping[Any, Any], path: _Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in fields.items():
        name = _key(key, path)
        if name in found:
            raise InvalidInputError(f"param {_dotted((*path, name))!r} is given twice: its keys differ in type only")
        found[name] = _plain(value, (*path, name))
    return found


def _key(key: Any, path: _Path) -> str:
    """Return a key as a str: what is one value in YAML, as a number, an enum, a path, a class, turns into one."""
    try:
        name = _plain(key, (*path, key) if type(key) is str else path)
    except InvalidInputError:
        if isinstance(key, str):
            raise
        name = []
    if isinstance(name, (list, dict)):
        where = f"param {_dotted(path)!r}" if path else "params"
        error = InvalidInputError(f"keys of {where} must be str, or become one, not {type_name(key)}: {key!r:.80}")
        error.add_note("hint: give its str(key), or a name for it")
        raise error
    return str(name)


def _fields(value: Any, path: _Path) -> Mapping[Any, Any] | None:
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
    if names is None:
        return None
    fields = {name: _field(value, name, path) for name in names}
    return {name: field for name, field in fields.items() if field is not msgspec.UNSET}


def _field(value: Any, name: str, path: _Path) -> Any:
    try:
        return getattr(value, name)
    except unless_handlers(Exception) as error:
        raise _unreadable((*path, name), error) from error


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


def _resolved(value: Any, path: _Path) -> Any:
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
    """Return the name of a function, class, dtype, device or module, `torch.relu`, `list[int]`, None for others."""
    if isinstance(value, ModuleType):
        return value.__name__
    if _is_of(value, "numpy", "dtype"):
        return f"numpy.{value.name}" if value.isbuiltin == 1 else str(value)
    if get_origin(value) is not None or _is_of(value, "torch", "dtype", "device"):
        return str(value)
    name = getattr(value, "__qualname__", None) if callable(value) else None
    if not isinstance(name, str):
        return None
    module = getattr(value, "__module__", None)
    if module in (None, "builtins"):
        return name
    # NOTE: `torch.relu` says that it is torch._VariableFunctionsClass.relu
    short = name.rpartition(".")[2]
    is_short = getattr(sys.modules.get(module), short, None) is value
    return f"{_public_module(module, short, value)}.{short}" if is_short else f"{module}.{name}"


def _public_module(module: str, name: str, value: Any) -> str:
    """Return the module above a private one that has the same value: `pathlib`, and not `pathlib._local`."""
    above, _, last = module.rpartition(".")
    held = getattr(sys.modules.get(above), "__dict__", {})  # NOTE: `getattr` of a name may import, or warn
    return _public_module(above, name, value) if last.startswith("_") and held.get(name) is value else module


def _named(path: _Path) -> str:
    return f"param {_dotted(path)!r}" if path else "the mapping of params"


def _dotted(path: _Path) -> str:
    return ".".join(path)


def type_name(value: Any) -> str:
    """Return the name of a value's class, for messages."""
    return _qualified_name(type(value)) or type(value).__name__
