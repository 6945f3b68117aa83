"""``sepcnn init``: write a config, for a folder of images if there is one, and its schema."""

from __future__ import annotations

import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from sepcnn.cli import console
from sepcnn.config.json_schema import schema
from sepcnn.config.loading import load_config
from sepcnn.data.listing.folder_tree import read_tree
from sepcnn.data.listing.given_layout import LayoutError, is_layout
from sepcnn.data.listing.listing import Listing
from sepcnn.errors import DataError, InputError, StorageError
from sepcnn.language.node import FORBIDDEN
from sepcnn.starter import config_text, shipped, survey
from sepcnn.wording import counted, listed, shell_command

STARTER = "starter.yaml"
SCHEMA = "sepcnn.schema.json"
CONFIG_SUFFIXES = {".yaml", ".yml", ".json"}
"""suffixes of files that may be in a folder that counts as empty"""


def write_config(
    folder: Path | None, name: str | None, layout: str | None, exclude: tuple[str, ...]
) -> None:
    """Write a copy of the shipped config ``name``, a config for the images, or the starter."""
    options: dict[str, object] = {"layout": layout} if layout else {}
    options |= {"exclude": list(exclude)} if exclude else {}
    listing = list_folder(folder, layout, exclude) if folder is not None else None
    if name is not None:
        write_copy(name.removesuffix(shipped.SUFFIX), folder, listing, options)
    elif folder is not None and listing:
        write_for_images(folder, listing, options)
    else:
        write_starter(folder)


def list_folder(folder: Path, layout: str | None, exclude: tuple[str, ...]) -> Listing | None:
    """List the images of a folder; None if there is no such folder, or nothing in it but configs.

    Errors: `DataError` if it has other files, but no images sorted into classes.
    """
    if layout and not is_layout(layout):
        raise InputError(
            f"--layout {layout}: expected levels of folders",
            "as in class, split/class or any/class",
        )
    try:
        if not folder.is_dir():
            return None
    except OSError:  # writing into the folder raises the error that is shown
        return None
    tree = read_tree(folder, exclude)
    left_out = tree.all_left_out()
    if not tree.count:
        if set(left_out.suffixes) <= CONFIG_SUFFIXES and not left_out.excluded:
            return None
        message = f"{folder}: there is no image that can be read; {left_out.notes()[0]}"
        hint = f"without DIR, {shell_command('init')} writes a config for built-in images"
        raise DataError(message, hint)
    try:
        return survey.list_folder(folder, layout, exclude)
    except LayoutError as error:
        hint = f"{error.hint} (options of init: --layout, --exclude)"
        raise LayoutError(error.message, hint) from None


def write_for_images(folder: Path, listing: Listing, options: dict[str, object]) -> None:
    with console.ReadingProgress() as progress:
        facts = survey.gather(folder, listing, progress)
    path = Path(f"{folder.resolve().name or 'images'}.yaml")
    write(path, config_text.write(facts, str(folder), options))
    report_images(path, listing)
    say_next(path, checks=True)


def write_starter(folder: Path | None) -> None:
    path = (folder or Path()) / STARTER
    text = files("sepcnn.starter").joinpath(STARTER).read_text(encoding="utf-8")
    if folder is None:
        write(path, text)
        console.line(f"wrote {path}")
    else:
        message = f"there are no images in {folder}: the config uses the built-in Shapes"
        write(path, with_comment(text, message))
        console.line(f"wrote {path}")
        console.line(message)
    say_next(path)


def write_copy(
    name: str, folder: Path | None, listing: Listing | None, options: dict[str, object]
) -> None:
    """Write a copy of a shipped config, which reads the images of ``folder`` if it has any."""
    text, path = shipped.read(name), Path(f"{name}{shipped.SUFFIX}")
    if folder is not None and listing:
        if not survey.is_readable(listing):
            raise survey.no_readable(folder)
        comment = f"A copy of {name} for the images in {folder}. "
        comment += "Results below were measured on other images."
        write(path, with_comment(shipped.for_images(text, folder, options), comment))
        report_images(path, listing)
        if mismatch := shipped.class_mismatch(load_config(path), len(listing.class_names)):
            console.note(f"note: change the last layers: {mismatch}")
        say_next(path, checks=True)
        return
    path = (folder or Path()) / path
    write(path, text)
    console.line(f"wrote {path}")
    if folder is not None:
        console.line(f"there are no images in {folder}: the config keeps its own data source")
    if missing := shipped.missing_data(load_config(path)):
        console.note(f"note: it reads {missing}, which does not exist: change data.source,")
        console.note(
            f"      or for a folder of images: {shell_command('init', '--like', name)} DIR"
        )
    say_next(path)


def report_images(path: Path, listing: Listing) -> None:
    train, classes = survey.train_count(listing), listing.class_names
    console.say(
        f"wrote {path}: {counted(train, 'training image')} of {counted(len(classes), 'class')}"
    )
    console.line(f"classes: {listed(classes)}")
    console.notes(listing.notes())


def say_next(path: Path, *, checks: bool = False) -> None:
    """Print the commands to run next."""
    if checks:
        console.line(
            f"next: {shell_command('check', path)}      # looks for problems in the images"
        )
        console.line(f"      {shell_command('train', path)}")
    else:
        console.line(f"next: {shell_command('train', path)}")


def with_comment(text: str, comment: str) -> str:
    """Return a config with a comment below its first line, which is for editors."""
    first, rest = text.split("\n", 1)
    comment = FORBIDDEN.sub("\ufffd", " ".join(comment.splitlines()))
    return f"{first}\n# {comment}\n{rest}"


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
