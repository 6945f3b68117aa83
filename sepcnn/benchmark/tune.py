"""The settings that train a net fastest on this machine: one after the other, keeping the best."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from sepcnn.backends.machine import (
    Form,
    Machine,
    memory_exhausted,
    multiplies_bfloat16,
    processor_count,
    supports_compile,
    supports_cuda_graphs,
    use_threads,
)
from sepcnn.backends.native import library
from sepcnn.benchmark.rounds import Spread, ratio, take_turns
from sepcnn.benchmark.training import Training
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph

Type = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Type, ...] = ("float32", "bfloat16")
WARMING = 0.1
"""share of the time for the first steps of each"""
WORTH, WORTH_ANOTHER_BATCH = 1.03, 1.1
"""as many times as fast another setting must be; a batch size, which changes the training, more"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be chosen for speed."""

    precision: Type
    form: Form
    batch_size: int
    threads: int
    graphs: bool = False


@dataclass(frozen=True, slots=True)
class Try:
    """How fast a setting was."""

    setting: Setting
    images_per_second: Spread | None
    """None: it did not run, for want of memory, or since a CUDA graph could not be recorded"""
    relative: float
    """how many times as fast as the config's own setting; the product of ratios of turns"""


@dataclass(frozen=True, slots=True)
class Tuning:
    """All that was tried; the first is the config's own setting."""

    tries: list[Try]
    best: Setting
    rounds: int
    """the fewest of all turns"""
    close: Setting | None = None
    """another batch size that was faster, but not by enough to change the training for"""

    def changes(self) -> dict[str, str]:
        """The fields of the config that the best setting changes, with their YAML values."""
        own = self.tries[0].setting
        found = {
            "train.precision": (own.precision, self.best.precision),
            "train.fused": (own.form == "fused", self.best.form == "fused"),
            "train.compile": (own.form == "compiled", self.best.form == "compiled"),
            "train.cuda_graphs": (own.graphs, self.best.graphs),
            "train.batch_size": (own.batch_size, self.best.batch_size),
        }
        return {key: str(new).lower() for key, (old, new) in found.items() if old != new}


def kernels(setting: Setting, machine: Machine) -> list[Setting]:
    """Other types, forms and ways to launch, each with each: one may be worth without the other."""
    forms: list[Form] = ["plain"]
    if machine.device.type == "cpu":
        forms.append("fused")
    elif machine.device.type == "cuda" and supports_compile(machine.device):
        forms.append("compiled")
    launches = [False, True] if supports_cuda_graphs(machine.device) else [False]
    found = [
        replace(setting, precision=precision, form=form, graphs=graphs)
        for graphs, form, precision in product(launches, forms, PRECISIONS)
    ]
    return [one for one in found if one != setting and can_be_fast(one, machine)]


def can_be_fast(setting: Setting, machine: Machine) -> bool:
    """Not where there are no kernels, or torch multiplies bfloat16 by way of float32."""
    if setting.form == "fused":
        return library.load_kernels(setting.precision) is not None
    return setting.precision == "float32" or multiplies_bfloat16(machine.device)


def batch_sizes(setting: Setting, machine: Machine) -> list[Setting]:
    sizes = {max(1, setting.batch_size // 2), 2 * setting.batch_size} - {setting.batch_size}
    return [replace(setting, batch_size=size) for size in sorted(sizes)]


def threads(setting: Setting, machine: Machine) -> list[Setting]:
    if machine.device.type != "cpu":
        return []
    counts = {1, max(1, processor_count() // 2), processor_count()} - {setting.threads}
    return [replace(setting, threads=count) for count in sorted(counts)]


AXES: Mapping[Callable[[Setting, Machine], list[Setting]], float] = {
    kernels: WORTH,
    batch_sizes: WORTH_ANOTHER_BATCH,
    threads: WORTH,
}
"""what is tried, in this order, and how many times as fast it must be"""


def tune(config: Config, graph: Graph, machine: Machine, seconds: float) -> Tuning:
    """Try the settings of each axis in turns with the best so far, for about ``seconds`` in all.

    Errors: those of a step where already the config's own setting does not fit.
    """
    best = Setting(
        machine.precision, machine.form, config.train.batch_size, machine.threads, machine.graphs
    )
    tries: list[Try] = []
    rounds: list[int] = []
    relative, close = 1.0, None
    try:
        for axis, worth in AXES.items():
            others = axis(best, machine)
            if tries and not others:
                continue
            speeds = compete(config, graph, machine, best, others, seconds / len(AXES))
            if not tries:
                tries.append(Try(best, Spread.of(speeds[best]), relative))
            rounds.append(len(speeds[best]))
            gains = {
                one: ratio(speeds[one], speeds[best]).median for one in others if one in speeds
            }
            for one in others:
                spread = Spread.of(speeds[one]) if one in speeds else None
                tries.append(Try(one, spread, relative * gains.get(one, 0.0)))
            leader = max(gains, key=lambda one: gains[one], default=best)
            if gains.get(leader, 0.0) >= worth:
                best, relative = leader, relative * gains[leader]
            elif gains.get(leader, 0.0) >= WORTH:
                close = leader
    finally:
        if machine.device.type == "cpu":
            use_threads(machine.threads)
    return Tuning(tries, best, min(rounds), close)


def compete(
    config: Config,
    graph: Graph,
    machine: Machine,
    champion: Setting,
    others: list[Setting],
    seconds: float,
) -> dict[Setting, list[float]]:
    """Images per second of each in every round; nothing of those that did not run."""
    end, warming = time.perf_counter() + seconds, WARMING * seconds
    runners = {champion: ready(config, graph, machine, champion, warming)}
    for one in others:
        try:
            training = ready(config, graph, machine, one, warming)
            if training.plan.graphed.failure is None:  # else it is another setting that ran
                runners[one] = training
        except (RuntimeError, MemoryError) as error:
            if memory_exhausted(error) is None:
                raise
    return take_turns(runners, max(end - time.perf_counter(), seconds / 2))


def ready(
    config: Config, graph: Graph, machine: Machine, setting: Setting, seconds: float
) -> Training:
    """Training under a setting, after its first steps."""
    options = config.train.model_copy(update={"batch_size": setting.batch_size})
    hardware = Machine(
        machine.device, setting.precision, setting.threads, setting.form, setting.graphs
    )
    training = Training(config.model_copy(update={"train": options}), graph, hardware)
    training.warm_up(seconds)
    return training
