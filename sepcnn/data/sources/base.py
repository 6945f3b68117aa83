"""Base class of data sources, and the request that opens one."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sepcnn.data.dataset import SPLITS, Dataset, InMemorySplit
from sepcnn.data.decoding import reading
from sepcnn.data.hold_out import SplitRule, same_share_by_content
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import ImageShape
from sepcnn.randomness import stream

LAST = "last"
"""in place of a split's name in a `Request`: test if there is such a split, else val, else train"""


@dataclass(frozen=True, slots=True)
class Request:
    """The settings of a config that every source needs."""

    shape: ImageShape
    """height, width and channels of the model's input"""
    validation: float
    """fraction of the training images to hold out if the data has no validation split"""
    split_seed: int
    """seed that decides which images are held out"""
    progress: ProgressCallback = no_progress
    """called while images are read"""
    split: str | None = None
    """name of the only split that is needed, or `LAST`; None: all. A source may open more"""
    split_rule: SplitRule = "content"
    """what decides which images are held out"""

    def needed(self, existing: Iterable[str]) -> tuple[str, ...]:
        """Return which of the ``existing`` splits to open.

        Without a val split, validation images are held out from train. If the split of the request
        does not exist, all splits are opened, so that the error can name them.
        """
        names = tuple(name for name in SPLITS if name in existing)
        split = names[-1] if self.split == LAST else self.split
        if split == "val" and "val" not in names:
            split = "train"
        return (split,) if split in names else names


class Source(Choice):
    """Where images come from."""

    table: ClassVar[Table] = Table("data source")
    location_fields: ClassVar[tuple[str, ...]] = ()
    """fields with paths: a resumed run may change them, since the same images may be elsewhere"""

    def known_class_names(self) -> tuple[str, ...] | None:
        """The class names, or None if they are known only after files are read."""
        return None

    def check(self, shape: ImageShape) -> None:
        """Check, before files are read, that the source can produce images of ``shape``.

        Errors: `DataError` if it cannot.
        """

    def read_image(self, path: Path, shape: ImageShape, content: bytes | None = None) -> np.ndarray:
        """Read one image file as this source prepares it for the model: uint8 [H, W, C].

        ``content`` are the bytes of the file, if they are in memory. Errors: `DataError`.
        """
        return reading.read_image(path, shape, content=content)

    def trained_as(self, trained: Source) -> Source:
        """This source with what ``trained``, the source of a model, measured on training images."""
        return self

    def with_measurements(self, dataset: Dataset) -> Source:
        """This source with what it measured when it opened ``dataset``, for later commands."""
        return self

    @abstractmethod
    def open(self, request: Request) -> Dataset:
        """Open the data set. Errors: `DataError`."""


def hold_out(split: InMemorySplit, request: Request) -> tuple[InMemorySplit, InMemorySplit | None]:
    """Split off validation images: the same fraction of each class, drawn with ``split_seed``.

    Each class keeps at least one training image. Validation is None if no image is held out.
    """
    if request.split_rule == "names":
        validation = _drawn_by_position(split, request)
    elif request.validation:
        images = split.images.cpu().contiguous().flatten(1).numpy()
        digests = [hashlib.blake2b(image.data, digest_size=16).hexdigest() for image in images]
        held = same_share_by_content(
            digests, split.labels.tolist(), request.validation, request.split_seed
        )
        validation = torch.tensor(held, dtype=torch.bool).nonzero().flatten()
    else:
        return split, None
    if not len(validation):
        return split, None
    rest = torch.ones(len(split), dtype=torch.bool).index_fill_(0, validation, False)
    return split.take(rest.nonzero().flatten()), split.take(validation)


def _drawn_by_position(split: InMemorySplit, request: Request) -> torch.Tensor:
    """The images held out by the rule of older runs, which separated equal images."""
    held: list[torch.Tensor] = []
    for label in range(int(split.labels.max()) + 1):
        members = (split.labels == label).nonzero().flatten()
        generator = stream(request.split_seed, "validation", label)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(round(len(members) * request.validation), max(len(members) - 1, 0))
        held.append(members[:count])
    return torch.cat(held).sort().values
