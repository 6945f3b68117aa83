"""Training speed of the batch-normalized example model, compared with plain PyTorch and Keras.

    python benchmarks/training_speed.py [--repeats 5] [--keras PYTHON]

PYTHON is the interpreter of an environment with keras and tensorflow. Each measurement has its own
process, because the memory allocator has settings per process. The variants take turns, so that a
machine that slows down affects all of them. Prints medians, ranges, and how many times as fast the
last sepcnn variant is, compared round by round. Takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from sepcnn.backends.native import processor
from sepcnn.training.state import new_state

CONFIG = Path(__file__).parents[1] / "configs" / "keras_sequential_bn.yaml"
BATCH, WARM_UP, STEPS = 64, 5, 25
IMAGES = 1024


def plain_net(dense: bool) -> nn.Module:
    """Return the config's model in plain PyTorch; ``dense``: with dense convolutions."""

    def separable(inputs: int, outputs: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=False)
        pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        whole = nn.Conv2d(inputs, outputs, 3, bias=False)
        convolution = [whole] if dense else [depthwise, pointwise]
        return [*convolution, nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU()]

    return nn.Sequential(
        *separable(3, 32),
        *separable(32, 64),
        nn.MaxPool2d(2),
        *separable(64, 64),
        *separable(64, 128),
        nn.MaxPool2d(2),
        *separable(128, 64),
        *separable(64, 128),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def plain(channels_last: bool = False, dense: bool = False) -> Callable[[], None]:
    """Return a training step of plain PyTorch, in float32 with torch's optimizer."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = plain_net(dense).to(memory_format=layout)
    optimizer = torch.optim.RMSprop(net.parameters(), 1e-3, alpha=0.9)
    loss = nn.CrossEntropyLoss()
    images = torch.rand(IMAGES, 3, 64, 64)
    labels = torch.arange(IMAGES) % 10

    def step() -> None:
        batch = torch.randint(IMAGES, (BATCH,))
        optimizer.zero_grad()
        x = images[batch].contiguous(memory_format=layout)
        loss(net(x), labels[batch]).backward()
        optimizer.step()

    return step


def sepcnn_step(precision: str, fused: bool = True) -> Callable[[], None]:
    """Return a training step of sepcnn."""
    from sepcnn.backends import machine
    from sepcnn.config.loading import load_config
    from sepcnn.data.dataset import Dataset, InMemorySplit
    from sepcnn.training import loop

    machine.keep_freed_memory()
    config = load_config(CONFIG, [f"train.precision={precision}", "train.epochs=100000"])
    images = torch.randint(256, (IMAGES, 64, 64, 3), dtype=torch.uint8)
    split = InMemorySplit(images, torch.arange(IMAGES) % 10)
    dataset = Dataset(tuple("0123456789"), split, None, None)
    hardware = machine.choose_machine("cpu", config.train.precision, fused)
    state = new_state(config, config.graph(10), hardware.device)
    records = loop.train(config, dataset, hardware, state)

    def step() -> None:
        next(records)

    return step


OURS = "sepcnn, bfloat16"
PLAIN_BFLOAT16 = "sepcnn, plain form, bfloat16"
"""left out if the processor multiplies bfloat16 as float32, which takes ten times as long"""
VARIANTS: dict[str, Callable[[], Callable[[], None]]] = {
    "plain PyTorch, NCHW, float32": plain,
    "the same with dense convolutions": lambda: plain(dense=True),
    "plain PyTorch, channels_last, float32": lambda: plain(channels_last=True),
    "sepcnn, plain form, float32": lambda: sepcnn_step("float32", fused=False),
    PLAIN_BFLOAT16: lambda: sepcnn_step("bfloat16", fused=False),
    "sepcnn, float32": lambda: sepcnn_step("float32"),
    OURS: lambda: sepcnn_step("bfloat16"),
}
KERAS = "Keras on TensorFlow, float32"
KERAS_STEPS = Path(__file__).with_name("keras_training.py")


def measure(variant: str) -> float:
    """Return images per second, measured in this process."""
    step = VARIANTS[variant]()
    for _ in range(WARM_UP):
        step()
    start = time.perf_counter()
    for _ in range(STEPS):
        step()
    return BATCH * STEPS / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--keras", metavar="PYTHON", help="Python of an environment with keras and tensorflow"
    )
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    names = [n for n in VARIANTS if n != PLAIN_BFLOAT16 or processor.multiplies_bfloat16()]
    commands = {name: [sys.executable, __file__, "--one", name] for name in names}
    if arguments.keras:
        if not shutil.which(arguments.keras):
            parser.error(f"--keras: {arguments.keras} does not exist")
        commands[KERAS] = [arguments.keras, str(KERAS_STEPS)]
    found: dict[str, list[float]] = {name: [] for name in commands}
    for done in range(arguments.repeats):
        for name, command in commands.items():
            print(f"round {done + 1}: {name}", file=sys.stderr)
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found[name].append(json.loads(output.splitlines()[-1]))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    print(f"{CONFIG.name}, batch {BATCH}, median of {arguments.repeats} (lowest to highest)")
    for name, speeds in found.items():
        middle = statistics.median(speeds)
        spread = f"({min(speeds):,.0f} to {max(speeds):,.0f})"
        ratios = [own / other for own, other in zip(found[OURS], speeds, strict=True)]
        times = f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"{name:<40}{middle:>7,.0f} images/s {spread:<18}{OURS} is {times}")


if __name__ == "__main__":
    main()
