"""Nets with their normalizations folded, beside the plain ones in inference."""

from __future__ import annotations

import pytest
import torch

from sepcnn.backends.folding import folded
from sepcnn.backends.fused import FORMS
from sepcnn.backends.native import library
from sepcnn.config.loading import load_config
from sepcnn.nn.graph import Graph, make_graph
from sepcnn.nn.layers.module import weights
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.nn.model import Net, build
from tests.conftest import CONFIGS
from tests.nn.layers.reading import read_layers

FLOAT64, FLOAT32 = 1e-10, 1e-4
"""relative to the largest logit"""
NETS = {
    "keras_sequential_bn": 64,
    "xception_mini": 64,
    "mobilenet": 64,
    "mobilenet_v2": 64,
    "xception": 71,
}
"""configs, and the size of their images here"""
ENDING = "GlobalAveragePooling2D, Dense: {units: 3, activation: softmax}"
FOLDED = {
    "convolution": "Conv2D: {filters: 4, kernel_size: 3, strides: 2, padding: same}",
    "groups": "Conv2D: {filters: 6, kernel_size: 3, groups: 3, use_bias: false}",
    "separable": "SeparableConv2D: {filters: 4, kernel_size: 3, depth_multiplier: 2}",
    "depthwise": "DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 2, use_bias: false}",
    "transposed": "Conv2DTranspose: {filters: 4, kernel_size: 2, strides: 3, use_bias: false}",
    "dense on pixels": "Dense: {units: 4, activation: linear}",
    "dense on rows": "Reshape: [9, 24], Dense: 4, BatchNormalization, Reshape: [9, 4, 1],"
    " Conv2D: {filters: 4, kernel_size: 1}",
}
"""a layer with a normalization to come"""
LEFT = {
    "an activation between": ("Dense: {units: 3, activation: relu}, BatchNormalization", 1),
    "read by several": ("Dense: 3, BatchNormalization, ReLU, Add: [re_lu, batch_normalization]", 0),
    "behind a layer that others read": (
        "Dense: 3, BatchNormalization, Add: [dense, batch_normalization]",
        1,
    ),
    "two in a row": ("Dense: 3, BatchNormalization, BatchNormalization: {renorm: true}", 0),
    "joined": ("Dense: {units: 3, inputs: input}, Add: [dense, input], BatchNormalization", 1),
    "at the front": ("BatchNormalization, BatchNormalization, Dense: 3", 2),
    "behind others": ("MaxPooling2D, BatchNormalization, Rescaling: 2, BatchNormalization", 2),
    "in a block": (
        "Residual: [ReLU, Dense: {units: 3, use_bias: false}, BatchNormalization], ReLU",
        0,
    ),
    "of any name": ("Dense: {units: 3, name: type}, BatchNormalization: {name: graph}", 0),
}
"""layers, and how many normalizations are left"""
ENDS = {
    "logits": "Dense: 3, BatchNormalization",
    "softmax": "Dense: 3, BatchNormalization, Softmax",
    "one output": "Dense: 1, BatchNormalization, Activation: sigmoid",
}


def trained(graph: Graph) -> Net:
    """A net in float64 with statistics and offsets as after some training."""
    net = build(graph, seed=1).double()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor, _ in weights(net):
            if "variance" in name:
                tensor.uniform_(0.5, 2)
            elif tensor.dim() == 1:
                tensor.add_(torch.randn(tensor.shape) * 0.2)
    return net.eval()


def read(layers: str, ending: str = ENDING) -> Net:
    return trained(make_graph(read_layers(f"[{layers}, {ending}]"), (8, 9, 3), None))


def left(net: Net) -> int:
    """Normalizations that are computed."""
    return sum(isinstance(leaf.layer, BatchNormalization) for leaf in net.graph.leaves)


def assert_same_logits(
    found: Net, net: Net, tolerance: float = FLOAT64, form: str = "plain"
) -> None:
    """Both on the same random pixels."""
    height, width, channels = net.graph.input_shape
    x = torch.randint(256, (2, channels, height, width))
    like = next(found.parameters())
    with torch.no_grad():
        expected, logits = net.logits(x.double()), found.logits(x.to(like), FORMS[form])
    torch.testing.assert_close(
        logits.double(), expected, rtol=0, atol=tolerance * expected.abs().max().item()
    )


@pytest.mark.covering("one")
@pytest.mark.parametrize("config", NETS)
def test_configs(config: str) -> None:
    size = NETS[config]
    settings = load_config(CONFIGS / f"{config}.yaml", [f"model.input_shape=[{size}, {size}, 3]"])
    net = trained(settings.graph())
    found = folded(net)
    assert left(net) > 0
    assert left(found) == 0
    assert_same_logits(found, net)
    assert_same_logits(found.float(), net, FLOAT32)
    if library.load_kernels("float32"):
        assert_same_logits(found, net, FLOAT32, "fused")


@pytest.mark.parametrize(
    "fields", ["", ": {scale: false}", ": {center: false}", ": {renorm: true}"]
)
@pytest.mark.parametrize("layers", FOLDED.values(), ids=FOLDED)
def test_layers(layers: str, fields: str) -> None:
    net = read(f"{layers}, BatchNormalization{fields}, ReLU")
    found = folded(net)
    assert left(found) == 0
    assert_same_logits(found, net)


@pytest.mark.parametrize(("layers", "count"), LEFT.values(), ids=LEFT)
def test_what_is_left(layers: str, count: int) -> None:
    net = read(layers)
    found = folded(net)
    assert left(found) == count
    assert_same_logits(found, net)


@pytest.mark.parametrize("ending", ENDS.values(), ids=ENDS)
def test_at_the_end_of_a_net(ending: str) -> None:
    net = read("GlobalAveragePooling2D", ending)
    found = folded(net)
    assert left(found) == 0
    assert_same_logits(found, net)
    x = torch.randint(256, (2, 3, 8, 9)).double()
    torch.testing.assert_close(found(x), net(x))


def test_in_inference_only_and_with_weights_of_its_own() -> None:
    net = read("Dense: 3, BatchNormalization, Dense: {units: 3, name: other}").train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    found = folded(net)
    assert not found.training
    assert net.training
    assert found.trained_weights() == {}
    assert list(found.state_dict()) == [
        *("dense.weight", "dense.bias", "other.weight", "other.bias"),
        *("dense_1.weight", "dense_1.bias"),
    ]
    with torch.no_grad():
        for tensor in found.state_dict().values():
            tensor.zero_()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_frozen_normalizations_and_statistics_of_the_data() -> None:
    net = read("Normalization, Dense: 3, BatchNormalization: {trainable: false}")
    (adapted,) = (module for name, module in net.named_children() if name == "normalization")
    adapted.adapt(torch.tensor([90.0, 100, 110]), torch.tensor([400.0, 500, 600]), 7)  # type: ignore[operator]
    found = folded(net)
    assert left(found) == 0
    assert found.state_dict()["normalization.count"] == 7
    assert_same_logits(found, net)


def test_a_net_without_weights() -> None:
    resizing = "Resizing: {height: 5, width: 5, interpolation: bicubic}"
    net = read(f"{resizing}, GlobalAveragePooling2D", "Softmax")
    x = torch.rand(2, 3, 8, 9).double()
    assert torch.equal(folded(net)(x), net(x))


def test_kernels_stay_channels_last() -> None:
    net = read("Conv2D: {filters: 4, kernel_size: 3}, BatchNormalization")
    kernel = folded(net).state_dict()["conv2d.weight"]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
