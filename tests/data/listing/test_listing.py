"""Listing of the image files of a folder or CSV, and refusals."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from sepcnn.data.listing.listing import Listing, find_images, list_images, natural_key
from sepcnn.errors import DataError
from tests.conftest import SHARED_DATA

CLOTHING = SHARED_DATA / "clothing10_side128"


def fill(root: Path, *names: str) -> Path:
    """Create empty files, which are not opened by the listing."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def write(root: Path, text: str, name: str = "labels.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root / name


def found(listing: Listing) -> list[tuple[str, str, str | None]]:
    return [(file.name, file.class_name, file.split) for file in listing.files]


def complaint(root: Path, labels: Path | None = None) -> str:
    with pytest.raises(DataError) as caught:
        list_images(root, labels)
    return str(caught.value).replace(str(root), "ROOT")


# ── folders ───────────────────────────────────────────────────────────────────────────────────


def test_folders_are_classes(tmp_path: Path) -> None:
    listing = list_images(fill(tmp_path, "dog/b.jpg", "cat/a.PNG", "cat/b.jpeg"))
    assert listing.class_names == ("cat", "dog")
    expected = [("cat/a.PNG", "cat"), ("cat/b.jpeg", "cat"), ("dog/b.jpg", "dog")]
    assert found(listing) == [(*pair, None) for pair in expected]
    assert [file.path for file in listing.files] == [tmp_path / name for name, _ in expected]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Validation", "VAL"])
def test_accepted_names_of_split_folders(tmp_path: Path, val: str) -> None:
    names = [f"{split}/{name}/a.jpg" for split in ("Train", val, "test") for name in "ab"]
    counts = list_images(fill(tmp_path, *names)).counts()
    assert counts == {"train": {"a": 1, "b": 1}, "val": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}


def test_subfolders_belong_to_their_class(tmp_path: Path) -> None:
    listing = list_images(fill(tmp_path, "a/x.jpg", "a/2024/may/x.jpg", "b/x.jpg"))
    keys = [(file.key, file.class_name) for file in listing.files]
    assert keys == [("2024/may/x.jpg", "a"), ("x.jpg", "a"), ("x.jpg", "b")]


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    listing = list_images(fill(tmp_path, "car/a.jpg", "train/a.jpg", "ship/a.jpg"))
    assert listing.class_names == ("car", "ship", "train")
    assert set(listing.counts()) == {None}


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    hidden = ["a/._1.jpg", ".git/x/1.jpg", "a/.thumbs/1.jpg", "a/notes.txt", "b/Thumbs.db"]
    listing = list_images(fill(tmp_path, "a/1.jpg", "b/1.jpg", *hidden))
    assert [file.name for file in listing.files] == ["a/1.jpg", "b/1.jpg"]
    assert listing.unlabelled == ()


def test_images_next_to_the_class_folders_are_reported(tmp_path: Path) -> None:
    listing = list_images(fill(tmp_path, "a/1.jpg", "b/1.jpg", "preview.png"))
    assert listing.unlabelled == (str(tmp_path / "preview.png"),)
    assert len(listing.files) == 2


def test_class_names_are_in_natural_order() -> None:
    names = ["10", "9", "b", "A", "a", "C", "img12", "img2", "007", "²"]
    expected = ["007", "9", "10", "A", "a", "b", "C", "img2", "img12", "²"]
    assert sorted(names, key=natural_key) == expected
    names.reverse()
    assert sorted(names, key=natural_key) == expected


def test_unicode_normal_forms_of_a_name_are_equal(tmp_path: Path) -> None:
    for number, form in enumerate(("NFC", "NFD")):
        name = unicodedata.normalize(form, "Käse")
        fill(tmp_path, f"{name}/{number}.jpg", "苹果/1.jpg")
    listing = list_images(tmp_path)
    assert listing.class_names == ("Käse", "苹果")
    assert [file.name for file in listing.files] == ["Käse/0.jpg", "Käse/1.jpg", "苹果/1.jpg"]
    assert all(file.path.exists() for file in listing.files)


