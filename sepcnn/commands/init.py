"""``sepcnn init``: a commented starter config."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import click

from sepcnn import console
from sepcnn.commands.options import PATH
from sepcnn.errors import InputError, StorageError
from sepcnn.schema import schema

STARTER = "starter.yaml"
SCHEMA = "sepcnn.schema.json"


@click.command(name="init")
@click.argument("folder", metavar="[DIR]", type=PATH, default=Path())
def command(folder: Path) -> None:
    """Write starter.yaml, a commented config to begin with, and the schema beside it.

    DIR is the folder to write into (default: here). A file that is there is left alone.
    """
    text = files("sepcnn.commands").joinpath(STARTER).read_text(encoding="utf-8")
    path = folder / STARTER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        with suppress(FileExistsError), (folder / SCHEMA).open("x", encoding="utf-8") as file:
            file.write(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise InputError(
            f"{path} is there already", "move it away, or give another folder"
        ) from None
    except OSError as error:
        raise StorageError.of(path, error) from None
    console.say(f"wrote {path}")
    console.say(f"next: sepcnn train {path}")
