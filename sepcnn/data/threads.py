"""Work on many images on all cores, with the results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from sepcnn.backends.machine import processor_count

QUEUED_PER_THREAD = 4
"""results per thread that may wait to be used"""
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Generator[Result, None, None]:
    """Apply a function to items on all cores; yield the results in order.

    Threads are enough, because Pillow releases the GIL while it decodes and resizes, and so does
    hashing. Items are taken only as fast as results are used. After an interrupt, items that wait
    are dropped.
    """
    remaining, threads = iter(items), processor_count()
    first = list(islice(remaining, 2))
    if len(first) < 2:  # starting a pool takes longer than small images do
        yield from map(function, first)
        return
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque(pool.submit(function, item) for item in first)
    try:
        while waiting:
            more = islice(remaining, max(0, QUEUED_PER_THREAD * threads - len(waiting)))
            waiting.extend(pool.submit(function, item) for item in more)
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
