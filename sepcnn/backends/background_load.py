"""Measure how many processors other programs use."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

STATISTICS = Path("/proc/stat")
IDLE = (3, 4, 8, 9)
"""columns of the first line to leave out: idle, waiting for disks, and guests, which are also
counted elsewhere
"""
MIN_LOAD = 0.25
"""processors that other programs take from the threads of a run, above which they delay it"""


class BackgroundLoad:
    """A context manager that measures the load of other programs within its block, on Linux.

    Includes time that the host takes from a virtual machine.
    """

    processors: float | None = None
    """average number of processors used by others, set at the end; None if it is not known"""

    def __enter__(self) -> Self:
        self._begin = (time.perf_counter(), _all_seconds(), _own_seconds())
        return self

    def __exit__(self, *_: object) -> None:
        self.measure()

    def measure(self) -> float | None:
        """Set and return ``processors``, the average since the begin of the block."""
        begin, busy_before, own_before = self._begin
        busy = _all_seconds()
        if busy_before is not None and busy is not None:
            others = busy - busy_before - (_own_seconds() - own_before)
            self.processors = max(0.0, others) / (time.perf_counter() - begin)
        return self.processors

    def delays(self, threads: int) -> bool:
        """Whether others use processors that ``threads`` threads of this process need."""
        total = os.cpu_count() or 1
        return self.processors is not None and self.processors - (total - threads) > MIN_LOAD


def _all_seconds() -> float | None:
    """Return the busy seconds of all processors since the machine started; None if unknown."""
    with suppress(OSError, ValueError):
        columns = STATISTICS.read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(ticks) for column, ticks in enumerate(columns) if column not in IDLE)
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


def _own_seconds() -> float:
    """Return the processor seconds of this process and its finished child processes."""
    return sum(os.times()[:4])
