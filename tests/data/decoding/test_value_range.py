"""Measuring the pixel values of files, and what is suspicious about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sepcnn.data.decoding.pixel_values import ValueRange
from sepcnn.data.decoding.reading import DEFAULT_RULES, ReadingRules
from sepcnn.data.decoding.value_range import (
    PixelValues,
    measure_file,
    measured_range,
    suspicions,
)
from sepcnn.errors import DataError
from tests.raw_images import png16


def saved(path: Path, values: Any, dtype: Any = np.uint8) -> Path:
    Image.fromarray(np.asarray(values, dtype)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "values", "expected"),
    [
        ("a.png", np.uint8, [[3, 200]], (3, 200, 255)),
        ("a.png", np.uint16, [[3, 4000]], (3, 4000, 65535)),
        ("a.tif", np.int32, [[-5, 4000]], (-5, 4000, None)),
        ("a.tif", np.float32, [[0.5, np.nan, np.inf, 2]], (0.5, 2, None)),
        ("a.png", np.bool_, [[False, False]], (0, 1, 1)),
        ("a.png", np.uint8, [[[9, 1, 5, 200]]], (1, 9, 255)),  # opacity does not count
    ],
    ids=["8-bit", "16-bit", "signed", "float", "1-bit", "rgba"],
)
def test_values_are_measured_as_they_are_in_the_file(
    tmp_path: Path, name: str, dtype: Any, values: Any, expected: tuple[float, float, int | None]
) -> None:
    path = saved(tmp_path / name, values, dtype)
    assert measure_file(path, 3, DEFAULT_RULES) == PixelValues(*expected)


def test_colours_of_16_bits_are_measured_with_their_low_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png16(np.array([[[1, 2, 900]]])))
    assert measure_file(path, 3, DEFAULT_RULES) == PixelValues(1, 900, 65535)


# ── auto ──────────────────────────────────────────────────────────────────────────────────────


def automatic(*paths: Path) -> ValueRange | None:
    return measured_range(paths, 1, ReadingRules())


def test_auto_is_the_smallest_and_largest_value(tmp_path: Path) -> None:
    first = saved(tmp_path / "a.png", [[100, 200]], np.uint16)
    second = saved(tmp_path / "b.png", [[150, 3000]], np.uint16)
    (tmp_path / "c.png").write_bytes(b"unreadable")
    assert automatic(first, second, tmp_path / "c.png") == (100, 3000)


def test_the_type_with_the_largest_range_decides(tmp_path: Path) -> None:
    deep = saved(tmp_path / "a.png", [[100, 3000]], np.uint16)
    shallow = saved(tmp_path / "b.png", [[0, 255]])
    assert automatic(shallow, deep) == (100, 3000)
    assert automatic(saved(tmp_path / "c.png", [[False]], np.bool_)) is None


def test_auto_of_types_that_one_range_does_not_suit_is_an_error(tmp_path: Path) -> None:
    shares = saved(tmp_path / "a.tif", [[0, 0.9]], np.float32)
    photo = saved(tmp_path / "b.png", [[0, 255]])
    with pytest.raises(DataError) as caught:
        automatic(shares, photo)
    assert caught.value.message == (
        "value_range: auto, but the training images are a mix: numbers without a natural range "
        "from 0 to 0.9 and 8 bits from 0 to 255"
    )
    assert automatic(saved(tmp_path / "c.png", [[0, 250]], np.uint16), photo) == (0, 255)


def test_auto_of_equal_pixels_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="auto, but all training pixels are 4,000"):
        automatic(saved(tmp_path / "a.png", [[4000, 4000]], np.uint16))


# ── suspicions ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("values", "value_range", "expected"),
    [
        ((0, 3900, 65535), None, "probably 12-bit data: set value_range"),
        ((0, 1023, 65535), None, ": [0, 1023], or auto"),
        ((0, 250, 65535), None, "8-bit data in files of 16 bits: set"),
        ((0, 1, 65535), None, "probably masks, or dark images"),
        ((0, 1, 255), None, ": [0, 1], or auto"),
        ((32768, 36000, 65535), None, ": [32768, 36000], or auto"),
        ((7, 7, 255), None, "the images are empty"),
        ((0, 60000, 65535), (0, 4095), "they are clipped"),
        ((0, 250, 65535), (0, 4095), "8-bit data"),
        ((-0.5, 0.25, None), (-100, 100), ": [-0.5, 0.25], or auto"),
    ],
    ids=str,
)
def test_suspicious_values(
    values: tuple[float, float, int | None], value_range: ValueRange | None, expected: str
) -> None:
    ((message, hint),) = suspicions([PixelValues(*values)], value_range)
    assert expected in hint
    assert message.startswith("1 image of ")


@pytest.mark.parametrize(
    ("values", "value_range"),
    [
        ((0, 255, 255), None),
        ((0, 140, 255), None),
        ((0, 65535, 65535), None),
        ((0, 1, 1), None),
        ((0, 4000, 65535), (0, 4095)),
        ((0, 255, 255), (0, 4095)),
        ((0, 1, None), (0, 1)),
    ],
    ids=str,
)
def test_usual_values(
    values: tuple[float, float, int | None], value_range: ValueRange | None
) -> None:
    assert not suspicions([PixelValues(*values)], value_range)


def test_one_bright_image_of_many_is_enough() -> None:
    """A set of dark photos contains a bright one at some time."""
    dark, bright = PixelValues(0, 20, 255), PixelValues(0, 250, 255)
    assert not suspicions([dark] * 99 + [bright], None)
    assert suspicions([dark] * 99, None)


def test_the_message() -> None:
    measured = [PixelValues(3, 3900, 65535), PixelValues(0, 4000, 65535), PixelValues(0, 255, 255)]
    assert suspicions(measured, None) == [
        (
            "2 images of 16 bits have only values from 0 to 4,000, read as 0 to 16 of 255",
            "probably 12-bit data: set value_range in data.source.Folder: [0, 4095], or auto",
        )
    ]
