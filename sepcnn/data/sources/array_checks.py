"""Checks the arrays of a split. Hints fit what the arrays contain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sepcnn.data.dataset import InMemorySplit
from sepcnn.errors import DataError
from sepcnn.wording import counted

MAX_CLASSES = 1_000_000
"""larger labels are not class numbers but, for example, identifiers"""
ONE_PER_IMAGE = "save one class number per image"
CHANNELS_LAST = "channels must come last: save images.transpose(0, 2, 3, 1)"
CHANNELS = (1, 3, 4)
FROM_1 = "if labels are counted from 1, save labels - 1"


def to_split(
    images: np.ndarray, labels: np.ndarray, shape: tuple[int, int, int], path: Path
) -> InMemorySplit:
    """Check the arrays of a split. Errors: `DataError` for a wrong dtype, shape or label."""
    if images.ndim < 3 <= labels.ndim:
        message = f"{path}: images are {describe(images)}, and labels are {describe(labels)}"
        raise DataError(message, "swap them: images come first")
    if images.ndim == 3:
        images = images[..., None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim != 4 or images.dtype != np.uint8:
        message = f"{path}: images must be uint8 N×H×W×C or N×H×W, found {describe(images)}"
        raise DataError(message, image_hint(images, shape))
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        message = f"{path}: labels must be integers of shape N, found {describe(labels)}"
        raise DataError(message, label_hint(labels))
    if len(images) != len(labels):
        message = f"{path}: {counted(len(images), 'image')}, but {counted(len(labels), 'label')}"
        last = images.shape[-1] == len(labels)
        hint = "images come first: save images.transpose(3, 0, 1, 2)" if last else ONE_PER_IMAGE
        raise DataError(message, hint)
    if not len(images):
        raise DataError(f"{path}: there are no images")
    _check_numbers(labels, path)
    if images.shape[1:] != tuple(shape):
        found = ", ".join(map(str, images.shape[1:]))
        message = f"{path}: images are {found}, but model.input_shape is {list(shape)}"
        hint = CHANNELS_LAST if channels_first(images) else f"write input_shape: [{found}]"
        raise DataError(message, hint)
    return InMemorySplit(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)))


def _check_numbers(labels: np.ndarray, path: Path) -> None:
    if int(labels.min()) < 0:
        message, hint = f"{path}: a label is {labels.min()}", "labels start at 0"
        if (labels[labels < 0] == -1).all():
            negative = counted(int((labels < 0).sum()), "label")
            hint += f"; if -1 is no label ({negative}), keep the images with labels >= 0"
        raise DataError(message, hint)
    if int(labels.max()) >= MAX_CLASSES:
        message = (
            f"{path}: a label is {labels.max()}, but at most {MAX_CLASSES} classes are allowed"
        )
        hint = "labels are class numbers from 0: save np.unique(labels, return_inverse=True)[1]"
        raise DataError(message, hint)


def channels_first(images: np.ndarray) -> bool:
    """Whether the shape looks like N×C×H×W."""
    return images.ndim == 4 and images.shape[1] in CHANNELS and images.shape[3] > max(CHANNELS)


def image_hint(images: np.ndarray, shape: tuple[int, int, int]) -> str:
    """How to save images of a wrong type or shape."""
    steps = []
    if images.ndim == 2 and images.shape[1] == np.prod(shape):
        steps.append(f".reshape(-1, {', '.join(map(str, shape))})")
    elif channels_first(images):
        steps.append(".transpose(0, 2, 3, 1)")
    elif images.ndim != 4:
        return "save one array of images of one size, N×H×W×C"
    pixels = "images" + "".join(steps)
    kind = images.dtype.kind
    if images.dtype == np.uint8:
        return f"save {pixels}"
    if kind == "b":
        return f"save {pixels}.astype('uint8') * 255"
    if kind not in "iuf" or not images.size:
        return "save numbers from 0 to 255 with .astype('uint8')"
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        return "some pixels are not finite: replace them, and scale to 0 … 255"
    between = f"pixels are {low:g} … {high:g}: "
    if kind == "f" and low >= 0 and high <= 1:
        return f"{between}save ({pixels} * 255).round().astype('uint8')"
    if kind == "f" and -1 <= low < 0 and high <= 1:
        return f"{between}save (({pixels} + 1) * 127.5).round().astype('uint8')"
    if low >= 0 and high <= 255:
        rounded = ".round()" if kind == "f" else ""
        return f"{between}save {pixels}{rounded}.astype('uint8')"
    return f"{between}scale to 0 … 255 and save with .astype('uint8')"


def label_hint(labels: np.ndarray) -> str:
    """How to save labels of a wrong type or shape."""
    kind = labels.dtype.kind
    if labels.ndim == 2 and kind in "iufb":
        rows = (labels != 0).sum(axis=1)
        if (rows == 1).all():
            return "these are one-hot labels: save labels.argmax(axis=1)"
        if kind == "f" and labels.size and np.allclose(labels.sum(axis=1), 1, atol=1e-3):
            return "these are probabilities: save labels.argmax(axis=1)"
        return f"some images have several labels or none: {ONE_PER_IMAGE}"
    if labels.ndim != 1:
        return ONE_PER_IMAGE
    if kind in "US":
        return "save class_names, y = np.unique(labels, return_inverse=True), as two arrays"
    if kind == "b":
        return "save labels.astype('uint8'): False is class 0, True is class 1"
    if kind == "f":
        if not np.isfinite(labels).all():
            return "some labels are not a number: leave out their images"
        if (labels == labels.round()).all():
            return "save labels.astype('int64')"
        return "labels are class numbers, and these have fractions"
    return ONE_PER_IMAGE


def describe(array: np.ndarray) -> str:
    if not array.ndim:
        return f"a single {array.dtype}"
    return f"{array.dtype} of shape {'×'.join(map(str, array.shape))}"


def check_training_classes(splits: dict[str, InMemorySplit], names: tuple[str, ...]) -> None:
    """Errors: `DataError` if another split has a class without training images."""
    if "train" not in splits:  # it was not opened
        return
    known = set(splits["train"].labels.tolist())
    for split, arrays in splits.items():
        unknown = sorted(set(arrays.labels.tolist()) - known)
        if unknown:
            listed = ", ".join(names[label] for label in unknown[:10])
            more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
            message = f"train lacks classes: {split} has {listed}{more}"
            raise DataError(message, "add training images, or remove those of the other split")


def notes_on(splits: dict[str, InMemorySplit], names: tuple[str, ...]) -> list[str]:
    """What is suspicious: classes without training images, pixels that are nearly black."""
    notes = []
    train = splits.get("train")
    present = set(train.labels.tolist()) if train else set()
    missing = [name for label, name in enumerate(names) if label not in present]
    if train and missing:
        listed = ", ".join(missing[:5])
        more = f" and {len(missing) - 5:,} more" if len(missing) > 5 else ""
        hint = FROM_1 if counted_from_1(train.labels) else "the model cannot learn them"
        notes.append(f"train has no images of {listed}{more}: {hint}")
    for split, arrays in splits.items():
        if int(arrays.images.max()) <= 1:
            pixels = "pixels are only 0 and 1, which is nearly black"
            notes.append(f"{split}: {pixels}; if 1 is white, save images * 255")
    return notes


def counted_from_1(labels: torch.Tensor) -> bool:
    """Whether no image has label 0 and every other number up to the largest label occurs."""
    return len(labels) > 0 and labels.unique().tolist() == list(range(1, int(labels.max()) + 1))
