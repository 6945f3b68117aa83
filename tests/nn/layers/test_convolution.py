"""Convolutions compared with Keras, and padding compared with TensorFlow by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sepcnn.nn.layers import Conv2D, SeparableConv2D
from sepcnn.nn.layers.base import ReceptiveField, Shape
from sepcnn.nn.layers.sliding_window import output_length, same_padding
from tests.nn.layers.reading import complaint, read_net
from tests.reference import Array, SideBySide, keras, kolmogorov_smirnov

WINDOWS: list[dict[str, Any]] = [
    {"kernel_size": 1},
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": 3, "strides": 2},
    {"kernel_size": 3, "strides": 2, "padding": "same"},
    {"kernel_size": 3, "strides": 3, "padding": "same"},
    {"kernel_size": 1, "strides": 3, "padding": "same"},
    {"kernel_size": 4, "padding": "same"},
    {"kernel_size": 4, "strides": 3, "padding": "same"},
    {"kernel_size": (2, 5), "padding": "same"},
    {"kernel_size": (5, 2), "strides": 2, "padding": "same"},
    {"kernel_size": 3, "dilation_rate": 2},
    {"kernel_size": 3, "dilation_rate": 2, "padding": "same"},
    {"kernel_size": (2, 3), "dilation_rate": (3, 2), "padding": "same"},
]
SHAPES: list[Shape] = [(7, 9, 4), (8, 6, 4), (7, 9, 2)]


def show(arguments: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in arguments.items())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("window", WINDOWS, ids=show)
@pytest.mark.parametrize("kind", ["Conv2D", "SeparableConv2D"])
def test_every_window_matches_keras(kind: str, window: dict[str, Any], shape: Shape) -> None:
    SideBySide(kind, {"filters": 3, **window}, shape).compare()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("kind", "shape", "arguments"),
    [
        ("Conv2D", (7, 9, 1), {"filters": 2}),
        ("Conv2D", (7, 9, 1), {"filters": 1, "use_bias": False}),
        ("Conv2D", (3, 3, 4), {"filters": 5, "activation": "relu"}),
        ("Conv2D", (7, 9, 4), {"filters": 2, "groups": 2}),
        ("Conv2D", (7, 9, 4), {"filters": 8, "groups": 4, "strides": 2, "padding": "same"}),
        ("Conv2D", (7, 9, 6), {"filters": 9, "groups": 3, "activation": "tanh"}),
        ("SeparableConv2D", (7, 9, 1), {"filters": 2}),
        ("SeparableConv2D", (7, 9, 3), {"filters": 1, "use_bias": False}),
        ("SeparableConv2D", (7, 9, 3), {"filters": 5, "depth_multiplier": 2}),
        ("SeparableConv2D", (8, 9, 2), {"filters": 4, "depth_multiplier": 3, "strides": 2}),
        ("SeparableConv2D", (3, 3, 4), {"filters": 5, "activation": "relu"}),
        ("SeparableConv2D", (7, 9, 4), {"filters": 5, "activation": "softmax"}),
    ],
    ids=lambda value: show(value) if isinstance(value, dict) else str(value),
)
def test_every_argument_matches_keras(
    kind: str, shape: Shape, arguments: dict[str, Any], batch: int
) -> None:
    SideBySide(kind, {"kernel_size": 3, **arguments}, shape).compare(batch)


@pytest.mark.parametrize(
    ("size", "kernel", "strides", "expected"),
    [
        (4, 3, 2, [321, 43]),  # windows 123 and 34·; the padding of torch would give ·12 and 234
        (5, 3, 2, [210, 432, 54]),  # even padding: ·12, 234, 45·
        (4, 2, 2, [21, 43]),
        (5, 2, 2, [21, 43, 5]),
        (5, 4, 3, [3210, 543]),  # 2 pixels: one on each side: ·123, 345·
        (6, 1, 4, [1, 5]),  # a window smaller than its stride needs no padding
        (4, 4, 1, [3210, 4321, 432, 43]),  # 3 pixels: one before, two after
    ],
    ids=lambda value: str(value),
)
def test_odd_padding_is_added_at_the_end(
    size: int, kernel: int, strides: int, expected: list[int]
) -> None:
    """tensorflow.org/api_docs/python/tf/nn: "we pad more on the right and bottom"."""
    layer = Conv2D(filters=1, kernel_size=kernel, strides=strides, padding="same", use_bias=False)
    pixels = torch.arange(1.0, size + 1)
    digits = 10.0 ** torch.arange(kernel)
    for axis in (2, 3):
        # The image varies along one axis; the kernel reads only its first row or column.
        module = layer.build((size, size, 1))
        weight = torch.zeros(1, 1, kernel, kernel)
        weight.select(5 - axis, (kernel - 1) // 2).copy_(digits)
        module.load_state_dict({"weight": weight})
        image = pixels.expand(1, 1, size, size)
        found = module(image if axis == 3 else image.mT)
        middle = found.select(5 - axis, found.shape[axis] // 2).flatten()
        assert middle.tolist() == expected


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("window", [1, 2, 3, 4, 5, 7])
def test_same_padding_is_minimal(window: int, stride: int) -> None:
    for size in range(1, 20):
        before, after = same_padding(size, window, stride)
        outputs = output_length(size, window, stride, "same")
        assert outputs == int(np.ceil(size / stride))
        assert output_length(size + before + after, window, stride, "valid") >= outputs
        assert after - before in (0, 1)
        covered = (outputs - 1) * stride + window
        assert before + after == max(0, covered - size)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Conv2D(filters=6, kernel_size=3), (7, 9, 4)),
        (Conv2D(filters=6, kernel_size=(2, 3), strides=2, padding="same", groups=2), (7, 9, 4)),
        (SeparableConv2D(filters=6, kernel_size=3, padding="same"), (7, 9, 4)),
        (SeparableConv2D(filters=5, kernel_size=3, strides=3, depth_multiplier=2), (9, 9, 4)),
    ],
    ids=["plain", "groups", "separable", "multiplier"],
)
def test_macs_are_half_of_the_flops_of_torch(layer: Conv2D | SeparableConv2D, shape: Shape) -> None:
    with FlopCounterMode(display=False) as counter:
        layer.build(shape)(torch.zeros(1, shape[2], shape[0], shape[1]))
    assert layer.macs((shape,), layer.output_shape(shape)) == counter.get_total_flops() / 2


def test_the_dense_twin_has_the_same_arguments() -> None:
    separable = SeparableConv2D(filters=8, kernel_size=(3, 5), strides=2, padding="same", name="a")
    twin = separable.dense_twin()
    assert twin == Conv2D(filters=8, kernel_size=(3, 5), strides=2, padding="same", name="a")
    assert twin.output_shape((9, 9, 4)) == separable.output_shape((9, 9, 4))


def test_the_receptive_field_includes_the_dilation() -> None:
    layer = Conv2D(filters=1, kernel_size=(3, 2), dilation_rate=(2, 4))
    assert layer.receptive_field() == ReceptiveField((5, 5), (1, 1))
    assert SeparableConv2D(filters=1, kernel_size=3, strides=2).receptive_field() == ReceptiveField(
        (3, 3), (2, 2)
    )


# ── initial values of the depthwise kernel ──────────────────────────────────────────────────────


def depthwise_kernel(fields: str, channels: int, seed: int = 0) -> Array:
    """The initial kernel in Keras layout: height × width × channels × multiplier."""
    text = f"[SeparableConv2D: {{filters: 2, kernel_size: [3, 2], depth_multiplier: 2, {fields}}}]"
    weight = read_net(text, (7, 9, channels), seed).get_parameter(
        "separable_conv2d.depthwise.weight"
    )
    kernel = weight.detach().double().reshape(channels, 2, 3, 2).permute(2, 3, 0, 1)
    return kernel.numpy()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        *(
            (f"{family}_{kind}", {})
            for family in ("glorot", "he", "lecun")
            for kind in ("uniform", "normal")
        ),
        ("variance_scaling", {"mode": "fan_out", "distribution": "untruncated_normal"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("fan", ["keras", "channel"])
def test_the_depthwise_fan_matches_keras_over_its_axes(
    name: str, fields: dict[str, str], fan: str
) -> None:
    """The equivalent of `channel` in Keras: the window axes are the inputs."""
    axes = {"input_axes": [0, 1], "output_axes": [0, 1, 3]} if fan == "channel" else {}
    initializer = keras.src.initializers.ALL_OBJECTS_DICT[name](seed=1, **fields, **axes)
    channels = 500
    expected = initializer((3, 2, channels, 2), dtype="float64").numpy()
    found = depthwise_kernel(
        f"depthwise_fan: {fan}, depthwise_initializer: {{{name}: {json.dumps(fields)}}}", channels
    )
    assert kolmogorov_smirnov(found, expected) < 1
    other = depthwise_kernel(
        f"depthwise_fan: {'keras' if fan == 'channel' else 'channel'}, "
        f"depthwise_initializer: {{{name}: {json.dumps(fields)}}}",
        channels,
    )
    if fields.get("mode") != "fan_out":
        assert kolmogorov_smirnov(other, expected) > 1


def test_each_channel_is_drawn_as_its_own_convolution() -> None:
    """Also without fans: each channel is orthogonal, not the whole kernel."""
    text = "depthwise_initializer: orthogonal, depthwise_fan: "
    separate, whole = (depthwise_kernel(text + fan, 4) for fan in ("channel", "keras"))
    matrices = separate.transpose(2, 0, 1, 3).reshape(4, 6, 2)
    products = matrices.transpose(0, 2, 1) @ matrices
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(2), (4, 2, 2)), atol=1e-6)
    assert not np.array_equal(matrices[0], matrices[1])
    matrix = whole.reshape(24, 2)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(2), atol=1e-6)


def test_depthwise_fan_does_not_change_the_pointwise_kernel() -> None:
    text = "[SeparableConv2D: {filters: 4, kernel_size: 3, depthwise_fan: %s}]"
    keras, channel = (read_net(text % fan, (7, 9, 3)) for fan in ("keras", "channel"))
    name = "separable_conv2d.pointwise.weight"
    assert torch.equal(keras.get_parameter(name), channel.get_parameter(name))
    assert torch.equal(
        keras.get_parameter("separable_conv2d.depthwise.weight"),
        read_net("[SeparableConv2D: {filters: 4, kernel_size: 3}]", (7, 9, 3)).get_parameter(
            "separable_conv2d.depthwise.weight"
        ),
    )


FIT = "use padding: same, a smaller window, or less pooling before this layer"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "Conv2D: {filters: 0, kernel_size: 3}",
            ".Conv2D.filters",
            "must be above 0, found 0",
            "filters: number of output channels",
        ),
        (
            "Conv2D: {filters: 4, kernel_size: [3, 0]}",
            ".Conv2D.kernel_size",
            "expected a whole number above 0 or [height, width], found [3, 0]",
            "kernel_size: height and width of the kernel; one number means both",
        ),
        (
            "Conv2D: {filters: 4, kernel_size: 3, padding: sane}",
            ".Conv2D.padding",
            "expected one of valid, same; found 'sane'",
            "did you mean 'same'?",
        ),
        (
            "SeparableConv2D: {filters: 4, kernel_size: 3, strides: 2, dilation_rate: 2}",
            ".SeparableConv2D",
            "strides (2) and dilation_rate (2) cannot both be above 1",
            "write 1 for one of them; model.defaults may set the other",
        ),
        (
            "SeparableConv2D: {filters: 4, kernel_size: 3, depthwise_fan: channels}",
            ".SeparableConv2D.depthwise_fan",
            "expected one of keras, channel; found 'channels'",
            "did you mean 'channel'?",
        ),
        (
            "Conv2D: {filters: 4, kernel_size: 3, groups: 2}",
            ".Conv2D",
            "groups (2) does not divide both the 3 input channels and the 4 filters",
            "choose a number of groups that divides both",
        ),
        (
            "Conv2D: {filters: 4, kernel_size: [3, 9]}",
            ".Conv2D",
            "a 3×9 window does not fit the 8×8 input of this layer",
            FIT,
        ),
        (
            "SeparableConv2D: {filters: 4, kernel_size: 3, dilation_rate: [1, 4]}",
            ".SeparableConv2D",
            "a 3×3 window, dilated to 3×9, does not fit the 8×8 input of this layer",
            "use padding: same, or a smaller dilation_rate",
        ),
    ],
    ids=["filters", "kernel", "padding", "strides", "fan", "groups", "window", "dilated"],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0]{path}" if path else "", message, hint)
