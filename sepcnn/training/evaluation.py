"""Evaluation, in float32 and without gradients."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch.nn import functional

from sepcnn.data.batch import centre_crop
from sepcnn.data.dataset import Split
from sepcnn.nn.layers.module import penalty
from sepcnn.nn.losses import Loss
from sepcnn.nn.model import Net
from sepcnn.training import metrics
from sepcnn.training.metrics import ClassMetrics
from sepcnn.training.records import Scores

PIXELS_PER_BATCH = 1 << 20
"""pixels per evaluation batch, about: fast enough, and small in memory"""


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image that is classified wrongly."""

    index: int
    """of the image, in the evaluated splits together"""
    label: int
    predicted: int
    probability: float
    """of the predicted class"""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metrics of a model on a set of images. All but `confusion` are means or fractions."""

    loss: float
    accuracy: float
    top5: float
    """fraction of images whose class is among the 5 most likely ones"""
    macro_precision: float
    """mean over the classes that have images, not weighted by their size"""
    macro_recall: float
    """also called balanced accuracy"""
    macro_f1: float
    per_class: list[ClassMetrics]
    confusion: list[list[int]]
    """number of images [true class][predicted class]"""
    ece: float
    """expected calibration error"""
    images_per_second: float
    mistakes: list[Mistake]
    """the most probable ones first"""

    def to_json(self) -> dict[str, Any]:
        """The metrics, without the mistakes."""
        return {key: value for key, value in asdict(self).items() if key != "mistakes"}


def to_input(images: torch.Tensor) -> torch.Tensor:
    """Convert images uint8 [N, H, W, C] to the model's input: float32 N×C×H×W, channels_last."""
    return images.permute(0, 3, 1, 2).float()


@contextmanager
def inference(net: Net) -> Iterator[None]:
    """Use the model in inference mode, then restore its mode."""
    was_training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(was_training)


@torch.no_grad()
def logits_of(net: Net, split: Split) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, float32 [N, classes], and labels, int64 [N], of a split, on the CPU."""
    logits, labels = [], []
    height, width, _ = net.graph.input_shape
    size = batch_size(net.graph.input_shape)
    with inference(net):
        for indices in torch.arange(len(split)).split(size):
            batch = split.read(indices)
            logits.append(net.logits(to_input(centre_crop(batch.images, (height, width)))))
            labels.append(batch.labels)
    return torch.cat(logits).cpu(), torch.cat(labels).cpu()


def batch_size(shape: tuple[int, ...]) -> int:
    return max(1, min(256, PIXELS_PER_BATCH // (shape[0] * shape[1])))


def score(net: Net, split: Split, loss: Loss) -> Scores:
    """Mean loss, accuracy and macro metrics of a split."""
    logits, labels = logits_of(net, split)
    predicted, classes = logits.argmax(dim=1), logits.shape[1]
    correct = (predicted == labels).double().mean().item()
    confusion = metrics.confusion_matrix(predicted, labels, classes)
    means = metrics.macro(metrics.per_class(confusion, tuple(map(str, range(classes)))))
    total = total_loss(net, loss, logits, labels)
    return Scores(total, correct, macro_recall=means.recall, macro_f1=means.f1)


@torch.no_grad()
def total_loss(net: Net, loss: Loss, logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean loss plus the penalties of the regularizers, as Keras reports it."""
    return loss(logits.double(), labels).item() + float(penalty(net))


def evaluate(
    net: Net, splits: Sequence[Split], loss: Loss, class_names: tuple[str, ...]
) -> Evaluation:
    """All metrics of ``sepcnn eval``, over the images of all ``splits`` together."""
    start = time.perf_counter()
    parts = [logits_of(net, split) for split in splits]
    seconds = time.perf_counter() - start
    logits, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    probabilities = functional.softmax(logits.double(), dim=1)
    confusion = metrics.confusion_matrix(probabilities.argmax(dim=1), labels, len(class_names))
    per_class = metrics.per_class(confusion, class_names)
    means = metrics.macro(per_class)
    return Evaluation(
        loss=total_loss(net, loss, logits, labels),
        accuracy=metrics.top_k(probabilities, labels, 1),
        top5=metrics.top_k(probabilities, labels, 5),
        macro_precision=means.precision,
        macro_recall=means.recall,
        macro_f1=means.f1,
        per_class=per_class,
        confusion=confusion.tolist(),
        ece=metrics.calibration_error(probabilities, labels),
        images_per_second=len(labels) / seconds,
        mistakes=mistakes_of(probabilities, labels),
    )


def mistakes_of(probabilities: torch.Tensor, labels: torch.Tensor) -> list[Mistake]:
    """The images that are classified wrongly, the most probable mistakes first."""
    highest, predicted = probabilities.max(dim=1)
    wrong = (predicted != labels).nonzero().flatten()
    wrong = wrong[highest[wrong].argsort(descending=True, stable=True)]
    columns = (wrong, labels[wrong], predicted[wrong], highest[wrong])
    return [Mistake(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
