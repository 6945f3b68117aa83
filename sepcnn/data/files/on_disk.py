"""A split that stays where it was decoded to: what is in memory is one batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy

import numpy as np
import torch

from sepcnn.backends.machine import copy_to, free_memory
from sepcnn.data.batch import Batch
from sepcnn.data.dataset import InMemorySplit, Split
from sepcnn.data.files.pixel_cache import Rows

IMAGES_AT_ONCE = 1024
"""when all of them are copied to a GPU"""


class OnDiskSplit(Split):
    """Rows of a file, read at ``places``; the system keeps what was read while it has room."""

    def __init__(
        self,
        rows: Rows,
        places: Sequence[int],
        names: Sequence[str],
        labels: torch.Tensor,
        shape: tuple[int, int, int],
        device: torch.device | None = None,
    ) -> None:
        """``names`` are the same on every machine, whatever the paths are."""
        assert len(places) == len(names) == len(labels)
        self.rows, self.labels, self.shape = rows, labels, shape
        # As one: they are only wanted for the fingerprint, and strings take three times as much.
        self._names = "\0".join(names).encode(errors="surrogateescape")
        self.places = torch.tensor(places, dtype=torch.int64)
        self.device = device or torch.device("cpu")

    @property
    def names(self) -> list[str]:
        return self._names.decode(errors="surrogateescape").split("\0") if len(self) else []

    def read(self, indices: torch.Tensor) -> Batch:
        indices = indices.cpu()
        # A GPU takes pinned memory while the processor goes on with the next batch.
        pinned = self.device.type == "cuda"
        images = torch.empty((len(indices), *self.shape), dtype=torch.uint8, pin_memory=pinned)
        self.rows.gather(self.places[indices].tolist(), images.flatten(1).numpy())
        return Batch(copy_to(images, self.device), copy_to(self.labels[indices], self.device))

    def to(self, device: torch.device) -> Split:
        free = free_memory(device) if device.type == "cuda" else None
        if free is not None and len(self) * int(np.prod(self.shape)) <= free / 2:
            return self._resident(device)
        moved = copy(self)
        moved.device = device
        return moved

    def _resident(self, device: torch.device) -> InMemorySplit:
        images = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=device)
        for indices in torch.arange(len(self)).split(IMAGES_AT_ONCE):
            images[indices[0] : indices[-1] + 1] = self.read(indices).images
        return InMemorySplit(images, self.labels)

    def fingerprint(self) -> bytes:
        """Of the images' names, digests and labels: no image is read."""
        digest = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for name, place, label in zip(
            self.names, self.places.tolist(), self.labels.tolist(), strict=True
        ):
            text = f"{name}\0{self.rows.entries.digest(place)}\0{label}\n"
            digest.update(text.encode(errors="surrogateescape"))
        return digest.digest()
