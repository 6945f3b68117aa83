"""Learning-rate schedules, and ramps of single values.

A schedule is a factor for ``optimizer.learning_rate`` that depends only on the step.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Self

from pydantic import model_validator

from sepcnn.language.messages import invalid
from sepcnn.language.spec import Choice, Spec, Table
from sepcnn.language.values import (
    Duration,
    DurationValue,
    NonNegativeNumber,
    Number,
    NumberFrom1,
    PositiveNumber,
    UnitNumber,
)

NO_STEPS = Duration(0, "steps")


@dataclass(frozen=True, slots=True)
class Progress:
    """The position in a training run."""

    step: int
    """completed steps"""
    steps_per_epoch: int
    total_steps: int

    def steps(self, duration: Duration) -> int:
        """Convert a duration to steps."""
        return duration.steps(self.steps_per_epoch, self.total_steps)


class Schedule(Choice):
    """A factor for the learning rate that depends on the step."""

    table: ClassVar[Table] = Table("schedule")

    warmup: DurationValue = NO_STEPS
    """length of the linear warm-up from 0, in steps, epochs or % of the run"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """Fields of the subclass come first: ``Name: value`` sets the first field."""
        own = [name for name in cls.model_fields if name != "warmup"]
        return [*own, "warmup"]

    def factor(self, progress: Progress) -> float:
        """Return the factor for the step after ``progress.step`` completed steps."""
        warmup = progress.steps(self.warmup)
        if progress.step < warmup:
            # The first step is above 0, and the last step of the warm-up has the full rate.
            return self.factor_after_warmup(0.0, progress) * (progress.step + 1) / warmup
        length = max(1, progress.total_steps - warmup)
        return self.factor_after_warmup(min(1.0, (progress.step - warmup) / length), progress)

    def periods_since_warmup(self, duration: Duration, progress: Progress) -> float:
        """Return the time since the end of the warm-up in units of ``duration``."""
        since = max(0, progress.step - progress.steps(self.warmup))
        return since / max(1, progress.steps(duration))

    @abstractmethod
    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        """Return the factor at a share, from 0 to 1, of the run after warm-up."""


class Constant(Schedule):
    """Keeps the learning rate constant."""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return 1.0


class Cosine(Schedule):
    """Cosine decay from 1 to ``final``. Loshchilov & Hutter 2017, arXiv:1608.03983."""

    final: UnitNumber = 0.0
    """factor at the end"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2


class OneCycle(Schedule):
    """Rises from ``initial`` to 1 and falls to ``final``, both with cosine annealing.

    Smith & Topin 2018, arXiv:1708.07120.
    """

    peak: DurationValue = Duration(30, "%")
    """time from the end of warm-up until the factor is 1"""
    initial: UnitNumber = 0.04
    """factor at the start"""
    final: UnitNumber = 0.0
    """factor at the end"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        length = max(1, progress.total_steps - progress.steps(self.warmup))
        peak = min(1.0, progress.steps(self.peak) / length)
        if share < peak:
            return 1 - (1 - self.initial) * (1 + math.cos(math.pi * share / peak)) / 2
        share = (share - peak) / (1 - peak) if peak < 1 else 0.0
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2


class Step(Schedule):
    """Multiplies the learning rate by ``factor_each`` at intervals of ``every``."""

    every: DurationValue = Duration(30, "%")
    """length of an interval, such as 30%, 10 epochs or 500 steps"""
    factor_each: UnitNumber = 0.1
    """the learning rate is multiplied by this after each interval"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return float(
            self.factor_each ** math.floor(self.periods_since_warmup(self.every, progress))
        )


class Exponential(Schedule):
    """Exponential decay ``decay_rate ** (t / decay_steps)``, t: time since the end of warm-up.

    Called ExponentialDecay in Keras.
    """

    decay_steps: DurationValue
    """time after which the learning rate is multiplied by decay_rate"""
    decay_rate: UnitNumber
    """the learning rate is multiplied by this every decay_steps"""
    staircase: bool = False
    """decay in jumps, at multiples of decay_steps, instead of continuously"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        return float(self.decay_rate ** (math.floor(passed) if self.staircase else passed))


class InverseTime(Schedule):
    """``1 / (1 + decay_rate · t / decay_steps)``, t: time since the end of warm-up.

    Called InverseTimeDecay in Keras.
    """

    decay_steps: DurationValue
    """time after which the denominator has grown by decay_rate"""
    decay_rate: NonNegativeNumber
    """growth of the denominator per decay_steps; 1 halves the learning rate after decay_steps"""
    staircase: bool = False
    """decay in jumps, at multiples of decay_steps, instead of continuously"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        return 1 / (1 + self.decay_rate * (math.floor(passed) if self.staircase else passed))


