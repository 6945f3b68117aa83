"""The models of keras.applications that are shipped as configs, compared with Keras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.nn.layers.dropout import Dropout
from sepcnn.nn.model import Net, build
from sepcnn.nn.summary import summarize
from tests.conftest import CONFIGS
from tests.nets import pairs, share_weights
from tests.reference import KERAS_NAMES, TOLERANCE, channels_first, float64, keras


@dataclass(frozen=True)
class Application:
    """A model twice: the name of a config, and module and function in Keras."""

    config: str
    module: Any
    function: str

    def theirs(self, size: int, **options: Any) -> keras.Model:
        make = getattr(self.module, self.function)
        return make(weights=None, input_shape=(size, size, 3), **options)

    def ours(self, *overrides: str) -> Config:
        return load_config(CONFIGS / f"{self.config}.yaml", overrides)


APPLICATIONS = [
    Application("xception", keras.applications.xception, "Xception"),
    Application("mobilenet", keras.applications.mobilenet, "MobileNet"),
    Application("mobilenet_v2", keras.applications.mobilenet_v2, "MobileNetV2"),
]
each = pytest.mark.parametrize("application", APPLICATIONS, ids=lambda a: a.config)


def multiply_adds(layer: keras.Layer) -> int:
    """Kernel sizes times output pixels, independent of the counts of sepcnn."""
    kernels = [w for w in layer.weights if "kernel" in w.name]
    return sum(math.prod(w.shape) for w in kernels) * math.prod(layer.output.shape[1:-1])


@each
def test_every_layer_matches_keras(application: Application) -> None:
    config = application.ours()
    theirs, graph = application.theirs(config.model.input_shape[0]), config.graph()
    summary = summarize(graph)
    lines = {line.name: line for line in summary.layers}
    with torch.device("meta"):
        net = Net(graph)
    for layer, leaf in pairs(theirs, graph):
        assert leaf.shape == layer.output.shape[1:]
        module: Any = net.get_submodule(leaf.name)
        shapes = {
            f"{part}.{name}" if part else name: info.keras_shape
            for part, owner in module.named_modules()
            for name, info in getattr(owner, "weight_info", {}).items()
        }
        names = KERAS_NAMES[leaf.layer.chosen_name]
        assert {names[name]: shape for name, shape in shapes.items()} == {
            weight.name: tuple(weight.shape) for weight in layer.weights
        }
        line = lines[leaf.name]
        assert line.params == layer.count_params()
        assert line.trainable_params == sum(math.prod(w.shape) for w in layer.trainable_weights)
        assert line.macs == multiply_adds(layer)
        # Padding may be written differently; the logits are compared.
        for field in ("strides", "dilation_rate", "momentum", "epsilon"):
            assert getattr(leaf.layer, field, None) == getattr(layer, field, None)
    rates = [layer.rate for layer in theirs.layers if isinstance(layer, keras.layers.Dropout)]
    assert [leaf.layer.rate for leaf in graph.leaves if isinstance(leaf.layer, Dropout)] == rates
    assert summary.total("params") == theirs.count_params()
    assert summary.total("macs") == sum(map(multiply_adds, theirs.layers))


@pytest.mark.covering("one")
@each
@pytest.mark.parametrize("size", [96, 75])  # strides meet even sizes only, odd ones too
def test_logits_match_keras(application: Application, size: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(2, size, size, 3)).astype(np.float64)
    config = application.ours(f"model.input_shape=[{size}, {size}, 3]")
    with float64():
        pixels = keras.Input((size, size, 3), dtype="float64")
        theirs = application.theirs(size, input_tensor=pixels, classifier_activation=None)
        net = build(config.graph()).eval()
    share_weights(theirs, net)
    with torch.no_grad():
        prepared = application.module.preprocess_input(images.copy())
        expected = theirs(torch.tensor(prepared), training=False)
        found = net.logits(channels_first(torch.tensor(images)))
    assert found.dtype == expected.dtype == torch.float64
    assert (found - expected).abs().max() < TOLERANCE * expected.abs().max()
    # The output depends on the images: their logits differ.
    assert (expected[0] - expected[1]).abs().max() > 0.01 * expected.abs().max()
