"""Syntax errors in plain words, derived from the messages of PyYAML."""

from __future__ import annotations

import re
from typing import Any

from sepcnn.errors import Problem
from sepcnn.language.characters import wrong_closing_quote
from sepcnn.language.node import Page
from sepcnn.wording import shell_command

# Part of PyYAML's message, our message, and a hint. The first match is used.
_SYNTAX = (
    ("expected ',' or ']'", "the '[' is not closed", "add a ']' or a missing comma"),
    ("expected ',' or '}'", "the '{' is not closed", "add a '}' or a missing comma"),
    ("found unexpected", "the quote is not closed", "add the closing quote"),
    ("not find expected ':'", "a ':' is missing after this key", "write it as 'key: value'"),
    ("alphabetic", "an alias or anchor has no name", "quote text that starts with '*' or '&'"),
    (
        "mapping values",
        "a ':' is not allowed here",
        "indent keys equally, and quote text with ': '",
    ),
    ("sequence entries", "a '-' is not allowed here", "start the list on a line of its own"),
    ("'<scalar>'", "there is text after the end of a value", "quote the value as a whole"),
    (
        "<block end>",
        "this is not aligned with the lines above",
        "indent all keys of a mapping, and all items of a list, equally",
    ),
    ("escape", "this escape does not exist in double quotes", "use single quotes"),
    ("tag handle", "a config cannot use tags", "delete the tag"),
    ("any token", "a value cannot start with this character", "quote the text"),
    ("content, but found '<stream", "the text ends inside brackets", "close the brackets"),
    ("node content", "a value is missing before this", "write the value, or quote the text"),
    ("document start", "this follows the end of the value", "delete it"),
)
_UNFINISHED = _SYNTAX[:5]
"""shown at the start of the construct, not where PyYAML stopped"""


def syntax_problem(page: Page, error: Any) -> Problem:
    """The problem to show for a ``MarkedYAMLError`` of PyYAML."""
    mark = error.problem_mark.index
    place = page.location(mark, mark)
    if place.text[place.column - 1 : place.column] == "\t":
        use = "as a space" if place.text[: place.column - 1].strip() else "for indentation"
        return Problem(f"a tab is used {use}", place, hint="use spaces")
    if found := _missing_space(page, error) or _python_line(page, mark):
        return found
    if place.text[place.column - 1 : place.column] in (",", ";") and "<block end>" in error.problem:
        message = f"there is a '{place.text[place.column - 1]}' after the end of the value"
        return Problem(
            message, place, hint="delete it; only lists and mappings in brackets have commas"
        )
    for row in _SYNTAX:
        words, message, hint = row
        if words in error.problem:
            if row in _UNFINISHED and error.context_mark:
                start = error.context_mark.index
                if "found unexpected" in words and (found := wrong_closing_quote(page, start)):
                    return found
                place = page.location(start, start)
            return Problem(message, place, hint=hint)
    hint = "check the quotes, colons and indentation here"
    return Problem(f"this is not YAML: {error.problem}", place, hint=hint)


_PYTHON_LINES = (
    (
        re.compile(r"[ -]*[A-Za-z_]\w*\s*(?P<wrong>=)(?!=)\s*\S"),
        "there is a '=' in place of a ':'",
        "write it as 'key: value'",
    ),
    (
        re.compile(r".*[:=,]\s*(?P<wrong>lambda)\b"),
        "a config cannot contain functions of Python",
        "delete it",
    ),
    (
        re.compile(r"(?P<wrong>(import|from|def|class)\b) \w+"),
        "this is Python, but a config is YAML",
        f"{shell_command('init')} writes an example",
    ),
)
"""lines of Python: the part to show, message and hint"""


def _python_line(page: Page, mark: int) -> Problem | None:
    """The problem for Python in the line of an error, or in the line above it."""
    number = page.location(mark, mark).line
    for line in range(max(1, number - 1), number + 1):
        for pattern, message, hint in _PYTHON_LINES:
            if found := pattern.match(page.lines[line - 1]):
                start = page.starts[line - 1]
                place = page.location(start + found.start("wrong"), start + found.end("wrong"))
                return Problem(message, place, hint=hint)
    return None


_KEY_WITHOUT_SPACE = re.compile(r"([ -]*)([A-Za-z_]\w*):(?!//)[^\s:]")


def _missing_space(page: Page, error: Any) -> Problem | None:
    """The problem for a missing space, as in ``epochs:3``.

    YAML reads this as text that continues in the next line, so PyYAML fails only there.
    """
    if "mapping values" in error.problem:
        lines = page.lines[: error.problem_mark.line + 1]
        column = len(lines[-1]) - len(lines[-1].lstrip(" -"))
        number = len(lines) - 1
    elif "not find expected ':'" in error.problem and error.context_mark:
        column, number = error.context_mark.column, error.context_mark.line + 1
    else:
        return None
    place, name = None, ""
    while number > 0:
        found = _KEY_WITHOUT_SPACE.match(page.lines[number - 1])
        if found is None or len(found[1]) != column:
            break
        start = page.starts[number - 1] + found.start(2)
        place, name = page.location(start, start + len(found[2]) + 1), found[2]
        number -= 1
    if place is None:
        return None
    hint = f"write a space after the colon of '{name}:'"
    return Problem(f"the colon of '{name}' is not followed by a space", place, hint=hint)
