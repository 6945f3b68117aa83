"""Losses by Keras' names, all computed from logits and integer labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from sepcnn.spec import Choice, Table
from sepcnn.values import Rate


class Loss(Choice):
    """The mean over a batch of how wrong the net is."""

    table: ClassVar[Table] = Table("loss")

    from_logits: bool = False
    """the net's last layer has no softmax; with false it must have one"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [*(name for name in cls.model_fields if name != "from_logits"), "from_logits"]

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """logits: float N×classes, labels: int64 N → a scalar."""
        raise NotImplementedError


class CategoricalCrossentropy(Loss):
    """``−Σ target · log(probability)``, the mean over the batch.

    Computed from logits whatever the last layer is: the value and gradient of Keras' on softmax
    outputs, without its clipping at 1e-7. The sparse name means the same here, since labels are
    always whole numbers.
    """

    label_smoothing: Rate = 0.0
    """this share of the target is spread evenly over all classes"""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Keras' other name of categorical_crossentropy, for labels that are whole numbers."""


LOSSES = Loss.table
LOSSES.fill(
    {
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    }
)
