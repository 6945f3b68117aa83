"""Activation functions as layers, compared with Keras."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from sepcnn.nn.activations import ACTIVATIONS
from sepcnn.nn.layers import Activation, ReLU, Softmax
from sepcnn.nn.layers.base import Shape
from sepcnn.nn.optimizers import SGD
from tests.nn.layers.reading import complaint, read_layer, read_net
from tests.reference import SideBySide, keras

SHAPES: list[Shape] = [(5,), (7, 9, 3), (1, 1, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_function_matches_keras(name: str, shape: Shape) -> None:
    SideBySide("Activation", {"activation": name}, shape).compare()


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("leaky_relu: 0.3", partial(keras.activations.leaky_relu, negative_slope=0.3)),
        ("elu: {alpha: 1/2}", partial(keras.activations.elu, alpha=0.5)),
        ("gelu: true", partial(keras.activations.gelu, approximate=True)),
        ("relu: 0.5", partial(keras.activations.relu, max_value=0.5)),
        (
            "relu: {negative_slope: 0.2, threshold: 0.1}",
            partial(keras.activations.relu, negative_slope=0.2, threshold=0.1),
        ),
        ("log_softmax", keras.activations.log_softmax),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize(
    "layer",
    [
        "Activation: {activation: {%s}}",
        "Conv2D: {filters: 4, kernel_size: 3, activation: {%s}}",
        "SeparableConv2D: {filters: 4, kernel_size: 3, activation: {%s}}",
        "Dense: {units: 4, activation: {%s}}",
    ],
    ids=lambda layer: layer.partition(":")[0],
)
def test_a_function_with_fields_follows_the_layer(
    layer: str, text: str, function: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Compared with the layer without an activation, followed by the function of Keras."""
    if ":" not in text:
        layer = layer.replace("{%s}", "%s")
    net, plain = (read_net(f"[{layer % name}]", (7, 9, 3)) for name in (text, "linear"))
    x = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    expected = function(plain(x).movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax_matches_keras(shape: Shape) -> None:
    SideBySide("Softmax", {}, shape).compare()


@pytest.mark.parametrize(
    ("axis", "shape"),
    [
        *((axis, (7, 9, 3)) for axis in (1, 2, 3, -3, [1, 2], [2, 3], [-1], [1, 2, 3], [3, 1])),
        *((axis, (5,)) for axis in (1, -1, [1])),
    ],
    ids=str,
)
def test_softmax_over_any_axes_matches_keras(axis: Any, shape: Shape) -> None:
    SideBySide("Softmax", {"axis": axis}, shape).compare()


SLOPES: list[dict[str, Any]] = [
    {},
    {"max_value": 1.0},
    {"max_value": 6.0},
    {"negative_slope": 0.2},
    {"threshold": 0.5},
    {"threshold": 0.5, "negative_slope": 0.2},
    {"threshold": 0.5, "max_value": 0.8, "negative_slope": 0.2},
    {"max_value": 0.7, "negative_slope": 0.3},
    {"threshold": 1.0, "max_value": 0.5},
    {"max_value": 0.0},
]


@pytest.mark.parametrize("arguments", SLOPES, ids=str)
def test_relu_matches_keras(arguments: dict[str, Any]) -> None:
    SideBySide("ReLU", arguments, (7, 9, 3)).compare()


@pytest.mark.parametrize("arguments", SLOPES, ids=str)
def test_relu_matches_keras_at_its_corners(arguments: dict[str, Any]) -> None:
    x = torch.tensor([[-1.0, -0.5, 0.0, 0.5, 0.7, 0.8, 1.0, 2.0, 6.0, 7.0]])
    found = ReLU.model_validate(arguments).build((10,))(x)
    torch.testing.assert_close(found, keras.layers.ReLU(**arguments)(x))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("LeakyReLU", {}),
        ("LeakyReLU", {"negative_slope": 0.0}),
        ("LeakyReLU", {"negative_slope": 1.5}),
        ("ELU", {}),
        ("ELU", {"alpha": 0.5}),
        ("ELU", {"alpha": -1.0}),
        ("PReLU", {}),
        ("PReLU", {"shared_axes": [1]}),
    ],
    ids=str,
)
def test_functions_with_a_slope_match_keras(
    kind: str, arguments: dict[str, Any], shape: Shape
) -> None:
    SideBySide(kind, arguments, shape).compare(batch=5)


@pytest.mark.parametrize("axes", [[1, 2], [2], [3], [1, 3], [3, 2, 1]], ids=str)
def test_prelu_shares_axes_as_keras_does(axes: list[int]) -> None:
    SideBySide("PReLU", {"shared_axes": axes}, (7, 9, 3)).compare()


