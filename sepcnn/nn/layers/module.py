"""Base classes of layer modules, which keep the rules of their weights.

The functions act on all modules of a model: initialize the weights, begin a step, sum the
regularization penalties, apply the constraints.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from sepcnn.nn.activations import ActivationFunction
from sepcnn.nn.constraints import Constraint
from sepcnn.nn.initializers import Initializer
from sepcnn.nn.regularizers import Regularizer
from sepcnn.nn.schedules import Progress
from sepcnn.randomness import stream


@dataclass(frozen=True, slots=True)
class WeightRules:
    """Initializer, regularizer and constraint of one weight, from the config."""

    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class WeightInfo:
    """The rules of one weight, and the mapping between its layouts in Keras and torch."""

    rules: WeightRules
    keras_shape: tuple[int, ...]
    """shape in Keras layout, as height × width × inputs × outputs; rules see this layout"""
    permutation: tuple[int, ...]
    """for each torch axis, the Keras axis that it holds"""
    separate_axis: int | None = None
    """Keras axis whose slices are initialized separately, each as a weight with its own fans"""

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """Draw initial values in Keras layout, float64."""
        draw = self.rules.initializer.draw
        if self.separate_axis is None:
            return draw(self.keras_shape, generator)
        slice_shape = list(self.keras_shape)
        count, slice_shape[self.separate_axis] = slice_shape[self.separate_axis], 1
        slices = [draw(tuple(slice_shape), generator) for _ in range(count)]
        return torch.cat(slices, dim=self.separate_axis)

    def to_keras(self, weight: torch.Tensor) -> torch.Tensor:
        """Return a weight in torch layout as a tensor in Keras layout."""
        split = weight.reshape([self.keras_shape[axis] for axis in self.permutation])
        return split.permute(
            [self.permutation.index(axis) for axis in range(len(self.permutation))]
        )

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        """Write values in Keras layout into a weight in torch layout."""
        assert tuple(values.shape) == self.keras_shape
        weight.copy_(values.permute(self.permutation).reshape(weight.shape))


class LayerModule(nn.Module):
    """A module that registers each weight with its `WeightInfo`."""

    def __init__(self) -> None:
        super().__init__()
        self.weight_info: dict[str, WeightInfo] = {}

    def add_weight(
        self,
        name: str,
        rules: WeightRules,
        keras_shape: tuple[int, ...],
        permutation: tuple[int, ...] | None = None,
        shape: tuple[int, ...] | None = None,
        trainable: bool = True,
        separate_axis: int | None = None,
    ) -> None:
        """Register a parameter, or a buffer if it is not ``trainable``.

        ``permutation`` and ``separate_axis`` are explained in `WeightInfo`; ``shape`` is the torch
        shape if the permuted axes are merged.
        """
        permutation = permutation or tuple(range(len(keras_shape)))
        shape = shape or tuple(keras_shape[axis] for axis in permutation)
        self.weight_info[name] = WeightInfo(rules, keras_shape, permutation, separate_axis)
        if trainable:
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        else:
            self.register_buffer(name, torch.empty(shape))

    def add_bias(self, rules: WeightRules | None, size: int) -> None:
        """Register ``bias``; None if there are no rules."""
        if rules is None:
            self.register_parameter("bias", None)
        else:
            self.add_weight("bias", rules, (size,))


def activate(x: torch.Tensor, activation: ActivationFunction | None) -> torch.Tensor:
    """Apply an activation. It may overwrite ``x``, which must be an intermediate of the caller."""
    return x if activation is None else activation.apply(x, overwrite=True)


class StepDependentModule(LayerModule):
    """A module that depends on the training step."""

    @abstractmethod
    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        """Set buffers and random streams for the next step; ``name`` is the name of the layer."""


def begin_step(model: nn.Module, seed: int, progress: Progress) -> None:
    """Prepare every module that depends on the step. Call it before each training step."""
    for name, module in model.named_modules():
        if isinstance(module, StepDependentModule):
            module.begin_step(seed, progress, name)


def weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, WeightInfo]]:
    """Yield every weight and statistic as (name, tensor, info)."""
    for module_name, module in model.named_modules():
        if isinstance(module, LayerModule):
            for name, info in module.weight_info.items():
                full_name = f"{module_name}.{name}" if module_name else name
                yield full_name, getattr(module, name), info


@torch.no_grad()
def initialize(model: nn.Module, seed: int) -> None:
    """Draw every weight from a stream keyed by seed and name, independent of the layer order."""
    for name, tensor, info in weights(model):
        info.write(tensor, info.draw(stream(seed, "weights", name)))


def penalty(model: nn.Module) -> torch.Tensor | float:
    """Return the sum of the regularization penalties of all trainable weights."""
    return sum(
        info.rules.regularizer.penalty(info.to_keras(tensor))
        for _, tensor, info in weights(model)
        if info.rules.regularizer and tensor.requires_grad
    )


@torch.no_grad()
def constrain(model: nn.Module) -> None:
    """Apply the constraints of all weights. Call it after each training step."""
    for _, tensor, info in weights(model):
        if info.rules.constraint:
            info.write(tensor, info.rules.constraint.project(info.to_keras(tensor)))
