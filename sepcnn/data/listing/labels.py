"""Reads the CSV of image files and their labels. Each error names file and line."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sepcnn.data.listing.image_names import image_suffixes, suffix_of
from sepcnn.data.listing.nearest_file import missing_file_hint
from sepcnn.data.listing.table_columns import SPLIT_WORDS, Columns, Rows, find_columns
from sepcnn.data.listing.table_text import read_rows
from sepcnn.errors import DataError


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A row of the CSV."""

    path: Path
    name: str
    """the path relative to the folder, with / and in Unicode normal form C"""
    label: str
    split: str | None
    line: int
    """from 1"""


@dataclass(frozen=True)
class Labels:
    """The rows of a CSV, and what the user should know about how it was read."""

    rows: tuple[LabelRow, ...]
    notes: tuple[str, ...] = ()


def read_labels(table: Path, folder: Path, columns: Mapping[str, str] | None = None) -> Labels:
    """Read the rows of a CSV whose paths are relative to ``folder``; repeated rows count once.

    ``columns`` are names of the columns path, label and split that replace the usual names.
    Errors: `DataError` with the line.
    """
    rows = read_rows(table)
    header = rows[0][1] if rows else []
    found = find_columns(
        header, rows[1:], columns or {}, lambda text: _find(text, folder) is not None, table
    )
    labels = list(_rows(rows[1:], header, found, table, folder))
    return Labels(tuple(labels), tuple(f"{table.name}: {note}" for note in found.notes))


def _rows(
    rows: Rows, header: list[str], columns: Columns, table: Path, folder: Path
) -> Iterator[LabelRow]:
    seen: dict[str, LabelRow] = {}
    missing: list[tuple[int, str]] = []
    for line, cells in rows:
        if len(cells) != len(header):
            message = f"{table}:{line}: {len(cells)} cells, but the header has {len(header)}"
            raise DataError(message, "put quotes around cells that contain the separator")
        path = cells[columns.path]
        row = _row(
            path,
            columns.label_of(cells, header),
            None if columns.split is None else cells[columns.split],
            f"{table}:{line}",
            folder,
            line,
        )
        if row is None:
            missing.append((line, path))
            continue
        other = seen.setdefault(row.name, row)
        if other is row:
            yield row
        for found, before in ((row.label, other.label), (row.split, other.split)):
            if found != before:
                message = f"{table}:{line}: '{row.name}' is '{found}', but '{before}' in line "
                raise DataError(f"{message}{other.line}", "remove one of the two lines")
    if missing:
        line, path = missing[0]
        more = f" ({len(missing) - 1:,} more missing)" if len(missing) > 1 else ""
        hint = missing_file_hint(path, folder)
        raise DataError(f"{table}:{line}: there is no file '{path}'{more}", hint)


def _row(
    path: str, label: str, split: str | None, place: str, folder: Path, line: int
) -> LabelRow | None:
    """Check one row; None if its file does not exist. Errors: `DataError`."""
    if not path or "\0" in path:
        raise DataError(f"{place}: the path is missing")
    if not label:
        raise DataError(f"{place}: '{path}' has no label", "add one, or remove the line")
    if split is not None and split.casefold() not in SPLIT_WORDS:
        message = f"{place}: the split of '{path}' is '{split}'"
        raise DataError(message, "write train, val or test")
    found = _find(path, folder)
    if found is None:
        return None
    chosen = None if split is None else SPLIT_WORDS[split.casefold()]
    relative = os.path.relpath(found, folder) if found.is_relative_to(folder) else str(found)
    name = nfc(Path(os.path.normpath(relative)).as_posix())
    return LabelRow(found, name, nfc(label), chosen, line)


def _find(text: str, folder: Path) -> Path | None:
    """Find a file, even if the CSV has backslashes or another Unicode normal form."""
    forms = [text, text.replace("\\", "/")]
    forms += [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in forms]
    for form in dict.fromkeys(forms):
        try:
            if (folder / form).is_file():
                return folder / form
        except OSError:  # a name that is too long
            continue
    return _without_suffix(text, folder)


def _without_suffix(text: str, folder: Path) -> Path | None:
    """The only image file that has the name ``text`` and a suffix."""
    if not text or suffix_of(text) in image_suffixes():
        return None
    location = os.path.join(folder, text)
    found = [path for suffix in image_suffixes() if os.path.isfile(path := location + suffix)]
    return Path(found[0]) if len(found) == 1 else None


def nfc(text: str) -> str:
    """Unicode normal form C: macOS may write é as two characters, Linux writes one."""
    return unicodedata.normalize("NFC", text)
