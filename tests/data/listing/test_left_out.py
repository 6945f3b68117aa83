"""Files that are left out are counted: other suffixes, hidden and system files, patterns."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sepcnn.data.listing import image_names, left_out
from sepcnn.data.listing.listing import find_images, list_images
from sepcnn.errors import DataError
from tests.data.listing.test_listing import fill, write


def notes(root: Path, labels: Path | None = None, *exclude: str) -> list[str]:
    return list_images(root, labels, None, exclude).notes()


def test_files_are_counted_by_suffix(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{name}/{i}.jpg" for name in "ab" for i in range(3)))
    fill(tmp_path, *(f"a/{i}.CR2" for i in range(30)), "b/1.txt", "2.txt", "b/c/3.txt", "README")
    assert notes(tmp_path) == ["left out: 34 files: .cr2 30, .txt 3, no suffix 1"]


def test_nothing_left_out_needs_no_note(tmp_path: Path) -> None:
    assert notes(fill(tmp_path, "a/1.jpg", "b/1.jfif")) == []


def test_many_suffixes_are_summed_up(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg", *(f"a/1.x{i}" for i in range(12)), "a/2.x5")
    assert notes(tmp_path)[0].startswith("left out: 13 files: .x5 2, .x0 1, ")
    assert notes(tmp_path)[0].endswith(", others 4")


def test_system_files_are_skipped_and_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg", "a/@eaDir/1.jpg/SYNOPHOTO_THUMB_M.jpg", "b/@eaDir/2.jpg")
    fill(tmp_path, "__MACOSX/a/._1.jpg", "lost+found/1.jpg", "$RECYCLE.BIN/a/1.jpg")
    fill(tmp_path, "System Volume Information/x", "a/Thumbs.db", "a/desktop.ini", "a/._1.jpg")
    listing = list_images(tmp_path)
    assert [file.name for file in listing.files] == ["a/1.jpg", "b/1.jpg"]
    assert listing.class_names == ("a", "b")
    skipped = listing.left_out.skipped
    assert skipped.total() == 9
    assert (skipped["@eaDir"], skipped["._*"], skipped["$RECYCLE.BIN"]) == (2, 1, 1)
    assert listing.notes()[0].startswith("left out: hidden or of the system: @eaDir 2, ")
    assert find_images(tmp_path)[0] == [tmp_path / "a" / "1.jpg", tmp_path / "b" / "1.jpg"]


def test_patterns_exclude_names_and_paths(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "a/1_mask.png", "b/1.jpg", "b/old/1.jpg", "b/old/2.jpg", "c/1.jpg")
    fill(tmp_path, "a/c.jpg", "b/new/old/3.jpg")
    listing = list_images(tmp_path, None, None, ["*_mask.*", "b/old", "c/"])
    names = ["a/1.jpg", "a/c.jpg", "b/1.jpg", "b/new/old/3.jpg"]
    assert [file.name for file in listing.files] == names
    assert listing.notes() == ["left out: excluded *_mask.* 1, b/old 1, c/ 1"]


@pytest.mark.parametrize("pattern", ["old", "old/", "b/old", "/b/old"])
def test_an_excluded_folder_excludes_the_rows_of_a_csv(tmp_path: Path, pattern: str) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg", "b/old/1.jpg", "b/old/2.jpg")
    table = write(tmp_path, "path,label\na/1.jpg,a\nb/1.jpg,b\nb/old/1.jpg,b\n")
    listing = list_images(tmp_path, table, None, [pattern])
    assert [file.name for file in listing.files] == ["a/1.jpg", "b/1.jpg"]
    assert listing.notes() == [f"left out: excluded {pattern} 1"]


def test_a_pattern_that_excludes_nothing_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "b/1.jpg")
    note = "exclude matches nothing: masks, *.jpeg (paths start below path)"
    assert notes(tmp_path, None, "masks", "*.jpeg") == [note]


def test_patterns_exclude_rows_of_a_csv(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "a/2.jpg", "a/2_mask.jpg")
    table = write(tmp_path, "path,label\na/1.jpg,x\na/2.jpg,y\na/2_mask.jpg,y\n")
    listing = list_images(tmp_path, table, None, ["*_mask.jpg"])
    assert [file.name for file in listing.files] == ["a/1.jpg", "a/2.jpg"]
    assert listing.notes() == ["left out: excluded *_mask.jpg 1"]


def test_images_that_a_csv_does_not_list_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.jpg", "a/2.jpg", "a/3.jpg", "a/._3.jpg", "b/4.jpg")
    table = write(tmp_path, "path,label\n./a/1.jpg,x\na/2.jpg,y\n")
    assert notes(tmp_path, table) == ["left out: 1 image that the CSV does not list"]


def test_heic_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = image_names.image_suffixes() - {".heic"}
    monkeypatch.setattr(image_names, "image_suffixes", lambda: without)
    monkeypatch.setattr(left_out, "image_suffixes", lambda: without)
    fill(tmp_path, "a/1.jpg", "b/1.jpg", "a/1.heic", "b/2.HEIC")
    hint = "to read .heic, pip install 'sepcnn[heic]'"
    assert notes(tmp_path) == [f"left out: 2 files: .heic 2 ({hint})"]
    fill(tmp_path / "phone", "a/1.heic", "b/2.heic")
    with pytest.raises(DataError) as caught:
        list_images(tmp_path / "phone")
    assert f"no images that can be read; left out: 2 files: .heic 2 ({hint})" in str(caught.value)


def test_heic_is_read_with_its_library(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    from sepcnn.data.decoding.reading import read_image

    assert ".heic" in image_names.image_suffixes()  # registers the format
    for name in ("a.heic", "b"):
        Image.new("RGB", (64, 48), (200, 10, 10)).save(tmp_path / name, "HEIF")
    assert find_images(tmp_path)[0] == [tmp_path / "a.heic", tmp_path / "b"]
    for name in ("a.heic", "b"):
        pixels = read_image(tmp_path / name, (8, 8, 3))
        assert abs(pixels.astype(int) - (200, 10, 10)).max() < 8
