"""Characters that look like others, or like nothing, where a config needs the usual ones.

They come from word processors and web pages. In comments and in quoted text they are allowed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import pairwise

from sepcnn.errors import Problem
from sepcnn.language.lexer import Part, parts_of
from sepcnn.language.node import LINE_BREAK, Page

MAX_PROBLEMS = 10
"""lines that are reported"""
IN_COMMENTS = re.compile("[\x85\u2028\u2029\ufeff]")
"""characters that are harmless in a comment, although PyYAML takes them for line breaks or text"""
_SPACES = "\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_ZERO_WIDTH = "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f"
_ZERO_WIDTH += "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e007f"
_INVISIBLE = re.compile(f"[{_SPACES}{_ZERO_WIDTH}]")
# Between letters of other scripts and in emoji, these have a meaning.
_JOINERS = re.compile("(?<=[^\x00-\xa0])[\u200c\u200d\u3000\ufe0e\ufe0f]+")

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_QUOTES = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\xab\xbb\u2033\u301d\u301e\uff02", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a\u2032\xb4\uff07", "'"),
}
_COLONS = "\uff1a\ufe55\ufe13\u2236\ua789"
_PUNCTUATION = {
    **dict.fromkeys(_COLONS, ":"),
    **dict.fromkeys("\uff0c\u3001\ufe50\u201a", ","),
    **dict(zip("\uff3b\uff3d\uff5b\uff5d\u3010\u3011", "[]{}[]", strict=True)),
}
_IN_NUMBERS = {
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys("\u2044\u2215\uff0f", "/"),
    **dict.fromkeys("\uff0b", "+"),
    **dict.fromkeys("\uff0e\u3002", "."),
    **dict.fromkeys("\uff05\ufe6a", "%"),
    **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
}
_NUMBER = re.compile(r"[-+]?[0-9.][0-9.eE+/-]* ?(%|epochs?|steps?)?")
_KEY_AND_COLON = re.compile(rf"[A-Za-z_]\w*\s*(?=[{_COLONS}])", re.ASCII)
_DASH = re.compile(rf"[{_DASHES}](?=[ \xa0]|\Z)")

LETTERS = dict(
    zip(
        "аеорсухіјѕһԁԛԝАВЕКМНОРСТХУІЈЅԌΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρ",
        "aeopcyxijshdqwABEKMHOPCTXYIJSGABEZHIKMNOPTYXovp",
        strict=True,
    )
)
"""Cyrillic and Greek letters → the Latin letters that look like them"""


def described(character: str) -> str:
    """A character with its code and name: ``U+00A0 (no-break space)``."""
    names = {"\ufeff": "byte order mark"}
    name = names.get(character) or unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def without_marks(text: str) -> str:
    """The text, with a space for each character of `IN_COMMENTS` in its comments."""
    if not IN_COMMENTS.search(text, 1):
        return text
    pieces, position = [], 0
    for part in parts_of(text):
        if part.kind == "comment":
            blank = IN_COMMENTS.sub(" ", text[part.start : part.end])
            pieces += [text[position : part.start], blank]
            position = part.end
    return "".join([*pieces, text[position:]])


def character_problems(page: Page) -> list[Problem]:
    """The first misleading character of each line, for at most `MAX_PROBLEMS` lines."""
    if page.text.isascii():
        return []
    problems: list[Problem] = []
    for part in parts_of(page.text):
        if part.kind != "plain":
            continue
        for index, message, hint in _misleading(page.text, part):
            place = page.location(index, index + 1)
            if problems and problems[-1].location and problems[-1].location.line == place.line:
                break
            if len(problems) == MAX_PROBLEMS:
                return problems
            problems.append(Problem(message, place, hint=hint))
            break
    return problems


def _misleading(text: str, part: Part) -> Iterator[tuple[int, str, str]]:
    """The index of a misleading character of a plain text, with the message and the hint."""
    found = text[part.start : part.end]
    if found.isascii():
        return
    joiners = {index for match in _JOINERS.finditer(found) for index in range(*match.span())}
    for match in _INVISIBLE.finditer(found):
        if match.start() not in joiners:
            yield part.start + match.start(), *_invisible(match.group())
    for index, shown, usual in _look_alikes(found, part.in_brackets):
        yield part.start + index, *_wrong_character(shown, usual)


def _wrong_character(character: str, usual: str) -> tuple[str, str]:
    message = f"'{character}' is not '{usual}' but {described(character)}"
    return message, f"write {usual} here; if it belongs to a text, put the whole text in quotes"


def wrong_closing_quote(page: Page, start: int) -> Problem | None:
    """The problem for a quote at ``start`` that another kind of quote closes: ``"a”``."""
    line = LINE_BREAK.split(page.text[start:], maxsplit=1)[0]
    for index, character in enumerate(line):
        if index and _QUOTES.get(character) == line[0]:
            place = page.location(start + index, start + index + 1)
            message, _ = _wrong_character(character, line[0])
            return Problem(message, place, hint=f"close the text with {line[0]}")
    return None


def _invisible(character: str) -> tuple[str, str]:
    is_space = unicodedata.category(character) == "Zs"
    message = f"the invisible character {described(character)} is here"
    todo = "replace it with a space" if is_space else "delete it"
    return message, f"{todo}; if it belongs to a text, put the whole text in quotes"


def _look_alikes(text: str, in_brackets: bool) -> Iterator[tuple[int, str, str]]:
    """Index, character and the usual character, of what looks like a part of YAML or a number."""
    if usual := _QUOTES.get(text[0]) or _PUNCTUATION.get(text[0]):
        yield 0, text[0], usual
    if dash := _DASH.match(text):
        yield 0, dash.group(), "-"
    if key := _KEY_AND_COLON.match(text):
        yield key.end(), text[key.end()], ":"
    if in_brackets:
        marks = ((index, c) for index, c in enumerate(text) if _PUNCTUATION.get(c, ":") != ":")
        yield from ((index, c, _PUNCTUATION[c]) for index, c in marks)
    usual_text = "".join(_IN_NUMBERS.get(c, c) for c in text[:1])
    usual_text += "".join(
        c if c in _DASHES and before not in "eE" else _IN_NUMBERS.get(c, c)
        for before, c in pairwise(text)
    )
    if _NUMBER.fullmatch(usual_text):
        changed = zip(text, usual_text, strict=True)
        yield from ((i, old, new) for i, (old, new) in enumerate(changed) if old != new)


def look_alike(name: str, known: Iterable[str]) -> tuple[str, str] | None:
    """A known name that looks like ``name``, and how they differ; None if there is none."""
    latin = "".join(LETTERS.get(character, character) for character in name)
    if latin == name or latin not in set(known):
        return None
    index = next(i for i, (old, new) in enumerate(zip(name, latin, strict=True)) if old != new)
    return latin, f"its character {index + 1}, '{name[index]}', is {described(name[index])}"
