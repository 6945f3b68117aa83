"""Resizing compared with Keras, and the receptive fields of its pixels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.graph import make_graph
from sepcnn.nn.layers import CenterCrop, Resizing, UpSampling2D
from sepcnn.nn.layers.base import LeafLayer, ReceptiveField, Shape
from sepcnn.nn.summary import summarize
from tests.nn.layers.reading import complaint, read_layers
from tests.reference import SideBySide

SIZES = [(7, 9), (14, 18), (3, 9), (5, 4), (1, 1), (8, 20), (21, 3)]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", [(7, 9, 3), (1, 4, 2)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, (1, 4), (5, 2)], ids=str)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_upsampling_matches_keras(
    interpolation: str, size: object, shape: Shape, batch: int
) -> None:
    arguments = {"size": size, "interpolation": interpolation}
    SideBySide("UpSampling2D", arguments, shape).compare(batch)


def test_the_default_matches_keras() -> None:
    SideBySide("UpSampling2D", {}, (7, 9, 3)).compare()
    SideBySide("Resizing", {"height": 5, "width": 12}, (7, 9, 3)).compare()


@pytest.mark.parametrize("crop", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resizing_matches_keras(interpolation: str, size: tuple[int, int], crop: bool) -> None:
    arguments: dict[str, Any] = {"height": size[0], "width": size[1]}
    arguments |= {"interpolation": interpolation, "crop_to_aspect_ratio": crop}
    for shape in [(7, 9, 3), (8, 5, 1)]:
        SideBySide("Resizing", arguments, shape).compare()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_center_crop_matches_keras(size: tuple[int, int]) -> None:
    for shape in [(7, 9, 3), (8, 5, 1), (30, 31, 2)]:
        SideBySide("CenterCrop", {"height": size[0], "width": size[1]}, shape).compare()


def test_new_pixels_lie_between_old_ones() -> None:
    x = torch.tensor([0.0, 8.0]).reshape(1, 1, 1, 2)
    linear = UpSampling2D(size=(1, 2), interpolation="bilinear").build((1, 2, 1))
    assert linear(x).flatten().tolist() == [0, 2, 6, 8]
    counted = torch.arange(7.0).reshape(1, 1, 1, 7)
    nearest = Resizing(height=1, width=3, interpolation="nearest").build((1, 7, 1))
    assert nearest(counted).flatten().tolist() == [1, 3, 5]  # floor of 7/6, 21/6 and 35/6


@pytest.mark.parametrize("value", [0.0, -3.5])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_padding_matches_keras(size: tuple[int, int], value: float) -> None:
    arguments: dict[str, Any] = {"height": size[0], "width": size[1]}
    arguments |= {"pad_to_aspect_ratio": True, "fill_mode": "constant", "fill_value": value}
    for shape in [(7, 9, 3), (8, 5, 1)]:
        SideBySide("Resizing", arguments, shape).compare()


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("frame", ["crop_to_aspect_ratio", "pad_to_aspect_ratio"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_antialiasing_matches_keras(interpolation: str, size: tuple[int, int], frame: str) -> None:
    """Also bicubic: with antialias torch uses a = −½ and leaves out pixels outside the image."""
    arguments: dict[str, Any] = {"height": size[0], "width": size[1], "antialias": True}
    arguments |= {"interpolation": interpolation, frame: size[0] > 3}
    for shape in [(7, 9, 3), (31, 20, 1)]:
        SideBySide("Resizing", arguments, shape).compare()


HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


@pytest.mark.parametrize(
    ("layer", "window"),
    [
        (UpSampling2D(), ReceptiveField((1, 1), (HALF, HALF))),
        (UpSampling2D(size=(1, 3), interpolation="bilinear"), ReceptiveField((1, 2), (1, THIRD))),
        (UpSampling2D(interpolation="bicubic"), ReceptiveField((4, 4), (HALF, HALF))),
        (Resizing(height=4, width=3), ReceptiveField((2, 1), (2, 3))),
        (Resizing(height=8, width=6), ReceptiveField((1, 2), (1, Fraction(3, 2)))),
        (
            Resizing(height=2, width=2, crop_to_aspect_ratio=True, interpolation="nearest"),
            ReceptiveField((1, 1), (4, 4)),
        ),
        (
            Resizing(height=4, width=3, interpolation="lanczos3"),
            ReceptiveField((6, 1), (2, 3)),
        ),
        (
            Resizing(height=4, width=3, antialias=True),
            ReceptiveField((4, 5), (2, 3)),
        ),
        (
            Resizing(height=2, width=2, pad_to_aspect_ratio=True, antialias=True),
            ReceptiveField((6, 7), (4, Fraction(9, 2))),
        ),
        (CenterCrop(height=3, width=3), ReceptiveField((1, 1), (1, 1))),
        (CenterCrop(height=16, width=16), ReceptiveField((2, 2), (HALF, HALF))),
    ],
    ids=str,
)
def test_receptive_fields(layer: LeafLayer, window: ReceptiveField) -> None:
    assert layer.receptive_field((8, 9, 3)) == window


@pytest.mark.parametrize(
    "layers",
    [
        "[UpSampling2D, Conv2D: {filters: 1, kernel_size: [3, 4]}]",
        "[UpSampling2D: {size: 3, interpolation: bilinear}, Conv2D: {filters: 1, kernel_size: 2}]",
        "[UpSampling2D: {size: [2, 4], interpolation: bicubic}, MaxPooling2D: 2, "
        "Conv2D: {filters: 1, kernel_size: 3}]",
        "[Resizing: {height: 36, width: 5}, Conv2D: {filters: 1, kernel_size: 3}]",
        "[Resizing: {height: 12, width: 40, interpolation: lanczos3}, "
        "Conv2D: {filters: 1, kernel_size: 3}]",
        "[Resizing: {height: 8, width: 12, antialias: true}, Conv2D: {filters: 1, kernel_size: 2}]",
    ],
)
def test_the_receptive_field_covers_all_gradients(layers: str) -> None:
    """The receptive field may be one pixel too large, because output pixels lie on a grid."""
    shape = (24, 25, 1)
    graph = make_graph(read_layers(layers), shape)
    x = torch.rand(1, 1, 24, 25, requires_grad=True)
    y = x
    for leaf in graph.leaves:
        module = leaf.layer.build(*leaf.input_shapes)
        for parameter in module.parameters():
            torch.nn.init.uniform_(parameter, 0.5, 1.0)
        # A gradient for each pixel of a window, not only the largest.
        pool = torch.nn.AvgPool2d(2)
        y = pool(y) if leaf.name.startswith("max") else module(y)
    extents = []
    for i, j in np.ndindex(y.shape[2:]):
        (seen,) = torch.autograd.grad(y[0, 0, i, j], x, retain_graph=True)
        lit = seen[0, 0].nonzero()
        extents.append((lit.amax(0) - lit.amin(0) + 1).tolist())
    told = summarize(graph).layers[-1].receptive_field
    assert told is not None
    assert set(np.subtract(told, np.max(extents, axis=0))) <= {0, 1}


def test_the_receptive_field_of_repeated_pixels() -> None:
    net = "[UpSampling2D, Conv2D: {filters: 1, kernel_size: [3, 4]}, MaxPooling2D: 2, UpSampling2D]"
    found = [
        layer.receptive_field for layer in summarize(make_graph(read_layers(net), (8, 8, 1))).layers
    ]
    # Three repeated pixels come from at most two, four from three.
    assert found == [(1, 1), (2, 3), (3, 3), (3, 3)]


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[UpSampling2D: 0]",
            "[0].UpSampling2D.size",
            "expected a whole number above 0 or [height, width], found 0",
            "size: factors for height and width; one number means both",
        ),
        (
            "[UpSampling2D: {interpolation: area}]",
            "[0].UpSampling2D.interpolation",
            "expected one of nearest, bilinear, bicubic, lanczos3, lanczos5; found 'area'",
            "interpolation: how new pixels are computed from the pixels of the input",
        ),
        (
            "[Resizing: {height: 4}]",
            "[0].Resizing",
            "'width' is required",
            "width: width of the output in pixels",
        ),
        (
            "[Resizing: {height: 4, width: 4, fill_mode: reflect}]",
            "[0].Resizing.fill_mode",
            "expected one of constant; found 'reflect'",
            "fill_mode: how padding is filled; 'constant' (with fill_value) is the only choice",
        ),
        (
            "[Resizing: {height: 4, width: 4, crop_to_aspect_ratio: true, "
            "pad_to_aspect_ratio: true}]",
            "[0].Resizing",
            "crop_to_aspect_ratio and pad_to_aspect_ratio cannot both be true",
            "leave out one of them",
        ),
        (
            "[CenterCrop: {height: 0, width: 4}]",
            "[0].CenterCrop.height",
            "must be above 0, found 0",
            "height: height of the output in pixels",
        ),
        *(
            (
                f"[Flatten, {name}: {{height: 4, width: 4}}]",
                f"[1].{name}",
                "needs an image, but its input is 192 features",
                "move it before the Flatten or global pooling layer",
            )
            for name in ("Resizing", "CenterCrop")
        ),
    ],
    ids=["factor", "area", "width", "fill", "both", "height", "resizing", "crop"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
