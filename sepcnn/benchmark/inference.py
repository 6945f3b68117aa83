"""Measure the speed of inference: latency of single images, and throughput of batches."""

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
from sepcnn.benchmark.measurement import ROUNDS, MedianRange, StepRunner, measure_interleaved
from sepcnn.benchmark.training import initial_state, random_images, synchronize
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph
from sepcnn.nn.model import Net
from sepcnn.training.evaluation import batch_size, to_input

WARM_UP_SHARE, LATENCY_SHARE = 0.05, 0.5
"""shares of the time for the warm-up of each runner, and of the rest for single images"""
MIN_IMAGES = 3
"""minimum number of single images per turn"""
InferenceForm = Literal["plain", "folded", "fused"]
"""plain: module by module; folded: normalizations are folded into convolutions; fused: folded, and
computed by the kernels of `sepcnn.backends.fused`
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds to compute the logits of one image."""

    median: float
    percentile95: float


@dataclass(frozen=True, slots=True)
class InferenceSpeed:
    """Speed of inference in one form."""

    latency_ms: Latency
    batch_size: int
    images_per_second: MedianRange
    """throughput in batches"""
    rounds: int


class Inference(StepRunner):
    """Inference on random images in float32, as in ``sepcnn eval``."""

    def __init__(self, net: Net, form: Form, images: torch.Tensor) -> None:
        """``images`` is one batch, uint8 [N, H, W, C], on the model's device."""
        self.net, self.pixels, self.form = net.eval(), images, FORMS[form]
        self.images = len(images)

    @torch.no_grad()
    def step(self) -> None:
        self.net.logits(to_input(self.pixels), self.form)

    def wait(self) -> None:
        synchronize(self.pixels.device)

    def times(self, seconds: float) -> list[float]:
        """Do steps for about ``seconds``, at least `MIN_IMAGES`. Return the seconds of each."""
        end, times = time.perf_counter() + seconds, [self.timed(1)]
        while len(times) < MIN_IMAGES or time.perf_counter() < end:
            times.append(self.timed(1))
        return times


def measure_inference(
    config: Config, graph: Graph, machine: Machine, seconds: float
) -> dict[InferenceForm, InferenceSpeed]:
    """Measure every form available on this machine, interleaved, for about ``seconds``."""
    classes = graph.head.classes
    assert classes is not None
    end = time.perf_counter() + seconds
    size = batch_size(config.model.input_shape)
    images = random_images(config, classes)
    net = initial_state(config, graph, images, machine.device).model
    pixels = images.images[torch.arange(size) % len(images)].to(machine.device)
    forms = inference_forms(net, machine.device)
    singles = {form: Inference(*forms[form], pixels[:1]) for form in forms}
    batches = {form: Inference(*forms[form], pixels) for form in forms}
    for runner in (*singles.values(), *batches.values()):
        runner.warm_up(WARM_UP_SHARE * seconds)
    latencies = measure_latencies(singles, LATENCY_SHARE * (end - time.perf_counter()))
    speeds = measure_interleaved(batches, max(end - time.perf_counter(), seconds / 4))
    return {
        form: InferenceSpeed(latencies[form], size, MedianRange.of(values), len(values))
        for form, values in speeds.items()
    }


def inference_forms(net: Net, device: torch.device) -> dict[InferenceForm, tuple[Net, Form]]:
    """Return the model and its computation `Form` for every form available on this machine."""
    folded_net = folded(net)
    forms: dict[InferenceForm, tuple[Net, Form]] = {
        "plain": (net, "plain"),
        "folded": (folded_net, "plain"),
    }
    if device.type == "cpu" and library.load_kernels("float32") is not None:
        forms["fused"] = (folded_net, "fused")
    return forms


def measure_latencies(
    runners: dict[InferenceForm, Inference], seconds: float
) -> dict[InferenceForm, Latency]:
    """Measure the latency of each runner, interleaved, for about ``seconds``."""
    times: dict[InferenceForm, list[float]] = {form: [] for form in runners}
    end = time.perf_counter() + seconds
    for done in range(ROUNDS):
        if done and time.perf_counter() > end:
            break
        for form, runner in runners.items():
            times[form] += runner.times(seconds / ROUNDS / len(runners))
    return {
        form: Latency(1000 * median(taken), 1000 * quantiles(taken, n=20, method="inclusive")[-1])
        for form, taken in times.items()
    }
