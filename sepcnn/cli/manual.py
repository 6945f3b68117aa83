"""``sepcnn manual``: the reference of everything a config can contain."""

from __future__ import annotations

import click

from sepcnn.cli import console
from sepcnn.manual import Chapter, chapters
from sepcnn.manual.entry import Entry
from sepcnn.manual.lookup import FieldMatch, find
from sepcnn.manual.terminal import contents, field_page, listing, page
from sepcnn.wording import columns


@click.command(name="manual")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List everything a config can contain, or show the manual page for NAME.

    NAME is a layer, activation, optimizer, …, a section such as train, a field such as epochs or
    train.epochs, a chapter such as optimizers, or a word to search for.
    """
    width = console.width()
    if name is None:
        console.say(contents(chapters().values(), width))
        console.say("\nsepcnn manual NAME shows a page, as in sepcnn manual Conv2D")
        return
    found = find(name)
    if isinstance(found, Chapter):
        console.say(listing(found.entries.values(), width))
        console.say("\nsepcnn manual NAME shows the page of a name")
        return
    entries = [match for match in found if isinstance(match, Entry)]
    fields = [match for match in found if isinstance(match, FieldMatch)]
    rows = [match for match in found if isinstance(match, tuple)]
    pages = [page(entry, width, f"{entry.name} ({entry.kind})") for entry in entries]
    pages += [field_page(field, width) for field in fields]
    console.say("\n\n".join(pages) or columns(rows, width))
    if rows:
        console.say(f"\nthese mention {name}; sepcnn manual NAME shows the page of a name")
