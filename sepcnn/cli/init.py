"""``sepcnn init``: write a commented config, for a folder of images if there is one."""

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
from sepcnn.config.loading import load_config
from sepcnn.data.files.listing import walk_images
from sepcnn.errors import DataError, InputError, StorageError
from sepcnn.language.node import FORBIDDEN
from sepcnn.manual.terminal import columns
from sepcnn.starter import config_text, shipped, survey
from sepcnn.wording import counted, shell_command

STARTER = "starter.yaml"
SCHEMA = "sepcnn.schema.json"


@click.command(name="init")
@click.argument("folder", metavar="[DIR]", type=PATH, required=False)
@click.option("--like", "name", metavar="NAME", help="Copy the shipped config of this name.")
@click.option("--list", "lists", is_flag=True, help="List the shipped configs.")
def command(folder: Path | None, name: str | None, lists: bool) -> None:
    """Write a commented config and its JSON schema.

    If DIR has one folder of images per class: write a config named after DIR (photos/ gives
    photos.yaml) into the current folder, with a model, an input size and training settings that
    suit the images. Otherwise: write starter.yaml, which uses built-in images, into DIR (default:
    the current folder).

    With --like NAME: write NAME.yaml, a copy of a shipped config. If DIR holds images,
    data.source is set to DIR. Existing files are never overwritten.
    """
    if lists:
        list_shipped()
        return
    if folder is not None and os.path.isfile(folder):
        raise InputError(f"{folder} is a file", "give the folder that contains the images")
    images = folder if folder is not None and has_images(folder) else None
    if name is not None:
        write_copy(name.removesuffix(shipped.SUFFIX), folder, images)
    elif images:
        write_for_images(images)
    else:
        write_starter(folder)


def list_shipped() -> None:
    rows = [(name, shipped.summary(shipped.read(name))) for name in shipped.names()]
    console.say(columns(rows, console.width()))
    console.say(
        "\nsepcnn init --like NAME writes a copy; with DIR, the copy reads the images in DIR"
    )


def write_for_images(folder: Path) -> None:
    with console.ReadingProgress() as progress:
        facts = survey.gather(folder, progress)
    path = Path(f"{folder.resolve().name or 'images'}.yaml")
    write(path, config_text.write(facts, str(folder)))
    report_images(path, facts.train, facts.classes)
    say_next(path, checks=True)


def write_starter(folder: Path | None) -> None:
    path = (folder or Path()) / STARTER
    text = files("sepcnn.starter").joinpath(STARTER).read_text(encoding="utf-8")
    if folder is None:
        write(path, text)
        console.say(f"wrote {path}")
    else:
        message = f"there are no images in {folder}: the config uses the built-in Shapes"
        write(path, with_comment(text, message))
        console.say(f"wrote {path}")
        console.say(message)
    say_next(path)


def write_copy(name: str, folder: Path | None, images: Path | None) -> None:
    """Write a copy of a shipped config, which reads ``images`` unless they are None."""
    text, path = shipped.read(name), Path(f"{name}{shipped.SUFFIX}")
    if images:
        train, classes = survey.count(images)
        comment = f"A copy of {name} for the images in {images}. "
        comment += "Results below were measured on other images."
        write(path, with_comment(shipped.for_images(text, images), comment))
        report_images(path, train, classes)
        if mismatch := shipped.class_mismatch(load_config(path), classes):
            console.note(f"note: change the last layers: {mismatch}")
        say_next(path, checks=True)
        return
    path = (folder or Path()) / path
    write(path, text)
    console.say(f"wrote {path}")
    if folder is not None:
        console.say(f"there are no images in {folder}: the config keeps its own data source")
    if missing := shipped.missing_data(load_config(path)):
        console.note(f"note: it reads {missing}, which does not exist: change data.source,")
        console.note(
            f"      or for a folder of images: {shell_command('init', '--like', name)} DIR"
        )
    say_next(path)


def report_images(path: Path, train: int, classes: int) -> None:
    console.say(f"wrote {path}: {counted(train, 'training image')} of {counted(classes, 'class')}")


def say_next(path: Path, *, checks: bool = False) -> None:
    """Print the commands to run next."""
    if checks:
        console.say(f"next: {shell_command('check', path)}      # looks for problems in the images")
        console.say(f"      {shell_command('train', path)}")
    else:
        console.say(f"next: {shell_command('train', path)}")


def with_comment(text: str, comment: str) -> str:
    """Return a config with a comment below its first line, which is for editors."""
    first, rest = text.split("\n", 1)
    comment = FORBIDDEN.sub("\ufffd", " ".join(comment.splitlines()))
    return f"{first}\n# {comment}\n{rest}"


def has_images(folder: Path) -> bool:
    try:
        return folder.is_dir() and next(walk_images(folder), None) is not None
    except (DataError, OSError):  # writing into the folder raises the error that is shown
        return False


def write(path: Path, text: str) -> None:
    """Write a new file, and the schema next to it unless there is one.

    Errors: `InputError` if the file exists, StorageError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        with suppress(FileExistsError), path.with_name(SCHEMA).open("x", encoding="utf-8") as file:
            file.write(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise InputError(
            f"{path} exists already",
            "move it to another name, or run the command in another folder",
        ) from None
    except OSError as error:
        raise StorageError.of(path, error) from None
