"""Randomness as a function: every stream is named by (seed, purpose, position), never by history.

The key of a stream is a BLAKE2 hash of its name, so that neighbouring seeds and steps share
nothing, as sums of seeds would. Nothing has to be saved for a run to continue exactly.
"""

from __future__ import annotations

import hashlib

import torch


def key(seed: int, *name: str | int) -> int:
    """A 63-bit key for the stream of that name."""
    text = "\0".join([str(seed), *(str(part) for part in name)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for the stream of that name, on ``device``.

    torch's CPU generator starts from the lower 32 bits of the key only, a GPU's from all.
    """
    return torch.Generator(device).manual_seed(key(seed, *name))


def order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """The order of ``count`` training images in one epoch: int64 [count]."""
    return torch.randperm(count, generator=stream(seed, "order", epoch))
