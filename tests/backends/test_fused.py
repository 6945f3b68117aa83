"""The fast form of whole nets compared with the plain one: outputs, gradients, statistics."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from sepcnn.backends import fused
from sepcnn.backends.fused import FORMS
from sepcnn.backends.native import library, processor
from sepcnn.config.loading import load_config
from sepcnn.nn.graph import Graph, make_graph
from sepcnn.nn.layers.module import begin_step, weights
from sepcnn.nn.model import Net, build
from sepcnn.nn.schedules import Progress
from tests.nn.layers.reading import read_layers

pytestmark = pytest.mark.skipif(
    library.load_kernels("float32") is None, reason="no C++ compiler here can build the kernels"
)
CONFIGS = Path(__file__).parents[2] / "configs"
NETS = ["keras_sequential", "keras_sequential_bn", "xception_mini"]
NOTHING = 1e-9
"""a float64 gradient with a smaller norm is 0"""
ENDING = "\n- GlobalAveragePooling2D\n- Dense: {units: 3, activation: softmax}"
SMALL = {
    "bias before a normalization": """
- SeparableConv2D: {filters: 8, kernel_size: 3}
- BatchNormalization
- ReLU
""",
    "activation before a normalization": """
- SeparableConv2D: {filters: 8, kernel_size: 3, activation: relu}
- BatchNormalization
- SeparableConv2D: {filters: 5, kernel_size: 5, activation: relu6, padding: same}
""",
    "two normalizations": """
- BatchNormalization
- BatchNormalization: {scale: false}
- SeparableConv2D: {filters: 7, kernel_size: 3}
- BatchNormalization: {center: false}
- BatchNormalization
- MaxPooling2D
""",
    "renormalization": """
- SeparableConv2D: {filters: 8, kernel_size: 3}
- BatchNormalization: {renorm: true, renorm_clipping: {rmax: 2, rmin: paper, dmax: 1}}
- ReLU: 2
- SeparableConv2D: {filters: 8, kernel_size: 3}
""",
    "frozen": """
- SeparableConv2D: {filters: 8, kernel_size: 3, trainable: false}
- BatchNormalization: {trainable: false}
- ReLU
- SeparableConv2D: {filters: 8, kernel_size: 3}
- BatchNormalization
""",
    "one channel, other activations": """
- SeparableConv2D: {filters: 1, kernel_size: 3, activation: tanh}
- SeparableConv2D: {filters: 4, kernel_size: 3}
- BatchNormalization
- LeakyReLU
- SeparableConv2D: {filters: 6, kernel_size: 3, strides: 2, padding: same}
- BatchNormalization
- SeparableConv2D: {filters: 6, kernel_size: 3, depth_multiplier: 2, padding: same}
""",
    "read twice": """
- SeparableConv2D: {filters: 8, kernel_size: 3, padding: same}
- BatchNormalization: {name: a}
- ReLU
- SeparableConv2D: {filters: 8, kernel_size: 3, padding: same}
- BatchNormalization: {name: b}
- Add: {inputs: [a, b]}
- MaxPooling2D: {pool_size: 3, strides: 2, padding: same}
""",
    "clamps, and a normalization of what was pooled": """
- SeparableConv2D: {filters: 8, kernel_size: 3}
- BatchNormalization
- MaxPooling2D
- BatchNormalization
- ReLU: 6
- SeparableConv2D: {filters: 8, kernel_size: 3, activation: relu6, use_bias: false}
- BatchNormalization: {gamma_initializer: {constant: 4}}
- ReLU
- ReLU: 2
""",
    "inverted residuals": """
- Conv2D: {filters: 8, kernel_size: 3, strides: 2, padding: same, use_bias: false}
- BatchNormalization
- ReLU: 6
- Residual:
    layers:
    - Conv2D: {filters: 16, kernel_size: 1, activation: relu6}
    - DepthwiseConv2D: {kernel_size: 3, padding: same}
    - BatchNormalization
    - ReLU: 6
    - Conv2D: {filters: 8, kernel_size: 1, use_bias: false}
    - BatchNormalization
- DepthwiseConv2D: {kernel_size: 3, padding: same, strides: 2, activation: relu}
- GlobalAveragePooling2D: {keepdims: true}
- Conv2D: {filters: 5, kernel_size: 1}
""",
    "convolutions that have no kernel": """
