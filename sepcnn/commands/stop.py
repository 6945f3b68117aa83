"""How a run is stopped from outside: by a signal that is heard after the running step."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""what stops a run: Ctrl-C, the system, and a terminal that is closed"""


class Stop:
    """The wish to stop: set by SIGINT and SIGTERM, heard after the running step.

    A second signal does not wait: it ends the process where it is.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.listening = False  # before the first step there is nothing to save: end at once
        self.previous: dict[int, object] = {}

    def __enter__(self) -> Stop:
        for number in SIGNALS:
            self.previous[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.wanted or not self.listening:
            raise KeyboardInterrupt
        self.wanted = True
        # Written past the streams, which may be in the middle of a line; a terminal may be gone.
        with suppress(OSError):
            os.write(2, b"\nstopping after this step; once more to stop without saving\n")
