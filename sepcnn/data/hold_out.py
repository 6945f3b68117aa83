"""Rules that decide which training images are held out for validation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import Literal

from sepcnn.randomness import key

SplitRule = Literal["content", "names"]
"""what is hashed: the content of images, or their names and places, as sepcnn did at first"""
LEAST_EXPECTED = 0.5
"""a class that expects this many validation images has at least one"""


def image_hash(split_seed: int, content: str) -> float:
    """A number from 0 to 1, evenly distributed, that depends on seed and content (or name)."""
    return key(split_seed, "validation", content) / (1 << 63)


def held_out_by_content(
    digests: Sequence[str], classes: Sequence[Hashable], share: float, split_seed: int
) -> list[bool]:
    """Whether each image is held out: if the hash of its content is below ``share``.

    Equal images are on one side, also if they are of different classes. Two exceptions, for small
    classes: each class keeps at least the image with the largest hash for training, and a class
    that expects `LEAST_EXPECTED` validation images holds out at least the one with the smallest
    hash, unless that takes the last training image of a class.
    """
    hashes = {digest: image_hash(split_seed, digest) for digest in set(digests)}
    held = {digest for digest, value in hashes.items() if value < share}
    contents: dict[Hashable, set[str]] = defaultdict(set)
    classes_of: dict[str, tuple[Hashable, ...]] = {}
    for digest, name in zip(digests, classes, strict=True):
        contents[name].add(digest)
        before = classes_of.get(digest, ())
        if name not in before:
            classes_of[digest] = (*before, name)
    names = sorted(contents, key=str)  # so that the order of the images has no effect
    for members in map(contents.__getitem__, names):
        if members <= held:
            held.remove(max(members, key=hashes.__getitem__))
    # What a class keeps for training may have been the only held-out image of another class.
    training = {name: len(members - held) for name, members in contents.items()}
    for name in names:
        members = contents[name]
        if not share or len(members) * share < LEAST_EXPECTED or members & held:
            continue
        for digest in sorted(members, key=hashes.__getitem__):
            if all(training[other] > 1 for other in classes_of[digest]):
                held.add(digest)
                for other in classes_of[digest]:
                    training[other] -= 1
                break
    return [digest in held for digest in digests]


def held_out_by_names(
    names: Sequence[str], classes: Sequence[Hashable], share: float, split_seed: int
) -> list[bool]:
    """Whether each image is held out: if the hash of its name is below ``share``.

    The rule of older runs. Classes with equal names hold out the same images. Each class keeps the
    image with the largest hash for training.
    """
    hashes = [image_hash(split_seed, name) for name in names]
    kept: dict[Hashable, int] = {}
    for index, name in enumerate(classes):
        best = kept.setdefault(name, index)
        if hashes[index] > hashes[best]:
            kept[name] = index
    always = set(kept.values())
    return [value < share and index not in always for index, value in enumerate(hashes)]


def same_share_by_content(
    digests: Sequence[str], labels: Sequence[int], share: float, split_seed: int
) -> list[bool]:
    """Whether each image is held out: of each class the given ``share``, by the least hashes.

    Equal images are on one side, also if they are of different classes. If they do not fit into the
    share of a class, it holds out fewer. Each class keeps at least one training image.
    """
    groups: dict[str, Counter[int]] = defaultdict(Counter)
    for digest, label in zip(digests, labels, strict=True):
        groups[digest][label] += 1
    sizes = Counter(labels)
    room = {label: min(round(size * share), size - 1) for label, size in sizes.items()}
    held = set()
    for digest in sorted(groups, key=lambda digest: image_hash(split_seed, digest)):
        group = groups[digest]
        if all(count <= room[label] for label, count in group.items()):
            held.add(digest)
            for label, count in group.items():
                room[label] -= count
    return [digest in held for digest in digests]
