"""log_image: arrays, tensors and PIL's images, in the format that the name chooses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from logged import program
from PIL import Image

import skald
from skald import InvalidInputError, LoggerClosedError, MissingLibraryError

RNG = np.random.default_rng(0)
COLORS = RNG.integers(0, 256, (5, 7, 4), np.uint8)


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[skald.Logger]:
    """Return an open logger."""
    with skald.Logger("run", tmp_path) as logger:
        yield logger


def image_of(logger: skald.Logger, path: str = "a.png") -> Image.Image:
    """Return a kept image."""
    with Image.open(logger.run.path / "artifacts" / path) as image:
        image.load()
        return image


ARRAYS: dict[str, tuple[Any, Any, str]] = {
    "HxW": (COLORS[..., 0], COLORS[..., 0], "L"),
    "HxWx1": (COLORS[..., :1], COLORS[..., 0], "L"),
    "HxWx3": (COLORS[..., :3], COLORS[..., :3], "RGB"),
    "HxWx4": (COLORS, COLORS, "RGBA"),
    "floats": (COLORS[..., :3] / 255, COLORS[..., :3], "RGB"),
    "float32": ((COLORS / 255).astype(np.float32), COLORS, "RGBA"),
    "float16": (np.array([[0, 0.5, 1]], np.float16), np.array([[0, 128, 255]]), "L"),
    "rounded floats": (np.array([[-1e-7, 1 + 1e-7]]), np.array([[0, 255]]), "L"),
    "bools": (np.array([[True, False]]), np.array([[255, 0]]), "L"),
    "turned": (COLORS[::-1, ::2, :3], COLORS[::-1, ::2, :3], "RGB"),
    "list": ([[0.0, 1.0]], np.array([[0, 255]]), "L"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_image_of_an_array_is_a_png_of_its_pixels(logger: skald.Logger, kind: str) -> None:
    """NumPy HxW, HxWx1, HxWx3 and HxWx4, of uint8, of floats from 0 to 1, and masks."""
    given, expected, mode = ARRAYS[kind]

    logger.log_image("a", given)

    assert image_of(logger).mode == mode
    assert (np.asarray(image_of(logger)) == expected).all()


@pytest.mark.parametrize("kind", ["HxW", "1xHxW", "3xHxW", "4xHxW", "floats", "bfloat16", "gradient"])
def test_image_of_a_tensor_has_its_channels_first(logger: skald.Logger, kind: str) -> None:
    """Torch CxHxW, whatever its dtype, and with a gradient."""
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(COLORS).permute(2, 0, 1)
    cases = {
        "HxW": (tensor[0], COLORS[..., 0]),
        "1xHxW": (tensor[:1], COLORS[..., 0]),
        "3xHxW": (tensor[:3], COLORS[..., :3]),
        "4xHxW": (tensor, COLORS),
        "floats": (tensor[:3] / 255, COLORS[..., :3]),
        "bfloat16": (torch.tensor([[0, 1]], dtype=torch.bfloat16), np.array([[0, 255]])),
        "gradient": ((tensor[:3] / 255).requires_grad_(), COLORS[..., :3]),
    }
    given, expected = cases[kind]

    logger.log_image("a", given)

    assert (np.asarray(image_of(logger)) == expected).all()


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3), (10, 3, 4)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_images_of_a_batch_are_a_grid(logger: skald.Logger, library: str, count: int, rows: int, columns: int) -> None:
    """Images stand in rows from the top left, with a gap between; what is left over is black."""
    images = RNG.integers(1, 256, (count, 4, 6, 3), np.uint8)
    given: Any = images
    if library == "torch":
        given = pytest.importorskip("torch").from_numpy(images).permute(0, 3, 1, 2)

    logger.log_image("a", given)

    found = np.asarray(image_of(logger))
    assert found.shape == (rows * 6 - 2, columns * 8 - 2, 3)
    for number, image in enumerate(images):
        top, left = number // columns * 6, number % columns * 8
        assert (found[top : top + 4, left : left + 6] == image).all()
    assert np.count_nonzero(found) == images.size


def test_images_of_a_grey_batch_are_a_grey_grid(logger: skald.Logger) -> None:
    """A batch with one channel stays grey."""
    logger.log_image("a", np.ones((4, 3, 3, 1)))

    assert (image_of(logger).mode, image_of(logger).size) == ("L", (8, 8))


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("kind", ["array", "list"])
def test_images_of_a_batch_without_channels_are_a_grey_grid(logger: skald.Logger, kind: str, count: int) -> None:
    """NxHxW, where it can be no image in colours, and any list of HxW."""
    images = RNG.integers(1, 256, (count, 8, 6), np.uint8)
    if kind == "array" and count == 3:
        with pytest.raises(InvalidInputError, match="HxWxC"):  # most likely one with its channels first
            logger.log_image("a", images)
        return

    logger.log_image("a", images if kind == "array" else list(images))

    found = np.asarray(image_of(logger))
    columns, rows = (2, 2) if count == 3 else (3, 2)
    assert found.shape == (rows * 10 - 2, columns * 8 - 2)
    assert (found[:8, 8:14] == images[1]).all()
    assert (found[10:18, :6] == images[columns]).all()


def test_images_of_a_batch_of_tensors_without_channels_are_a_grey_grid(logger: skald.Logger) -> None:
    """NxHxW of Torch, where it can be no image in colours."""
    torch = pytest.importorskip("torch")

    logger.log_image("a", torch.ones(5, 8, 6))

    assert (image_of(logger).mode, image_of(logger).size) == ("L", (22, 18))


def test_image_of_pil_is_kept_as_it_is(logger: skald.Logger) -> None:
    """Palettes and transparency stay."""
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        logger.log_image("a", Image.new(mode, (3, 2)))

        assert (image_of(logger).mode, image_of(logger).size) == (mode, (3, 2))


@pytest.mark.parametrize(
    ("name", "path", "form"),
    [
        ("a", "a.png", "PNG"),
        ("a.jpg", "a.jpg", "JPEG"),
        ("a.JPEG", "a.jpeg", "JPEG"),
        ("a.webp", "a.webp", "WEBP"),
        ("a.gif", "a.gif", "GIF"),
        ("a.bmp", "a.bmp", "BMP"),
        ("a.tiff", "a.tiff", "TIFF"),
        ("b/v1.2", "b/v1.2.png", "PNG"),
        ("a.final", "a.final.png", "PNG"),
    ],
)
def test_image_has_the_format_of_its_name(logger: skald.Logger, name: str, path: str, form: str) -> None:
    """A suffix chooses the format, any other name gets `.png`; with ids it is the suffix of their file."""
    logger.log_image(name, COLORS[..., :3])
    logger.log_image(name, COLORS[..., :3], epoch=3)

    assert image_of(logger, path).format == form
    stem, _, suffix = path.rpartition(".")
    assert image_of(logger, f"{stem}/epoch=3.{suffix}").format == form


BAD: dict[str, tuple[Any, str]] = {
    "channels first": (np.zeros((3, 8, 9)), "HxWxC.*1, 3 or 4"),
    "two channels": (np.zeros((8, 9, 2)), "1, 3 or 4"),
    "one dimension": (np.zeros(8), "shape .8,."),
    "five dimensions": (np.zeros((1, 1, 8, 9, 3)), "shape"),
    "a number": (3, "got builtins.int"),
    "nothing": (None, "got builtins.NoneType"),
    "no pixels": (np.zeros((0, 9)), "must have pixels"),
    "no images": (np.zeros((0, 8, 9, 3)), "must have pixels"),
    "floats to 255": (np.full((8, 9), 255.0), "from 0 to 1, got 255 to 255"),
    "negative": (np.full((8, 9), -0.5), "from 0 to 1"),
    "NaN": (np.array([[0, np.nan, 1, np.nan]]), "from 0 to 1, got nan in 2 values"),
    "ints": (np.full((8, 9), 7), "must be uint8, got int64 from 7 to 7"),
    "complex": (np.zeros((8, 9), complex), "complex128"),
    "text": ("a.png", "got builtins.str"),
    "masked": (np.ma.masked_array([[0.0, 1.0]], [[True, False]]), "masked pixels"),
    "sizes": ([np.zeros((8, 9)), np.zeros((8, 7))], "one shape, got .8, 9. and .8, 7."),
    "sizes of PIL": ([Image.new("RGB", (9, 8)), Image.new("RGB", (7, 8))], "one shape, got .8, 9, 3. and .8, 7, 3."),
    "ragged": ([[1], [2, 3]], "an array"),
}


@pytest.mark.parametrize("kind", BAD)
def test_image_that_is_none_is_refused(logger: skald.Logger, kind: str) -> None:
    """Shapes and values that no image has are errors that say what was found and what to do."""
    given, message = BAD[kind]

    with pytest.raises(InvalidInputError, match=message):
        logger.log_image("a", given)

    assert not list((logger.run.path / "artifacts").glob("a*"))


def test_image_with_its_channels_elsewhere_is_refused_with_the_remedy(logger: skald.Logger) -> None:
    """The hint turns the array as it must be."""
    with pytest.raises(InvalidInputError) as caught:
        logger.log_image("a", np.zeros((3, 8, 9)))
    assert "np.moveaxis(image, -3, -1)" in caught.value.__notes__[0]
    assert "of grey images in a batch: images[..., None]" in caught.value.__notes__[0]

    torch = pytest.importorskip("torch")
    with pytest.raises(InvalidInputError) as caught:
        logger.log_image("a", torch.zeros((8, 9, 3)))
    assert "image.movedim(-1, -3)" in caught.value.__notes__[0]


def test_image_that_its_format_cannot_hold_is_refused(logger: skald.Logger) -> None:
    """JPEG has no transparency: the error says so, and nothing is kept."""
    with pytest.raises(InvalidInputError, match=r"mode RGBA cannot be a \.jpg file"):
        logger.log_image("a.jpg", COLORS)

    assert not list((logger.run.path / "artifacts").glob("a*"))


def test_image_of_a_closed_logger_is_refused(tmp_path: Path) -> None:
    """After close it raises; a disabled logger checks it and keeps nothing."""
    logger = skald.Logger("run", tmp_path)
    logger.close()
    with pytest.raises(LoggerClosedError):
        logger.log_image("a", COLORS)

    with skald.Logger("off", tmp_path, mode="disabled") as off:
        off.log_image("a", COLORS)
        with pytest.raises(InvalidInputError):
            off.log_image("a", np.zeros(3))
    assert not (tmp_path / "off").exists()


def test_image_without_pillow_says_what_to_install(tmp_path: Path) -> None:
    """The error names the package; logging goes on, and with errors="warn" so does the training."""
    script = """
import sys
sys.modules["PIL"] = None
import numpy, skald
with skald.Logger("run", ".") as logger:
    try:
        logger.log_image("a", numpy.zeros((8, 8)))
    except skald.MissingLibraryError as error:
        print(error, isinstance(error, ImportError))
with skald.Logger("lax", ".", errors="warn") as logger:
    logger.log_image("a", numpy.zeros((8, 8)))
"""
    ended = program(script, folder=tmp_path)

    assert ended.stdout == "log_image needs pillow; install it with: pip install pillow True\n", ended.stderr
    assert "1 x MissingLibraryError" in ended.stderr
    assert issubclass(MissingLibraryError, ImportError)
