"""DepthwiseConv2D compared with Keras."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sepcnn.nn.layers import DepthwiseConv2D
from sepcnn.nn.layers.base import ReceptiveField, Shape
from sepcnn.nn.layers.module import weights
from tests.nn.layers.reading import complaint, read_layer
from tests.nn.layers.test_convolution import FIT, SHAPES, WINDOWS, show
from tests.reference import SideBySide, keras


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=show)
def test_every_window_matches_keras(window: dict[str, Any], shape: Shape) -> None:
    SideBySide("DepthwiseConv2D", {"depth_multiplier": 2, **window}, shape).compare()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((7, 9, 1), {}),
        ((7, 9, 1), {"depth_multiplier": 3, "use_bias": False}),
        ((7, 9, 3), {"use_bias": False}),
        ((3, 3, 4), {"activation": "relu"}),
        ((8, 9, 2), {"depth_multiplier": 3, "strides": 2, "activation": "softmax"}),
        ((8, 9, 2), {"strides": (1, 2), "padding": "same"}),
    ],
    ids=str,
)
def test_every_argument_matches_keras(shape: Shape, arguments: dict[str, Any], batch: int) -> None:
    SideBySide("DepthwiseConv2D", {"kernel_size": 3, **arguments}, shape).compare(batch)


def test_defaults_and_weights_match_keras() -> None:
    spec = read_layer("DepthwiseConv2D: 3")
    assert spec == DepthwiseConv2D(kernel_size=3)
    config = keras.layers.DepthwiseConv2D(3).get_config()
    for name in ("depth_multiplier", "strides", "padding", "dilation_rate", "use_bias"):
        assert getattr(spec, name) == config[name]
    assert config["depthwise_initializer"]["class_name"] == "GlorotUniform"
    module = DepthwiseConv2D(kernel_size=(3, 2), depth_multiplier=2).build((7, 9, 5))
    told = {name: info.keras_shape for name, _, info in weights(module)}
    assert told == {"weight": (3, 2, 5, 2), "bias": (10,)}


def test_macs_are_half_of_the_flops_of_torch() -> None:
    layer = DepthwiseConv2D(kernel_size=(3, 2), depth_multiplier=2, strides=2, padding="same")
    with FlopCounterMode(display=False) as counter:
        layer.build((7, 9, 4))(torch.zeros(1, 4, 7, 9))
    told = layer.macs(((7, 9, 4),), layer.output_shape((7, 9, 4)))
    assert told == counter.get_total_flops() / 2 == 4 * 5 * 8 * 6


def test_the_receptive_field_includes_the_dilation() -> None:
    layer = DepthwiseConv2D(kernel_size=(3, 2), dilation_rate=(2, 4))
    assert layer.receptive_field() == ReceptiveField((5, 5), (1, 1))
    assert DepthwiseConv2D(kernel_size=3, strides=2).receptive_field() == ReceptiveField(
        (3, 3), (2, 2)
    )


@pytest.mark.parametrize(
    ("layers", "path", "message", "hint"),
    [
        (
            "[DepthwiseConv2D: {filters: 4, kernel_size: 3}]",
            "[0].DepthwiseConv2D",
            "unknown key 'filters'",
            "known: activation, bias_constraint, bias_initializer, bias_regularizer, "
            "depth_multiplier, depthwise_constraint, depthwise_fan, depthwise_initializer, "
            "depthwise_regularizer, dilation_rate, inputs, kernel_size, name, padding, strides, "
            "trainable, use_bias",
        ),
        (
            "[DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 0}]",
            "[0].DepthwiseConv2D.depth_multiplier",
            "must be above 0, found 0",
            "depth_multiplier: number of output channels per input channel",
        ),
        (
            "[DepthwiseConv2D: {kernel_size: 3, strides: 2, dilation_rate: 2}]",
            "[0].DepthwiseConv2D",
            "strides (2) and dilation_rate (2) cannot both be above 1",
            "write 1 for one of them; model.defaults may set the other",
        ),
        (
            "[DepthwiseConv2D: [3, 9]]",
            "[0].DepthwiseConv2D",
            "a 3×9 window does not fit the 8×8 input of this layer",
            FIT,
        ),
        (
            "[Flatten, DepthwiseConv2D: 3]",
            "[1].DepthwiseConv2D",
            "needs an image, but its input is 192 features",
            "move it before the Flatten or global pooling layer",
        ),
    ],
    ids=["filters", "multiplier", "dilation", "window", "features"],
)
def test_refusals(layers: str, path: str, message: str, hint: str) -> None:
    assert complaint(layers) == (f"layers{path}", message, hint)
