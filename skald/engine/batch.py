"""Batches: whole columns of values and ids, checked and brought into the arrays that segments hold."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from skald.engine.rows import LOST_TIME
from skald.errors import IdTypeError, InvalidInputError, ValueTypeError, unless_handlers
from skald.schema import KIND_OF, Id, Kind, check_id_name, check_metric_name, fit_id, plain_id
from skald.values import EXACT_INT, as_value

MOST_SECONDS: Final = 2**63 / 1e9
"""Before and since the epoch, that int64 holds in nanoseconds: from the year 1677 to 2262."""
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class IdColumn(NamedTuple):
    """The values of one id: numbers, or codes into `strings`, one for each place in the batch."""

    kind: Kind
    numbers: np.ndarray
    strings: tuple[str, ...] = ()

    @property
    def sample(self) -> Id:
        """A value of the column's kind."""
        return {"int": 0, "float": 0.0, "str": "", "bool": False}[self.kind]  # type: ignore[return-value]


class Batch(NamedTuple):
    """Columns of equal length n: of each metric float64, ids as scalars or columns, times in ns."""

    values: dict[str, np.ndarray]
    ids: dict[str, Id | IdColumn]
    times: np.ndarray
    """int64, of length n, or of length 1 for all."""
    rounded: dict[str, int]
    """How many ints of a metric are no float64, of those that have some."""

    @property
    def length(self) -> int:
        """The n of the batch."""
        return len(next(iter(self.values.values()))) if self.values else 0

    @property
    def samples(self) -> dict[str, Id]:
        """For each id a value of its kind."""
        return {name: value.sample if isinstance(value, IdColumn) else value for name, value in self.ids.items()}

    @classmethod
    def of(cls, metrics: Mapping[str, Any], ids: Mapping[str, Any], when: Any) -> Batch:
        """Check what a call of `log_batch` got.

        Raises:
            InvalidInputError: names, lengths, missing values, times.
            ValueTypeError: a metric is no array of numbers.
            IdTypeError: an id is no array of one kind.
        """
        if not isinstance(metrics, Mapping):
            raise InvalidInputError(f"log_batch takes a mapping of names to arrays, got {type(metrics).__name__}")
        values, rounded = {}, {}
        for name, given in metrics.items():
            values[check_metric_name(name)], count = _as_values(name, given)
            if count:
                rounded[name] = count
        columns = {name: _as_id(name, value) for name, value in ids.items()}
        times = np.array([time.time_ns()]) if when is None else _as_times(when)
        lengths = {f"metric {name!r}": len(array) for name, array in values.items()}
        lengths |= {
            f"id {name!r}": len(value.numbers) for name, value in columns.items() if isinstance(value, IdColumn)
        }
        if times.ndim == 1 and when is not None:
            lengths["time"] = len(times)
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{what} has {length}" for what, length in lengths.items())
            raise InvalidInputError(f"all arrays of a batch must have one length: {found}")
        return cls(values, columns, np.atleast_1d(times), rounded)