- Conv2D: {filters: 6, kernel_size: 3, groups: 3}
- BatchNormalization
- DepthwiseConv2D: {kernel_size: 3, depth_multiplier: 2}
- DepthwiseConv2D: {kernel_size: 3, dilation_rate: 2, padding: same}
- Conv2D: {filters: 4, kernel_size: 3}
- BatchNormalization: {name: a}
- Conv2D: {filters: 1, kernel_size: 1}
- Add: {inputs: [a, conv2d_2]}
""",
}


@pytest.fixture(params=[*NETS, *SMALL])
def graph(request: pytest.FixtureRequest) -> Graph:
    if request.param in NETS:
        return load_config(CONFIGS / f"{request.param}.yaml").graph()
    layers = (SMALL[request.param].strip() + ENDING).replace("\n", "\n  ")
    return make_graph(read_layers(layers), (14, 13, 3), 3)


def net_of(graph: Graph, dtype: torch.dtype = torch.float32) -> Net:
    net = build(graph, seed=1).to(dtype)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, tensor, _ in weights(net):
            # Statistics and offsets as after some training: none is 0 or 1.
            if "variance" in name or "stddev" in name:
                tensor.copy_(torch.rand(tensor.shape) + 0.5)
            elif tensor.dim() == 1:
                tensor.add_(torch.randn(tensor.shape) * 0.2)
                tensor[::3].neg_()  # a negative scale reverses the order of values
    begin_step(net, 0, Progress(0, 10, 100))
    return net


def run(
    graph: Graph, form: str, dtype: torch.dtype = torch.float32, bfloat16: bool = False
) -> dict[str, torch.Tensor]:
    """Logits in training and in inference, every gradient and every statistic."""
    net = net_of(graph, dtype)
    height, width, channels = graph.input_shape
    pixels = torch.randint(256, (6, height, width, channels))
    x = pixels.permute(0, 3, 1, 2).to(dtype)
    context = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
    net.train()
    with context:
        logits = net.logits(x, FORMS[form])
    loss = functional.cross_entropy(logits, torch.arange(6) % logits.shape[1])
    trained = net.trained_weights()
    gradients = torch.autograd.grad(loss, list(trained.values()))
    found = {"logits": logits.detach(), **dict(zip(trained, gradients, strict=True))}
    found |= {f"statistic {name}": value.clone() for name, value in net.named_buffers()}
    net.eval()
    with torch.no_grad(), context:
        found["inference"] = net.logits(x, FORMS[form])
    return found


def distance(found: torch.Tensor, exact: torch.Tensor) -> float:
    return ((found.double() - exact).norm() / exact.norm()).item()


@pytest.mark.covering("values")
@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
def test_as_near_to_the_exact_net_as_the_plain_form(graph: Graph, bfloat16: bool) -> None:
    """A net amplifies rounding errors; the plain form measures by how much. Float64 is exact."""
    exact = run(graph, "plain", torch.float64)
    plain, fused = (run(graph, form, bfloat16=bfloat16) for form in ("plain", "fused"))
    assert fused.keys() == exact.keys()
    # The gradient of a bias before a normalization is 0; what is computed is only noise.
    names = [name for name in exact if exact[name].norm() > NOTHING]
    times, least = (4, 0.1) if bfloat16 else (3, 1e-5)
    for name in names:
        most = times * distance(plain[name], exact[name]) + least
        assert distance(fused[name], exact[name]) <= most, name


@pytest.mark.parametrize(
    ("name", "classes"),
    [("keras_sequential_bn", 10), ("xception_mini", 10), ("cifar10", 10), ("mobilenet_v2", 1000)],
)
def test_kernels_compute_everything_from_images_to_pooling(name: str, classes: int) -> None:
    """Kernels read a layer's weights; only a layer without a kernel is called."""
    graph = load_config(CONFIGS / f"{name}.yaml").graph(classes)
    net, called = build(graph), list[str]()
    for layer, module in net.named_children():
        module.register_forward_hook(lambda *_, layer=layer: called.append(layer))
    height, width, channels = graph.input_shape
    net.train().logits(torch.zeros(2, channels, height, width), FORMS["fused"])
    pooling = called.index("global_average_pooling2d")
    assert called[:pooling] == []
    assert set(called[pooling + 1 :]) <= {"dropout", "dense", "dense_1"}


def test_under_autocast_all_images_have_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also images of layers that return float32, as Normalization does: its kernels are slower."""
    layers = read_layers(
        """
  - Normalization: {mean: [100, 110, 120], variance: 900}
  - SeparableConv2D: {filters: 8, kernel_size: 3}
  - BatchNormalization
  - LeakyReLU
  - SeparableConv2D: {filters: 8, kernel_size: 3}
  - MaxPooling2D
  - GlobalAveragePooling2D
  - Dense: 3
"""
    )
    net, types = build(make_graph(layers, (14, 13, 3), 3)), list[torch.dtype]()
    original = fused.convolve

    def watched(x: torch.Tensor, *others: Any) -> Any:
        types.append(x.dtype)
        return original(x, *others)

    monkeypatch.setattr(fused, "convolve", watched)
    with torch.autocast("cpu", torch.bfloat16):
        net.logits(torch.full((2, 3, 14, 13), 100.0), FORMS["fused"])
    assert types == [torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize(
    ("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)], ids=["native", "not"]
)
def test_layers_without_kernels_compute_in_a_type_that_the_processor_multiplies(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: torch.dtype
) -> None:
    """Between kernels images are bfloat16 in both cases."""
    layers = read_layers(
        """
  - SeparableConv2D: {filters: 8, kernel_size: 3}
  - Conv2D: {filters: 4, kernel_size: 5, name: large}
  - SeparableConv2D: {filters: 8, kernel_size: 3}
  - GlobalAveragePooling2D
  - Dense: {units: 3, name: last}
"""
    )
    net, types = build(make_graph(layers, (14, 13, 3), 3)), dict[str, torch.dtype]()
    for name in ("large", "last"):
        net.get_submodule(name).register_forward_hook(
            lambda module, inputs, y, name=name: types.__setitem__(name, y.dtype)
        )
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: native)
    original, read = fused.convolve, list[torch.dtype]()

    def watched(x: torch.Tensor, *others: Any) -> Any:
        read.append(x.dtype)
        return original(x, *others)

    monkeypatch.setattr(fused, "convolve", watched)
    with torch.autocast("cpu", torch.bfloat16):
        logits = net.logits(torch.full((2, 3, 14, 13), 100.0), FORMS["fused"])
    assert types == {"large": expected, "last": expected}
    assert read == [torch.bfloat16, torch.bfloat16]
    assert logits.dtype == torch.float32
