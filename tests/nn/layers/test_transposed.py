"""Conv2DTranspose compared with Keras, and with the gradient of Conv2D."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sepcnn.nn.layers import Conv2D, Conv2DTranspose
from sepcnn.nn.layers.base import ReceptiveField, Shape
from tests.nn.layers.reading import complaint
from tests.nn.layers.test_convolution import show
from tests.reference import SideBySide, assert_close

STRIDED: list[dict[str, Any]] = [
    {"kernel_size": kernel, "strides": strides}
    for kernel in (1, 2, 3, 4, 5, (2, 5))
    for strides in (1, 2, 3, (3, 1))
]
DILATED: list[dict[str, Any]] = [
    {"kernel_size": 3, "dilation_rate": 2},
    {"kernel_size": (2, 3), "dilation_rate": (3, 2)},
]
PADDED: list[dict[str, Any]] = [
    {"kernel_size": kernel, "strides": strides, "output_padding": extra}
    for kernel in (1, 2, 3, 4, (5, 2))
    for strides, extra in [(1, 0), (2, 0), (2, 1), (4, 3), ((3, 2), (2, 0))]
]


@pytest.mark.covering("values")
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("window", [*STRIDED, *DILATED, *PADDED], ids=show)
def test_every_window_matches_keras(window: dict[str, Any], padding: str) -> None:
    side = SideBySide("Conv2DTranspose", {"filters": 3, "padding": padding, **window}, (4, 5, 2))
    side.compare()
    told = Conv2DTranspose.model_validate({"filters": 3, "padding": padding, **window})
    expected = side.theirs.compute_output_shape((None, 4, 5, 2))
    assert (None, *told.output_shape((4, 5, 2))) == tuple(expected)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((4, 5, 4), {}),
        ((4, 5, 3), {"use_bias": False, "strides": 2}),
        ((1, 1, 3), {"activation": "relu", "strides": 2, "padding": "same"}),
        ((4, 5, 3), {"activation": "softmax", "strides": 2, "padding": "same"}),
    ],
    ids=str,
)
def test_every_argument_matches_keras(shape: Shape, arguments: dict[str, Any], batch: int) -> None:
    SideBySide("Conv2DTranspose", {"filters": 2, "kernel_size": 3, **arguments}, shape).compare(
        batch
    )


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_the_output_is_the_gradient_of_a_convolution(
    kernel: int, strides: int, padding: str
) -> None:
    """tf.nn.conv2d_transpose is the gradient of ``conv2d``, with the same arguments, by its input.

    With one channel, where Keras on torch fails: "grad_weight needs to be contiguous".
    """
    window = {"kernel_size": kernel, "strides": strides, "padding": padding, "use_bias": False}
    layer = Conv2DTranspose.model_validate({"filters": 3, **window})
    shape = layer.output_shape((4, 5, 1))
    convolution = Conv2D.model_validate({"filters": 1, **window}).build(shape).double()
    module = layer.build((4, 5, 1)).double()
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 3, kernel, kernel, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 1, 4, 5, generator=generator, dtype=torch.float64)
    for each in (convolution, module):
        each.load_state_dict({"weight": weight})
    pixels = torch.zeros(2, 3, *shape[:2], dtype=torch.float64, requires_grad=True)
    convolution(pixels).backward(x)
    assert pixels.grad is not None
    assert_close(module(x), pixels.grad)


def test_macs_are_half_of_the_flops_of_torch() -> None:
    layer = Conv2DTranspose(filters=5, kernel_size=(3, 2), strides=2)
    with FlopCounterMode(display=False) as counter:
        layer.build((4, 5, 3))(torch.zeros(1, 3, 4, 5))
    told = layer.macs(((4, 5, 3),), layer.output_shape((4, 5, 3)))
    assert told == counter.get_total_flops() / 2 == 4 * 5 * 3 * 5 * 6


@pytest.mark.parametrize(
    ("arguments", "window"),
    [
        ({"kernel_size": 3}, ReceptiveField((3, 3))),
        (
            {"kernel_size": 3, "strides": 2},
            ReceptiveField((2, 2), (Fraction(1, 2), Fraction(1, 2))),
        ),
        (
            {"kernel_size": (4, 1), "strides": (2, 3)},
            ReceptiveField((2, 1), (Fraction(1, 2), Fraction(1, 3))),
        ),
        ({"kernel_size": 3, "dilation_rate": 2}, ReceptiveField((5, 5))),
    ],
    ids=str,
)
def test_receptive_fields(arguments: dict[str, Any], window: ReceptiveField) -> None:
    assert Conv2DTranspose.model_validate({"filters": 1, **arguments}).receptive_field() == window


@pytest.mark.parametrize(
    ("arguments", "field", "message", "hint"),
    [
        (
            "strides: 2, output_padding: -1",
            ".output_padding",
            "expected a whole number or [height, width], found -1",
            "output_padding: pixels added to the output, fewer than strides; "
            "null: the default output size of Keras",
        ),
        (
            "strides: [3, 2], output_padding: [0, 2]",
            "",
            "output_padding (2) must be less than the stride (2)",
            "leave it out, or use larger strides",
        ),
        (
            "strides: 2, dilation_rate: 2",
            "",
            "strides (2) and dilation_rate (2) cannot both be above 1",
            "write 1 for one of them; model.defaults may set the other",
        ),
        (
            "strides: 2, output_padding: 0, padding: same",
            "",
            "the output would be 0×2, from 1×2×3",
            "leave out output_padding, or make it larger",
        ),
    ],
    ids=["negative", "stride", "dilation", "nothing"],
)
def test_refusals(arguments: str, field: str, message: str, hint: str) -> None:
    layers = f"[Conv2DTranspose: {{filters: 4, kernel_size: 2, {arguments}}}]"
    path = f"layers[0].Conv2DTranspose{field}"
    assert complaint(layers, (1, 2, 3)) == (path, message, hint)


def test_an_image_is_needed() -> None:
    assert complaint("[Flatten, Conv2DTranspose: {filters: 4, kernel_size: 2}]") == (
        "layers[1].Conv2DTranspose",
        "needs an image, but its input is 192 features",
        "move it before the Flatten or global pooling layer",
    )
