"""Finds the columns of a table of labels: by given names, usual names, or their content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sepcnn.errors import DataError

PATH_COLUMNS = ("path", "file", "filename", "image")
LABEL_COLUMNS = ("label", "class")
OTHER_LABEL_COLUMNS = ("labels", "class_name", "classname", "category", "target")
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
TRIED_ROWS = 20
"""rows whose cells are tried as files"""

Rows = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Columns:
    """Column numbers. ``one_hot`` are the columns named by class if no column has the label."""

    path: int
    label: int | None
    split: int | None
    one_hot: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def label_of(self, cells: list[str], header: list[str]) -> str:
        if self.label is not None:
            return cells[self.label]
        return next(header[i] for i in self.one_hot if float(cells[i]) == 1)


def find_columns(
    header: list[str],
    rows: Rows,
    given: Mapping[str, str],
    exists: Callable[[str], bool],
    table: Path,
) -> Columns:
    """Find the columns; a note says which were guessed. Errors: `DataError`."""
    folded = [cell.casefold() for cell in header]
    usual = {*PATH_COLUMNS, *LABEL_COLUMNS}
    if not given and usual.isdisjoint(folded) and any(map(exists, filter(None, header))):
        message = f"{table}:1: the header is missing: the first line has the path of a file"
        raise DataError(message, "add a first line such as path,label")
    chosen = {role: _given(role, name, folded, header, table) for role, name in given.items()}
    notes = []
    path = chosen.get("path")
    if path is None:
        path = _only(folded, PATH_COLUMNS)
    if path is None:
        with_files = [i for i in range(len(header)) if _has_files(i, rows, exists)]
        if len(with_files) != 1:
            raise _error(PATH_COLUMNS, "path", header, folded, table)
        path = with_files[0]
        notes.append(f"column '{header[path]}' has the paths")
    split = chosen.get("split", _only(folded, (SPLIT_COLUMN,)))
    label = chosen.get("label")
    if split is None:
        others = [i for i in range(len(header)) if i not in (path, label)]
        guessed = [i for i in others if _are_splits(i, rows)]
        if len(guessed) == 1:
            split = guessed[0]
            notes.append(f"column '{header[split]}' has the splits")
    if label is None:
        label = _only(folded, LABEL_COLUMNS)
    if label is not None:
        return Columns(path, label, split, (), tuple(notes))
    others = [i for i in range(len(header)) if i not in (path, split) and header[i]]
    if one_hot := _one_hot(others, rows):
        notes.append(f"labels are one-hot: the classes are the {len(one_hot)} columns of 0 and 1")
        return Columns(path, None, split, one_hot, tuple(notes))
    if not any(name in LABEL_COLUMNS for name in folded):
        label = _only(folded, OTHER_LABEL_COLUMNS)
        if label is None and len(others) == 1:
            label = others[0]
    if label is None:
        raise _error(LABEL_COLUMNS, "label", header, folded, table)
    notes.append(f"column '{header[label]}' has the labels")
    return Columns(path, label, split, (), tuple(notes))


def _given(role: str, name: str, folded: list[str], header: list[str], table: Path) -> int:
    if name in header:
        return header.index(name)
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    found = ", ".join(filter(None, header)) or "nothing"
    raise DataError(f"{table}:1: there is no column '{name}', found {found}", "check columns")


def _only(folded: list[str], names: tuple[str, ...]) -> int | None:
    found = [index for index, cell in enumerate(folded) if cell in names]
    return found[0] if len(found) == 1 else None


def _cells(column: int, rows: Rows) -> list[str]:
    return [cells[column] for _, cells in rows if column < len(cells)]


def _has_files(column: int, rows: Rows, exists: Callable[[str], bool]) -> bool:
    return any(exists(cell) for cell in _cells(column, rows[:TRIED_ROWS]) if cell)


def _are_splits(column: int, rows: Rows) -> bool:
    words = {cell.casefold() for cell in _cells(column, rows)}
    splits = {SPLIT_WORDS.get(word) for word in words}
    return None not in splits and "train" in splits and len(splits) > 1


def _one_hot(columns: list[int], rows: Rows) -> tuple[int, ...]:
    """The columns of 0 and 1 if each row has exactly one 1 among them; else nothing."""
    flags = tuple(i for i in columns if rows and {*_cells(i, rows)} <= {"0", "1", "0.0", "1.0"})
    whole = len(flags) > 1 and all(len(cells) > flags[-1] for _, cells in rows)
    if whole and all(sum(float(cells[i]) for i in flags) == 1 for _, cells in rows):
        return flags
    return ()


def _error(
    names: tuple[str, ...], role: str, header: list[str], folded: list[str], table: Path
) -> DataError:
    several = [cell for cell, name in zip(header, folded, strict=True) if name in names]
    if len(several) > 1:
        message = f"{table}:1: several columns may be the {role}: {', '.join(several)}"
        return DataError(message, f"choose one: columns: {{{role}: {several[0]}}}")
    columns = ", ".join(filter(None, header)) or "nothing"
    message = f"{table}:1: the header must have one of {', '.join(names[:-1])} or {names[-1]}"
    hint = f"for example path,label; or name the column: columns: {{{role}: NAME}}"
    return DataError(f"{message}, found {columns}", hint)
