"""Losses by Keras' names, all computed from logits and integer labels."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import Annotated, ClassVar

import torch
from pydantic import PlainValidator, WithJsonSchema
from torch.nn import functional

from sepcnn.language.messages import invalid, quote
from sepcnn.language.mismatch import Mismatch
from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import (
    NonNegativeNumber,
    Rate,
    UnitNumber,
    number_or_list_schema,
    numbers,
)
from sepcnn.wording import counted


class Loss(Choice):
    """How wrong the net is: one value an image, and their mean over a batch."""

    table: ClassVar[Table] = Table("loss")
    is_binary: ClassVar[bool] = False
    """it is for two classes, so that the net may have one output"""

    from_logits: bool = False
    """the net's last layer has no softmax or sigmoid; with false it must have one"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [*(name for name in cls.model_fields if name != "from_logits"), "from_logits"]

    @abstractmethod
    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """logits: float N×classes, labels: int64 N → N."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean of `each`, a scalar."""
        return self.per_image(logits, labels).mean()

    @property
    def needs_one_output(self) -> bool:
        """Whether two outputs with a softmax would give another number in Keras."""
        return False

    def mismatch(self, classes: int) -> Mismatch | None:
        """Why it cannot be taken for so many classes, and what to do about it."""
        if not self.is_binary or classes == 2:
            return None
        message = f"is for two classes, but there are {classes}"
        return Mismatch(message, f"write {self.chosen_name.replace('binary', 'categorical')}")


class CategoricalCrossentropy(Loss):
    """``−Σ target · log(probability)``, the mean over the batch.

    Computed from logits whatever the last layer is: the value and gradient of Keras' on softmax
    outputs, without its clipping at 1e-7. The sparse name means the same here, since labels are
    always whole numbers.
    """

    label_smoothing: Rate = 0.0
    """this share of the target is spread evenly over all classes"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        smoothing = self.label_smoothing
        return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """Keras' other name of categorical_crossentropy, for labels that are whole numbers."""


def _class_weights(value: object) -> float | tuple[float, ...]:
    found = numbers(value)
    if found and min(found) > 0:
        return found if isinstance(value, list | tuple) else found[0]
    raise invalid(f"expected a number above 0, or a list with one a class, found {quote(value)}")


ClassWeights = Annotated[
    float | tuple[float, ...],
    PlainValidator(_class_weights),
    WithJsonSchema(number_or_list_schema(exclusiveMinimum=0)),
]


class CategoricalFocalCrossentropy(Loss):
    """``−Σ alpha · (1 − p)^gamma · target · log(p)``, the mean over the batch; p: probability.

    Lin et al. 2017, arXiv:1708.02002: what the net is sure of counts little. Computed from logits,
    without Keras' clipping at 1e-7.
    """

    alpha: ClassWeights = 0.25
    """factor of the whole loss, or a list of factors, one a class"""
    gamma: NonNegativeNumber = 2.0
    """how much less sure cases count; 0 is the plain cross-entropy times alpha"""
    label_smoothing: Rate = 0.0
    """this share of the target is spread evenly over all classes"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log_probability = functional.log_softmax(logits, dim=1)
        missing = clamp_to_tiny(-torch.expm1(log_probability))
        alpha = cached_tensor(self.alpha, logits.dtype, logits.device)
        losses = -alpha * missing**self.gamma * log_probability
        # The target is a mixture of the label's class and of all classes alike.
        of_label = losses.gather(1, labels[:, None])[:, 0]
        return (1 - self.label_smoothing) * of_label + self.label_smoothing * losses.mean(dim=1)

    def mismatch(self, classes: int) -> Mismatch | None:
        if isinstance(self.alpha, float) or len(self.alpha) == classes:
            return None
        message = f"alpha has {counted(len(self.alpha), 'value')}, but there are {classes} classes"
        return Mismatch(message, "give one number, or one for each class")


@cache
def cached_tensor(
    values: float | tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """One number or one a class. Kept, since a copy to a GPU in each step would wait for it, and
    for good, since a CUDA graph goes on reading it.
    """
    return torch.tensor(values, dtype=dtype, device=device)


class BinaryCrossentropy(Loss):
    """``−target · log(p) − (1 − target) · log(1 − p)``, the mean over the batch.

    p: probability of the second class. Computed from logits, without Keras' clipping at 1e-7. On
    two outputs with a softmax it is categorical_crossentropy, as it is in Keras on one-hot labels.
    """

    is_binary = True

    label_smoothing: Rate = 0.0
    """the target is this share nearer to 1/2: half of it from the label's class"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        margin, target = margin_and_target(logits, labels, self.label_smoothing)
        return binary_crossentropy(margin, target)


class BinaryFocalCrossentropy(Loss):
    """``(1 − q)^gamma · binary_crossentropy``, the mean over the batch;
    ``q = target · p + (1 − target) · (1 − p)``, p: probability of the second class.

    Lin et al. 2017, arXiv:1708.02002. Computed from logits, without Keras' clipping at 1e-7. As in
    Keras, a smoothed target is that of all factors, and there is no alpha unless asked for.
    """

    is_binary = True

    apply_class_balancing: bool = False
    """count the second class alpha times, the first 1 − alpha times"""
    alpha: UnitNumber = 0.25
    """weight of the second class, where classes are balanced"""
    gamma: NonNegativeNumber = 2.0
    """how much less sure cases count; 0 is binary_crossentropy"""
    label_smoothing: Rate = 0.0
    """the target is this share nearer to 1/2: half of it from the label's class"""

    @property
    def needs_one_output(self) -> bool:
        return self.apply_class_balancing  # each of two would weigh the other's class too

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        margin, target = margin_and_target(logits, labels, self.label_smoothing)
        missing = target * torch.sigmoid(-margin) + (1 - target) * torch.sigmoid(margin)
        losses = clamp_to_tiny(missing) ** self.gamma * binary_crossentropy(margin, target)
        if self.apply_class_balancing:
            losses = (target * self.alpha + (1 - target) * (1 - self.alpha)) * losses
        return losses


def margin_and_target(
    logits: torch.Tensor, labels: torch.Tensor, smoothing: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The logit of the second class against the first, and what its probability should be."""
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return logits[:, 1] - logits[:, 0], target


def binary_crossentropy(margin: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """One value an image; exact at both ends, where torch's own rounds that of one class to 0."""
    first, second = functional.logsigmoid(-margin), functional.logsigmoid(margin)
    return -(target * second + (1 - target) * first)


def clamp_to_tiny(x: torch.Tensor) -> torch.Tensor:
    """Not 0, where the slope of a power below 1 is infinite and its gradient not a number."""
    return x.clamp(min=torch.finfo(x.dtype).tiny)


LOSSES = Loss.table
LOSSES.fill(
    {
        "categorical_crossentropy": CategoricalCrossentropy,
        "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
        "categorical_focal_crossentropy": CategoricalFocalCrossentropy,
        "binary_crossentropy": BinaryCrossentropy,
        "binary_focal_crossentropy": BinaryFocalCrossentropy,
    }
)
