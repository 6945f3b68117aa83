"""The checks of ``sepcnn check``, in the order in which they run. Each reports one topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sepcnn.check import classes, duplicates, images, inspection, layers, normalization, step
from sepcnn.check.base import CheckContext, Finding

CHECKS: dict[str, Callable[[CheckContext], Iterable[Finding]]] = {
    "data": inspection.data_problems,
    "unreadable": images.unreadable,
    "duplicates": duplicates.duplicate_images,
    "validation": classes.no_validation,
    "class counts": classes.class_counts,
    "colours": images.colours,
    "pixel values": images.pixel_values,
    "sizes": images.sizes,
    "scaling": layers.scaling,
    "stem": layers.stem,
    "single pixel": layers.single_pixel,
    "receptive field": layers.receptive_field,
    "moving statistics": normalization.moving_statistics,
    "top k": classes.top_k,
    "batch size": classes.batch_size,
    "memory": step.memory,
    "training steps": step.training_steps,
}


def findings(context: CheckContext) -> Iterator[Finding]:
    """Run every check and yield its findings."""
    for check in CHECKS.values():
        yield from check(context)
