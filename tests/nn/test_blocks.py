"""docs/guide/blocks.md: every block is read, built and trained; some are compared with Keras."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from sepcnn.backends import machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.nn.layers.module import begin_step, weights
from sepcnn.nn.layers.normalization import BatchNormalization
from sepcnn.nn.model import build
from sepcnn.nn.schedules import Progress
from sepcnn.training import loop
from sepcnn.training.state import check_finite, new_state
from tests.config.test_shipped_configs import random_data
from tests.nets import pairs, share_weights, shared_weights
from tests.reference import TOLERANCE, channels_first, float64, keras
from tests.test_docs import ROOT, blocks

PAGE = ROOT / "docs" / "guide" / "blocks.md"
SHAPES = re.compile(r"# (\d+)×(\d+)×(\d+) in, (\d+)×(\d+)×(\d+) out\n")
CLASSES = 10
layers = keras.layers
convnext, efficientnet = keras.src.applications.convnext, keras.src.applications.efficientnet
mobilenet_v2 = keras.src.applications.mobilenet_v2
mobilenet_v3 = keras.src.applications.mobilenet_v3


def examples() -> dict[str, str]:
    """Every YAML example, by heading and position below it."""
    found: dict[str, str] = {}
    for section in PAGE.read_text().split("\n## ")[1:]:
        heading = section.partition("\n")[0]
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", section, re.S), start=1):
            found[f"{heading}, {number}"] = text
    return found


EXAMPLES = examples()
PIECES = {name: text for name, text in EXAMPLES.items() if SHAPES.match(text)}


def config_of(text: str, folder: Path) -> Config:
    """An example as a config; a list of layers goes between a convolution and a classifier."""
    if shapes := SHAPES.match(text):
        height, width, channels = shapes.groups()[:3]
        lines = [
            f"- Conv2D: {{filters: {channels}, kernel_size: 1}}",
            *text.splitlines(),
            "- GlobalAveragePooling2D",
            "- Dense: {units: auto, activation: softmax}",
        ]
        text = f"model:\n  input_shape: [{height}, {width}, 3]\n  layers:\n"
        text += "".join(f"    {line}\n" for line in lines)
        text += "data:\n  source: {Arrays: images.npz}\n"
    path = folder / "block.yaml"
    path.write_text(text)
    return load_config(path, ["train.batch_size=8", "train.device=cpu"])


def test_every_example_is_found() -> None:
    assert list(EXAMPLES.values()) == blocks(PAGE, "yaml")
    assert EXAMPLES.keys() - PIECES.keys() == {"A net made of blocks, 1"}


@pytest.mark.parametrize("name", PIECES)
def test_input_and_output_shapes_are_as_declared(name: str, tmp_path: Path) -> None:
    first, *_, last, _, _ = config_of(PIECES[name], tmp_path).graph(CLASSES).leaves
    shapes = SHAPES.match(PIECES[name])
    assert shapes
    assert (*first.shape, *last.shape) == tuple(map(int, shapes.groups()))


@pytest.mark.covering("one")
@pytest.mark.parametrize("name", EXAMPLES)
def test_trains_and_gradients_reach_every_weight(name: str, tmp_path: Path) -> None:
    config = config_of(EXAMPLES[name], tmp_path)
    dataset = random_data(config.model.input_shape, CLASSES, count=8)
    state = new_state(config, config.graph(CLASSES), torch.device("cpu"))
    for _ in islice(loop.train(config, dataset, machine.choose_machine("cpu"), state), 1):
        pass
    check_finite(state, state.tensors())

    begin_step(state.model, 0, Progress(step=0, steps_per_epoch=1, total_steps=1))
    state.model.zero_grad()
    logits = state.model.train().logits(dataset.train.images.permute(0, 3, 1, 2).float())
    torch.nn.functional.cross_entropy(logits, dataset.train.labels).backward()
    still = [n for n, w in state.model.named_parameters() if w.grad is None or not w.grad.any()]
    assert still == []


def squeeze_and_excite(x: keras.KerasTensor) -> keras.KerasTensor:
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(4, activation="relu")(gate)
    return layers.Multiply()([x, layers.Dense(64, activation="sigmoid")(gate)])


KERAS: dict[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    "Squeeze and excitation, 1": squeeze_and_excite,
    "Squeeze and excitation, 2": squeeze_and_excite,
    "Inverted residual, 1": lambda x: mobilenet_v2._inverted_res_block(
        x, expansion=6, stride=1, alpha=1.0, filters=24, block_id=1
    ),
    "Inverted residual, 2": lambda x: mobilenet_v2._inverted_res_block(
        x, expansion=6, stride=2, alpha=1.0, filters=32, block_id=1
    ),
    "Inverted residual with squeeze and excitation, 1": lambda x: efficientnet.block(
        x, filters_in=24, filters_out=24, expand_ratio=6, se_ratio=0.25, name="block"
    ),
    "Inverted residual with squeeze and excitation, 2": lambda x: mobilenet_v3._inverted_res_block(
        x, 6, 112, 3, 1, 0.25, mobilenet_v3.hard_swish, block_id=11
    ),
}
"""the same blocks in Keras, by its own functions if there are any"""


@pytest.fixture
def _hard_sigmoid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Keras function for MobileNetV3 multiplies by a float32 1/6; its activation does not."""
    monkeypatch.setattr(
        mobilenet_v3, "hard_sigmoid", lambda x: layers.Activation("hard_sigmoid")(x)
    )


