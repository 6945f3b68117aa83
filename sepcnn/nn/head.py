"""The head of a model: its last layer, split into logits and activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from sepcnn.language.mismatch import Mismatch
from sepcnn.nn import activations
from sepcnn.nn.layers.activation import Activation, Softmax
from sepcnn.nn.layers.base import LeafLayer
from sepcnn.nn.losses import Loss

ONE_OUTPUT_PER_CLASS = "Dense: {units: auto, activation: softmax}"
"""the last layer that fits any number of classes"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last layer split from its softmax or sigmoid, because losses are exact from logits.

    A single output z without a softmax is for two classes, with the logits [0, z]:
    ``softmax([0, z]) = [1 − sigmoid(z), sigmoid(z)]``.
    """

    layer: LeafLayer | None
    """the last layer without its activation; None if it is only an activation"""
    activation: Literal["softmax", "sigmoid"] | None
    """the activation that was split off"""
    outputs: int | None
    """number of outputs; None if it is not known, or if the output is not a vector"""

    @property
    def is_binary(self) -> bool:
        """Whether a single output is for two classes."""
        return self.outputs == 1 and self.activation != "softmax"

    @property
    def is_multi_label(self) -> bool:
        """Whether each output is an independent sigmoid."""
        return self.activation == "sigmoid" and not self.is_binary

    @property
    def classes(self) -> int | None:
        """The number of classes; None if it is not known."""
        return 2 if self.is_binary else self.outputs

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """Return the logits, N×classes, from the output of `layer`."""
        if not self.is_binary:
            return output
        return torch.cat([torch.zeros_like(output), output], dim=1)

    def apply_activation(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the output of the model, N×classes: probabilities if it has an activation."""
        if self.activation is None:
            return logits
        if self.is_multi_label:
            return torch.sigmoid(logits)
        return torch.softmax(logits, dim=1)

    def mismatch(self, loss: Loss) -> Mismatch | None:
        """Return why a loss does not fit this head; None if it does."""
        name = loss.chosen_name
        if self.activation and loss.from_logits:
            message = f"the last layer has a {self.activation}, but the loss has"
            hint = f"remove the {self.activation} or from_logits"
            return Mismatch(f"{message} from_logits: true", hint)
        if self.is_binary and not loss.is_binary:
            message = f"the model has one output, but {name} expects one per class"
            if not loss.from_logits:
                return Mismatch(
                    message, f"write loss: binary_crossentropy, or end with {ONE_OUTPUT_PER_CLASS}"
                )
            binary = "{binary_crossentropy: {from_logits: true}}"
            return Mismatch(message, f"write loss: {binary}, or end with Dense: auto")
        if loss.is_binary and not self.is_binary:
            end = "Dense: 1" if loss.from_logits else "Dense: {units: 1, activation: sigmoid}"
            if loss.needs_one_output:
                message = f"{name} with class balancing expects one output"
                return Mismatch(message, f"end with {end}")
            if not self.activation:
                message = f"{name} expects one output, or two with a softmax"
                if self.outputs:
                    message += f", found {self.outputs} without a softmax"
                return Mismatch(message, f"end with {end}")
        if not self.activation and not loss.from_logits:
            missing = "sigmoid" if self.is_binary else "softmax"
            message = f"the last layer has no {missing}, but {name} expects probabilities"
            hint = f"write loss: {{{name}: {{from_logits: true}}}}"
            return Mismatch(message, f"add activation: {missing}, or {hint}")
        return None


def split_head(layer: LeafLayer, outputs: int | None) -> Head:
    """Split the activation from the last layer of a model."""
    function = getattr(layer, "activation", None)
    if isinstance(layer, Softmax) or isinstance(function, activations.Softmax):
        activation: Literal["softmax", "sigmoid"] = "softmax"
    elif isinstance(function, activations.Sigmoid):
        activation = "sigmoid"
    else:
        return Head(layer, None, outputs)
    only_activation = isinstance(layer, Softmax | Activation)
    rest = None if only_activation else layer.model_copy(update={"activation": None})
    return Head(rest, activation, outputs)
