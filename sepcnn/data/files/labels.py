"""Reads the CSV of image files and their labels. Each error names file and line."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sepcnn.errors import DataError
from sepcnn.file_kind import EMPTY, complaint, identify

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class")
SPLIT_COLUMN = "split"
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""accepted names of splits, in any case → split"""


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


def read_labels(table: Path, folder: Path) -> list[LabelRow]:
    """Read the rows of a CSV whose paths are relative to ``folder``; repeated rows count once.

    Errors: `DataError` with the line.
    """
    if is_other_kind(table):
        raise DataError(complaint(table, "a CSV file"))
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            lines = csv.reader(file, delimiter=delimiter, strict=True)
            return list(_rows(lines, table, folder))
    except FileNotFoundError:
        raise DataError(f"there is no file {table}", "check the path of labels") from None
    except UnicodeDecodeError:
        raise DataError(f"{table}: not UTF-8 text", "save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{table}: not a readable CSV ({error})") from None
    except OSError as error:
        raise DataError(f"{table}: {(error.strerror or str(error)).lower()}") from None


def is_other_kind(table: Path) -> bool:
    """Return whether a file is of a known kind that is not a table of text."""
    kind = identify(table)
    return kind is not None and kind != EMPTY and not kind.is_text


def _rows(lines: Iterator[list[str]], table: Path, folder: Path) -> Iterator[LabelRow]:
    header = [cell.strip().casefold() for cell in next(lines, [])]
    path_column = _column(header, PATH_COLUMNS, table)
    label_column = _column(header, LABEL_COLUMNS, table)
    split_column = header.index(SPLIT_COLUMN) if SPLIT_COLUMN in header else None
    seen: dict[str, LabelRow] = {}
    missing: list[str] = []
    for cells in lines:
        line: int = lines.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            message = f"{table}:{line}: {len(cells)} cells, but the header has {len(header)}"
            raise DataError(message, "put quotes around cells that contain the separator")
        row = _row(
            cells[path_column].strip(),
            cells[label_column].strip(),
            None if split_column is None else cells[split_column].strip(),
            f"{table}:{line}",
            folder,
            line,
        )
        if row is None:
            missing.append(f"{table}:{line}: there is no file '{cells[path_column].strip()}'")
            continue
        other = seen.setdefault(row.name, row)
        if other is row:
            yield row
        for found, before in ((row.label, other.label), (row.split, other.split)):
            if found != before:
                message = f"{table}:{line}: '{row.name}' is '{found}', but '{before}' in line "
                raise DataError(f"{message}{other.line}", "remove one of the two lines")
    if missing:
        first, *others = missing
        more = f" ({len(others):,} more missing)" if others else ""
        raise DataError(f"{first}{more}", f"paths are relative to {folder}")


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
    return None


def _column(header: list[str], names: tuple[str, ...], table: Path) -> int:
    found = [index for index, cell in enumerate(header) if cell in names]
    if len(found) == 1:
        return found[0]
    columns = ", ".join(filter(None, header)) or "nothing"
    wanted = f"{', '.join(names[:-1])} or {names[-1]}"
    message = f"{table}:1: the header must have one of {wanted}, found {columns}"
    raise DataError(message, "for example path,label")


def nfc(text: str) -> str:
    """Unicode normal form C: macOS may write é as two characters, Linux writes one."""
    return unicodedata.normalize("NFC", text)
