"""Rescaling and Normalization compared with Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import Normalization, Rescaling
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.scaling import NormalizationModule
from tests.nn.layers.reading import complaint, read_layer
from tests.reference import SideBySide, assert_close, channels_first, channels_last, float64, keras

SHAPES: list[Shape] = [(5,), (7, 9, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=["features", "image"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"scale": 1 / 255},
        {"scale": 1 / 127.5, "offset": -1.0},
        {"scale": 0.0, "offset": 3.0},
        {"scale": [0.5, 1.0, -2.0, 3.0, 4.0], "offset": 1.0},
        {"scale": [0.5], "offset": [0.1, 0.2, 0.3, 0.4, 0.5]},
    ],
    ids=["unit", "symmetric", "constant", "each scale", "each offset"],
)
def test_rescaling_matches_keras(arguments: dict[str, Any], shape: Shape) -> None:
    SideBySide("Rescaling", arguments, shape).compare()


def test_numbers_of_channels_are_not_saved() -> None:
    layer = read_layer("Rescaling: {scale: [1/2, 1, 3], offset: [1, 2, 3]}")
    assert isinstance(layer, Rescaling)
    assert layer.scale == (0.5, 1.0, 3.0)
    assert list(layer.build((7, 9, 3)).state_dict()) == []


def test_the_scale_may_be_a_fraction() -> None:
    assert read_layer("Rescaling: 1/255") == read_layer("Rescaling: {scale: 0.00392156862745098}")


@pytest.mark.parametrize("axis", [None, -1, 3])
def test_given_statistics_along_an_axis_match_keras(axis: int | None) -> None:
    arguments = {"mean": 0.5, "variance": 4.0, "axis": axis}
    SideBySide("Normalization", arguments, (7, 9, 5)).compare()


@pytest.mark.parametrize("invert", [False, True], ids=["normalize", "invert"])
@pytest.mark.parametrize("shape", SHAPES, ids=["features", "image"])
@pytest.mark.parametrize(
    ("mean", "variance"),
    [
        (0.5, 4.0),
        ([0.5, 0.25, -1.5, 0.0, 3.0], [1.0, 2.0, 3.0, 4.0, 0.5]),
        (0.5, 2.0**-66),  # below the smallest standard deviation in Keras
        (0.5, 0.0),
    ],
    ids=["one", "each", "tiny", "zero"],
)
def test_given_statistics_match_keras(
    mean: float | list[float], variance: float | list[float], shape: Shape, invert: bool
) -> None:
    """All values are exact in float32, to which Keras rounds them."""
    arguments = {"mean": mean, "variance": variance, "invert": invert}
    SideBySide("Normalization", arguments, shape).compare()


@pytest.mark.parametrize("axis", [-1, None])
def test_statistics_of_the_data_match_keras(axis: int | None) -> None:
    x = np.random.default_rng(0).uniform(0, 255, size=(20, 7, 9, 3))
    x *= [1, 2, 3]
    theirs = keras.layers.Normalization(axis=axis, dtype="float64")
    theirs.adapt(x)
    with float64():
        ours = Normalization(axis=axis).build((7, 9, 3))
    assert isinstance(ours, NormalizationModule)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    ours.adapt(torch.tensor(mean), torch.tensor(variance), count=20 * 7 * 9)
    found = channels_last(ours(channels_first(torch.tensor(x))))
    # Keras adapts in float32 for all types of layers.
    torch.testing.assert_close(found, theirs(x), rtol=1e-5, atol=1e-5)
    together = (0, 1, 2, 3) if axis is None else (0, 1, 2)
    one_each = () if axis is None else (3,)
    assert_close(found.mean(dim=together), np.zeros(one_each))
    assert_close(found.var(dim=together, correction=0), np.ones(one_each))


def test_only_adapted_statistics_are_saved() -> None:
    adapted, given = (
        layer.build((7, 9, 3))
        for layer in (Normalization(), Normalization(mean=(1.0,), variance=(2.0,)))
    )
    assert list(adapted.state_dict()) == ["mean", "variance", "count"]
    assert adapted.get_buffer("count") == 0
    assert list(given.state_dict()) == []


EXPECTED = "expected a number, or a list with one number per channel"
MEAN = (
    "mean: mean of the data, one number or one per channel; null: computed from the training images"
)


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "Normalization: {mean: 1}",
            "",
            "mean and variance must be given together",
            "give both, or neither",
        ),
        (
            "Normalization: {mean: 1, variance: [1, -2, 3]}",
            "",
            "variance must be at least 0, found -2",
            "the variance is the square of the standard deviation",
        ),
        (
            "Normalization: {mean: [1, 2], variance: 1}",
            "",
            "2 values given for 3 channels",
            "give one number for all channels, or one per channel",
        ),
        (
            "Normalization: {mean: [1, 2, 3], variance: 1, axis: null}",
            "",
            "with axis: null, mean and variance must be one number each",
            "leave out axis for one number per channel",
        ),
        (
            "Normalization: {axis: 1}",
            "",
            "axis must be the channel axis, found the height axis",
            "leave out axis: the default is the channel axis",
        ),
        ("Normalization: {mean: true, variance: 1}", ".mean", f"{EXPECTED}, found true", MEAN),
        ("Normalization: {mean: [], variance: 1}", ".mean", f"{EXPECTED}, found []", MEAN),
        ("Normalization: {mean: .nan, variance: 1}", ".mean", f"{EXPECTED}, found .nan", MEAN),
        ("Normalization: {mean: [1, a], variance: 1}", ".mean", f"{EXPECTED}, found [1, a]", MEAN),
    ],
    ids=["alone", "negative", "count", "null", "height", "bool", "empty", "nan", "text"],
)
def test_refused_statistics(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0].Normalization{path}", message, hint)


SCALE = "scale: factor, such as 1/255 or 1/127.5, or a list of one factor per channel"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        ("Rescaling", "", "'scale' is required", SCALE),
        (
            "Rescaling: [1, 2]",
            "",
            "2 values given for 3 channels",
            "give one number for all channels, or one per channel",
        ),
        ("Rescaling: 1/0", ".scale", f"{EXPECTED}, found '1/0'", SCALE),
    ],
    ids=["scale", "count", "zero"],
)
def test_refused_scales(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0].Rescaling{path}", message, hint)
