"""Progress of reading images."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""called with the number of images read so far and the total"""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""
