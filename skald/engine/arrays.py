"""Arrow arrays out of NumPy's and back, buffer by buffer.

NOTE: pyarrow's own conversions, `pa.array` and `to_numpy`, import pandas where it is installed: 0.15 s at a close.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_FEW_TEXTS: Final = 1000


def arrow_array(values: npt.NDArray[Any], type_: pa.DataType, missing: npt.NDArray[np.bool_] | None = None) -> Any:
    """Return an Arrow array of numbers, or of bools, that shares the memory of `values` where it can.

    Args:
        values: of the type's width; bools as they are.
        type_: int, float, timestamp or bool.
        missing: where it is null.
    """
    valid = None if missing is None else pa.py_buffer(np.packbits(~missing, bitorder="little").data)
    packed = np.packbits(values, bitorder="little") if type_ == pa.bool_() else np.ascontiguousarray(values)
    assert type_.bit_width in (1, 8 * packed.itemsize), f"{packed.dtype} is no {type_}"
    return pa.Array.from_buffers(type_, len(values), [valid, pa.py_buffer(packed.data)])


def text_array(texts: Sequence[str]) -> Any:
    """Return an Arrow array of strings."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return pa.Array.from_buffers(
        pa.utf8(), len(encoded), [None, pa.py_buffer(offsets.data), pa.py_buffer(b"".join(encoded))]
    )


def take_texts(texts: Any, places: npt.NDArray[np.integer[Any]]) -> Any:
    """Return an Arrow array of some of an array's strings.

    NOTE: of few without Arrow's `take`, which loads pyarrow.compute: that takes longer than a small close.
    """
    if len(texts) > _FEW_TEXTS:
        return texts.take(arrow_array(places.astype(np.int64, copy=False), pa.int64()))
    known = texts.to_pylist()
    return text_array([known[place] for place in places.tolist()])


def numpy_array(array: Any, kind: type[np.generic]) -> npt.NDArray[Any]:
    """Return the numbers, or bools, of an Arrow array; where it is null they are anything."""
    data = array.buffers()[1]
    if kind is not np.bool_:
        return np.frombuffer(data, kind, len(array), array.offset * np.dtype(kind).itemsize)
    return _unpacked(data, array.offset, len(array))


def valid_mask(array: Any) -> npt.NDArray[np.bool_] | None:
    """Return where an Arrow array is not null; None where it never is."""
    return _unpacked(array.buffers()[0], array.offset, len(array)) if array.null_count else None


def _unpacked(bits: Any, offset: int, count: int) -> npt.NDArray[np.bool_]:
    data = np.frombuffer(bits, np.uint8)
    return np.unpackbits(data, bitorder="little", count=offset + count)[offset:].astype(np.bool_)
