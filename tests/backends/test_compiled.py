"""The compiled form: the plain one's numbers, whatever a step needs and whatever its size."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from sepcnn.backends import machine
from sepcnn.backends.compiled import Compiled
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.dataset import InMemorySplit
from sepcnn.nn.graph import make_graph
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.module import begin_step
from sepcnn.nn.model import build
from sepcnn.nn.schedules import Progress
from sepcnn.training import checkpoint
from sepcnn.training.state import State, new_state
from sepcnn.training.step import TrainingStep, backward
from tests.nn.layers.test_every_layer import SHAPE, layers_of

CPU = torch.device("cpu")
PLAIN, COMPILED = Machine(CPU, "float32", 1), Machine(CPU, "float32", 1, "compiled")
FACTS = {"class_names": list("abc"), "counts": {}, "fingerprint": "", "decoder": None}
RENORM = (
    "{BatchNormalization: {momentum: 0.9, renorm: true, "
    "renorm_clipping: {rmin: paper, dmax: 5, rmax: {start: 1, end: 3, until: 4 steps}}}}"
)
BLOCK = (
    "{SeparableConv2D: {filters: 4, kernel_size: 3, padding: same, activation: relu}}, "
    "{BatchNormalization: {momentum: 0.9}}, {StochasticDepth: 0.3}"
)
SMALL = f"{{Rescaling: 1/255}}, {{Conv2D: {{filters: 4, kernel_size: 3}}}}, {RENORM}, ReLU"
END = "GlobalAveragePooling2D, {Dropout: 0.3}, {Dense: {units: auto, activation: softmax}}"
ALL = f"{SMALL}, {{Residual: {{layers: [{BLOCK}]}}}}, {{GaussianNoise: 0.1}}, MaxPooling2D, {END}"


def config_of(folder: Path, layers: str = ALL, data: str = "") -> Config:
    path = folder / "config.yaml"
    path.write_text(
        f"model: {{input_shape: [12, 12, 3], layers: [{layers}]}}\n"
        f"data: {{source: {{Arrays: none.npz}}, {data}}}\n"
        "train: {batch_size: 8, epochs: 3, optimizer: {SGD: {learning_rate: 0.1, momentum: 0.9}}}\n"
    )
    return load_config(path)


def go(config: Config, hardware: Machine, state: State, steps: int) -> TrainingStep:
    """Steps of 8 images, each third one of 3."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 12, 12, 3), dtype=torch.uint8, generator=generator)
    split, plan = InMemorySplit(images, torch.arange(60) % 3), TrainingStep(config, hardware, 3)
    for step in range(state.step, state.step + steps):
        count = 3 if step % 3 == 2 else 8
        batch = split.read(torch.arange(count) + 5 * step)
        plan.take(state, batch, 0.1)
    return plan


def states(config: Config, steps: int, *machines: Machine) -> list[State]:
    found = [new_state(config, config.graph(3), CPU) for _ in machines]
    for hardware, state in zip(machines, found, strict=True):
        go(config, hardware, state, steps)
    return found


def assert_alike(first: State, second: State) -> None:
    ours, theirs = first.tensors(), second.tensors()
    assert list(ours) == list(theirs)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=2e-4, atol=2e-5, msg=name)


@pytest.mark.usefixtures("_without_kernels")
def test_all_that_changes_from_step_to_step(tmp_path: Path) -> None:
    """Masks and noise are those of the plain form, and limits those of the step."""
    assert_alike(*states(config_of(tmp_path), 8, PLAIN, COMPILED))


@pytest.mark.covering("one")
@pytest.mark.usefixtures("_without_kernels")
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_in_one_piece(name: str) -> None:
    """Where a graph breaks, each layer is compiled alone, and nothing is won."""
    net = build(make_graph(layers_of(name), SHAPE)).train()
    other = copy.deepcopy(net)
    for one in (net, other):
        begin_step(one, 0, Progress(3, 10, 100))
    x = torch.rand(4, 3, 7, 9).to(memory_format=torch.channels_last)
    counters.clear()
    torch.testing.assert_close(Compiled(other).logits(x), net.logits(x))
    assert not counters["graph_break"]