def test_links_are_followed_without_cycles(tmp_path: Path) -> None:
    fill(tmp_path, "store/x.jpg", "root/a/1.jpg")
    root = tmp_path / "root"
    (root / "b").symlink_to(tmp_path / "store")
    (root / "a" / "2.jpg").symlink_to(tmp_path / "store" / "x.jpg")
    (root / "a" / "again").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "b" / "round").symlink_to("round")
    (root / "b" / "y.jpg").symlink_to("y.jpg")
    names = [file.name for file in list_images(root).files]
    assert names == ["a/1.jpg", "a/2.jpg", "b/x.jpg", "b/y.jpg"]


def test_a_link_to_a_parent_adds_no_other_class(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{split}/{name}/1.jpg" for split in ("train", "val") for name in "ab"))
    before = list_images(tmp_path)
    (tmp_path / "train" / "a" / "split").symlink_to("..")
    (tmp_path / "train" / "b" / "all").symlink_to(tmp_path)
    assert list_images(tmp_path) == before


def test_a_broken_link_counts_as_an_image(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a" / "2.jpg").symlink_to(tmp_path / "gone.jpg")
    assert "a/2.jpg" in [file.name for file in list_images(tmp_path).files]


def test_a_pipe_is_not_an_image(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    os.mkfifo(tmp_path / "a" / "2.jpg")
    assert len(list_images(tmp_path).files) == 2


def test_folders_nested_a_thousand_deep(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    nested = [tmp_path / "b"]
    for _ in range(1100):
        nested.append(nested[-1] / "c")
        nested[-1].mkdir()
    fill(nested[-1], "2.jpg")
    try:
        assert [file.path for file in list_images(tmp_path).files][-1] == nested[-1] / "2.jpg"
        assert len(find_images(tmp_path)[0]) == 3
    finally:  # pytest removes folders by recursion
        (nested[-1] / "2.jpg").unlink()
        for folder in reversed(nested[1:]):
            folder.rmdir()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(
            ["notes.txt"],
            "ROOT: there are no images that can be read; left out: 1 file: .txt 1\n   put the "
            "images of each class in a folder of that name, or give a CSV: labels: FILE",
            id="empty",
        ),
        pytest.param(
            ["1.jpg"],
            "ROOT: there are images, but no folders named by class\n   put the images of "
            "each class in a folder of that name, or give a CSV: labels: FILE",
            id="no-classes",
        ),
        pytest.param(
            ["train/1.jpg", "test/1.jpg"],
            "ROOT/test: there are images, but no folders named by class\n   put the "
            "images of each class in a folder of that name, or give a CSV: labels: FILE, or "
            "exclude: test",
            id="no-classes-in-splits",
        ),
        pytest.param(
            ["a/1.jpg"],
            "ROOT: there is only one class, 'a'\n   a classifier needs at least two",
            id="one-class",
        ),
        pytest.param(
            ["a/1.jpg", "b/notes.txt"],
            "ROOT/b: there are no images of this class\n   add images, or exclude: b; "
            "left out: 1 file: .txt 1",
            id="empty-class",
        ),
        pytest.param(
            ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/c/1.jpg"],
            "ROOT: train lacks classes: val has 'c'\n   use the same class names in every split; "
            "add training images, or remove the others",
            id="classes-differ",
        ),
        pytest.param(
            ["val/a/1.jpg", "test/a/1.jpg", "val/b/1.jpg", "test/b/1.jpg"],
            "ROOT: there are no training images, only test and val",
            id="no-training",
        ),
        pytest.param(
            ["val/a/1.jpg", "train/a/1.jpg", "Validation/a/1.jpg"],
            "ROOT: found both 'Validation' and 'val'\n   merge them into one folder val, "
            "or set layout: split/class to use both",
            id="validation-twice",
        ),
        pytest.param(
            ["train/a/1.jpg", "train/b/1.jpg", "extra/1.jpg"],
            "ROOT: 'extra' is next to 'train': is it a class or a split?\n   move or rename "
            "it, exclude: extra, or set layout: class if all of them are classes",
            id="neither",
        ),
    ],
)
def test_folders_that_are_refused(tmp_path: Path, names: list[str], expected: str) -> None:
    assert complaint(fill(tmp_path, *names)) == expected


def test_splits_other_than_train_may_lack_classes(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "test/b/1.jpg")
    listing = list_images(tmp_path)
    assert listing.class_names == ("a", "b")
    assert listing.counts()["test"] == {"a": 0, "b": 1}


def test_a_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    assert complaint(tmp_path / "gone") == "there is no folder ROOT\n   check the path"
    file = fill(tmp_path, "a.zip") / "a.zip"
    assert complaint(file) == "ROOT is a file\n   give the folder that contains the images"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "b").chmod(0)
    assert complaint(tmp_path) == "ROOT/b: permission denied"
    (tmp_path / "b").chmod(0o700)


@pytest.mark.skipif(not CLOTHING.exists(), reason=f"{CLOTHING} is not here")
def test_real_photos() -> None:
    listing = list_images(CLOTHING)
    counts = {split: sum(each.values()) for split, each in listing.counts().items()}
    assert counts == {"test": 372, "train": 3068, "val": 341}
    assert listing.class_names[0::9] == ("dress", "t-shirt")


# ── finding ───────────────────────────────────────────────────────────────────────────────────


def test_images_are_found_at_every_depth_in_sorted_order(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "a.PNG", "c/d/e.jpeg", "c/a.webp", "10.bmp", "9.bmp")
    names = [str(path.relative_to(tmp_path)) for path in find_images(tmp_path)[0]]
    assert names == ["10.bmp", "9.bmp", "a.PNG", "b.jpg", "c/a.webp", "c/d/e.jpeg"]


def test_hidden_files_and_other_files_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "a.png", ".b.png", ".trash/c.png", "d/.e/f.png", "g.txt", "png", "h.png.txt")
    (tmp_path / "folder.png").mkdir()
    assert find_images(tmp_path)[0] == [tmp_path / "a.png"]


