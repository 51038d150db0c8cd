"""What a row consists of: the kinds of ids, how they widen, and which names are legal.

Pure functions and names, no disk. A *kind* is one of `int`, `float`, `str`, `bool`:
every id of a run has one kind for the whole run, except that int may widen to float.
"""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Mapping
from typing import Any, Final, Literal

from skald.errors import IdTypeError, InvalidInputError, unless_handlers
from skald.values import is_masked

Kind = Literal["int", "float", "str", "bool"]
Id = int | float | str | bool
Kinds = dict[str, Kind]

METRIC: Final = "metric"
VALUE: Final = "value"
TIME: Final = "time"
RUN: Final = "run"
RESERVED: Final = frozenset({METRIC, VALUE, TIME, RUN})
PARAMS_PREFIX: Final = "params."

BIN_LOW: Final = "bin_low"
BIN_HIGH: Final = "bin_high"
"""Ids of a histogram: a row that has both is the count of a bin, and no value of a series."""

MAX_METRIC_BYTES: Final = 1024
MAX_ID_BYTES: Final = 65_536
"""Longest string id in UTF-8: ids name positions and groups, texts are artifacts."""

KIND_OF: Final[dict[type, Kind]] = {int: "int", float: "float", str: "str", bool: "bool"}


def has_control_characters(text: str) -> bool:
    """Tell whether `text` holds C0 or C1 control characters, or DEL."""
    return any(char < " " or "\x7f" <= char <= "\x9f" for char in text)


def check_metric_name(name: object) -> str:
    """Return `name` as a plain str, or raise InvalidInputError."""
    if not isinstance(name, str):
        raise InvalidInputError(f"a metric's name must be a str, got {type(name).__name__}: {name!r}")
    plain = str.__str__(name)
    if not plain:
        raise InvalidInputError("a metric's name must not be empty")
    if has_control_characters(plain):
        raise InvalidInputError(f"a metric's name must not hold control characters, got {plain!r}")
    if len(encoded(plain, "a metric's name")) > MAX_METRIC_BYTES:
        raise InvalidInputError(
            f"a metric's name must be at most {MAX_METRIC_BYTES} bytes of UTF-8, got {plain[:40]!r}…"
        )
    return plain


def check_id_name(name: str) -> None:
    """Raise InvalidInputError unless `name` may be an id's name."""
    if not isinstance(name, str):
        raise InvalidInputError(f"an id's name must be a str, got {type(name).__name__}: {name!r}")
    if name in RESERVED or name.startswith(PARAMS_PREFIX):
        raise InvalidInputError(
            f"{name!r} is reserved, so it cannot name an id: "
            "metric, value, time, run and what begins with params. have a meaning of their own"
        )
    if has_control_characters(name):
        raise InvalidInputError(f"an id's name must not hold control characters, got {name!r}")
    encoded(name, "an id's name")


def plain_id(name: str, value: Any) -> Id:
    """Return an id's value as exactly an int, float, str or bool.

    NumPy scalars, enums over these types and anything with `__index__` are converted.

    Raises:
        IdTypeError: the value is of no kind that an id can have.
        InvalidInputError: an int beyond 64 bits, a string that is too long or not UTF-8.
    """
    try:
        found = _plain(value)
    except unless_handlers(Exception) as error:
        raise IdTypeError(f"id {name!r} of type {type(value).__name__} cannot be read: it raised {error!r}") from error
    if found is None:
        refused = IdTypeError(
            f"id {name!r} must be an int, float, str or bool, got {type(value).__name__}: {reprlib.repr(value)}"
        )
        refused.add_note(f"hint: convert it at the call, as in {name}=str(...) or {name}=int(...)")
        raise refused
    if type(found) is int and not -(2**63) <= found < 2**63:
        raise InvalidInputError(f"id {name!r} must fit into 64 bits, got {found}")
    if type(found) is str and len(encoded(found, f"id {name!r}")) > MAX_ID_BYTES:
        raise InvalidInputError(f"id {name!r} must be at most {MAX_ID_BYTES} bytes of UTF-8, got {found[:40]!r}…")
    return found


def _plain(value: Any) -> Id | None:
    if type(value) in KIND_OF:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float(value)
    if getattr(value, "shape", ()) != ():
        return None
    if callable(getattr(value, "item", None)):  # a NumPy scalar or a 0-d array
        found, is_time = value.item(), getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M")
        return found if type(found) in KIND_OF and not is_time and not is_masked(value) else None
    return operator.index(value) if hasattr(value, "__index__") and not isinstance(value, type) else None


def widen(old: Kind, new: Kind) -> Kind | None:
    """Return the kind that holds ids of both kinds in one run, or None where there is none."""
    if old == new:
        return old
    return "float" if {old, new} == {"int", "float"} else None


def unify(old: Kind, new: Kind) -> Kind:
    """Return the kind in which a reader shows ids of both kinds (other processes, other runs)."""
    return widen(old, new) or "str"


def series_ids(kinds: Mapping[str, Kind]) -> list[str]:
    """Return the ids that tell series apart: strings and bools. Numbers are positions inside a series."""
    return [name for name, kind in kinds.items() if kind in {"str", "bool"}]


def kind_error(name: str, found: Kind, expected: Kind) -> IdTypeError:
    """Describe an id that changed its kind."""
    error = IdTypeError(f"id {name!r} is {expected} in this run, got {found}")
    error.add_note(f"hint: convert it at the call, or log it under another id name than {name!r}")
    return error


def fit_id(name: str, value: Id, kind: Kind) -> Id:
    """Return `value` as its column stores it: an int in a float column becomes a float.

    Raises:
        InvalidInputError: the int is not a float64.
    """
    if kind == "float" and type(value) is int:
        if abs(value) > 2**53 and int(float(value)) != value:
            raise InvalidInputError(f"id {name!r} is float in this run, and {value} is no float64")
        return float(value)
    return value


def encoded(text: str, what: str) -> bytes:
    """Return a text as UTF-8, or raise InvalidInputError that says what must be valid Unicode."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInputError(f"{what} must be valid Unicode, got {text!r:.80}") from None
