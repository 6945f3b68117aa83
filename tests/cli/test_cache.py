"""``sepcnn cache`` lists the cached files and removes them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sepcnn.data.sources.base import Request
from sepcnn.data.sources.folder import Folder
from tests.cli.conftest import Invoke
from tests.pictures import write_folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a folder of photos and a drawn set."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    root = write_folder(tmp_path / "photos", count=2)
    Folder(path=root).open(Request((12, 12, 3), 0.1, 0))
    drawn = tmp_path / "sepcnn" / "shapes" / "a.npz"
    drawn.parent.mkdir()
    drawn.write_bytes(bytes(3_000_000))
    old = time.time() - 10 * 86_400
    os.utime(drawn, (old, old))
    return tmp_path / "sepcnn"


def test_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert invoke("cache") == (0, f"0 files, 0.0 MB, in {tmp_path / 'sepcnn'}\n", "")
    expected = f"removed 0 files, 0.0 MB, from {tmp_path / 'sepcnn'}\n"
    assert invoke("cache", "--clear") == (0, expected, "")


def test_files_are_listed(home: Path, invoke: Invoke) -> None:
    code, out, _ = invoke("cache")
    lines = [" ".join(line.split()) for line in out.splitlines() if line.strip()]
    assert code == 0
    assert lines[0] == "what image MB days unused"
    assert lines[2] == "shapes/a.npz 3.0 10"
    assert lines[3] == f"{home.parent / 'photos'}, 6 images 12×12×3 crop 0.0 0"
    assert lines[4] == f"2 files, 3.0 MB, in {home}"


def test_a_damaged_file_is_listed_as_damaged(home: Path, invoke: Invoke) -> None:
    (path,) = home.rglob("*.rows")
    path.write_bytes(b"")
    assert f"images/{path.name} (damaged)" in invoke("cache")[1]


def test_clear_removes_all_files(home: Path, invoke: Invoke) -> None:
    assert invoke("cache", "--clear") == (0, f"removed 2 files, 3.0 MB, from {home}\n", "")
    assert {path.suffix for path in home.rglob("*") if path.is_file()} <= {".lock"}


def test_recently_used_files_are_kept(home: Path, invoke: Invoke) -> None:
    expected = f"removed 1 file, 3.0 MB, from {home}\n"
    assert invoke("cache", "--clear", "--unused", "7") == (0, expected, "")
    assert list(home.rglob("*.rows"))
    assert not list(home.rglob("*.npz"))


def test_downloaded_data_sets_are_kept(home: Path, invoke: Invoke) -> None:
    """A folder that lost some of its files would pass for a complete data set."""
    unpacked = home / "datasets" / "imagenette2" / "train" / "n01440764" / "a.jpg"
    unpacked.parent.mkdir(parents=True)
    unpacked.write_bytes(bytes(2_000_000))
    note = "downloaded data sets are kept and not counted; to delete them, remove "
    note += f"{home / 'datasets'}\n"
    _, out, err = invoke("cache")
    assert out.endswith(f"2 files, 3.0 MB, in {home}\n")
    assert err == note
    expected = f"removed 2 files, 3.0 MB, from {home}\n"
    assert invoke("cache", "--clear") == (0, expected, note)
    assert unpacked.exists()


def test_a_file_that_is_being_written_is_kept(home: Path, invoke: Invoke) -> None:
    partial = home / "images" / "b.partial"
    partial.touch()
    with FileLock(partial.with_suffix(".lock")):
        code, _, err = invoke("cache", "--clear")
    assert (code, err) == (1, f"not removed, in use or without permission: {partial}\n")
    assert partial.exists()
    assert invoke("cache", "--clear")[0] == 0
    assert not partial.exists()
