"""Regularizers by Keras' names: what the size of a weight adds to the loss.

As in Keras the penalty of every weight that trains is part of the loss that is reported, in
training and validation. (``weight_decay`` of an optimizer shrinks weights without being in it.)
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

import torch
from torch.nn import functional

from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Table
from sepcnn.language.values import NonNegativeNumber
from sepcnn.nn.weight_rule import WeightRule, for_axes


class Regularizer(WeightRule):
    """What a weight costs."""

    table: ClassVar[Table] = Table(
        "regularizer", "keep one; both are l1_l2, as in l1_l2: {l1: 1e-5, l2: 1e-4}"
    )

    @abstractmethod
    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        """The scalar that a weight (Keras' layout) adds to the loss."""


VectorRegularizer = Annotated[Regularizer | None, for_axes(1)]
"""of one value a channel: biases and scales"""
MatrixRegularizer = Annotated[Regularizer | None, for_axes(2)]
"""of the kernel of a dense layer, inputs × outputs"""
KernelRegularizer = Annotated[Regularizer | None, for_axes(4)]
"""of the kernel of a convolution, height × width × inputs × outputs"""


class L1(Regularizer):
    """``l1 · Σ |w|``: many weights become exactly small (lasso)."""

    l1: NonNegativeNumber = 0.01
    """factor of the sum of absolute values"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l1 * weight.abs().sum()


class L2(Regularizer):
    """``l2 · Σ w²``: large weights cost most (ridge).

    There is no factor ½, as in Keras: SGD shrinks a weight by 2 · l2 · learning_rate a step.
    """

    l2: NonNegativeNumber = 0.01
    """factor of the sum of squares"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l2 * weight.square().sum()


class L1L2(Regularizer):
    """``l1 · Σ |w| + l2 · Σ w²``: both (elastic net).

    Without fields it costs nothing, as in Keras.
    """

    l1: NonNegativeNumber = 0.0
    """factor of the sum of absolute values"""
    l2: NonNegativeNumber = 0.0
    """factor of the sum of squares"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l1 * weight.abs().sum() + self.l2 * weight.square().sum()


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean absolute cosine between different rows (or columns) of a matrix.

    Keeps the directions of a dense kernel, inputs × outputs, apart from each other. A single one
    costs nothing (in Keras 0/0).
    """

    factor: NonNegativeNumber = 0.01
    """factor of that mean"""
    mode: Literal["rows", "columns"] = "rows"
    """rows: those of one input each; columns: those of one output each"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        vectors = functional.normalize(weight if self.mode == "rows" else weight.T, dim=1, eps=1e-7)
        cosines = vectors @ vectors.T
        size = len(vectors)
        different = cosines * (1 - torch.eye(size, dtype=weight.dtype, device=weight.device))
        return self.factor * different.abs().sum() / max(size * (size - 1), 1)

    def mismatch(self, axes: int) -> Mismatch | None:
        if axes == 2:
            return None
        message = "orthogonal_regularizer is for the kernel of Dense"
        return Mismatch(message, "use l1, l2 or l1_l2, or leave it out")


REGULARIZERS = Regularizer.table
REGULARIZERS.fill(
    {
        "l1": L1,
        "l2": L2,
        "l1_l2": L1L2,
        "orthogonal_regularizer": OrthogonalRegularizer,
    }
)
