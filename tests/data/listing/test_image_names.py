"""Which files count as images, by name or by their first bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from sepcnn.data.decoding.reading import read_image
from sepcnn.data.listing.image_names import (
    begins_as_image,
    image_suffixes,
    is_image,
    skipped_as,
)


def test_the_suffixes_are_those_of_the_readable_formats() -> None:
    assert image_suffixes() >= {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
        *(".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx"),
    }
    assert not image_suffixes() & {".txt", ".pdf", ".eps", ".pfm", ".mpg", ".h5", ".psd"}


def test_case_does_not_matter() -> None:
    assert is_image("A.JFIF", "does not matter")


def test_spaces_and_dots_at_the_end_do_not_matter() -> None:
    assert is_image("a.jpg ", "does not matter")
    assert is_image("a.jpg.", "does not matter")


@pytest.mark.parametrize(
    "format_", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"]
)
def test_a_file_without_suffix_is_an_image_by_its_first_bytes(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "photo"
    Image.new("RGB", (8, 8), (50, 60, 70)).save(path, format_)
    assert is_image("photo", str(path))
    assert read_image(path, (8, 8, 3)).shape == (8, 8, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"BM is the beginning of this text.",
        b"P1 is the name of the plan"[:1],
        b"Python",
        b"RIFF1234WAVE",
        b"0000ftypisom",
        b"II",
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_other_files_without_suffix_are_no_images(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "README"
    path.write_bytes(content)
    assert not begins_as_image(str(path))


def test_a_link_to_a_pipe_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    assert not begins_as_image(str(tmp_path / "link"))


def test_a_file_that_cannot_be_opened_is_no_image(tmp_path: Path) -> None:
    assert not begins_as_image(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("@eaDir", "@eaDir"),
        ("Thumbs.db", "Thumbs.db"),
        ("$RECYCLE.BIN", "$RECYCLE.BIN"),
        ("lost+found", "lost+found"),
        ("System Volume Information", "System Volume Information"),
        ("._IMG_1.jpg", "._*"),
        (".Trashes", ".Trashes"),
        ("cats", None),
        ("thumbs", None),
    ],
)
def test_names_of_systems(name: str, kind: str | None) -> None:
    assert skipped_as(name) == kind
