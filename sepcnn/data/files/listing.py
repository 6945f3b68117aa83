"""Lists the image files of a folder or CSV with their classes and splits, without opening them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sepcnn.data.files.labels import SPLIT_WORDS, nfc, read_labels
from sepcnn.data.files.opening import SUFFIXES
from sepcnn.errors import DataError

CSV_HINT = "put the images of each class in a folder of that name, or give a CSV: labels: FILE"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file with its class and split."""

    location: str
    """its path as text: a million `Path` objects need more memory than everything else"""
    name: str
    """relative to the root, with / and in Unicode normal form C: the same on every machine"""
    key: str
    """relative to the folder of the class: its hash decides whether the image is held out"""
    class_name: str
    split: str | None
    """train, val or test; None if the images are not split"""

    @property
    def path(self) -> Path:
        return Path(self.location)


@dataclass(frozen=True)
class Listing:
    """All images of a data set: at least two classes, each in every split."""

    class_names: tuple[str, ...]
    """in natural order: 2 before 10"""
    files: tuple[ImageFile, ...]
    """sorted by name"""
    unlabelled: tuple[Path, ...] = ()
    """images next to the folders of the classes, which are left out"""

    def counts(self) -> dict[str | None, dict[str, int]]:
        """The number of images of each class in each split."""
        counts: dict[str | None, dict[str, int]] = {}
        for file in self.files:
            of_split = counts.setdefault(file.split, dict.fromkeys(self.class_names, 0))
            of_split[file.class_name] += 1
        return counts


def list_images(root: Path, labels: Path | None = None) -> Listing:
    """List the images of folders named by class, with or without train, val and test, or of a CSV.

    Errors: `DataError`.
    """
    check_folder(root)
    if labels is None:
        files, unlabelled = _list_folders(root)
    else:
        rows = read_labels(labels, root)
        files, unlabelled = (
            [ImageFile(str(r.path), r.name, r.name, r.label, r.split) for r in rows],
            [],
        )
        if not files:
            raise DataError(f"{labels}: there are no images")
    names = tuple(sorted({file.class_name for file in files}, key=natural_key))
    files.sort(key=lambda file: (file.name, file.location))
    listing = Listing(names, tuple(files), tuple(unlabelled))
    _check(listing, labels or root)
    return listing


def find_images(path: Path) -> list[Path]:
    """The file ``path``, or all image files below it, sorted; hidden files are left out.

    Errors: `DataError` if the file does not exist or the folder has no images.
    """
    try:
        if not path.exists():
            raise DataError(f"there is no file or folder {path}", "check the path")
        if not path.is_dir():
            return [path]
    except OSError as error:  # for example a name that is too long, no permission
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    found = sorted(walk_images(path))
    if not found:
        raise DataError(f"there is no image in {path}", f"looked for {', '.join(sorted(SUFFIXES))}")
    return found


def check_folder(root: Path) -> None:
    """Errors: `DataError` if ``root`` is not a folder."""
    try:
        if root.is_dir():
            return
        exists = root.exists()
    except OSError as error:
        raise DataError(f"{root}: {(error.strerror or str(error)).lower()}") from None
    if exists:
        raise DataError(f"{root} is a file", "give the folder that contains the images")
    raise DataError(f"there is no folder {root}", "check the path")


def _check(listing: Listing, where: Path) -> None:
    names, counts = listing.class_names, listing.counts()
    if None not in counts and "train" not in counts:
        found = " and ".join(str(split) for split in counts)
        raise DataError(f"{where}: there are no training images, only {found}")
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}: the class name {name!a} is not UTF-8") from None
    if len(names) == 1:
        message = f"{where}: there is only one class, '{names[0]}'"
        raise DataError(message, "a classifier needs at least two")
    lacking = [
        f"{split} has no '{name}'"
        for split, of_split in counts.items()
        for name, count in of_split.items()
        if not count
    ]
    if lacking:
        more = f" and {len(lacking) - 10} more" if len(lacking) > 10 else ""
        message = f"{where}: classes differ between splits: {', '.join(lacking[:10])}{more}"
        hint = "use the same class names, and images of each class, in every split"
        by_casefold: dict[str, str] = {}
        for name in names:
            if (other := by_casefold.setdefault(name.casefold(), name)) != name:
                hint = f"'{other}' and '{name}' differ only in case: use one name"
        raise DataError(message, hint)


