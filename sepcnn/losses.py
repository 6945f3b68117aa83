"""Losses by Keras' names, all computed from logits and integer labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from sepcnn.spec import Choice, Table
from sepcnn.values import NonNegativeNumber, PositiveNumber, Rate


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


class CategoricalFocalCrossentropy(Loss):
    """``−Σ alpha · (1 − p)^gamma · target · log(p)``, the mean over the batch; p: probability.

    Lin et al. 2017, arXiv:1708.02002: what the net is sure of counts little. Computed from logits,
    without Keras' clipping at 1e-7. ``alpha`` is one number, where Keras also takes one a class.
    """

    alpha: PositiveNumber = 0.25
    """factor of the whole loss"""
    gamma: NonNegativeNumber = 2.0
    """how much less sure cases count; 0 is the plain cross-entropy times alpha"""
    label_smoothing: Rate = 0.0
    """this share of the target is spread evenly over all classes"""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log_probability = functional.log_softmax(logits, dim=1)
        # Not 0, where the slope of a power below 1 is infinite and its gradient not a number.
        smallest = torch.finfo(logits.dtype).tiny
        missing = (-torch.expm1(log_probability)).clamp(min=smallest)
        losses = -self.alpha * missing**self.gamma * log_probability
        # The target is a mixture of the label's class and of all classes alike.
        of_label = losses.gather(1, labels[:, None]).mean()
        return (1 - self.label_smoothing) * of_label + self.label_smoothing * losses.mean()


LOSSES = Loss.table
LOSSES.fill(
    {
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
    }
)
