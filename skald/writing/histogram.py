"""Histograms: how the values of a tensor are spread, as counts of bins, which are rows like others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from skald.engine.batch import Batch
from skald.errors import InvalidInputError, ValueTypeError, unless_handlers
from skald.schema import BIN_HIGH, BIN_LOW, check_metric_name
from skald.values import as_value, from_torch

NONFINITE: Final = "nonfinite"
MOST_BINS: Final = 10_000_000
"""NOTE: of more the system may kill the process, instead of saying that it has no memory."""
_WIDENING: Final = 1e-3
"""How much of their magnitude values get as the room around them that are too near for bins of their own."""

_TOP: Final = float(np.finfo(np.float64).max)

Floats = npt.NDArray[Any]


class Histogram(NamedTuple):
    """Bins of finite values, and how many values were not finite."""

    counts: npt.NDArray[np.int64]
    edges: npt.NDArray[np.float64]
    """One more than counts; without counts there are none."""
    nonfinite: int


def histogram(name: str, values: Any, bins: Any) -> Histogram:
    """Count values by bins, as `numpy.histogram` does over those that are finite.

    Args:
        name: of the metric, for messages.
        values: an array of numbers of any shape: NumPy, Torch, or what NumPy makes one of.
        bins: how many of equal width, or their edges, or the name of a rule of NumPy's.

    Raises:
        ValueTypeError: the values are no numbers.
        InvalidInputError: the bins are none, or more than there is memory for.
    """
    array = _as_array(name, values)
    bins = _checked(bins)
    is_finite = np.isfinite(array)
    finite = array if is_finite.all() else array[is_finite]
    nonfinite = array.size - finite.size
    if not finite.size:
        return Histogram(np.zeros(0, np.int64), np.zeros(0), nonfinite)
    counts, edges = _count(finite, bins)
    return Histogram(counts, edges.astype(np.float64), nonfinite)


def histogram_batches(name: str, values: Any, bins: Any, ids: Mapping[str, Any]) -> list[Batch]:
    """Return what is logged of a histogram: its bins, and the count of what was not finite, all at the same time.

    Args:
        name: of the metric.
        values: as in `histogram`.
        bins: as in `histogram`.
        ids: of the call.

    Raises:
        InvalidInputError, ValueTypeError, IdTypeError: of any of these.
    """
    nonfinite_name = check_metric_name(f"{check_metric_name(name)}/{NONFINITE}")
    for edge in (BIN_LOW, BIN_HIGH):
        if edge in ids:
            raise InvalidInputError(f"{edge!r} is an id of the bins, so it cannot be given to a histogram")
    counts, edges, nonfinite = histogram(name, values, bins)
    found = Batch.of({name: counts}, {**ids, BIN_LOW: edges[:-1], BIN_HIGH: edges[1:]}, None)
    apart = Batch.of({nonfinite_name: [nonfinite]}, ids, None)._replace(times=found.times)
    return [*([found] if found.length else []), *([apart] if nonfinite else [])]


def _as_array(name: str, values: Any) -> Floats:
    """Return numbers as a flat array that `numpy.histogram` counts exactly."""
    try:
        array = np.asarray(from_torch(values) if hasattr(values, "detach") else values).ravel()
        if array.dtype.kind == "O":
            array = np.array([as_value(name, value).number for value in array])
    except unless_handlers(Exception) as error:  # an array of a library that Skald does not know may raise anything
        raise ValueTypeError(f"histogram {name!r} needs an array of numbers, got {type(values).__name__}") from error
    if np.ma.is_masked(values):
        raise InvalidInputError(f"histogram {name!r} has masked values; leave them out, as in values.compressed()")
    if array.dtype.kind not in "biuf":
        raise ValueTypeError(f"histogram {name!r} needs an array of numbers, got one of {array.dtype}")
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind == "f" and array.dtype not in (np.float32, np.float64):
        return array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    return array


def _checked(bins: Any) -> Any:
    """Return bins as `numpy.histogram` takes them: an int, a rule's name, or edges that ascend."""
    if isinstance(bins, str):
        return bins
    if getattr(bins, "shape", ()) == () and hasattr(bins, "__index__") and not isinstance(bins, (bool, np.bool_)):
        if not 1 <= bins <= MOST_BINS:
            raise InvalidInputError(f"bins must be from 1 to {MOST_BINS:,}, got {bins}")
        return int(bins)
    try:
        edges = np.asarray(bins, np.float64)
    except (TypeError, ValueError):
        edges = np.zeros(0)
    if edges.ndim != 1 or len(edges) <= 1 or not (edges[:-1] < edges[1:]).all() or np.isinf(edges).any():
        error = InvalidInputError(f"bins must be an int, ascending finite edges, or a rule's name, got {bins!r:.80}")
        error.add_note("hint: two edges make one bin; the rules are those of numpy.histogram_bin_edges, as 'auto'")
        raise error
    return edges


def _count(values: Floats, bins: Any) -> tuple[npt.NDArray[np.int64], Floats]:
    try:
        return _numpy_histogram(values, bins)
    except MemoryError as error:
        raise InvalidInputError(f"bins={bins!r} are more than there is memory for; give a smaller number") from error
    except ValueError as error:
        if not isinstance(bins, int):
            raise InvalidInputError(f"NumPy makes no histogram with bins={bins!r:.80}: {error}") from error
    # NOTE: NumPy refuses values that are nearer to each other, or further apart, than its edges can tell;
    # halves of them are never too far apart
    low, high = float(values.min()) / 2, float(values.max()) / 2
    room = max(0.25, _WIDENING * max(-low, high))
    span = max(low - room, -_TOP / 2), min(high + room, _TOP / 2)
    counts, edges = _numpy_histogram(values.astype(np.float64) / 2, bins, span)
    return counts, edges * 2


def _numpy_histogram(
    values: Floats, bins: Any, span: tuple[float, float] | None = None
) -> tuple[npt.NDArray[np.int64], Floats]:
    with np.errstate(over="ignore", invalid="ignore"):  # it raises ValueError too
        counts, edges = np.histogram(values, bins, span)
    return counts, edges
