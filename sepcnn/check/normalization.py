"""Check that the moving statistics of batch normalization warm up within the run."""

from __future__ import annotations

from collections.abc import Iterator

from sepcnn.check.base import CheckContext, Finding
from sepcnn.training import loop
from sepcnn.training.warm_up import cold_statistics


def moving_statistics(context: CheckContext) -> Iterator[Finding]:
    """Report moving statistics that keep too much of their initial values."""
    if context.dataset is None:
        return
    steps = loop.steps_per_epoch(context.config, context.dataset.train)
    if cold := cold_statistics(context.graph, context.config.train, steps):
        yield Finding("moving_statistics", "warning", cold.message, cold.hint)
