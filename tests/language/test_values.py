"""The value types: what each takes, and its one refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sepcnn.language.spec import Context, Spec, to_plain
from sepcnn.language.values import (
    Duration,
    DurationValue,
    FilePath,
    ImageShape,
    NonNegativeNumber,
    Number,
    Pair,
    PositiveInt,
    PositiveOrAuto,
    Rate,
    UnitNumber,
)


class Values(Spec):
    """One field of each type."""

    number: Number = 0.0
    non_negative: NonNegativeNumber = 0.0
    rate: Rate = 0.0
    unit: UnitNumber = 0.0
    count: PositiveInt = 1
    units: PositiveOrAuto = 1
    pair: Pair = (1, 1)
    shape: ImageShape = (1, 1, 1)
    duration: DurationValue = Duration(0, "steps")
    path: FilePath = Path()


def value_of(field: str, value: object) -> Any:
    spec = Values.model_validate({field: value}, context=Context(folder=Path("/folder")))
    return getattr(spec, field)


@pytest.mark.parametrize(
    ("field", "value", "meaning"),
    [
        ("number", 3, 3.0),
        ("number", -0.5, -0.5),
        ("number", "1/255", 1 / 255),
        ("number", "-1 / 2", -0.5),
        ("number", "1e-3/1e3", 1e-6),
        ("non_negative", 0, 0.0),
        ("rate", 0, 0.0),
        ("rate", "2/3", 2 / 3),
        ("unit", 1, 1.0),
        ("count", 1, 1),
        ("units", 12, 12),
        ("units", "auto", "auto"),
        ("pair", 3, (3, 3)),
        ("pair", [3, 1], (3, 1)),
        ("shape", [64, 32, 3], (64, 32, 3)),
        ("duration", "500 steps", Duration(500, "steps")),
        ("duration", "1 step", Duration(1, "steps")),
        ("duration", "1 epoch", Duration(1, "epochs")),
        ("duration", "2.5epochs", Duration(2.5, "epochs")),
        ("duration", " 10 % ", Duration(10, "%")),
        ("duration", "100%", Duration(100, "%")),
        ("duration", Duration(1, "%"), Duration(1, "%")),
        ("path", "a/b", Path("/folder/a/b")),
        ("path", "/a/b", Path("/a/b")),
        ("path", "~/b", Path("/home/me/b")),
        ("path", Path("a"), Path("a")),
    ],
)
def test_values(
    field: str, value: object, meaning: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    found = value_of(field, value)
    assert (type(found), found) == (type(meaning), meaning)


NUMBERS = "numbers may be written as 0.5, 1e-3 or 1/255"
DURATIONS = "write it as 500 steps, 3 epochs or 10%"
SHAPES = "for 64×64 colour images write [64, 64, 3], for grey ones [64, 64, 1]"
PAIR = "expected a whole number above 0 or [height, width], found"


@pytest.mark.parametrize(
    ("field", "value", "message", "hint"),
    [
        ("number", "x", "expected a number, found 'x'", NUMBERS),
        ("number", "1/2/3", "expected a number, found '1/2/3'", NUMBERS),
        (
            "number",
            "1/0",
            "division by zero in '1/0'",
            "write another number below the fraction line",
        ),
        ("number", "0.5", "expected a number, found '0.5'", NUMBERS),
        ("number", None, "expected a number, found nothing", ""),
        ("number", True, "expected a number, found true", ""),
        ("number", [1], "expected a number, found [1]", ""),
        ("number", float("nan"), "expected a finite number, found .nan", ""),
        ("number", "1e308/1e-308", "expected a finite number, found .inf", ""),
        ("non_negative", -1, "must be at least 0, found -1", ""),
        ("rate", 1, "must be below 1, found 1", ""),
        ("rate", "3/2", "must be below 1, found '3/2'", ""),
        ("unit", 1.5, "must be at most 1, found 1.5", ""),
        ("count", 0, "must be above 0, found 0", ""),
        ("count", 2.0, "expected a whole number, found 2.0", ""),
        ("count", "2", "expected a whole number, found '2'", ""),
        ("units", 0, "expected a whole number above 0 or auto, found 0", ""),
        ("units", True, "expected a whole number above 0 or auto, found true", ""),
        ("pair", 0, f"{PAIR} 0", ""),
        ("pair", [3], f"{PAIR} [3]", ""),
        ("pair", [3, 3, 3], f"{PAIR} [3, 3, 3]", ""),
        ("pair", [3, True], f"{PAIR} [3, true]", ""),
        ("pair", "3x3", f"{PAIR} '3x3'", ""),
        ("shape", [64, 64], "expected [height, width, channels], found [64, 64]", SHAPES),
        ("shape", [0, 64, 3], "expected [height, width, channels], found [0, 64, 3]", SHAPES),
        ("shape", 64, "expected [height, width, channels], found 64", SHAPES),
        ("duration", 5, "expected a duration, found 5", DURATIONS),
        ("duration", "5", "expected a duration, found '5'", DURATIONS),
        ("duration", "-1 steps", "expected a duration, found '-1 steps'", DURATIONS),
        ("duration", "1234567890%", "expected a duration, found '1234567890%'", DURATIONS),
        ("duration", "120%", "expected at most 100% of the run, found '120%'", ""),
        ("path", "", "expected a path, found ''", ""),
        ("path", "a\0b", 'expected a path, found "a\\u0000b"', ""),
        ("path", 3, "expected a path, found 3", ""),
    ],
)
def test_refusals(field: str, value: object, message: str, hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        value_of(field, value)
    (detail,) = caught.value.errors()
    assert (detail["loc"], detail["msg"]) == ((field,), message)
    assert detail["ctx"]["hint"] == hint


def test_a_home_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        value_of("path", "~nobody_has_this_name/a")
    (detail,) = caught.value.errors()
    assert detail["msg"] == "there is no home folder for '~nobody_has_this_name/a'"


@pytest.mark.parametrize(
    ("duration", "steps"),
    [
        (Duration(7, "steps"), 7),
        (Duration(1.5, "epochs"), 15),
        (Duration(10, "%"), 20),
        (Duration(0.1, "%"), 0),
        (Duration(100, "%"), 200),
    ],
)
def test_durations_in_steps(duration: Duration, steps: int) -> None:
    assert duration.steps(steps_per_epoch=10, total_steps=200) == steps


@given(
    st.builds(
        Duration,
        st.integers(0, 10**9 - 1).map(float) | st.floats(0, 100).map(lambda x: round(x, 6)),
        st.sampled_from(["steps", "epochs"]),
    )
)
def test_durations_survive_the_round_trip(duration: Duration) -> None:
    assert value_of("duration", to_plain(duration)) == duration
