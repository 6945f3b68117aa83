"""``sepcnn manual``: what a config can name, from the docstrings."""

from __future__ import annotations

import click

from sepcnn.cli import console
from sepcnn.manual import Chapter, chapters
from sepcnn.manual.entry import Entry
from sepcnn.manual.finding import Mention, find
from sepcnn.manual.terminal import columns, contents, field_page, listing, page


@click.command(name="manual")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List all that a config can name, or show the page of one name.

    NAME is a layer, activation, optimizer, …, a section such as train, a field such as epochs or
    train.epochs, one of the kinds that the list begins with, such as optimizers, or a word to look
    for.
    """
    width = console.width()
    if name is None:
        console.say(contents(chapters().values(), width))
        console.say("\nsepcnn manual NAME shows one, as of Conv2D, train, losses")
        return
    found = find(name)
    if isinstance(found, Chapter):
        console.say(listing(found.entries.values(), width))
        console.say("\nsepcnn manual NAME shows the fields of one")
        return
    entries = [one for one in found if isinstance(one, Entry)]
    fields = [one for one in found if isinstance(one, Mention)]
    rows = [one for one in found if isinstance(one, tuple)]
    pages = [page(entry, width, f"{entry.name} ({entry.kind})") for entry in entries]
    pages += [field_page(field, width) for field in fields]
    console.say("\n\n".join(pages) or columns(rows, width))
    if rows:
        console.say(f"\nthese speak of {name}; sepcnn manual NAME shows one")
