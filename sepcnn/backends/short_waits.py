"""Threads that wait for each other sleep, instead of spinning, while others need the processors.

libgomp, the OpenMP of torch on Linux and of our kernels, lets a thread spin for up to 3 ms (300,000
rounds) at a barrier before it sleeps. On a free machine that is right: in 2 threads on 2
processors, a sleep at once costs 4 % of the speed of training. If another program runs on the
processor of one thread, the other threads spin all the time that it runs, and the scheduler has no
free processor to which it could move one of both. Next to one busy program on 2 processors,
training fell to 25 to 41 % of its speed instead of 52 to 55 % (`benchmarks/busy_machine.py`).

``GOMP_SPINCOUNT`` is read once, when torch is imported. But libgomp spins only 100 rounds while the
process has more OpenMP threads than processors (``gomp_throttled_spin_count_var`` in env.c of
libgomp). So `ShortWaits` keeps a second team of threads while other programs are busy. That team
sleeps and computes nothing.
"""

from __future__ import annotations

import os
from threading import Event, Thread
from typing import Self

import torch

from sepcnn.backends.background_load import BackgroundLoad

USER_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""variables by which a user chooses how threads wait"""
SECONDS_PER_SAMPLE = 1.0
PARALLEL_SIZE = 1 << 20
"""elements of a tensor that torch processes with all threads"""


class ShortWaits:
    """A context manager that keeps a second team of threads while other programs are busy.

    ``threads``: number of threads of this process that compute. Does nothing where the load of
    other programs is not known, or if the user chose how threads wait. Results are the same to
    the last bit.
    """

    def __init__(self, threads: int, seconds_per_sample: float = SECONDS_PER_SAMPLE) -> None:
        self.threads = threads
        self.seconds_per_sample = seconds_per_sample
        self.ended = Event()
        self.watcher = Thread(target=self._watch, name="short waits", daemon=True)
        self.team: IdleTeam | None = None

    def __enter__(self) -> Self:
        if self.threads > 1 and not any(name in os.environ for name in USER_SETTINGS):
            self.watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        if self.watcher.ident is not None:
            self.watcher.join()

    def _watch(self) -> None:
        while not self.ended.is_set():
            with BackgroundLoad() as load:
                self.ended.wait(self.seconds_per_sample)
            if load.processors is None:
                break
            self._follow(load)
        if self.team is not None:
            self.team.dissolve()

    def _follow(self, load: BackgroundLoad) -> None:
        busy = load.delays(self.threads)
        if busy and self.team is None:
            self.team = IdleTeam()
        elif not busy and self.team is not None:
            self.team.dissolve()
            self.team = None


class IdleTeam:
    """A team of OpenMP threads that sleeps until it is dissolved."""

    def __init__(self) -> None:
        self.released = Event()
        self.leader = Thread(target=self._lead, name="idle team", daemon=True)
        self.leader.start()

    def _lead(self) -> None:
        torch.ones(PARALLEL_SIZE).neg_()  # the first parallel work of a thread starts its team
        self.released.wait()

    def dissolve(self) -> None:
        """End the leader; libgomp then ends its team."""
        self.released.set()
        self.leader.join()
