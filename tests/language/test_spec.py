"""The grammar of choices, on a small vocabulary of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field

from sepcnn.errors import ConfigError
from sepcnn.language.messages import nearest, quote
from sepcnn.language.spec import Choice, Context, Spec, Table, read_spec, specs_in, to_plain
from sepcnn.language.yaml_reader import parse


class Drink(Choice):
    """What a guest drinks."""

    table: ClassVar[Table] = Table("drink")


class Water(Drink):
    """No fields."""


class Tea(Drink):
    """Fields with defaults."""

    sugar: int = 0
    """lumps"""
    milk: bool = False
    """with milk"""


class Mix(Drink):
    """A required field, and drinks inside a drink."""

    parts: Annotated[tuple[Drink, ...], Field(strict=False, min_length=2)]
    """what is mixed"""
    size: Literal["small", "large"] = "small"
    """of the glass"""


Drink.table.fill({"Water": Water, "Tea": Tea, "Mix": Mix})


class Guest(Spec):
    """A section."""

    name: str
    """as on the invitation"""
    drink: Drink = Water()
    """what to serve"""
    second: Drink | None = None
    """later"""
    wishes: dict[str, int] = {}
    """anything else"""


def guest(text: str) -> Guest:
    return read_spec(Guest, parse(text, "c.yaml"), Context(Path()))


@pytest.mark.parametrize(
    ("written", "drink"),
    [
        ("Water", Water()),
        ("{Water: }", Water()),
        ("{Water: {}}", Water()),
        ("Tea", Tea()),
        ("{Tea: 2}", Tea(sugar=2)),
        ("{Tea: {milk: true}}", Tea(milk=True)),
        ("{Tea: {sugar: 1, milk: true}}", Tea(sugar=1, milk=True)),
        ("{Mix: [Water, Tea: 3]}", Mix(parts=(Water(), Tea(sugar=3)))),
        (
            "{Mix: {parts: [Tea, Mix: [Water, Tea]], size: large}}",
            Mix(parts=(Tea(), Mix(parts=(Water(), Tea()))), size="large"),
        ),
    ],
)
def test_the_three_forms(written: str, drink: Drink) -> None:
    read_guest = guest(f"{{name: Ada, drink: {written}}}")
    assert read_guest == Guest(name="Ada", drink=drink)
    assert read_guest.drink.chosen_name == type(drink).__name__
    assert Guest.model_validate(to_plain(read_guest)) == read_guest


def test_plain_makes_every_default_explicit() -> None:
    read_guest = guest("{name: Ada, drink: {Mix: [Water, Tea]}}")
    assert to_plain(read_guest) == {
        "name": "Ada",
        "drink": {
            "Mix": {"parts": [{"Water": {}}, {"Tea": {"sugar": 0, "milk": False}}], "size": "small"}
        },
        "second": None,
        "wishes": {},
    }


WRITE_IT = "write 'Name', 'Name: value' or 'Name: {field: value}'"


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("drink: Water", [("1:1", "'name' is required", "name: as on the invitation")]),
        ("nam: Ada", [("1:1", "unknown key 'nam'", "did you mean 'name'?")]),
        (
            "name:Ada: 1",
            [("1:1", "unknown key 'name:Ada'", "write a space after the colon of 'name:'")],
        ),
        ("name: 3", [("1:7", "name: expected text, found 3", "name: as on the invitation")]),
        (
            "name: Ada\nage: 3",
            [("2:1", "unknown key 'age'", "known: drink, name, second, wishes")],
        ),
        (
            "name: Ada\ndrink: Tee",
            [("2:8", "drink: unknown drink 'Tee'", "did you mean 'Tea'?")],
        ),
        (
            "name: Ada\ndrink: {Beer: 1}",
            [("2:9", "drink: unknown drink 'Beer'", "known: Mix, Tea, Water")],
        ),
        (
            "name: Ada\ndrink: {Tea: {sugar: 1.5, mild: no}}",
            [
                ("2:22", "drink.Tea.sugar: expected a whole number, found 1.5", "sugar: lumps"),
                ("2:27", "drink.Tea: unknown key 'mild'", "did you mean 'milk'?"),
            ],
        ),
        (
            "name: Ada\ndrink: {Tea: {milk: on}}",
            [
                (
                    "2:21",
                    "drink.Tea.milk: expected true or false, found 'on'",
                    "write true; YAML 1.2 has only true and false",
                )
            ],
        ),
        (
            "name: Ada\ndrink: {Water: 3}",
            [("2:16", "drink.Water: 'Water' takes no value", "write Water alone")],
        ),
        (
            "name: Ada\ndrink: {Water: {ice: 3}}",
            [("2:17", "drink.Water: unknown key 'ice'", "it takes no fields")],
        ),
        ("name: Ada\ndrink: 3", [("2:8", "drink: expected a drink, found 3", WRITE_IT)]),
        ("name: Ada\ndrink: {}", [("2:1", "drink: expected a drink, found {}", WRITE_IT)]),
        ("name: Ada\ndrink:", [("2:1", "drink: expected a drink, found nothing", WRITE_IT)]),
        (
            "name: Ada\ndrink:\n  Tea:\n  sugar: 3",
            [
                (
                    "2:1",
                    "drink: expected one drink, found the keys Tea, sugar",
                    "indent sugar below 'Tea:' to make them its fields",
                )
            ],
        ),
        (
            "name: Ada\ndrink: {Tea: 3, milk: true}",
            [
                (
                    "2:1",
                    "drink: expected one drink, found the keys Tea, milk",
                    "give all fields to Tea, as in Tea: {field: value}",
                )
            ],
        ),
        (
            "name: Ada\ndrink: {Tea: 3, Water: }",
            [
                (
                    "2:1",
                    "drink: expected one drink, found the keys Tea, Water",
                    "keep one",
                )
            ],
        ),
        (
            "name: Ada\ndrink: {Mix: [Tea, Tee, {Tea: x}]}",
            [
                ("2:20", "drink.Mix.parts[1]: unknown drink 'Tee'", "did you mean 'Tea'?"),
                (
                    "2:31",
                    "drink.Mix.parts[2].Tea.sugar: expected a whole number, found 'x'",
                    "sugar: lumps",
                ),
            ],
        ),
        (
            "name: Ada\ndrink: {Mix: {parts: [Tea], size: larg}}",
            [
                (
                    "2:15",
                    "drink.Mix.parts: expected at least 2 items, found 1",
                    "parts: what is mixed",
                ),
                (
                    "2:35",
                    "drink.Mix.size: expected one of small, large; found 'larg'",
                    "did you mean 'large'?",
                ),
            ],
        ),
        (
            "name: Ada\ndrink: Mix",
            [("2:8", "drink.Mix: 'parts' is required", "parts: what is mixed")],
        ),
        (
            "name: Ada\nwishes: [cake]",
            [("2:1", "wishes: expected a mapping, found [cake]", "wishes: anything else")],
        ),
    ],
)  # fmt: skip
def test_every_problem_at_its_place(text: str, problems: list[tuple[str, str, str]]) -> None:
    with pytest.raises(ConfigError) as caught:
        guest(text)
    found = []
    for problem in caught.value.problems:
        assert problem.location is not None
        place = f"{problem.location.line}:{problem.location.column}"
        message = f"{problem.path}: {problem.message}" if problem.path else problem.message
        found.append((place, message, problem.hint))
    assert found == problems


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "true"),
        (1e-5, "1e-05"),
        (float("inf"), ".inf"),
        (float("-inf"), "-.inf"),
        ("text", "'text'"),
        ({"a": [None, "b c", {"d": "e: f"}]}, '{a: [null, b c, {d: "e: f"}]}'),
        ("x" * 70, "'" + "x" * 56 + "…"),
    ],
)
def test_values_are_shown_as_yaml(value: object, shown: str) -> None:
    assert quote(value) == shown


def test_nearest_ignores_case_and_leaves_strangers_alone() -> None:
    assert nearest("CONV2d", ["Conv2D", "Dense"]) == "Conv2D"
    assert nearest("xyz", ["Conv2D", "Dense"]) is None


@pytest.mark.parametrize(
    ("annotation", "spec"),
    [
        (Guest, Guest),
        (tuple[Drink, ...], Drink),
        (Drink | None, Drink),
        (Annotated[tuple[Drink, ...], Field(min_length=1)], Drink),
        (int, None),
        (dict[str, Any], None),
    ],
)
def test_specs_in(annotation: object, spec: type[Spec] | None) -> None:
    assert specs_in(annotation) is spec


def test_specs_are_frozen_and_refuse_coercion() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Guest(name="Ada").name = "Bob"  # type: ignore[misc]
    with pytest.raises(ValueError, match="expected text, found 3"):
        Guest(name=3)  # type: ignore[arg-type]


def test_a_table_is_a_mapping_of_names() -> None:
    assert list(Drink.table) == ["Water", "Tea", "Mix"]
    assert len(Drink.table) == 3
    assert Drink.table.name_of(Tea) == "Tea"
