"""Arrays: images and labels from NumPy files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema, model_validator

from sepcnn.data.dataset import Dataset, InMemorySplit, Split, UnopenedSplit
from sepcnn.data.sources.array_checks import (
    FROM_1,
    check_training_classes,
    counted_from_1,
    notes_on,
    to_split,
)
from sepcnn.data.sources.base import Request, Source, hold_out
from sepcnn.errors import DataError
from sepcnn.file_kind import complaint
from sepcnn.language.messages import invalid, quote
from sepcnn.language.path_hints import missing_path_hint
from sepcnn.language.values import FilePath, read_path

SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
CLASS_NAME_KEYS = ("class_names", "classes", "label_names")


def _file_or_pair(value: Any, info: ValidationInfo) -> tuple[Path, ...]:
    paths = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(paths) <= 2:
        raise invalid(f"expected a file, or [images.npy, labels.npy], found {quote(value)}")
    return tuple(read_path(path, info) for path in paths)


ArrayFile = Annotated[
    tuple[Path, ...],
    PlainValidator(_file_or_pair),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
            ]
        }
    ),
]


class Arrays(Source):
    """Images in NumPy files: one ``path`` with all splits, or one file per split.

    A ``.npz`` file has images under ``x_train``, ``x`` or ``images`` and labels under ``y_train``,
    ``y`` or ``labels``; the other splits are ``x_val``, ``y_val``, ``x_test`` and ``y_test``.
    ``.npy`` files are given as a pair ``[images.npy, labels.npy]``. Images are uint8, N×H×W×C or
    N×H×W. Labels are an integer array of shape N, counted from 0. Class names are read from
    ``class_names``, ``classes`` or ``label_names``; otherwise the class numbers serve as names.
    """

    location_fields: ClassVar[tuple[str, ...]] = ("path", *SPLIT_NAMES)

    path: FilePath | None = None
    """a .npz file with all splits"""
    train: ArrayFile | None = None
    """training images and labels: a .npz file, or [images.npy, labels.npy]"""
    val: ArrayFile | None = None
    """validation images and labels; default: held out from the training images"""
    test: ArrayFile | None = None
    """test images and labels"""

    @model_validator(mode="after")
    def _path_or_train(self) -> Self:
        if (self.path is None) == (self.train is None):
            raise invalid(
                "give either 'path' or 'train'", "for example Arrays: {train: a.npz, test: b.npz}"
            )
        if self.path is not None and (self.val or self.test):
            raise invalid("with 'path', all splits are read from that file", "remove val and test")
        return self

    @property
    def training_file(self) -> Path:
        if self.path is not None:
            return self.path
        assert self.train is not None
        return self.train[0]

    def open(self, request: Request) -> Dataset:
        class_names: dict[Path, tuple[str, ...]] = {}
        splits: dict[str, InMemorySplit] = {}
        all_splits = read_arrays((self.path,)) if self.path else {}
        given = [split for split in SPLIT_NAMES if self.path or getattr(self, split)]
        needed = given if self.path else request.needed(given)
        for split in needed:
            files = (self.path,) if self.path else getattr(self, split)
            arrays = all_splits or read_arrays(files)
            found = images_and_labels(arrays, split, files[0], only_split=self.path is None)
            if found is not None:
                splits[split] = to_split(*found, request.shape, files[0])
                if names := read_class_names(arrays, files[0]):
                    class_names[files[0]] = names
        if self.path and "train" not in splits:
            raise DataError(
                f"{self.path}: there are no training images", "store x_train and y_train"
            )
        parts: dict[str, Split | None] = {
            name: UnopenedSplit() for name in given if name not in needed
        }
        parts |= splits
        if "train" in splits and "val" not in parts:
            parts["train"], parts["val"] = hold_out(splits["train"], request)
        names = common_class_names(class_names, splits)
        if len(names) == 1 and "train" in splits:
            message = f"{self.training_file}: there is only one class, '{names[0]}'"
            raise DataError(message, "a classifier needs at least two")
        check_training_classes(splits, names)
        train = parts["train"]
        assert train is not None
        notes = tuple(notes_on(splits, names))
        return Dataset(names, train, parts.get("val"), parts.get("test"), notes)


def read_arrays(files: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """The arrays of a .npz file by name, or of two .npy files as ``x`` and ``y``.

    Errors: `DataError`.
    """
    loaded = [read_file(path) for path in files]
    if len(files) == 1:
        if isinstance(loaded[0], dict):
            return loaded[0]
        hint = f"give the pair [{files[0].name}, LABELS.npy]"
        raise DataError(f"{files[0]}: a .npy file has images or labels, not both", hint)
    pair = {}
    for key, path, array in zip("xy", files, loaded, strict=True):
        if isinstance(array, dict):
            hint = "give a single .npz file, or the pair [images.npy, labels.npy]"
            raise DataError(f"{path}: a .npz file cannot be part of a pair", hint)
        pair[key] = array
    return pair


def read_file(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or the arrays of a .npz file by name. Errors: `DataError`."""
    hint = "write it with numpy.savez; pickled objects are not read"
    try:
        # Opened here because np.load does not close a damaged file.
        with path.open("rb") as file:
            if file.read(2) not in (b"PK", b"\x93N"):
                raise DataError(complaint(path, "a NumPy file"), hint)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return {key: loaded[key] for key in loaded.files}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", missing_path_hint(path)) from None
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for damaged bytes
        raise DataError(f"{path}: not a readable NumPy file ({error})", hint) from None


