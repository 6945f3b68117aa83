"""What validation images cannot tell: of which classes there are none."""

from __future__ import annotations

from collections.abc import Sequence

from sepcnn.data.dataset import Dataset

SHOWN = 5
"""names that a line holds"""


def validation_note(dataset: Dataset, share: float) -> str:
    """What a run should know of its validation images; empty where there is nothing to say.

    ``share`` was to be held out where the set brings none: with 0, none are wanted.
    """
    if dataset.val is None:
        if not share:
            return ""
        found = f"none of the {len(dataset.train):,} training images was held out to validate on"
        return f"{found} (validation: {share:g}): the best epoch is that of the training images"
    count = len(dataset.class_names)
    trained, validated = (s.labels.bincount(minlength=count) for s in (dataset.train, dataset.val))
    lacking = ((trained > 0) & (validated == 0)).nonzero().flatten().tolist()
    if not lacking:
        return ""
    names = [dataset.class_names[label] for label in lacking]
    return f"val has no images of {join_names(names)}: nothing is measured of them"


def join_names(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
