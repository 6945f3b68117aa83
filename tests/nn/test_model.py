"""The module of a graph: names, order of calls, final softmax, memory."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.nn.layers.base import Shape
from sepcnn.nn.layers.module import WeightInfo, weights
from sepcnn.nn.model import Net
from tests.nn.layers.reading import read_net
from tests.reference import KERAS_NAMES, assert_close, channels_first, float64, keras

SHAPE: Shape = (8, 10, 3)
CONV = "Conv2D: {filters: 3, kernel_size: 3, padding: same}"


def images(count: int = 2) -> torch.Tensor:
    height, width, channels = SHAPE
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, height, width, generator=generator)


def test_parameters_are_named_after_their_layers() -> None:
    net = read_net(
        "[Conv2D: {filters: 3, kernel_size: 3, padding: same}, BatchNormalization,"
        " Residual: [{SeparableConv2D: {filters: 3, kernel_size: 3, padding: same}}],"
        " Repeat: {name: stage, times: 2, layers: [{Dense: {units: 3, use_bias: false}}]},"
        " Flatten, Dense: {name: head, units: 2}]",
        SHAPE,
    )
    assert list(net.state_dict()) == [
        *("conv2d.weight", "conv2d.bias"),
        *("batch_normalization.weight", "batch_normalization.bias"),
        *("batch_normalization.moving_mean", "batch_normalization.moving_variance"),
        "residual/separable_conv2d.depthwise.weight",
        "residual/separable_conv2d.pointwise.weight",
        "residual/separable_conv2d.pointwise.bias",
        *("stage/1/dense.weight", "stage/2/dense.weight"),
        *("head.weight", "head.bias"),
    ]


@pytest.mark.parametrize("name", ["type", "graph", "training", "forward", "_steps", "weight"])
def test_a_layer_may_have_any_name(name: str) -> None:
    net = read_net(f"[Flatten, Dense: {{name: {name}, units: 2}}]", SHAPE)
    assert list(net.state_dict()) == [f"{name}.weight", f"{name}.bias"]
    assert net(images()).shape == (2, 2)


def test_inputs_make_a_graph() -> None:
    net = read_net(
        f"[{CONV}, ReLU: {{name: a}}, {{Conv2D: {{name: b, inputs: input, filters: 3,"
        " kernel_size: 1}}, {Add: {name: c, inputs: [a, b, input]}}, {Add: [c, c]}]",
        SHAPE,
    )
    x = images()
    conv, b = net.get_submodule("conv2d"), net.get_submodule("b")
    torch.testing.assert_close(net(x), 2 * (conv(x).relu() + b(x) + x))


def test_an_activation_does_not_overwrite_shared_inputs() -> None:
    """The relu of a convolution may work in place, a ReLU layer may not: `conv2d` is read twice."""
    conv = "Conv2D: {name: conv, filters: 3, kernel_size: 1, activation: linear}"
    net = read_net(f"[{conv}, Activation: relu, Add: [conv, activation]]", SHAPE)
    x = images()
    y = net.get_submodule("conv")(x)
    torch.testing.assert_close(net(x), y + y.relu())


# ── the end of the net ────────────────────────────────────────────────────────────────────────

HEAD = "Flatten, Dense: {name: head, units: 4"


@pytest.mark.parametrize(
    "end",
    [
        f"{HEAD}, activation: softmax}}",
        f"{HEAD}}}, Softmax",
        f"{HEAD}}}, Activation: softmax",
    ],
    ids=["activation", "layer", "activation-layer"],
)
def test_a_softmax_at_the_end_is_left_out_of_the_logits(end: str) -> None:
    net, plain = read_net(f"[{end}]", SHAPE), read_net(f"[{HEAD}}}]", SHAPE)
    x = images()
    assert torch.equal(net.logits(x), plain(x))
    assert torch.equal(net(x), torch.softmax(plain(x), dim=1))


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_any_other_activation_stays(activation: str) -> None:
    net = read_net(f"[{HEAD}, activation: {activation}}}]", SHAPE)
    x = images()
    assert torch.equal(net.logits(x), net(x))
    plain = read_net(f"[{HEAD}}}]", SHAPE)(x)
    expected = {"relu": plain.relu(), "tanh": plain.tanh(), "linear": plain}
    assert torch.equal(net(x), expected[activation])


def test_a_softmax_inside_the_model_is_kept() -> None:
    net = read_net("[Softmax, Flatten]", SHAPE)
    x = images()
    expected = torch.softmax(x, dim=1).movedim(1, -1).flatten(1)
    assert torch.equal(net.logits(x), expected)


def test_logits_stay_exact_where_probabilities_overflow() -> None:
    net = read_net("[Softmax]", (3,))
    x = torch.tensor([[1e4, 0.0, -1e4]])
    assert net.logits(x).tolist() == x.tolist()
    assert net(x).tolist() == [[1, 0, 0]]


ONE = "Flatten, Dense: {name: head, units: 1"


@pytest.mark.parametrize(
    "end",
    [f"{ONE}, activation: sigmoid}}", f"{ONE}}}, Activation: sigmoid"],
    ids=["activation", "activation-layer"],
)
def test_one_output_is_for_two_classes(end: str) -> None:
    net = read_net(f"[{end}]", SHAPE)
    x = images()
    z = net.layer_module("head")(x.permute(0, 2, 3, 1).flatten(1))
    torch.testing.assert_close(net.logits(x), torch.cat([torch.zeros_like(z), z], dim=1))
    p = torch.sigmoid(z)
    torch.testing.assert_close(net(x), torch.cat([1 - p, p], dim=1))
    assert [tuple(weight.shape) for weight in net.parameters()] == [(1, 8 * 10 * 3), (1,)]


def test_one_output_without_an_activation_is_for_two_classes() -> None:
    net, x = read_net(f"[{ONE}}}]", SHAPE), images()
    assert net(x).shape == (2, 2)
    assert torch.equal(net(x), net.logits(x))
    assert torch.equal(net(x)[:, 0], torch.zeros(2))


# ── numbers and memory ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
    ids=str,
)
def test_the_output_is_float32_or_wider(dtype: torch.dtype, expected: torch.dtype) -> None:
    net = read_net(f"[{HEAD}, activation: softmax}}]", SHAPE).to(dtype)
    x = images().to(dtype)
    assert net.logits(x).dtype == net(x).dtype == expected


def test_kernels_are_channels_last() -> None:
    net = read_net(f"[{CONV}, {CONV}]", SHAPE)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)
    x = images().contiguous(memory_format=torch.channels_last)
    assert net(x).is_contiguous(memory_format=torch.channels_last)


def alive_at_each_layer(net: Net) -> dict[str, set[str]]:
    """For each call of a layer, the earlier outputs that are still in memory."""
    outputs: dict[str, weakref.ref[torch.Tensor]] = {}
    found: dict[str, set[str]] = {}

    def before(name: str) -> None:
        found[name] = {key for key, output in outputs.items() if output() is not None}

    def after(name: str, output: torch.Tensor) -> None:
        outputs[name] = weakref.ref(output)

    for leaf in net.graph.leaves:
        module = net.get_submodule(leaf.name)
        module.register_forward_pre_hook(lambda *_, name=leaf.name: before(name))
        module.register_forward_hook(
            lambda module, inputs, output, name=leaf.name: after(name, output)
        )
    with torch.no_grad():
        net(images())
    return found


def test_outputs_are_freed_after_their_last_use() -> None:
    layers = "Rescaling: {name: a, scale: 2}, Rescaling: {name: b, scale: 2}"
    more = "Rescaling: {name: c, scale: 2}, Add: {name: d, inputs: [c, a]}, ReLU: {name: e}"
    assert alive_at_each_layer(read_net(f"[{layers}, {more}, Flatten]", SHAPE)) == {
        "a": set(),
        "b": {"a"},
        "c": {"a", "b"},
        "d": {"a", "c"},
        "e": {"d"},
        "flatten": {"e"},
    }


BOOK: list[tuple[str, dict[str, Any]]] = [
    ("Rescaling", {"scale": 1 / 255}),
    ("SeparableConv2D", {"filters": 8, "kernel_size": 3, "padding": "same", "activation": "relu"}),
    ("BatchNormalization", {"momentum": 0.9}),
    ("MaxPooling2D", {"padding": "same"}),
    ("SeparableConv2D", {"filters": 12, "kernel_size": 3, "activation": "relu"}),
    ("BatchNormalization", {"momentum": 0.9, "renorm": True}),
    ("Flatten", {}),
    ("Dense", {"units": 4, "activation": "softmax"}),
]


def test_a_whole_net_matches_keras_over_a_training_trajectory() -> None:
    """Also the names: each layer has the weights of the Keras layer with its name."""
    keras.utils.clear_session()  # Keras counts names from the start of the process.
    with float64():
        theirs = keras.Sequential([keras.Input(SHAPE, dtype="float64")])
        for kind, arguments in BOOK:
            theirs.add(getattr(keras.layers, kind)(**arguments))
        ours = read_net(json.dumps([{kind: arguments} for kind, arguments in BOOK]), SHAPE)

    shared = list(pairs(ours, theirs))
    assert len(shared) == len(theirs.variables) == 19
    for tensor, variable, info in shared:
        with torch.no_grad():
            info.write(tensor, variable.value)
    random = np.random.default_rng(0)
    for training in (True, True, True, False):
        x = torch.tensor(random.uniform(0, 255, size=(5, *SHAPE)))
        labels = torch.tensor(random.integers(4, size=5))
        expected = theirs(x, training=training)
        found = ours.train(training)(channels_first(x))
        assert_close(found, expected)
        for probabilities in (expected, found):
            torch.nn.functional.nll_loss(probabilities.log(), labels).backward()
        with torch.no_grad():
            for tensor, variable, info in shared:
                if tensor.grad is not None:
                    descend(tensor)
                    descend(variable.value)
                assert_close(info.to_keras(tensor), variable.value)


def pairs(
    ours: Net, theirs: keras.Model
) -> Iterator[tuple[torch.Tensor, keras.Variable, WeightInfo]]:
    """Every weight with that of the Keras layer of the same name."""
    for name, tensor, info in weights(ours):
        layer_name, weight_name = name.split(".", maxsplit=1)
        layer = theirs.get_layer(layer_name)
        keras_name = KERAS_NAMES[type(layer).__name__][weight_name]
        yield tensor, getattr(layer, keras_name), info


def descend(weight: torch.Tensor) -> None:
    assert weight.grad is not None
    weight -= 0.1 * weight.grad
    weight.grad = None
