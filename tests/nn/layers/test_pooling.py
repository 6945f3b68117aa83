"""Pooling compared with Keras; the average with padding compared with TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import AveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from sepcnn.nn.layers.base import ReceptiveField, Shape
from sepcnn.nn.layers.sliding_window import same_padding
from tests.nn.layers.reading import complaint
from tests.reference import Array, SideBySide, assert_close, channels_first, channels_last

SHAPES: list[Shape] = [(7, 9, 3), (8, 6, 1)]
WINDOWS: list[dict[str, Any]] = [
    {"pool_size": 2},
    {"pool_size": 3},
    {"pool_size": 3, "strides": 2},
    {"pool_size": 2, "strides": 1},
    {"pool_size": 2, "strides": 3},
    {"pool_size": 4, "strides": 3},
    {"pool_size": 5, "strides": 2},
    {"pool_size": 4, "strides": 1},
    {"pool_size": (2, 3), "strides": (1, 2)},
    {"pool_size": (3, 2), "strides": (2, 1)},
    {"pool_size": (1, 4)},
]


def show(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items())


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("window", WINDOWS, ids=show)
def test_the_largest_value_matches_keras(
    window: dict[str, Any], padding: str, shape: Shape, batch: int
) -> None:
    SideBySide("MaxPooling2D", {**window, "padding": padding}, shape).compare(batch)


def test_the_default_window_matches_keras() -> None:
    SideBySide("MaxPooling2D", {}, (7, 9, 3)).compare()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=show)
def test_the_mean_matches_keras(window: dict[str, Any], shape: Shape) -> None:
    SideBySide("AveragePooling2D", window, shape).compare()


def average(layer: AveragePooling2D, x: Array, direction: Array) -> tuple[Array, Array]:
    """Output and input gradient of the mean over the pixels of a window inside the image.

    TensorFlow's kernel divides by them alone: ``SpatialAvgPool`` in
    tensorflow/core/kernels/pooling_ops_common.h counts the window's pixels inside the image.
    """
    (height, width), (down, across) = layer.pool_size, layer.effective_strides()
    top, _ = same_padding(x.shape[1], height, down)
    left, _ = same_padding(x.shape[2], width, across)
    output, gradient = np.empty_like(direction), np.zeros_like(x)
    for i, j in np.ndindex(direction.shape[1:3]):
        rows = slice(max(0, i * down - top), i * down - top + height)
        columns = slice(max(0, j * across - left), j * across - left + width)
        window = x[:, rows, columns]
        output[:, i, j] = window.mean(axis=(1, 2))
        share = direction[:, i, j] / (window.shape[1] * window.shape[2])
        gradient[:, rows, columns] += share[:, None, None]
    return output, gradient


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=show)
def test_the_mean_excludes_padding(window: dict[str, Any], shape: Shape) -> None:
    """Keras on torch pads with copies of the edge, so it is no reference here."""
    layer = AveragePooling2D.model_validate({**window, "padding": "same"})
    random = np.random.default_rng(0)
    x = random.normal(size=(2, *shape))
    direction = random.normal(size=(2, *layer.output_shape(shape)))
    x_ours = torch.tensor(x, requires_grad=True)
    found = channels_last(layer.build(shape)(channels_first(x_ours)))
    found.backward(torch.tensor(direction))
    output, gradient = average(layer, x, direction)
    assert_close(found, output)
    assert x_ours.grad is not None
    assert_close(x_ours.grad, gradient)


@pytest.mark.parametrize("kind", [MaxPooling2D, AveragePooling2D])
def test_padding_is_never_the_maximum_and_not_in_the_mean(
    kind: type[MaxPooling2D | AveragePooling2D],
) -> None:
    """On a constant negative image, padding of 0 would show in both."""
    for size in range(1, 8):
        for strides in (1, 2, 3):
            layer = kind(pool_size=size, strides=strides, padding="same")
            found = layer.build((7, 5, 1))(torch.full((1, 1, 7, 5), -2.0))
            assert found.unique().tolist() == [-2]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(7, 9, 3), (1, 1, 2)], ids=str)
def test_the_global_mean_matches_keras(shape: Shape, keepdims: bool) -> None:
    SideBySide("GlobalAveragePooling2D", {"keepdims": keepdims}, shape).compare()


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("shape", [(7, 9, 3), (1, 1, 2)], ids=str)
def test_the_global_maximum_matches_keras(shape: Shape, keepdims: bool) -> None:
    SideBySide("GlobalMaxPooling2D", {"keepdims": keepdims}, shape).compare()


def test_the_largest_pixels_share_the_gradient() -> None:
    """Divided by their number, as in ``_MinOrMaxGrad`` of tensorflow/python/ops/math_grad.py."""
    array = np.random.default_rng(0).integers(0, 4, size=(2, 3, 5, 4)).astype(float)
    x = torch.tensor(array, requires_grad=True)
    GlobalMaxPooling2D().build((5, 4, 3))(x).sum().backward()
    assert x.grad is not None
    largest = array == array.max(axis=(2, 3), keepdims=True)
    assert_close(x.grad, largest / largest.sum(axis=(2, 3), keepdims=True))


def test_strides_are_the_pool_size_by_default() -> None:
    assert MaxPooling2D(pool_size=(2, 3)).receptive_field() == ReceptiveField((2, 3), (2, 3))
    assert MaxPooling2D(pool_size=3, strides=2).receptive_field() == ReceptiveField((3, 3), (2, 2))


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[MaxPooling2D: 9]",
            "[0].MaxPooling2D",
            "a 9×9 window does not fit the 8×8 input of this layer",
            "use padding: same, a smaller window, or less pooling before this layer",
        ),
        (
            "[Flatten, GlobalAveragePooling2D]",
            "[1].GlobalAveragePooling2D",
            "needs an image, but its input is 192 features",
            "move it before the Flatten or global pooling layer",
        ),
        (
            "[Flatten, GlobalMaxPooling2D]",
            "[1].GlobalMaxPooling2D",
            "needs an image, but its input is 192 features",
            "move it before the Flatten or global pooling layer",
        ),
        (
            "[AveragePooling2D: {strides: 0}]",
            "[0].AveragePooling2D.strides",
            "expected a whole number above 0 or [height, width], found 0",
            "strides: step of the window along height and width, in pixels; by default pool_size",
        ),
    ],
    ids=["window", "features", "features of the maximum", "strides"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