def natural_key(name: str) -> tuple[list[tuple[int, str]], str]:
    """A sort key that puts 2 before 10, and b between A and C."""
    parts = re.split(r"(\d+)", name.casefold())
    parts[1::2] = [number.lstrip("0") for number in parts[1::2]]
    return [(len(p) if i % 2 else 0, p) for i, p in enumerate(parts)], name


# ── folders ───────────────────────────────────────────────────────────────────────────────────


def _list_folders(root: Path) -> tuple[list[ImageFile], list[Path]]:
    folders, unlabelled = _scan(root)
    if not folders:
        if unlabelled:
            message = f"{root}: there are images, but no folders named by class"
            raise DataError(message, CSV_HINT)
        raise DataError(f"{root}: there are no images", CSV_HINT)
    splits = _split_folders(root, folders)
    if not splits:
        return [file for folder in folders for file in _list_class(folder, None, root)], unlabelled
    files = []
    for split, folder in splits.items():
        classes, images = _scan(folder)
        if not classes:
            what = "are images, but no folders named by class" if images else "is nothing"
            raise DataError(f"{folder}: there {what}", CSV_HINT)
        unlabelled += images
        files += [file for one in classes for file in _list_class(one, split, root)]
    return files, unlabelled


def _split_folders(root: Path, folders: list[Path]) -> dict[str, Path]:
    """The folder of each split; empty if the folders are classes."""
    splits: dict[str, Path] = {}
    others = []
    for folder in folders:
        split = SPLIT_WORDS.get(nfc(folder.name).casefold())
        if split is None:
            others.append(folder)
        elif split in splits:
            message = f"{root}: found both '{splits[split].name}' and '{folder.name}'"
            raise DataError(message, f"merge them into one folder {split}")
        else:
            splits[split] = folder
    # A class may be called train, next to ship and car: then the folder itself has the images.
    if others and not any(_scan(folder)[0] for folder in splits.values()):
        return {}
    for folder in others if splits else ():
        if next(walk_images(folder), None):
            named = " and ".join(f"'{one.name}'" for one in splits.values())
            message = f"{root}: '{folder.name}' is next to {named}: is it a class or a split?"
            raise DataError(message, "move or rename it")
    return splits


def _list_class(folder: Path, split: str | None, root: Path) -> list[ImageFile]:
    """The images of a class and its subfolders. Errors: `DataError` if there are none."""
    files, class_name = [], nfc(folder.name)
    above, inside = (len(os.path.join(base, "")) for base in (root, folder))
    # A symbolic link to a parent folder would add the images of other classes.
    for path in walk_images(folder, (_device_and_inode(root), _device_and_inode(folder.parent))):
        location = str(path)
        text = location.replace(os.sep, "/")  # Path.relative_to takes ten times as long
        name, key = nfc(text[above:]), nfc(text[inside:])
        files.append(ImageFile(location, name, key, class_name, split))
    if not files:
        hint = "add images, or remove the folder"
        raise DataError(f"{folder}: there are no images of this class", hint)
    return files


def walk_images(folder: Path, above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Yield the images of a folder and its subfolders; links are followed, but not in cycles.

    ``above``: device and inode of folders that are not entered. Errors: `DataError`.
    """
    waiting = [(folder, above)]  # no recursion, because folders may be nested a thousand deep
    while waiting:
        folder, above = waiting.pop()
        here = _device_and_inode(folder)
        if here in above:
            continue
        folders, images = _scan(folder)
        yield from images
        above = (*above, here)
        waiting += [(inner, above) for inner in reversed(folders)]


def _device_and_inode(folder: Path) -> tuple[int, int]:
    """Identify a folder independently of symbolic links. Errors: `DataError`."""
    try:
        status = folder.stat()
    except OSError as error:
        raise DataError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    return status.st_dev, status.st_ino


def _scan(folder: Path) -> tuple[list[Path], list[Path]]:
    """The subfolders and image files of a folder, sorted, without hidden ones.

    A broken link counts as an image, so that reading it reports the error. Errors: `DataError`.
    """
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders.append(folder / entry.name)
                elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and (
                    entry.is_symlink() or entry.is_file()
                ):
                    images.append(folder / entry.name)
    except OSError as error:
        raise DataError(f"{folder}: {(error.strerror or str(error)).lower()}") from None
    return folders, images


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return False
        raise
