"""Arrays: images and labels from NumPy files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import PlainValidator, ValidationInfo, WithJsonSchema, model_validator

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.sources.base import Request, Source, hold_out
from sepcnn.errors import DataError
from sepcnn.language.messages import invalid, quote
from sepcnn.language.values import FilePath, read_path
from sepcnn.wording import counted

SPLIT_NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
CLASS_NAME_KEYS = ("class_names", "classes", "label_names")
MAX_CLASSES = 1_000_000
"""more are no classes but, say, numbers of people"""


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
    """Images in NumPy files: one ``path`` with every split, or one file a split.

    A ``.npz`` file holds images under ``x_train``, ``x`` or ``images`` and labels under
    ``y_train``, ``y`` or ``labels`` (``x_test`` … likewise); ``.npy`` files come as a pair
    ``[images.npy, labels.npy]``. Images are uint8, N×H×W×C or N×H×W; labels are whole numbers
    from 0. Names of classes are read from ``class_names``, ``classes`` or ``label_names``.
    """

    path: FilePath | None = None
    """one .npz file with all splits"""
    train: ArrayFile | None = None
    """training images"""
    val: ArrayFile | None = None
    """validation images; held out of the training images unless given"""
    test: ArrayFile | None = None
    """test images"""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.path is None) == (self.train is None):
            raise invalid(
                "give either 'path' or 'train'", "as in Arrays: {train: a.npz, test: b.npz}"
            )
        if self.path is not None and (self.val or self.test):
            raise invalid("with 'path', every split comes from that file", "remove val and test")
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
        together = read_arrays((self.path,)) if self.path else {}
        for split in SPLIT_NAMES:
            files = (self.path,) if self.path else getattr(self, split)
            if files is None:
                continue
            arrays = together or read_arrays(files)
            found = images_and_labels(arrays, split, files[0], alone=self.path is None)
            if found is not None:
                splits[split] = checked_split(*found, request.shape, files[0])
                if names := read_class_names(arrays, files[0]):
                    class_names[files[0]] = names
        if "train" not in splits:
            raise DataError(
                f"{self.path}: there are no training images", "store x_train and y_train"
            )
        train, val, test = (splits.get(name) for name in SPLIT_NAMES)
        assert train is not None
        if val is None:
            train, val = hold_out(train, request)
        names = agreed_names(class_names, splits)
        if len(names) == 1:
            message = f"{self.training_file}: there is only one class, '{names[0]}'"
            raise DataError(message, "a classifier needs at least two")
        return Dataset(names, train, val, test)


def read_arrays(files: tuple[Path, ...]) -> dict[str, np.ndarray]:
    """All arrays of a .npz file, or a pair of .npy files. Errors: `DataError`."""
    loaded = [read_file(path) for path in files]
    if len(files) == 1:
        if isinstance(loaded[0], dict):
            return loaded[0]
        hint = f"give the pair [{files[0].name}, LABELS.npy]"
        raise DataError(f"{files[0]}: a .npy file holds images or labels, not both", hint)
    pair = {}
    for key, path, array in zip("xy", files, loaded, strict=True):
        if isinstance(array, dict):
            hint = "a .npz file stands alone; a pair is [images.npy, labels.npy]"
            raise DataError(f"{path}: a .npz file cannot be one of a pair", hint)
        pair[key] = array
    return pair


def read_file(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or those of a .npz file by name. Errors: `DataError`."""
    hint = "write it with numpy.savez; pickled objects are not read"
    try:
        # Opened here since np.load leaves a file open that turns out to be damaged.
        with path.open("rb") as file:
            if file.read(2) not in (b"PK", b"\x93N"):
                raise DataError(f"{path}: not a NumPy file", hint)
            file.seek(0)
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            with loaded:
                return {key: loaded[key] for key in loaded.files}
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", "check the path") from None
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise anything
        raise DataError(f"{path}: not a readable NumPy file ({error})", hint) from None


