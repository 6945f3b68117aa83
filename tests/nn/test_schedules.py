"""Schedules and ramps against their closed forms."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.errors import ConfigError
from sepcnn.language.spec import Context, read_spec
from sepcnn.language.yaml_reader import parse
from sepcnn.nn.schedules import SCHEDULES, Progress, Ramp, Schedule
from tests.reference import keras

STEPS_PER_EPOCH, TOTAL = 10, 100


FALLING = ["Cosine", "Step", "Exponential", "Polynomial", "InverseTime"]
REQUIRED: dict[str, dict[str, Any]] = {
    "Exponential": {"decay_steps": "15 steps", "decay_rate": 0.5},
    "Polynomial": {"decay_steps": "15 steps"},
    "InverseTime": {"decay_steps": "15 steps", "decay_rate": 0.5},
    "CosineRestarts": {"first_decay_steps": "15 steps"},
}
"""fields without a default"""


def schedule(name: str, **fields: Any) -> Schedule:
    fields = {**REQUIRED.get(name, {}), **fields}
    return SCHEDULES[name].model_validate(fields)  # type: ignore[return-value]


def factors(rule: Schedule, total: int = TOTAL) -> list[float]:
    """The factor of each step of a run."""
    return [rule.factor(Progress(step, STEPS_PER_EPOCH, total)) for step in range(total)]


def half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        pytest.param("Constant", {}, {0: 1, 50: 1, 99: 1, 100: 1}, id="constant"),
        pytest.param("Cosine", {}, {0: 1, 25: half_cosine(1, 0, 0.25), 50: 0.5, 100: 0}, id="cos"),
        pytest.param("Cosine", {"final": 0.2}, {0: 1, 50: 0.6, 100: 0.2}, id="cosine-final"),
        pytest.param("Cosine", {"final": 1}, {0: 1, 37: 1, 100: 1}, id="cosine-flat"),
        pytest.param(
            "OneCycle",
            {},
            {0: 0.04, 15: 0.52, 30: 1, 65: 0.5, 100: 0},
            id="onecycle",
        ),
        pytest.param(
            "OneCycle",
            {"peak": "2 epochs", "initial": 0.5, "final": 0.1},
            {0: 0.5, 10: 0.75, 20: 1, 60: 0.55, 100: 0.1},
            id="onecycle-fields",
        ),
        pytest.param("OneCycle", {"peak": "0 steps"}, {0: 1, 50: 0.5, 100: 0}, id="onecycle-fall"),
        pytest.param("OneCycle", {"peak": "100%"}, {0: 0.04, 50: 0.52, 100: 1}, id="onecycle-rise"),
        pytest.param(
            "Step",
            {},
            {0: 1, 29: 1, 30: 0.1, 59: 0.1, 60: 0.01, 90: 0.001},
            id="step",
        ),
        pytest.param(
            "Step",
            {"every": "4 epochs", "factor_each": 0.5},
            {39: 1, 40: 0.5, 79: 0.5, 80: 0.25},
            id="step-epochs",
        ),
    ],
)
def test_the_factor_has_its_closed_form(
    name: str, fields: dict[str, Any], expected: dict[int, float]
) -> None:
    rule = schedule(name, **fields)
    found = {step: rule.factor(Progress(step, STEPS_PER_EPOCH, TOTAL)) for step in expected}
    assert found == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize(
    ("warmup", "steps"),
    [("20 steps", 20), ("2 epochs", 20), ("20%", 20), ("1.5 epochs", 15), ("0 steps", 0)],
)
def test_warmup_rises_to_the_full_rate_in_a_straight_line(warmup: str, steps: int) -> None:
    found = factors(schedule("Constant", warmup=warmup))
    assert found[:steps] == pytest.approx([(step + 1) / steps for step in range(steps)])
    assert found[steps:] == [1.0] * (TOTAL - steps)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_schedule_begins_after_warmup(name: str) -> None:
    """The rest of the run has the shape of a whole run without warm-up."""
    fields = {"every": "15 steps"} if name == "Step" else {}
    fields = {"peak": "15 steps"} if name == "OneCycle" else fields
    warm = factors(schedule(name, warmup="40 steps", **fields))
    cold = factors(schedule(name, **fields), total=TOTAL - 40)
    assert warm[40:] == pytest.approx(cold)
    assert warm[:40] == pytest.approx([cold[0] * (step + 1) / 40 for step in range(40)])


def test_a_single_value_sets_the_own_field() -> None:
    first = {name: SCHEDULES[name].own_fields()[0] for name in SCHEDULES}
    assert first == {
        "Constant": "warmup",
        "Cosine": "final",
        "CosineRestarts": "first_decay_steps",
        "OneCycle": "peak",
        "Step": "every",
        "Exponential": "decay_steps",
        "Polynomial": "decay_steps",
        "InverseTime": "decay_steps",
    }


@given(peak=st.integers(0, 100), total=st.integers(1, 300))
def test_one_cycle_rises_to_its_peak_and_falls(peak: int, total: int) -> None:
    found = factors(schedule("OneCycle", peak=f"{peak}%"), total)
    top = min(round(peak * total / 100), total - 1)
    assert all(before <= after for before, after in pairwise(found[: top + 1]))
    assert all(before >= after for before, after in pairwise(found[top:]))
    assert peak == 100 or found[top] == 1 or top == total - 1


@given(
    name=st.sampled_from(list(SCHEDULES)),
    warmup=st.integers(0, 120),
    total=st.integers(1, 200),
)
def test_factors_stay_between_0_and_1(name: str, warmup: int, total: int) -> None:
    found = factors(schedule(name, warmup=f"{warmup} steps"), total)
    assert all(0 <= factor <= 1 for factor in found)
    assert found[0] > 0


@given(name=st.sampled_from(FALLING), warmup=st.integers(0, 100))
def test_decays_never_rise_after_warmup(name: str, warmup: int) -> None:
    found = factors(schedule(name, warmup=f"{warmup}%"))
    assert all(before >= after for before, after in pairwise(found[max(0, warmup - 1) :]))


# ── compared with Keras ───────────────────────────────────────────────────────────────────────


@pytest.mark.covering("values")
@pytest.mark.parametrize(
    ("name", "keras_name", "fields"),
    [
        pytest.param("Exponential", "ExponentialDecay", {"decay_rate": 0.9}, id="exponential"),
        pytest.param(
            "Exponential",
            "ExponentialDecay",
            {"decay_rate": 0.9, "staircase": True},
            id="exponential-stairs",
        ),
        pytest.param("InverseTime", "InverseTimeDecay", {"decay_rate": 1.5}, id="inverse-time"),
        pytest.param(
            "InverseTime",
            "InverseTimeDecay",
            {"decay_rate": 0.5, "staircase": True},
            id="inverse-time-stairs",
        ),
        pytest.param("Polynomial", "PolynomialDecay", {}, id="polynomial"),
        pytest.param(
            "Polynomial", "PolynomialDecay", {"power": 2.5, "final": 0.1}, id="polynomial-power"
        ),
        pytest.param(
            "Polynomial",
            "PolynomialDecay",
            {"power": 0.5, "final": 0.1, "cycle": True},
            id="polynomial-cycle",
        ),
        pytest.param("CosineRestarts", "CosineDecayRestarts", {}, id="restarts"),
        pytest.param(
            "CosineRestarts",
            "CosineDecayRestarts",
            {"t_mul": 1.0, "m_mul": 0.8, "final": 0.1},
            id="restarts-equal",
        ),
        pytest.param(
            "CosineRestarts",
            "CosineDecayRestarts",
            {"t_mul": 1.5, "m_mul": 0.5},
            id="restarts-fields",
        ),
    ],
)
@pytest.mark.parametrize(
    ("duration", "steps"), [("7 steps", 7), ("3 epochs", 30), ("25%", 100), ("100%", 400)]
)
def test_the_factor_matches_keras(
    name: str, keras_name: str, fields: dict[str, Any], duration: str, steps: int
) -> None:
    first = name == "CosineRestarts"
    length = "first_decay_steps" if first else "decay_steps"
    final = {"alpha" if first else "end_learning_rate": fields.get("final", 0.0)}
    options = {key: value for key, value in fields.items() if key != "final"}
    options |= final if name in ("Polynomial", "CosineRestarts") else {}
    theirs = getattr(keras.optimizers.schedules, keras_name)(
        torch.tensor(1.0, dtype=torch.float64), **{length: steps}, **options
    )
    expected = [float(theirs(step)) for step in range(400)]
    found = factors(schedule(name, **{length: duration}, **fields), total=400)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("t_mul", "restarts"),
    [
        (1, [0, 100, 200, 300, 400, 500, 600]),
        (1.1, [0, 100, 210, 331]),
        (1.2, [0, 100, 220, 364]),
        (1.5, [0, 100, 250, 475]),
        (2, [0, 100, 300]),
    ],
)
def test_restarts_come_at_whole_periods(t_mul: float, restarts: list[int]) -> None:
    """Keras computes in float32 by default, and is then one step late at 210, 220 and 250."""
    found = factors(schedule("CosineRestarts", first_decay_steps="100 steps", t_mul=t_mul), 650)
    assert [step for step, factor in enumerate(found) if factor > 1 - 1e-12] == restarts


# ── ramps ─────────────────────────────────────────────────────────────────────────────────────


def at(step: int, **fields: Any) -> float:
    return Ramp.model_validate(fields).at(Progress(step, STEPS_PER_EPOCH, TOTAL))


@pytest.mark.parametrize(
    ("step", "value"), [(0, 1), (20, 1), (30, 2), (40, 3), (59, 4.9), (60, 5), (99, 5)]
)
@pytest.mark.parametrize(
    ("after", "until"),
    [("20 steps", "60 steps"), ("2 epochs", "60%"), ("20%", "6 epochs")],
    ids=["steps", "epochs-share", "share-epochs"],
)
def test_a_ramp_is_a_straight_line_between_two_moments(
    after: str, until: str, step: int, value: float
) -> None:
    found = at(step, start=1, end=5, after=after, until=until)
    assert found == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(("step", "value"), [(0, 1), (29, 1), (30, 0), (31, 0)])
def test_a_ramp_between_equal_moments_is_a_jump(step: int, value: float) -> None:
    assert at(step, start=1, end=0, after="30 steps", until="3 epochs") == value


def test_a_ramp_starts_at_the_start_of_the_run_by_default() -> None:
    assert at(25, start=0, end=1, until="50 steps") == 0.5


@pytest.mark.parametrize("step", [0, 50, 99])
def test_a_constant_ramp(step: int) -> None:
    assert Ramp.constant(3.5).at(Progress(step, STEPS_PER_EPOCH, TOTAL)) == 3.5


def test_after_later_than_until_is_rejected() -> None:
    text = "{start: 1, end: 3, after: 50%, until: 40%}"
    with pytest.raises(ConfigError) as caught:
        read_spec(Ramp, parse(text, "c.yaml"), Context(Path()))
    message = "'after' (50%) is later than 'until' (40%)"
    assert [problem.message for problem in caught.value.problems] == [message]
