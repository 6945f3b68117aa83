"""Safe unpacking of archives: no paths outside the folder, no links, all files or none."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import IO

from sepcnn.data.cache.locks import locked
from sepcnn.data.sources.published.download import lock_of
from sepcnn.errors import DataError, StorageError


def unpack(archive: Path, folder: Path, only: tuple[str, ...] = ()) -> None:
    """Unpack the files below ``folder.name/`` of a tar or zip archive to ``folder``.

    Does nothing if ``folder`` exists. ``only`` lists the file names to unpack; all unless given.
    Files are written to a temporary folder, which is renamed at the end.
    Errors: `DataError` if the archive is damaged or unsafe, `StorageError` if files cannot be
    written.
    """
    wanted = {f"{folder.name}/{name}" for name in only}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock_of(folder), f"unpacking {archive}"):
            if folder.exists():
                return  # created by another process
            prefix = f".unpacking.{folder.name}."
            for left in folder.parent.glob(f"{prefix}*"):  # from a process that was killed
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as temporary:
                _unpack(archive, Path(temporary), wanted)
                whole = Path(temporary, folder.name)
                if not whole.is_dir():
                    message = f"{archive}: there is no folder {folder.name} in the archive"
                    raise DataError(message, "it is not the archive of this data set")
                # The files must be on disk before the folder gets its final name. One call for all:
                # flushing a hundred thousand files one by one takes minutes.
                if hasattr(os, "sync"):
                    os.sync()
                whole.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{archive}: damaged ({error})", "delete it and run the command again"
        ) from None
    except OSError as error:
        raise StorageError.of(folder, error) from None


def _unpack(archive: Path, into: Path, wanted: set[str]) -> None:
    with closing(_files(archive)) as files:
        for name, file in files:
            with file:
                if not wanted or name in wanted:
                    _write(file, into / _checked(name, archive))


def _write(file: IO[bytes], place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as written:
        shutil.copyfileobj(file, written, 1 << 20)


def _checked(name: str, archive: Path) -> PurePosixPath:
    """The path of a member. Errors: `DataError` if it would leave the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise DataError(f"{archive}: a file is outside of the folder: {name!r}")
    return path


def _files(archive: Path) -> Generator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files. Errors: `DataError` for links and devices."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                    raise DataError(f"{archive}: links are not allowed: {entry.filename!r}")
                if not entry.is_dir():
                    yield entry.filename, zipped.open(entry)
        return
    # Opened here because tarfile does not close a damaged file.
    with archive.open("rb") as opened, tarfile.open(fileobj=opened, mode="r:*") as tarred:
        for member in tarred:
            if not (member.isfile() or member.isdir()):
                raise DataError(f"{archive}: links and devices are not allowed: {member.name!r}")
            content = tarred.extractfile(member)
            if content is not None:
                yield member.name.removeprefix("./"), content
