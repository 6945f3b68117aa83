"""``sepcnn cache``: what the user's cache folder holds, and how it is cleared."""

from __future__ import annotations

import time

import click

from sepcnn.cache import DOWNLOADS, CacheFile, cache_files, cache_folder, remove
from sepcnn.cli import console
from sepcnn.data.files.row_file import read_facts
from sepcnn.wording import counted

SECONDS_A_DAY = 86_400


@click.command(name="cache")
@click.option("--clear", is_flag=True, help="Remove the files: they are made again when needed.")
@click.option(
    "--unused",
    "days",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=0,
    help="Only files that were not used for so long.",
)
def command(clear: bool, days: float) -> int:
    """Show what the cache folder holds: decoded images, drawn shapes.

    It lies in $XDG_CACHE_HOME/sepcnn, or in the system's usual place for caches. Downloaded sets
    lie there too, and stay.
    """
    now = time.time()
    files = [file for file in cache_files() if now - file.used >= days * SECONDS_A_DAY]
    if clear:
        removed = [file for file in files if remove(file)]
        console.say(f"removed {files_of(removed)} from {cache_folder()}")
        for file in files:
            if file not in removed:
                console.note(f"in use, or not to be removed: {file.path}")
        tell_of_downloads()
        return 0 if len(removed) == len(files) else 1
    if files:
        columns = ["what", "image", "MB", "days unused"]
        rows = [
            [*what(file), f"{file.size / 1e6:,.1f}", f"{(now - file.used) / SECONDS_A_DAY:.0f}"]
            for file in files
        ]
        console.table(columns, rows, left=2)
    console.say(f"{files_of(files)} in {cache_folder()}")
    tell_of_downloads()
    return 0


def tell_of_downloads() -> None:
    folder = cache_folder() / DOWNLOADS
    if folder.is_dir():
        console.note(f"downloaded sets are not counted and stay: remove {folder} to be rid of them")


def files_of(files: list[CacheFile]) -> str:
    """How many, and their size."""
    many = "file" if len(files) == 1 else "files"
    return f"{len(files)} {many}, {sum(file.size for file in files) / 1e6:,.1f} MB,"


def what(file: CacheFile) -> tuple[str, str]:
    """What a file was made of, and the size of its images."""
    name = file.path.relative_to(cache_folder()).as_posix()
    if file.path.suffix != ".rows":
        return name, ""
    try:
        facts, count = read_facts(file.path)
        image = "×".join(map(str, facts["shape"]))
        return f"{facts['source']}, {counted(count, 'image')}", f"{image} {facts['resize']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{name} (damaged)", ""
