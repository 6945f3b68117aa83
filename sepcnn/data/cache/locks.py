"""A lock between processes, with a message while one waits for another."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def locked(path: Path, activity: str) -> Iterator[None]:
    """Hold the lock file ``path`` for the duration of the block.

    If another process holds it, a warning says that it is busy with ``activity``. Errors: OSError.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except NotImplementedError:  # from older versions of filelock on file systems without locks
        raise OSError("its file system has no locks") from None
    except Timeout:
        # Logging prints to standard error unless a program configures it otherwise.
        logging.getLogger(__name__).warning("waiting for another process, which is %s", activity)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
