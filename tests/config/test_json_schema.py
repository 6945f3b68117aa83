"""The JSON schema accepts what the reader accepts, judged by the keywords it uses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sepcnn.config.json_schema import TABLES, key_of, schema
from sepcnn.language import yaml_reader
from sepcnn.language.spec import Context, Spec
from sepcnn.manual import SECTIONS
from tests.conftest import CONFIGS

SCHEMA = schema()
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def accepts(part: dict[str, Any], value: object) -> bool:
    """Whether a value fits a schema; covers the keywords that ours uses, refuses others."""
    known = {"default", "description", "title", "$schema", "$defs", "required", "pattern"}
    checks = {
        "$ref": lambda: accepts(SCHEMA["$defs"][part["$ref"].removeprefix("#/$defs/")], value),
        "anyOf": lambda: any(accepts(option, value) for option in part["anyOf"]),
        "not": lambda: not accepts(part["not"], value),
        "enum": lambda: value in part["enum"],
        "const": lambda: value == part["const"],
        "type": lambda: (
            isinstance(value, TYPES[part["type"]])
            and (not isinstance(value, bool) or part["type"] == "boolean")
        ),
        "items": lambda: (
            not isinstance(value, list) or all(accepts(part["items"], item) for item in value)
        ),
        "minItems": lambda: not isinstance(value, list) or len(value) >= part["minItems"],
        "maxItems": lambda: not isinstance(value, list) or len(value) <= part["maxItems"],
        "uniqueItems": lambda: (
            not isinstance(value, list) or len(value) == len(set(map(str, value)))
        ),
        "minProperties": lambda: not isinstance(value, dict) or len(value) >= 1,
        "maxProperties": lambda: not isinstance(value, dict) or len(value) <= 1,
        "minimum": lambda: not number(value) or value >= part["minimum"],
        "maximum": lambda: not number(value) or value <= part["maximum"],
        "exclusiveMinimum": lambda: not number(value) or value > part["exclusiveMinimum"],
        "exclusiveMaximum": lambda: not number(value) or value < part["exclusiveMaximum"],
        "properties": lambda: (
            not isinstance(value, dict)
            or all(
                accepts(part["properties"][key], item)
                for key, item in value.items()
                if key in part["properties"]
            )
        ),
        "additionalProperties": lambda: (
            part["additionalProperties"] is not False
            or not isinstance(value, dict)
            or set(value) <= set(part.get("properties", {}))
        ),
    }
    assert set(part) <= known | set(checks), set(part) - known - set(checks)
    if "pattern" in part and isinstance(value, str) and not re.search(part["pattern"], value):
        return False
    if isinstance(value, dict) and not set(part.get("required", [])) <= set(value):
        return False
    return all(check() for key, check in checks.items() if key in part)


SPECS: dict[str, type[Spec]] = {
    f"{key_of(table.kind)}.{name}": cls for table in TABLES for name, cls in table.items()
} | {cls.__name__: cls for cls in SECTIONS.values()}
NUMBERS = st.sampled_from([0, 1, 2, 3, -1, 0.25, 0.5, 1e-3, 200, 1e4])
FRACTIONS = st.sampled_from(["1/255", "1/2", "3/4", "-1/2", "1e-3/2", "+1/.5", "1 / 3", "5/2"])
WORDS = st.sampled_from(["auto", "balanced", "3 epochs", "5%"])
ITEMS = NUMBERS | FRACTIONS | WORDS | st.booleans()
VALUES = ITEMS | st.lists(ITEMS | st.none(), max_size=3) | st.lists(FRACTIONS, max_size=3)


def reads(cls: type[Spec], field: str, value: object) -> bool:
    """Whether a field takes a value, whatever the others and all of them together say to it."""
    try:
        cls.model_validate({field: value}, context=Context())
    except ValidationError as error:
        return not any(one["loc"][:1] == (field,) for one in error.errors(include_url=False))
    return True


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_accepts_what_a_field_takes(value: object) -> None:
    refused = [
        f"{key}.{field}"
        for key, cls in SPECS.items()
        for field, part in SCHEMA["$defs"][key]["properties"].items()
        if reads(cls, field, value) and not accepts(part, value)
    ]
    assert refused == []


def number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_accepts_every_shipped_config(path: Path) -> None:
    assert accepts(SCHEMA, yaml_reader.read_file(path)[1].plain())


@pytest.mark.parametrize(
    "text",
    [
        "model: {input_shape: [8, 8, 3], layers: [Convolution2D: 3]}",
        "model: {input_shape: [8, 8], layers: [Flatten]}",
        "model: {input_shape: [8, 8, 3], layers: [Dropout: 2]}",
        "model: {input_shape: [8, 8, 3], layers: [Conv2D: {filter: 3}]}",
        "model: {input_shape: [8, 8, 3], layers: [Flatten]}\ntrain: {epochs: ten}",
        "train: {epochs: 10}",
    ],
)
def test_refuses(text: str) -> None:
    assert not accepts(SCHEMA, yaml_reader.parse(text, "test").plain())


def test_every_entry_and_field_is_documented() -> None:
    for table in TABLES:
        for name in table:
            entry = SCHEMA["$defs"][f"{key_of(table.kind)}.{name}"]
            assert entry["description"], name
            for field, about in entry["properties"].items():
                assert about.get("description"), f"{name}.{field}"


def test_references_lead_somewhere() -> None:
    references = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(SCHEMA)))
    assert references <= set(SCHEMA["$defs"])
