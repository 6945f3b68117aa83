"""Applies the augmentations of a config to a batch. Consecutive ones are combined if possible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import torch

from sepcnn.data.augmentation.base import (
    Augmentation,
    BatchRandom,
    FloatAugmentation,
    to_float_nchw,
    to_uint8_nhwc,
)
from sepcnn.data.augmentation.geometry import GeometricAugmentation, apply_together
from sepcnn.data.augmentation.mixing import MixingAugmentation
from sepcnn.data.batch import Batch, centre_crop
from sepcnn.randomness import stream


def augment(
    batch: Batch,
    augmentations: tuple[Augmentation, ...],
    size: tuple[int, int],
    seed: int,
    step: int,
) -> Batch:
    """Apply augmentations in order and crop images to ``size``, the model's height and width.

    Random numbers depend only on ``seed`` and ``step``.
    """
    if augmentations:
        random = BatchRandom(stream(seed, "augment", step), batch.images.device, size)
        used = _with_one_mixing(augmentations, random)
        for is_float, run in groupby(used, lambda each: isinstance(each, FloatAugmentation)):
            if is_float:
                planes = to_float_nchw(batch.images)
                for group in _resampled_together(run):
                    planes = _apply_group(group, planes, random)
                batch = replace(batch, images=to_uint8_nhwc(planes))
            else:
                for augmentation in run:
                    batch = augmentation.apply(batch, random)
    return replace(batch, images=centre_crop(batch.images, size))


def misplaced_mixing(augmentations: Sequence[Augmentation]) -> Iterator[tuple[int, Augmentation]]:
    """Each mixing augmentation that another kind follows: its index, and the first that follows.

    The shares of the labels are those of the whole mixed image, but a crop of it may show only one
    of the two images.
    """
    for index, augmentation in enumerate(augmentations):
        if not isinstance(augmentation, MixingAugmentation):
            continue
        others = (a for a in augmentations[index:] if not isinstance(a, MixingAugmentation))
        if following := next(others, None):
            yield index, following


def _with_one_mixing(
    augmentations: Sequence[Augmentation], random: BatchRandom
) -> list[Augmentation]:
    """Keep only one mixing augmentation, drawn at random."""
    mixing = [a for a in augmentations if isinstance(a, MixingAugmentation)]
    if len(mixing) < 2:
        return list(augmentations)
    kept = mixing[int(random.integers(1, len(mixing)))]
    return [a for a in augmentations if a is kept or not isinstance(a, MixingAugmentation)]


def _resampled_together(
    augmentations: Iterator[Augmentation],
) -> Iterator[list[FloatAugmentation]]:
    """Group consecutive geometric augmentations with the same edge settings; others are alone."""

    def key(indexed: tuple[int, Augmentation]) -> object:
        index, augmentation = indexed
        return augmentation.edge if isinstance(augmentation, GeometricAugmentation) else index

    for _, group in groupby(enumerate(augmentations), key):
        yield [a for _, a in group if isinstance(a, FloatAugmentation)]


def _apply_group(
    group: list[FloatAugmentation], planes: torch.Tensor, random: BatchRandom
) -> torch.Tensor:
    geometric = [a for a in group if isinstance(a, GeometricAugmentation)]
    if geometric:
        return apply_together(geometric, planes, random)
    return group[0].change(planes, random)
