"""A run of 120 steps whose moving statistics stay cold: momentum 0.99 keeps 30 % of the initial."""

from __future__ import annotations

from pathlib import Path

import numpy as np

BLOCK = """\
    - Conv2D: {filters: 8, kernel_size: 3, padding: same, use_bias: false}
    - BatchNormalization
    - ReLU
"""


def write_prototypes(path: Path, count: int = 192, classes: int = 10) -> Path:
    """Write noisy copies of one 12×12 image per class, of low contrast."""
    random = np.random.default_rng(0)
    prototypes = random.integers(110, 146, (classes, 12, 12, 3))
    arrays = {}
    for split, images in (("train", count), ("val", 100)):
        labels = np.arange(images) % classes
        noise = random.normal(0, 12, (images, 12, 12, 3))
        pixels = np.clip(prototypes[labels] + noise, 0, 255).astype(np.uint8)
        arrays |= {f"x_{split}": pixels, f"y_{split}": labels}
    np.savez(path, **arrays)
    return path


def write_cold_config(
    folder: Path, normalization: str = "{momentum: 0.99}", **train: object
) -> Path:
    """Write the images, and next to them a config: 12 steps per epoch, 10 epochs."""
    write_prototypes(folder / "prototypes.npz")
    settings = {"epochs": 10, "batch_size": 16, "device": "cpu", "optimizer": "{Adam: 0.01}"}
    settings |= {"precision": "float32", **train}
    lines = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    path = folder / "cold.yaml"
    path.write_text(
        "model:\n  input_shape: [12, 12, 3]\n"
        f"  defaults: {{BatchNormalization: {normalization}}}\n"
        f"  layers:\n    - Rescaling: {{scale: 1/255}}\n{4 * BLOCK}"
        "    - GlobalAveragePooling2D\n    - Dense: {units: auto, activation: softmax}\n"
        f"data:\n  source: {{Arrays: prototypes.npz}}\ntrain:\n{lines}"
    )
    return path
