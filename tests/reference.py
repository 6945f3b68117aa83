"""Real Keras for comparisons: the same arguments, weights and inputs, in float64.

Every test that uses Keras imports it from here (`from tests.reference import keras`), so that the
backend is torch and layers of float64 compute in float64. Other tests do not wait for its import.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sepcnn.language.spec import Context
from sepcnn.nn.layers import LAYERS
from sepcnn.nn.layers.base import LeafLayer, Shape
from sepcnn.nn.layers.module import LayerModule, WeightInfo, begin_step, weights
from sepcnn.nn.model import Net
from sepcnn.nn.schedules import Progress

os.environ["KERAS_BACKEND"] = "torch"

import keras
from keras.src.backend.common import dtypes

# Keras on torch computes float64 layers in float32 wherever it promotes types.
dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"

Array = NDArray[np.float64]

TOLERANCE = 1e-10
"""relative; sums in a different order differ by about 1e-15"""

UNITS = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-9}
"""the largest relative error of one rounding"""
ROUNDINGS = 8
"""of a value in a layer: weight, product, sum, bias, activation, and in the backward pass"""

KERAS_NAMES: dict[str, dict[str, str]] = {
    "Conv2D": {"weight": "kernel", "bias": "bias"},
    "SeparableConv2D": {
        "depthwise.weight": "depthwise_kernel",
        "pointwise.weight": "pointwise_kernel",
        "pointwise.bias": "bias",
    },
    "DepthwiseConv2D": {"weight": "kernel", "bias": "bias"},
    "Conv2DTranspose": {"weight": "kernel", "bias": "bias"},
    "Dense": {"weight": "kernel", "bias": "bias"},
    "PReLU": {"weight": "alpha"},
    "LayerNormalization": {"weight": "gamma", "bias": "beta"},
    "GroupNormalization": {"weight": "gamma", "bias": "beta"},
    "BatchNormalization": {
        "weight": "gamma",
        "bias": "beta",
        **{name: name for name in ("moving_mean", "moving_variance", "moving_stddev")},
        **{name: name for name in ("renorm_mean", "renorm_stddev")},
    },
}


def assert_close(found: torch.Tensor, expected: torch.Tensor | Array) -> None:
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=TOLERANCE, atol=1e-3 * TOLERANCE)


def kolmogorov_smirnov(first: Array, second: Array) -> float:
    """The Kolmogorov-Smirnov distance of two samples, divided by its critical value at 0.1 %.

    Below 1, the samples may be of the same distribution.
    """
    first, second = np.sort(first, axis=None), np.sort(second, axis=None)
    values = np.concatenate([first, second])
    below = [np.searchsorted(x, values, side="right") / len(x) for x in (first, second)]
    distance = np.abs(below[0] - below[1]).max()
    critical = math.sqrt(-math.log(1e-3 / 2) / 2 * (1 / len(first) + 1 / len(second)))
    return float(distance / critical)


@contextmanager
def float64() -> Iterator[None]:
    """Make layers of Keras and of sepcnn whose weights are float64 from the start."""
    torch.set_default_dtype(torch.float64)
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        keras.config.set_dtype_policy("float32")


def channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(-1, 1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, -1)


class SideBySide:
    """One layer of Keras and the same layer of sepcnn, with the same random weights."""

    theirs: keras.Layer
    ours: nn.Module

    def __init__(
        self, kind: str, arguments: Mapping[str, Any], *shapes: Shape, first: bool = False
    ) -> None:
        """``first``: both use channels first, Keras in the layer and sepcnn in the config."""
        self.kind, self.shapes, self.first = kind, shapes, first
        self.random = np.random.default_rng(0)
        ours = {name: value for name, value in arguments.items() if name != "data_format"}
        spec = LAYERS[kind].model_validate(ours, context=Context(channels_first=first))
        assert isinstance(spec, LeafLayer)
        batch_shapes = [(None, *(s[-1:] + s[:-1] if first else s)) for s in shapes]
        with float64():
            self.theirs = getattr(keras.layers, kind)(**arguments)
            self.theirs.build(batch_shapes if len(shapes) > 1 else batch_shapes[0])
            self.ours = spec.build(*shapes)
        if any(weights(self.ours)):
            self._share_weights()
            begin_step(self.ours, 0, Progress(step=0, steps_per_epoch=1, total_steps=1))

    def weights(self) -> Iterator[tuple[str, torch.Tensor, keras.Variable, WeightInfo]]:
        """Each weight and statistic of our layer, with the variable of Keras."""
        for name, tensor, info in weights(self.ours):
            yield name, tensor, getattr(self.theirs, KERAS_NAMES[self.kind][name]), info

    @torch.no_grad()
    def _share_weights(self) -> None:
        shared = list(self.weights())
        assert len(shared) == len(self.theirs.weights)
        for name, tensor, variable, info in shared:
            # Statistics that are roots or squares must be positive.
            positive = name.endswith(("variance", "stddev"))
            draw = self.random.uniform if positive else self.random.normal
            variable.assign(draw(0.5, 2.0, size=variable.shape))
            info.write(tensor, variable.value)

    def compare(self, batch: int = 2, training: bool = True) -> None:
        """Compare output, gradients and statistics of one step on random inputs."""
        untrained = copy.deepcopy(self.ours).train(training)
        arrays = [self.random.normal(size=(batch, *shape)) for shape in self.shapes]
        x_theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
        x_ours = [torch.tensor(x, requires_grad=True) for x in arrays]
        for variable in self.theirs.trainable_variables:
            variable.value.grad = None
        self.ours.zero_grad()

        inputs = list(map(channels_first, x_theirs)) if self.first else x_theirs
        expected = self.theirs(inputs if len(inputs) > 1 else inputs[0], training=training)
        expected = channels_last(expected) if self.first else expected
        found = channels_last(self.ours.train(training)(*map(channels_first, x_ours)))
        direction = torch.tensor(self.random.normal(size=expected.shape))
        expected.backward(direction)
        found.backward(direction)

        assert_close(found, expected)
        for our_input, keras_input in zip(x_ours, x_theirs, strict=True):
            assert our_input.grad is not None
            assert_close(our_input.grad, keras_input.grad)
        for _, tensor, variable, info in self.weights():
            assert_close(info.to_keras(tensor), variable.value)
            if tensor.requires_grad:
                assert tensor.grad is not None
                assert_close(info.to_keras(tensor.grad), variable.value.grad)

        inputs = [channels_first(torch.tensor(x)) for x in arrays]
        for dtype in UNITS:
            compare_narrow(untrained, inputs, channels_first(direction), dtype)


# ── lower precision ────────────────────────────────────────────────────────────────────────────


def results(module: nn.Module, inputs: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Gradients and buffers of a module after a step."""
    gradients = {f"gradient of input {i}": x.grad for i, x in enumerate(inputs)}
    gradients |= {f"gradient of {name}": weight.grad for name, weight in module.named_parameters()}
    known = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    assert known.keys() == gradients.keys()
    return {**known, **dict(module.named_buffers())}


