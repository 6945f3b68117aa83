"""Which parts of a YAML text are comments, quoted text and plain text, even if it is not YAML.

It serves error messages: it knows where characters have a meaning, before the text is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sepcnn.language.node import BYTE_ORDER_MARK


@dataclass(frozen=True, slots=True)
class Part:
    """A comment, or a text with or without quotes. A plain text ends with its line."""

    kind: Literal["comment", "quoted", "plain"]
    start: int
    end: int
    in_brackets: bool = False
    """inside of ``[ ]`` or ``{ }``, where a comma separates values"""


MAX_EXPRESSION = 1000
"""characters of an expression of Python"""
_SPACE = re.compile(r"[ \t\r\n]+")
_COMMENT = re.compile(r"#[^\r\n]*")
_QUOTED = re.compile(r"'(?:[^']|'')*'?|\"(?:[^\"\\]|\\.)*\"?", re.DOTALL)
_INDICATOR = re.compile(r"[-?:](?=[ \t\r\n]|\Z)")
_BLOCK_HEADER = re.compile(r"[|>][-+0-9]*[ \t]*(?=#|\r|\n|\Z)")
_PLAIN = re.compile(r"(?:(?!:[ \t\r\n]|:\Z|[ \t]#)[^\r\n])+")
_PLAIN_IN_BRACKETS = re.compile(r"(?:(?!:[ \t\r\n,\[\]{}]|:\Z|[ \t]#)[^\r\n,\[\]{}])+")
_LINE_START = re.compile(r"[ ]*(?:- +)*")


def parts_of(text: str) -> Iterator[Part]:
    """The comments and texts of a YAML text, in order; between them are spaces and indicators."""
    position, depth = int(text.startswith(BYTE_ORDER_MARK)), 0
    while position < len(text):
        character = text[position]
        if space := _SPACE.match(text, position):
            position = space.end()
        elif character == "#" and (position == 0 or text[position - 1] in " \t\r\n"):
            found = _COMMENT.match(text, position)
            assert found
            yield Part("comment", position, found.end())
            position = found.end()
        elif quoted := _QUOTED.match(text, position):
            yield Part("quoted", position, quoted.end(), depth > 0)
            position = quoted.end()
            position += text.startswith(":", position)
        elif character in "[{]},":
            depth = max(0, depth + {"[": 1, "{": 1, ",": 0}.get(character, -1))
            position += 1
        elif indicator := _INDICATOR.match(text, position):
            position = indicator.end()
        elif not depth and (header := _BLOCK_HEADER.match(text, position)):
            position = _end_of_block(text, header.end())
            if position > header.end():
                yield Part("quoted", header.end(), position)
        else:
            pattern = _PLAIN_IN_BRACKETS if depth else _PLAIN
            plain = pattern.match(text, position)
            end = plain.end() if plain else position + 1
            yield Part(
                "plain", position, position + len(text[position:end].rstrip(" \t")), depth > 0
            )
            position = end


_PYTHON = re.compile(r"(?:[A-Za-z_][\w.]*)?\(|[fFbBrRuU]{1,2}[\"']")
_QUOTED_IN_LINE = re.compile(r"'(?:[^'\\\r\n]|\\.)*'|\"(?:[^\"\\\r\n]|\\.)*\"")
_YAML_ONLY = re.compile(r"[,:#\[\]{}\"']")


def python_spans(text: str) -> dict[int, int]:
    """Start and end of each call, tuple and prefixed string of Python inside of brackets.

    YAML ends them at their first comma or brace, which would make two values of ``(3, 3)``.
    """
    spans: dict[int, int] = {}
    if not _PYTHON.search(text):
        return spans
    last = 0
    for part in parts_of(text):
        if part.kind == "plain" and part.in_brackets and part.start >= last:
            found = _PYTHON.match(text, part.start)
            if found and (end := _end_of_python(text, found.end())):
                spans[part.start] = last = end
    return spans


def _end_of_python(text: str, start: int) -> int | None:
    """The end of what a parenthesis or quote before ``start`` opens; None if not in this line."""
    if text[start - 1] != "(":
        quoted = _QUOTED_IN_LINE.match(text, start - 1)
        return quoted.end() if quoted else None
    position, depth = start, 1
    limit = min(len(text), start + MAX_EXPRESSION)
    while depth and position < limit and text[position] not in "\r\n":
        quoted = _QUOTED_IN_LINE.match(text, position)
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        position = quoted.end() if quoted else position + 1
    return position if not depth else None


def masked(text: str, spans: dict[int, int]) -> str:
    """The text, with ``_`` for the characters within ``spans`` that have a meaning in YAML."""
    pieces, position = [], 0
    for start, end in spans.items():
        pieces += [text[position:start], _YAML_ONLY.sub("_", text[start:end])]
        position = end
    return "".join([*pieces, text[position:]])


def _end_of_block(text: str, start: int) -> int:
    """The end of the lines that are indented deeper than the one with the ``|`` or ``>``."""
    line = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    lead = _LINE_START.match(text, line)
    assert lead
    in_list = text[lead.end() : start].lstrip().startswith(("|", ">"))
    column = lead.group().rfind("-") if in_list else len(lead.group())
    deeper = re.compile(
        rf"[^\r\n]*(?:(?:\r\n|\n|\r)(?: {{{column + 1},}}[^\r\n]*|[ \t]*(?=[\r\n]|\Z)))*"
    )
    found = deeper.match(text, start)
    return found.end() if found else start
