"""A note on validation images that are missing, altogether or of some classes."""

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
    count = len(dataset.class_names)
    train_counts, val_counts = (
        s.labels.bincount(minlength=count) for s in (dataset.train, dataset.val)
    )
    missing = ((train_counts > 0) & (val_counts == 0)).nonzero().flatten().tolist()
    if not missing:
        return ""
    names = [dataset.class_names[label] for label in missing]
    return f"val has no images of {join_names(names)}: val metrics say nothing about them"


def join_names(names: Sequence[str]) -> str:
    """The first names, and the number of others."""
    more = f" and {len(names) - MAX_NAMES_SHOWN:,} more" if len(names) > MAX_NAMES_SHOWN else ""
    return ", ".join(names[:MAX_NAMES_SHOWN]) + more
