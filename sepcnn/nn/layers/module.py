"""What the module of a layer is: weights that know their rules, and no other hidden state.

The functions here go over all modules of a net: draw the weights, begin a step, add up what the
regularizers cost, hold weights to their constraints.
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
class Rules:
    """What the config says of one weight: how it is drawn, what it costs, what it is held to."""

    initializer: Initializer
    regularizer: Regularizer | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A weight's rules, which see it in Keras' layout, and the way to torch's."""

    rules: Rules
    keras_shape: tuple[int, ...]
    axes: tuple[int, ...]
    separate_axis: int | None = None
    """axis of Keras' shape whose slices are drawn one by one, each as a weight of its own"""

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """First values in Keras' layout, float64."""
        draw = self.rules.initializer.draw
        if self.separate_axis is None:
            return draw(self.keras_shape, generator)
        slice_shape = list(self.keras_shape)
        count, slice_shape[self.separate_axis] = slice_shape[self.separate_axis], 1
        slices = [draw(tuple(slice_shape), generator) for _ in range(count)]
        return torch.cat(slices, dim=self.separate_axis)

    def to_keras(self, weight: torch.Tensor) -> torch.Tensor:
        """A weight of torch's layout in Keras'."""
        split = weight.reshape([self.keras_shape[axis] for axis in self.axes])
        return split.permute([self.axes.index(axis) for axis in range(len(self.axes))])

    def write(self, weight: torch.Tensor, values: torch.Tensor) -> None:
        """Set a weight of torch's layout to values in Keras'."""
        assert tuple(values.shape) == self.keras_shape
        weight.copy_(values.permute(self.axes).reshape(weight.shape))


class LayerModule(nn.Module):
    """A module with weights that know how they are drawn, and with no other hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.recipes: dict[str, Recipe] = {}

    def add_weight(
        self,
        name: str,
        rules: Rules,
        keras_shape: tuple[int, ...],
        axes: tuple[int, ...] | None = None,
        shape: tuple[int, ...] | None = None,
        trainable: bool = True,
        separate_axis: int | None = None,
    ) -> None:
        """Register a weight or a statistic.

        ``axes`` orders Keras' axes as torch does; ``shape`` is torch's where axes merge;
        ``separate_axis`` is told in `Recipe`.
        """
        axes = axes or tuple(range(len(keras_shape)))
        shape = shape or tuple(keras_shape[axis] for axis in axes)
        self.recipes[name] = Recipe(rules, keras_shape, axes, separate_axis)
        if trainable:
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        else:
            self.register_buffer(name, torch.empty(shape))

    def add_bias(self, rules: Rules | None, size: int) -> None:
        """Register ``bias``, or None in its place."""
        if rules is None:
            self.register_parameter("bias", None)
        else:
            self.add_weight("bias", rules, (size,))


def activate(x: torch.Tensor, activation: ActivationFunction | None) -> torch.Tensor:
    """The activated tensor; ``x`` must belong to the calling layer, for it may be overwritten."""
    return x if activation is None else activation.apply(x, overwrite=True)


class SteppedModule(LayerModule):
    """A module that something must be told before each training step."""

    @abstractmethod
    def begin_step(self, seed: int, progress: Progress, name: str) -> None:
        """Set buffers and random streams for the coming step; ``name`` is the layer's."""


def begin_step(model: nn.Module, seed: int, progress: Progress) -> None:
    """Tell every module that asks for it where the run stands: the one call before a step."""
    for name, module in model.named_modules():
        if isinstance(module, SteppedModule):
            module.begin_step(seed, progress, name)


def weights(model: nn.Module) -> Iterator[tuple[str, torch.Tensor, Recipe]]:
    """Every weight and statistic with its name and its recipe."""
    for module_name, module in model.named_modules():
        if isinstance(module, LayerModule):
            for name, recipe in module.recipes.items():
                full_name = f"{module_name}.{name}" if module_name else name
                yield full_name, getattr(module, name), recipe


@torch.no_grad()
def initialize(model: nn.Module, seed: int) -> None:
    """Draw every weight from the stream (seed, its name): independent of the order of layers."""
    for name, tensor, recipe in weights(model):
        recipe.write(tensor, recipe.draw(stream(seed, "weights", name)))


def penalty(model: nn.Module) -> torch.Tensor | float:
    """What the regularizers of all weights that train add to the loss."""
    return sum(
        recipe.rules.regularizer.penalty(recipe.to_keras(tensor))
        for _, tensor, recipe in weights(model)
        if recipe.rules.regularizer and tensor.requires_grad
    )


@torch.no_grad()
def constrain(model: nn.Module) -> None:
    """Hold every weight to its constraint: after a training step."""
    for _, tensor, recipe in weights(model):
        if recipe.rules.constraint:
            recipe.write(tensor, recipe.rules.constraint.project(recipe.to_keras(tensor)))
