"""How much other programs used the processors while something was measured."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

STATISTICS = Path("/proc/stat")
IDLE = (3, 4, 8, 9)
"""columns of its first line that are no work: idle, waiting for disks, and guests, counted twice"""


class BackgroundLoad:
    """From its ``with`` on; known where the system keeps count, as Linux does.

    What a machine's owner takes from a virtual machine counts, too.
    """

    processors: float | None = None
    """how many others used on average, after the end; None where nobody knows"""

    def __enter__(self) -> Self:
        self._begin = (time.perf_counter(), _all_seconds(), _own_seconds())
        return self

    def __exit__(self, *_: object) -> None:
        begin, busy, own = self._begin
        after = _all_seconds()
        if busy is not None and after is not None:
            others = after - busy - (_own_seconds() - own)
            self.processors = max(0.0, others) / (time.perf_counter() - begin)


def _all_seconds() -> float | None:
    """Seconds of work of all processors since the machine started."""
    with suppress(OSError, ValueError):
        columns = STATISTICS.read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(ticks) for at, ticks in enumerate(columns) if at not in IDLE)
        return ticks / os.sysconf("SC_CLK_TCK")
    return None


def _own_seconds() -> float:
    """Of this process, and of those it started that have ended."""
    return sum(os.times()[:4])