@pytest.mark.parametrize("kind", ["LeakyReLU", "ELU", "PReLU"])
def test_gradients_at_zero_match_keras(kind: str) -> None:
    """With zero bias and padding, whole regions of an image are exactly 0."""
    pair = SideBySide(kind, {}, (3,))
    found, expected = (torch.zeros(2, 3, dtype=torch.float64, requires_grad=True) for _ in "ab")
    pair.ours(found).sum().backward()
    pair.theirs(expected).sum().backward()
    assert found.grad is not None
    assert torch.equal(found.grad, expected.grad)


def test_prelu_accepts_empty_shared_axes() -> None:
    assert read_layer("PReLU: {shared_axes: null}") == read_layer("PReLU")


@pytest.mark.parametrize(
    ("axes", "count"), [("", 7 * 9 * 3), ("shared_axes: 1", 9 * 3), ("shared_axes: [1, 2]", 3)]
)
def test_prelu_is_stored_flat_and_does_not_decay(axes: str, count: int) -> None:
    net = read_net(f"[PReLU: {{alpha_initializer: {{constant: 0.25}}, {axes}}}]", (7, 9, 3))
    weight = net.get_parameter("p_re_lu.weight")
    assert torch.equal(weight, torch.full((count,), 0.25))
    optimizer = SGD(weight_decay=0.5)
    optimizer.step([weight], [torch.zeros(count)], optimizer.slots([weight]), 0.1, 0)
    assert torch.equal(weight, torch.full((count,), 0.25))


def test_softmax_sums_to_one_over_the_channels_without_overflow() -> None:
    x = 1000 * torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    for layer in (Softmax(), Activation.model_validate({"activation": "softmax"})):
        probabilities = layer.build((3, 4, 5))(x)
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 3, 4))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_input_is_not_overwritten(name: str) -> None:
    """The output of an earlier layer may have other consumers."""
    x = torch.linspace(-8, 8, 20).reshape(2, 10)
    before = x.clone()
    Activation.model_validate({"activation": name}).build((10,))(x)
    assert torch.equal(x, before)


ALPHA = "alpha: the output approaches −alpha for large negative inputs"
AXES = "of an image, 1 is the height, 2 the width, 3 or -1 the channels"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        (
            "Activation: rleu",
            ".Activation.activation",
            "unknown activation 'rleu'",
            "did you mean 'relu'?",
        ),
        (
            "Activation: {activation: {leaky_relu: -1}}",
            ".Activation.activation.leaky_relu.negative_slope",
            "must be at least 0, found -1",
            "negative_slope: slope below 0; the default is as in Keras (torch: 0.01)",
        ),
        (
            "Activation: {activation: {gelu: tanh}}",
            ".Activation.activation.gelu.approximate",
            "expected true or false, found 'tanh'",
            "approximate: approximate Φ(x) by '0.5 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))'",
        ),
        (
            "Activation",
            ".Activation",
            "'activation' is required",
            "activation: the activation function",
        ),
        (
            "ReLU: -1",
            ".ReLU.max_value",
            "must be at least 0, found -1",
            "max_value: largest output; null: no limit",
        ),
        (
            "LeakyReLU: -0.1",
            ".LeakyReLU.negative_slope",
            "must be at least 0, found -0.1",
            "negative_slope: slope below 0",
        ),
        ("ELU: .nan", ".ELU.alpha", "expected a finite number, found .nan", ALPHA),
        (
            "PReLU: {shared_axes: [0, 1]}",
            ".PReLU.shared_axes",
            "expected an axis or a list of axes, found [0, 1]",
            AXES,
        ),
        (
            "PReLU: {shared_axes: [true]}",
            ".PReLU.shared_axes",
            "expected an axis or a list of axes, found [true]",
            AXES,
        ),
        (
            "PReLU: {shared_axes: [1, 4]}",
            ".PReLU",
            "there is no axis 4 in 8×8×3",
            AXES,
        ),
        (
            "Softmax: 0",
            ".Softmax.axis",
            "expected an axis or a list of axes, found 0",
            AXES,
        ),
    ],
    ids=[
        *("unknown", "slope", "approximate", "missing", "negative"),
        *("leaky", "nan", "batch", "bool", "beyond", "axis"),
    ],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0]{path}", message, hint)


def test_features_have_no_second_axis() -> None:
    assert complaint("[PReLU: {shared_axes: [1, 2]}]", (5,)) == (
        "layers[0].PReLU",
        "there is no axis 2 in 5 features",
        "axes are numbered from 1 to 1; 0 is the batch",
    )
