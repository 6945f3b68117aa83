"""A file is written completely or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sepcnn.atomic_file import replace_file, replacing
from sepcnn.errors import StorageError


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file that exists already, alone in its folder."""
    path = tmp_path / "settings.yaml"
    path.write_bytes(b"old")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_content_is_replaced(old: Path) -> None:
    replace_file(old, b"new")
    assert old.read_bytes() == b"new"
    assert names(old.parent) == ["settings.yaml"]


def test_a_new_file_is_created(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_the_old_file_can_be_read_until_the_block_ends(old: Path) -> None:
    with replacing(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"
        assert names(old.parent) == [".settings.yaml.partial", "settings.yaml"]
    assert old.read_bytes() == b"new"


def test_the_partial_file_can_have_another_name(old: Path) -> None:
    with replacing(old, old.with_suffix(".new")):
        assert names(old.parent) == ["settings.new", "settings.yaml"]
    assert names(old.parent) == ["settings.yaml"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), OSError()], ids=repr)
def test_an_interrupted_write_leaves_the_old_file(old: Path, error: BaseException) -> None:
    def interrupted() -> None:
        with replacing(old) as file:
            file.write(b"half of the new con")
            raise error

    with pytest.raises(type(error)):
        interrupted()
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["settings.yaml"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_leaves_the_old_file(old: Path) -> None:
    partial = old.with_suffix(".new")
    partial.symlink_to("/dev/full")  # a device on which every write fails
    with pytest.raises(OSError, match="No space left"), replacing(old, partial) as file:
        file.write(b"new")
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["settings.yaml"]


def test_a_disk_that_fails_to_store_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError) as caught:
        replace_file(old, b"new")
    assert str(caught.value) == f"{old} could not be written: no space left on device"
    assert old.read_bytes() == b"old"
    assert names(old.parent) == ["settings.yaml"]


def test_a_partial_file_of_a_killed_process_is_overwritten(old: Path) -> None:
    old.with_name(".settings.yaml.partial").write_bytes(b"the long content of a killed process")
    replace_file(old, b"new")
    assert old.read_bytes() == b"new"
    assert names(old.parent) == ["settings.yaml"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be written: no such file or directory"):
        replace_file(tmp_path / "missing" / "a", b"new")
    assert names(tmp_path) == []
