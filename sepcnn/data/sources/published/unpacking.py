"""Archives unpacked without trusting what they say: no path outside, no links, all or nothing."""

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

from sepcnn.data.files.locks import held
from sepcnn.data.sources.published.download import lock_of
from sepcnn.errors import DataError, StorageError


def unpack(archive: Path, folder: Path, only: tuple[str, ...] = ()) -> None:
    """The files below ``folder.name/`` of a tar or zip archive as ``folder``, if it is not there.

    ``only``: the names in the folder that are wanted; all unless given. Everything is written to
    a temporary folder that is renamed at the end.
    Errors: `DataError` for a damaged or dishonest archive, `StorageError` where it cannot be
    written.
    """
    wanted = {f"{folder.name}/{name}" for name in only}
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with held(lock_of(folder), f"unpacking {archive}"):
            if folder.exists():
                return  # another run was faster
            prefix = f".unpacking.{folder.name}."
            for left in folder.parent.glob(f"{prefix}*"):  # by a run that was killed
                shutil.rmtree(left)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as temporary:
                _unpack(archive, Path(temporary), wanted)
                whole = Path(temporary, folder.name)
                if not whole.is_dir():
                    message = f"{archive}: holds no folder {folder.name}"
                    raise DataError(message, "it is not that set")
                # Its name will say that all is there, also after a power cut. Once for all
                # files: each by itself takes minutes where there are a hundred thousand.
                if hasattr(os, "sync"):
                    os.sync()
                whole.rename(folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{archive}: damaged ({error})", "delete it and start again") from None
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
    """A path that stays where it is put."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise DataError(f"{archive}: names a file outside of its folder: {name!r}")
    return path


def _files(archive: Path) -> Generator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files. Links and devices are refused."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            for entry in zipped.infolist():
                if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                    raise DataError(f"{archive}: holds a link: {entry.filename!r}")
                if not entry.is_dir():
                    yield entry.filename, zipped.open(entry)
        return
    # Opened here since tarfile leaves a file open that turns out to be damaged.
    with archive.open("rb") as opened, tarfile.open(fileobj=opened, mode="r:*") as tarred:
        for member in tarred:
            if not (member.isfile() or member.isdir()):
                raise DataError(f"{archive}: holds a link or device: {member.name!r}")
            content = tarred.extractfile(member)
            if content is not None:
                yield member.name.removeprefix("./"), content
