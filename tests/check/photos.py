"""Folders of generated photographs for the tests of checks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sepcnn.backends import machine
from sepcnn.check import findings
from sepcnn.check.base import CheckContext, Finding
from sepcnn.check.inspection import inspect_config
from sepcnn.config import loading
from sepcnn.config.config import Config

NET = """\
    - Rescaling: {scale: 1/127.5, offset: -1}
    - Conv2D: {filters: 4, kernel_size: 3, padding: same}
    - MaxPooling2D: 2
    - Conv2D: {filters: 4, kernel_size: 3, padding: same}
    - MaxPooling2D: 2
    - Conv2D: {filters: 4, kernel_size: 3, padding: same}
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
"""


def photo(seed: int, size: tuple[int, int] = (96, 80), grey: bool = False) -> Image.Image:
    """Coloured patches, large and small; each seed gives another picture."""
    random, layers = np.random.default_rng(seed), []
    for side in (6, 20):
        patches = random.integers(0, 256, (side, side, 1 if grey else 3))
        pixels = patches.repeat(3 if grey else 1, axis=2).astype(np.uint8)
        layers.append(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    return Image.blend(*layers, 0.5)


def write_photos(root: Path, size: tuple[int, int] = (96, 80), **counts: int) -> Path:
    """Write a folder for each class, as in ``cat=20``, or ``train__cat=20`` for a split."""
    seed = 0
    for name, count in counts.items():
        folder = root.joinpath(*name.split("__"))
        folder.mkdir(parents=True)
        for number in range(count):
            photo(seed, size).save(folder / f"{number}.png")
            seed += 1
    return root


def write_config(
    folder: Path,
    source: str = "{Folder: photos}",
    shape: str = "[32, 32, 3]",
    layers: str = NET,
    train: str = "epochs: 2, batch_size: 8, device: cpu",
) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        f"model:\n  input_shape: {shape}\n  layers:\n{layers}"
        f"data: {{source: {source}}}\ntrain: {{{train}}}\n"
    )
    return path


def context_of(settings: Config) -> CheckContext:
    """Inspect a config for training on a CPU."""
    return inspect_config(settings, machine.choose_machine("cpu"))


def check(path: Path) -> list[Finding]:
    """Return all findings except the notes that every small set without problems gets."""
    found = findings(context_of(loading.load_config(path)))
    usual = {("step", "note"), ("top_k", "note")}
    return [one for one in found if (one.kind, one.severity) not in usual]


def kinds(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.kind, one.severity) for one in found]
