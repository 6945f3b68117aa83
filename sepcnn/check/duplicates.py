"""Find duplicate images, exact or nearly the same, across splits, labels and within a class."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from sepcnn.check.base import CheckContext, Finding, Severity, images
from sepcnn.data.dataset import Dataset
from sepcnn.data.inspection import ImageProperties, InspectedImage, imagehash_installed

NEAR_BITS = 40
"""largest number of differing bits, of 256, between perceptual hashes of near duplicates: copies
that were scaled or re-saved as JPEG differ in up to 22 bits (200 photographs of clothes)
"""
NEAR_PIXELS = 0.03
"""largest mean squared difference between the thumbnails of near duplicates, as a fraction of their
variance. Among 3,781 photographs of clothes, two pairs of different images are within `NEAR_BITS`;
they differ by at least 0.08.
"""
FLAT_DEVIATION = 2.0
"""largest standard deviation of a thumbnail that counts as a single colour; the hash of such an
image is meaningless
"""
MAX_COMPARED = 100_000
"""near duplicates are not searched for among more images than this"""
LEAK_SHARE = 0.01
"""fraction of a split above which exact duplicates in another split are an error"""
BLOCK = 2048
"""number of array images that are read and hashed at a time"""
PAIRS_AT_ONCE = 1 << 25
"""number of image pairs compared at a time: 128 MiB"""


@dataclass(frozen=True, slots=True)
class Copy:
    """One of several images that are the same or nearly the same."""

    name: str
    split: str
    label: str


Group = tuple[Copy, ...]


def duplicate_images(context: CheckContext) -> Iterator[Finding]:
    """Report duplicates, the most harmful first."""
    exact = exact_groups(context)
    near: list[Group] = []
    if context.pictures:
        pictures = [picture for picture in context.pictures if picture.properties]
        if reason := cannot_compare(len(pictures)):
            message = "near duplicates were not searched for"
            yield Finding("near_duplicates", "note", message, reason)
        else:
            near = near_groups(pictures)
    yield from two_labels(exact, near)
    first_of = {copy: group[0] for group in exact for copy in group}
    yield from two_splits(exact, context.dataset, {}, exact=True)
    yield from two_splits(near, context.dataset, first_of, exact=False)
    yield from repeated(exact, near, first_of)


def cannot_compare(count: int) -> str:
    """Return why near duplicates cannot be searched for; empty if they can."""
    if not imagehash_installed():
        return "to find them, pip install 'sepcnn[check]'"
    return f"there are more than {MAX_COMPARED:,} images" if count > MAX_COMPARED else ""


def two_labels(exact: list[Group], near: list[Group]) -> Iterator[Finding]:
    """Report images with several labels: at most one of them is right."""
    in_near = {copy for group in near for copy in group}  # includes its exact copies
    groups = [*(group for group in exact if group[0] not in in_near), *near]
    groups = [group for group in groups if len({copy.label for copy in group}) > 1]
    if groups:
        verb = "occurs" if len(groups) == 1 else "occur"
        message = f"{images(len(groups))} {verb} with two labels: the model cannot learn both"
        hint = "find out which label is right, and remove the other copy"
        yield Finding("two_labels", "warning", message, hint, names(groups))


def two_splits(
    groups: list[Group], dataset: Dataset | None, first_of: Mapping[Copy, Copy], *, exact: bool
) -> Iterator[Finding]:
    """Report images of one split that are also in another, which makes metrics too good.

    ``first_of`` maps exact copies to the first of them. Pairs with the same first copy are left
    out, because they are already reported.
    """
    sizes = {name: len(split) for name, split in dataset.splits().items()} if dataset else {}
    for first, second in combinations(("train", "val", "test"), 2):
        leaks = [shared(group, first, second, first_of) for group in groups]
        if not any(leaks):
            continue
        count = sum(copy.split == second for group in leaks for copy in group)
        size = sizes.get(second)
        share = f" ({100 * count / size:.1f} % of {second})" if size else ""
        serious = exact and (not size or count > LEAK_SHARE * size)
        severity: Severity = "error" if serious else "warning"
        if exact:
            relation = "is also in" if count == 1 else "are also in"
        else:
            relation = "has a near duplicate in" if count == 1 else "have near duplicates in"
        message = f"{images(count)} of {second} {relation} {first}{share}: "
        message += "results look better than they are"
        yield Finding("two_splits", severity, message, f"remove them from {first}", names(leaks))


def shared(group: Group, first: str, second: str, first_of: Mapping[Copy, Copy]) -> Group:
    """Return the group's images in two splits that have a counterpart in the other one.

    A copy with the same ``first_of`` is not a counterpart.
    """
    contents = {
        other: {first_of.get(copy, copy) for copy in group if copy.split == split}
        for split, other in ((first, second), (second, first))
    }
    return tuple(
        copy
        for copy in group
        if copy.split in contents and contents[copy.split] - {first_of.get(copy, copy)}
    )


def repeated(
    exact: list[Group], near: list[Group], first_of: Mapping[Copy, Copy]
) -> Iterator[Finding]:
    """Report copies with the same label in the same split: harmless, but they count twice."""
    for groups, how in ((exact, "the same bytes"), (near, "nearly the same")):
        within = [g for g in groups if len({(c.split, c.label) for c in g}) == 1]
        if groups is near:  # exact copies are already reported: keep one of each
            within = [tuple(dict.fromkeys(first_of.get(c, c) for c in g)) for g in within]
        if within:
            count = sum(len(group) - 1 for group in within)
            verb = "duplicates" if count == 1 else "duplicate"
            message = f"{images(count)} {verb} another one of the same split and class ({how})"
            hint = "each copy counts as a separate image"
            yield Finding("duplicates", "note", message, hint, names(within))


def names(groups: list[Group]) -> tuple[str, ...]:
    return tuple(copy.name for group in groups for copy in group)


# ── search ────────────────────────────────────────────────────────────────────────────────────


def exact_groups(context: CheckContext) -> list[Group]:
    """Return groups of files with the same bytes, or of array images with the same pixels."""
    groups: dict[str, list[Copy]] = defaultdict(list)
    if context.pictures:
        for picture in context.pictures:
            if picture.properties:
                groups[picture.properties.digest].append(copy_of(picture))
    elif context.dataset:
        for digest, copy in pixel_digests(context.dataset):
            groups[digest].append(copy)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def pixel_digests(dataset: Dataset) -> Iterator[tuple[str, Copy]]:
    """Yield the hash of each image's pixels, with its position."""
    for name, split in dataset.splits().items():
        for indices in torch.arange(len(split)).split(BLOCK):
            batch = split.read(indices)
            pixels = batch.images.cpu().contiguous().numpy()
            for index, label, image in zip(
                indices.tolist(), batch.labels.tolist(), pixels, strict=True
            ):
                digest = hashlib.blake2b(image.data, digest_size=16).hexdigest()
                yield digest, Copy(f"{name}[{index}]", name, dataset.class_names[label])


