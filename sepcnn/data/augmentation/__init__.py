"""Augmentations: random changes of training images, by the name that a config uses."""

from sepcnn.data.augmentation.base import Augmentation
from sepcnn.data.augmentation.blur import RandomGaussianBlur
from sepcnn.data.augmentation.colour import (
    RandomBrightness,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
)
from sepcnn.data.augmentation.erasing import RandomErasing, RandomNoise
from sepcnn.data.augmentation.flip_and_crop import RandomCrop, RandomFlip, RandomTranslation
from sepcnn.data.augmentation.geometry import (
    RandomResizedCrop,
    RandomRotation,
    RandomShear,
    RandomZoom,
)
from sepcnn.data.augmentation.mixing import CutMix, MixUp
from sepcnn.data.augmentation.pipeline import augment, misplaced_mixing
from sepcnn.data.augmentation.rand_augment import RandAugment, TrivialAugment

AUGMENTATIONS = Augmentation.table
AUGMENTATIONS.fill(
    {
        "RandomFlip": RandomFlip,
        "RandomTranslation": RandomTranslation,
        "RandomCrop": RandomCrop,
        "RandomResizedCrop": RandomResizedCrop,
        "RandomRotation": RandomRotation,
        "RandomZoom": RandomZoom,
        "RandomShear": RandomShear,
        "RandomBrightness": RandomBrightness,
        "RandomContrast": RandomContrast,
        "RandomSaturation": RandomSaturation,
        "RandomHue": RandomHue,
        "RandomGrayscale": RandomGrayscale,
        "RandomGaussianBlur": RandomGaussianBlur,
        "RandomNoise": RandomNoise,
        "RandomErasing": RandomErasing,
        "RandAugment": RandAugment,
        "TrivialAugment": TrivialAugment,
        "MixUp": MixUp,
        "CutMix": CutMix,
    }
)

__all__ = ["AUGMENTATIONS", "Augmentation", "augment", "misplaced_mixing"]
