"""Writes CSV files that spreadsheets and programs read alike."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from sepcnn.atomic_file import replace_file
from sepcnn.errors import InputError
from sepcnn.file_kind import system_error

FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")
"""a spreadsheet computes a cell that begins with one of these, which may even run a program"""
REPLACED_SUFFIXES = (".csv", ".txt")
"""suffixes of existing files that are replaced: never an image or a checkpoint"""


def check_target(path: Path, option: str) -> None:
    """Check, before anything is computed, that a CSV file can be written.

    Errors: `InputError` if its folder is missing, or if another kind of file has this name.
    """
    try:
        if not path.parent.is_dir():
            raise InputError(f"{option}: there is no folder {path.parent}", "create it first")
        if path.is_dir():
            raise InputError(f"{option}: {path} is a folder", f"give a file: {path / 'FILE.csv'}")
        if path.exists() and path.suffix.lower() not in REPLACED_SUFFIXES:
            message = f"{option}: {path} exists, and only files named .csv or .txt are replaced"
            raise InputError(message, "give another name")
    except OSError as error:  # for example a name that is too long
        raise InputError(f"{option}: {path}: {system_error(path, error)}") from None


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table as UTF-8; an existing file is replaced at the end.

    A byte order mark is written only if there are characters outside ASCII, because spreadsheets
    need it then, and some programs take it for a part of the first name.
    Errors: `StorageError`; the old file is then unchanged.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    table = text.getvalue()
    mark = b"" if table.isascii() else codecs.BOM_UTF8
    # Bytes of a path that are not UTF-8 are written as in JSON: a table must be readable.
    replace_file(path, mark + table.encode(errors="backslashreplace"))


def path_cell(path: str) -> str:
    """A path that no spreadsheet takes for a formula, and that leads to the same file."""
    return f"./{path}" if path.startswith(FORMULA_STARTS) else path


def text_cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: a ``'`` is put in front if necessary."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) and not is_number(text) else text


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def probability_cell(probability: float) -> str:
    """A probability with 6 significant digits."""
    return f"{probability:.6g}"