class Polynomial(Schedule):
    """``final + (1 − final) · (1 − t / decay_steps) ** power``, t: time since the end of warm-up.

    Called PolynomialDecay in Keras, where ``end_learning_rate`` is a learning rate; here ``final``
    is a factor, as in the other schedules.
    """

    decay_steps: DurationValue
    """length of the decay; afterwards the factor stays at final"""
    final: UnitNumber = 0.0
    """factor at the end"""
    power: PositiveNumber = 1.0
    """exponent; 1 is linear, larger values decay faster at first"""
    cycle: bool = False
    """at decay_steps, rise and stretch the decay to 2 · decay_steps, then 3 · decay_steps, …"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        length = max(1, math.ceil(passed)) if self.cycle else 1
        left = 1 - min(1.0, passed / length)
        return float(self.final + (1 - self.final) * left**self.power)


class CosineRestarts(Schedule):
    """Cosine decay from 1 to ``final`` with warm restarts, in periods of growing length.

    Loshchilov & Hutter 2017, arXiv:1608.03983. Called CosineDecayRestarts in Keras, where
    ``final`` is called ``alpha``. In Keras, rounding can delay a restart by one step; the factor of
    that step is then ``final``.
    """

    first_decay_steps: DurationValue
    """length of the first period, which starts at the end of warm-up"""
    t_mul: NumberFrom1 = 2.0
    """each period is this many times as long as the one before"""
    m_mul: UnitNumber = 1.0
    """each period rises this many times as far above ``final`` as the one before"""
    final: UnitNumber = 0.0
    """factor at the end of each period"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed, length, restarts = (
            self.periods_since_warmup(self.first_decay_steps, progress),
            1.0,
            0,
        )
        if self.t_mul == 1:
            restarts = math.floor(passed)
            passed -= restarts
        # 100 · 1.1² is above 121 by rounding error, which must not delay the restart.
        while passed >= length * (1 - 1e-9):
            passed, length, restarts = passed - length, length * self.t_mul, restarts + 1
        cosine = self.m_mul**restarts * (1 + math.cos(math.pi * passed / length)) / 2
        return float(self.final + (1 - self.final) * cosine)


SCHEDULES = Schedule.table
SCHEDULES.fill(
    {
        "Constant": Constant,
        "Cosine": Cosine,
        "CosineRestarts": CosineRestarts,
        "OneCycle": OneCycle,
        "Step": Step,
        "Exponential": Exponential,
        "Polynomial": Polynomial,
        "InverseTime": InverseTime,
    }
)


def check_after_until(after: Duration, until: Duration) -> None:
    """Reject an ``until`` before ``after``, if both have the same unit."""
    if after.unit == until.unit and after.amount > until.amount:
        raise invalid(f"'after' ({after}) is later than 'until' ({until})", "swap them")


class Ramp(Spec):
    """A value that changes linearly from ``start`` to ``end`` between two moments of the run."""

    start: Number
    """value before the ramp, up to the moment ``after``"""
    end: Number
    """value after the ramp, from the moment ``until`` onwards"""
    after: DurationValue = NO_STEPS
    """moment at which the ramp begins"""
    until: DurationValue
    """moment at which the ramp ends"""

    @model_validator(mode="after")
    def _order(self) -> Self:
        check_after_until(self.after, self.until)
        return self

    @classmethod
    def constant(cls, value: float) -> Ramp:
        """Return a ramp that always has this value."""
        return cls(start=value, end=value, until=NO_STEPS)

    def at(self, progress: Progress) -> float:
        """Return the value for the step after ``progress.step`` completed steps."""
        return self._value(progress.step, progress.steps(self.after), progress.steps(self.until))

    def at_amount(self, amount: float) -> float:
        """Return the value at ``amount``, in the unit that both durations have."""
        return self._value(amount, self.after.amount, self.until.amount)

    def _value(self, moment: float, after: float, until: float) -> float:
        if moment >= until:
            return self.end
        share = max(0.0, (moment - after) / (until - after)) if until > after else 0.0
        return self.start + (self.end - self.start) * share
