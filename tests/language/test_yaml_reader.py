"""Reading YAML with places."""

from __future__ import annotations

import math
import pathlib
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcnn.errors import ConfigError, Location
from sepcnn.language.node import Node, Page
from sepcnn.language.yaml_reader import MAX_DEPTH, MAX_SIZE, parse, read_file

TOO_LARGE = "whole numbers are limited to 64 bits, other numbers to below 1.8e308"
TEXT_KEY = "write the key as text; put it in quotes if it is a number, true, false or null"
WRITE_OUT = "write the value out, or quote it if it is text"


def complaint(text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml")
    return str(caught.value)


def places(node: Node) -> list[Location]:
    below = node.value.values() if isinstance(node.value, dict) else node.value
    children = list(below) if isinstance(node.value, dict | list) else []
    own = [node.location, *node.keys.values()]
    return own + [place for child in children for place in places(child)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(text, None) for text in ("null", "Null", "NULL", "~")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[("0", 0), ("-12", -12), ("+3", 3), ("007", 7), ("0o17", 15), ("0x1F", 31)],
        *[("18446744073709551615", 2**64 - 1), ("-18446744073709551615", 1 - 2**64)],
        *[("1e-3", 1e-3), (".5", 0.5), ("1.", 1.0), ("-2.5E+3", -2500.0), ("1e5", 1e5)],
        *[(".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf)],
        *[(text, text) for text in ("no", "on", "off", "yes", "y", "tRUE", "1_000", "0b1")],
        *[
            (text, text)
            for text in ("12:30:45", "2024-01-31", "1/255", "=", "<<", ".", "-0x1", "e3")
        ],
        *[(text, text) for text in ("0o8", "inf", "nan", "+", "1.2.3", "٣", "ünï", "😀")],
        *[("'1'", "1"), ('"null"', "null"), ("''", ""), ('"a\\tb"', "a\tb"), ("|\n  7\n", "7\n")],
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = parse(text, "c.yaml").value
    assert (type(found), found) == (type(value), value)


def test_nan_is_a_number() -> None:
    assert all(math.isnan(parse(text, "c").value) for text in (".nan", ".NaN", ".NAN"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a:\nb: [1, {c: x}]\n", {"a": None, "b": [1, {"c": "x"}]}),
        ("\ufeffa: 1\r\nb:\r\n- 2\r\n- 3\r\n", {"a": 1, "b": [2, 3]}),
        ("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}),
        ("a: &x {k: 1}\nb: *x\nc: [*x]\n", {"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}]}),
        ("'1': x\n'<<': y\n", {"1": "x", "<<": "y"}),
        ("[Flatten, Dense: 3]", ["Flatten", {"Dense": 3}]),
        ("? a\n: b\n", {"a": "b"}),
        ('{"a":1,b}', {"a": 1, "b": None}),
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, None),
    ],
)
def test_structures(text: str, value: object) -> None:
    plain = parse(text.encode(), "c.yaml").plain()
    assert value is None or plain == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: 1\nb: {c: 1, c: 2}\na: 3\n",
            "c.yaml:2:11: the key 'c' is given twice; first at line 2\n"
            "      2 | b: {c: 1, c: 2}\n"
            "        |           ^\n"
            "   delete one of the two\n"
            "c.yaml:3:1: the key 'a' is given twice; first at line 1\n"
            "      3 | a: 3\n"
            "        | ^\n"
            "   delete one of the two",
        ),
        (
            "a: 1\n1: 2\n",
            "c.yaml:2:1: a key must be text\n"
            "      2 | 1: 2\n"
            "        | ^\n"
            "   write the key as text; put it in quotes if it is a number, true, false or null",
        ),
        (
            "a:\n\tb: 1",
            "c.yaml:2:1: a tab is used for indentation\n"
            "      2 | \tb: 1\n"
            "        | ^\n"
            "   use spaces",
        ),
        (
            "a: b\n<<: {c: 1}",
            "c.yaml:2:1: a config cannot use merge keys\n"
            "      2 | <<: {c: 1}\n"
            "        | ^^\n"
            "   repeat the values, or put values that layers share into model.defaults",
        ),
        (
            "a: !!python/object:os.system x\nb: !!int 1",
            "c.yaml:1:4: a config cannot use tags\n"
            "      1 | a: !!python/object:os.system x\n"
            "        |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
            "   delete the tag\n"
            "c.yaml:2:4: a config cannot use tags\n"
            "      2 | b: !!int 1\n"
            "        |    ^^^^^^^\n"
            "   delete the tag",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "c.yaml:2:1: a second document starts here; a config is one document\n"
            "      2 | ---\n"
            "        | ^^^\n"
            "   delete the '---', or move what follows to another file",
        ),
        (
            "a: 1\na: 2\nb: [1\n",
            "c.yaml:2:1: the key 'a' is given twice; first at line 1\n"
            "      2 | a: 2\n"
            "        | ^\n"
            "   delete one of the two\n"
            "c.yaml:3:4: the '[' is not closed\n"
            "      3 | b: [1\n"
            "        |    ^\n"
            "   add a ']' or a missing comma",
        ),
        (
            "train:\n  epochs:3\n  seed:1\n  batch_size: 16\n",
            "c.yaml:2:3: the colon of 'epochs' is not followed by a space\n"
            "      2 |   epochs:3\n"
            "        |   ^^^^^^^\n"
            "   write a space after the colon of 'epochs:'",
        ),
        (
            "train:\n  batch_size: 16\n  epochs:3\ndata:\n",
            "c.yaml:3:3: the colon of 'epochs' is not followed by a space\n"
            "      3 |   epochs:3\n"
            "        |   ^^^^^^^\n"
            "   write a space after the colon of 'epochs:'",
        ),
        (
            "layers:\n  - Conv2D:3\n    name: a\n",
            "c.yaml:2:5: the colon of 'Conv2D' is not followed by a space\n"
            "      2 |   - Conv2D:3\n"
            "        |     ^^^^^^^\n"
            "   write a space after the colon of 'Conv2D:'",
        ),
        (
            "# only a comment\n",
            "c.yaml:1:1: the file has only comments\n   write at least one key and its value",
        ),
        (
            b"a: 1\nb: \xfc",
            "c.yaml:2:4: the file is not UTF-8 text: byte 0xfc\n"
            "      2 | b: \ufffd\n"
            "        |    ^\n"
            "   save it as UTF-8, or check that this is the right file",
        ),
    ],
)
def test_whole_messages(text: str | bytes, message: str) -> None:
    assert complaint(text) == message


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a: {b: 1\n", "1:4: the '{' is not closed", "add a '}' or a missing comma"),
        ("a: [1 2: 3}", "1:4: the '[' is not closed", "add a ']' or a missing comma"),
        ("a: 'b\nc: 1\n", "1:4: the quote is not closed", "add the closing quote"),
        ("a: 1\nfoo\nb: 2", "2:1: a ':' is missing after this key", "write it as 'key: value'"),
        (
            "a: *.png",
            "1:4: an alias or anchor has no name",
            "quote text that starts with '*' or '&'",
        ),
        (
            "a: b: c",
            "1:5: a ':' is not allowed here",
            "indent keys equally, and quote text with ': '",
        ),
        ("a: - b", "1:4: a '-' is not allowed here", "start the list on a line of its own"),
        (
            "a: 'x' y",
            "1:8: there is text after the end of a value",
            "quote the value as a whole",
        ),
        (
            "a:\n  b: 1\n c: 2",
            "3:2: this is not aligned with the lines above",
            "indent all keys of a mapping, and all items of a list, equally",
        ),
        ('a: "C:\\data"', "1:8: this escape does not exist in double quotes", "use single quotes"),
        ("a: !x!y 1", "1:4: a config cannot use tags", "delete the tag"),
        ("a: @x", "1:4: a value cannot start with this character", "quote the text"),
        ("a: [,]", "1:5: a value is missing before this", "write the value, or quote the text"),
        ("[1]]", "1:4: this follows the end of the value", "delete it"),
        (
            "a: |x\n  b",
            "1:5: this is not YAML: expected chomping or indentation indicators, but found 'x'",
            "check the quotes, colons and indentation here",
        ),
        ("a: 1\t# c", "1:5: a tab is used as a space", "use spaces"),
        ("a: *b", "1:4: the alias '*b' has no anchor before it", WRITE_OUT),
        (
            "a: &b [*b]",
            "1:8: the alias '*b' is inside the value that it names",
            WRITE_OUT,
        ),
        (
            'a: "\\UFFFFFFFF"',
            "1:7: a number is out of range here",
            "write the character itself, or delete the directive",
        ),
        (
            'a: "\\ud800"',
            "1:4: the escape means U+D800, which is not allowed",
            "delete the escape",
        ),
        ("a: \ud800", "1:4: the character U+D800 is not allowed", "delete the character"),
        ("a: 1\nb: \0", "2:4: the character U+0000 is not allowed", "delete the character"),
        (
            "a: \u2028",
            "1:4: the character U+2028 (line separator) is not allowed",
            "delete the character",
        ),
        ("a: " + "9" * 5000, "1:4: the number is too large", TOO_LARGE),
        ("a: 18446744073709551616", "1:4: the number is too large", TOO_LARGE),
        ("a: -1e999", "1:4: the number is too large", TOO_LARGE),
        (
            "[" * 5000,
            "1:65: values are nested more than 64 levels deep",
            "check the brackets, or nest less",
        ),
        (
            "#" * (MAX_SIZE + 1),
            "1:1: a config has at most 1,000,000 characters",
            "check that this is the right file",
        ),
        ("[a]: 1", "1:1: a key must be text", TEXT_KEY),
        ("a: &k b\n*k : 1", "2:1: a key must be text", TEXT_KEY),
        ("---\n", "1:1: the file is empty", "write at least one key and its value"),
        (
            "\ufeffa: 1\nb: ]",
            "2:4: a value is missing before this",
            "write the value, or quote the text",
        ),
        ("\ufeffa: ]", "1:4: a value is missing before this", "write the value, or quote the text"),
    ],
)
def test_every_refusal_says_where_what_and_what_to_do(text: str, first: str, last: str) -> None:
    lines = complaint(text).split("\n")
    assert (lines[0], lines[-1]) == (f"c.yaml:{first}", f"   {last}")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + "".join(f"{b}: &{b} [{f'*{a},' * 9}]\n" for a, b in pairwise("abcdefghi")),
        "a: &a0 [1]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}]\n" for i in range(500)),
        *["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "? " * 50_000, "&a " * 9000, "!a " * 9000],
    ],
)
def test_bombs_fail_fast(text: str) -> None:
    began = time.monotonic()
    complaint(text)
    assert time.monotonic() - began < 2


