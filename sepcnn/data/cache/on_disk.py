"""A split whose decoded images stay on disk; only one batch at a time is in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from copy import copy

import numpy as np
import torch

from sepcnn.backends.machine import copy_to, free_memory
from sepcnn.data.batch import Batch
from sepcnn.data.cache.pixel_cache import RowStore
from sepcnn.data.dataset import InMemorySplit, Split

IMAGES_AT_ONCE = 1024
"""images per read when a whole split is copied to a GPU"""


class OnDiskSplit(Split):
    """Images in a row store. The page cache of the system keeps what was read."""

    def __init__(
        self,
        rows: RowStore,
        row_numbers: Sequence[int],
        names: Sequence[str],
        labels: torch.Tensor,
        shape: tuple[int, int, int],
        device: torch.device | None = None,
    ) -> None:
        """``names`` are part of the fingerprint: independent of the machine, unlike paths."""
        assert len(row_numbers) == len(names) == len(labels)
        self.rows, self.labels, self.shape = rows, labels, shape
        # One bytes object: separate strings take three times the memory.
        self._names = "\0".join(names).encode(errors="surrogateescape")
        self.row_numbers = torch.tensor(row_numbers, dtype=torch.int64)
        self.device = device or torch.device("cpu")

    @property
    def names(self) -> list[str]:
        return self._names.decode(errors="surrogateescape").split("\0") if len(self) else []

    def read(self, indices: torch.Tensor) -> Batch:
        indices = indices.cpu()
        # Pinned memory is copied to a GPU while the CPU prepares the next batch.
        pinned = self.device.type == "cuda"
        images = torch.empty((len(indices), *self.shape), dtype=torch.uint8, pin_memory=pinned)
        self.rows.gather(self.row_numbers[indices].tolist(), images.flatten(1).numpy())
        return Batch(copy_to(images, self.device), copy_to(self.labels[indices], self.device))

    def to(self, device: torch.device) -> Split:
        # A split that needs at most half of the free memory of a GPU is copied there.
        free = free_memory(device) if device.type == "cuda" else None
        if free is not None and len(self) * int(np.prod(self.shape)) <= free / 2:
            return self._in_memory(device)
        moved = copy(self)
        moved.device = device
        return moved

    def _in_memory(self, device: torch.device) -> InMemorySplit:
        images = torch.empty((len(self), *self.shape), dtype=torch.uint8, device=device)
        for indices in torch.arange(len(self)).split(IMAGES_AT_ONCE):
            images[indices[0] : indices[-1] + 1] = self.read(indices).images
        return InMemorySplit(images, self.labels)

    def fingerprint(self) -> bytes:
        """A hash of the names, digests and labels of the images; no image is read."""
        digest = hashlib.blake2b(repr(self.shape).encode(), digest_size=16)
        for name, number, label in zip(
            self.names, self.row_numbers.tolist(), self.labels.tolist(), strict=True
        ):
            text = f"{name}\0{self.rows.index.digest(number)}\0{label}\n"
            digest.update(text.encode(errors="surrogateescape"))
        return digest.digest()

    def origin(self, index: int) -> str:
        return self.rows.index[int(self.row_numbers[index])].path
