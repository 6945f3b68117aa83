"""Numbers that change over a run: learning-rate schedules, and ramps of a single limit.

A schedule is a factor of ``optimizer.learning_rate``, a function of the step alone.
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
    """Where a training run stands."""

    step: int
    """completed steps"""
    steps_per_epoch: int
    total_steps: int

    def steps(self, duration: Duration) -> int:
        return duration.steps(self.steps_per_epoch, self.total_steps)


class Schedule(Choice):
    """The factor of the learning rate at each step."""

    table: ClassVar[Table] = Table("schedule")

    warmup: DurationValue = NO_STEPS
    """the factor first rises in a straight line from 0, reaching its course after this long"""

    @classmethod
    def own_fields(cls) -> list[str]:
        """``Name: value`` fills the schedule's own field; warm-up where it has none."""
        own = [name for name in cls.model_fields if name != "warmup"]
        return [*own, "warmup"]

    def factor(self, progress: Progress) -> float:
        """The factor for the step after ``progress.step`` completed ones."""
        warmup = progress.steps(self.warmup)
        if progress.step < warmup:
            # The first step is not spent at 0, the last step of warm-up is the full rate.
            return self.factor_after_warmup(0.0, progress) * (progress.step + 1) / warmup
        length = max(1, progress.total_steps - warmup)
        return self.factor_after_warmup(min(1.0, (progress.step - warmup) / length), progress)

    def periods_since_warmup(self, duration: Duration, progress: Progress) -> float:
        """How many times a duration has passed since warm-up."""
        since = max(0, progress.step - progress.steps(self.warmup))
        return since / max(1, progress.steps(duration))

    @abstractmethod
    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        """The factor at a share from 0 to 1 of the run after warm-up."""


class Constant(Schedule):
    """The learning rate stays as it is."""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return 1.0


class Cosine(Schedule):
    """Half a cosine from 1 to ``final``. Loshchilov & Hutter 2017, arXiv:1608.03983."""

    final: UnitNumber = 0.0
    """factor at the end"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * share)) / 2


class OneCycle(Schedule):
    """Rises from ``initial`` to 1 and falls to ``final``, both along half a cosine.

    Smith & Topin 2018, arXiv:1708.07120.
    """

    peak: DurationValue = Duration(30, "%")
    """when the factor is 1, counted from the end of warm-up"""
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
    """Multiplied by ``factor_each`` every so often."""

    every: DurationValue = Duration(30, "%")
    """time between two falls"""
    factor_each: UnitNumber = 0.1
    """what each fall multiplies the learning rate by"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        return float(
            self.factor_each ** math.floor(self.periods_since_warmup(self.every, progress))
        )


class Exponential(Schedule):
    """``decay_rate ** (t / decay_steps)``, t counted from the end of warm-up.

    Keras' ExponentialDecay.
    """

    decay_steps: DurationValue
    """time in which the factor falls by decay_rate"""
    decay_rate: UnitNumber
    """what each decay_steps multiply the learning rate by"""
    staircase: bool = False
    """fall all at once at the end of each decay_steps"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        return float(self.decay_rate ** (math.floor(passed) if self.staircase else passed))


class InverseTime(Schedule):
    """``1 / (1 + decay_rate · t / decay_steps)``, t counted from the end of warm-up.

    Keras' InverseTimeDecay.
    """

    decay_steps: DurationValue
    """time in which the divisor grows by decay_rate"""
    decay_rate: NonNegativeNumber
    """growth of the divisor; 1 halves the learning rate in the first decay_steps"""
    staircase: bool = False
    """fall all at once at the end of each decay_steps"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        return 1 / (1 + self.decay_rate * (math.floor(passed) if self.staircase else passed))


class Polynomial(Schedule):
    """``final + (1 − final) · (1 − t / decay_steps) ** power``, t counted from the end of warm-up.

    Keras' PolynomialDecay, whose end is a learning rate (``end_learning_rate``); here ``final`` is
    a factor, as in the other schedules.
    """

    decay_steps: DurationValue
    """time of the fall; the factor stays at its end"""
    final: UnitNumber = 0.0
    """factor at the end"""
    power: PositiveNumber = 1.0
    """1 is a straight line, more falls faster at first"""
    cycle: bool = False
    """at the end rise again: decay_steps doubles, then triples, so that t always fits into it"""

    def factor_after_warmup(self, share: float, progress: Progress) -> float:
        passed = self.periods_since_warmup(self.decay_steps, progress)
        length = max(1, math.ceil(passed)) if self.cycle else 1
        left = 1 - min(1.0, passed / length)
        return float(self.final + (1 - self.final) * left**self.power)


class CosineRestarts(Schedule):
    """Half a cosine from 1 to ``final``, again and again, in ever longer periods.

    Loshchilov & Hutter 2017, arXiv:1608.03983. Keras' CosineDecayRestarts; ``final`` is its
    ``alpha``. Keras' rounding can make a restart a step late, after a step at ``final``.
    """

    first_decay_steps: DurationValue
    """length of the first period, from the end of warm-up"""
    t_mul: NumberFrom1 = 2.0
    """each period is this many times as long as the one before"""
    m_mul: UnitNumber = 1.0
    """each period starts at this share of the start of the one before"""
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
        # 100 · 1.1² is above 121 by rounding, and the restart must not miss its step by that.
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
    """Refuses an end before the beginning, where both are told in one unit."""
    if after.unit == until.unit and after.amount > until.amount:
        raise invalid(f"'after' ({after}) comes later than 'until' ({until})", "swap them")


class Ramp(Spec):
    """A limit that goes in a straight line from ``start`` to ``end`` between two moments."""

    start: Number
    """value before ``after``"""
    end: Number
    """value from ``until`` on"""
    after: DurationValue = NO_STEPS
    """when the change begins"""
    until: DurationValue
    """when the change is over"""

    @model_validator(mode="after")
    def _order(self) -> Self:
        check_after_until(self.after, self.until)
        return self

    @classmethod
    def constant(cls, value: float) -> Ramp:
        return cls(start=value, end=value, until=NO_STEPS)

    def at(self, progress: Progress) -> float:
        """The value for the step after ``progress.step`` completed ones."""
        return self._value(progress.step, progress.steps(self.after), progress.steps(self.until))

    def at_amount(self, amount: float) -> float:
        """The value when so much has passed of the unit that both durations have."""
        return self._value(amount, self.after.amount, self.until.amount)

    def _value(self, moment: float, after: float, until: float) -> float:
        if moment >= until:
            return self.end
        share = max(0.0, (moment - after) / (until - after)) if until > after else 0.0
        return self.start + (self.end - self.start) * share
