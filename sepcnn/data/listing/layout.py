"""Decides which folders are classes and which are splits. What could be both is a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sepcnn.data.listing.folder_tree import FolderTree
from sepcnn.data.listing.given_layout import (
    ClassFolder,
    LayoutError,
    Reading,
    empty_class,
    no_classes,
    read_as,
)
from sepcnn.data.listing.split_names import (
    clear_splits,
    is_several_splits,
    split_name,
    splits_by_rest,
)
from sepcnn.errors import DataError

FEW = 0.1
"""fraction of the images up to which those next to subfolders do not decide about the layout"""
MAX_NAMED = 4
"""number of folders that a message names"""


def read_layout(root: FolderTree, layout: str | None = None) -> Reading:
    """Find the folders of the classes; ``layout`` None finds the layout as well.

    Errors: `LayoutError` if there are several readings, `DataError` if there are no classes.
    """
    reading = _Finder(root).find() if layout is None else read_as(root, layout)
    for folder in reading.classes:
        if not folder.tree.count:
            raise empty_class(folder.tree)
    _check_links(reading)
    return reading


def _check_links(reading: Reading) -> None:
    """Errors: `DataError` if a folder belongs to two classes or splits, by way of a link."""
    seen: dict[tuple[int, int], tuple[ClassFolder, FolderTree]] = {}
    for folder in reading.classes:
        for tree in folder.tree.walk():
            other, first = seen.setdefault(tree.identity, (folder, tree))
            if (other.class_name, other.split) != (folder.class_name, folder.split):
                message = f"{first.location} and {tree.location} are the same folder, by a link"
                raise DataError(message, f"remove the link, or exclude: {tree.name}")


class _Finder:
    """Finds the layout of a folder. ``above`` are the levels down to the one that is read."""

    def __init__(self, root: FolderTree) -> None:
        self.root = root
        self.above: list[str] = []

    def find(self) -> Reading:
        base = unwrap(self.root)
        self.above = ["any"] * _depth_between(self.root, base)
        if not base.folders or not base.count:
            raise no_classes(base)
        reading = self._read_splits(base) or self._read_classes(base, None)
        if base is not self.root:
            reading.unlabelled += [p for tree in _path(base, self.root)[1:] for p in tree.images]
        return reading

    def _layout(self, *words: str) -> str:
        return "/".join([*self.above, *words])

    def _read_splits(self, base: FolderTree) -> Reading | None:
        """The classes of folders of splits; None if the folders are no splits."""
        splits = self._split_folders(base)
        if not splits:
            return None
        layout = ""
        reading = Reading("", unlabelled=list(base.images))
        inner = [unwrap(folder, of_split=True) for folder in splits.values()]
        for split, outer, tree in zip(splits, splits.values(), inner, strict=True):
            if not tree.folders:
                raise no_classes(tree, of_split=True)
            self.above = [*self.above[: _depth_between(self.root, base)], "split"]
            self.above += ["any"] * _depth_between(outer, tree)
            found = self._read_classes(tree, split)
            layout = max(layout, found.layout, key=len)
            reading.classes += found.classes
            reading.unlabelled += found.unlabelled
            reading.unlabelled += [p for t in _path(tree, outer)[1:] for p in t.images]
        reading.layout = layout
        return reading

    def _split_folders(self, base: FolderTree) -> dict[str, FolderTree]:
        """The folder of each split; empty if the folders are classes."""
        filled = base.filled
        same_rest = splits_by_rest([folder.name for folder in filled])
        if len(same_rest) > 1 or (
            same_rest and len(filled) > sum(map(len, same_rest.values())) and not _nested(filled)
        ):
            self._ask_about_joined_names(base, same_rest)
        members = [
            (folder, name)
            for folder in base.folders
            if (name := split_name(folder.name)) and (name.clear or name.rest in same_rest)
        ]
        splits = {name.split for _, name in members}
        sure = len(filled) == 1 or any(name.exact for _, name in members)
        if not sure and not is_several_splits(splits):
            return {}
        others = [folder for folder in filled if all(folder is not m for m, _ in members)]
        # A class may be called train, next to ship and car: then the folder itself has the images.
        if others and not any(folder.filled for folder, _ in members):
            return {}
        if others:
            self._ask_about_neighbours(base, others[0], [folder for folder, _ in members])
        found: dict[str, FolderTree] = {}
        for folder, name in members:
            if other := found.get(name.split):
                hint = f"merge them into one folder {name.split}, or set layout: "
                hint += f"{self._layout('split', 'class')} to use both"
                message = f"{base.location}: found both '{other.name}' and '{folder.name}'"
                raise LayoutError(message, hint)
            found[name.split] = folder
        return found

    def _read_classes(self, base: FolderTree, split: str | None) -> Reading:
        """The classes of a folder, which may have splits below them."""
        filled = base.filled
        if split is None and (below := self._splits_below(base)):
            return below
        if len(filled) > 1:
            self._ask_about_copies(base)
        self._ask_about_deep_splits(filled, split)
        if len(filled) > 1:
            self._ask_about_equal_subfolders(base)
        classes = [ClassFolder(folder, folder.name, split) for folder in base.folders]
        return Reading(self._layout("class"), classes, list(base.images))

    def _splits_below(self, base: FolderTree) -> Reading | None:
        """The classes whose subfolders are splits; None if they are not."""
        if not all(_has_only_splits(folder) for folder in base.filled):
            return None
        below = [inner for folder in base.filled for inner in folder.filled]
        if not is_several_splits(clear_splits(inner.name for inner in below)):
            return None
        if shared := _shared_names(below):
            first, second = self._layout("class/split"), self._layout("any/split/class")
            raise self._question(base, first, _names(base.filled), second, shared)
        for folder in base.folders:
            if not folder.count:
                raise empty_class(folder)
        reading = Reading(self._layout("class/split"), unlabelled=list(base.images))
        for folder in base.filled:
            for inner in folder.filled:
                name = split_name(inner.name)
                assert name
                reading.classes.append(ClassFolder(inner, folder.name, name.split))
        return reading

    # ── questions ─────────────────────────────────────────────────────────────────────────────

    def _question(
        self, base: FolderTree, first: str, one: Sequence[str], second: str, other: Sequence[str]
    ) -> LayoutError:
        message = f"{base.location}: the classes may be {_listed(one)}, or {_listed(other)}"
        return LayoutError(message, f"set layout: {first} for the former, {second} for the latter")

    def _ask_about_joined_names(
        self, base: FolderTree, same_rest: dict[tuple[str, ...], set[str]]
    ) -> None:
        names = [
            folder.name
            for folder in base.filled
            if (name := split_name(folder.name)) and name.rest in same_rest
        ]
        message = f"{base.location}: {_listed(names)} may be splits, or classes"
        hint = "put each class into a folder of its split (train/…), or set layout: "
        raise LayoutError(message, f"{hint}{self._layout('class')}")

    def _ask_about_neighbours(
        self, base: FolderTree, other: FolderTree, splits: list[FolderTree]
    ) -> None:
        named = " and ".join(f"'{folder.name}'" for folder in splits)
        message = f"{base.location}: '{other.name}' is next to {named}: is it a class or a split?"
        hint = f"move or rename it, exclude: {other.name}, or set layout: {self._layout('class')}"
        raise LayoutError(message, f"{hint} if all of them are classes")

    def _ask_about_copies(self, base: FolderTree) -> None:
        """A class that contains the other classes is a copy, as archives in archives leave it."""
        names = {folder.name for folder in base.filled}
        for folder in base.filled:
            inside = names.intersection(inner.name for inner in folder.filled) - {folder.name}
            if len(inside) > 1:
                message = f"{base.location}: '{folder.name}' contains folders that are next to it, "
                message += f"too: {_listed(sorted(inside))}"
                hint = f"if it is a copy, exclude: {folder.name}; if it is a class, set layout: "
                raise LayoutError(message, f"{hint}{self._layout('class')}")

    def _ask_about_equal_subfolders(self, base: FolderTree) -> None:
        """Classes with equal subfolders may be parts of the data that contain the classes."""
        filled = base.filled
        inner = [unwrap(folder, of_split=True) for folder in filled]
        if any(map(_mostly_own_images, inner)):
            return
        if shared := _shared_names(inner):
            levels = ["any"] * (1 + _depth_between(filled[0], inner[0]))
            first, second = self._layout("class"), self._layout(*levels, "class")
            raise self._question(base, first, _names(filled), second, shared)

    def _ask_about_deep_splits(self, folders: Iterable[FolderTree], split: str | None) -> None:
        """Folders train and test inside a class would be mixed."""
        for top in folders:
            for tree in top.walk():
                names = _names(tree.filled)
                if not is_several_splits(clear_splits(names)):
                    continue
                named = _listed([name for name in names if clear_splits([name])])
                message = f"{tree.location}: {named} may be splits of this class"
                hint = f"set layout: {self._layout('class')} to use all images of each class"
                if split is None:
                    levels = ["any"] * _depth_between(top, tree)
                    hint += f", {self._layout('class', *levels, 'split')} if they are splits"
                raise LayoutError(message, hint)


def unwrap(folder: FolderTree, *, of_split: bool = False) -> FolderTree:
    """Follow folders that contain only one folder, as in photos/photos/cat, photos/photos/dog.

    The result has several folders, or the folder of one split; if there is no such folder,
    ``folder`` is returned. In the folder ``of_split``, names of splits have no meaning.
    """
    tree = folder
    while not _mostly_own_images(tree):
        filled = tree.filled
        if len(filled) != 1 or (clear_splits([filled[0].name]) and not of_split):
            return tree
        if any(other.all_left_out().suffixes for other in tree.folders if not other.count):
            return folder  # they may be classes whose files cannot be read
        tree = filled[0]
    return folder


def _path(tree: FolderTree, top: FolderTree) -> list[FolderTree]:
    """The folders from ``tree`` up to ``top``."""
    found = [tree]
    while found[-1] is not top:
        parent = found[-1].parent
        assert parent
        found.append(parent)
    return found


def _depth_between(top: FolderTree, tree: FolderTree) -> int:
    return len(_path(tree, top)) - 1


def _nested(folders: Iterable[FolderTree]) -> bool:
    return any(folder.filled for folder in folders)


def _mostly_own_images(folder: FolderTree) -> bool:
    """Whether the images in a folder are more than a few strays next to its subfolders."""
    return len(folder.images) > FEW * folder.count


def _has_only_splits(folder: FolderTree) -> bool:
    names = _names(folder.filled)
    return not folder.images and bool(names) and all(clear_splits([name]) for name in names)


def _shared_names(folders: Sequence[FolderTree]) -> list[str]:
    """The names of subfolders, if most of them occur in several of the folders."""
    counts = Counter(name for folder in folders for name in _names(folder.filled))
    shared = [name for name, count in counts.items() if count > 1]
    return sorted(shared) if len(shared) > 1 and 2 * len(shared) >= len(counts) else []


def _names(folders: Iterable[FolderTree]) -> list[str]:
    return [folder.name for folder in folders]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED:,} more" if len(names) > MAX_NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:MAX_NAMED]) + more