def test_the_folder_itself_may_be_hidden(tmp_path: Path) -> None:
    fill(tmp_path, ".data/a.png")
    assert find_images(tmp_path / ".data")[0] == [tmp_path / ".data" / "a.png"]


def test_a_file_is_returned_unchanged(tmp_path: Path) -> None:
    fill(tmp_path, "photo")
    assert find_images(tmp_path / "photo")[0] == [tmp_path / "photo"]


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_images(tmp_path / "none")
    expected = f"there is no file or folder {tmp_path / 'none'}\n   check the path"
    assert str(caught.value) == expected


def test_a_folder_without_images(tmp_path: Path) -> None:
    fill(tmp_path, "readme.txt", ".hidden.png")
    with pytest.raises(DataError) as caught:
        find_images(tmp_path)
    assert str(caught.value) == (
        f"there is no image in {tmp_path}; "
        "left out: 1 file: .txt 1; hidden or of the system: .hidden.png 1"
    )


def test_find_images_follows_links(tmp_path: Path) -> None:
    fill(tmp_path, "store/x.jpg", "root/a/1.jpg")
    root = tmp_path / "root"
    (root / "b").symlink_to(tmp_path / "store")
    (root / "a" / "again").symlink_to(root)
    assert find_images(root)[0] == [root / "a" / "1.jpg", root / "b" / "x.jpg"]


# ── CSV ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("path", ["path", "file", "filename", "Image"])
@pytest.mark.parametrize("label", ["label", " Class "])
def test_accepted_column_names(tmp_path: Path, path: str, label: str) -> None:
    fill(tmp_path, "x/1.jpg", "2.jpg")
    table = write(tmp_path, f"id,{label},{path}\n0,cat,x/1.jpg\n1,dog, 2.jpg \n\n")
    expected = [("2.jpg", "dog", None), ("x/1.jpg", "cat", None)]
    assert found(list_images(tmp_path, table)) == expected


def test_a_csv_with_splits(tmp_path: Path) -> None:
    fill(tmp_path, "1", "2", "3", "4")
    rows = "1;a;train\n2;b;Train\n3;a;valid\n4;b;validation\n"
    listing = list_images(tmp_path, write(tmp_path, f"\ufefffile;label;split\n{rows}"))
    assert [split for _, _, split in found(listing)] == ["train", "train", "val", "val"]


def test_the_separator_is_the_most_frequent_in_the_header(tmp_path: Path) -> None:
    fill(tmp_path, "1", "2,3")
    rows = "1;a;640, 480\n2,3;b;64, 48\n"
    listing = list_images(tmp_path, write(tmp_path, f'path;label;"width, height"\n{rows}'))
    assert [file.name for file in listing.files] == ["1", "2,3"]


