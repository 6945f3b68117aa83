"""Speeds that are measured in turns, so that a machine that slows down slows all alike."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol, Self, TypeVar

Name = TypeVar("Name", bound=Hashable)
ROUNDS = 9
"""turns of each in the time there is; fewer where a step takes long"""
WARM_UP = 5
"""steps that find memory and the fastest kernels"""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of several measurements, and how far they lie apart."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        found = list(values)
        return cls(median(found), min(found), max(found))


class Runner(Protocol):
    """Something whose speed is measured."""

    def run(self, seconds: float) -> float:
        """Work for about so long, at least a step; images per second."""


class Steps(ABC):
    """Work that is done step by step."""

    images: int
    """of one step"""
    pace: float = 0.0
    """seconds a step when it was last measured"""

    @abstractmethod
    def step(self) -> None:
        """Do one step, or begin it where a GPU does the work."""

    @abstractmethod
    def wait(self) -> None:
        """Until what was begun is done."""

    def timed(self, steps: int) -> float:
        """Seconds that one of so many steps takes."""
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.wait()
        return (time.perf_counter() - start) / steps

    def warm_up(self, seconds: float) -> None:
        """The first steps, as many as fit: two, as the first may compile, to `WARM_UP`."""
        end = time.perf_counter() + seconds
        for done in range(WARM_UP):
            self.pace = self.timed(1)
            if done and time.perf_counter() + self.pace > end:
                return

    def run(self, seconds: float) -> float:
        # Counted beforehand: a clock that is read between steps would wait for a GPU, or not.
        self.pace = self.timed(max(1, round(seconds / self.pace)) if self.pace else 1)
        return self.images / self.pace


def take_turns(runners: Mapping[Name, Runner], seconds: float) -> dict[Name, list[float]]:
    """Images per second of each in every round; at least one round, however long it takes."""
    found: dict[Name, list[float]] = {name: [] for name in runners}
    turn = seconds / (ROUNDS * len(runners))
    start = time.perf_counter()
    for done in range(ROUNDS):
        spent = time.perf_counter() - start
        if done and spent * (done + 1) / done > seconds:
            break
        for name, runner in runners.items():
            found[name].append(runner.run(turn))
    return found


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> Spread:
    """How many times as fast as another, round by round."""
    return Spread.of(a / b for a, b in zip(ours, theirs, strict=True))
