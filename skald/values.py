"""What a metric's value can be, and how it becomes a float64."""

from __future__ import annotations

import reprlib
import sys
from typing import Any, Final, NamedTuple

from skald.errors import ValueTypeError, unless_handlers

EXACT_INT: Final = 2**53
"""Up to here every int is a float64."""
_FLOAT32_BYTES: Final = 4


class Value(NamedTuple):
    """A float64, and whether the number was too large to be one exactly."""

    number: float
    rounded: bool = False


def as_value(name: str, value: Any) -> Value:
    """Return the float64 of anything that has one: int, float, bool, Decimal, Fraction, 0-d arrays and tensors.

    Raises:
        ValueTypeError: the value of metric `name` has none: strings, arrays with dimensions, complex numbers.
    """
    if type(value) is float:
        return Value(value)
    try:
        return _from_number(_unpacked(value))
    except unless_handlers(Exception) as error:
        raise _error(name, value, error) from error


def from_torch(tensor: Any) -> Any:
    """Return a tensor as a NumPy array on the host; of floats NumPy knows, but not all of those below 32 bits."""
    tensor = tensor.detach().cpu()
    is_narrow = tensor.dtype.is_floating_point and tensor.dtype.itemsize < _FLOAT32_BYTES
    return (tensor.float() if is_narrow else tensor).numpy()


def _unpacked(value: Any) -> Any:
    """Return the Python number in a 0-d array or tensor, which of its integers is exact; other values as they are."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if getattr(value, "shape", ()) != () or kind in ("m", "M"):
        raise TypeError("only one number is a value")
    if not callable(getattr(value, "item", None)):
        return value
    if is_masked(value):
        raise TypeError("a missing value is no number")
    return value.item()


def is_masked(value: Any) -> bool:
    """Tell whether a value is one that NumPy has masked, as the mean of values that all are."""
    masking = sys.modules.get("numpy.ma")
    return masking is not None and isinstance(value, masking.MaskedArray) and bool(value.mask)


def _from_number(value: Any) -> Value:
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("text is no number")
    try:
        number = float(value)
    except OverflowError:
        return Value(float("inf") if value > 0 else float("-inf"), rounded=True)
    return Value(number, rounded=isinstance(value, int) and number != int(value))


def _error(name: str, value: Any, cause: Exception) -> ValueTypeError:
    shape = getattr(value, "shape", ())
    what = f" of shape {tuple(shape)}" if shape else f": {reprlib.repr(value)}"
    why = "" if isinstance(cause, TypeError) else f"; asked for its number it raised {cause!r:.200}"
    error = ValueTypeError(f"metric {str(name)!r} needs one number, got {type(value).__name__}{what}{why}")
    error.add_note(
        "hint: it is missing, so log NaN, or nothing"
        if not shape and is_masked(value)
        else "hint: reduce it first, as in value.mean(); log text with info() or log_text()"
    )
    return error
