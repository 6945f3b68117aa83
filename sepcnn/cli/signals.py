"""How a run is stopped from outside: by a signal that is heard after the running step."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""what stops a run: Ctrl-C, the system, and a terminal that is closed"""


class Stop:
    """The wish to stop: set by one of `SIGNALS`, heard after the running step.

    A second signal does not wait: it ends the process where it is. A signal that whoever started
    the process had it ignore, as nohup does, is still ignored.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.listening = False  # before the first step there is nothing to save: end at once
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                self.previous[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.wanted or not self.listening:
            raise KeyboardInterrupt
        self.wanted = True
        # Written past the streams, which may be in the middle of a line; a terminal may be gone.
        with suppress(OSError):
            os.write(2, b"\nstopping after this step; once more to stop without saving\n")
