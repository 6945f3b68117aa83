"""The speed of a net in use: one image at a time, and batches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median, quantiles

import torch

from sepcnn.benchmark.rounds import ROUNDS, Spread, Steps, take_turns
from sepcnn.benchmark.training import first_state, random_images, wait_for
from sepcnn.config import Config
from sepcnn.evaluate import batch_size, to_input
from sepcnn.fuse import FORMS
from sepcnn.graph import Graph
from sepcnn.machine import Form, Machine
from sepcnn.model import Net
from sepcnn.native import library

WARMING, ALONE = 0.05, 0.5
"""shares of the time: for the first steps of each, and for single images"""
LEAST_IMAGES = 3
"""single images of a turn"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from an image to its logits."""

    median: float
    percentile95: float


@dataclass(frozen=True, slots=True)
class InferenceSpeed:
    """What `sepcnn benchmark --infer` tells of one form of a net."""

    latency_ms: Latency
    batch_size: int
    images_per_second: Spread
    """in batches"""


class Inference(Steps):
    """A net in inference mode on random images, float32 as in `sepcnn eval`."""

    def __init__(self, net: Net, images: torch.Tensor, form: Form) -> None:
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
) -> dict[Form, InferenceSpeed]:
    """The plain form and, where the machine has its kernels, the fused one, in turns."""
    classes = graph.ending.classes
    assert classes is not None
    end = time.perf_counter() + seconds
    size = batch_size(config.model.input_shape)
    images = random_images(config, classes)
    net = first_state(config, graph, images, machine.device).model
    pixels = images.images[torch.arange(size) % len(images)].to(machine.device)
    forms: list[Form] = ["plain"]
    if machine.device.type == "cpu" and library.load() is not None:
        forms.append("fused")
    alone = {form: Inference(net, pixels[:1], form) for form in forms}
    batches = {form: Inference(net, pixels, form) for form in forms}
    for one in (*alone.values(), *batches.values()):
        one.warm_up(WARMING * seconds)
    latencies = single_images(alone, ALONE * (end - time.perf_counter()))
    speeds = take_turns(batches, max(end - time.perf_counter(), seconds / 4))
    return {form: InferenceSpeed(latencies[form], size, Spread.of(speeds[form])) for form in forms}


def single_images(alone: dict[Form, Inference], seconds: float) -> dict[Form, Latency]:
    """The latency of each, measured in turns."""
    found: dict[Form, list[float]] = {form: [] for form in alone}
    end = time.perf_counter() + seconds
    for done in range(ROUNDS):
        if done and time.perf_counter() > end:
            break
        for form, one in alone.items():
            found[form] += one.times(seconds / ROUNDS / len(alone))
    return {
        form: Latency(1000 * median(times), 1000 * quantiles(times, n=20, method="inclusive")[-1])
        for form, times in found.items()
    }
