"""Copies sorted by class: nothing is overwritten, lost or mixed up."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sepcnn.errors import DataError, InputError, StorageError
from sepcnn.results import copies
from sepcnn.results.copies import SortedCopies, folder_name, folder_names, outside


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Three files of the same name, two of them with the same content."""
    paths = [tmp_path / name / "1.jpg" for name in "abc"]
    for path, content in zip(paths, ("one", "two", "one"), strict=True):
        path.parent.mkdir()
        path.write_text(content)
    return paths


def contents(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text() for path in files}


SORTED = {"cat/1.jpg": "one", "cat/1 (2).jpg": "two", "cat/1 (3).jpg": "one"}


def test_files_of_one_name(photos: list[Path], tmp_path: Path) -> None:
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    assert [made.add(path, "cat").name for path in photos] == [
        "1.jpg", "1 (2).jpg", "1 (3).jpg"
    ]  # fmt: skip
    assert contents(tmp_path / "out") == SORTED
    assert made.copied == 3
    assert all(path.exists() for path in photos)


def test_a_second_call_changes_nothing(photos: list[Path], tmp_path: Path) -> None:
    for copied in (3, 0):
        made = SortedCopies(tmp_path / "out", ("cat", "dog"))
        for path in photos:
            made.add(path, "cat")
        assert (made.copied, made.already_there) == (copied, 3 - copied)
        assert contents(tmp_path / "out") == SORTED


def test_an_image_that_is_named_twice(photos: list[Path], tmp_path: Path) -> None:
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    again = photos[0].parent / ".." / "a" / "1.jpg"
    assert made.add(photos[0], "cat") == made.add(again, "cat")
    assert contents(tmp_path / "out") == {"cat/1.jpg": "one"}


def test_other_files_are_not_overwritten(photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "out" / "unsure"
    folder.mkdir(parents=True)
    (folder / "1.jpg").symlink_to("nowhere")
    (folder / "1 (2).jpg").mkdir()
    (folder / "1 (3).jpg").write_text("mine")
    SortedCopies(tmp_path / "out", ("cat", "dog")).add(photos[0], None)
    assert contents(tmp_path / "out") == {
        "unsure/1 (3).jpg": "mine",
        "unsure/1 (4).jpg": "one",
    }


def test_a_file_that_another_process_makes_is_not_overwritten(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        if target.name == "1.jpg":
            target.write_text("of another process")
        link(source, target)

    monkeypatch.setattr(copies.os, "link", late)
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    assert made.add(photos[0], "cat").name == "1 (2).jpg"
    assert contents(tmp_path / "out") == {
        "cat/1.jpg": "of another process",
        "cat/1 (2).jpg": "one",
    }


def test_long_names_are_shortened(tmp_path: Path) -> None:
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    for folder in "ab":
        path = tmp_path / folder / ("ä" * 125 + ".jpg")
        path.parent.mkdir()
        path.write_text(folder)
        made.add(path, "cat")
    assert contents(tmp_path / "out") == {
        f"cat/{'ä' * 125}.jpg": "a",
        f"cat/{'ä' * 123} (2).jpg": "b",
    }


def test_an_image_that_was_removed(photos: list[Path], tmp_path: Path) -> None:
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    photos[0].unlink()
    with pytest.raises(DataError, match="there is no file"):
        made.add(photos[0], "cat")
    made.add(photos[1], "cat")
    assert contents(tmp_path / "out") == {"cat/1.jpg": "two"}


def test_times_are_kept(photos: list[Path], tmp_path: Path) -> None:
    os.utime(photos[0], (1, 1))
    copy = SortedCopies(tmp_path / "out", ("cat", "dog")).add(photos[0], "cat")
    assert copy.stat().st_mtime == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_nothing_half_written_remains(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def half(source: Path, target: Path) -> None:
        target.write_text("o")
        raise error

    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    made.add(photos[0], "cat")
    monkeypatch.setattr(shutil, "copyfile", half)
    expected: Any = StorageError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        made.add(photos[1], "cat")
    if isinstance(caught.value, StorageError):
        assert caught.value.message.endswith("could not be written: no space left")
        assert caught.value.hint == (
            "the copies so far are complete; repeat the command to continue"
        )
    assert contents(tmp_path / "out") == {"cat/1.jpg": "one"}


def test_a_file_system_without_hard_links(
    photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(copies.os, "link", link)
    made = SortedCopies(tmp_path / "out", ("cat", "dog"))
    for path in photos:
        made.add(path, "cat")
    assert contents(tmp_path / "out") == SORTED


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("red panda", "red panda"),
        ("écureuil", "écureuil"),
        ("a/b", "a_b"),
        ("..", "__"),
        ("../../etc", "_._.._etc"),
        (".hidden", "_hidden"),
        ("end. ", "end_"),
        ("", "_"),
        ("con", "con_"),
        ("COM1.x", "COM1.x_"),
        ("a\x1b[0m\n", "a_[0m_"),
        ("C:\\x", "C__x"),
        ("é" * 200, "é" * 100),
    ],
)
def test_class_names_become_folder_names(class_name: str, name: str) -> None:
    found = folder_name(class_name)
    assert "/" not in found
    assert found not in (".", "..", "")
    assert found == name


def test_folders_of_classes_differ() -> None:
    names = ("a/b", "a_b", "Cat", "cat", "unsure", "unsure")
    assert folder_names(names) == ["a_b", "a_b (2)", "Cat", "cat (2)", "unsure", "unsure (2)"]


def test_copies_stay_below_their_folder(photos: list[Path], tmp_path: Path) -> None:
    made = SortedCopies(tmp_path / "out", ("../../x", "/etc"))
    for name in ("../../x", "/etc"):
        assert (tmp_path / "out") in made.add(photos[0], name).resolve().parents
        made._copies.clear()


def test_a_file_in_place_of_the_folder(photos: list[Path]) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        SortedCopies(photos[0], ("cat", "dog"))


def test_copies_of_an_earlier_call_are_left_out(photos: list[Path], tmp_path: Path) -> None:
    made = tmp_path / "a" / "sorted" / "cat"
    made.mkdir(parents=True)
    (made / "1.jpg").write_text("copy")
    files = [photos[0], made / "1.jpg"]
    assert outside(files, tmp_path / "a" / "sorted", tmp_path / "a") == [photos[0]]
    assert outside(files, tmp_path / "other", tmp_path / "a") == files
    # Images that are named themselves are read.
    assert outside([made / "1.jpg"], tmp_path / "a" / "sorted", made) == [made / "1.jpg"]
    # A link does not lead back to the copies.
    (tmp_path / "b" / "link").symlink_to(tmp_path / "a" / "sorted")
    linked = [photos[1], tmp_path / "b" / "link" / "cat" / "1.jpg"]
    assert outside(linked, tmp_path / "a" / "sorted", tmp_path / "b") == [photos[1]]