@pytest.mark.usefixtures("_hard_sigmoid")
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", KERAS)
def test_matches_keras(name: str, training: bool, tmp_path: Path) -> None:
    """Output, gradients of every weight and, in training, the new statistics, in float64."""
    text = PIECES[name].replace("StochasticDepth: 0.1", "StochasticDepth: 0.0")
    config = config_of(text, tmp_path)
    with float64():
        pixels = keras.Input(config.model.input_shape, dtype="float64")
        first = layers.Conv2D(config.graph(CLASSES).leaves[0].shape[-1], 1)(pixels)
        last = layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(KERAS[name](first)))
        theirs = keras.Model(pixels, last)
        net = build(config.graph(CLASSES)).train(training)
    for layer, leaf in pairs(theirs, net.graph):
        if isinstance(leaf.layer, BatchNormalization):  # set by the model, not by the block
            layer.momentum = leaf.layer.momentum
    share_weights(theirs, net)
    images = np.random.default_rng(0).normal(size=(4, *config.model.input_shape))
    expected = theirs(torch.tensor(images), training=training)
    found = net.logits(channels_first(torch.tensor(images)))
    close(found, expected)
    direction = torch.linspace(-1, 1, expected.numel()).double().view(expected.shape)
    expected.backward(direction)
    found.backward(direction)
    for variable, tensor, info in shared_weights(theirs, net):
        close(info.to_keras(tensor), variable.value)
        if tensor.requires_grad:
            assert tensor.grad is not None
            close(info.to_keras(tensor.grad), variable.value.grad)


def test_convnext_matches_keras(tmp_path: Path) -> None:
    """In Keras: a grouped convolution, and a separate layer for the scale."""
    text = PIECES["ConvNeXt block, 1"].replace("StochasticDepth: 0.1", "StochasticDepth: 0.0")
    config = config_of(text, tmp_path)
    with float64():
        pixels = keras.Input(config.model.input_shape, dtype="float64")
        block = convnext.ConvNeXtBlock(96, name="block")(layers.Conv2D(96, 1)(pixels))
        theirs = keras.Model(pixels, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(block)))
        net = build(config.graph(CLASSES))
    random = np.random.default_rng(0)
    for variable, (_, tensor, info) in zip(theirs.weights, weights(net), strict=True):
        values = random.normal(size=info.keras_shape)
        variable.assign(values.reshape(variable.shape))
        with torch.no_grad():
            info.write(tensor, torch.tensor(values))
    images = random.normal(size=(2, *config.model.input_shape))
    close(net.logits(channels_first(torch.tensor(images))), theirs(torch.tensor(images)))


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Relative to the largest value; cancelled sums leave about 1e-15."""
    assert (found - expected).abs().max() < TOLERANCE * expected.abs().max().clamp(min=1e-3)
