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
    # Names of files may be any bytes.
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for the stream of that name, on ``device``.

    torch's CPU generator starts from the lower 32 bits of the key only, a GPU's from all.
    """
    return restart(torch.Generator(device), seed, *name)


def restart(generator: torch.Generator, seed: int, *name: str | int) -> torch.Generator:
    """The generator, from now on at the start of the stream of that name."""
    return generator.manual_seed(key(seed, *name))


def order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """The order of ``count`` training images in one epoch: int64 [count]."""
    return torch.randperm(count, generator=stream(seed, "order", epoch))


def balanced_order(seed: int, epoch: int, labels: torch.Tensor) -> torch.Tensor:
    """As `order`, with the same share of every class that has images: int64 [count], with repeats.

    Shares differ by 1 where they do not divide, and by turns. No image of a class comes again,
    within an epoch or over the run, before all have come.
    """
    classes, counts = (found.tolist() for found in labels.unique(return_counts=True))
    share, left = divmod(len(labels), len(classes))
    chosen = []
    by_class = labels.argsort(stable=True).split(counts)
    for place, (label, members) in enumerate(zip(classes, by_class, strict=True)):
        generator = stream(seed, "balanced", label)
        members = members[torch.randperm(len(members), generator=generator)]
        # Each epoch goes round the members from where the last one stopped.
        start, end = (e * share - (place - e * left) // len(classes) for e in (epoch, epoch + 1))
        chosen.append(members[torch.arange(start, end) % len(members)])
    return torch.cat(chosen)[order(seed, epoch, len(labels))]
