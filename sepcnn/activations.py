"""Activation functions by Keras' names: each a spec that can be applied to a tensor."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch.nn import functional

from sepcnn.spec import Choice, Table


class ActivationFunction(Choice):
    """A function of a tensor."""

    table: ClassVar[Table] = Table("activation")

    @abstractmethod
    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        """The activated tensor, of the same shape; axis 1 holds the channels.

        ``overwrite`` allows the result to take the place of ``x``, which then must be no one
        else's: a pass over memory is saved.
        """


class Linear(ActivationFunction):
    """The value itself."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return x


class Relu(ActivationFunction):
    """max(x, 0)."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.relu(x, inplace=overwrite)


class Relu6(ActivationFunction):
    """min(max(x, 0), 6)."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.relu6(x)


class Sigmoid(ActivationFunction):
    """1 / (1 + exp(−x))."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.sigmoid(x)


class Silu(ActivationFunction):
    """x · sigmoid(x), also called swish. Ramachandran et al. 2017, arXiv:1710.05941."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return functional.silu(x)


class Tanh(ActivationFunction):
    """Hyperbolic tangent."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.tanh(x)


class Softmax(ActivationFunction):
    """exp(x) over the sum of exp over the channels."""

    def apply(self, x: torch.Tensor, overwrite: bool = False) -> torch.Tensor:
        return torch.softmax(x, dim=1)


ACTIVATIONS = ActivationFunction.table
ACTIVATIONS.fill(
    {
        "linear": Linear,
        "relu": Relu,
        "relu6": Relu6,
        "sigmoid": Sigmoid,
        "silu": Silu,
        "softmax": Softmax,
        "tanh": Tanh,
    }
)
