"""Notes on validation and test images that are missing, altogether or of some classes."""

from __future__ import annotations

from collections.abc import Sequence

from sepcnn.data.dataset import Dataset

MAX_NAMES_SHOWN = 5


def validation_note(dataset: Dataset, share: float) -> str:
    """A note if there are no validation images, or none of some training classes; else empty.

    ``share`` is ``data.validation``, the share to hold out. 0 means that none are wanted.
    """
    if dataset.val is None:
        if not share:
            return ""
        images = f"{len(dataset.train):,} training images"
        message = f"none of the {images} is held out for validation (validation: {share:g})"
        return f"{message}: the best epoch is chosen by training images"
    return missing_classes_note(dataset, "val")


def missing_classes_note(dataset: Dataset, name: str) -> str:
    """A note if the split ``name`` lacks some training classes; else empty."""
    split, count = dataset.splits().get(name), len(dataset.class_names)
    if split is None:
        return ""
    train_counts, counts = (s.labels.bincount(minlength=count) for s in (dataset.train, split))
    missing = ((train_counts > 0) & (counts == 0)).nonzero().flatten().tolist()
    if not missing:
        return ""
    names = [dataset.class_names[label] for label in missing]
    return f"{name} has no images of {join_names(names)}: {name} metrics say nothing about them"


def join_names(names: Sequence[str]) -> str:
    """The first names, and the number of others."""
    more = f" and {len(names) - MAX_NAMES_SHOWN:,} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more
