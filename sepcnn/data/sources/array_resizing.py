"""Resizing of image arrays to the model's input shape, once, when they are opened."""

from __future__ import annotations

import torch
from torch.nn import functional

from sepcnn.backends.machine import free_memory
from sepcnn.data.dataset import InMemorySplit
from sepcnn.data.decoding.resizing import Resize
from sepcnn.errors import DataError
from sepcnn.language.values import ImageShape

CHUNK = 1000
"""images per call of the resizing function"""
LUMA = (0.299, 0.587, 0.114)
"""weights of red, green and blue in grey: ITU-R BT.601, as in Pillow"""


def resized_split(split: InMemorySplit, shape: ImageShape, resize: Resize) -> InMemorySplit:
    """Resize all images to ``shape``, (height, width, channels).

    Interpolation is bilinear with antialiasing. Grey images are repeated to 3 channels; colours are
    converted to grey. Errors: `DataError` if the result needs more than half of the free memory.
    """
    images = split.images
    if images.shape[1:] == shape:
        return split
    needed = len(images) * shape[0] * shape[1] * shape[2]
    free = free_memory()
    if free is not None and needed > free // 2:
        before = ", ".join(map(str, images.shape[1:]))
        message = f"{len(images)} images of {'×'.join(map(str, shape))} need {needed >> 30} GiB"
        hint = f"write input_shape: [{before}] and make Resizing the first layer"
        raise DataError(f"{message} of memory", hint)
    fitted = torch.empty((len(images), *shape), dtype=torch.uint8)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        if shape[2] == 1:
            chunk = grey(chunk)
        fitted[start : start + CHUNK] = resize_images(
            chunk, shape[:2], resize
        )  # broadcasts 1 channel to 3
    # Processors round differently, so the original images give the fingerprint.
    identity = f"{split.fingerprint().hex()} {shape} {resize}"
    return InMemorySplit(fitted, split.labels, identity, split.positions)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 N×H×W×C with 1 or 3 channels to uint8 N×H×W×1."""
    if images.shape[3] == 1:
        return images
    return (images.float() @ torch.tensor(LUMA)).round().to(torch.uint8).unsqueeze(3)


def resize_images(images: torch.Tensor, size: tuple[int, int], resize: Resize) -> torch.Tensor:
    """Resize uint8 N×H×W×C to height and width ``size``."""
    if images.shape[1:3] == size:
        return images
    ratios = [new / old for new, old in zip(size, images.shape[1:3], strict=True)]
    if resize == "crop":
        sides = [max(1, round(new / max(ratios))) for new in size]
        top, left = ((o - s) // 2 for o, s in zip(images.shape[1:3], sides, strict=True))
        images = images[:, top : top + sides[0], left : left + sides[1]]
    inner = size
    if resize == "letterbox":
        height, width = (max(1, round(old * min(ratios))) for old in images.shape[1:3])
        inner = (height, width)
    planes = images.permute(0, 3, 1, 2)
    planes = functional.interpolate(planes, inner, mode="bilinear", antialias=True)
    height, width = (new - old for new, old in zip(size, inner, strict=True))
    padding = (width // 2, width - width // 2, height // 2, height - height // 2)
    return functional.pad(planes, padding).permute(0, 2, 3, 1)
