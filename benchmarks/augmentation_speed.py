"""What each augmentation costs, beside a training step of xception_mini.

    python benchmarks/augmentation_speed.py [--repeats 9]

One batch of 64 images of 64×64×3. Augmentations and the step take turns in one process, so that a
machine that slows down slows all of them. Prints medians and shares of the step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sepcnn.backends import machine
from sepcnn.config.loading import load_config
from sepcnn.data.augmentation import AUGMENTATIONS, Augmentation, augment
from sepcnn.data.batch import Batch
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.training import loop
from sepcnn.training.state import new_state

CONFIG = Path(__file__).parents[1] / "configs" / "xception_mini.yaml"
BATCH, SIDE, TIMES = 64, 64, 5
FIELDS: dict[str, dict[str, Any]] = {
    "RandomRotation": {"factor": 0.1},
    "RandomZoom": {"height_factor": 0.2},
    "RandomShear": {"x_factor": 0.2, "y_factor": 0.2},
    "RandomBrightness": {"factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomSaturation": {"factor": [0.3, 0.7]},
    "RandomHue": {"factor": 0.2},
}
LIGHT = ["RandomBrightness", "RandomContrast"]
USUAL = {
    "flip, translation": ["RandomFlip", "RandomTranslation"],
    "flip, crop, brightness, contrast, erasing": [
        "RandomFlip",
        "RandomCrop",
        *LIGHT,
        "RandomErasing",
    ],
    "the same with CutMix": [
        *("RandomFlip", "RandomCrop", *LIGHT, "RandomErasing", "CutMix"),
    ],
    "flip, rotation, zoom, shear, brightness, contrast": [
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomShear", *LIGHT),
    ],
    "flip, crop, RandAugment, erasing": [
        "RandomFlip",
        "RandomCrop",
        "RandAugment",
        "RandomErasing",
    ],
    "flip, crop, TrivialAugment, erasing": [
        *("RandomFlip", "RandomCrop", "TrivialAugment", "RandomErasing"),
    ],
}


def rules(names: list[str]) -> tuple[Augmentation, ...]:
    return tuple(AUGMENTATIONS[n].model_validate(FIELDS.get(n, {})) for n in names)  # type: ignore[misc]


def augmenting(names: list[str]) -> Callable[[int], object]:
    chosen = rules(names)
    images = torch.randint(256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8)
    batch = Batch(images, torch.arange(BATCH) % 10)
    return lambda step: augment(batch, chosen, (SIDE, SIDE), 0, step)


def stepping(start: str | None = None) -> Callable[[int], object]:
    """A training step without augmentation; on images of a share of the size."""
    more = [f"data.progressive_resizing={{start: {start}, until: 100%}}"] if start else []
    config = load_config(CONFIG, ["data.augment=[]", "train.epochs=100000", *more])
    images = torch.randint(256, (1024, SIDE, SIDE, 3), dtype=torch.uint8)
    dataset = Dataset(
        tuple("0123456789"), InMemorySplit(images, torch.arange(len(images)) % 10), None, None
    )
    hardware = machine.choose_machine("cpu", config.train.precision)
    state = new_state(config, config.graph(10), hardware.device)
    records = loop.train(config, dataset, hardware, state)
    return lambda _: next(records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    machine.keep_freed_memory()
    torch.manual_seed(0)
    works = {"training step": stepping(), "training step at half size": stepping("1/2")}
    works |= {name: augmenting([name]) for name in AUGMENTATIONS}
    works |= {name: augmenting(names) for name, names in USUAL.items()}
    found: dict[str, list[float]] = {name: [] for name in works}
    for repeat in range(arguments.repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            for time_of_it in range(TIMES):
                work(repeat * TIMES + time_of_it)
            if repeat:  # the first is warming up
                found[name].append((time.perf_counter() - start) / TIMES)
    step = statistics.median(found["training step"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{BATCH} images of {SIDE}×{SIDE}×3, median of {arguments.repeats} (lowest to highest)")
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        spread = f"({min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f})"
        print(f"{name:<50}{middle * 1e3:>7.1f} ms {spread:<18}{middle / step:>7.1%} of a step")


if __name__ == "__main__":
    main()
