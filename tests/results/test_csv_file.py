"""CSV files: what spreadsheets read, and what is never replaced."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pytest

from sepcnn.errors import InputError, StorageError
from sepcnn.results.csv_file import (
    check_target,
    path_cell,
    probability_cell,
    text_cell,
    write_csv,
)


def test_cells_keep_commas_quotes_and_newlines(tmp_path: Path) -> None:
    rows = [["a,b.jpg", 'say "cheese"'], ["two\nlines", ";"]]
    write_csv(tmp_path / "a.csv", ["path", "class"], rows)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["path", "class"], *rows]
    assert (tmp_path / "a.csv").read_bytes().startswith(b'path,class\n"a,b.jpg",')


def test_a_byte_order_mark_only_outside_ascii(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["path"], [["schön.jpg"], ["raw\udcff.jpg"]])
    assert (tmp_path / "a.csv").read_bytes() == (
        b"\xef\xbb\xbfpath\n" + "schön.jpg\n".encode() + b"raw\\udcff.jpg\n"
    )


@pytest.mark.parametrize("first", "=+-@\t\r\n＝")
def test_no_cell_is_a_formula(first: str) -> None:
    assert path_cell(f"{first}1+1.jpg") == f"./{first}1+1.jpg"
    assert text_cell(f"{first}cmd|' /C calc'!A0") == f"'{first}cmd|' /C calc'!A0"


def test_other_cells_are_unchanged() -> None:
    assert [text_cell(text) for text in ("cat", "-1", "+2.5", "a=b", "")] == [
        "cat", "-1", "+2.5", "a=b", ""
    ]  # fmt: skip
    assert path_cell("photos/-a.jpg") == "photos/-a.jpg"
    assert [probability_cell(p) for p in (1.0, 0.12345678, 1e-9)] == ["1", "0.123457", "1e-09"]


def test_a_target_is_checked_first(tmp_path: Path) -> None:
    for suffix in (".csv", ".CSV", ".txt"):
        (tmp_path / f"a{suffix}").write_text("old")
        check_target(tmp_path / f"a{suffix}", "--csv")
    check_target(tmp_path / "new", "--csv")
    (tmp_path / "a.jpg").write_text("image")
    with pytest.raises(InputError, match=r"a\.jpg exists, and only files named \.csv or \.txt"):
        check_target(tmp_path / "a.jpg", "--csv")
    with pytest.raises(InputError, match=r"there is no folder .*none"):
        check_target(tmp_path / "none" / "a.csv", "--csv")
    with pytest.raises(InputError, match=r"is a folder\n   give a file"):
        check_target(tmp_path, "--csv")
    with pytest.raises(InputError, match="too long"):
        check_target(tmp_path / ("a" * 300), "--csv")


def test_a_full_disk_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a.csv").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="could not be written: no space left on device"):
        write_csv(tmp_path / "a.csv", ["path"], [])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
