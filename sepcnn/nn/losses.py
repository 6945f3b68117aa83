"""Losses by their names in Keras, all computed from logits and integer labels."""

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
    """A loss function: one value per image, and their mean over a batch."""

    table: ClassVar[Table] = Table("loss")
    first_arguments = 0
    is_binary: ClassVar[bool] = False
    """whether the loss is for two classes, so that the model may have one output"""

    from_logits: bool = False
    """true: the last layer outputs logits; false: probabilities, from a softmax or sigmoid"""

    @classmethod
    def own_fields(cls) -> list[str]:
        return [*(name for name in cls.model_fields if name != "from_logits"), "from_logits"]

    @abstractmethod
    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss of each image, [N], from float logits N×classes and int64 labels [N]."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the mean of `per_image`, a scalar."""
        return self.per_image(logits, labels).mean()

    @property
    def needs_one_output(self) -> bool:
        """Whether two outputs with a softmax would give another value in Keras."""
        return False

    def mismatch(self, classes: int) -> Mismatch | None:
        """Return why the loss does not fit this number of classes; None if it does."""
        if not self.is_binary or classes == 2:
            return None
        message = f"this loss is for two classes, but the model has {classes}"
        return Mismatch(message, f"write {self.chosen_name.replace('binary', 'categorical')}")


class CategoricalCrossentropy(Loss):
    """Cross-entropy ``−Σ target · log(p)``, the mean over the batch; p: probability.

    Computed from the logits even if the last layer has a softmax. Value and gradient equal those of
    Keras for softmax outputs, but without the clipping at 1e-7. Here
    ``sparse_categorical_crossentropy`` is the same loss, because labels are always integers.
    """

    label_smoothing: Rate = 0.0
    """fraction of the target that is spread evenly over all classes"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        smoothing = self.label_smoothing
        return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """The same as categorical_crossentropy; the name that Keras uses for integer labels."""


def _class_weights(value: object) -> float | tuple[float, ...]:
    found = numbers(value)
    if found and min(found) > 0:
        return found if isinstance(value, list | tuple) else found[0]
    if found:
        raise invalid(f"must be above 0, found {min(found):g}")
    raise invalid(f"expected a number above 0, or a list with one per class, found {quote(value)}")


ClassWeights = Annotated[
    float | tuple[float, ...],
    PlainValidator(_class_weights),
    WithJsonSchema(number_or_list_schema(exclusiveMinimum=0)),
]


class CategoricalFocalCrossentropy(Loss):
    """Focal loss ``−Σ alpha · (1 − p)^gamma · target · log(p)``, the mean over the batch.

    p: probability. Images that are classified correctly with confidence have little weight. Lin et
    al. 2017, arXiv:1708.02002. Computed from logits, without the clipping of Keras at 1e-7.
    """

    alpha: ClassWeights = 0.25
    """number by which the loss is multiplied, or a list of one number per class"""
    gamma: NonNegativeNumber = 2.0
    """larger values give easy images less weight; with 0 it is cross-entropy times alpha"""
    label_smoothing: Rate = 0.0
    """fraction of the target that is spread evenly over all classes"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        log_probability = functional.log_softmax(logits, dim=1)
        missing = clamp_to_tiny(-torch.expm1(log_probability))
        alpha = cached_tensor(self.alpha, logits.dtype, logits.device)
        losses = -alpha * missing**self.gamma * log_probability
        # The smoothed target is a mixture of the label and of the uniform distribution.
        label_losses = losses.gather(1, labels[:, None])[:, 0]
        return (1 - self.label_smoothing) * label_losses + self.label_smoothing * losses.mean(dim=1)

    def mismatch(self, classes: int) -> Mismatch | None:
        if isinstance(self.alpha, float) or len(self.alpha) == classes:
            return None
        message = f"alpha has {counted(len(self.alpha), 'value')}, but there are {classes} classes"
        return Mismatch(message, "give one number, or one for each class")


@cache
def cached_tensor(
    values: float | tuple[float, ...], dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return one value, or one per class, as a tensor on the device.

    Cached, because a copy to a GPU in each step would wait for the device; without eviction,
    because a CUDA graph keeps reading the tensor.
    """
    return torch.tensor(values, dtype=dtype, device=device)


class BinaryCrossentropy(Loss):
    """Cross-entropy for two classes: ``−target · log(p) − (1 − target) · log(1 − p)``.

    The mean over the batch; p: probability of the second class. Computed from logits, without the
    clipping of Keras at 1e-7. With two outputs and a softmax it equals categorical_crossentropy, as
    in Keras with one-hot labels.
    """

    is_binary = True

    label_smoothing: Rate = 0.0
    """moves targets towards ½: 1 becomes 1 − label_smoothing / 2, and 0 label_smoothing / 2"""

    def per_image(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        margin, target = margin_and_target(logits, labels, self.label_smoothing)
        return binary_crossentropy(margin, target)


class BinaryFocalCrossentropy(Loss):
    """Focal loss for two classes: ``(1 − q)^gamma · binary_crossentropy``, the batch mean.

    ``q = target · p + (1 − target) · (1 − p)``, p: probability of the second class. Lin et al.
    2017, arXiv:1708.02002. Computed from logits, without the clipping of Keras at 1e-7. As in
    Keras, q also uses the smoothed target, and alpha has no effect without apply_class_balancing.
    """

    is_binary = True

    apply_class_balancing: bool = False
    """weight the second class by alpha and the first by 1 − alpha"""
    alpha: UnitNumber = 0.25
    """weight of the second class, if apply_class_balancing is true"""
    gamma: NonNegativeNumber = 2.0
    """larger values give easy images less weight; with 0 it is binary_crossentropy"""
    label_smoothing: Rate = 0.0
    """moves targets towards ½: 1 becomes 1 − label_smoothing / 2, and 0 label_smoothing / 2"""

    @property
    def needs_one_output(self) -> bool:
        return self.apply_class_balancing  # each of two outputs would weight both classes

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
    """Return the logit of the second class minus that of the first, and its target probability."""
    target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
    return logits[:, 1] - logits[:, 0], target


def binary_crossentropy(margin: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return one value per image; unlike in torch, small losses of one class do not round to 0."""
    first, second = functional.logsigmoid(-margin), functional.logsigmoid(margin)
    return -(target * second + (1 - target) * first)


def clamp_to_tiny(x: torch.Tensor) -> torch.Tensor:
    """Replace 0, at which powers below 1 have an infinite slope and a gradient of NaN."""
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
LOSSES.accept(LOSSES.class_names() | dict.fromkeys(("bce", "BCE"), "binary_crossentropy"))
