"""Tests that apply to every layer, with one row of arguments each."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from sepcnn.language.descriptions import field_descriptions
from sepcnn.language.spec import to_plain
from sepcnn.nn.graph import Graph, make_graph
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import Layer, Shape
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.model import Net, build
from sepcnn.nn.schedules import Progress
from tests.nn.layers.reading import read_layers

SHAPE: Shape = (7, 9, 3)
BRANCHES = "{ReLU: {name: a}}, {Conv2D: {name: b, filters: 3, kernel_size: 1, inputs: input}}"

ROWS: dict[str, str] = {
    "Rescaling": "{Rescaling: {scale: [1/2, 1, 2], offset: -1}}",
    "Normalization": "{Normalization: {mean: [0, 1, 2], variance: 4}}",
    "Resizing": "{Resizing: {height: 5, width: 12, interpolation: lanczos3, antialias: true, "
    "pad_to_aspect_ratio: true, fill_value: 1/2}}",
    "CenterCrop": "{CenterCrop: {height: 4, width: 10}}",
    "Conv2D": "{Conv2D: {filters: 4, kernel_size: 3, strides: 2, padding: same, activation: relu}}",
    "SeparableConv2D": "{SeparableConv2D: {filters: 4, kernel_size: [3, 2], depth_multiplier: 2}}",
    "DepthwiseConv2D": "{DepthwiseConv2D: {kernel_size: [3, 2], depth_multiplier: 2, strides: 2}}",
    "Conv2DTranspose": "{Conv2DTranspose: {filters: 4, kernel_size: [4, 3], strides: [3, 2], "
    "padding: same, activation: tanh}}",
    "BatchNormalization": "{BatchNormalization: {renorm: true, renorm_clipping: {rmin: paper, "
    "rmax: {start: 1, end: 3, after: 10%, until: 2 epochs}, dmax: 5}}}",
    "LayerNormalization": "{LayerNormalization: {axis: [1, -1]}}",
    "GroupNormalization": "{GroupNormalization: 1}",
    "Activation": "{Activation: silu}",
    "ReLU": "{ReLU: {max_value: 1, negative_slope: 0.1}}",
    "LeakyReLU": "LeakyReLU",
    "ELU": "{ELU: 0.5}",
    "PReLU": "{PReLU: {alpha_initializer: random_normal, shared_axes: 2}}",
    # Another layer must follow, because a final softmax is left to the loss.
    "Softmax": "Softmax, {Rescaling: 3}",
    "MaxPooling2D": "{MaxPooling2D: {pool_size: [2, 3], strides: 2, padding: same}}",
    "AveragePooling2D": "{AveragePooling2D: {pool_size: 3, padding: same}}",
    "GlobalAveragePooling2D": "{GlobalAveragePooling2D: {keepdims: true}}",
    "GlobalMaxPooling2D": "GlobalMaxPooling2D",
    "UpSampling2D": "{UpSampling2D: {size: [2, 3], interpolation: bilinear}}",
    "ZeroPadding2D": "{ZeroPadding2D: [[0, 1], [2, 3]]}",
    "Cropping2D": "{Cropping2D: [[0, 1], [2, 3]]}",
    "Flatten": "Flatten",
    "Reshape": "{Reshape: [3, -1, 9]}",
    "Permute": "{Permute: [3, 1, 2]}",
    "Dense": "{Dense: {units: 4, activation: tanh}}",
    "Dropout": "{Dropout: 0.4}",
    "SpatialDropout2D": "{SpatialDropout2D: 0.4}",
    "StochasticDepth": "{StochasticDepth: 0.4}",
    "GaussianNoise": "{GaussianNoise: 0.1}",
    "Add": f"{BRANCHES}, {{Add: [a, b]}}",
    "Subtract": f"{BRANCHES}, {{Subtract: [a, b]}}",
    "Multiply": f"{BRANCHES}, {{Multiply: [a, b, input]}}",
    "Average": f"{BRANCHES}, {{Average: [a, b, input]}}",
    "Maximum": f"{BRANCHES}, {{Maximum: [a, b, input]}}",
    "Minimum": f"{BRANCHES}, {{Minimum: [a, b, input]}}",
    "Concatenate": f"{BRANCHES}, {{Concatenate: [a, b]}}",
    "Residual": "{Residual: {layers: [{Conv2D: {filters: 5, kernel_size: 3, padding: same}}], "
    "shortcut: [{Conv2D: {filters: 5, kernel_size: 1}}]}}",
    "Repeat": "{Repeat: {times: 2, layers: [{Dense: 4}, ReLU]}}",
    "Parallel": "{Parallel: {branches: [[{Dense: 4}], [ReLU, {Dense: 2}]], merge: Concatenate}}",
}
RANDOM = {"Dropout", "SpatialDropout2D", "StochasticDepth", "GaussianNoise"}
DIFFERENT_IN_TRAINING = {"BatchNormalization", *RANDOM}
every_layer = pytest.mark.parametrize("name", LAYERS)


def layers_of(name: str) -> tuple[Layer, ...]:
    return read_layers(f"[{ROWS[name]}]")


def graph_of(name: str) -> Graph:
    return make_graph(layers_of(name), SHAPE)


def net_of(name: str) -> Net:
    net = build(graph_of(name)).train()
    begin_step(net, 0, Progress(step=3, steps_per_epoch=5, total_steps=10))
    return net


def images(count: int = 4) -> torch.Tensor:
    height, width, channels = SHAPE
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels, height, width, generator=generator)


def test_every_layer_has_a_row() -> None:
    assert list(ROWS) == list(LAYERS)
    for name in LAYERS:
        assert name in {layer.chosen_name for layer in layers_of(name)}


@every_layer
@pytest.mark.parametrize("count", [1, 4])
def test_the_declared_shape_is_the_output_shape(name: str, count: int) -> None:
    net = net_of(name)
    found: dict[str, tuple[int, ...]] = {}
    for leaf in net.graph.leaves:
        net.get_submodule(leaf.name).register_forward_hook(
            lambda module, inputs, output, name=leaf.name: found.update({name: output.shape})
        )
    net(images(count))
    told = {leaf.name: (count, leaf.shape[-1], *leaf.shape[:-1]) for leaf in net.graph.leaves}
    assert {name: tuple(shape) for name, shape in found.items()} == told


@every_layer
def test_gradients_reach_every_weight_and_the_input(name: str) -> None:
    net, x = net_of(name), images().requires_grad_()
    output = net(x)
    output.backward(torch.randn(output.shape, generator=torch.Generator().manual_seed(1)))
    assert x.grad is not None
    assert x.grad.count_nonzero() > 0
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.count_nonzero() > 0


@every_layer
def test_plain_data_reads_back_as_the_same_layers(name: str) -> None:
    layers = layers_of(name)
    # JSON is YAML: a resolved config is saved like this in a checkpoint.
    assert read_layers(json.dumps(to_plain(layers))) == layers


@every_layer
def test_training_differs_from_inference_only_where_it_should(name: str) -> None:
    net, x = net_of(name), images()
    trained, inferred = net(x), net.eval()(x)
    assert torch.equal(trained, inferred) == (name not in DIFFERENT_IN_TRAINING)


@every_layer
def test_training_in_bfloat16_is_near_float32(name: str) -> None:
    net, x = net_of(name), images()
    narrow = copy.deepcopy(net)
    expected = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = narrow(x)
    assert found.dtype == torch.float32
    # Two roundings of 8 bits each, and sums whose terms cancel.
    torch.testing.assert_close(found, expected, rtol=1 / 32, atol=1 / 32)


@every_layer
def test_the_memory_format_does_not_change_results(name: str) -> None:
    """Only in inference: the mask of Dropout depends on the memory format."""
    net, x = net_of(name).double().eval(), images().double()
    found = net(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, net(x), rtol=1e-12, atol=1e-12)


@every_layer
def test_images_are_independent_in_inference(name: str) -> None:
    net, x = net_of(name).double().eval(), images().double()
    alone = torch.cat([net(image[None]) for image in x])
    torch.testing.assert_close(net(x), alone, rtol=1e-12, atol=1e-12)


@every_layer
def test_the_input_is_not_overwritten(name: str) -> None:
    net, x = net_of(name), images()
    net(x)
    assert torch.equal(x, images())


@every_layer
def test_the_state_is_restored(name: str) -> None:
    """A checkpoint contains the whole state."""
    net, x = net_of(name), images()
    net(x)
    other = build(graph_of(name), seed=1)
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(x), net.eval()(x))


@every_layer
def test_documentation(name: str) -> None:
    layer = LAYERS[name]
    text = layer.__dict__["__doc__"]
    assert text
    assert len(text.splitlines()) <= 20
    undocumented = [key for key in layer.model_fields if not field_descriptions(layer).get(key)]
    assert undocumented == []