@pytest.mark.usefixtures("_without_kernels")
def test_nothing_is_compiled_again(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    state = new_state(config, config.graph(3), CPU)
    counters.clear()
    plan = TrainingStep(config, COMPILED, 3)
    images = torch.zeros((8, 12, 12, 3), dtype=torch.uint8)
    batch = InMemorySplit(images, torch.arange(8) % 3).read(torch.arange(8))
    graphs = []
    for _ in range(4):
        plan.take(state, batch, 0.1)
        graphs.append(counters["stats"]["unique_graphs"])
    # Before, between and behind StochasticDepth, GaussianNoise and Dropout.
    assert graphs == [4] * 4
    assert not counters["graph_break"]
    assert [type(piece) for piece in plan.compiled[state.model].pieces].count(partial) == 3


@pytest.mark.usefixtures("_without_kernels")
@pytest.mark.parametrize("hardware", [PLAIN, COMPILED], ids=lambda hardware: hardware.form)
def test_gradients_lie_in_memory_as_their_weights(tmp_path: Path, hardware: Machine) -> None:
    """Else an optimizer's operations on all weights are many kernels on a GPU, not one."""
    config = config_of(tmp_path)
    state, plan = new_state(config, config.graph(3), CPU), TrainingStep(config, hardware, 3)
    images = torch.zeros((8, 12, 12, 3), dtype=torch.uint8)
    batch = InMemorySplit(images, torch.arange(8) % 3).read(torch.arange(8))
    _, loss = plan.forward(plan.begin(state, batch), batch)
    gradients = backward(state, loss)
    for (name, weight), gradient in zip(
        state.model.trained_weights().items(), gradients, strict=True
    ):
        assert gradient.stride() == weight.stride(), name


@pytest.mark.exhaustive
@pytest.mark.usefixtures("_without_kernels")
def test_sizes_on_the_way(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, data="progressive_resizing: {start: 1/2, until: 6 steps, multiple: 2}"
    )
    state = new_state(config, config.graph(3), CPU)
    plan = go(config, COMPILED, state, 8)
    assert [net.graph.input_shape[0] for net in plan.compiled] == [6, 8, 10, 12]
    assert_alike(state, *states(config, 8, PLAIN))


@pytest.mark.exhaustive
@pytest.mark.usefixtures("_without_kernels")
def test_more_pieces_than_torch_compiles_of_itself(tmp_path: Path) -> None:
    layers = ", ".join(12 * ["{Dense: 3}, {Dropout: 0.1}"])
    config = config_of(
        tmp_path, f"Flatten, {layers}, {{Dense: {{units: auto, activation: softmax}}}}"
    )
    counters.clear()
    assert_alike(*states(config, 2, PLAIN, COMPILED))
    assert counters["stats"]["unique_graphs"] == 13


@pytest.mark.usefixtures("_without_kernels")
def test_a_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    whole = new_state(config, config.graph(3), CPU)
    go(config, COMPILED, whole, 7)
    first = new_state(config, config.graph(3), CPU)
    go(config, COMPILED, first, 4)
    checkpoint.save(tmp_path / "a.safetensors", config, FACTS, COMPILED.facts(), first)
    second = checkpoint.read(tmp_path / "a.safetensors").state(config, CPU)
    torch._dynamo.reset()  # another process
    go(config, COMPILED, second, 3)
    for name, tensor in whole.tensors().items():
        assert torch.equal(tensor, second.tensors()[name]), name


def test_with_kernels(tmp_path: Path) -> None:
    """Two pieces, forwards and backwards: as near to float32 as the plain form is."""
    if not machine.supports_compile(CPU):
        pytest.skip("torch.compile does not work here")
    config = config_of(tmp_path, f"{SMALL}, {END}")
    exact, close = states(config, 4, PLAIN, COMPILED)
    assert_alike(exact, close)
    plain, short = states(config, 4, *(replace(m, precision="bfloat16") for m in (PLAIN, COMPILED)))
    weights = [
        torch.cat([w.flatten() for w in s.tensors().values()]) for s in (exact, plain, short)
    ]
    assert (weights[2] - weights[0]).norm() < 2 * (weights[1] - weights[0]).norm()


def test_where_it_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    machine.supports_compile.cache_clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=broken))
    assert not machine.supports_compile(CPU)
    machine.supports_compile.cache_clear()


def broken(*_: object) -> object:
    raise RuntimeError("Failed to find C compiler")