@torch.no_grad()
def largest_before_activation(module: nn.Module, inputs: list[torch.Tensor]) -> float:
    """The largest output of a layer with weights without its activation; 0 without weights."""
    linear = copy.deepcopy(module)
    for part in linear.modules():
        if isinstance(part, LayerModule) and hasattr(part, "activation"):
            part.activation = None
    return linear(*inputs).abs().max().item() if any(weights(linear)) else 0.0


def compare_narrow(
    module: nn.Module, inputs: Sequence[torch.Tensor], direction: torch.Tensor, dtype: torch.dtype
) -> None:
    """Compare a layer in float32, or with bfloat16 autocast and inputs, with itself in float64.

    Both get inputs, weights and the gradient of the output rounded to the narrow type, so that
    maxima and the kinks of activations are at the same values.

    A sum of n terms of random signs is about √n times a term, and so is the sum of the rounding
    errors of the terms: relative to the largest value of a tensor, the error is a few units. The
    partial sums are rounded n times, in float32 in both cases: √n units of float32. If values
    cancel to nearly 0, the error is relative to the values before: inputs, weights and gradients
    of about 1, and the input of a final activation. A normalization divides the remainder of
    values that cancel by at least √epsilon, in float32.
    """
    narrow = copy.deepcopy(module).float()
    wide = copy.deepcopy(narrow).double()
    x_narrow = [x.to(dtype).requires_grad_() for x in inputs]
    x_wide = [x.detach().double().requires_grad_() for x in x_narrow]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y_narrow = narrow(*x_narrow)
    y_wide = wide(*x_wide)
    # If only one of the two is 0, they are on different sides of the kink of a relu.
    direction = direction.to(dtype).masked_fill((y_narrow == 0) != (y_wide == 0), 0)
    y_narrow.backward(direction.to(y_narrow.dtype))
    y_wide.backward(direction.double())
    found = {"output": y_narrow, **results(narrow, x_narrow)}
    expected = {"output": y_wide, **results(wide, x_wide)}
    terms = max(x.numel() for x in [direction, *inputs])
    statistics = dict(module.named_buffers())
    gain = max(1.0, getattr(module, "epsilon", 1.0) ** -0.5)
    scale = max(1.0, largest_before_activation(wide, x_wide))
    for name, value in expected.items():
        # Statistics are float32 also for bfloat16 inputs.
        unit, by = (UNITS[torch.float32], 1.0) if name in statistics else (UNITS[dtype], gain)
        assert torch.equal(found[name].isfinite(), value.isfinite()), name
        # A limit of renorm may be infinite.
        error = (found[name].double() - value).nan_to_num().abs().max()
        bound = ROUNDINGS * (unit + UNITS[torch.float32] * math.sqrt(terms) * by)
        bound *= max(scale, value.nan_to_num(posinf=0).abs().max().item())
        assert error <= bound, f"{name} in {dtype}: {error:.3g} off, {bound:.3g} allowed"


def paired_weights(
    ours: Net, theirs: keras.Sequential
) -> Iterator[tuple[str, torch.Tensor, keras.Variable, WeightInfo]]:
    """Each weight and statistic of a sequential net, with the variable of Keras."""
    layers = dict(zip((leaf.name for leaf in ours.graph.leaves), theirs.layers, strict=True))
    for name, tensor, info in weights(ours):
        layer_name, _, weight_name = name.partition(".")
        layer = layers[layer_name]
        yield name, tensor, getattr(layer, KERAS_NAMES[type(layer).__name__][weight_name]), info
