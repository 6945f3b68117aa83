"""LayerNormalization and GroupNormalization compared with Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers import GroupNormalization, LayerNormalization, Softmax
from sepcnn.nn.layers.base import ReceptiveField, Shape
from sepcnn.nn.layers.group_normalization import PerImageNormalization
from sepcnn.nn.layers.module import initialize
from tests.nn.layers.reading import complaint, read_layer, read_net
from tests.reference import SideBySide, assert_close, channels_first, channels_last

SHAPES: list[Shape] = [(7, 9, 12), (1, 1, 12), (12,)]
FIELDS: list[dict[str, Any]] = [
    {},
    {"epsilon": 1e-2},
    {"center": False},
    {"scale": False},
    {"center": False, "scale": False},
]
LAYERS: list[PerImageNormalization] = [
    LayerNormalization(),
    LayerNormalization(axis=(1, 2, 3)),
    GroupNormalization(groups=4),
]
each = pytest.mark.parametrize("layer", LAYERS, ids=["layer", "image", "group"])
MEMORY = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        ([1, 2, 3], (5, 4, 3)),
        ([-1], (5, 4, 3)),
        ([-3, -2, -1], (5, 4, 3)),
        ([3, 1], (5, 4, 3)),
        ([2, 3], (5, 4, 3)),
        ([1], (6,)),
        ([1, 2], (5, 4)),
        ([2, 3, 4], (2, 5, 4, 3)),
    ],
    ids=str,
)
@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_any_axes_match_keras(fields: dict[str, Any], axis: Any, shape: Shape) -> None:
    SideBySide("LayerNormalization", {"axis": axis, **fields}, shape).compare()


@pytest.mark.parametrize(
    ("axis", "axes"), [([1, 2], (1, 2)), (1, (1,)), (-2, (2,)), ([-2, -3], (1, 2))], ids=str
)
def test_axes_without_the_channels(axis: Any, axes: tuple[int, ...]) -> None:
    """For axes at which Keras on torch fails: ``_layer_normalization`` of keras/src/ops/nn.py."""
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 4, 3))
    shape = [x.shape[n] if n in axes else 1 for n in range(4)]
    gamma, beta = random.normal(size=shape), random.normal(size=shape)
    module = LayerNormalization.model_validate({"axis": axis}).build((5, 4, 3)).double()
    with torch.no_grad():
        module.get_parameter("weight").copy_(torch.tensor(gamma.ravel()))
        module.get_parameter("bias").copy_(torch.tensor(beta.ravel()))
    variance = x.var(axis=axes, keepdims=True)
    expected = gamma * (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(variance + 1e-3) + beta
    assert_close(channels_last(module(channels_first(torch.tensor(x)))), expected)


@pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])
@pytest.mark.parametrize("fields", FIELDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_normalization_matches_keras(
    shape: Shape, fields: dict[str, Any], training: bool
) -> None:
    SideBySide("LayerNormalization", fields, shape).compare(training=training)


@pytest.mark.covering("pairs")
@pytest.mark.parametrize("groups", [1, 3, 4, 12, -1])
@pytest.mark.parametrize("fields", FIELDS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_group_normalization_matches_keras(
    shape: Shape, fields: dict[str, Any], groups: int
) -> None:
    pair = SideBySide("GroupNormalization", {**fields, "groups": groups}, shape)
    pair.compare()
    pair.compare(batch=1, training=False)


def test_the_default_groups_match_keras() -> None:
    SideBySide("GroupNormalization", {}, (3, 5, 64)).compare()


def test_each_pixel_is_normalized_independently() -> None:
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0)).double()
    net = read_net("[LayerNormalization]", (3, 4, 5)).double()
    torch.testing.assert_close(net(x)[..., 1:2, 2:3], net(x[..., 1:2, 2:3]))
    zeros = torch.zeros(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(net(x).mean(dim=1), zeros)


@each
@pytest.mark.parametrize("memory", MEMORY, ids=str)
@pytest.mark.parametrize("mean", [0.0, 100.0, 1000.0])
def test_a_large_mean_costs_few_digits(
    layer: PerImageNormalization, mean: float, memory: torch.memory_format
) -> None:
    """float32 has 7 digits: values near 1000 with a standard deviation of 1 keep four."""
    random = np.random.default_rng(0)
    x = torch.tensor(random.normal(mean, 1, size=(4, 12, 9, 9)), dtype=torch.float32)
    direction = torch.tensor(random.normal(size=x.shape))
    module = layer.build((9, 9, 12))
    initialize(module, 0)
    found, gradient = both(module, x.contiguous(memory_format=memory), direction.float())
    expected, expected_gradient = both(module.double(), x.double(), direction)
    digits = 1e-5 + 1e-6 * mean
    torch.testing.assert_close(found.double(), expected, rtol=digits, atol=digits)
    torch.testing.assert_close(gradient.double(), expected_gradient, rtol=digits, atol=digits)


def both(
    module: torch.nn.Module, x: torch.Tensor, direction: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and input gradient."""
    x = x.detach().requires_grad_()
    found = module(x)
    found.backward(direction)
    assert x.grad is not None
    return found.detach(), x.grad


