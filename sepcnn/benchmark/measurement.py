"""Interleaved measurement of speeds: if the machine slows down, all candidates slow down."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Protocol, Self, TypeVar

Name = TypeVar("Name", bound=Hashable)
ROUNDS = 9
"""number of rounds; fewer if steps are slow"""
WARM_UP_STEPS = 5
"""steps that are not measured, because they allocate memory and select kernels"""


@dataclass(frozen=True, slots=True)
class MedianRange:
    """Median and range of several measurements."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        values = list(values)
        return cls(median(values), min(values), max(values))


class Runner(Protocol):
    """Something whose speed is measured."""

    def run(self, seconds: float) -> float:
        """Work for about ``seconds``, at least one step. Return images per second."""


class StepRunner(ABC):
    """A `Runner` that works in steps of equal size."""

    images: int
    """images per step"""
    step_seconds: float = 0.0
    """last measured duration of a step"""

    @abstractmethod
    def step(self) -> None:
        """Do one step. On a GPU, only start it."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until all started steps are finished."""

    def timed(self, steps: int) -> float:
        """Do this many steps and return the seconds per step."""
        self.wait()
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        self.wait()
        return (time.perf_counter() - start) / steps

    def warm_up(self, seconds: float) -> None:
        """Do warm-up steps for about ``seconds``, at most `WARM_UP_STEPS`.

        At least 2, because the first may compile kernels.
        """
        end = time.perf_counter() + seconds
        for done in range(WARM_UP_STEPS):
            self.step_seconds = self.timed(1)
            if done and time.perf_counter() + self.step_seconds > end:
                return

    def run(self, seconds: float) -> float:
        # Fixed in advance, because reading the clock between steps would need a wait.
        self.step_seconds = self.timed(
            max(1, round(seconds / self.step_seconds)) if self.step_seconds else 1
        )
        return self.images / self.step_seconds


def measure_interleaved(runners: Mapping[Name, Runner], seconds: float) -> dict[Name, list[float]]:
    """Let the runners take turns for about ``seconds``, for at least one round.

    Returns the images per second of each runner in each round.
    """
    speeds: dict[Name, list[float]] = {name: [] for name in runners}
    turn = seconds / (ROUNDS * len(runners))
    start = time.perf_counter()
    for done in range(ROUNDS):
        spent = time.perf_counter() - start
        if done and spent * (done + 1) / done > seconds:
            break
        for name, runner in runners.items():
            speeds[name].append(runner.run(turn))
    return speeds


def ratio(ours: Iterable[float], theirs: Iterable[float]) -> MedianRange:
    """Return how many times as fast ``ours`` is as ``theirs``, compared round by round."""
    return MedianRange.of(a / b for a, b in zip(ours, theirs, strict=True))
