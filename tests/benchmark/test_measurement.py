"""Interleaved measurement: turns, rounds, warm-up and ratios."""

from __future__ import annotations

import time

from sepcnn.benchmark.measurement import (
    ROUNDS,
    WARM_UP_STEPS,
    MedianRange,
    StepRunner,
    measure_interleaved,
    ratio,
)


class Sleeper(StepRunner):
    """StepRunner of 8 images that take a known time."""

    images = 8

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.waits = seconds, 0, 0

    def step(self) -> None:
        self.steps += 1
        time.sleep(self.seconds)

    def wait(self) -> None:
        self.waits += 1


class RecordingRunner:
    """A runner that records its turns and their duration."""

    def __init__(self, name: str, turns: list[tuple[str, float]]) -> None:
        self.name, self.turns = name, turns

    def run(self, seconds: float) -> float:
        self.turns.append((self.name, seconds))
        return float(len(self.turns))


def test_median_and_range() -> None:
    assert MedianRange.of([3.0, 1.0, 7.0, 5.0]) == MedianRange(4.0, 1.0, 7.0)


def test_a_ratio_is_taken_round_by_round() -> None:
    # Both are half as fast in the second round, because the machine is slower.
    assert ratio([8.0, 4.0], [4.0, 2.0]) == MedianRange(2.0, 2.0, 2.0)


def test_every_runner_has_a_turn_in_every_round() -> None:
    turns: list[tuple[str, float]] = []
    found = measure_interleaved({name: RecordingRunner(name, turns) for name in "ab"}, 1.8)
    assert [name for name, _ in turns] == ROUNDS * ["a", "b"]
    assert {seconds for _, seconds in turns} == {1.8 / ROUNDS / 2}
    assert found["a"] == [1.0 + 2 * done for done in range(ROUNDS)]


def test_slow_steps_end_after_a_whole_round() -> None:
    slow, quick = Sleeper(0.05), Sleeper(0.001)
    found = measure_interleaved({"slow": slow, "quick": quick}, 0.01)
    assert [len(speeds) for speeds in found.values()] == [1, 1]
    assert slow.steps == 1


def test_the_number_of_steps_follows_from_the_last_duration() -> None:
    sleeper = Sleeper(0.01)
    sleeper.warm_up(10)
    assert sleeper.steps == WARM_UP_STEPS
    assert sleeper.step_seconds >= 0.01
    sleeper.step_seconds, sleeper.steps, sleeper.waits = 0.01, 0, 0
    speed = sleeper.run(0.05)
    assert (sleeper.steps, sleeper.waits) == (5, 2)  # once before and once after, never between
    assert 0 < speed <= 8 / 0.01


def test_a_warm_up_ends_when_its_time_is_over() -> None:
    sleeper = Sleeper(0.01)
    sleeper.warm_up(0)
    assert sleeper.steps == 2  # the first may have compiled
