"""The group of processes that train together. Currently this is always a single process.

The training loop already uses this interface, so that distributed training would not change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class World:
    """A process (``rank``) in a group of ``size``.

    All processes must make the same collective calls.
    """

    rank: int = 0
    size: int = 1

    @property
    def main(self) -> bool:
        """Whether this process prints and writes files."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor over all processes (collective)."""
        return values

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process (collective)."""
        return flag
