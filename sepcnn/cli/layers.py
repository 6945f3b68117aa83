"""``sepcnn layers``: the manual's chapter on layers."""

from __future__ import annotations

import click

from sepcnn.cli import console
from sepcnn.errors import InputError
from sepcnn.language.messages import nearest
from sepcnn.manual import Chapter, chapters
from sepcnn.manual.terminal import listing, page


@click.command(name="layers")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the layers, or show the manual page of one."""
    book = chapters()
    layers = book["layers"].entries
    if name is None:
        console.say(listing(layers.values(), console.width()))
        console.say("\nsepcnn layers NAME shows the page of one layer")
        return
    if name not in layers:
        raise InputError(f"there is no layer '{name}'", hint(name, book))
    console.say(page(layers[name], console.width()))


def hint(name: str, book: dict[str, Chapter]) -> str:
    """Suggest an entry of another kind with the same name, or a layer with a similar name."""
    for chapter in book.values():
        if name in chapter.entries:
            kind = chapter.entries[name].kind
            article = "an" if kind[0] in "aeiou" else "a"
            return f"it is {article} {kind}: sepcnn manual {name}"
    near = nearest(name, book["layers"].entries)
    return f"did you mean {near}?" if near else "sepcnn layers lists all layers"
