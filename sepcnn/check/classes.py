"""Check the number of images per class and split, and the settings that depend on it."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.check.base import CheckContext, Finding, Severity, images
from sepcnn.config.consistency import balance_note
from sepcnn.data.class_balance import BALANCED, NOTABLE_IMBALANCE
from sepcnn.data.sources.array_checks import FROM_1, counted_from_1
from sepcnn.data.validation import join_names
from sepcnn.wording import counted

FEW_IMAGES = 20
"""a class with fewer training images than this is reported"""
VERY_UNEVEN = 10
"""ratio of class sizes that is a warning; from `NOTABLE_IMBALANCE` it is a note"""


def no_validation(context: CheckContext) -> Iterator[Finding]:
    """Report a data set without validation images. A small set may have none left to hold out."""
    if context.dataset and context.dataset.val is None:
        message = "there are no validation images: the best epoch is chosen by training images"
        hint = "add images for a val split, or increase data.validation"
        yield Finding("no_validation", "warning", message, hint)


def class_counts(context: CheckContext) -> Iterator[Finding]:
    """Report classes without images in a split, with few images, or with many more than others."""
    dataset = context.dataset
    if dataset is None:
        return
    counts = {
        name: split.labels.bincount(minlength=len(dataset.class_names)).tolist()
        for name, split in dataset.splits().items()
    }
    for name, split_counts in counts.items():
        missing = [c for c, n in zip(dataset.class_names, split_counts, strict=True) if not n]
        if missing:
            severity: Severity = "error" if name == "train" else "warning"
            them = "it" if len(missing) == 1 else "them"
            effect = f"the model cannot learn {them}"
            if name != "train":
                effect = f"{name} metrics say nothing about {them}"
            message = f"{name} has no images of {join_names(missing)}: {effect}"
            hint = f"add images of {them} to {name}"
            if counted_from_1(dataset.train.labels):
                hint = f"{FROM_1}; else {hint}"
            yield Finding("missing_classes", severity, message, hint)
    train = sorted((n, c) for c, n in zip(dataset.class_names, counts["train"], strict=True) if n)
    few = [f"{c} ({n})" for n, c in train if n < FEW_IMAGES]
    if few:
        message = f"{join_names(few)} has" if len(few) == 1 else f"{join_names(few)} have"
        message += f" fewer than {FEW_IMAGES} training images"
        yield Finding("few_images", "warning", message, "add images, or use data.augment")
    yield from imbalance(context, train)


def imbalance(context: CheckContext, train: list[tuple[int, str]]) -> Iterator[Finding]:
    """Report uneven classes that the config does not balance, and classes balanced twice.

    ``train`` is (number of training images, class name), in ascending order.
    """
    if text := balance_note(context.config.train):
        yield Finding("imbalance", "warning", text, "remove one of them")
    (least, small), (most, large) = train[0], train[-1]
    if most < NOTABLE_IMBALANCE * least or balanced(context):
        return
    severity: Severity = "warning" if most >= VERY_UNEVEN * least else "note"
    message = f"{large} has {most / least:.1f} × as many training images as {small}"
    message += f" ({most:,} and {least:,})"
    hint = "accuracy says little about small classes: try train.class_weights: balanced"
    yield Finding("imbalance", severity, message, hint)


def balanced(context: CheckContext) -> bool:
    """Return whether the config uses class weights or balanced sampling."""
    train = context.config.train
    return train.class_weights is not None or train.sampling == BALANCED


def top_k(context: CheckContext) -> Iterator[Finding]:
    """Report that top-5 accuracy is meaningless with at most five classes."""
    classes = len(context.dataset.class_names) if context.dataset else 0
    if 0 < classes <= 5:
        message = f"top-5 accuracy is always 100 % with {counted(classes, 'class')}"
        yield Finding("top_k", "note", message, "use accuracy and the per-class metrics")


def batch_size(context: CheckContext) -> Iterator[Finding]:
    """Report a batch size that is larger than the training set."""
    if context.dataset is None:
        return
    size, count = context.config.train.batch_size, len(context.dataset.train)
    if size > count:
        message = f"batch_size {size:,} is larger than the training set of {images(count)}"
        hint = f"one step per epoch learns slowly: try batch_size: {max(1, min(64, count // 8))}"
        yield Finding("batch_size", "warning", message, hint)
