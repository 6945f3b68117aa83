"""A CSV of image files and their labels: every row checked, each error at file:line."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sepcnn.errors import DataError
from sepcnn.wording import counted

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
"""how people write the splits, in folders and in tables, in any case"""


@dataclass(frozen=True, slots=True)
class Row:
    """An image and what the table says of it."""

    path: Path
    name: str
    """the path as it stands in the table, with / and in Unicode's composed form"""
    label: str
    split: str | None
    line: int


def read_labels(table: Path, folder: Path) -> list[Row]:
    """The rows of a table whose paths start at ``folder``; a row that is repeated counts once.

    Errors: `DataError` at the line.
    """
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
        raise DataError(f"{table}: not a text in UTF-8", "save the table as CSV in UTF-8") from None
    except csv.Error as error:
        raise DataError(f"{table}: not a readable CSV ({error})") from None
    except OSError as error:
        raise DataError(f"{table}: {(error.strerror or str(error)).lower()}") from None


def _rows(lines: Iterator[list[str]], table: Path, folder: Path) -> Iterator[Row]:
    header = [cell.strip().casefold() for cell in next(lines, [])]
    path_column = _column(header, PATH_COLUMNS, table)
    label_column = _column(header, LABEL_COLUMNS, table)
    split_column = header.index(SPLIT_COLUMN) if SPLIT_COLUMN in header else None
    seen: dict[str, Row] = {}
    missing: list[str] = []
    for cells in lines:
        line: int = lines.line_num  # type: ignore[attr-defined]
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            message = f"{table}:{line}: {len(cells)} cells, but the header has {len(header)}"
            raise DataError(message, "put quotes around a cell that holds the separator")
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
        more = f", nor those of {counted(len(others), 'more line')}" if others else ""
        raise DataError(f"{first}{more}", f"paths start at {folder}")


def _row(
    path: str, label: str, split: str | None, place: str, folder: Path, line: int
) -> Row | None:
    """A line of the table; None where its file is not there."""
    if not path or "\0" in path:
        raise DataError(f"{place}: there is no path")
    if not label:
        raise DataError(f"{place}: '{path}' has no label", "give it one, or remove the line")
    if split is not None and split.casefold() not in SPLIT_WORDS:
        message = f"{place}: the split of '{path}' is '{split}'"
        raise DataError(message, "write train, val or test")
    found = _find(path, folder)
    if found is None:
        return None
    chosen = None if split is None else SPLIT_WORDS[split.casefold()]
    relative = os.path.relpath(found, folder) if found.is_relative_to(folder) else str(found)
    name = nfc(Path(os.path.normpath(relative)).as_posix())
    return Row(found, name, nfc(label), chosen, line)


def _find(text: str, folder: Path) -> Path | None:
    """The file, also where the table was written on a system with other habits."""
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
    message = f"{table}:1: the header must name one of {wanted}, found {columns}"
    raise DataError(message, "as in path,label")


def nfc(text: str) -> str:
    """Unicode's composed form: macOS may write é as two characters where Linux writes one."""
    return unicodedata.normalize("NFC", text)
