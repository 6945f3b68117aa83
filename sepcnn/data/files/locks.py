"""A lock that processes share, and the word that is said while one waits for another."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def held(lock: Path, what: str) -> Iterator[None]:
    """Hold the lock file; where another process has it, one line says ``what`` it is doing.

    Errors: OSError.
    """
    shared = FileLock(lock)
    try:
        shared.acquire(timeout=0)
    except NotImplementedError:  # older versions of filelock, where a file system has no locks
        raise OSError("its file system has no locks") from None
    except Timeout:
        # Through logging, which prints on standard error unless a program wants it elsewhere.
        logging.getLogger(__name__).warning("waiting for another process, which is %s", what)
        shared.acquire()
    try:
        yield
    finally:
        shared.release()
