"""Copies images into folders named by class, without overwriting or losing a file."""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from sepcnn.errors import DataError, InputError, StorageError

UNSURE = "unsure"
"""folder of images below the least probability"""
INVALID = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
"""characters that a file system or a shell does not accept in names"""
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""names of devices in Windows"""
MAX_NAME_BYTES = 200
MAX_FILE_NAME_BYTES = 255
NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK)


class SortedCopies:
    """Copies of images in folders named by class.

    A copy has the name of its original, or ``NAME (2)``, ``NAME (3)``, … if another image has that
    name. A file that exists is never overwritten. If it equals the original, it counts as its copy,
    so that a second call with the same images continues the first one and changes nothing.
    """

    def __init__(self, root: Path, class_names: tuple[str, ...]) -> None:
        """Create the folder ``root``. Errors: `InputError` if it is a file, `StorageError`."""
        if os.path.lexists(root) and not root.is_dir():
            raise InputError(f"{root} is not a folder", "give the folder for the copies")
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError.of(root, error) from None
        self.root = root
        *names, unsure = folder_names((*class_names, UNSURE))
        self.folders = dict(zip(class_names, names, strict=True))
        """name of the folder of each class"""
        self.unsure = unsure
        self.copied = self.already_there = 0
        """number of files that were copied, and that an earlier call had copied"""
        self._copies: dict[str, Path] = {}
        self._targets: set[Path] = set()

    def add(self, path: Path, class_name: str | None) -> Path:
        """Copy an image to the folder of its class, or of unsure images; return the path.

        Errors: `DataError` if the image does not exist any more, `StorageError`.
        """
        original = os.path.abspath(path)  # an image may be named twice
        if original not in self._copies:
            name = self.unsure if class_name is None else self.folders[class_name]
            self._copies[original] = self._copy(path, self.root / name)
        return self._copies[original]

    def _copy(self, path: Path, folder: Path) -> Path:
        partial = folder / f".{os.getpid()}.partial"
        try:
            folder.mkdir(exist_ok=True)
            for target in candidates(folder, path):
                if target in self._targets:
                    continue
                made = copy_file(path, partial, target)
                if not (made or is_copy(target, path)):
                    continue
                self.copied += made
                self.already_there += not made
                self._targets.add(target)
                return target
            raise AssertionError("candidates do not end")
        except OSError as error:
            if not path.exists():
                raise DataError(f"there is no file {path}") from None
            message = StorageError.of(f"a copy of {path} in {folder}", error).message
            hint = "the copies so far are complete; repeat the command to continue"
            raise StorageError(message, hint) from None


def candidates(folder: Path, path: Path) -> Iterator[Path]:
    """Yield ``NAME.jpg``, ``NAME (2).jpg``, ``NAME (3).jpg``, …"""
    yield folder / path.name
    for number in count(2):
        end = f" ({number}){path.suffix}"
        stem = os.fsencode(path.stem)[: MAX_FILE_NAME_BYTES - len(os.fsencode(end))]
        yield folder / (stem.decode(errors="ignore") + end)


def is_copy(target: Path, path: Path) -> bool:
    """Whether a file has the content of another."""
    return target.is_file() and filecmp.cmp(target, path, shallow=False)


def copy_file(path: Path, partial: Path, target: Path) -> bool:
    """Copy a file with its times, completely or not at all. Errors: OSError.

    Returns False, and copies nothing, if the target exists.
    """
    if os.path.lexists(target):
        return False
    try:
        shutil.copyfile(path, partial)
        with suppress(OSError):
            shutil.copystat(path, partial)
        try:
            os.link(partial, target)  # unlike a rename, it fails if the target exists
        except FileExistsError:  # another process made it just now
            return False
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            partial.rename(target)
        return True
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def folder_names(class_names: tuple[str, ...]) -> list[str]:
    """Folder names for class names: valid on all systems, and different, also without case."""
    used: set[str] = set()
    names = []
    for class_name in class_names:
        base = name = folder_name(class_name)
        for number in count(2):
            if name.casefold() not in used:
                break
            name = f"{base} ({number})"
        used.add(name.casefold())
        names.append(name)
    return names


def folder_name(class_name: str) -> str:
    """A folder name that is valid on all systems: other characters become ``_``."""
    name = INVALID.sub("_", class_name)
    name = name.encode(errors="replace")[:MAX_NAME_BYTES].decode(errors="ignore")
    name = re.sub(r"^[\s.]|[\s.]+$", "_", name)  # a dot in front hides a folder
    return f"{name}_" if RESERVED.fullmatch(name) else name or "_"


def check_folders(root: Path, paths: tuple[Path, ...]) -> None:
    """Errors: `InputError` if the copies would be in one of the folders of images themselves."""
    for path in paths:
        if path.is_dir() and path.resolve() == root.resolve():
            message = f"--copy-to: {root} is the folder of the images"
            raise InputError(message, f"give another folder, for example {root / 'sorted'}")


def outside(files: list[Path], root: Path, given: Path) -> list[Path]:
    """The files that are not in ``root``, where the copies of an earlier call are.

    If the user gave a path in ``root``, all of its files.
    """
    root, given = root.resolve(), given.resolve()
    if root in (given, *given.parents):
        return files
    resolved = {folder: folder.resolve() for folder in {file.parent for file in files}}
    copies = {folder for folder, real in resolved.items() if root in (real, *real.parents)}
    return [file for file in files if file.parent not in copies]
