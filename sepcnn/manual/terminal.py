"""The manual as plain text, wrapped to the width of the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from sepcnn.manual import Chapter
from sepcnn.manual.entry import Entry
from sepcnn.manual.lookup import FieldMatch
from sepcnn.wording import columns, wrapped

PLACES = {
    "layer": "model:\n  layers:\n    - {}",
    "data source": "data:\n  source: {{{}}}",
    "augmentation": "data:\n  augment:\n    - {}",
    "optimizer": "train:\n  optimizer: {{{}}}",
    "schedule": "train:\n  schedule: {{{}}}",
    "loss": "train:\n  loss: {{{}}}",
}
"""by kind, the place in a config where its entries are written"""


def page(entry: Entry, width: int, title: str | None = None) -> str:
    """Return the page of an entry: its docstring, an example, and its fields."""
    alias = [f"Another name for {entry.alias_of}.", ""] if entry.alias_of else []
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
    """Return an example of the entry at its place in a config."""
    example = entry.example()
    place = PLACES[entry.kind]
    return (place if ":" in example else place.replace("{{{}}}", "{}")).format(example)


def field_page(match: FieldMatch, width: int) -> str:
    """Return the page of a field: its place, meaning and allowed values."""
    field, others = match.field, len(match.owners) - 1
    default = "required" if field.default is None else f"default {field.default}"
    also = f", and in {others} more" if others else ""
    value = "; ".join([field.value, *(f"sepcnn manual {name}" for name in match.chapters())])
    lines = [f"{match.place} ({default}){also}", wrapped(field.meaning, width, indent=6)]
    return "\n".join([*lines, wrapped(f"value: {value}", width, indent=6)])


def listing(entries: Iterable[Entry], width: int) -> str:
    """Return a line for each entry: its name and first sentence."""
    return columns([(entry.name, entry.summary()) for entry in entries], width)


def contents(chapters: Iterable[Chapter], width: int) -> str:
    """Return a line for each chapter: its name and those of its entries."""
    return columns([(chapter.name, ", ".join(chapter.entries)) for chapter in chapters], width)