def test_paths_from_other_systems_are_found(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", unicodedata.normalize("NFD", "é.jpg"))
    table = write(tmp_path, "path,label\na\\1.jpg,x\né.jpg,y\n")
    listing = list_images(tmp_path, table)
    assert [file.name for file in listing.files] == ["a/1.jpg", "é.jpg"]


def test_an_absolute_path_has_the_same_name(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "2.jpg")
    table = write(tmp_path, f"path,label\n{tmp_path}/a/1.jpg,x\n./a/../2.jpg,y\n")
    assert [f.name for f in list_images(tmp_path, table).files] == ["2.jpg", "a/1.jpg"]


def test_a_repeated_row_counts_once(tmp_path: Path) -> None:
    fill(tmp_path, "1", "2")
    table = write(tmp_path, "path,label\n1,a\n2,b\n1,a\n")
    assert len(list_images(tmp_path, table).files) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "1: the header must have one of path, file, filename or image, found "
                     "nothing\n   for example path,label; or name the column: columns: "
                     "{path: NAME}", id="empty"),
        pytest.param("path,kind,size\n1,a,3\n", "1: the header must have one of label or "
                     "class, found path, kind, size\n   for example path,label; or name the "
                     "column: columns: {label: NAME}", id="no-label"),
        pytest.param("path,file,label\n", "1: several columns may be the path: path, file\n   "
                     "choose one: columns: {path: path}", id="two-paths"),
        pytest.param("path,label\n1,a\n3,b\n", "3: there is no file '3'\n"
                     "   paths are relative to ROOT",
                     id="missing-file"),
        pytest.param("path,label\n3,b\n1,a\n4,b\n5,b\n", "2: there is no file '3' (2 more "
                     "missing)\n   paths are relative to ROOT", id="missing-files"),
        pytest.param("path,label\n1,\n", "2: '1' has no label\n   add one, or remove the line",
                     id="empty-label"),
        pytest.param("path,label\n,a\n", "2: the path is missing", id="empty-path"),
        pytest.param("path,label\n1,a,b\n", "2: 3 cells, but the header has 2\n   put quotes "
                     "around cells that contain the separator", id="cells"),
        pytest.param("path,label\n1,a\n2,b\n./1,b\n", "4: '1' is 'b', but 'a' in line 2\n   "
                     "remove one of the two lines", id="two-labels"),
        pytest.param("path,label,split\n1,a,train\n1,a,test\n", "3: '1' is 'test', but 'train' in "
                     "line 2\n   remove one of the two lines", id="two-splits"),
        pytest.param("path,label,split\n1,a,dev\n", "2: the split of '1' is 'dev'\n   write train, "
                     "val or test", id="split"),
        pytest.param("path,label,split\n1,a,\n", "2: the split of '1' is ''\n   write train, "
                     "val or test", id="no-split"),
    ],
)  # fmt: skip
def test_invalid_rows_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    table = write(fill(tmp_path, "1", "2"), text)
    assert complaint(tmp_path, table) == f"ROOT/labels.csv:{expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label\n", ": there are no images"),
        ("path,label\n1,a\n2,a\n", ": there is only one class, 'a'\n   a classifier needs at "
         "least two"),
        ('path,label\n"1,a\n', ": not a readable CSV (unexpected end of data)"),
    ],
)  # fmt: skip
def test_csv_files_with_invalid_classes_are_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    table = write(fill(tmp_path, "1", "2"), text)
    assert complaint(tmp_path, table) == f"ROOT/labels.csv{expected}"


def test_class_names_that_differ_only_in_case(tmp_path: Path) -> None:
    text = "path,label,split\n1,a,train\n2,Dog,train\n3,a,val\n4,dog,val\n"
    table = write(fill(tmp_path, "1", "2", "3", "4"), text)
    assert complaint(tmp_path, table) == (
        "ROOT/labels.csv: train lacks classes: val has 'dog'\n"
        "   'Dog' and 'dog' differ only in case: use one name"
    )


def test_a_file_that_is_not_a_csv_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "labels.csv"
    assert complaint(tmp_path, missing) == (
        "there is no file ROOT/labels.csv\n   check the path of labels"
    )
    missing.write_bytes(b"path,label\n\xff\xfe,a\n")
    expected = "ROOT/labels.csv:2: not UTF-8 text\n   save it as CSV in UTF-8; in Excel: CSV UTF-8"
    assert complaint(tmp_path, missing) == expected
