"""Tables of labels as people save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sepcnn.data.listing.labels import Labels, read_labels
from sepcnn.errors import DataError


def read(folder: Path, text: str, encoding: str = "utf-8", **columns: str) -> Labels:
    for name in ("1.jpg", "2.jpg", "a/3.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "labels.csv").write_bytes(text.encode(encoding))
    return read_labels(folder / "labels.csv", folder, columns)


def pairs(labels: Labels) -> list[tuple[str, str]]:
    return [(row.name, row.label) for row in labels.rows]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('path, label\n1.jpg, "cat"\n2.jpg, "dog"\n', "utf-8"),
        ("sep=;\r\npath;label\r\n1.jpg;cat\r\n2.jpg;dog\r\n", "utf-8"),
        ("path\tlabel\n1.jpg\tcat\n2.jpg\tdog\n", "utf-16"),
        ("filepaths,breed\n1.jpg,cat\n2.jpg,dog\n", "utf-8"),
        ("id,labels\n1,cat\n2,dog\n", "utf-8"),
        ("path,cat,dog\n1.jpg,1,0\n2.jpg,0,1\n", "utf-8"),
    ],
    ids=["quotes", "excel", "utf-16", "columns", "no-suffix", "one-hot"],
)
def test_tables_that_are_understood(tmp_path: Path, text: str, encoding: str) -> None:
    assert pairs(read(tmp_path, text, encoding)) == [("1.jpg", "cat"), ("2.jpg", "dog")]


def test_guessed_columns_are_noted(tmp_path: Path) -> None:
    text = "filepaths,labels,set\n1.jpg,cat,train\n2.jpg,dog,test\n"
    found = read(tmp_path, text)
    assert found.notes == (
        "labels.csv: column 'filepaths' has the paths",
        "labels.csv: column 'set' has the splits",
        "labels.csv: column 'labels' has the labels",
    )
    assert [row.split for row in found.rows] == ["train", "test"]


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "path,class,label\n1.jpg,cat,0\n"
    assert pairs(read(tmp_path, text, label="class")) == [("1.jpg", "cat")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,class,label\n1.jpg,cat,0\n", "1: several columns may be the label: class, label\n"
         "   choose one: columns: {label: class}"),
        ("1.jpg,cat\n2.jpg,dog\n", "1: the header is missing: the first line has the path of a "
         "file\n   add a first line such as path,label"),
        ("path,label\n1.PNG,cat\n", "2: there is no file '1.PNG'\n"
         "   paths are relative to ROOT; the nearest file is '1.jpg'"),
        ("path,label\n3.jpg,cat\n", "2: there is no file '3.jpg'\n"
         "   paths are relative to ROOT: set path to ROOT/a"),
        ("path,label\nC:\\me\\a\\3.jpg,cat\n", "2: there is no file 'C:\\me\\a\\3.jpg'\n"
         "   paths are relative to ROOT; the nearest file is 'a/3.jpg'"),
        ("path,label\nhttp://x.org/1.jpg,cat\n", "2: there is no file 'http://x.org/1.jpg'\n"
         "   URLs are not read: download the images"),
    ],
    ids=["two-labels", "no-header", "suffix", "folder", "machine", "url"],
)  # fmt: skip
def test_tables_that_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    message = str(caught.value).replace(str(tmp_path), "ROOT")
    assert message == f"ROOT/labels.csv:{expected}"
