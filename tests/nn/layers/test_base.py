"""Layer base classes: initial weights, names and inputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sepcnn.nn.layers.base import Shape, ShapeError, format_shape, image_shape
from sepcnn.nn.layers.module import initialize, weights
from tests.nn.layers.reading import complaint, read_layer, read_net

LAYERS = (
    "{Conv2D: {name: a, filters: 4, kernel_size: [3, 2], bias_initializer: random_normal}}",
    "{SeparableConv2D: {name: b, filters: 4, kernel_size: 3, depth_multiplier: 2}}",
    "{BatchNormalization: {name: c, renorm: true, gamma_initializer: random_normal}}",
    "{Dense: {name: d, units: 4}}",
)


def values(net: nn.Module) -> dict[str, torch.Tensor]:
    return dict(net.state_dict())


def test_weights_are_reproduced_by_the_seed_alone() -> None:
    text = f"[{', '.join(LAYERS)}]"
    first, again, other = (values(read_net(text, (7, 9, 4), seed)) for seed in (3, 3, 4))
    drawn = [name for name, value in first.items() if value.numel() > 1 and value.std() > 0]
    assert drawn == [
        *("a.weight", "a.bias", "b.depthwise.weight", "b.pointwise.weight"),
        *("c.weight", "d.weight"),
    ]
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert torch.equal(value, other[name]) == (name not in drawn)


def test_weights_do_not_depend_on_the_order_of_layers() -> None:
    """Nor on other layers. All layers keep 4 channels, so that any order fits."""
    forwards, backwards = (
        values(read_net(f"[{', '.join(order)}]", (7, 9, 4))) for order in (LAYERS, LAYERS[::-1])
    )
    assert forwards.keys() == backwards.keys()
    assert all(torch.equal(value, backwards[name]) for name, value in forwards.items())
    alone = values(read_net(f"[{LAYERS[1]}]", (7, 9, 4)))
    assert all(torch.equal(value, forwards[name]) for name, value in alone.items())


def test_layers_of_the_same_shape_draw_different_weights() -> None:
    net = read_net("[Dense: 4, Dense: 4]", (4,))
    first, second = (net.get_parameter(f"{name}.weight") for name in ("dense", "dense_1"))
    assert not torch.equal(first, second)


def test_every_weight_and_statistic_has_weight_info() -> None:
    net = read_net(f"[{', '.join(LAYERS)}]", (7, 9, 4))
    found = [name for name, _, _ in weights(net)]
    assert len(found) == len(set(found))
    assert set(found) == set(values(net))


def test_a_kernel_is_drawn_in_keras_order() -> None:
    """Values are numbered in Keras layout, so that each shows its origin."""
    net = read_net(
        "[SeparableConv2D: {filters: 3, kernel_size: [2, 3], depth_multiplier: 2}]", (7, 9, 5)
    )
    for _, tensor, info in weights(net):
        counted = torch.arange(tensor.numel()).reshape(info.keras_shape)
        moved = counted.permute(info.permutation).reshape(tensor.shape)
        if info.keras_shape == (2, 3, 5, 2):
            # Channel 4, second output of it, row 1, column 2.
            assert moved[4 * 2 + 1, 0, 1, 2] == counted[1, 2, 4, 1]
        elif info.keras_shape == (1, 1, 10, 3):
            assert moved[2, 7, 0, 0] == counted[0, 0, 7, 2]
        else:
            assert info.keras_shape == (3,)


def test_initializing_again_overwrites() -> None:
    net = read_net("[Dense: 4]", (4,), seed=1)
    before = net.get_parameter("dense.weight").clone()
    initialize(net, 2)
    assert not torch.equal(net.get_parameter("dense.weight"), before)
    initialize(net, 1)
    assert torch.equal(net.get_parameter("dense.weight"), before)


@pytest.mark.parametrize(
    ("shape", "text"), [((2, 2, 64), "2×2×64"), ((128,), "128 features")], ids=str
)
def test_format_shape(shape: Shape, text: str) -> None:
    assert format_shape(shape) == text


def test_an_image_has_three_axes() -> None:
    assert image_shape((2, 3, 4)) == (2, 3, 4)
    with pytest.raises(ShapeError) as caught:
        image_shape((5,))
    assert str(caught.value) == (
        "needs an image, but its input is 5 features\n"
        "   move it before the Flatten or global pooling layer"
    )


def test_one_input_may_be_named_without_a_list() -> None:
    assert read_layer("ReLU: {inputs: input}") == read_layer("ReLU: {inputs: [input]}")


NAME_HINT = "use letters, digits, - and _; '/' is reserved for blocks"


@pytest.mark.parametrize(
    ("layer", "path", "message", "hint"),
    [
        ("ReLU: {name: a/b}", ".name", "expected a layer name, found 'a/b'", NAME_HINT),
        ("ReLU: {name: a.b}", ".name", "expected a layer name, found 'a.b'", NAME_HINT),
        ("ReLU: {name: ''}", ".name", "expected a layer name, found ''", NAME_HINT),
        ("ReLU: {name: 3}", ".name", "expected a layer name, found 3", "put it in quotes: '3'"),
        (
            "ReLU: {inputs: [1]}",
            ".inputs",
            "expected a list of names of earlier layers, found [1]",
            "inputs: names of the earlier layers that this layer reads; "
            "by default the previous layer",
        ),
        (
            "ReLU: {inputs: [input, input]}",
            "",
            "ReLU takes one input, found 2",
            "first join them with Add or Concatenate",
        ),
    ],
    ids=["slash", "dot", "empty", "number", "inputs", "two"],
)
def test_refusals(layer: str, path: str, message: str, hint: str) -> None:
    assert complaint(f"[{layer}]") == (f"layers[0].ReLU{path}", message, hint)