def _as_values(name: str, given: Any) -> tuple[np.ndarray, int]:
    """Return the float64 of a metric, and how many are ints that are none exactly."""
    if isinstance(given, (str, bytes, Mapping)):
        raise ValueTypeError(f"metric {name!r} of a batch needs a 1-D array of numbers, got {type(given).__name__}")
    array = _to_numpy(f"metric {name!r}", given, instead="log NaN, or ")
    if array.ndim != 1:
        raise ValueTypeError(f"metric {name!r} of a batch needs a 1-D array of numbers, got shape {array.shape}")
    if array.dtype.kind == "O":
        numbers = [as_value(name, value) for value in array]
        return np.array([value.number for value in numbers], np.float64), sum(value.rounded for value in numbers)
    if array.dtype.kind in "SUTcmM":
        raise ValueTypeError(f"metric {name!r} of a batch needs numbers, got an array of {array.dtype}")
    try:
        values = np.ascontiguousarray(array, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueTypeError(f"metric {name!r} of a batch needs numbers, got an array of {array.dtype}") from error
    return values, _count_rounded(given, array, values)


def _to_numpy(what: str, values: Any, *, instead: str = "") -> np.ndarray:
    """Return any 1-D container as a NumPy array; missing values are an error, as NaN would be a value."""
    missing = getattr(values, "null_count", 0)
    if (missing() if callable(missing) else missing) > 0 or np.ma.is_masked(values):
        raise InvalidInputError(f"{what} of a batch has missing values; {instead}leave these rows out")
    try:
        if hasattr(values, "detach"):
            return _from_torch(values)
        if isinstance(values, pa.Array):
            return np.asarray(values.to_numpy(zero_copy_only=False))
        return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    except unless_handlers(Exception) as error:
        raise InvalidInputError(f"{what} of a batch is no 1-D array: {error}") from error


def _from_torch(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # NumPy knows all of Torch's types but the floats of 16 and fewer bits that are not IEEE's
    return np.asarray((tensor.double() if tensor.dtype.is_floating_point else tensor).numpy())


def _count_rounded(given: Any, array: np.ndarray, values: np.ndarray) -> int:
    """Count the ints that were given and are no float64 exactly."""
    if array.dtype.kind not in "iuf" or not (np.abs(values) >= EXACT_INT).any():
        return 0
    if array.dtype.kind == "f":  # NumPy makes floats of all, where one is
        return sum(as_value("", value).rounded for value in given) if isinstance(given, (list, tuple)) else 0
    fits = values < 2.0 ** (63 if array.dtype.kind == "i" else 64)  # what does not was rounded up to that
    exact = values[fits].astype(array.dtype) == array[fits]
    return len(array) - int(exact.sum())


def _as_id(name: str, value: Any) -> Id | IdColumn:
    check_id_name(name)
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "shape", None) == ():
        return plain_id(name, value)
    array = _to_numpy(f"id {name!r}", _of_one_kind(name, value))
    if array.ndim != 1:
        raise InvalidInputError(f"id {name!r} of a batch must be a scalar or a 1-D array, got shape {array.shape}")
    if array.dtype.kind == "u" and len(array) and int(array.max()) >= 2**63:
        raise InvalidInputError(f"id {name!r} must fit into 64 bits, got {array.max()}")
    if array.dtype.kind in "iu":
        return IdColumn("int", array.astype(np.int64))
    if array.dtype.kind == "f":
        return IdColumn("float", array.astype(np.float64))
    if array.dtype.kind == "b":
        return IdColumn("bool", array.astype(np.int8))
    return _strings(name, array)


def _of_one_kind(name: str, values: Any) -> Any:
    """Return ids so that NumPy does not change them to make them one kind: True is no 1, and 1 no "1"."""
    if hasattr(values, "dtype") or isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if len(set(map(type, values))) == 1 and type(next(iter(values))) in (float, str, bool):
        return values
    ids = [plain_id(name, value) for value in values]
    kinds = {KIND_OF[type(value)] for value in ids}
    if len(kinds) > 1 and kinds != {"int", "float"}:
        raise IdTypeError(f"id {name!r} of a batch must be of one kind, got {', '.join(sorted(kinds))} in it")
    return [fit_id(name, value, "float") for value in ids] if len(kinds) > 1 else ids


def _strings(name: str, array: np.ndarray) -> IdColumn:
    values = array.tolist()
    for value in values:
        if not isinstance(value, str):
            kind = type(value).__name__
            raise IdTypeError(f"id {name!r} of a batch must be an array of int, float, str or bool, got {kind} in it")
    codes: dict[str, int] = {}
    numbers = [codes.setdefault(str.__str__(value), len(codes)) for value in values]
    for string in codes:
        plain_id(name, string)
    return IdColumn("str", np.array(numbers, np.int32), tuple(codes))


def _as_times(when: Any) -> np.ndarray:
    """Return nanoseconds since the epoch; datetimes without a zone are local, NumPy's are UTC."""
    is_array = hasattr(when, "__len__")
    array = _nanoseconds(_to_numpy("time", when) if is_array else np.asarray(when))
    if array.ndim > 1:
        raise InvalidInputError(f"time of a batch must be one or a 1-D array, got shape {array.shape}")
    return np.select([array == 0, array == LOST_TIME], [1, LOST_TIME - 1], array)  # a row of time 0 would not exist


def _nanoseconds(array: np.ndarray) -> np.ndarray:
    kind = array.dtype.kind
    if kind == "O" and all(isinstance(value, dt.datetime) for value in array.flat):
        return np.array([_datetime_ns(value) for value in array.flat], np.int64).reshape(array.shape)
    if kind == "M":
        if np.isnat(array).any():
            raise InvalidInputError("time of a batch is missing (NaT) in some rows; leave them out")
        _check_seconds(array.astype("datetime64[s]").astype(np.int64), array)
        return array.astype("datetime64[ns]").astype(np.int64)
    if kind not in "iuf":
        raise InvalidInputError(f"time of a batch must be datetimes or seconds since the epoch, got {array.dtype}")
    _check_seconds(array, array)
    return array.astype(np.int64) * 10**9 if kind != "f" else (array * 1e6).round().astype(np.int64) * 1000


def _datetime_ns(value: dt.datetime) -> int:
    try:
        delta = value.astimezone(dt.UTC) - _EPOCH
    except (OverflowError, ValueError):  # so near to the first or last year that another zone has no such time
        delta = value.replace(tzinfo=dt.UTC) - _EPOCH
    seconds = delta.days * 86_400 + delta.seconds
    _check_seconds(np.array(seconds), np.array(value))
    return seconds * 10**9 + delta.microseconds * 1000


def _check_seconds(seconds: np.ndarray, given: np.ndarray) -> None:
    beyond = ~(np.abs(seconds.astype(np.float64)) < MOST_SECONDS - 1)
    if beyond.any():
        found = given.flat[int(beyond.argmax())]
        expected = "datetimes or seconds since the epoch, between the years 1677 and 2262"
        raise InvalidInputError(f"time of a batch must be {expected}, got {found}")
