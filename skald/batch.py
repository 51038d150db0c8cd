"""Batches: whole columns of values and ids, checked and brought into the arrays that segments hold."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skald.errors import IdTypeError, InvalidInputError, SkaldError, ValueTypeError
from skald.schema import KIND_OF, Id, Kind, check_id_name, check_metric_name, plain_id
from skald.values import EXACT_INT, as_value


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
    rounded: str | None
    """A metric with an int that is no float64."""

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
        arrays = {check_metric_name(name): _as_array(name, values) for name, values in metrics.items()}
        rounded = next((name for name, array in arrays.items() if _is_rounded(array)), None)
        values = {name: np.ascontiguousarray(array, np.float64) for name, array in arrays.items()}
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


def _as_array(name: str, values: Any) -> np.ndarray:
    if isinstance(values, (str, bytes, Mapping)):
        raise ValueTypeError(f"metric {name!r} of a batch needs a 1-D array of numbers, got {type(values).__name__}")
    array = _to_numpy(f"metric {name!r}", values)
    if array.ndim != 1:
        raise ValueTypeError(f"metric {name!r} of a batch needs a 1-D array of numbers, got shape {array.shape}")
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind == "O":
        return np.array([as_value(name, value).number for value in array], np.float64)
    raise ValueTypeError(f"metric {name!r} of a batch needs numbers, got an array of {array.dtype}")


def _to_numpy(what: str, values: Any) -> np.ndarray:
    """Return any 1-D container as a NumPy array; missing values are an error, as NaN would be a value."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    missing = getattr(values, "null_count", 0)
    if (missing() if callable(missing) else missing) > 0:
        raise InvalidInputError(f"{what} of a batch has missing values; log NaN, or leave these rows out")
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return np.asarray(values.to_numpy(zero_copy_only=False) if isinstance(values, pa.Array) else values.to_numpy())
    if hasattr(values, "to_numpy"):
        return np.asarray(values.to_numpy())
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidInputError(f"{what} of a batch is no 1-D array: {error}") from error


def _is_rounded(array: np.ndarray) -> bool:
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8 or not len(array):
        return False
    return bool(array.max() > EXACT_INT or (array.dtype.kind == "i" and array.min() < -EXACT_INT))


def _as_id(name: str, value: Any) -> Id | IdColumn:
    check_id_name(name)
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "shape", None) == ():
        return plain_id(name, value)
    array = _to_numpy(f"id {name!r}", value)
    if array.ndim != 1:
        raise InvalidInputError(f"id {name!r} of a batch must be a scalar or a 1-D array, got shape {array.shape}")
    kind = {"i": "int", "u": "int", "f": "float", "b": "bool"}.get(array.dtype.kind)
    if kind == "int":
        if array.dtype.kind == "u" and len(array) and int(array.max()) >= 2**63:
            raise InvalidInputError(f"id {name!r} must fit into 64 bits, got {array.max()}")
        return IdColumn("int", array.astype(np.int64))
    if kind == "float":
        return IdColumn("float", array.astype(np.float64))
    if kind == "bool":
        return IdColumn("bool", array.astype(np.int8))
    return _strings(name, array)


def _strings(name: str, array: np.ndarray) -> IdColumn:
    for value in array:
        if type(value) is not str and not isinstance(value, str):
            plain = KIND_OF.get(type(value), type(value).__name__)  # type: ignore[arg-type]
            raise IdTypeError(
                f"id {name!r} of a batch must be an array of int, float, str or bool, got a {plain} in it"
            )
    encoded = pa.array([str.__str__(value) for value in array], pa.utf8()).dictionary_encode()
    strings = tuple(encoded.dictionary.to_pylist())
    for string in strings:
        plain_id(name, string)
    return IdColumn("str", encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), strings)


def _as_times(when: Any) -> np.ndarray:
    """Return nanoseconds since the epoch; datetimes without a zone are local, NumPy's are UTC."""
    try:
        if isinstance(when, dt.datetime):
            return np.array(_datetime_ns(when))
        array = _to_numpy("time", when) if hasattr(when, "__len__") else np.asarray(when)
        if array.dtype.kind == "O" and all(isinstance(value, dt.datetime) for value in array.flat):
            array = np.array([_datetime_ns(value) for value in array.flat], np.int64)
        elif array.dtype.kind == "M":
            array = array.astype("datetime64[ns]").astype(np.int64)
        elif array.dtype.kind in "iu":
            array = array.astype(np.int64) * 10**9
        elif array.dtype.kind == "f" and np.isfinite(array).all():
            array = (array * 1e6).round().astype(np.int64) * 1000
        else:
            raise InvalidInputError(f"time must be datetimes or seconds since the epoch, got {array.dtype}")
    except (SkaldError, OverflowError) as error:
        raise InvalidInputError(f"time of a batch: {error}") from error
    if array.ndim > 1:
        raise InvalidInputError(f"time must be one or a 1-D array, got shape {array.shape}")
    return np.where(array == 0, 1, array)  # a row of time 0 would not exist


def _datetime_ns(value: dt.datetime) -> int:
    delta = value.astimezone(dt.UTC) - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    return (delta.days * 86_400 + delta.seconds) * 10**9 + delta.microseconds * 1000