def images_and_labels(
    arrays: dict[str, np.ndarray], split: str, path: Path, alone: bool
) -> tuple[np.ndarray, np.ndarray] | None:
    """The arrays of a split by their usual names; None if the file has no such split.

    ``alone``: the file holds this split only, so names without a split serve too.
    """
    names = SPLIT_NAMES[split]
    plain = alone or split == "train"
    image_keys = [f"x_{name}" for name in names] + (["x", "images"] if plain else [])
    label_keys = [f"y_{name}" for name in names] + (["y", "labels"] if plain else [])
    images = next((arrays[key] for key in image_keys if key in arrays), None)
    labels = next((arrays[key] for key in label_keys if key in arrays), None)
    if images is None and labels is None and not alone:
        return None
    if images is None or labels is None:
        missing = "images" if images is None else "labels"
        keys = ", ".join(image_keys if images is None else label_keys)
        found = ", ".join(arrays) or "nothing"
        raise DataError(
            f"{path}: no {missing} for {split}", f"expected one of {keys}; found {found}"
        )
    return images, labels


def checked_split(
    images: np.ndarray, labels: np.ndarray, shape: tuple[int, int, int], path: Path
) -> InMemorySplit:
    """Checked arrays as a split. Errors: `DataError`."""
    if images.ndim == 3:
        images = images[..., None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim != 4 or images.dtype != np.uint8:
        message = f"{path}: images must be uint8 N×H×W×C or N×H×W, found {describe(images)}"
        raise DataError(message, "scale to 0 … 255 and save with .astype('uint8')")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        message = f"{path}: labels must be whole numbers of shape N, found {describe(labels)}"
        raise DataError(message, "for one-hot labels save labels.argmax(axis=1)")
    if len(images) != len(labels):
        raise DataError(
            f"{path}: {counted(len(images), 'image')}, but {counted(len(labels), 'label')}"
        )
    if not len(images):
        raise DataError(f"{path}: there are no images")
    if int(labels.min()) < 0:
        raise DataError(f"{path}: a label is {labels.min()}", "labels count from 0")
    if int(labels.max()) >= MAX_CLASSES:
        message = f"{path}: a label is {labels.max()}, but {MAX_CLASSES} classes are the most"
        raise DataError(message, "labels number the classes from 0")
    if images.shape[1:] != tuple(shape):
        found = ", ".join(map(str, images.shape[1:]))
        message = f"{path}: images are {found}, but model.input_shape is {list(shape)}"
        hint = f"write input_shape: [{found}]"
        if images.shape[1] in (1, 3) and images.shape[3] > 4:
            hint = "channels come last here: save images.transpose(0, 2, 3, 1)"
        raise DataError(message, hint)
    return InMemorySplit(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def describe(array: np.ndarray) -> str:
    if not array.ndim:
        return f"a single {array.dtype}"
    return f"{array.dtype} of shape {'×'.join(map(str, array.shape))}"


def read_class_names(arrays: dict[str, np.ndarray], path: Path) -> tuple[str, ...] | None:
    """Names of the classes if the file has them. Errors: `DataError` for names that repeat,
    or are no text.
    """
    for key in CLASS_NAME_KEYS:
        if key in arrays and arrays[key].ndim == 1 and arrays[key].dtype.kind in "US":
            try:
                names = tuple(
                    name.decode() if isinstance(name, bytes) else str(name) for name in arrays[key]
                )
                "".join(names).encode()
            except UnicodeError:
                hint = "save them as text, such as np.array(['cat', 'dog'])"
                raise DataError(f"{path}: {key} are not UTF-8", hint) from None
            if len(set(names)) < len(names):
                raise DataError(f"{path}: {key} names a class twice")
            return names
    return None


def agreed_names(
    named: dict[Path, tuple[str, ...]], splits: dict[str, InMemorySplit]
) -> tuple[str, ...]:
    """The class names that all files agree on, else the numbers. Errors: `DataError`."""
    most = max(int(split.labels.max()) for split in splits.values()) + 1
    if not named:
        return tuple(str(number) for number in range(most))
    (first, names), *others = named.items()
    for path, other in others:
        if other != names:
            raise DataError(f"{path}: names other classes than {first}", "use the same order too")
    if most > len(names):
        message = f"{first}: label {most - 1} has no name: the file names {len(names)} classes"
        raise DataError(message, "labels count from 0")
    return names
