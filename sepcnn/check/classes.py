"""How many images each class has in each split, and what the net makes of the classes."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.check.base import Finding, Severity, Subject, images
from sepcnn.config.consistency import balance_note
from sepcnn.data.class_balance import BALANCED, UNEVEN
from sepcnn.data.validation import listed
from sepcnn.wording import counted

FEW = 20
"""training images of a class below which little is learnt of it"""
VERY_UNEVEN = 10
"""as UNEVEN, for a warning"""


def no_validation(subject: Subject) -> Iterator[Finding]:
    """No images by which the best epoch is chosen: of small sets none may be held out."""
    if subject.dataset and subject.dataset.val is None:
        message = "there are no validation images: the best epoch is that of the training images"
        hint = "add images of a split val, or let data.validation be larger"
        yield Finding("no_validation", "warning", message, hint)


def class_counts(subject: Subject) -> Iterator[Finding]:
    """Classes that a split lacks, that have few images, or many more than others."""
    dataset = subject.dataset
    if dataset is None:
        return
    counts = {
        name: split.labels.bincount(minlength=len(dataset.class_names)).tolist()
        for name, split in dataset.splits().items()
    }
    for name, of_split in counts.items():
        missing = [c for c, n in zip(dataset.class_names, of_split, strict=True) if not n]
        if missing:
            severity: Severity = "error" if name == "train" else "warning"
            what = "they cannot be learnt" if name == "train" else "nothing is measured of them"
            message = f"{name} has no images of {listed(missing)}: {what}"
            yield Finding("missing_classes", severity, message, f"add images of them to {name}")
    train = sorted((n, c) for c, n in zip(dataset.class_names, counts["train"], strict=True) if n)
    few = [f"{c} ({n})" for n, c in train if n < FEW]
    if few:
        message = f"{listed(few)} has" if len(few) == 1 else f"{listed(few)} have"
        message += f" fewer than {FEW} training images"
        yield Finding("few_images", "warning", message, "add images, and augment")
    yield from imbalance(subject, train)


def imbalance(subject: Subject, train: list[tuple[int, str]]) -> Iterator[Finding]:
    """Unless the config does something about it, and where it does so twice."""
    if text := balance_note(subject.config.train):
        yield Finding("imbalance", "warning", text, "take one of them out")
    (least, small), (most, large) = train[0], train[-1]
    if most < UNEVEN * least or balanced(subject):
        return
    severity: Severity = "warning" if most >= VERY_UNEVEN * least else "note"
    message = f"{large} has {most / least:.1f} × as many training images as {small}"
    message += f" ({most:,} and {least:,})"
    hint = "accuracy says little of small classes: try train.class_weights: balanced"
    yield Finding("imbalance", severity, message, hint)


def balanced(subject: Subject) -> bool:
    """Whether training weighs or draws the classes evenly."""
    train = subject.config.train
    return train.class_weights is not None or train.sampling == BALANCED


def top_k(subject: Subject) -> Iterator[Finding]:
    """A top 5 of five classes or fewer holds every class."""
    classes = len(subject.dataset.class_names) if subject.dataset else 0
    if 0 < classes <= 5:
        message = f"top-5 accuracy is always 100 % with {counted(classes, 'class')}"
        yield Finding("top_k", "note", message, "look at accuracy and at the classes' own figures")


def batch_size(subject: Subject) -> Iterator[Finding]:
    """A batch that holds the whole set makes one step of an epoch."""
    if subject.dataset is None:
        return
    size, count = subject.config.train.batch_size, len(subject.dataset.train)
    if size > count:
        message = f"batch_size {size:,} is more than the {images(count)} to train on"
        hint = f"one step an epoch learns slowly: try batch_size: {max(1, min(64, count // 8))}"
        yield Finding("batch_size", "warning", message, hint)
