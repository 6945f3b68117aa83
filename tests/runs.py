"""Training runs for tests: a small data set, its config, and the command line in a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

LAYERS = """\
    - Rescaling: {scale: 1/127.5, offset: -1}
    - SeparableConv2D: {filters: 8, kernel_size: 3, padding: same, use_bias: false}
    - BatchNormalization: {renorm: true, momentum: 0.9, renorm_clipping: {rmax: 3, dmax: 5}}
    - ReLU
    - MaxPooling2D
    - Dropout: 0.1
    - GlobalAveragePooling2D
    - Dense: {units: auto, activation: softmax}
"""


def write_colours(path: Path, count: int = 160, seed: int = 0) -> Path:
    """Write noisy 12×12 images that are mostly red, green or blue, learnt in a few steps."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.integers(0, 160, (count, 12, 12, 3))
    images[np.arange(count), :, :, labels] += 60
    arrays = {"x_train": images.astype(np.uint8), "y_train": labels}
    arrays |= {"x_test": arrays["x_train"][:30], "y_test": labels[:30]}
    np.savez(path, class_names=np.array(["red", "green", "blue"]), **arrays)
    return path


def write_config(folder: Path, **train: object) -> Path:
    """Write the data set, and next to it a config that trains a small net on it."""
    write_colours(folder / "colours.npz")
    settings = {"epochs": 3, "batch_size": 16, "device": "cpu", "optimizer": "Adam", **train}
    lines = "".join(f"  {key}: {value}\n" for key, value in settings.items())
    path = folder / "colours.yaml"
    path.write_text(
        f"model:\n  input_shape: [12, 12, 3]\n  layers:\n{LAYERS}"
        "data:\n  source: {Arrays: colours.npz}  # made by the test\n  validation: 0.2\n"
        "  augment: [RandomFlip, RandomCrop: 1]\n"
        f"train:\n{lines}"
    )
    return path


def keep_few(path: Path) -> None:
    """Keep only 9 training images of the last class in a file of arrays."""
    arrays = dict(np.load(path))
    few = (arrays["y_train"] == 2).nonzero()[0][9:]
    for name in ("x_train", "y_train"):
        arrays[name] = np.delete(arrays[name], few, axis=0)
    np.savez(path, **arrays)


def environment() -> dict[str, str]:
    """Environment variables of a process: the package of this checkout, no colours."""
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "NO_COLOR": "1"}


def sepcnn(*arguments: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **options,
    )


@contextmanager
def default_signal(number: signal.Signals) -> Iterator[None]:
    """Let processes that are started in the block handle a signal that the tests may ignore."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "sepcnn", *map(str, arguments)]


def records(run: Path) -> list[dict[str, Any]]:
    """The records of metrics.jsonl without times and speeds."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    times = {"seconds", "images_per_second", "waiting"}
    return [{k: v for k, v in line.items() if k not in times} for line in lines]


def epochs(run: Path) -> list[dict[str, Any]]:
    return [line for line in records(run) if line["event"] == "epoch"]
