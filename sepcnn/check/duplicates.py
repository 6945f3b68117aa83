"""The same image more than once: to the byte, or nearly; in two splits, or with two labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from sepcnn.check.base import Finding, Severity, Subject, images
from sepcnn.data.dataset import Dataset
from sepcnn.data.files.inspection import Look, Picture, can_compare

NEAR_BITS = 40
"""of 256 bits of the perceptual hash: copies that were scaled or saved again as JPEG differ in up
to 22 of them (200 photographs of clothes)"""
NEAR_PIXELS = 0.03
"""squared difference of the thumbnails as a share of their variance: of 3,781 photographs of
clothes two pairs of others are within `NEAR_BITS`, and these differ by 0.08 and more"""
FLAT = 2.0
"""standard deviation of a thumbnail of one colour, whose hash means nothing"""
MOST_COMPARED = 100_000
"""images that are compared each with each"""
SERIOUS_SHARE = 0.01
"""of a split: more known images make its result wrong"""
BLOCK = 2048
"""images of an array that are hashed together"""
PAIRS_AT_ONCE = 1 << 25
"""that are compared together: 128 MiB"""


@dataclass(frozen=True, slots=True)
class Copy:
    """An image that is there more than once."""

    name: str
    split: str
    label: str


Group = tuple[Copy, ...]


def copies(subject: Subject) -> Iterator[Finding]:
    """Copies of images: of most harm first."""
    exact = exact_groups(subject)
    near: list[Group] = []
    if subject.pictures:
        pictures = [picture for picture in subject.pictures if picture.look]
        if refusal := cannot_compare(len(pictures)):
            message = "images that are nearly the same were not looked for"
            yield Finding("near_duplicates", "note", message, refusal)
        else:
            near = near_groups(pictures)
    yield from two_labels(exact, near)
    first_of = {copy: group[0] for group in exact for copy in group}
    yield from two_splits(exact, "the same", subject.dataset, {})
    yield from two_splits(near, "nearly the same", subject.dataset, first_of)
    yield from repeated(exact, near, first_of)


def cannot_compare(count: int) -> str:
    """Why so many images cannot be compared by how they look; empty where they can."""
    if not can_compare():
        return "pip install 'sepcnn[check]' to find them"
    return f"they are more than {MOST_COMPARED:,}" if count > MOST_COMPARED else ""


def two_labels(exact: list[Group], near: list[Group]) -> Iterator[Finding]:
    """One of the labels is wrong."""
    in_near = {copy for group in near for copy in group}  # with all its copies to the byte
    groups = [*(group for group in exact if group[0] not in in_near), *near]
    groups = [group for group in groups if len({copy.label for copy in group}) > 1]
    if groups:
        verb = "is" if len(groups) == 1 else "are"
        message = f"{images(len(groups))} {verb} there with two labels: the net cannot learn both"
        hint = "look which label is right, and remove the other copy"
        yield Finding("two_labels", "warning", message, hint, names(groups))


def two_splits(
    groups: list[Group], how: str, dataset: Dataset | None, first_of: Mapping[Copy, Copy]
) -> Iterator[Finding]:
    """The net is measured on what it learnt by heart; pairs of one ``first_of`` are told before."""
    sizes = {name: len(split) for name, split in dataset.splits().items()} if dataset else {}
    for first, second in combinations(("train", "val", "test"), 2):
        leaks = [across(group, first, second, first_of) for group in groups]
        if not any(leaks):
            continue
        count = sum(copy.split == second for group in leaks for copy in group)
        size = sizes.get(second)
        share = f" ({100 * count / size:.1f} % of {second})" if size else ""
        serious = how == "the same" and (not size or count > SERIOUS_SHARE * size)
        severity: Severity = "error" if serious else "warning"
        verb = "is" if count == 1 else "are"
        message = f"{images(count)} of {second} {verb} {how} in {first}{share}: "
        message += "results look better than they are"
        yield Finding("two_splits", severity, message, f"remove them from {first}", names(leaks))


def across(group: Group, first: str, second: str, first_of: Mapping[Copy, Copy]) -> Group:
    """Those of two splits with one in the other split that is not of the same bytes."""
    kinds = {
        other: {first_of.get(copy, copy) for copy in group if copy.split == split}
        for split, other in ((first, second), (second, first))
    }
    return tuple(
        copy
        for copy in group
        if copy.split in kinds and kinds[copy.split] - {first_of.get(copy, copy)}
    )


def repeated(
    exact: list[Group], near: list[Group], first_of: Mapping[Copy, Copy]
) -> Iterator[Finding]:
    """Copies of one label in one split: harmless, but they count twice."""
    for groups, how in ((exact, "the same bytes"), (near, "nearly the same")):
        within = [g for g in groups if len({(c.split, c.label) for c in g}) == 1]
        if groups is near:  # those of the same bytes are told before: one of them stands for all
            within = [tuple(dict.fromkeys(first_of.get(c, c) for c in g)) for g in within]
        if within:
            count = sum(len(group) - 1 for group in within)
            one = count == 1
            message = f"{images(count)} {'is a copy' if one else 'are copies'} of another of "
            message += f"{'its' if one else 'their'} split and class ({how})"
            yield Finding("duplicates", "note", message, "they count twice", names(within))


def names(groups: list[Group]) -> tuple[str, ...]:
    return tuple(copy.name for group in groups for copy in group)


# ── finding them ──────────────────────────────────────────────────────────────────────────────


def exact_groups(subject: Subject) -> list[Group]:
    """Files of the same bytes, or arrays of the same pixels."""
    found: dict[bytes, list[Copy]] = defaultdict(list)
    if subject.pictures:
        for picture in subject.pictures:
            if picture.look:
                found[picture.look.digest].append(copy_of(picture))
    elif subject.dataset:
        for digest, copy in hashed(subject.dataset):
            found[digest].append(copy)
    return [tuple(group) for group in found.values() if len(group) > 1]


def hashed(dataset: Dataset) -> Iterator[tuple[bytes, Copy]]:
    """The hash of each image's pixels."""
    for name, split in dataset.splits().items():
        for indices in torch.arange(len(split)).split(BLOCK):
            batch = split.read(indices)
            pixels = batch.images.cpu().contiguous().numpy()
            for index, label, image in zip(
                indices.tolist(), batch.labels.tolist(), pixels, strict=True
            ):
                digest = hashlib.blake2b(image.data, digest_size=16).digest()
                yield digest, Copy(f"{name}[{index}]", name, dataset.class_names[label])


