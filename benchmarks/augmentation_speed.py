"""The time of each augmentation, compared with a training step of xception_mini.

    python benchmarks/augmentation_speed.py [--repeats 9]

Augments one batch of 64 images of 64×64×3. The measurements are interleaved in one process, so that
a machine that slows down affects all of them. Prints medians and shares of the training step.
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
BATCH, SIDE, CALLS = 64, 64, 5
FIELDS: dict[str, dict[str, Any]] = {
    "RandomRotation": {"factor": 0.1},
    "RandomZoom": {"height_factor": 0.2},
    "RandomShear": {"x_factor": 0.2, "y_factor": 0.2},
    "RandomBrightness": {"factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomSaturation": {"factor": [0.3, 0.7]},
    "RandomHue": {"factor": 0.2},
}
BRIGHTNESS_AND_CONTRAST = ["RandomBrightness", "RandomContrast"]
COMBINATIONS = {
    "flip, translation": ["RandomFlip", "RandomTranslation"],
    "flip, crop, brightness, contrast, erasing": [
        "RandomFlip",
        "RandomCrop",
        *BRIGHTNESS_AND_CONTRAST,
        "RandomErasing",
    ],
    "the same with CutMix": [
        *("RandomFlip", "RandomCrop", *BRIGHTNESS_AND_CONTRAST, "RandomErasing", "CutMix"),
    ],
    "flip, rotation, zoom, shear, brightness, contrast": [
        *("RandomFlip", "RandomRotation", "RandomZoom", "RandomShear", *BRIGHTNESS_AND_CONTRAST),
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


def augmentation_step(names: list[str]) -> Callable[[int], object]:
    chosen = rules(names)
    images = torch.randint(256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8)
    batch = Batch(images, torch.arange(BATCH) % 10)
    return lambda step: augment(batch, chosen, (SIDE, SIDE), 0, step)


def training_step(start: str | None = None) -> Callable[[int], object]:
    """Return a training step without augmentation; ``start`` is a share of the image size."""
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
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each (9)")
    arguments = parser.parse_args()
    machine.keep_freed_memory()
    torch.manual_seed(0)
    functions = {
        "training step": training_step(),
        "training step at half size": training_step("1/2"),
    }
    functions |= {name: augmentation_step([name]) for name in AUGMENTATIONS}
    functions |= {name: augmentation_step(names) for name, names in COMBINATIONS.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for repeat in range(arguments.repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            for call in range(CALLS):
                function(repeat * CALLS + call)
            if repeat:  # the first is a warm-up
                times[name].append((time.perf_counter() - start) / CALLS)
    step = statistics.median(times["training step"])
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{BATCH} images of {SIDE}×{SIDE}×3, median of {arguments.repeats} (lowest to highest)")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        spread = f"({min(seconds) * 1e3:.1f} to {max(seconds) * 1e3:.1f})"
        print(f"{name:<50}{middle * 1e3:>7.1f} ms {spread:<18}{middle / step:>7.1%} of a step")


if __name__ == "__main__":
    main()
