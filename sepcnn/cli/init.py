"""``sepcnn init``: the arguments. The config is written in `sepcnn.cli.new_config`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sepcnn.cli import console, signals
from sepcnn.cli.options import PATH
from sepcnn.errors import InputError
from sepcnn.starter import shipped
from sepcnn.wording import columns


@click.command(name="init")
@click.argument("folder", metavar="[DIR]", type=PATH, required=False)
@click.option("--like", "name", metavar="NAME", help="Copy the shipped config of this name.")
@click.option(
    "--layout",
    metavar="LEVELS",
    help="Meaning of the folders in DIR, as in the field layout of Folder: class, split/class …",
)
@click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Files or folders in DIR to leave out, as in the field exclude of Folder.",
)
@click.option("--list", "lists", is_flag=True, help="List the shipped configs.")
def command(
    folder: Path | None, name: str | None, layout: str | None, exclude: tuple[str, ...], lists: bool
) -> None:
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
    with signals.exit_at_once():
        from sepcnn.cli.new_config import write_config  # it imports torch

    write_config(folder, name, layout, exclude)


def list_shipped() -> None:
    rows = [(name, shipped.summary(shipped.read(name))) for name in shipped.names()]
    console.say(columns(rows, console.width()))
    console.say(
        "\nsepcnn init --like NAME writes a copy; with DIR, the copy reads the images in DIR"
    )
