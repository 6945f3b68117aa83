"""Metrics of predictions, from class probabilities and true labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

CALIBRATION_BINS = 15
"""number of confidence bins, as in Guo et al. 2017, arXiv:1706.04599"""


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """The metrics of one class; 0/0 counts as 0."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


def confusion_matrix(predicted: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Number of images, int64 [true class, predicted class]."""
    cells = torch.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes)


def per_class(confusion: torch.Tensor, names: tuple[str, ...]) -> list[ClassMetrics]:
    """Precision, recall and F1 of each class."""
    counts = confusion.double()
    hits, support, claimed = counts.diagonal(), counts.sum(1), counts.sum(0)
    precision = hits / claimed.clamp(min=1)
    recall = hits / support.clamp(min=1)
    f1 = 2 * hits / (support + claimed).clamp(min=1)
    columns = (precision.tolist(), recall.tolist(), f1.tolist(), support.long().tolist())
    return [ClassMetrics(name, *row) for name, *row in zip(names, *columns, strict=True)]


@dataclass(frozen=True, slots=True)
class MacroMetrics:
    """Unweighted means over the classes that have images; NaN if none has."""

    precision: float
    recall: float
    """also called balanced accuracy"""
    f1: float


def macro(classes: list[ClassMetrics]) -> MacroMetrics:
    """The macro metrics, from the metrics of each class."""
    present = [c for c in classes if c.support]

    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values) if values else math.nan

    return MacroMetrics(
        precision=mean([c.precision for c in present]),
        recall=mean([c.recall for c in present]),
        f1=mean([c.f1 for c in present]),
    )


def top_k(probabilities: torch.Tensor, labels: torch.Tensor, k: int) -> float:
    """Fraction of images whose class is among the k most likely ones."""
    k = min(k, probabilities.shape[1])
    likeliest = probabilities.topk(k, dim=1).indices
    return (likeliest == labels[:, None]).any(dim=1).double().mean().item()


def calibration_error(probabilities: torch.Tensor, labels: torch.Tensor) -> float:
    """Expected calibration error: mean |confidence − accuracy| of 15 bins, weighted by bin size."""
    confidence, predicted = probabilities.double().max(dim=1)
    correct = (predicted == labels).double()
    bins = (confidence * CALIBRATION_BINS).long().clamp(0, CALIBRATION_BINS - 1)
    gaps = torch.zeros(CALIBRATION_BINS, dtype=torch.float64)
    gaps.index_add_(0, bins, confidence - correct)
    return (gaps.abs().sum() / len(labels)).item()