def copy_of(picture: InspectedImage) -> Copy:
    return Copy(str(picture.path), picture.split, picture.class_name)


def near_groups(pictures: list[InspectedImage]) -> list[Group]:
    """Return groups of images that look the same.

    Exact copies do not form a pair, but join the group of a near duplicate. Pairs that share an
    image are in the same group.
    """
    seen = [(picture, picture.properties) for picture in pictures if picture.properties]
    # All images of a single colour have the same hash.
    seen = [(p, look) for p, look in seen if look.thumbnail.std(axis=(0, 1)).max() > FLAT_DEVIATION]
    if not seen:
        return []
    looks = [look for _, look in seen]
    _, contents = np.unique([look.digest for look in looks], return_inverse=True)
    thumbnails = np.stack([look.thumbnail.ravel() for look in looks])
    group = np.arange(len(seen))
    for first, close in close_hashes(looks):
        # With a thousand pictures of one scene, other pairs have already joined most pairs.
        others = close[(group[close] != group[first]) & (contents[close] != contents[first])]
        alike = look_like(thumbnails[others], thumbnails[first])
        for joined in np.unique(group[others[alike]]):
            group[group == joined] = group[first]
    copies: dict[int, list[Copy]] = defaultdict(list)
    for (picture, _), number in zip(seen, group.tolist(), strict=True):
        copies[number].append(copy_of(picture))
    return [tuple(members) for members in copies.values() if len(members) > 1]


def close_hashes(looks: list[ImageProperties]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each image's index with those of later images whose hashes differ in few bits."""
    bits = np.stack([look.perceptual for look in looks if look.perceptual is not None])
    signs = torch.from_numpy(bits).float() * 2 - 1
    rows = max(1, PAIRS_AT_ONCE // len(looks))
    for start in range(0, len(looks), rows):
        agreement = signs[start : start + rows] @ signs[start:].T
        close = (agreement >= signs.shape[1] - 2 * NEAR_BITS).triu(1)
        for row in close.any(1).nonzero().flatten().tolist():
            yield start + row, close[row].nonzero().flatten().numpy() + start


def look_like(thumbnails: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which thumbnails equal the reference apart from their brightness: bool [N].

    ``thumbnails`` is [N, values], ``reference`` [values]. None may be of a single colour.
    """
    others = thumbnails - thumbnails.mean(1, keepdims=True, dtype=np.float32)
    own = reference - reference.mean(dtype=np.float32)
    variance = np.minimum(others.var(1), own.var())
    near: NDArray[np.bool_] = np.square(others - own).mean(1) <= NEAR_PIXELS * variance
    return near
