"""How a name is found in the manual: pages, fields, and what speaks of a word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sepcnn.errors import InputError
from sepcnn.language.messages import nearest
from sepcnn.manual import INTROS, Chapter, chapters
from sepcnn.manual.entry import Entry, Field

SHORTEST_WORD = 3
"""letters of a word that is looked for inside others"""
INFLECTION = re.compile("(?<=.{4})(ation|ing|ion|ed|es|e|s)$")
"""what a word may end with in a question and not in the manual: rotate, Rotation"""


@dataclass(frozen=True, slots=True)
class Mention:
    """A field, and all entries that have it just so."""

    owners: tuple[Entry, ...]
    field: Field

    @property
    def place(self) -> str:
        """``train.epochs``."""
        return f"{self.owners[0].name}.{self.field.name}"

    def chapters(self) -> list[str]:
        """Those that list what the field's value can be."""
        return [name for kind, (name, *_) in INTROS.items() if kind in self.field.kinds]


Row = tuple[str, str]
"""a name to ask the manual for, and what it is"""


def find(name: str) -> Chapter | list[Entry] | list[Mention] | list[Row]:
    """A chapter, every entry of that name however it is spelt (the layer ReLU and relu), every
    field of that name or place (epochs, train.epochs), or rows of what speaks of it.

    Errors: `InputError` with the nearest name.
    """
    book = chapters()
    if name in book:
        return book[name]
    everything = [entry for chapter in book.values() for entry in chapter.entries.values()]
    if found := entries_called(name, everything):
        return found
    *path, last = re.sub(r"\[\d+\]", "", name).split(".")
    owners = owned(path[-1], book) if path else everything
    if fields := mentions(last, owners):
        return fields
    if path and (found := entries_called(last, everything)):  # train.optimizer.Adam
        return found
    if not path and (rows := speaking_of(name, everything)):
        return rows
    known = [*book, *(entry.name for entry in everything)]
    if path and owners:
        known = [f"{path[-1]}.{field.name}" for owner in owners for field in owner.fields()]
        name = f"{path[-1]}.{last}"
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else "sepcnn manual lists all names"
    raise InputError(f"the manual has no page '{name}'", hint)


def entries_called(name: str, entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if bare(entry.name) == bare(name)]


def owned(name: str, book: dict[str, Chapter]) -> list[Entry]:
    """The entries that a part of a path means: Conv2D, train, any of layers, any optimizer."""
    found = []
    for chapter in book.values():
        for entry in chapter.entries.values():
            if bare(name) in (bare(entry.name), entry.kind) or name == chapter.name:
                found.append(entry)
    return found


def mentions(name: str, owners: Sequence[Entry]) -> list[Mention]:
    """The fields of that name, those of sections first; what many share is told once."""
    found: dict[Field, list[Entry]] = {}
    for entry in sorted(owners, key=lambda entry: entry.kind != "section"):
        for field in entry.fields():
            if field.name == name:
                found.setdefault(field, []).append(entry)
    return [Mention(tuple(entries), field) for field, entries in found.items()]


def speaking_of(word: str, entries: Sequence[Entry]) -> list[Row]:
    """Entries whose name or first sentence has the word in it, and the sections' fields."""
    rows = [(entry.name, entry.summary()) for entry in entries]
    for entry in entries:
        if entry.kind == "section":
            rows += [(f"{entry.name}.{field.name}", field.meaning) for field in entry.fields()]
    for wanted in (word, INFLECTION.sub("", word)):
        if len(wanted) >= SHORTEST_WORD:
            named = [row for row in rows if bare(wanted) in bare(row[0])]
            told = [row for row in rows if wanted.lower() in row[1].lower() and row not in named]
            if named or told:
                return named + told
    return []


def bare(name: str) -> str:
    """A name without case and underscores."""
    return name.replace("_", "").lower()