def test_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    text, root = read_file(path)
    assert (text, root.plain()) == ("\ufeffa: 1\r\n", {"a": 1})
    assert str(root.location) == f"{path}:1:1"


def test_read_refuses_what_is_no_config(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.yaml"

    def refusal(of: pathlib.Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read_file(of)
        return str(caught.value)

    assert refusal(path) == f"{path}: there is no such file\n   check the path"
    folder = tmp_path / "my photos"
    folder.mkdir()
    said = f"{folder}: this is a folder, not a config\n   "
    assert refusal(folder) == f"{said}sepcnn init '{folder}' writes one"
    (folder / "c.yaml").touch()
    assert refusal(folder) == f"{said}give the YAML file inside it"
    photo = tmp_path / "photo.JPG"
    photo.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    assert (
        refusal(photo)
        == f"{photo}:1:1: this is not a text file\n   pass the YAML file of a config instead"
    )
    path.write_text("model: 1", encoding="utf-16")
    assert "the file is not UTF-8 text: byte 0xff\n" in refusal(path)
    path.unlink()
    below = tmp_path / "file" / "c.yaml"
    below.parent.write_text("")
    assert refusal(below) == (
        f"{below}: the file cannot be read: not a directory\n   check the path and its permissions"
    )
    assert "the file cannot be read" in refusal(pathlib.Path("a\0b"))
    path.write_text("- a\n")
    assert refusal(path) == (
        f"{path}:1:1: a config is a mapping of keys to values\n"
        "      1 | - a\n"
        "        | ^\n"
        "   start the file with a key, as in 'model:'"
    )


YAML_PIECES = st.sampled_from(
    [
        *"-?:,[]{}#&*!|>'\"%@`~=<\\ \t\n\r\0",
        "a: ",
        "- ",
        "\n  ",
        "&a ",
        "*a ",
        "!!int ",
        "---\n",
        "...\n",
        "b",
        "1",
        "0x",
        ".inf",
        "<<: ",
        "|\n  ",
        ">+1\n",
        "%YAML 1.1\n",
        "\\u",
        "\ufeff",
        "\x85",
        "\ud800",
        "é",
    ]
)


@settings(max_examples=800, deadline=1000)
@given(st.text() | st.lists(YAML_PIECES, max_size=25).map("".join) | st.binary())
def test_any_text_or_bytes_parse_or_are_refused(text: str | bytes) -> None:
    try:
        located = places(parse(text, "c.yaml"))
    except ConfigError as error:
        located = [problem.location for problem in error.problems if problem.location]
        assert located
        str(error).encode()
    content = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    count = len(re.split(r"\r\n|\n|\r", content))
    for place in located:
        assert 1 <= place.line <= count
        assert 1 <= place.column <= max(1, len(place.text))
        assert place.column - 1 + place.length <= max(1, len(place.text))


def test_the_end_of_a_text_is_on_its_last_line() -> None:
    text = "a: 1\nb: [2,\n"
    place = Page("config", text).location(len(text), len(text))
    assert (place.line, place.text) == (2, "b: [2,")
    assert 1 <= place.column <= len(place.text)
