"""Read YAML into nodes with positions.

This is the only module that uses PyYAML. It does not interpret keys and values.
"""

from __future__ import annotations

import math
import pathlib
import re
from dataclasses import replace
from typing import Any

import yaml

from sepcnn.errors import ConfigError, Location, Problem
from sepcnn.language.characters import character_problems, described, without_marks
from sepcnn.language.lexer import masked, python_spans
from sepcnn.language.node import FORBIDDEN, KeyPath, Node, Page, Scalar, children, format_path
from sepcnn.language.syntax_errors import syntax_problem
from sepcnn.wording import shell_command

MAX_SIZE = 1_000_000
"""characters of a config; a larger file was probably given by mistake"""
MAX_NODES = 100_000
"""values after expanding aliases; a few nested aliases can expand to billions"""
MAX_DEPTH = 64
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""byte order marks of UTF-16"""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)")
_CONSTANTS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}


def read_file(path: pathlib.Path) -> tuple[str, Node]:
    """Read a config file. Returns its text and the root node, a mapping. Errors: `ConfigError`."""
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_SIZE + 1)  # so that `parse` sees that it is too long
    except FileNotFoundError:
        raise _unreadable(path, "there is no such file", "check the path") from None
    except IsADirectoryError:
        inside = any(path.glob("*.yaml")) or any(path.glob("*.yml"))
        hint = f"{shell_command('init', path)} writes one"
        hint = "give the YAML file inside it" if inside else hint
        raise _unreadable(path, "this is a folder, not a config", hint) from None
    except (OSError, ValueError) as error:
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        message = f"the file cannot be read: {reason.lower()}"
        raise _unreadable(path, message, "check the path and its permissions") from None
    text = _decode(content, str(path))
    root = parse(text, str(path))
    if not isinstance(root.value, dict):
        message = "a config is a mapping of keys to values"
        raise config_error(message, root.location, "start the file with a key, as in 'model:'")
    return text, root


def parse(text: str | bytes, source: str, *, look_alikes: bool = False) -> Node:
    """Parse a text with one YAML value. Errors name the text `source`.

    ``look_alikes`` allows misleading characters, as in a text that an older sepcnn has read.
    Errors: `ConfigError`.
    """
    page = Page(source, text if isinstance(text, str) else _decode(text, source))
    if len(page.text) > MAX_SIZE:
        message = f"a config has at most {MAX_SIZE:,} characters"
        raise config_error(message, Location(source, 1, 1), "check that this is the right file")
    readable = without_marks(page.text)
    if found := FORBIDDEN.search(readable):
        message = f"the character {described(found.group())} is not allowed"
        raise config_error(
            message, page.location(found.start(), found.end()), "delete the character"
        )
    if not look_alikes and (problems := character_problems(page)):
        raise ConfigError(problems)
    builder = _Builder(page, readable)
    try:
        root = builder.document()
    except yaml.MarkedYAMLError as error:
        builder.problems.append(syntax_problem(page, error))
    except (ValueError, OverflowError):
        # PyYAML does not check the numbers in "\UFFFFFFFF" and "%YAML 1.999...9".
        mark = builder.loader.get_mark().index
        hint = "write the character itself, or delete the directive"
        place = page.location(mark, mark)
        builder.problems.append(Problem("a number is out of range here", place, hint=hint))
    except ConfigError as error:
        builder.problems.extend(error.problems)
    if builder.problems:
        raise ConfigError(builder.problems)
    return root


class _Builder:
    """Builds nodes from the events of PyYAML, which create no Python objects.

    Problems that do not affect the structure are collected, so that all are reported at once.
    """

    def __init__(self, page: Page, readable: str) -> None:
        """``readable`` is the text of the page without what PyYAML reads otherwise than editors."""
        self.page = page
        self.python = python_spans(page.text)
        self.loader: Any = yaml.BaseLoader(masked(readable, self.python))
        self.problems: list[Problem] = []
        self.anchors: dict[str, Node | None] = {}  # None while the anchored value is being built

    def document(self) -> Node:
        self.loader.get_event()
        if not self.loader.check_event(yaml.StreamEndEvent):
            self.loader.get_event()
            root = self.node(1)
            self.loader.get_event()
            if not self.loader.check_event(yaml.StreamEndEvent):
                event = self.loader.peek_event()
                place = self.page.location(event.start_mark.index, event.end_mark.index)
                hint = "delete the '---', or move what follows to another file"
                raise config_error(
                    "a second document starts here; a config is one document", place, hint
                )
            if root.value is not None or root.start < root.end:
                _check_extent(root)
                return root
        place = Location(self.page.source, 1, 1)
        message = "the file is empty"
        if self.page.text.lstrip().startswith("#"):
            message = "the file has only comments"
        raise config_error(message, place, "write at least one key and its value")

    def node(self, depth: int, key: Node | None = None) -> Node:
        event = self.loader.get_event()
        location = self.page.location(event.start_mark.index, event.end_mark.index)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, location)
        if depth > MAX_DEPTH:
            raise _too_deep(location)
        if event.tag is not None:
            self.report("a config cannot use tags", location, "delete the tag")
        if event.anchor:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self.scalar(event)
        else:
            node = self.collection(event, depth)
            if key and not event.flow_style and not event.anchor:
                node = replace(node, start=self.page.text.find(":", key.end) + 1)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def alias(self, event: Any, location: Location) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if anchored := self.anchors.get(event.anchor):
            return replace(anchored, location=location, start=start, end=end)
        inside = event.anchor in self.anchors
        reason = "is inside the value that it names" if inside else "has no anchor before it"
        hint = "write the value out, or quote it if it is text"
        raise config_error(f"the alias '*{event.anchor}' {reason}", location, hint)

    def scalar(self, event: Any) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if event.style in ("|", ">"):
            end = start + len(self.page.text[start:end].rstrip())
        location = self.page.location(start, end)
        value: Scalar = event.value
        if found := FORBIDDEN.search(event.value):
            message = f"the escape means U+{ord(found.group()):04X}, which is not allowed"
            self.report(message, location, "delete the escape")
        if event.style is None and self.python.get(start) == end:
            value = self.page.text[start:end]
        elif event.style is None:
            try:
                value = resolve(event.value)
            except OverflowError:
                hint = "whole numbers are limited to 64 bits, other numbers to below 1.8e308"
                self.report("the number is too large", location, hint)
        return Node(value, location, start=start, end=end)

    def collection(self, event: Any, depth: int) -> Node:
        value: dict[str, Node] | list[Node]
        keys: dict[str, Location] = {}
        if isinstance(event, yaml.MappingStartEvent):
            value, keys = self.entries(depth)
        else:
            value = []
            while not self.loader.check_event(yaml.SequenceEndEvent):
                value.append(self.node(depth + 1))
        closing = self.loader.get_event()
        start, end = event.start_mark.index, event.end_mark.index
        if event.flow_style and start < end:
            end = closing.end_mark.index
            return Node(value, self.page.location(start, end), keys, start, end)
        # PyYAML ends a block, and the pair in [a: 1], at the start of the next token.
        children = value.values() if isinstance(value, dict) else value
        end = max((child.end for child in children), default=end)
        return Node(value, self.page.location(start, start + 1), keys, start, end)

    def entries(self, depth: int) -> tuple[dict[str, Node], dict[str, Location]]:
        entries: dict[str, Node] = {}
        keys: dict[str, Location] = {}
        while not self.loader.check_event(yaml.MappingEndEvent):
            key = self.node(depth + 1)
            value = self.node(depth + 1, key)
            text = self.page.text[key.start : key.end]
            if not isinstance(key.value, str) or text.startswith("*"):
                hint = (
                    "write the key as text; put it in quotes if it is a number, true, false or null"
                )
                self.report("a key must be text", key.location, hint)
            elif text == "<<":
                hint = "repeat the values, or put values that layers share into model.defaults"
                self.report("a config cannot use merge keys", key.location, hint)
            elif key.value in keys:
                first = keys[key.value].line
                message = f"the key '{key.value}' is given twice; first at line {first}"
                self.report(message, key.location, "delete one of the two")
            else:
                entries[key.value], keys[key.value] = value, key.location
        return entries, keys

    def report(self, message: str, location: Location, hint: str) -> None:
        self.problems.append(Problem(message, location, hint=hint))


def resolve(text: str) -> Scalar:
    """The value of a plain scalar by the core schema of YAML 1.2; text unless another type fits.

    Errors: OverflowError for a number that is too large.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        # Check the length first: Python does not convert thousands of digits.
        if len(text) > 64 or abs(number := int(text, base)) >= 2**64:
            raise OverflowError
        return number
    if _INFINITY.fullmatch(text):
        return float(text.replace(".", ""))
    if _FLOAT.fullmatch(text):
        if math.isinf(value := float(text)):
            raise OverflowError
        return value
    return text


