"""The speed of a net in use: one image at a time, and batches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

import torch

from sepcnn.backends.folding import folded
from sepcnn.backends.fused import FORMS
from sepcnn.backends.machine import Form, Machine
from sepcnn.backends.native import library
from sepcnn.benchmark.rounds import ROUNDS, Spread, Steps, take_turns
from sepcnn.benchmark.training import first_state, random_images, wait_for
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph
from sepcnn.nn.model import Net
from sepcnn.training.evaluation import batch_size, to_input

WARMING, ALONE = 0.05, 0.5
"""shares of the time: for the first steps of each, and for single images"""
LEAST_IMAGES = 3
"""single images of a turn"""
Way = Literal["plain", "folded", "fused"]
"""module by module; normalizations folded; these in the kernels of `sepcnn.backends.fused`, too"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from an image to its logits."""

    median: float
    percentile95: float


@dataclass(frozen=True, slots=True)
class InferenceSpeed:
    """What `sepcnn benchmark --infer` tells of one way to compute a net."""

    latency_ms: Latency
    batch_size: int
    images_per_second: Spread
    """in batches"""
    rounds: int


class Inference(Steps):
    """A net in inference mode on random images, float32 as in `sepcnn eval`."""

    def __init__(self, net: Net, form: Form, images: torch.Tensor) -> None:
        """``images`` is one batch, uint8 [N, H, W, C], on the net's device."""
        self.net, self.pixels, self.form = net.eval(), images, FORMS[form]
        self.images = len(images)

    @torch.no_grad()
    def step(self) -> None:
        self.net.logits(to_input(self.pixels), self.form)

    def wait(self) -> None:
        wait_for(self.pixels.device)

    def times(self, seconds: float) -> list[float]:
        """Seconds of each step for about so long, and of `LEAST_IMAGES` at least."""
        end, found = time.perf_counter() + seconds, [self.timed(1)]
        while len(found) < LEAST_IMAGES or time.perf_counter() < end:
            found.append(self.timed(1))
        return found


def measure_inference(
    config: Config, graph: Graph, machine: Machine, seconds: float
) -> dict[Way, InferenceSpeed]:
    """Every way that the machine has, in turns."""
    classes = graph.head.classes
    assert classes is not None
    end = time.perf_counter() + seconds
    size = batch_size(config.model.input_shape)
    images = random_images(config, classes)
    net = first_state(config, graph, images, machine.device).model
    pixels = images.images[torch.arange(size) % len(images)].to(machine.device)
    ways = ways_of(net, machine.device)
    alone = {way: Inference(*ways[way], pixels[:1]) for way in ways}
    batches = {way: Inference(*ways[way], pixels) for way in ways}
    for one in (*alone.values(), *batches.values()):
        one.warm_up(WARMING * seconds)
    latencies = single_images(alone, ALONE * (end - time.perf_counter()))
    speeds = take_turns(batches, max(end - time.perf_counter(), seconds / 4))
    return {
        way: InferenceSpeed(latencies[way], size, Spread.of(found), len(found))
        for way, found in speeds.items()
    }


def ways_of(net: Net, device: torch.device) -> dict[Way, tuple[Net, Form]]:
    """A net and how it is called, for every way that the machine has."""
    less = folded(net)
    found: dict[Way, tuple[Net, Form]] = {"plain": (net, "plain"), "folded": (less, "plain")}
    if device.type == "cpu" and library.load_kernels("float32") is not None:
        found["fused"] = (less, "fused")
    return found


def single_images(alone: dict[Way, Inference], seconds: float) -> dict[Way, Latency]:
    """The latency of each, measured in turns."""
    found: dict[Way, list[float]] = {way: [] for way in alone}
    end = time.perf_counter() + seconds
    for done in range(ROUNDS):
        if done and time.perf_counter() > end:
            break
        for way, one in alone.items():
            found[way] += one.times(seconds / ROUNDS / len(alone))
    return {
        way: Latency(1000 * median(times), 1000 * quantiles(times, n=20, method="inclusive")[-1])
        for way, times in found.items()
    }
