"""Find the settings that train a model fastest on this machine, one group at a time."""

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
from sepcnn.benchmark.measurement import MedianRange, measure_interleaved, ratio
from sepcnn.benchmark.training import Training
from sepcnn.config.config import Config
from sepcnn.nn.graph import Graph

Type = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Type, ...] = ("float32", "bfloat16")
WARM_UP_SHARE = 0.1
"""share of the time for the warm-up of each setting"""
MIN_GAIN, MIN_BATCH_SIZE_GAIN = 1.03, 1.1
"""how many times as fast a setting must be to be chosen; a batch size, which changes the training,
must gain more
"""


@dataclass(frozen=True, slots=True)
class SpeedSettings:
    """The settings that tuning can change."""

    precision: Type
    form: Form
    batch_size: int
    threads: int
    graphs: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting and its speed."""

    setting: SpeedSettings
    images_per_second: MedianRange | None
    """None if it did not run: out of memory, or a CUDA graph could not be recorded"""
    relative: float
    """how many times as fast as the config's own setting; a product of ratios of several rounds"""


@dataclass(frozen=True, slots=True)
class TuningResult:
    """All trials, the fastest setting and a close one. The first trial is the config's setting."""

    tries: list[Trial]
    best: SpeedSettings
    rounds: int
    """smallest number of rounds in any comparison"""
    close: SpeedSettings | None = None
    """a batch size that is faster, but by too little to change the training"""

    def changes(self) -> dict[str, str]:
        """Return the config keys that the best setting changes, with their YAML values."""
        own = self.tries[0].setting
        fields = {
            "train.precision": (own.precision, self.best.precision),
            "train.fused": (own.form == "fused", self.best.form == "fused"),
            "train.compile": (own.form == "compiled", self.best.form == "compiled"),
            "train.cuda_graphs": (own.graphs, self.best.graphs),
            "train.batch_size": (own.batch_size, self.best.batch_size),
        }
        return {key: str(new).lower() for key, (old, new) in fields.items() if old != new}


def kernel_variants(setting: SpeedSettings, machine: Machine) -> list[SpeedSettings]:
    """Return all other combinations of precision, form and CUDA graphs that may be fast.

    All combinations, because a form may be fast only with one of the precisions.
    """
    forms: list[Form] = ["plain"]
    if machine.device.type == "cpu":
        forms.append("fused")
    elif machine.device.type == "cuda" and supports_compile(machine.device):
        forms.append("compiled")
    launches = [False, True] if supports_cuda_graphs(machine.device) else [False]
    variants = [
        replace(setting, precision=precision, form=form, graphs=graphs)
        for graphs, form, precision in product(launches, forms, PRECISIONS)
    ]
    return [v for v in variants if v != setting and can_be_fast(v, machine)]


def can_be_fast(setting: SpeedSettings, machine: Machine) -> bool:
    """Return False if there are no kernels, or if torch multiplies bfloat16 as float32."""
    if setting.form == "fused":
        return library.load_kernels(setting.precision) is not None
    return setting.precision == "float32" or multiplies_bfloat16(machine.device)


def batch_sizes(setting: SpeedSettings, machine: Machine) -> list[SpeedSettings]:
    sizes = {max(1, setting.batch_size // 2), 2 * setting.batch_size} - {setting.batch_size}
    return [replace(setting, batch_size=size) for size in sorted(sizes)]


def thread_counts(setting: SpeedSettings, machine: Machine) -> list[SpeedSettings]:
    if machine.device.type != "cpu":
        return []
    counts = {1, max(1, processor_count() // 2), processor_count()} - {setting.threads}
    return [replace(setting, threads=count) for count in sorted(counts)]


AXES: Mapping[Callable[[SpeedSettings, Machine], list[SpeedSettings]], float] = {
    kernel_variants: MIN_GAIN,
    batch_sizes: MIN_BATCH_SIZE_GAIN,
    thread_counts: MIN_GAIN,
}
"""the groups of settings in the order they are tried, and how many times as fast they must be"""


def tune(config: Config, graph: Graph, machine: Machine, seconds: float) -> TuningResult:
    """Try the settings of each axis, interleaved with the best so far, for ``seconds`` in all.

    Errors: those of a training step, if the config's own setting does not run.
    """
    best = SpeedSettings(
        machine.precision, machine.form, config.train.batch_size, machine.threads, machine.graphs
    )
    trials: list[Trial] = []
    rounds: list[int] = []
    relative, close = 1.0, None
    try:
        for axis, worth in AXES.items():
            others = axis(best, machine)
            if trials and not others:
                continue
            speeds = measure_settings(config, graph, machine, best, others, seconds / len(AXES))
            if not trials:
                trials.append(Trial(best, MedianRange.of(speeds[best]), relative))
            rounds.append(len(speeds[best]))
            gains = {
                setting: ratio(speeds[setting], speeds[best]).median
                for setting in others
                if setting in speeds
            }
            for setting in others:
                speed = MedianRange.of(speeds[setting]) if setting in speeds else None
                trials.append(Trial(setting, speed, relative * gains.get(setting, 0.0)))
            leader = max(gains, key=lambda setting: gains[setting], default=best)
            if gains.get(leader, 0.0) >= worth:
                best, relative = leader, relative * gains[leader]
            elif gains.get(leader, 0.0) >= MIN_GAIN:
                close = leader
    finally:
        if machine.device.type == "cpu":
            use_threads(machine.threads)
    return TuningResult(trials, best, min(rounds), close)


def measure_settings(
    config: Config,
    graph: Graph,
    machine: Machine,
    best: SpeedSettings,
    others: list[SpeedSettings],
    seconds: float,
) -> dict[SpeedSettings, list[float]]:
    """Measure settings interleaved. Return images per second by setting and round.

    Settings that do not run, for lack of memory or of a CUDA graph, are left out.
    """
    end, warm_up = time.perf_counter() + seconds, WARM_UP_SHARE * seconds
    runners = {best: warmed_up_training(config, graph, machine, best, warm_up)}
    for setting in others:
        try:
            training = warmed_up_training(config, graph, machine, setting, warm_up)
            if training.train_step.graphed.failure is None:  # else it ran without graphs
                runners[setting] = training
        except (RuntimeError, MemoryError) as error:
            if memory_exhausted(error) is None:
                raise
    return measure_interleaved(runners, max(end - time.perf_counter(), seconds / 2))


def warmed_up_training(
    config: Config, graph: Graph, machine: Machine, setting: SpeedSettings, seconds: float
) -> Training:
    """Return training with a setting, after warm-up steps for about ``seconds``."""
    options = config.train.model_copy(update={"batch_size": setting.batch_size})
    hardware = Machine(
        machine.device, setting.precision, setting.threads, setting.form, setting.graphs
    )
    training = Training(config.model_copy(update={"train": options}), graph, hardware)
    training.warm_up(seconds)
    return training
