"""Characters that look like others, or like nothing, are named where a config cannot have them."""

from __future__ import annotations

import pytest

from sepcnn.errors import ConfigError
from sepcnn.language.characters import LETTERS, MAX_PROBLEMS, look_alike
from sepcnn.language.yaml_reader import parse


def problems(text: str) -> list[tuple[int, int, str]]:
    """Line, column and message of each problem."""
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    found = []
    for problem in caught.value.problems:
        assert problem.location
        assert problem.hint
        found.append((problem.location.line, problem.location.column, problem.message))
    return found


@pytest.mark.parametrize(
    ("text", "line", "column", "code"),
    [
        ("a:\xa01", 1, 3, "U+00A0 (no-break space)"),
        ("a:\n \xa0b: 1", 2, 2, "U+00A0 (no-break space)"),
        ("a: [1,\u30002]", 1, 7, "U+3000 (ideographic space)"),
        ("a: {b: 1,\u2003c: 2}", 1, 10, "U+2003 (em space)"),
        ("a: 5\u202f000", 1, 5, "U+202F (narrow no-break space)"),
        ("a: x\u200b\nb: [", 1, 5, "U+200B (zero width space)"),
        ("a: re\xadlu", 1, 6, "U+00AD (soft hyphen)"),
        ("a: \u200edir", 1, 4, "U+200E (left-to-right mark)"),
        ("a: \u2066dir\u2069", 1, 4, "U+2066 (left-to-right isolate)"),
        ("a\u200d: 1", 1, 2, "U+200D (zero width joiner)"),
        ("\ufeffa: 1\nb\u2060: 1", 2, 2, "U+2060 (word joiner)"),
    ],
)
def test_invisible_characters(text: str, line: int, column: int, code: str) -> None:
    assert problems(text) == [(line, column, f"the invisible character {code} is here")]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a: “b”", 4, "'“' is not '\"' but U+201C (left double quotation mark)"),
        ("a: [1, „b“]", 8, "'„' is not '\"' but U+201E (double low-9 quotation mark)"),
        ("‘a’: 1", 1, "'‘' is not ''' but U+2018 (left single quotation mark)"),
        ("a: «b»", 4, "'«' is not '\"' but U+00AB (left-pointing double angle quotation mark)"),
        ("a: 'b’", 6, "'’' is not ''' but U+2019 (right single quotation mark)"),
        ("epochs：3", 7, "'：' is not ':' but U+FF1A (fullwidth colon)"),
        ("'a'：3", 4, "'：' is not ':' but U+FF1A (fullwidth colon)"),
        ("a: [3，4]", 6, "'，' is not ',' but U+FF0C (fullwidth comma)"),
        ("a: ［3, 4]", 4, "'［' is not '[' but U+FF3B (fullwidth left square bracket)"),
        ("– a", 1, "'–' is not '-' but U+2013 (en dash)"),
        ("a: −0.5", 4, "'−' is not '-' but U+2212 (minus sign)"),
        ("a: 1e–3", 6, "'–' is not '-' but U+2013 (en dash)"),
        ("a: 1⁄255", 5, "'⁄' is not '/' but U+2044 (fraction slash)"),
        ("a: ３ epochs", 4, "'３' is not '3' but U+FF13 (fullwidth digit three)"),
        ("a: 10％", 6, "'％' is not '%' but U+FF05 (fullwidth percent sign)"),
    ],
)
def test_look_alikes(text: str, column: int, message: str) -> None:
    assert problems(text) == [(1, column, message)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1 # “\xa0”：\u200b\ufeff\u2028\u2029\x85–\nb: 2", {"a": 1, "b": 2}),
        ("a: '\xa0\u200b'", {"a": "\xa0\u200b"}),
        ("'\u202ea': \"“b”：–\"", {"\u202ea": "“b”：–"}),
        ("a: |\n  “b\xa0c”\n", {"a": "“b\xa0c”\n"}),
        ("a: Anna’s “best” photos", {"a": "Anna’s “best” photos"}),
        ("a: 2020–2024", {"a": "2020–2024"}),
        ("a: photos – new", {"a": "photos – new"}),
        ("类：猫: 1", {"类：猫": 1}),
        ("[👨\u200d👩\u200d👧, ❤\ufe0f]", ["👨\u200d👩\u200d👧", "❤\ufe0f"]),
        ("[猫\u3000犬, می\u200cخواهم]", ["猫\u3000犬", "می\u200cخواهم"]),
        ("\ufeffa: 1", {"a": 1}),
    ],
)  # fmt: skip
def test_texts_that_may_have_them(text: str, value: object) -> None:
    assert parse(text, "c.yaml").plain() == value


def test_one_problem_per_line_of_the_first_lines() -> None:
    found = problems("".join(f"\xa0\xa0k{n}:\xa0{n}\n" for n in range(30)))
    assert [(line, column) for line, column, _ in found] == [
        (n + 1, 1) for n in range(MAX_PROBLEMS)
    ]


def test_an_override_is_checked_as_a_file_is() -> None:
    with pytest.raises(ConfigError, match="not '-' but U"):
        parse("–3", "value")


def test_letters_of_other_alphabets() -> None:
    assert all(not old.isascii() and new.isascii() for old, new in LETTERS.items())
    assert look_alike("epochs", ["epochs"]) is None
    assert look_alike("эпоха", ["epochs"]) is None
    latin = look_alike("epосhs", ["epochs"])  # о and с are Cyrillic
    assert latin == ("epochs", "its character 3, 'о', is U+043E (cyrillic small letter o)")
