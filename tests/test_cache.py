"""The cache folder: files whole or not at all, and never an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from sepcnn.cache import cache_folder, keep


def write(file: BinaryIO) -> None:
    file.write(b"content")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_the_folder_is_where_the_environment_says(home: Path) -> None:
    assert cache_folder() == home / "sepcnn"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "HOME", ".cache/sepcnn"),
        ("darwin", "HOME", "Library/Caches/sepcnn"),
        ("win32", "LOCALAPPDATA", "sepcnn/cache"),
    ],
)
def test_each_system_has_its_usual_folder(
    platform: str, variable: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder() == tmp_path / expected


def test_a_file_is_kept_with_its_folders(home: Path) -> None:
    assert keep("a/b.npz", write)
    assert (home / "sepcnn/a/b.npz").read_bytes() == b"content"
    assert files(home) == ["sepcnn/a/b.npz"]


def test_a_file_is_replaced(home: Path) -> None:
    path = home / "sepcnn" / "a"
    path.parent.mkdir()
    path.write_bytes(b"something else")
    assert keep("a", write)
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize(
    "error", [OSError("disk full"), ValueError(), KeyboardInterrupt()], ids=repr
)
def test_nothing_is_left_of_a_file_that_could_not_be_written(
    home: Path, error: BaseException
) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half of the con")
        raise error

    if isinstance(error, OSError):
        assert not keep("a", fail)
    else:
        with pytest.raises(type(error)):
            keep("a", fail)
    assert files(home) == []


def test_a_folder_that_cannot_be_made_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Below a file: also root cannot write there.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not keep("a", write)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write in a read-only folder")
def test_a_read_only_folder_is_no_error(home: Path) -> None:
    home.chmod(0o500)
    try:
        assert not keep("a", write)
    finally:
        home.chmod(0o700)
