"""All augmentations of a config on one batch: neighbours that can be done together are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import torch

from sepcnn.data.augmentation.base import Augmentation, Draw, PlaneAugmentation, to_bytes, to_planes
from sepcnn.data.augmentation.geometry import Geometric, change_together
from sepcnn.data.augmentation.mixing import Mixing
from sepcnn.data.batch import Batch, centre_crop
from sepcnn.randomness import stream


def augment(
    batch: Batch,
    augmentations: tuple[Augmentation, ...],
    size: tuple[int, int],
    seed: int,
    step: int,
) -> Batch:
    """All augmentations in their order, drawn from (seed, step), and images of the net's size."""
    if augmentations:
        draw = Draw(stream(seed, "augment", step), batch.images.device, size)
        rules = _one_mixing(augmentations, draw)
        for computes, group in groupby(rules, lambda rule: isinstance(rule, PlaneAugmentation)):
            if computes:
                planes = to_planes(batch.images)
                for change in _changes(group):
                    planes = _change(change, planes, draw)
                batch = replace(batch, images=to_bytes(planes))
            else:
                for rule in group:
                    batch = rule.apply(batch, draw)
    return replace(batch, images=centre_crop(batch.images, size))


def misplaced_mixing(rules: Sequence[Augmentation]) -> Iterator[tuple[int, Augmentation]]:
    """The places of those that mix images with the first after each that changes single ones.

    Shares of labels are told of the mixed image: a crop of it may show one of the two alone.
    """
    for place, rule in enumerate(rules):
        after = (other for other in rules[place:] if not isinstance(other, Mixing))
        if isinstance(rule, Mixing) and (other := next(after, None)):
            yield place, other


def _one_mixing(rules: Sequence[Augmentation], draw: Draw) -> list[Augmentation]:
    """Without all but one of those that mix images, which is drawn."""
    mixing = [rule for rule in rules if isinstance(rule, Mixing)]
    if len(mixing) < 2:
        return list(rules)
    kept = mixing[int(draw.choices(1, len(mixing)))]
    return [rule for rule in rules if rule is kept or not isinstance(rule, Mixing)]


def _changes(rules: Iterator[Augmentation]) -> Iterator[list[PlaneAugmentation]]:
    """Geometric neighbours with the same edges together, all others alone."""

    def key(place_and_rule: tuple[int, Augmentation]) -> object:
        place, rule = place_and_rule
        return rule.edge if isinstance(rule, Geometric) else place

    for _, group in groupby(enumerate(rules), key):
        yield [rule for _, rule in group if isinstance(rule, PlaneAugmentation)]


def _change(rules: list[PlaneAugmentation], planes: torch.Tensor, draw: Draw) -> torch.Tensor:
    geometric = [rule for rule in rules if isinstance(rule, Geometric)]
    return change_together(geometric, planes, draw) if geometric else rules[0].change(planes, draw)
