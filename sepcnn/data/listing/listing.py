"""Lists the image files of a folder or CSV with their classes and splits, without opening them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sepcnn.data.listing.class_names import similar_names_note
from sepcnn.data.listing.folder_tree import Patterns, read_tree
from sepcnn.data.listing.image_names import is_image, skipped_as
from sepcnn.data.listing.labels import nfc, read_labels
from sepcnn.data.listing.layout import read_layout
from sepcnn.data.listing.left_out import LeftOut
from sepcnn.errors import DataError
from sepcnn.file_kind import system_error
from sepcnn.language.path_hints import missing_path_hint

USUAL_LAYOUTS = ("", "class", "split/class")
"""layouts that need no note"""


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
    """All images of a data set: at least two classes, each in the training split."""

    class_names: tuple[str, ...]
    """in natural order: 2 before 10"""
    files: tuple[ImageFile, ...]
    """sorted by name"""
    unlabelled: tuple[str, ...] = ()
    """paths of images next to the folders of the classes, which are left out"""
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)
    """files that are not read"""
    unused_patterns: tuple[str, ...] = ()
    """patterns of ``exclude`` that match nothing"""
    layout: str = ""
    """how the folders are read, one word per level, if that was found out; else empty"""
    table_notes: tuple[str, ...] = ()
    """which columns of the CSV were guessed"""

    def counts(self) -> dict[str | None, dict[str, int]]:
        """The number of images of each class in each split."""
        counts: dict[str | None, dict[str, int]] = {}
        for file in self.files:
            if file.split not in counts:
                counts[file.split] = dict.fromkeys(self.class_names, 0)
            counts[file.split][file.class_name] += 1
        return counts

    def notes(self) -> list[str]:
        """What the user should know: doubtful names, an unusual layout, files that are left out."""
        notes = [*self.table_notes, *similar_names_note(self.class_names)]
        if self.layout not in USUAL_LAYOUTS:
            notes.append(f"the folders are read as {self.layout} (layout of Folder)")
        if self.unlabelled:
            more = f" and {len(self.unlabelled) - 1:,} more" if len(self.unlabelled) > 1 else ""
            first = self.unlabelled[0]
            notes.append(f"left out, not in the folder of a class: {first}{more}")
        if self.unused_patterns:
            unused = ", ".join(self.unused_patterns)
            notes.append(f"exclude matches nothing: {unused} (paths start below path)")
        return notes + self.left_out.notes()


def list_images(
    root: Path,
    labels: Path | None = None,
    layout: str | None = None,
    exclude: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
) -> Listing:
    """List the images of folders named by class, with or without train, val and test, or of a CSV.

    Errors: `DataError`; `LayoutError` if the folders can be read in several ways.
    """
    check_folder(root)
    listed = (
        _of_folders(root, layout, exclude)
        if labels is None
        else _of_csv(root, labels, exclude, columns)
    )
    files = sorted(listed.files, key=lambda file: (file.name, file.location))
    names = tuple(sorted({file.class_name for file in files}, key=natural_key))
    unused = tuple(pattern for pattern in exclude if nfc(pattern) not in listed.left_out.excluded)
    listing = replace(listed, class_names=names, files=tuple(files), unused_patterns=unused)
    _check(listing, labels or root)
    return listing


def _of_folders(root: Path, layout: str | None, exclude: Sequence[str]) -> Listing:
    tree = read_tree(root, exclude)
    reading = read_layout(tree, layout)
    start = len(os.path.join(root, ""))
    files = []
    for class_folder in reading.classes:
        inside = len(os.path.join(class_folder.tree.location, ""))
        for folder in class_folder.tree.walk():
            for location in folder.images:
                path = location.replace(os.sep, "/")  # Path.relative_to takes ten times as long
                name, key = nfc(path[start:]), nfc(path[inside:])
                files.append(
                    ImageFile(location, name, key, class_folder.class_name, class_folder.split)
                )
    left_out = tree.all_left_out()
    unlabelled = tuple(sorted(reading.unlabelled))
    layout = "" if layout else reading.layout
    return Listing((), tuple(files), unlabelled, left_out, layout=layout)


def _of_csv(
    root: Path, labels: Path, exclude: Sequence[str], columns: Mapping[str, str] | None
) -> Listing:
    """The images of a CSV; those next to them that it does not list are counted."""
    table = read_labels(labels, root, columns)
    rows = table.rows
    patterns = Patterns(root, exclude)
    left_out, files = LeftOut(), []
    for row in rows:
        if pattern := patterns.match_with_folders(row.name):
            left_out.excluded[pattern] += 1
        else:
            files.append(ImageFile(str(row.path), row.name, row.name, row.label, row.split))
    if not files:
        raise DataError(f"{labels}: there are no images")
    listed = {os.path.normpath(row.path) for row in rows}
    for folder in {os.path.dirname(os.path.normpath(file.location)) for file in files}:
        try:
            left_out.unlisted += sum(
                is_image(entry.name, entry.path) and entry.path not in listed
                for entry in os.scandir(folder)
                if not skipped_as(entry.name)
                and entry.is_file()
                and not patterns.match(entry.path, False)
            )
        except OSError:
            continue  # reading the images reports the error
    return Listing((), tuple(files), left_out=left_out, table_notes=table.notes)


def find_images(path: Path) -> tuple[list[Path], LeftOut]:
    """The file ``path``, or all image files below it, sorted; and what is left out.

    Errors: `DataError` if the file does not exist or the folder has no images.
    """
    try:
        if not path.exists():
            raise DataError(f"there is no file or folder {path}", "check the path")
        if not path.is_dir():
            return [path], LeftOut()
    except OSError as error:  # for example a name that is too long, no permission
        raise DataError(f"{path}: {system_error(path, error)}") from None
    tree = read_tree(path)
    left_out = tree.all_left_out()
    if not tree.count:
        raise DataError("; ".join([f"there is no image in {path}", *left_out.notes()]))
    found = [image for folder in tree.walk() for image in folder.images]
    return sorted(map(Path, found)), left_out


def check_folder(root: Path) -> None:
    """Errors: `DataError` if ``root`` is not a folder."""
    try:
        if root.is_dir():
            return
        exists = root.exists()
    except OSError as error:
        raise DataError(f"{root}: {system_error(root, error)}") from None
    if exists:
        raise DataError(f"{root} is a file", "give the folder that contains the images")
    raise DataError(f"there is no folder {root}", missing_path_hint(root))


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
    if None in counts:
        return
    untrained = [
        f"{split} has '{name}'"
        for split, of_split in counts.items()
        for name, count in of_split.items()
        if count and not counts["train"][name]
    ]
    if untrained:
        more = f" and {len(untrained) - 10} more" if len(untrained) > 10 else ""
        message = f"{where}: train lacks classes: {', '.join(untrained[:10])}{more}"
        hint = "use the same class names in every split; add training images, or remove the others"
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