def images_and_labels(
    arrays: dict[str, np.ndarray], split: str, path: Path, only_split: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """Find the arrays of a split by their usual names; None if the file lacks the split.

    ``only_split``: the file has no other split, so ``x``, ``images``, ``y`` and ``labels`` are
    accepted too. Errors: `DataError` if images or labels are missing.
    """
    names = SPLIT_NAMES[split]
    plain = only_split or split == "train"
    image_keys = [f"x_{name}" for name in names] + (["x", "images"] if plain else [])
    label_keys = [f"y_{name}" for name in names] + (["y", "labels"] if plain else [])
    images = next((arrays[key] for key in image_keys if key in arrays), None)
    labels = next((arrays[key] for key in label_keys if key in arrays), None)
    if images is None and labels is None and not only_split:
        return None
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        keys = ", ".join(image_keys if images is None else label_keys)
        found = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: no {missing} for {split}", f"expected one of {keys}; found {found}"
        )
    return images, labels


def read_class_names(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...] | None:
    """The class names, or None if the file has none.

    Errors: `DataError` for names that repeat or are not UTF-8.
    """
    for key in CLASS_NAME_KEYS:
        if key in arrays and arrays[key].ndim == 1 and arrays[key].dtype.kind in "US":
            try:
                names = tuple(
                    name.decode() if isinstance(name, bytes) else str(name) for name in arrays[key]
                )
                "".join(names).encode()
            except UnicodeError:
                hint = "save them as text, for example np.array(['cat', 'dog'])"
                raise DataError(f"{path}: {key} are not UTF-8", hint) from None
            if len(set(names)) < len(names):
                raise DataError(f"{path}: {key} has the same name twice")
            return names
    return None


def common_class_names(
    named: dict[Path, tuple[str, ...]], splits: dict[str, InMemorySplit]
) -> tuple[str, ...]:
    """The class names, which all files must share, or the class numbers if no file has names.

    Errors: `DataError`.
    """
    most = max(int(split.labels.max()) for split in splits.values()) + 1
    if not named:
        return tuple(str(number) for number in range(most))
    (first, names), *others = named.items()
    for path, other in others:
        if other != names:
            message = f"{path}: the class names differ from those of {first}"
            raise DataError(message, "give all files the same names in the same order")
    if most > len(names):
        message = f"{first}: label {most - 1} has no name: the file has {len(names)} class names"
        from_1 = most == len(names) + 1 and all(
            counted_from_1(split.labels) for split in splits.values()
        )
        raise DataError(message, FROM_1 if from_1 else "labels start at 0")
    return names
