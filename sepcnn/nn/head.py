"""What the end of a net means: which logits it gives, and how probabilities follow from them."""

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
"""the end that fits any number of classes"""


@dataclass(frozen=True, slots=True)
class Head:
    """The last layer without its softmax or sigmoid, for losses are exact from logits.

    One output z, other than a softmax of it, is for two classes with the logits [0, z]:
    ``softmax([0, z]) = [1 − sigmoid(z), sigmoid(z)]``.
    """

    layer: LeafLayer | None
    """what is left of the last layer; None: nothing"""
    activation: Literal["softmax", "sigmoid"] | None
    """what was taken off"""
    outputs: int | None
    """None: not known, or not one value each"""

    @property
    def is_binary(self) -> bool:
        """Whether one output stands for two classes."""
        return self.outputs == 1 and self.activation != "softmax"

    @property
    def is_multi_label(self) -> bool:
        """Whether each output is a yes or no of its own."""
        return self.activation == "sigmoid" and not self.is_binary

    @property
    def classes(self) -> int | None:
        return 2 if self.is_binary else self.outputs

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """N×classes, from what `layer` gives."""
        if not self.is_binary:
            return output
        return torch.cat([torch.zeros_like(output), output], dim=1)

    def apply_activation(self, logits: torch.Tensor) -> torch.Tensor:
        """N×classes, what the whole net gives: probabilities if there was an activation."""
        if self.activation is None:
            return logits
        if self.is_multi_label:
            return torch.sigmoid(logits)
        return torch.softmax(logits, dim=1)

    def mismatch(self, loss: Loss) -> Mismatch | None:
        """Why a loss cannot follow, and what to do about it."""
        name = loss.chosen_name
        if self.activation and loss.from_logits:
            message = f"the last layer ends in a {self.activation}, but the loss says"
            hint = f"remove the {self.activation}, or from_logits"
            return Mismatch(f"{message} from_logits: true", hint)
        if self.is_binary and not loss.is_binary:
            message = f"the net has one output, but {name} expects one for each class"
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
                return Mismatch(message, f"end with {end}")
        if not self.activation and not loss.from_logits:
            missing = "sigmoid" if self.is_binary else "softmax"
            message = f"the last layer has no {missing}, but {name} expects probabilities"
            hint = f"write loss: {{{name}: {{from_logits: true}}}}"
            return Mismatch(message, f"add activation: {missing}, or {hint}")
        return None


def split_head(layer: LeafLayer, outputs: int | None) -> Head:
    """The ending of a net whose last layer this is."""
    function = getattr(layer, "activation", None)
    if isinstance(layer, Softmax) or isinstance(function, activations.Softmax):
        activation: Literal["softmax", "sigmoid"] = "softmax"
    elif isinstance(function, activations.Sigmoid):
        activation = "sigmoid"
    else:
        return Head(layer, None, outputs)
    nothing_left = isinstance(layer, Softmax | Activation)
    rest = None if nothing_left else layer.model_copy(update={"activation": None})
    return Head(rest, activation, outputs)
