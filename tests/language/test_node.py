"""Nodes and paths: where a value stands, and how its place is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.language.node import KeyPath, format_path, parse_path
from sepcnn.language.yaml_reader import parse

LAYERS = """\
model:
  input: [28, 28]
  layers:
    - Dense: {units: 3}
    - Flatten
    - Dense: -3
    - {a: 1, b: 2}
    -
train:
  optimizer:
"""


@pytest.mark.parametrize(
    ("path", "place", "key_place"),
    [
        ("model", "1:1+5", "1:1+5"),
        ("model.input", "2:3+5", "2:3+5"),
        ("model.input[1]", "2:15+2", "2:15+2"),
        ("model.layers[0]", "4:7+5", "4:7+5"),
        ("model.layers[0].Dense", "4:7+5", "4:7+5"),
        ("model.layers[0].Dense.units", "4:22+1", "4:15+5"),
        ("model.layers[0].Dense.missing.deeper", "4:7+5", "4:7+5"),
        ("model.layers[1]", "5:7+7", "5:7+7"),
        ("model.layers[1].Flatten.units", "5:7+7", "5:7+7"),
        ("model.layers[2].Dense.units", "6:14+2", "6:14+2"),
        ("model.layers[3]", "7:7+12", "7:7+12"),
        ("model.layers[4]", "8:5+1", "8:5+1"),
        ("model.layers[9]", "3:3+6", "3:3+6"),
        ("train.optimizer", "10:3+9", "10:3+9"),
        ("nothing", "1:1+1", "1:1+1"),
    ],
)
def test_locate(path: str, place: str, key_place: str) -> None:
    root = parse(LAYERS, "c.yaml")
    found = [root.locate(parse_path(path)), root.locate_key(parse_path(path))]
    assert [f"{at.line}:{at.column}+{at.length}" for at in found] == [place, key_place]


def test_paths_are_written_and_read() -> None:
    assert format_path(("model", "layers", 6, "Dense")) == "model.layers[6].Dense"
    assert parse_path("model.layers[3].filters") == ("model", "layers", 3, "filters")
    assert format_path(("a.b", 0, 1, 'c"d', "")) == '"a.b"[0][1]."c""d".""'


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "is empty"),
        (".a", "goes wrong at character 1"),
        ("a.", "goes wrong at character 2"),
        ("a..b", "goes wrong at character 2"),
        ("a[x]", "goes wrong at character 2"),
        ("a[-1]", "goes wrong at character 2"),
        ("a[1]b", "goes wrong at character 5"),
        ("a b", "goes wrong at character 2"),
        (f"a[{'9' * 5000}]", "goes wrong at character 2"),
    ],
)
def test_malformed_paths(text: str, place: str) -> None:
    message = f"the path '{text}' {place}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_path(text)


@given(st.lists(st.integers(0, 10**9 - 1) | st.text(), min_size=1).map(tuple))
def test_paths_survive_the_round_trip(path: KeyPath) -> None:
    assert parse_path(format_path(path)) == path
