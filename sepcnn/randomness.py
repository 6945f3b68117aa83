"""Random number streams that depend only on their name: seed, purpose and position.

A stream is seeded with a BLAKE2 hash of its name. Streams of neighbouring seeds and steps are
therefore unrelated, unlike with sums of seeds. A resumed run continues exactly without any saved
generator state.
"""

from __future__ import annotations

import hashlib

import torch


def key(seed: int, *name: str | int) -> int:
    """Return the 63-bit key of a stream. It is the same in all versions and on all platforms."""
    text = "\0".join([str(seed), *(str(part) for part in name)])
    # File names may contain arbitrary bytes.
    digest = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def stream(seed: int, *name: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a new generator at the start of a stream, on ``device``.

    torch's CPU generator uses only the lower 32 bits of the key, a GPU generator all of them.
    """
    return restart(torch.Generator(device), seed, *name)


def restart(generator: torch.Generator, seed: int, *name: str | int) -> torch.Generator:
    """Set the generator to the start of a stream, and return it."""
    return generator.manual_seed(key(seed, *name))


def order(seed: int, epoch: int, count: int) -> torch.Tensor:
    """Return the order of ``count`` training images in an epoch, a permutation: int64 [count]."""
    return torch.randperm(count, generator=stream(seed, "order", epoch))


def balanced_order(seed: int, epoch: int, labels: torch.Tensor) -> torch.Tensor:
    """Return an order with equally many images of each class that has images: int64 [labels].

    If the length is not divisible by the number of classes, some classes have one image more, and
    these classes change from epoch to epoch. Images of small classes repeat. An image repeats,
    within an epoch or later, only after all others of its class.
    """
    classes, counts = (values.tolist() for values in labels.unique(return_counts=True))
    share, left = divmod(len(labels), len(classes))
    chosen = []
    by_class = labels.argsort(stable=True).split(counts)
    for place, (label, members) in enumerate(zip(classes, by_class, strict=True)):
        generator = stream(seed, "balanced", label)
        members = members[torch.randperm(len(members), generator=generator)]
        # Each epoch continues in the cycle of members where the previous one stopped.
        start, end = (e * share - (place - e * left) // len(classes) for e in (epoch, epoch + 1))
        chosen.append(members[torch.arange(start, end) % len(members)])
    return torch.cat(chosen)[order(seed, epoch, len(labels))]
