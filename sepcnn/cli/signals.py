"""End the program at a signal such as Ctrl-C, or a run after its current step."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""signals that stop a run: Ctrl-C, a request of the system, and a closed terminal"""
INTERRUPTED = 130
"""exit code after one of these signals"""

_immediate: list[int] = []
"""exit codes of the blocks of `exit_at_once`, and of `end_with`"""


def handle() -> None:
    """Make `SIGNALS` raise KeyboardInterrupt, except those that the process ignores."""
    for number in _not_ignored():
        signal.signal(number, _interrupt)


def _not_ignored() -> list[int]:
    return [n for n in SIGNALS if signal.getsignal(n) not in (signal.SIG_IGN, None)]


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _immediate:
        os._exit(_immediate[-1])
    raise KeyboardInterrupt


@contextmanager
def exit_at_once(code: int = INTERRUPTED) -> Iterator[None]:
    """End the process with ``code`` if a signal arrives within the block, after `handle`.

    For imports: an exception in the middle of the import of a library in C may be printed, or
    replaced by another one. There is nothing to save yet.
    """
    _immediate.append(code)
    try:
        yield
    finally:
        _immediate.pop()


def end_with(code: int) -> None:
    """Let later signals end the process with ``code``, while Python ends threads and libraries."""
    _immediate.append(code)


class StopRequest:
    """A context manager that records one of `SIGNALS` in ``requested``.

    While ``deferred`` is true, the first signal only sets ``requested``, so that the run can finish
    its step and save. A second signal, or one while ``deferred`` is false, raises
    KeyboardInterrupt. Signals that the process ignores, for instance because nohup started it, stay
    ignored.
    """

    def __init__(self) -> None:
        self.requested = False
        self.deferred = False  # before the first step there is nothing to save
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in _not_ignored():
            self.previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self.deferred:
            raise KeyboardInterrupt
        self.requested = True
        # Not through sys.stderr, which may be writing a line. The terminal may be closed.
        with suppress(OSError):
            os.write(2, b"\nstopping after this step; repeat to stop without saving\n")
