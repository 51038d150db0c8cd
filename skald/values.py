"""What a metric's value can be, and how it becomes a float64."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from skald.errors import ValueTypeError

EXACT_INT: Final = 2**53
"""Up to here every int is a float64."""


class Value(NamedTuple):
    """A float64, and whether the number was too large to be one exactly."""

    number: float
    rounded: bool = False


def as_value(name: str, value: Any) -> Value:
    """Return the float64 of anything that has one: int, float, bool, Decimal, Fraction, 0-d arrays and tensors.

    Raises:
        ValueTypeError: the value of metric `name` has none: strings, arrays with dimensions, complex numbers.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _from_int(int(value))
    if isinstance(value, (str, bytes, bytearray)) or getattr(value, "shape", ()) != ():
        raise _error(name, value)
    if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise _error(name, value)
    try:
        number = float(value)
    except OverflowError:
        return Value(float("inf") if value > 0 else float("-inf"), rounded=True)
    except Exception as error:
        raise _error(name, value) from error
    return Value(number, rounded=_is_integer(value) and int(value) != number)


def _from_int(value: int) -> Value:
    try:
        number = float(value)
    except OverflowError:
        return Value(float("inf") if value > 0 else float("-inf"), rounded=True)
    return Value(number, rounded=number != value)


def _is_integer(value: Any) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u")


def _error(name: str, value: Any) -> ValueTypeError:
    shape = getattr(value, "shape", ())
    what = f"{type(value).__name__} of shape {tuple(shape)}" if shape else f"{type(value).__name__}: {value!r:.80}"
    error = ValueTypeError(f"metric {str(name)!r} needs one number, got {what}")
    error.add_note("hint: reduce it first, as in value.mean(); log text with info() or log_text()")
    return error
