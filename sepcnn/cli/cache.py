"""``sepcnn cache``: list the files of the user's cache folder, or remove them."""

from __future__ import annotations

import time

import click

from sepcnn.cache import DOWNLOADS, CacheFile, cache_files, cache_folder, remove
from sepcnn.cli import console
from sepcnn.data.cache.row_file import read_metadata
from sepcnn.wording import counted

SECONDS_A_DAY = 86_400


@click.command(name="cache")
@click.option("--clear", is_flag=True, help="Remove the files. They are recreated when needed.")
@click.option(
    "--unused",
    "days",
    metavar="DAYS",
    type=click.FloatRange(min=0),
    default=0,
    help="List or clear only files not used for this many days.",
)
def command(clear: bool, days: float) -> int:
    """List the files in the cache folder.

    They are decoded images, generated images (Shapes) and compiled kernels.

    The folder is $XDG_CACHE_HOME/sepcnn, or the folder where the system keeps caches. Downloaded
    data sets are there too. They are neither listed nor removed.
    """
    now = time.time()
    files = [file for file in cache_files() if now - file.used >= days * SECONDS_A_DAY]
    if clear:
        removed = [file for file in files if remove(file)]
        console.say(f"removed {total(removed)} from {cache_folder()}")
        for file in files:
            if file not in removed:
                console.note(f"not removed, in use or without permission: {file.path}")
        note_downloads()
        return 0 if len(removed) == len(files) else 1
    if files:
        columns = ["what", "image", "MB", "days unused"]
        rows = [
            [
                *described(file),
                f"{file.size / 1e6:,.1f}",
                f"{(now - file.used) / SECONDS_A_DAY:.0f}",
            ]
            for file in files
        ]
        console.table(columns, rows, left=2)
    console.say(f"{total(files)} in {cache_folder()}")
    note_downloads()
    return 0


def note_downloads() -> None:
    folder = cache_folder() / DOWNLOADS
    if folder.is_dir():
        console.note(
            f"downloaded data sets are kept and not counted; to delete them, remove {folder}"
        )


def total(files: list[CacheFile]) -> str:
    """Return the number of files and their total size, as in ``2 files, 3.0 MB,``."""
    return f"{counted(len(files), 'file')}, {sum(file.size for file in files) / 1e6:,.1f} MB,"


def described(file: CacheFile) -> tuple[str, str]:
    """Return the source of a file, and the size of its images if it holds decoded ones."""
    name = file.path.relative_to(cache_folder()).as_posix()
    if file.path.suffix != ".rows":
        return name, ""
    try:
        facts, count = read_metadata(file.path)
        image = "×".join(map(str, facts["shape"]))
        return f"{facts['source']}, {counted(count, 'image')}", f"{image} {facts['resize']}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{name} (damaged)", ""
