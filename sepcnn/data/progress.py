"""How the reading of images reports its progress."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""called with the number of images read so far and the number of all images"""


def no_progress(done: int, total: int) -> None:
    """Report nothing."""
