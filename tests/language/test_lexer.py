"""Comments, quoted and plain texts are found without parsing."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepcnn.language.lexer import parts_of


def parts(text: str) -> list[tuple[str, str]]:
    return [(part.kind, text[part.start : part.end]) for part in parts_of(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1 # b\n", [("plain", "a"), ("plain", "1"), ("comment", "# b")]),
        ("a: b#c", [("plain", "a"), ("plain", "b#c")]),
        ("a: 'it''s # 1' # x", [("plain", "a"), ("quoted", "'it''s # 1'"), ("comment", "# x")]),
        ('"a\\"b": c', [("quoted", '"a\\"b"'), ("plain", "c")]),
        ("a: don't [1, 2]", [("plain", "a"), ("plain", "don't [1, 2]")]),
        ("- [a b, {c: d}]", [("plain", part) for part in ("a b", "c", "d")]),
        ('{"a":1}', [("quoted", '"a"'), ("plain", "1")]),
        ("a: http://b", [("plain", "a"), ("plain", "http://b")]),
        ("a: |\n  #\n\n c: d\ne:", [("plain", "a"), ("quoted", "\n  #\n\n c: d"), ("plain", "e")]),
        ("- >-  # x\n b\n- c", [("quoted", "# x\n b"), ("plain", "c")]),
        ("a: 'b\nc: d", [("plain", "a"), ("quoted", "'b\nc: d")]),
        ("\ufeffa", [("plain", "a")]),
    ],
)  # fmt: skip
def test_parts_of_a_text(text: str, found: list[tuple[str, str]]) -> None:
    assert parts(text) == found


@given(st.text(st.sampled_from("a1 \t\n\r#:-?'\"[]{},|>\\&\ufeff\u2013"), max_size=40))
def test_parts_are_in_order_in_any_text(text: str) -> None:
    position = 0
    for part in parts_of(text):
        assert position <= part.start < part.end <= len(text)
        position = part.end


@pytest.mark.parametrize("unit", [" ", "a ", "[", "'", ": ", "- ", "#", "|\n", "a:"])
def test_long_texts_take_linear_time(unit: str) -> None:
    start = time.perf_counter()
    for _ in parts_of("a" + unit * 20_000):
        pass
    assert time.perf_counter() - start < 2
