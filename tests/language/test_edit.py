"""Editing a config without disturbing the rest."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepcnn.errors import ConfigError
from sepcnn.language.edit import graft, splice
from sepcnn.language.node import KeyPath, parse_path
from sepcnn.language.yaml_reader import parse


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
            "config:2:4: b.k: the value belongs to an alias; a change would affect other places",
        ),
        (
            "a: &x {k: 1}\nb: *x\n",
            "a.k",
            "2",
            "config:1:11: a.k: the value cannot be changed here",
        ),
        (
            "a: {b: 1}\n",
            "a.b",
            "x, y",
            "config:1:8: a.b: the value cannot be changed here",
        ),
        ("a: |+\n  b\n\n", "c", "1", "config:1:1: c: the value cannot be changed here"),
        (
            "a: [b: 1]\n",
            "a[0].c",
            "1",
            "config:1:5: a[0].c: the value cannot be changed here",
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
