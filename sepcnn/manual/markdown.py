"""The manual as Markdown: the pages that scripts/write-manual writes to docs/reference/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sepcnn.config.json_schema import TABLES
from sepcnn.manual import INTROS, SECTIONS, Chapter, chapters
from sepcnn.manual.entry import Entry, Field

HEAD = "| field | value | default | meaning |\n| --- | --- | --- | --- |"


def pages() -> dict[str, str]:
    """Every page by its file name."""
    book = chapters()
    homes = {table.kind: INTROS[table.kind][0] for table in TABLES}
    return {f"{name}.md": page(chapter, homes) for name, chapter in book.items()}


def page(chapter: Chapter, homes: dict[str, str]) -> str:
    return "\n\n".join(parts(chapter, homes)) + "\n"


def parts(chapter: Chapter, homes: dict[str, str]) -> Iterator[str]:
    """The parts of a page; ``homes`` names the chapter of each kind."""
    yield f"# {chapter.title}"
    yield "<!-- Written by scripts/write-manual from the docstrings: change those instead. -->"
    yield prose(chapter.intro)
    yield f"```yaml\n{chapter.example}```"
    yield " · ".join(f"[{name}](#{name.lower()})" for name in chapter.entries)
    first = next(iter(chapter.entries.values()))
    if shared := first.shared_fields():
        yield f"Every {first.kind} takes these fields; one that differs lists them again."
        yield field_table(shared, homes)
    for entry in chapter.entries.values():
        yield from entry_parts(entry, homes)


def entry_parts(entry: Entry, homes: dict[str, str]) -> Iterator[str]:
    yield f"## {entry.name}"
    if entry.alias_of:
        yield f"Another name of [{entry.alias_of}](#{entry.alias_of.lower()})."
        return
    yield from map(prose, entry.paragraphs())
    if entry.kind != "section" and (entry.example() != entry.name or entry.own_fields()):
        yield how_to_write(entry)
    if fields := entry.own_fields():
        yield field_table(fields, homes)


def how_to_write(entry: Entry) -> str:
    """An example, and which field its value fills."""
    example, first = entry.example(), entry.first_field()
    short = example != entry.name and not example.startswith(f"{entry.name}: {{")
    return f"Example: `{example}`" + (f" (the value is `{first}`)" if short else "")


def field_table(fields: Sequence[Field], homes: dict[str, str]) -> str:
    rows = [
        [
            f"`{field.name}`",
            linked(field, homes),
            "required" if field.default is None else f"`{field.default}`",
            prose(field.meaning),
        ]
        for field in fields
    ]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([HEAD, *lines])


def linked(field: Field, homes: dict[str, str]) -> str:
    """What can be written, with links to the chapters of what it names."""
    targets = {kind: f"{home}.md" for kind, home in homes.items()}
    targets["duration"] = "../guide/config.md#values"
    targets |= {name: f"sections.md#{name}" for name in SECTIONS if "_" in name}
    names = "|".join(name for name in targets if name in field.kinds)
    if not names:
        return field.value
    link = rf"\b({names})s?\b"
    return re.sub(link, lambda match: f"[{match[0]}]({targets[match[1]]})", field.value)


def prose(text: str) -> str:
    """A docstring's paragraph: code in single backticks, papers as links."""
    text = text.replace("``", "`")
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
