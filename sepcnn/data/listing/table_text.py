"""Reads the text of a CSV as people save it: encoding, separator, Excel's ``sep=`` line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from sepcnn.errors import DataError
from sepcnn.file_kind import EMPTY, complaint, identify, system_error

SEPARATORS = ",;\t|"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_rows(table: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, with the number of their last line; cells are stripped.

    Quotes may follow a space. Errors: `DataError`.
    """
    text = _decode(table)
    skipped = 0
    first, _, rest = text.partition("\n")
    marker = first.strip().strip('"').lower()
    if marker.startswith("sep=") and len(marker) <= 5:
        # strip() removes a tab
        separator, text, skipped = marker[4:] or "\t", rest, 1
    else:
        separator = max(SEPARATORS, key=first.count)
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    try:
        return list(_stripped(rows, skipped))
    except csv.Error as error:
        raise DataError(f"{table}: not a readable CSV ({error})") from None


def _stripped(rows: Iterator[list[str]], skipped: int) -> Iterator[tuple[int, list[str]]]:
    for cells in rows:
        if any(cell.strip() for cell in cells):
            line: int = rows.line_num  # type: ignore[attr-defined]
            yield line + skipped, [cell.strip() for cell in cells]


def _decode(table: Path) -> str:
    try:
        content = table.read_bytes()
    except FileNotFoundError:
        raise DataError(f"there is no file {table}", "check the path of labels") from None
    except OSError as error:
        raise DataError(f"{table}: {system_error(table, error)}") from None
    try:
        if content.startswith(UTF_16):
            return content.decode("utf-16")
        if is_other_kind(table):
            raise DataError(complaint(table, "a CSV file"))
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"{table}:{line}: not UTF-8 text"
        hint = "save it as CSV in UTF-8; in Excel: CSV UTF-8"
        raise DataError(found, hint) from None


def is_other_kind(table: Path) -> bool:
    """Return whether a file is of a known kind that is not a table of text."""
    kind = identify(table)
    return kind is not None and kind != EMPTY and not kind.is_text
