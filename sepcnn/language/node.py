"""Nodes: the values of a YAML text, each with its position."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from sepcnn.errors import Location

Scalar = None | bool | int | float | str
KeyPath = tuple[str | int, ...]


class CommandLineText(str):
    """A text given with ``--set``: a relative path in it starts at the working directory."""


BYTE_ORDER_MARK = "\ufeff"
LINE_BREAK = re.compile(r"\r\n|\n|\r")
# Characters that YAML forbids, and those that PyYAML, unlike editors, reads as line breaks.
FORBIDDEN = re.compile(
    "(?!\\A\ufeff)"
    "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# Characters without width, and those that reverse the order of others, hide where an error is.
UNSAFE_TO_SHOW = re.compile(
    f"{FORBIDDEN.pattern}|[\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
_PATH_NAME = r'[^\s.\[\]"]+'
_PATH_PART = re.compile(
    rf'\[(?P<index>[0-9]{{1,9}})\]|(?P<dot>\.?)(?:(?P<name>{_PATH_NAME})|"(?P<quoted>(?:[^"]|"")*)")'
)


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML value and its position."""

    value: dict[str, Node] | list[Node] | Scalar
    location: Location
    keys: dict[str, Location] = field(default_factory=dict)
    """position of each key, if the value is a mapping"""
    start: int = 0
    """index of the first character of the value; a block below its key starts after the colon"""
    end: int = 0

    def plain(self) -> object:
        """The value as nested dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, part: str | int) -> Node | None:
        if isinstance(self.value, dict) and isinstance(part, str):
            return self.value.get(part)
        if isinstance(self.value, list) and isinstance(part, int) and 0 <= part < len(self.value):
            return self.value[part]
        return None

    def locate(self, path: KeyPath) -> Location:
        """The position to show for the deepest part of `path` that exists.

        A scalar is shown itself; a mapping or list is shown as its key.

        A list item with a single key, such as ``- Dense: {units: 3}``, is shown as that key.
        """
        node, key = self._descend(path)
        if key and (node.value is None or isinstance(node.value, dict | list)):
            return key
        return next(iter(node.keys.values())) if len(node.keys) == 1 else node.location

    def locate_key(self, path: KeyPath) -> Location:
        """The position of the last key of `path`, even if its value is a scalar."""
        parent, _ = self._descend(path[:-1])
        return (parent.keys.get(str(path[-1])) if path else None) or self.locate(path)

    def _descend(self, path: KeyPath) -> tuple[Node, Location | None]:
        """The deepest existing node on `path`, and the position of its key (None for a list item).

        A list may be the value of the first field: ``Add: [a, b]`` is ``Add: {inputs: [a, b]}``.
        """
        node, key = self, None
        for part in path:
            child = node.child(part)
            if child is None and isinstance(node.value, list) and isinstance(part, str):
                continue
            if child is None:
                break
            node, key = child, node.keys[part] if isinstance(part, str) else None
        return node, key


def children(node: Node) -> list[Node]:
    if isinstance(node.value, dict):
        return list(node.value.values())
    return node.value if isinstance(node.value, list) else []


def format_path(path: KeyPath) -> str:
    """``("model", "layers", 6, "Dense")`` as ``model.layers[6].Dense``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(_PATH_NAME, part)
            quoted = '"' + part.replace('"', '""') + '"'
            text += ("." if text else "") + (part if plain else quoted)
    return text


def parse_path(text: str) -> KeyPath:
    """The inverse of `format_path`."""
    parts: list[str | int] = []
    position = 0
    while position < len(text) or not parts:
        found = _PATH_PART.match(text, position)
        # A dot stands before every name but the first.
        if not found or (not found["index"] and bool(found["dot"]) != bool(parts)):
            place = f"goes wrong at character {position + 1}" if text else "is empty"
            raise ValueError(f"the path '{text}' {place}")
        if found["index"]:
            parts.append(int(found["index"]))
        else:
            parts.append(found["name"] or found["quoted"].replace('""', '"'))
        position = found.end()
    return tuple(parts)


class Page:
    """A text, to convert indices of characters into lines and columns."""

    def __init__(self, source: str, text: str) -> None:
        self.source, self.text = source, text
        self.starts = [int(text.startswith(BYTE_ORDER_MARK))]
        self.starts += [found.end() for found in LINE_BREAK.finditer(text)]
        shown = UNSAFE_TO_SHOW.sub("\ufffd", text.removeprefix(BYTE_ORDER_MARK))
        self.lines = LINE_BREAK.split(shown)

    def location(self, start: int, end: int) -> Location:
        """The position of a span. A span over several lines is shown as its first character."""
        number = max(1, bisect_right(self.starts, start))
        if number > 1 and start >= len(self.text) and not self.lines[number - 1]:
            number -= 1  # the end of a text is shown on its last line, not below it
        first, line = self.starts[number - 1], self.lines[number - 1]
        column = min(max(0, start - first), max(0, len(line) - 1))
        length = end - start if end <= first + len(line) else 1
        return Location(self.source, number, column + 1, line, max(1, length))