def copy_of(picture: Picture) -> Copy:
    return Copy(str(picture.path), picture.split, picture.class_name)


def near_groups(pictures: list[Picture]) -> list[Group]:
    """Images that look the same, those of the same bytes apart. Groups join what pairs share."""
    seen = [(picture, picture.look) for picture in pictures if picture.look]
    # Of images of one colour the hash means nothing: all have the same.
    seen = [(p, look) for p, look in seen if look.thumbnail.std(axis=(0, 1)).max() > FLAT]
    if not seen:
        return []
    looks = [look for _, look in seen]
    _, bytes_of = np.unique([look.digest for look in looks], return_inverse=True)
    thumbnails = np.stack([look.thumbnail.ravel() for look in looks])
    group = np.arange(len(seen))
    for first, close in close_hashes(looks):
        # Of a thousand pictures of one scene most pairs are joined by others already.
        others = close[(group[close] != group[first]) & (bytes_of[close] != bytes_of[first])]
        alike = look_like(thumbnails[others], thumbnails[first])
        for joined in np.unique(group[others[alike]]):
            group[group == joined] = group[first]
    members: dict[int, list[Copy]] = defaultdict(list)
    for (picture, _), number in zip(seen, group.tolist(), strict=True):
        members[number].append(copy_of(picture))
    return [tuple(found) for found in members.values() if len(found) > 1]


def close_hashes(looks: list[Look]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each image with those after it whose perceptual hashes differ in few bits."""
    bits = np.stack([look.perceptual for look in looks if look.perceptual is not None])
    signs = torch.from_numpy(bits).float() * 2 - 1
    rows = max(1, PAIRS_AT_ONCE // len(looks))
    for start in range(0, len(looks), rows):
        agreement = signs[start : start + rows] @ signs[start:].T
        close = (agreement >= signs.shape[1] - 2 * NEAR_BITS).triu(1)
        for row in close.any(1).nonzero().flatten().tolist():
            yield start + row, close[row].nonzero().flatten().numpy() + start


def look_like(thumbnails: NDArray[np.uint8], one: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether thumbnails [N, values], none of one colour, are one but for how light it is."""
    others = thumbnails - thumbnails.mean(1, keepdims=True, dtype=np.float32)
    own = one - one.mean(dtype=np.float32)
    variance = np.minimum(others.var(1), own.var())
    near: NDArray[np.bool_] = np.square(others - own).mean(1) <= NEAR_PIXELS * variance
    return near
