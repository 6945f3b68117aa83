"""Unpacking: complete folders, and no files from unsafe or damaged archives."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from sepcnn.data.sources.published.unpacking import unpack
from sepcnn.errors import DataError

FILES = {"set/a.bin": b"a" * 5000, "set/deep/b.bin": b"b", "other.txt": b"?"}


def tar(path: Path, files: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in special:
            archive.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def found(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(archive: Path, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        unpack(archive, folder)
    left = {path.name for path in folder.parent.iterdir() if path != archive}
    assert left <= {f".{folder.name}.lock"}
    return str(caught.value)


@pytest.mark.parametrize("write", [tar, zipped], ids=["tar", "zip"])
def test_a_folder_is_unpacked(write: type, tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", FILES)
    unpack(archive, tmp_path / "root" / "set")
    assert found(tmp_path / "root" / "set") == {"a.bin": b"a" * 5000, "deep/b.bin": b"b"}


def test_files_are_flushed_before_the_folder_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, bytes]] = []

    def synced() -> None:
        assert not (tmp_path / "set").exists()
        (temporary,) = tmp_path.glob(".unpacking.set.*")
        seen.append(found(temporary / "set"))

    monkeypatch.setattr("os.sync", synced)
    unpack(tar(tmp_path / "archive", FILES), tmp_path / "set")
    assert seen == [found(tmp_path / "set")]


def test_only_listed_files_are_unpacked(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "archive", FILES), tmp_path / "set", only=("deep/b.bin",))
    assert found(tmp_path / "set") == {"deep/b.bin": b"b"}


def test_names_that_start_with_a_dot_and_slash(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "archive", {"./set/a.bin": b"a"}), tmp_path / "set")
    assert found(tmp_path / "set") == {"a.bin": b"a"}


def test_an_existing_folder_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    unpack(tar(tmp_path / "archive", FILES), tmp_path / "set")
    assert found(tmp_path / "set") == {}


@pytest.mark.parametrize(
    "name", ["../out.bin", "/out.bin", "set/../../out.bin", "set\\..\\o", "C:o"]
)
@pytest.mark.parametrize("write", [tar, zipped], ids=["tar", "zip"])
def test_a_path_outside_of_the_folder(write: type, name: str, tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", {"set/a.bin": b"a", name: b"out"})
    message = refused(archive, tmp_path / "set")
    assert message == f"{archive}: a file is outside of the folder: {name!r}"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(kind: bytes, tmp_path: Path) -> None:
    archive = tar(tmp_path / "archive", FILES, link("set/way", "/etc", kind))
    assert (
        refused(archive, tmp_path / "set")
        == f"{archive}: links and devices are not allowed: 'set/way'"
    )


def test_a_link_in_a_zip(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w") as written:
        entry = zipfile.ZipInfo("set/way")
        entry.create_system = 3  # Unix
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        written.writestr(entry, "/etc")
    assert refused(archive, tmp_path / "set") == f"{archive}: links are not allowed: 'set/way'"


def test_another_archive(tmp_path: Path) -> None:
    archive = tar(tmp_path / "archive", {"other/a.bin": b"a"})
    message = refused(archive, tmp_path / "set")
    assert message == (
        f"{archive}: there is no folder set in the archive\n"
        "   it is not the archive of this data set"
    )


@pytest.mark.parametrize("kept", [0, 10, 60])
@pytest.mark.parametrize("write", [tar, zipped], ids=["tar", "zip"])
def test_a_damaged_archive(write: type, kept: int, tmp_path: Path) -> None:
    archive = write(tmp_path / "archive", FILES)
    archive.write_bytes(archive.read_bytes()[:kept])
    message = refused(archive, tmp_path / "set")
    assert message.startswith(f"{archive}: damaged (")
    assert message.endswith(")\n   delete it and run the command again")


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    archive = tar(tmp_path / "archive", FILES)
    left, of_another = (tmp_path / f".unpacking.{name}.abc" for name in ("set", "set-320"))
    left.mkdir()
    (left / "a.bin").touch()
    of_another.mkdir()
    unpack(archive, tmp_path / "set", ("a.bin",))
    assert found(tmp_path / "set") == {"a.bin": FILES["set/a.bin"]}
    assert not left.exists()
    assert of_another.exists()


@pytest.mark.parametrize("packed", [True, False], ids=["tar", "zip"])
def test_damaged_compressed_bytes(packed: bool, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    if packed:
        tar(archive, {"set/a.bin": bytes(range(256)) * 20})
    else:
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zip_file:
            zip_file.writestr("set/a.bin", bytes(range(256)) * 20)
    content = bytearray(archive.read_bytes())
    content[60:80] = b"\xff" * 20
    archive.write_bytes(content)
    message = refused(archive, tmp_path / "set")
    assert message.startswith(f"{archive}: damaged (")
    assert message.endswith(")\n   delete it and run the command again")


def test_damaged_bytes(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "archive", FILES)
    content = bytearray(archive.read_bytes())
    content[100:110] = b"?" * 10
    archive.write_bytes(content)
    message = refused(archive, tmp_path / "set")
    assert message == (
        f"{archive}: damaged (Bad CRC-32 for file 'set/a.bin')\n"
        "   delete it and run the command again"
    )