@each
@pytest.mark.parametrize("memory", MEMORY, ids=str)
def test_both_memory_formats_give_the_same_gradients(
    layer: PerImageNormalization, memory: torch.memory_format
) -> None:
    random = np.random.default_rng(0)
    x, direction = (torch.tensor(random.normal(3, 1, size=(4, 12, 5, 6))) for _ in "xd")
    module = layer.build((5, 6, 12)).double()
    initialize(module, 0)
    expected = both(module, x, direction)
    weights = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    found = both(module, x.contiguous(memory_format=memory), direction)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for parameter, gradient in zip(module.parameters(), weights, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


@each
@pytest.mark.parametrize("memory", MEMORY, ids=str)
def test_arithmetic_is_float32_for_bfloat16(
    layer: PerImageNormalization, memory: torch.memory_format
) -> None:
    """The input is exact in bfloat16, so only the output is rounded, once."""
    random = np.random.default_rng(0)
    x = torch.tensor(random.normal(3, 1, size=(4, 12, 9, 9))).bfloat16()
    module = layer.build((9, 9, 12))
    initialize(module, 0)
    found = module(x.contiguous(memory_format=memory))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), module(x.float()), rtol=2**-8, atol=1e-5)


def test_groups_minus_one_normalizes_each_channel() -> None:
    x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    alone, counted = (
        read_net(f"[GroupNormalization: {groups}]", (5, 5, 6)).double()(x) for groups in (-1, 6)
    )
    assert torch.equal(alone, counted)
    torch.testing.assert_close(alone.mean(dim=(2, 3)), torch.zeros(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("kind", ["LayerNormalization", "GroupNormalization"])
def test_the_axis_may_count_the_batch(kind: str) -> None:
    for axis, shape in [(3, (8, 8, 32)), (1, (32,)), (-1, (32,))]:
        layer = read_layer(f"{kind}: {{axis: {axis}}}")
        assert isinstance(layer, PerImageNormalization)
        assert layer.output_shape(shape) == shape


def test_normalizing_the_whole_image_has_no_finite_receptive_field() -> None:
    assert LayerNormalization(axis=(3,)).receptive_field((8, 8, 3)) == ReceptiveField((1, 1))
    assert LayerNormalization(axis=(1, 2, 3)).receptive_field((8, 8, 3)) is None
    assert Softmax(axis=(1, 2)).receptive_field((8, 8, 3)) is None
    assert GroupNormalization(groups=1).receptive_field((8, 8, 3)) is None
    assert GroupNormalization(groups=-1).receptive_field((8, 8, 3)) is None


GROUPS = "groups: number of groups, a divisor of the number of channels; -1: one group per channel"
COUNT = "expected a whole number above 0, or -1"
CHANNELS = "leave out axis: the default is the channel axis"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "GroupNormalization",
            "",
            "cannot divide 48 channels into 32 equal groups",
            "write groups: 24, or -1: one group per channel",
        ),
        (
            "GroupNormalization: 96",
            "",
            "cannot divide 48 channels into 96 equal groups",
            "write groups: 48, or -1: one group per channel",
        ),
        ("GroupNormalization: 0", ".groups", f"{COUNT}, found 0", GROUPS),
        ("GroupNormalization: -2", ".groups", f"{COUNT}, found -2", GROUPS),
        ("GroupNormalization: true", ".groups", f"{COUNT}, found true", GROUPS),
        (
            "GroupNormalization: {groups: 1, axis: 1}",
            "",
            "axis must be the channel axis, found the height axis",
            CHANNELS,
        ),
        (
            "LayerNormalization: 4",
            "",
            "there is no axis 4 in 8×8×48",
            "of an image, 1 is the height, 2 the width, 3 or -1 the channels",
        ),
        (
            "LayerNormalization: {axis: [3, 1, -1]}",
            "",
            "the channel axis is given twice",
            "give each axis once",
        ),
        (
            "LayerNormalization: {axis: []}",
            ".axis",
            "expected an axis or a list of axes, found []",
            "of an image, 1 is the height, 2 the width, 3 or -1 the channels",
        ),
        (
            "LayerNormalization: {epsilon: 0}",
            ".epsilon",
            "must be above 0, found 0",
            "epsilon: added to the variance, to avoid division by 0",
        ),
    ],
    ids=[
        "default",
        "many",
        "zero",
        "negative",
        "bool",
        "axis",
        "beyond",
        "twice",
        "none",
        "epsilon",
    ],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    kind = layer.partition(":")[0]
    found = complaint(f"[{layer}]", (8, 8, 48))
    assert found == (f"layers[0].{kind}{path}", message, hint)
