"""``sepcnn init``: a commented starter config, made for a folder of images if there is one."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import click

from sepcnn.cli import console
from sepcnn.cli.options import PATH
from sepcnn.config.json_schema import schema
from sepcnn.data.files.listing import walk
from sepcnn.errors import DataError, InputError, StorageError
from sepcnn.language.node import FORBIDDEN
from sepcnn.starter import config_text, survey
from sepcnn.wording import counted, typed

STARTER = "starter.yaml"
SCHEMA = "sepcnn.schema.json"


@click.command(name="init")
@click.argument("folder", metavar="[DIR]", type=PATH, required=False)
def command(folder: Path | None) -> None:
    """Write a commented config to begin with, and the schema beside it.

    Where DIR holds images, sorted into folders of their classes: DIR's name.yaml, here, with a
    net, an input size and a training that suit them. Else starter.yaml into DIR (default: here).
    A file that is there is left alone.
    """
    if folder is not None and os.path.isfile(folder):
        raise InputError(f"{folder} is a file", "give the folder that holds the images")
    if folder is not None and holds_images(folder):
        with console.Reading() as watch:
            facts = survey.gather(folder, watch)
        path = Path(f"{folder.resolve().name or 'images'}.yaml")
        write(path, config_text.write(facts, str(folder)))
        found = counted(facts.train, "training image"), counted(facts.classes, "class")
        console.say(f"wrote {path}: {' of '.join(found)}")
        console.say(f"next: {typed('check', path)}      is anything wrong with the images?")
        console.say(f"      {typed('train', path)}")
    else:
        path = (folder or Path()) / STARTER
        text = files("sepcnn.starter").joinpath(STARTER).read_text(encoding="utf-8")
        write(path, text if folder is None else saying(text, no_images(folder)))
        console.say(f"wrote {path}")
        if folder is not None:
            console.say(no_images(folder))
        console.say(f"next: {typed('train', path)}")


def no_images(folder: Path) -> str:
    return f"there are no images in {folder}: the config uses the built-in Shapes"


def saying(text: str, remark: str) -> str:
    """The text with a comment below its first line, which is for editors."""
    first, rest = text.split("\n", 1)
    comment = FORBIDDEN.sub("\ufffd", " ".join(remark.splitlines()))
    return f"{first}\n# {comment}\n{rest}"


def holds_images(folder: Path) -> bool:
    try:
        return folder.is_dir() and next(walk(folder), None) is not None
    except (DataError, OSError):  # writing will tell
        return False


def write(path: Path, text: str) -> None:
    """A new file, and the schema beside it. Errors: `InputError` where there is one already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        with suppress(FileExistsError), path.with_name(SCHEMA).open("x", encoding="utf-8") as file:
            file.write(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise InputError(
            f"{path} is there already", "move it away, or give another folder"
        ) from None
    except OSError as error:
        raise StorageError.of(path, error) from None