def _check_extent(root: Node) -> None:
    """Limit the size after expanding aliases. Errors: `ConfigError`."""
    count = 0
    pending = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise _too_deep(node.location)
        if count > MAX_NODES:
            message = f"the config has more than {MAX_NODES:,} values after expanding aliases"
            raise config_error(message, root.location, "use fewer aliases of aliases")
        pending += [(child, depth + 1) for child in children(node)]


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in content and not content.startswith(UTF_16):
            place = Location(source, 1, 1)
            raise config_error(
                "this is not a text file", place, "pass the YAML file of a config instead"
            ) from None
        page = Page(source, content.decode("utf-8", "replace"))
        start = len(content[: error.start].decode("utf-8"))
        message = f"the file is not UTF-8 text: byte 0x{content[error.start]:02x}"
        hint = "save it as UTF-8, or check that this is the right file"
        raise config_error(message, page.location(start, start + 1), hint) from None


def config_error(
    message: str, location: Location | None, hint: str, path: KeyPath = ()
) -> ConfigError:
    return ConfigError([Problem(message, location, format_path(path), hint)])


def _unreadable(path: pathlib.Path, message: str, hint: str) -> ConfigError:
    return ConfigError([Problem(f"{path}: {message}", hint=hint)])


def _too_deep(location: Location) -> ConfigError:
    message = f"values are nested more than {MAX_DEPTH} levels deep"
    return config_error(message, location, "check the brackets, or nest less")
