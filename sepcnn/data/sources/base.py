"""What a data source is, and what the config asks of it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.data.files import decoding
from sepcnn.data.progress import ProgressCallback, no_progress
from sepcnn.language.spec import Choice, Table
from sepcnn.language.values import ImageShape
from sepcnn.randomness import stream


@dataclass(frozen=True, slots=True)
class Request:
    """What the config asks of any source."""

    shape: ImageShape
    """height, width and channels that the net takes"""
    validation: float
    """share of the training images held out where the set brings no validation split"""
    split_seed: int
    progress: ProgressCallback = no_progress
    """called while images are read"""


class Source(Choice):
    """Where images come from."""

    table: ClassVar[Table] = Table("data source")

    def known_class_names(self) -> tuple[str, ...] | None:
        """The class names if they are known before any file is read."""
        return None

    def check(self, shape: ImageShape) -> None:
        """Whether the source can give images of a shape, as far as is known before reading.

        Errors: `DataError`.
        """

    def read_image(self, path: Path, shape: ImageShape) -> np.ndarray:
        """One image file as this source gives it to the net: uint8 [H, W, C].

        Errors: `DataError`.
        """
        return decoding.read_image(path, shape)

    @abstractmethod
    def open(self, request: Request) -> Dataset:
        """Read the data. Errors: `DataError`, which names what does not fit."""


def hold_out(split: InMemorySplit, request: Request) -> tuple[InMemorySplit, InMemorySplit | None]:
    """Training and validation images: the same share of every class, drawn by ``split_seed``.

    A class keeps at least one image for training.
    """
    held: list[torch.Tensor] = []
    for label in range(int(split.labels.max()) + 1):
        members = (split.labels == label).nonzero().flatten()
        generator = stream(request.split_seed, "validation", label)
        members = members[torch.randperm(len(members), generator=generator)]
        count = min(round(len(members) * request.validation), max(len(members) - 1, 0))
        held.append(members[:count])
    validation = torch.cat(held).sort().values
    if not len(validation):
        return split, None
    rest = torch.ones(len(split), dtype=torch.bool).index_fill_(0, validation, False)
    return split.take(rest.nonzero().flatten()), split.take(validation)
