"""The speed of training a config: images a second, where a step's time goes, and rivals."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from sepcnn.backends.machine import Machine
from sepcnn.benchmark.roofline import Roofline, roofline
from sepcnn.benchmark.rounds import Runner, Spread, ratio, take_turns
from sepcnn.benchmark.training import PARTS, Training, peak_memory
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph
from sepcnn.nn.summary import dense_twin, summarize

OURS, DENSE = "sepcnn", "with Conv2D instead"
"""the net as it is, and with Conv2D in place of every SeparableConv2D"""
WARMING, TAKING_APART, MEASURING_THE_MACHINE, AT_LEAST = 0.1, 0.15, 0.1, 0.3
"""shares of the time: for the first steps of each, parts of a step, the machine, and the turns"""


@dataclass(frozen=True, slots=True)
class Rival:
    """Another way to train, measured in turns with ours."""

    images_per_second: Spread
    ratio: Spread
    """how many times as fast ours is"""


@dataclass(frozen=True, slots=True)
class Speed:
    """What `sepcnn benchmark` tells of training."""

    images_per_second: Spread
    rounds: int
    batch_size: int
    step_ms: float
    parts_ms: dict[str, float]
    """of a step that waits for the device between its parts"""
    peak_memory_bytes: int | None
    """of the process, or of the GPU's tensors, before anything else was measured"""
    roofline: Roofline
    rivals: dict[str, Rival]


def measure(
    config: Config,
    graph: Graph,
    machine: Machine,
    seconds: float,
    others: Mapping[str, Runner] | None = None,
) -> Speed:
    """Train on random images for about ``seconds``, in turns with rivals where there are any."""
    end = time.perf_counter() + seconds
    ours = Training(config, graph, machine)
    ours.warm_up(WARMING * seconds)
    parts = take_apart(ours, TAKING_APART * seconds)
    memory = peak_memory(machine.device)
    runners: dict[str, Runner] = {OURS: ours}
    summary = summarize(graph)
    if summary.has_twin:
        twin = Training(config, dense_twin(graph), machine)
        twin.warm_up(WARMING * seconds)
        runners[DENSE] = twin
    runners |= others or {}
    machine_seconds = MEASURING_THE_MACHINE * seconds
    left = end - machine_seconds - time.perf_counter()
    found = take_turns(runners, max(left, AT_LEAST * seconds))
    speed = Spread.of(found[OURS])
    return Speed(
        images_per_second=speed,
        rounds=len(found[OURS]),
        batch_size=config.train.batch_size,
        step_ms=1000 * config.train.batch_size / speed.median,
        parts_ms=parts,
        peak_memory_bytes=memory,
        roofline=roofline(summary, machine, speed.median, machine_seconds),
        rivals={
            name: Rival(Spread.of(theirs), ratio(found[OURS], theirs))
            for name, theirs in found.items()
            if name != OURS
        },
    )


def take_apart(training: Training, seconds: float) -> dict[str, float]:
    """The usual milliseconds of each part of a step."""
    end = time.perf_counter() + seconds
    found = [training.timed_parts()]
    while time.perf_counter() + sum(found[-1]) < end:
        found.append(training.timed_parts())
    return {
        part: 1000 * median(times)
        for part, times in zip(PARTS, zip(*found, strict=True), strict=True)
    }
