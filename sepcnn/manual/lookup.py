"""Look up a name in the manual: chapters, entries, fields, or texts that mention it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sepcnn.errors import InputError
from sepcnn.language.messages import nearest
from sepcnn.manual import INTROS, Chapter, chapters
from sepcnn.manual.entry import Entry, Field

SHORTEST_WORD = 3
"""minimum length of a word to search for in texts"""
INFLECTION = re.compile("(?<=.{4})(ation|ing|ion|ed|es|e|s)$")
"""endings that are ignored in a search, so that rotate finds Rotation"""


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """A field, and all entries in which it is identical."""

    owners: tuple[Entry, ...]
    field: Field

    @property
    def place(self) -> str:
        """The field with its first owner, as in ``train.epochs``."""
        return f"{self.owners[0].name}.{self.field.name}"

    def chapters(self) -> list[str]:
        """Return the chapters that list the possible values of the field."""
        return [name for kind, (name, *_) in INTROS.items() if kind in self.field.references]


Row = tuple[str, str]
"""a name that `find` accepts, and its description"""


def find(name: str) -> Chapter | list[Entry] | list[FieldMatch] | list[Row]:
    """Return the first of these that exists for a name.

    1. the chapter with that name
    2. all entries with that name, ignoring case and underscores (ReLU and relu)
    3. all fields with that name or path (epochs, train.epochs)
    4. the names whose description mentions the word

    Errors: `InputError` with the most similar name, if there are none.
    """
    book = chapters()
    if name in book:
        return book[name]
    everything = [entry for chapter in book.values() for entry in chapter.entries.values()]
    if found := entries_called(name, everything):
        return found
    *path, last = re.sub(r"\[\d+\]", "", name).split(".")
    owners = owners_of(path[-1], book) if path else everything
    if fields := field_matches(last, owners):
        return fields
    if path and (found := entries_called(last, everything)):  # train.optimizer.Adam
        return found
    if not path and (rows := mentioning(name, everything)):
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


def owners_of(name: str, book: dict[str, Chapter]) -> list[Entry]:
    """Return the entries a part of a path refers to, such as Conv2D, train, layers or optimizer."""
    owners = []
    for chapter in book.values():
        for entry in chapter.entries.values():
            if bare(name) in (bare(entry.name), entry.kind) or name == chapter.name:
                owners.append(entry)
    return owners


def field_matches(name: str, owners: Sequence[Entry]) -> list[FieldMatch]:
    """Return the fields with that name, sections first. Identical fields are one match."""
    matches: dict[Field, list[Entry]] = {}
    for entry in sorted(owners, key=lambda entry: entry.kind != "section"):
        for field in entry.fields():
            if field.name == name:
                matches.setdefault(field, []).append(entry)
    return [FieldMatch(tuple(entries), field) for field, entries in matches.items()]


def mentioning(word: str, entries: Sequence[Entry]) -> list[Row]:
    """Return entries and section fields with the word in their name, then those in their text."""
    rows = [(entry.name, entry.summary()) for entry in entries]
    for entry in entries:
        if entry.kind == "section":
            rows += [(f"{entry.name}.{field.name}", field.meaning) for field in entry.fields()]
    for stem in (word, INFLECTION.sub("", word)):
        if len(stem) >= SHORTEST_WORD:
            in_name = [row for row in rows if bare(stem) in bare(row[0])]
            in_text = [row for row in rows if stem.lower() in row[1].lower() and row not in in_name]
            if in_name or in_text:
                return in_name + in_text
    return []


def bare(name: str) -> str:
    """Return a name in lower case, without underscores."""
    return name.replace("_", "").lower()
