"""The images that a user gives to a predictor, as pixels of the model's input shape."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sepcnn.data.decoding.in_memory import bytes_of_array, bytes_of_image
from sepcnn.data.sources.base import Source
from sepcnn.errors import DataError
from sepcnn.language.values import ImageShape

OneImage: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
Images: TypeAlias = OneImage | Iterable[OneImage]
Pixels: TypeAlias = NDArray[np.uint8]

IMAGE_CHANNELS = (1, 2, 3, 4)
"""channels of an image: grey, grey and opacity, RGB, RGB and opacity"""
MODEL_CHANNELS = (1, 3, 4)
"""channels of a model to which all images can be converted"""
NOT_IMAGES = (bytes, bytearray, Mapping)
"""iterables whose items are not images"""


def list_of_images(images: Images, shape: ImageShape) -> tuple[Iterable[object], bool]:
    """Return the images as an iterable, and whether they are a single image.

    An array of several images is returned unchanged. ``shape``: the model's input shape.
    Errors: TypeError, ValueError for what is neither one image nor several.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        return [images], True
    if is_array(images):
        array = to_array(images)
        if array.ndim == 1 and array.dtype.kind in "OU":  # paths, for example from a table
            return array.tolist(), False
        check_array(array, images, shape, (2, 3, 4))
        return (array, False) if array.ndim == 4 else ([array], True)
    if (
        isinstance(images, NOT_IMAGES)
        or hasattr(images, "read")
        or not isinstance(images, Iterable)
    ):
        raise TypeError(wrong_type(images))
    return images, False


class ModelInput:
    """Prepares images for a model, as a source prepares its own files."""

    def __init__(self, source: Source, shape: ImageShape) -> None:
        self.source = source
        self.shape = shape
        self.lock = threading.Lock()

    def pixels_or_error(self, numbered: tuple[int, object]) -> Pixels | DataError:
        """Return the pixels of an image, or the error if it cannot be read."""
        try:
            return self.pixels(*numbered)
        except DataError as error:
            return error

    def pixels(self, index: int, image: object) -> Pixels:
        """Return an image, number ``index`` of those given, as uint8 [H, W, C] for the model.

        Errors: `DataError` if it cannot be read, ValueError for an array of another shape or dtype,
        TypeError for another type.
        """
        if isinstance(image, str | os.PathLike):
            return self._of_file(Path(image))
        name = Path(os.fsdecode(getattr(image, "filename", "") or f"image {index}"))
        if isinstance(image, Image.Image):
            with self.lock:  # the same image may be given twice
                content = bytes_of_image(image, name)
            return self.source.read_image(name, self.shape, content)
        if is_array(image):
            array = to_array(image)
            if array.dtype == np.uint8 and array.shape == self.shape:
                return array
            check_array(array, image, self.shape, (2, 3))
            return self._of_array(array if array.ndim == 3 else array[..., None], name)
        raise TypeError(wrong_type(image))

    def _of_file(self, path: Path) -> Pixels:
        if is_folder(path):
            hint = "give its files, for example Path(FOLDER).glob('*.jpg')"
            raise DataError(f"{path} is a folder", hint)
        return self.source.read_image(path, self.shape)

    def _of_array(self, array: Pixels, name: Path) -> Pixels:
        """Read an array, uint8 [H, W, C], as a file with these pixels."""
        height, width, channels = self.shape
        if channels in MODEL_CHANNELS:
            return self.source.read_image(name, self.shape, bytes_of_array(array))
        bands = [
            self.source.read_image(name, (height, width, 1), bytes_of_array(band[..., None]))
            for band in array.transpose(2, 0, 1)
        ]
        return np.concatenate(bands, axis=2)


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for example a name that is too long
        return False


def is_array(value: object) -> bool:
    """Whether a value is an array of NumPy, or of another library that converts to one."""
    return hasattr(value, "__array__")


def to_array(value: Any) -> NDArray[Any]:
    """Convert to an array of NumPy. Errors: ValueError for a tensor on a GPU."""
    try:
        return np.asarray(value)
    except (TypeError, RuntimeError) as error:  # a tensor on a GPU, or one that needs gradients
        hint = "give tensors as .detach().cpu().to(torch.uint8), with values from 0 to 255"
        raise ValueError(f"{error}\n   {hint}") from None


def check_array(
    array: NDArray[Any], given: object, shape: ImageShape, dimensions: tuple[int, ...]
) -> None:
    """Check that an array has one of these numbers of dimensions and is uint8 images for a model.

    ``shape``: the model's input shape. Errors: ValueError, whose message says what to do.
    """
    allowed = IMAGE_CHANNELS if shape[2] in MODEL_CHANNELS else shape[2:]
    channels = array.shape[-1] if array.ndim > 2 else 1
    is_numpy = isinstance(given, np.ndarray)
    hints = hints_for_values(array, "astype('uint8')" if is_numpy else "to(torch.uint8)")
    if array.ndim in dimensions and channels not in allowed:
        hints = hints_for_shape(array, is_numpy) + hints
    elif array.ndim in dimensions and 0 not in array.shape[-3:] and array.dtype == np.uint8:
        return
    last = "C" if shape[2] in MODEL_CHANNELS else str(shape[2])
    forms = {2: "H×W", 3: f"H×W×{last}", 4: f"N×H×W×{last}"}
    *others, final = (forms[n] for n in dimensions if n > 2 or 1 in allowed)
    expected = f"{', '.join(others)} or {final}" if others else final
    lines = "".join(f"\n   {hint}" for hint in hints)
    raise ValueError(f"expected uint8 {expected}, found {describe(array)}{lines}")


def describe(array: NDArray[Any]) -> str:
    return f"{array.dtype} {'×'.join(map(str, array.shape)) or 'number'}"


def hints_for_shape(array: NDArray[Any], is_numpy: bool) -> list[str]:
    """Say how to bring the dimensions into order, for an array whose last one is not channels."""
    if array.ndim < 3:
        return []
    if array.shape[-3] in MODEL_CHANNELS:
        order = "(1, 2, 0)" if array.ndim == 3 else "(0, 2, 3, 1)"
        return [f"channels come last: use .{'transpose' if is_numpy else 'permute'}{order}"]
    return ["for grey images N×H×W use images[..., None]"] if array.ndim == 3 else []


def hints_for_values(array: NDArray[Any], conversion: str) -> list[str]:
    """Say how to convert to uint8 from 0 to 255; empty if the array is uint8."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return []
    if kind == "b":
        return [f"use .{conversion} * 255"]
    if kind not in "iuf" or not array.size:
        return ["pixels are uint8, from 0 to 255"]
    low, high = array.min(), array.max()
    found = f"values are from {low:g} to {high:g}"
    if low >= 0 and high <= 1 and kind == "f":
        return [f"{found}: use (images * 255).round().{conversion}"]
    if low >= 0 and high <= 255:
        return [f"{found}: use .{'round().' if kind == 'f' else ''}{conversion}"]
    return [f"{found}: give pixels from 0 to 255 as uint8, before any normalisation"]


def wrong_type(value: object) -> str:
    """Say what was found in place of an image, and what to do."""
    hint = "give a path, an image of Pillow or a uint8 array"
    if isinstance(value, bytes | bytearray):
        hint = "open the bytes of a file with PIL.Image.open(io.BytesIO(content))"
    elif hasattr(value, "read"):
        hint = "open the file with PIL.Image.open(file)"
    elif isinstance(value, list | tuple):
        hint = "give one list of images; convert lists of numbers with numpy.array(…, 'uint8')"
    return f"expected an image, found {type(value).__name__}\n   {hint}"
