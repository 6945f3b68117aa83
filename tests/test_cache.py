"""Cache files are written completely or not at all, and a failure is not an error."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.unix import Unix
from platformdirs.windows import Windows

from sepcnn.cache import cache_folder, keep


def write(file: BinaryIO) -> None:
    file.write(b"content")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_xdg_cache_home_decides_about_the_folder(home: Path) -> None:
    assert cache_folder() == home / "sepcnn"


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        (Unix, ".cache/sepcnn"),
        (MacOS, "Library/Caches/sepcnn"),
        (Windows, "AppData/Local/sepcnn/Cache"),
    ],
)
def test_each_system_has_its_usual_folder(
    system: type[PlatformDirsABC], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    local = str(tmp_path / "AppData" / "Local")
    monkeypatch.setattr("platformdirs.windows.get_win_folder", lambda name: local)
    monkeypatch.setattr("platformdirs.PlatformDirs", system)
    assert cache_folder() == tmp_path / expected


def test_a_container_without_a_home_has_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / "sepcnn-cache"


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
def test_a_failed_write_leaves_nothing_behind(home: Path, error: BaseException) -> None:
    def fail(file: BinaryIO) -> None:
        file.write(b"half of the con")
        raise error

    if isinstance(error, OSError):
        assert not keep("a", fail)
    else:
        with pytest.raises(type(error)):
            keep("a", fail)
    assert files(home) == []


def test_a_folder_that_cannot_be_created_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Below a file: even root cannot write there.
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
