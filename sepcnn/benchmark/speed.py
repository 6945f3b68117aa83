"""Measure the speed of training: images per second, parts of a step, comparisons and limits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from sepcnn.backends.machine import Machine
from sepcnn.benchmark.measurement import MedianRange, Runner, measure_interleaved, ratio
from sepcnn.benchmark.roofline import Roofline, roofline
from sepcnn.benchmark.training import PARTS, Training, peak_memory
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph
from sepcnn.nn.summary import dense_twin, summarize

OURS, DENSE = "sepcnn", "with Conv2D instead"
"""names of the model, and of the same model with Conv2D in place of SeparableConv2D"""
WARM_UP_SHARE, PROFILE_SHARE, ROOFLINE_SHARE, MIN_SHARE = 0.1, 0.15, 0.1, 0.3
"""shares of the time: warm-up of each runner, profile, roofline, and at least for the comparison"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Another way to train, measured interleaved with sepcnn."""

    images_per_second: MedianRange
    ratio: MedianRange
    """how many times as fast sepcnn is"""


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """Result of ``sepcnn benchmark``."""

    images_per_second: MedianRange
    rounds: int
    batch_size: int
    step_ms: float
    parts_ms: dict[str, float]
    """milliseconds of each part of a step that waits for the device between its parts"""
    peak_memory_bytes: int | None
    """of the process, or of tensors on the GPU, before the comparisons"""
    roofline: Roofline
    rivals: dict[str, Comparison]


def measure(
    config: Config,
    graph: Graph,
    machine: Machine,
    seconds: float,
    others: Mapping[str, Runner] | None = None,
) -> TrainingSpeed:
    """Train on random images for about ``seconds``, interleaved with the other runners.

    A model with SeparableConv2D is also compared with its counterpart with Conv2D.
    """
    end = time.perf_counter() + seconds
    ours = Training(config, graph, machine)
    ours.warm_up(WARM_UP_SHARE * seconds)
    parts = profile(ours, PROFILE_SHARE * seconds)
    memory = peak_memory(machine.device)
    runners: dict[str, Runner] = {OURS: ours}
    summary = summarize(graph)
    if summary.has_twin:
        twin = Training(config, dense_twin(graph), machine)
        twin.warm_up(WARM_UP_SHARE * seconds)
        runners[DENSE] = twin
    runners |= others or {}
    machine_seconds = ROOFLINE_SHARE * seconds
    left = end - machine_seconds - time.perf_counter()
    speeds = measure_interleaved(runners, max(left, MIN_SHARE * seconds))
    speed = MedianRange.of(speeds[OURS])
    return TrainingSpeed(
        images_per_second=speed,
        rounds=len(speeds[OURS]),
        batch_size=config.train.batch_size,
        step_ms=1000 * config.train.batch_size / speed.median,
        parts_ms=parts,
        peak_memory_bytes=memory,
        roofline=roofline(summary, machine, speed.median, machine_seconds),
        rivals={
            name: Comparison(MedianRange.of(theirs), ratio(speeds[OURS], theirs))
            for name, theirs in speeds.items()
            if name != OURS
        },
    )


def profile(training: Training, seconds: float) -> dict[str, float]:
    """Return the median milliseconds of each part of a step."""
    end = time.perf_counter() + seconds
    steps = [training.timed_parts()]
    while time.perf_counter() + sum(steps[-1]) < end:
        steps.append(training.timed_parts())
    return {
        part: 1000 * median(times)
        for part, times in zip(PARTS, zip(*steps, strict=True), strict=True)
    }
