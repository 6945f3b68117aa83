"""Python in a config is translated in the hint of the error."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.language.messages import quote
from sepcnn.language.python_syntax import python_hint
from sepcnn.language.yaml_reader import parse

NAMES = {"Dense": ["units", "activation"], "l2": ["l2"], "Flatten": []}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("(3, 3)", "write [3, 3]"),
        ("((1, 2), (3, 4))", "write [[1, 2], [3, 4]]"),
        ("()", "write []"),
        ("(3,)", "write [3]"),
        ("1_000", "write 1000"),
        ("3*3", "write 9"),
        ("2**5", "write 32"),
        ("4/2", "write 2"),
        ("224//4 - 1", "write 55"),
        ("-(3)", "write -3"),
        ("1,000,000", "write 1000000"),
        ("0,001", "write 0.001, or [0, 1] if these are two numbers"),
        ("0,5", "write 0.5, or [0, 5] if these are two numbers"),
        ("12.5%", "write 0.125"),
        ("64x64x3", "write [64, 64, 3]"),
        ("3 × 3", "write [3, 3]"),
        ("3 3", "write [3, 3]"),
        ("10,", "delete the comma: write 10"),
        ("relu,", "delete the comma: write relu"),
        ("10", "write 10 without quotes"),
        ("true", "write true without quotes"),
        ("[3, 3]", "write [3, 3] without quotes"),
        ("None", "None of Python is null in YAML; leave the key out for its default"),
        ("tf.nn.relu", "write relu"),
        ("keras.layers.Flatten()", "write Flatten"),
        ("Dense(10)", "write {Dense: 10}"),
        ('layers.Dense(10, "relu")', "write {Dense: {units: 10, activation: relu}}"),
        ("Dense(units=10)", "write {Dense: {units: 10}}"),
        ("Dense(2, kernel_regularizer=l2(0.5))",
         "write {Dense: {units: 2, kernel_regularizer: {l2: 0.5}}}"),
        ("filters=32", "write 'filters: 32'"),
        ("kernel_size=(3, 3),", "write 'kernel_size: [3, 3]'"),
        ("filters=32, kernel_size=(3, 3)", "write {filters: 32, kernel_size: [3, 3]}"),
        ("filters=32 kernel_size=3", "write each name=value as 'name: value' on its own line"),
        ("lambda x: x", "a config cannot contain functions of Python"),
        ("f'cuda:{i}'", "strings of Python with a prefix do not exist in YAML: write the text "
         "itself"),
        ('{"l2": 0.1}', 'write {"l2": 0.1} without quotes'),
    ],
)  # fmt: skip
def test_hints(text: str, hint: str) -> None:
    assert python_hint(text, NAMES.get) == hint


@pytest.mark.parametrize(
    "text",
    ["", "relu", "sofmax", "a.npz", "cats and dogs", "max-norm", "1/255", "1/0", "9**9**9", "x(1)",
     "Dense(1, 2, 3)", "Flatten(1)", "Dense(*x)", "Dense(**x)", "print('x').y", "(", "a: b", "3..4",
     "photos/train", "é", "1e999*2", "0x", "not x", "a if b else c", "(" * 500, "1+" * 400 + "1;"],
)  # fmt: skip
def test_other_texts_have_no_hint(text: str) -> None:
    assert python_hint(text, NAMES.get) == ""


@given(st.text(st.sampled_from("019ab,.()[]{}=*/+-_'\" \n\\%xf:#é"), max_size=30))
def test_any_text_is_one_line_in_time(text: str) -> None:
    start = time.perf_counter()
    assert "\n" not in python_hint(text.replace("\n", " "), NAMES.get)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: (3, 3), b: 1}", {"a": "(3, 3)", "b": 1}),
        ("[Dense(10, activation='soft, max'), b]", ["Dense(10, activation='soft, max')", "b"]),
        ('{a: f"{x}/y", b: 1}', {"a": 'f"{x}/y"', "b": 1}),
        ("[l2({'a': [1, 2]}), b]", ["l2({'a': [1, 2]})", "b"]),
        ("a: [x (y, z), (b]", {"a": ["x (y", "z)", "(b"]}),
        ("a: (3, 3)\nb: [1, '(2, 3)']", {"a": "(3, 3)", "b": [1, "(2, 3)"]}),
    ],
)
def test_an_expression_in_brackets_is_one_value(text: str, value: object) -> None:
    assert parse(text, "c.yaml").plain() == value


def test_doubtful_python_prints_no_warning() -> None:
    assert python_hint("0x1for x in y", NAMES.get) == ""  # warnings are errors in tests
    assert python_hint("1if 2else 3", NAMES.get) == ""
    assert python_hint("(1)(2)", NAMES.get) == ""


def test_values_are_quoted_on_one_line_and_as_they_were_given() -> None:
    assert quote("C:\new\table") == '"C:\\new\\table"'
    assert quote("\x1b[31m\u202e") == '"\\u001b[31m\ufffd"'
    assert quote(4 / 3) == "4/3"
    assert (
        quote([1 / 255, 0.1, 0.30000000000000004])
        == "[0.00392156862745098, 0.1, 0.30000000000000004]"
    )
