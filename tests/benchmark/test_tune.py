"""Tuning: the settings it tries, the best one, and the changes to the config."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.backends.native import library
from sepcnn.benchmark import tune
from sepcnn.benchmark.tune import SpeedSettings, Trial, TuningResult, measure_settings
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from tests.runs import write_config

OWN = SpeedSettings("float32", "plain", 64, 4)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path, batch_size=64))


def decide(
    config: Config,
    monkeypatch: pytest.MonkeyPatch,
    speed: Callable[[SpeedSettings], float | None],
    hardware: Machine | None = None,
    native: bool = True,
) -> TuningResult:
    """Tune with pretended speeds, on a machine with 4 processors and kernels."""

    def pretended(*arguments: Any) -> dict[SpeedSettings, list[float]]:
        best, others = arguments[3:5]
        speeds = {setting: speed(setting) for setting in (best, *others)}
        return {setting: 3 * [value] for setting, value in speeds.items() if value is not None}

    monkeypatch.setattr(tune, "measure_settings", pretended)
    monkeypatch.setattr(tune, "processor_count", lambda: 4)
    monkeypatch.setattr(tune, "multiplies_bfloat16", lambda device: native)
    monkeypatch.setattr(tune.library, "load_kernels", lambda precision: True)
    monkeypatch.setattr(tune, "use_threads", lambda count: None)
    hardware = hardware or Machine(torch.device("cpu"), "float32", 4)
    return tune.tune(config, config.graph(3), hardware, 1.0)


def test_each_axis_is_tried_with_the_best_so_far(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = {"bfloat16": 2.0, "fused": 3.0, 128: 1.2, 2: 1.5}

    def speed(one: SpeedSettings) -> float:
        product = 100.0
        for value in (one.precision, one.form, one.batch_size, one.threads):
            product *= gains.get(value, 1.0)
        return product

    found = decide(config, monkeypatch, speed)
    assert [one.setting for one in found.tries] == [
        OWN,
        SpeedSettings("bfloat16", "plain", 64, 4),
        SpeedSettings("float32", "fused", 64, 4),
        SpeedSettings("bfloat16", "fused", 64, 4),
        SpeedSettings("bfloat16", "fused", 32, 4),
        SpeedSettings("bfloat16", "fused", 128, 4),
        SpeedSettings("bfloat16", "fused", 128, 1),
        SpeedSettings("bfloat16", "fused", 128, 2),
    ]
    assert found.best == SpeedSettings("bfloat16", "fused", 128, 2)
    assert found.tries[-1].relative == pytest.approx(2 * 3 * 1.2 * 1.5)
    assert found.changes() == {
        "train.precision": "bfloat16",
        "train.fused": "true",
        "train.batch_size": "128",
    }


def test_on_a_gpu_compiling_is_tried(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Machine(torch.device("cuda"), "bfloat16", 4)
    monkeypatch.setattr(tune, "supports_compile", lambda device: True)
    speeds = {("float32", "compiled"): 1.5, ("bfloat16", "compiled"): 2.0}
    found = decide(config, monkeypatch, lambda one: speeds.get((one.precision, one.form), 1.0), gpu)
    own = SpeedSettings("bfloat16", "plain", 64, 4)
    assert [one.setting for one in found.tries] == [
        own,
        SpeedSettings("float32", "plain", 64, 4),
        SpeedSettings("float32", "compiled", 64, 4),
        SpeedSettings("bfloat16", "compiled", 64, 4),
        SpeedSettings("float32", "plain", 64, 4, graphs=True),
        SpeedSettings("bfloat16", "plain", 64, 4, graphs=True),
        SpeedSettings("float32", "compiled", 64, 4, graphs=True),
        SpeedSettings("bfloat16", "compiled", 64, 4, graphs=True),
        SpeedSettings("bfloat16", "compiled", 32, 4),
        SpeedSettings("bfloat16", "compiled", 128, 4),
    ]
    assert found.changes() == {"train.compile": "true"}
    monkeypatch.setattr(tune, "supports_compile", lambda device: False)
    found = decide(config, monkeypatch, lambda one: 1.0, gpu)
    assert {one.setting.form for one in found.tries} == {"plain"}


def test_bfloat16_is_tried_if_it_can_be_fast(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not if torch multiplies bfloat16 as float32."""
    found = decide(config, monkeypatch, lambda one: 1.0, native=False)
    kinds = {(one.setting.precision, one.setting.form) for one in found.tries}
    assert kinds == {("float32", "plain"), ("float32", "fused"), ("bfloat16", "fused")}


def test_on_a_gpu_graphs_are_tried(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without compiled kernels, because they may be faster without."""
    gpu = Machine(torch.device("cuda"), "bfloat16", 4, "compiled")
    monkeypatch.setattr(tune, "supports_compile", lambda device: True)
    speeds = {("bfloat16", "plain"): 3.0, ("float32", "plain"): 2.5, ("bfloat16", "compiled"): 2.0}

    def speed(one: SpeedSettings) -> float:
        return speeds.get((one.precision, one.form), 1.0) if one.graphs else 1.0

    found = decide(config, monkeypatch, speed, gpu)
    assert found.best == SpeedSettings("bfloat16", "plain", 64, 4, graphs=True)
    assert found.changes() == {"train.compile": "false", "train.cuda_graphs": "true"}


def test_a_little_faster_is_not_enough(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    found = decide(config, monkeypatch, lambda one: 1.0 if one == OWN else 1.02)
    assert (found.best, found.changes(), found.close) == (OWN, {}, None)


def test_another_batch_size_must_be_a_tenth_faster(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = decide(
        config, monkeypatch, lambda one: {64: 100.0, 32: 106.0, 128: 109.0}[one.batch_size]
    )
    assert (found.best, found.changes()) == (OWN, {})
    assert found.close == SpeedSettings("float32", "plain", 128, 4)


def test_a_setting_that_does_not_fit_into_memory_is_not_chosen(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = decide(config, monkeypatch, lambda one: None if one.batch_size == 128 else 1.0)
    big = SpeedSettings("float32", "plain", 128, 4)
    assert next(one for one in found.tries if one.setting == big) == Trial(big, None, 0.0)
    assert found.best == OWN


def test_only_memory_errors_are_ignored(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed_up_training = tune.warmed_up_training

    def limited(*arguments: Any) -> Any:
        if arguments[3].batch_size > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        if arguments[3].batch_size < 64:
            raise RuntimeError("another failure")
        return warmed_up_training(*arguments)

    monkeypatch.setattr(tune, "warmed_up_training", limited)
    cpu, graph = machine.choose_machine("cpu", "float32", fused=False), config.graph(3)
    own = SpeedSettings("float32", "plain", 64, cpu.threads)
    found = measure_settings(
        config, graph, cpu, own, [SpeedSettings("float32", "plain", 128, 1)], 0.05
    )
    assert list(found) == [own]
    with pytest.raises(RuntimeError, match="another failure"):
        measure_settings(config, graph, cpu, own, [SpeedSettings("float32", "plain", 32, 1)], 0.05)


def test_real_tuning(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path))
    cpu = machine.choose_machine("cpu", "float32")
    found = tune.tune(config, config.graph(3), cpu, 0.5)
    assert found.best in [one.setting for one in found.tries]
    assert all(one.images_per_second and one.relative > 0 for one in found.tries)
    assert {one.setting.batch_size for one in found.tries} == {8, 16, 32}
    types = {"float32", "bfloat16"} if library.load_kernels("bfloat16") else {"float32"}
    assert {one.setting.precision for one in found.tries} == types
    assert torch.get_num_threads() == cpu.threads
