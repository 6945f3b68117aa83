"""Change one value of a config, in the node tree or in the text.

Comments and layout of the rest of the text are kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace

from sepcnn.errors import ConfigError
from sepcnn.language.node import LINE_BREAK, KeyPath, Node, children, format_path
from sepcnn.language.yaml_reader import config_error, parse, resolve

_PLAIN = re.compile(r"(?=.*\w)[\w.~/]([\w .%/~+-]*[\w.%/~+-])?", re.ASCII)


def yaml_scalar(text: str) -> str:
    """A text as a YAML scalar that is valid inside brackets, quoted only if necessary."""
    plain = _PLAIN.fullmatch(text) and isinstance(_resolved(text), str)
    return text if plain else json.dumps(text, ensure_ascii=False)


def _resolved(text: str) -> object:
    try:
        return resolve(text)
    except OverflowError:
        return None


def to_yaml(value: object) -> str:
    """Plain data as one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{yaml_scalar(key)}: {to_yaml(v)}' for key, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_yaml, value))}]"
    if isinstance(value, str):
        return yaml_scalar(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", ".inf").replace("nan", ".nan")
    return json.dumps(value) if value is None or isinstance(value, int | float) else str(value)


def graft(root: Node, path: KeyPath, child: Node) -> Node:
    """A new tree with `child` at `path`; only the last key of `path` may be new."""
    grafted = child
    for node, part in zip(reversed(_parents(root, path)), reversed(path), strict=True):
        if isinstance(part, int) and isinstance(node.value, list):
            grafted = replace(node, value=[*node.value[:part], grafted, *node.value[part + 1 :]])
        elif isinstance(part, str):
            entries = node.value if isinstance(node.value, dict) else {}
            keys = {**node.keys, part: child.location} if grafted is child else node.keys
            grafted = replace(node, value={**entries, part: grafted}, keys=keys)
    return grafted


def splice(text: str, path: KeyPath, value: str) -> str:
    """`text` with `value`, one line of YAML, at `path`. `path` is not empty.

    Errors: `ConfigError` if the text cannot be changed there.
    """
    root = parse(text, "config")
    expected = graft(root, path, parse(value, "value")).plain()
    parents = _parents(root, path)
    for shared in parents:
        if text.startswith("*", shared.start):
            message = "the value belongs to an alias; a change would affect other places"
            raise config_error(message, shared.location, "replace the alias with its value", path)
    parent, last = parents[-1], path[-1]
    entry = f"{yaml_scalar(str(last))}: {value}"
    if old := parent.child(last):
        edited = _replace(text, old, value)
    elif parent.value is None:
        edited = _replace(text, parent, f"{{{entry}}}")
    else:
        edited = _add(text, parent, entry)
    try:
        # Reject layouts that are not supported here, rather than write a wrong config. Compare
        # representations, because nan differs from itself and 1 equals True.
        if repr(parse(edited, "config").plain()) == repr(expected):
            return edited
    except ConfigError:
        pass
    hint = "put the new value in quotes, or edit the file by hand"
    raise config_error("the value cannot be changed here", root.locate(path), hint, path)


def _parents(root: Node, path: KeyPath) -> list[Node]:
    """The parents of the last part of `path`, which may be a new key."""
    nodes = [root]
    for depth, part in enumerate(path, 1):
        node = nodes[-1]
        child = node.child(part)
        if child is None:
            fits = node.value is None or isinstance(node.value, dict)
            if depth == len(path) and isinstance(part, str) and fits:
                return nodes
            known = f"known here: {', '.join(node.keys)}" if node.keys else "check the path"
            message = f"there is no {format_path(path[:depth])}"
            raise config_error(message, root.locate(path), known)
        nodes.append(child)
    return nodes[: len(path)]


def _replace(text: str, node: Node, value: str) -> str:
    start, end = node.start, node.end
    if start == end:
        return f"{text[:start]} {value}{text[start:]}"
    flow = text[start] in "[{"
    if isinstance(node.value, dict | list) and not flow and LINE_BREAK.search(text, start, end):
        # The comments of a block are replaced with it, except the one on the line of its key.
        end = _line_end(text, end)
        if text[start].isspace():
            comment = re.compile(r"[ \t]*(#[^\r\n]*)?").match(text, start)
            value = f" {value}{comment.group() if comment and comment[1] else ''}"
    return text[:start] + value + text[end:]


def _add(text: str, mapping: Node, entry: str) -> str:
    """`text` with `entry` as the last entry of `mapping`."""
    if text[mapping.start] == "{":
        ends = [child.end for child in children(mapping)]
        position = max(ends, default=mapping.start + 1)
        return f"{text[:position]}{', ' if ends else ''}{entry}{text[position:]}"
    column = min(key.column for key in mapping.keys.values())
    position = _line_end(text, mapping.end)
    # Comments with deeper indentation belong to the entry above.
    if comments := re.compile(rf"(?:\s*[\r\n] {{{column},}}#[^\r\n]*)+").match(text, position):
        position = comments.end()
    line_break = found.group() if (found := LINE_BREAK.search(text)) else "\n"
    return f"{text[:position]}{line_break}{' ' * (column - 1)}{entry}{text[position:]}"


def _line_end(text: str, position: int) -> int:
    found = LINE_BREAK.search(text, position)
    return found.start() if found else len(text)
