"""Images as files: of PIL, or arrays of NumPy and Torch.

An array is laid out height, width, channels, as NumPy's are; a tensor channels, height, width, as Torch's are.
Values are uint8, or floats from 0 to 1, or bools.
"""

from __future__ import annotations

import io
import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from skald.amounts import plural
from skald.errors import InvalidInputError, MissingLibraryError, unless_handlers
from skald.values import from_torch

FORMATS: Final = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""What the suffix of a name may choose; the first where it chooses none."""

_CHANNELS: Final = (1, 3, 4)
_MATRIX, _IMAGE, _BATCH = 2, 3, 4
_GAP: Final = 2
"""Pixels between the images of a grid."""
_TOLERANCE: Final = 1e-6
"""How far beyond 0 and 1 a float may be, by rounding."""

Pixels = npt.NDArray[np.uint8]


def image_bytes(image: Any, suffix: str) -> bytes:
    """Return an image as the content of a file.

    Args:
        image: of PIL, or an array HxW, HxWx1, HxWx3 or HxWx4, or a tensor HxW, 1xHxW, 3xHxW or 4xHxW; with one
            dimension more, before the others, they are laid out as a grid. Of grey images NxHxW this holds where they
            are a list, or can be no image in colours.
        suffix: one of FORMATS.

    Raises:
        InvalidInputError: it is none of these, or the format cannot hold it.
        MissingLibraryError: pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingLibraryError("log_image needs pillow; install it with: pip install pillow") from error
    picture = image if isinstance(image, Image.Image) else Image.fromarray(pixels(image))
    file = io.BytesIO()
    try:
        picture.save(file, format=Image.registered_extensions()[suffix])
    except (OSError, ValueError) as error:
        refused = InvalidInputError(f"an image of mode {picture.mode} cannot be a {suffix} file: {error}")
        refused.add_note("hint: convert it first, as in image.convert('RGB'), or choose .png by the name")
        raise refused from error
    return file.getvalue()


def pixels(image: Any) -> Pixels:
    """Return an array or a tensor as uint8 of shape HxW, HxWx3 or HxWx4.

    Raises:
        InvalidInputError: its shape or its values are not those of an image.
    """
    is_tensor = hasattr(image, "detach")
    if np.ma.is_masked(image):
        raise InvalidInputError("an image has masked pixels; fill them, as in image.filled(0)")
    shapes = _shapes_in(image)
    if len(set(shapes)) > 1:
        raise InvalidInputError(
            f"images of one grid must be of one shape, got {shapes[0]} and {min({*shapes} - {shapes[0]})}"
        )
    try:
        array = np.asarray(from_torch(image) if is_tensor else image)
    except unless_handlers(Exception) as error:  # an array of a library that Skald does not know may raise anything
        raise InvalidInputError(f"an image must be of PIL or an array, got {_name(image)}: {error}") from error
    if array.dtype.kind not in "biuf" or array.ndim < _MATRIX:
        raise _wrong(image, array)
    if array.ndim == _IMAGE and (
        _is_grey_batch(array, is_tensor=is_tensor) or len(shapes[0] if shapes else ()) == _MATRIX
    ):
        array = array[:, None] if is_tensor else array[..., None]
    _check_shape(array, is_tensor=is_tensor)
    found = _bytes(array)
    if is_tensor and found.ndim > _MATRIX:
        found = np.moveaxis(found, -3, -1)
    if found.ndim == _BATCH:
        found = _grid(found)
    return np.ascontiguousarray(found[..., 0] if found.shape[2:] == (1,) else found)


def _shapes_in(image: Any) -> list[tuple[int, ...]]:
    """Return the shapes of the images in a list, none of what is no list of images."""
    if not isinstance(image, (list, tuple)):
        return []
    known = [hasattr(item, "__array__") or hasattr(item, "__array_interface__") for item in image]
    return [np.shape(item) for item in image] if all(known) else []


def _is_grey_batch(array: npt.NDArray[Any], *, is_tensor: bool) -> bool:
    """Tell whether a shape of three axes has channels nowhere: not where they belong, nor where others put them."""
    channels, other = (array.shape[axis] for axis in ((-3, -1) if is_tensor else (-1, -3)))
    return channels > max(_CHANNELS) and other not in _CHANNELS


def _check_shape(array: npt.NDArray[Any], *, is_tensor: bool) -> None:
    axis, other = (-3, -1) if is_tensor else (-1, -3)
    expected = "HxW, CxHxW or NxCxHxW" if is_tensor else "HxW, HxWxC or NxHxWxC"
    message = f"an image of shape {array.shape} is not {expected} with 1, 3 or 4 channels C"
    if array.ndim > _BATCH or (array.ndim > _MATRIX and array.shape[axis] not in _CHANNELS):
        error = InvalidInputError(message)
        if array.ndim in (_IMAGE, _BATCH) and array.shape[other] in _CHANNELS:
            how = f"image.movedim({other}, {axis})" if is_tensor else f"np.moveaxis(image, {other}, {axis})"
            grey = f"; of grey images in a batch: images[{':, None' if is_tensor else '..., None'}]"
            where = "first" if is_tensor else "last"
            error.add_note(f"hint: put the channels {where}, as in {how}{grey if array.ndim == _IMAGE else ''}")
        raise error
    if not array.size:
        raise InvalidInputError(f"an image must have pixels, got shape {array.shape}")


def _bytes(array: npt.NDArray[Any]) -> Pixels:
    """Return values as uint8: floats of 0 to 1 as 0 to 255, bools as 0 and 255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255
    low, high = array.min(), array.max()
    if array.dtype.kind in "iu":
        error = InvalidInputError(f"an image of ints must be uint8, got {array.dtype} from {low} to {high}")
        error.add_note("hint: convert it, as in image.astype(np.uint8), or image.to(torch.uint8)")
        raise error
    if nan := int(np.isnan(array).sum()):
        error = InvalidInputError(f"an image of floats must be from 0 to 1, got nan in {plural(nan, 'value')}")
        error.add_note("hint: replace them, as in np.nan_to_num(image)")
        raise error
    if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
        error = InvalidInputError(f"an image of floats must be from 0 to 1, got {low:g} to {high:g}")
        error.add_note("hint: scale or clip it, as in image / 255, or image.clip(0, 1)")
        raise error
    scaled: Pixels = (array.clip(0, 1) * 255).round().astype(np.uint8)
    return scaled


def _grid(images: Pixels) -> Pixels:
    """Lay images out in rows of about as many as there are rows; what is between and left over is 0."""
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    grid: Pixels = np.zeros(shape, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = image
    return grid


def _wrong(image: Any, array: npt.NDArray[Any]) -> InvalidInputError:
    what = f"shape {array.shape} of {array.dtype}" if array.ndim else _name(image)
    error = InvalidInputError(f"an image must be of PIL, or an array of uint8, 0..1 floats or bools, got {what}")
    if hasattr(image, "savefig"):
        error.add_note("hint: log_figure logs figures")
    return error


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
