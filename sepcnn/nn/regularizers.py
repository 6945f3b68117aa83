"""Regularizers by their names in Keras: penalties on weights that are added to the loss.

As in Keras, the reported training and validation losses include the penalties of all trainable
weights. (The ``weight_decay`` of an optimizer shrinks weights without changing the loss.)
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
    """A penalty on one weight."""

    table: ClassVar[Table] = Table(
        "regularizer", "keep one; for both write l1_l2: {l1: 1e-5, l2: 1e-4}"
    )

    @abstractmethod
    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the penalty of a weight (Keras layout), a scalar."""


VectorRegularizer = Annotated[Regularizer | None, for_axes(1)]
"""for weights with one axis: biases and factors of normalizations"""
MatrixRegularizer = Annotated[Regularizer | None, for_axes(2)]
"""for kernels of Dense, inputs × outputs"""
KernelRegularizer = Annotated[Regularizer | None, for_axes(4)]
"""for kernels of convolutions, height × width × inputs × outputs"""


class L1(Regularizer):
    """``l1 · Σ |w|`` (lasso): drives many weights to nearly 0."""

    l1: NonNegativeNumber = 0.01
    """multiplies the sum of absolute values"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l1 * weight.abs().sum()


class L2(Regularizer):
    """``l2 · Σ w²`` (ridge): penalizes large weights most.

    As in Keras there is no factor ½: SGD multiplies weights by 1 − 2 · l2 · learning_rate per step.
    """

    l2: NonNegativeNumber = 0.01
    """multiplies the sum of squares"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l2 * weight.square().sum()


class L1L2(Regularizer):
    """``l1 · Σ |w| + l2 · Σ w²`` (elastic net).

    Without fields the penalty is 0, as in Keras.
    """

    l1: NonNegativeNumber = 0.0
    """multiplies the sum of absolute values"""
    l2: NonNegativeNumber = 0.0
    """multiplies the sum of squares"""

    def penalty(self, weight: torch.Tensor) -> torch.Tensor:
        return self.l1 * weight.abs().sum() + self.l2 * weight.square().sum()


class OrthogonalRegularizer(Regularizer):
    """``factor`` times the mean absolute cosine between different rows (or columns) of a kernel.

    Only for Dense, whose kernel is inputs × outputs; keeps rows (or columns) close to
    orthogonal. With a single row (or column) the penalty is 0 (in Keras 0/0).
    """

    factor: NonNegativeNumber = 0.01
    """multiplies the mean absolute cosine"""
    mode: Literal["rows", "columns"] = "rows"
    """compare rows, the weights of each input, or columns, the weights of each output"""

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
REGULARIZERS.accept(REGULARIZERS.class_names() | {"l1l2": "l1_l2"})
