"""Reading YAML with places, and editing it without disturbing the rest."""

from __future__ import annotations

import json
import math
import pathlib
import random
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcnn.errors import ConfigError, Location
from sepcnn.source import (
    MAX_DEPTH,
    MAX_SIZE,
    KeyPath,
    Node,
    format_path,
    graft,
    parse,
    parse_path,
    read,
    splice,
)

TOO_LARGE = "whole numbers have at most 64 bits, others are below 1.8e308"
TEXT_KEY = "write the key as text, in quotes if it looks like something else"
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
            "   write the key as text, in quotes if it looks like something else",
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
            "c.yaml:2:1: merge keys are not part of a config\n"
            "      2 | <<: {c: 1}\n"
            "        | ^^\n"
            "   repeat the values; those that all layers share go into model.defaults",
        ),
        (
            "a: !!python/object:os.system x\nb: !!int 1",
            "c.yaml:1:4: tags are not part of a config\n"
            "      1 | a: !!python/object:os.system x\n"
            "        |    ^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
            "   delete the tag\n"
            "c.yaml:2:4: tags are not part of a config\n"
            "      2 | b: !!int 1\n"
            "        |    ^^^^^^^\n"
            "   delete the tag",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "c.yaml:2:1: a second document starts here; a config is one\n"
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
            "# only a comment\n",
            "c.yaml:1:1: the file is empty\n   write at least one key and its value",
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
        ("a: 1\nfoo\nb: 2", "2:1: a ':' is missing behind this key", "write it as 'key: value'"),
        (
            "a: *.png",
            "1:4: an alias or anchor has no name",
            "quote text that starts with '*' or '&'",
        ),
        (
            "a: b: c",
            "1:5: a ':' is not allowed here",
            "indent keys alike, and quote text with ': '",
        ),
        ("a: - b", "1:4: a '-' is not allowed here", "start the list on a line of its own"),
        (
            "a: 'x' y",
            "1:8: text stands behind a value that has ended",
            "quote the value as a whole",
        ),
        (
            "a:\n  b: 1\n c: 2",
            "3:2: this does not line up with what stands above",
            "indent keys and items alike",
        ),
        ('a: "C:\\data"', "1:8: double quotes do not know this escape", "use single quotes"),
        ("a: !x!y 1", "1:4: tags are not part of a config", "delete the tag"),
        ("a: @x", "1:4: a value cannot start with this character", "quote the text"),
        ("a: [,]", "1:5: a value is missing before this", "write the value, or quote the text"),
        ("[1]]", "1:4: this stands behind the end of the value", "delete it"),
        (
            "a: |x\n  b",
            "1:5: this is not YAML: expected chomping or indentation indicators, but found 'x'",
            "check the quotes, colons and indentation here",
        ),
        ("a: 1\t# c", "1:5: a tab is used as a space", "use spaces"),
        ("a: *b", "1:4: the alias '*b' names no value before it", WRITE_OUT),
        (
            "a: &b [*b]",
            "1:8: the alias '*b' stands inside the value it names",
            WRITE_OUT,
        ),
        (
            'a: "\\UFFFFFFFF"',
            "1:7: a number is out of range here",
            "write the character itself, or delete the directive",
        ),
        (
            'a: "\\ud800"',
            "1:4: the escape stands for U+D800, which is not allowed",
            "delete the escape",
        ),
        ("a: \ud800", "1:4: the character U+D800 is not allowed", "delete the character"),
        ("a: 1\nb: \0", "2:4: the character U+0000 is not allowed", "delete the character"),
        ("a: \u2028", "1:4: the character U+2028 is not allowed", "delete the character"),
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
        ("model.layers[2].Dense.units", "6:14+2", "6:7+5"),
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


def test_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    text, root = read(path)
    assert (text, root.plain()) == ("\ufeffa: 1\r\n", {"a": 1})
    assert str(root.location) == f"{path}:1:1"


def test_read_refuses_what_is_no_config(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.yaml"

    def refusal(of: pathlib.Path) -> str:
        with pytest.raises(ConfigError) as caught:
            read(of)
        return str(caught.value)

    assert refusal(path) == f"{path}: there is no such file\n   check the path"
    assert refusal(tmp_path) == f"{tmp_path}: this is a folder\n   give the YAML file inside it"
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


@pytest.mark.parametrize(
    ("text", "path", "value", "edited"),
    [
        ("a: 1  # one\nb: 2\n", "a", "3", "a: 3  # one\nb: 2\n"),
        ("a: {b: 1, c: 2} # x\n", "a.b", "[1, 2]", "a: {b: [1, 2], c: 2} # x\n"),
        ("a: 'x # y' # z\n", "a", "w", "a: w # z\n"),
        ("a: |  # c\n  text\n\n  more\n\nb: 2\n", "a", "x", "a: x\n\nb: 2\n"),
        ("a: # m\n  # n\n  b: 1 # o\n  c: 2 # p\n# q\nd: 1", "a", "{}", "a: {} # m\n# q\nd: 1"),
        ("a:\n- b\n- c\n", "a", "x", "a: x\n"),
        ("a:\r\n  - b # c\r\n  - d\r\n", "a[0]", "x", "a:\r\n  - x # c\r\n  - d\r\n"),
        ("- [a, b]\n", "[0][1]", "c", "- [a, c]\n"),
        ("- Dense: 3 # d\n- Flatten\n", "[0]", "Flatten", "- Flatten # d\n- Flatten\n"),
        ("- Dense:\n    units: 3 # d\n- F\n", "[0]", "{A: 1}", "- {A: 1}\n- F\n"),
        ("- Dense:\n    units: 3\n", "[0].Dense", "4", "- Dense: 4\n"),
        ("[Flatten, Dense: 3]", "[1].Dense", "4", "[Flatten, Dense: 4]"),
        ("[Flatten, Dense: 3 ]", "[1]", "X", "[Flatten, X ]"),
        ("a: # c\nb: 1\n", "a", "2", "a: 2 # c\nb: 1\n"),
        ("a:", "a", "2", "a: 2"),
        ("-\n- b\n", "[0]", "a", "- a\n- b\n"),
        ('"a:b": # c\n  d: 1\n', '"a:b"', "2", '"a:b": 2 # c\n'),
        ("a: &x {k: 1}\nb: *x # c\n", "b", "2", "a: &x {k: 1}\nb: 2 # c\n"),
        ("a: &x\n  k: 1\nb: 2\n", "a.k", "2", "a: &x\n  k: 2\nb: 2\n"),
        ("a: 1", "b", "2", "a: 1\nb: 2"),
        ("a: 1\r\n", "b", "2", "a: 1\r\nb: 2\r\n"),
        ("a:\n  b: 1\n  # deep\n\n# end\n", "c", "2", "a:\n  b: 1\n  # deep\nc: 2\n\n# end\n"),
        ("a:\n  b: 1 # x\nc: 2\n", "a.d", "3", "a:\n  b: 1 # x\n  d: 3\nc: 2\n"),
        ("a:\n  b: |\n    t\n\nc: 2\n", "a.d", "3", "a:\n  b: |\n    t\n  d: 3\n\nc: 2\n"),
        ("- D:\n    u: 1\n- F\n", "[0].D.v", "2", "- D:\n    u: 1\n    v: 2\n- F\n"),
        ("- a: 1\n", "[0].b", "2", "- a: 1\n  b: 2\n"),
        ("a: {b: 1}\n", "a.c", "2", "a: {b: 1, c: 2}\n"),
        ("a: {b: 1 , } # x\n", "a.c", "2", "a: {b: 1, c: 2 , } # x\n"),
        ("a: {\n  b: 1 # x\n}\n", "a.c", "2", "a: {\n  b: 1, c: 2 # x\n}\n"),
        ("a: {}\n", "a.b", "2", "a: {b: 2}\n"),
        ("a: # x\n", "a.b", "2", "a: {b: 2} # x\n"),
        ("a: null\n", "a.b", "2", "a: {b: 2}\n"),
        ("a: 1\n", '"no: 1"', "2", 'a: 1\n"no: 1": 2\n'),
        ("a: 1\n", "true", "2", 'a: 1\n"true": 2\n'),
        ("\ufeffa: 1\n", "a", "2", "\ufeffa: 2\n"),
        ("a: 1\n...\n", "b", "2", "a: 1\nb: 2\n...\n"),
    ],
)
def test_splice(text: str, path: str, value: str, edited: str) -> None:
    assert splice(text, parse_path(path), value) == edited


@pytest.mark.parametrize(
    ("text", "path", "value", "first"),
    [
        (
            "a: &x {k: 1}\nb: *x\n",
            "b.k",
            "2",
            "config:2:4: b.k: the value belongs to an alias; a change would reach other places",
        ),
        (
            "a: &x {k: 1}\nb: *x\n",
            "a.k",
            "2",
            "config:1:11: a.k: the value cannot be changed in this place",
        ),
        (
            "a: {b: 1}\n",
            "a.b",
            "x, y",
            "config:1:8: a.b: the value cannot be changed in this place",
        ),
        ("a: |+\n  b\n\n", "c", "1", "config:1:1: c: the value cannot be changed in this place"),
        (
            "a: [b: 1]\n",
            "a[0].c",
            "1",
            "config:1:5: a[0].c: the value cannot be changed in this place",
        ),
        ("a: {b: 1}\n", "c.d", "2", "config:1:1: there is no c"),
        ("a: [1,", "a", "2", "config:1:6: the text ends inside brackets"),
        ("a: [1]\n", "a[1]", "2", "config:1:1: there is no a[1]"),
        ("a: [1]\n", "a.b", "2", "config:1:1: there is no a.b"),
        ("a: F\n", "a.b", "2", "config:1:4: there is no a.b"),
        ("a: 1\n", "a", "[", "value:1:1: the text ends inside brackets"),
    ],
)
def test_splice_refuses(text: str, path: str, value: str, first: str) -> None:
    with pytest.raises(ConfigError) as caught:
        splice(text, parse_path(path), value)
    assert str(caught.value).split("\n")[0] == first


def test_graft_keeps_the_original_and_points_at_the_graft() -> None:
    root, child = parse("a: {b: 1}\nc: [1, 2]\ne:\n", "c.yaml"), parse("{x: 1}", "--set")
    assert graft(root, ("a", "b"), child).plain() == {"a": {"b": {"x": 1}}, "c": [1, 2], "e": None}
    assert graft(root, ("c", 1), child).plain() == {"a": {"b": 1}, "c": [1, {"x": 1}], "e": None}
    assert graft(root, ("e", "f"), child).plain()["e"] == {"f": {"x": 1}}
    assert graft(root, (), child) is child
    new = graft(root, ("a", "n"), child)
    assert str(new.locate(("a", "n", "missing"))) == "--set:1:1"
    assert str(new.locate(("a",))) == "c.yaml:1:1"
    assert root.plain() == {"a": {"b": 1}, "c": [1, 2], "e": None}


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
    message = f"the path '{text}' {place}; write it as in model.layers[3].filters"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_path(text)


@given(st.lists(st.integers(0, 10**9 - 1) | st.text(), min_size=1).map(tuple))
def test_paths_survive_the_round_trip(path: KeyPath) -> None:
    assert parse_path(format_path(path)) == path


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


SCALARS = st.sampled_from(
    [None, True, 0, -3, 2.5, "Flatten", "a b", "no: x", "# no", "null", "", "é"]
)
NAMES = st.sampled_from(["a", "b", "units", "Dense", "a:b", "true", "é è", "#x"])
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        SCALARS,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
)


class Renderer:
    """Writes a tree in a mixture of styles; `comments` maps each comment to the path it is for."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.comments: dict[str, KeyPath] = {}

    def comment(self, path: KeyPath) -> str:
        if self.chance.random() < 0.5:
            return ""
        text = f"# {len(self.comments)}: 'x' [;"
        self.comments[text] = path
        return f"  {text}"

    def scalar(self, value: object) -> str:
        if value is None:
            return self.chance.choice(["null", "~"])
        if isinstance(value, str) and value.isalpha() and value != "null":
            return self.chance.choice([value, f"'{value}'", json.dumps(value)])
        return json.dumps(value, ensure_ascii=False)

    def flow(self, value: object) -> str:
        if isinstance(value, dict):
            inside = [f"{json.dumps(key)}: {self.flow(child)}" for key, child in value.items()]
            return "{" + ", ".join(inside) + self.chance.choice(["", ","] if inside else [""]) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self.flow, value)) + "]"
        return self.scalar(value)

    def block(self, value: dict[str, object] | list[object], path: KeyPath) -> list[str]:
        lines = []
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for part, child in entries:
            lines += filter(None, [self.comment((*path, part)).strip()])
            lead = f"{json.dumps(part)}:" if isinstance(part, str) else "-"
            lines += self.entry(lead, child, (*path, part))
            lines += self.chance.choice([[], [], [""]])
        return lines

    def entry(self, lead: str, child: object, path: KeyPath) -> list[str]:
        if child is None and self.chance.random() < 0.5:
            return [lead + self.comment(path)]
        if isinstance(child, str) and child.isalpha() and self.chance.random() < 0.3:
            return [f"{lead} >-{self.comment((*path, 'inside'))}", f"   {child}"]
        if not isinstance(child, dict | list) or not child or self.chance.random() < 0.3:
            return [f"{lead} {self.flow(child)}{self.comment(path)}"]
        if lead == "-" and self.chance.random() < 0.7:
            first, *rest = [line for line in self.block(child, path) if line]
            if not first.startswith("#"):
                return [f"- {first}", *(f"  {line}" for line in rest)]
            return ["-", f"  {first}", *(f"  {line}" for line in rest)]
        indent = " " * self.chance.choice([2, 4])
        comment = self.comment(path if lead != "-" else (*path, "inside"))
        return [lead + comment, *(f"{indent}{line}" for line in self.block(child, path))]


def all_paths(value: object, path: KeyPath = ()) -> list[KeyPath]:
    paths = [path] if path else []
    if isinstance(value, dict):
        paths.append((*path, "new"))
        paths += [found for k, v in value.items() for found in all_paths(v, (*path, k))]
    elif isinstance(value, list):
        paths += [found for i, v in enumerate(value) for found in all_paths(v, (*path, i))]
    elif value is None:
        paths.append((*path, "new"))
    return paths


@settings(max_examples=500, deadline=None)
@given(TREES, st.integers(0, 2**32), SCALARS | TREES, st.sampled_from(["\n", "\r\n"]))
def test_splice_changes_one_value_and_keeps_the_comments(
    tree: dict[str, object], seed: int, value: object, line_break: str
) -> None:
    chance = random.Random(seed)
    renderer = Renderer(chance)
    text = line_break.join(renderer.block(tree, ())) + chance.choice(["", line_break])
    root = parse(text, "c.yaml")
    assert root.plain() == tree
    path = chance.choice(all_paths(tree))
    written = json.dumps(value, ensure_ascii=False)
    edited = splice(text, path, written)
    assert parse(edited, "c.yaml").plain() == graft(root, path, parse(written, "v")).plain()
    for comment, place in renderer.comments.items():
        inside = len(place) > len(path) and place[: len(path)] == path
        assert inside or comment in edited
    assert ("\r\n" in text) or "\r" not in edited
