"""What a data set is: class names and up to three splits of uint8 images read by index."""

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
    """Images and their labels. ``labels`` is int64 [N] on the CPU."""

    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def indices_on(self) -> torch.device:
        """Where `read` needs indices: from elsewhere it copies them, which may wait for a GPU."""
        return torch.device("cpu")

    @abstractmethod
    def read(self, indices: torch.Tensor) -> Batch:
        """The images and labels at ``indices`` (int64 [n])."""

    @abstractmethod
    def to(self, device: torch.device) -> Split:
        """The same split, read on a device."""

    @abstractmethod
    def fingerprint(self) -> bytes:
        """A hash of all images and labels in their order."""


class InMemorySplit(Split):
    """A split that is held in memory as one tensor, uint8 [N, H, W, C]."""

    def __init__(
        self, images: torch.Tensor, labels: torch.Tensor, identity: str | None = None
    ) -> None:
        """``identity`` names what the images are where their bytes may differ by machine."""
        assert images.dtype == torch.uint8
        assert images.shape[:1] == labels.shape
        self.images = images
        self.labels = labels
        self.identity = identity
        self._device_labels = labels.to(images.device)

    @property
    def indices_on(self) -> torch.device:
        return self.images.device

    def read(self, indices: torch.Tensor) -> Batch:
        indices = copy_to(indices, self.images.device)
        return Batch(self.images[indices], self._device_labels[indices])

    def to(self, device: torch.device) -> InMemorySplit:
        return InMemorySplit(self.images.to(device), self.labels, self.identity)

    def fingerprint(self) -> bytes:
        if self.identity is not None:
            return hashlib.blake2b(self.identity.encode(), digest_size=16).digest()
        digest = hashlib.blake2b(self.images.cpu().contiguous().numpy().data, digest_size=16)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.digest()

    def take(self, indices: torch.Tensor) -> InMemorySplit:
        return InMemorySplit(self.images[indices], self.labels[indices])


class RelabelledSplit(Split):
    """A split of a data set that numbers its classes otherwise: class ``i`` is ``numbers[i]``."""

    def __init__(self, split: Split, numbers: torch.Tensor) -> None:
        self.split = split
        self.numbers = numbers
        self.labels = numbers.to(split.labels.device)[split.labels]

    @property
    def indices_on(self) -> torch.device:
        return self.split.indices_on

    def read(self, indices: torch.Tensor) -> Batch:
        batch = self.split.read(indices)
        return replace(batch, labels=self.numbers.to(batch.labels.device)[batch.labels])

    def to(self, device: torch.device) -> RelabelledSplit:
        return RelabelledSplit(self.split.to(device), self.numbers.to(device))

    def fingerprint(self) -> bytes:
        """That of the images as they were numbered: to be compared with what a run had."""
        return self.split.fingerprint()


@dataclass(frozen=True)
class Dataset:
    """Class names and splits; ``train`` is always there."""

    class_names: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split | None
    notes: tuple[str, ...] = ()
    """what a user should know of the images though it is no error"""
    decoder: str | None = None
    """what made pixels of image files, as in Pillow 12.1.0; None where they came as pixels"""

    def splits(self) -> dict[str, Split]:
        return {name: split for name in SPLITS if (split := getattr(self, name)) is not None}

    def split(self, name: str) -> Split:
        """Errors: `DataError` for a split that the data set does not have."""
        splits = self.splits()
        if name not in splits:
            message = f"the data set has no '{name}' split, only {', '.join(splits)}"
            raise DataError(message, f"use --split {next(reversed(splits))}")
        return splits[name]

    def with_class_names(self, class_names: tuple[str, ...]) -> Dataset:
        """The same images, their classes numbered as in ``class_names``, which may hold more.

        Errors: `DataError` for classes that are not among them.
        """
        if self.class_names == class_names:
            return self
        known = {name: number for number, name in enumerate(class_names)}
        if foreign := [name for name in self.class_names if name not in known]:
            noun = "the class" if len(foreign) == 1 else "the classes"
            message = f"the net does not know {noun} {', '.join(foreign)}"
            hint = f"it knows {', '.join(class_names)}: leave other images out"
            raise DataError(message, hint)
        numbers = torch.tensor([known[name] for name in self.class_names])
        train, val, test = (
            split and RelabelledSplit(split, numbers) for split in (self.train, self.val, self.test)
        )
        assert train is not None
        return replace(self, class_names=class_names, train=train, val=val, test=test)

    def summary(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data it was trained on."""
        digest = hashlib.blake2b(repr(self.class_names).encode(), digest_size=16)
        fingerprints = {name: split.fingerprint() for name, split in self.splits().items()}
        for fingerprint in fingerprints.values():
            digest.update(fingerprint)
        return {
            "class_names": list(self.class_names),
            "counts": {name: len(split) for name, split in self.splits().items()},
            "fingerprint": digest.hexdigest(),
            "fingerprints": {name: one.hex() for name, one in fingerprints.items()},
            "decoder": self.decoder,
        }

    def decoder_change(self, facts: dict[str, Any]) -> str | None:
        """Two decoders, where the one of ``facts`` is another: it may have made other pixels."""
        before = facts.get("decoder")
        if before is None or self.decoder in (None, before):
            return None
        return f"decoded by {before}, now by {self.decoder}"

    def changed_splits(self, names: Iterable[str], facts: dict[str, Any]) -> list[str]:
        """Which of the splits have other images than where ``facts`` are from."""
        before = facts.get("fingerprints")
        if before is None:  # a checkpoint of an older sepcnn knows its splits as a whole only
            same = self.summary()["fingerprint"] == facts["fingerprint"]
            return [] if same else list(names)
        return [n for n in names if self.split(n).fingerprint().hex() != before.get(n)]
