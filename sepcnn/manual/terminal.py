"""The manual as plain text, wrapped to a width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from sepcnn.manual import Chapter
from sepcnn.manual.entry import Entry
from sepcnn.manual.finding import Mention

NAME_COLUMNS = 24
"""at least; a longer name widens the column"""
PLACES = {
    "layer": "model:\n  layers:\n    - {}",
    "data source": "data:\n  source: {{{}}}",
    "augmentation": "data:\n  augment:\n    - {}",
    "optimizer": "train:\n  optimizer: {{{}}}",
    "schedule": "train:\n  schedule: {{{}}}",
    "loss": "train:\n  loss: {{{}}}",
}
"""where a config names what has a place of its own, by kind"""


def page(entry: Entry, width: int, title: str | None = None) -> str:
    """The page of an entry: its docstring, then its fields."""
    alias = [f"Another name of {entry.alias_of}.", ""] if entry.alias_of else []
    lines = [title or entry.name, "", *alias]
    for paragraph in entry.paragraphs():
        lines += [wrapped(paragraph, width), ""]
    if entry.kind in PLACES:
        lines += ["Example:", "", textwrap.indent(in_place(entry), "  "), ""]
    for field in entry.fields():
        default = "required" if field.default is None else f"default {field.default}"
        lines += [f"  {field.name} ({default})", wrapped(field.meaning, width, indent=6)]
    return "\n".join(lines).rstrip()


def in_place(entry: Entry) -> str:
    """YAML that shows where the entry is written."""
    example = entry.example()
    place = PLACES[entry.kind]
    return (place if ":" in example else place.replace("{{{}}}", "{}")).format(example)


def field_page(mention: Mention, width: int) -> str:
    """Where a field is, what it means, and what can be written."""
    field, others = mention.field, len(mention.owners) - 1
    default = "required" if field.default is None else f"default {field.default}"
    also = f", and of {others} more" if others else ""
    value = "; ".join([field.value, *(f"sepcnn manual {name}" for name in mention.chapters())])
    lines = [f"{mention.place} ({default}){also}", wrapped(field.meaning, width, indent=6)]
    return "\n".join([*lines, wrapped(f"value: {value}", width, indent=6)])


def listing(entries: Iterable[Entry], width: int) -> str:
    """A line for each entry: its name and its first sentence."""
    return columns([(entry.name, entry.summary()) for entry in entries], width)


def contents(chapters: Iterable[Chapter], width: int) -> str:
    """The names of every chapter."""
    return columns([(chapter.name, ", ".join(chapter.entries)) for chapter in chapters], width)


def columns(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Names, and a text in the columns to the right of each."""
    indent = max(NAME_COLUMNS, *(len(name) + 1 for name, _ in rows))
    return "\n".join(
        name.ljust(indent) + wrapped(text, width, indent)[indent:] for name, text in rows
    )


def wrapped(text: str, width: int, indent: int = 0) -> str:
    space = " " * indent
    return textwrap.fill(
        text.replace("``", ""),
        max(width, indent + 20),
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    )
