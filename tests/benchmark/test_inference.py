"""The speed of inference: what is computed, in which form, how often."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.backends.native import library
from sepcnn.benchmark import inference
from sepcnn.benchmark.inference import Inference, measure_inference, measure_latencies
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.nn.model import build
from tests.runs import write_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path))


@pytest.fixture
def cpu() -> Machine:
    return machine.choose_machine("cpu", "float32")


def test_each_form_that_the_machine_has(config: Config, cpu: Machine) -> None:
    found = measure_inference(config, config.graph(3), cpu, 0.4)
    assert list(found) == [
        "plain",
        "folded",
        *(["fused"] if library.load_kernels("float32") else []),
    ]
    for one in found.values():
        assert 0 < one.latency_ms.median <= one.latency_ms.percentile95
        assert 0 < one.images_per_second.lowest <= one.images_per_second.highest
        assert one.batch_size == 256


def test_a_machine_without_kernels(
    config: Config, cpu: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference.library, "load_kernels", lambda precision: None)
    assert list(measure_inference(config, config.graph(3), cpu, 0.1)) == ["plain", "folded"]


def test_a_step_changes_nothing_and_keeps_no_gradients(config: Config) -> None:
    net = build(config.graph(3))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    seen: list[torch.Tensor] = []
    net.get_submodule("dense").register_forward_hook(lambda _, inputs, output: seen.append(output))
    one = Inference(net, "plain", torch.randint(256, (4, 12, 12, 3), dtype=torch.uint8))
    one.step()
    assert seen[0].shape == (4, 3)
    assert not seen[0].requires_grad
    assert not net.training
    assert one.images == 4
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_slow_net_has_one_turn(config: Config) -> None:
    one = Inference(build(config.graph(3)), "plain", torch.zeros(1, 12, 12, 3, dtype=torch.uint8))
    taken: list[float] = []

    def slow(steps: int) -> float:
        taken.append(len(taken) + 1.0)
        return taken[-1]

    one.timed = slow  # type: ignore[method-assign]
    found = measure_latencies({"plain": one}, 0.0)
    assert taken == [1.0, 2.0, 3.0]
    assert found["plain"].median == 2000
    assert found["plain"].percentile95 == pytest.approx(2900)  # between the two slowest
