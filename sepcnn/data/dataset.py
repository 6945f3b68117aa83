"""A data set: class names and up to three splits of uint8 images that are read by index."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from sepcnn.backends.machine import copy_to
from sepcnn.data.batch import Batch
from sepcnn.errors import DataError

SPLITS = ("train", "val", "test")


class Split(ABC):
    """Images and their labels."""

    labels: torch.Tensor
    """int64 [N] on the CPU"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def indices_on(self) -> torch.device:
        """The device where `read` needs indices; copying from another may wait for a GPU."""
        return torch.device("cpu")

    @abstractmethod
    def read(self, indices: torch.Tensor) -> Batch:
        """Read the images and labels at ``indices``, int64 [n]."""

    @abstractmethod
    def to(self, device: torch.device) -> Split:
        """The same split, whose batches are on ``device``."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """A hash of all images and labels, in order."""

    @abstractmethod
    def origin(self, index: int) -> str | int:
        """The path of the file of an image, or its position in the array that it came from."""


class InMemorySplit(Split):
    """A split in memory, as one tensor, uint8 [N, H, W, C]."""

    def __init__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        identity: str | None = None,
        positions: torch.Tensor | None = None,
    ) -> None:
        """``identity`` replaces the images in the fingerprint if they may differ by machine.

        ``positions``, int64 [N], are those in the array that the images came from; None if the
        split is the whole array.
        """
        assert images.dtype == torch.uint8
        assert images.shape[:1] == labels.shape
        self.images = images
        self.labels = labels
        self.identity = identity
        self.positions = torch.arange(len(labels)) if positions is None else positions
        self._device_labels = labels.to(images.device)

    @property
    def indices_on(self) -> torch.device:
        return self.images.device

    def read(self, indices: torch.Tensor) -> Batch:
        indices = copy_to(indices, self.images.device)
        return Batch(self.images[indices], self._device_labels[indices])

    def to(self, device: torch.device) -> InMemorySplit:
        return InMemorySplit(self.images.to(device), self.labels, self.identity, self.positions)

    def fingerprint(self) -> bytes:
        if self.identity is not None:
            return hashlib.blake2b(self.identity.encode(), digest_size=16).digest()
        digest = hashlib.blake2b(self.images.cpu().contiguous().numpy().data, digest_size=16)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.digest()

    def take(self, indices: torch.Tensor) -> InMemorySplit:
        """The split of the images at ``indices``."""
        return InMemorySplit(
            self.images[indices], self.labels[indices], positions=self.positions[indices]
        )

    def origin(self, index: int) -> int:
        return int(self.positions[index])


class UnopenedSplit(Split):
    """A split that was not read, because a command needs only another one."""

    def __init__(self, count: int | None = None) -> None:
        """``count`` is the number of images; None if it is not known without reading files."""
        self.count = count
        self.labels = torch.empty(0, dtype=torch.int64)

    def read(self, indices: torch.Tensor) -> Batch:
        raise NotImplementedError

    def to(self, device: torch.device) -> UnopenedSplit:
        return self

    def fingerprint(self) -> bytes:
        raise NotImplementedError

    def origin(self, index: int) -> str | int:
        raise NotImplementedError


class RelabelledSplit(Split):
    """A split with other class numbers: label ``i`` becomes ``new_labels[i]``."""

    def __init__(self, split: Split, new_labels: torch.Tensor) -> None:
        self.split = split
        self.new_labels = new_labels
        self.labels = new_labels.to(split.labels.device)[split.labels]

    @property
    def indices_on(self) -> torch.device:
        return self.split.indices_on

    def read(self, indices: torch.Tensor) -> Batch:
        batch = self.split.read(indices)
        return replace(batch, labels=self.new_labels.to(batch.labels.device)[batch.labels])

    def to(self, device: torch.device) -> RelabelledSplit:
        return RelabelledSplit(self.split.to(device), self.new_labels.to(device))

    def fingerprint(self) -> bytes:
        """The fingerprint with the original labels, to compare with that in a checkpoint."""
        return self.split.fingerprint()

    def origin(self, index: int) -> str | int:
        return self.split.origin(index)


@dataclass(frozen=True)
class Dataset:
    """Class names and splits; ``train`` always exists, but may be an `UnopenedSplit`."""

    class_names: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None
    notes: tuple[str, ...] = ()
    """remarks on the images for the user, which are not errors"""
    decoder: str | None = None
    """what decoded image files, for example Pillow 12.1.0; None for arrays"""
    value_range: tuple[float, float] | None = None
    """values of the image files that became 0 and 255; None is the full range of their type"""

    def splits(self) -> dict[str, Split]:
        """The opened splits by name, in the order train, val, test."""
        every = {name: getattr(self, name) for name in SPLITS}
        return {
            name: split
            for name, split in every.items()
            if split is not None and not isinstance(split, UnopenedSplit)
        }

    def total(self) -> int | None:
        """The number of images of all splits; None if it is not known without reading files."""
        total = 0
        for split in (self.train, self.val, self.test):
            count = split.count if isinstance(split, UnopenedSplit) else len(split or ())
            if count is None:
                return None
            total += count
        return total

    def split(self, name: str) -> Split:
        """A split by name. Errors: `DataError` if the data set does not have it."""
        splits = self.splits()
        if name not in splits:
            message = f"the data set has no '{name}' split, only {', '.join(splits)}"
            raise DataError(message, f"use --split {next(reversed(splits))}")
        return splits[name]

    def with_class_names(self, class_names: tuple[str, ...]) -> Dataset:
        """The same images, with labels as indices into ``class_names``, which may have more names.

        Errors: `DataError` if a class of the data is not in ``class_names``.
        """
        if self.class_names == class_names:
            return self
        labels = {name: label for label, name in enumerate(class_names)}
        if unknown := [name for name in self.class_names if name not in labels]:
            noun = "the class" if len(unknown) == 1 else "the classes"
            message = f"the model does not have {noun} {', '.join(unknown)}"
            hint = f"its classes are {', '.join(class_names)}: leave out other images"
            raise DataError(message, hint)
        new_labels = torch.tensor([labels[name] for name in self.class_names])
        splits: dict[str, Any] = {
            name: RelabelledSplit(split, new_labels) for name, split in self.splits().items()
        }
        return replace(self, class_names=class_names, **splits)

    def summary(self) -> dict[str, Any]:
        """Class names, counts and fingerprints: what a checkpoint stores about its data."""
        digest = hashlib.blake2b(repr(self.class_names).encode(), digest_size=16)
        fingerprints = {name: split.fingerprint() for name, split in self.splits().items()}
        for fingerprint in fingerprints.values():
            digest.update(fingerprint)
        return {
            "class_names": list(self.class_names),
            "counts": {name: len(split) for name, split in self.splits().items()},
            "fingerprint": digest.hexdigest(),
            "fingerprints": {name: value.hex() for name, value in fingerprints.items()},
            "decoder": self.decoder,
            "value_range": self.value_range and list(self.value_range),
        }

    def decoder_change(self, summary: dict[str, Any]) -> str | None:
        """Describe the change of decoder since ``summary`` was made, which may change pixels.

        None if the decoder is the same or unknown.
        """
        before = summary.get("decoder")
        if before is None or self.decoder in (None, before):
            return None
        return f"decoded by {before}, now by {self.decoder}"

    def changed_splits(self, names: Iterable[str], summary: dict[str, Any]) -> list[str]:
        """The splits, of ``names``, whose fingerprint differs from that in ``summary``."""
        before = summary.get("fingerprints")
        if before is None:  # an older checkpoint has one fingerprint of all splits
            same = self.summary()["fingerprint"] == summary["fingerprint"]
            return [] if same else list(names)
        return [n for n in names if self.split(n).fingerprint().hex() != before.get(n)]
