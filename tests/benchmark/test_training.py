"""Measured training: the steps of the loop, their parts, the dense twin and the roofline."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.benchmark.roofline import roofline
from sepcnn.benchmark.speed import DENSE, measure
from sepcnn.benchmark.training import PARTS, STEPS_PER_EPOCH, Training, peak_memory, random_images
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.nn.layers.convolution import Convolution, SeparableConv2DModule
from sepcnn.nn.summary import dense_twin, summarize
from sepcnn.training.state import new_state
from sepcnn.training.step import TrainingStep
from tests.runs import write_config

STATUS = Path("/proc/self/status")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path))


@pytest.fixture
def cpu() -> Machine:
    return machine.choose_machine("cpu", "float32")


def test_a_step_in_parts_equals_a_step_of_the_loop(config: Config, cpu: Machine) -> None:
    """With augmentation, dropout and renormalization, the weights are the same to the last bit."""
    whole, apart = (Training(config, config.graph(3), cpu) for _ in range(2))
    state = new_state(config, config.graph(3), cpu.device)
    plan = TrainingStep(config, cpu, STEPS_PER_EPOCH)
    for _ in range(3):
        whole.step()
        apart.timed_parts()
        images = whole.split.read(whole.batches[state.step % len(whole.batches)])
        plan.take(state, images, 0.001)
    for name, tensor in state.tensors().items():
        assert torch.equal(whole.state.tensors()[name], tensor), name
        assert torch.equal(apart.state.tensors()[name], tensor), name


def test_parts_add_up_to_the_step(config: Config, cpu: Machine) -> None:
    training = Training(config, config.graph(3), cpu)
    training.warm_up(1)
    shares = []
    for _ in range(5):
        start = time.perf_counter()
        parts = training.timed_parts()
        shares.append(sum(parts) / (time.perf_counter() - start))
        assert len(parts) == len(PARTS)
        assert min(parts) > 0
    assert max(shares) <= 1
    assert max(shares) > 0.5, "the machine may be away between two parts, not five times"


def test_images_are_random_and_the_same_each_time(config: Config) -> None:
    one, other = random_images(config, 3), random_images(config, 3)
    assert torch.equal(one.images, other.images)
    assert one.images.shape == (16 * 16, 12, 12, 3)
    assert one.images.unique().tolist() == list(range(256))
    assert one.labels.unique().tolist() == [0, 1, 2]


def test_large_images_are_few(config: Config) -> None:
    large = config.model_copy(
        update={"model": config.model.model_copy(update={"input_shape": (1024, 1024, 3)})}
    )
    assert len(random_images(large, 3)) == config.train.batch_size


def test_resizing_and_class_weights_of_the_data_are_left_out(tmp_path: Path, cpu: Machine) -> None:
    config = load_config(
        write_config(tmp_path),
        [
            "data.progressive_resizing={start: 1/2, until: 50%, multiple: 4}",
            "train.class_weights={red: 3}",
            "model.layers[0]=Normalization",
        ],
    )
    training = Training(config, config.graph(3), cpu)
    shapes = []
    layer = training.state.model.get_submodule("separable_conv2d")
    layer.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    plain = Machine(cpu.device, "float32", cpu.threads)
    training.train_step = TrainingStep(
        training.config, plain, STEPS_PER_EPOCH, training.train_step.class_weights
    )
    training.step()
    assert shapes == [(16, 3, 12, 12)]
    assert training.train_step.class_weights == (1.0, 1.0, 1.0)
    mean = training.state.model.get_submodule("normalization").mean
    assert (mean - 127).abs().max() < 20


def test_the_twin_is_dense(config: Config) -> None:
    graph = config.graph(3)
    twin = new_state(config, dense_twin(graph), torch.device("cpu")).model
    assert not any(isinstance(module, SeparableConv2DModule) for module in twin.modules())
    convolution = twin.get_submodule("separable_conv2d")
    assert isinstance(convolution, Convolution)
    assert convolution.weight.shape == (8, 3, 3, 3)
    expected = summarize(graph)
    assert summarize(twin.graph).total("macs") == expected.total("twin_macs")
    assert summarize(twin.graph).total("params") == expected.total("twin_params")
    assert twin.logits(torch.zeros(2, 3, 12, 12)).shape == (2, 3)


def test_speed(config: Config, cpu: Machine) -> None:
    found = measure(config, config.graph(3), cpu, 0.5)
    speed = found.images_per_second
    assert 0 < speed.lowest <= speed.median <= speed.highest
    assert found.step_ms == pytest.approx(16_000 / speed.median)
    assert list(found.rivals) == [DENSE]
    ratio = found.rivals[DENSE].ratio
    assert 0 < ratio.lowest <= ratio.median <= ratio.highest
    assert found.peak_memory_bytes is None or found.peak_memory_bytes > 1 << 20


def test_a_net_without_separable_convolutions_has_no_twin(tmp_path: Path, cpu: Machine) -> None:
    layer = "model.layers[1]={Conv2D: {filters: 4, kernel_size: 3}}"
    config = load_config(write_config(tmp_path), [layer])
    assert measure(config, config.graph(3), cpu, 0.2).rivals == {}


def test_the_roofline_counts_what_the_summary_counts(config: Config, cpu: Machine) -> None:
    summary = summarize(config.graph(3))
    found = roofline(summary, cpu, images=100.0, seconds=0.1)
    assert found.flops == 100 * 3 * 2 * summary.total("macs")
    assert found.bytes == 100 * 5 * summary.total("activation_bytes")
    half = roofline(summary, Machine(cpu.device, "bfloat16", cpu.threads), 100.0, 0.1)
    assert half.bytes == found.bytes / 2
    assert min(found.most_flops, found.most_bytes, half.most_flops) > 1e6


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_peak_memory_is_that_of_the_system(cpu: Machine) -> None:
    reported = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    found = peak_memory(cpu.device)
    assert found is not None
    assert abs(found - 1024 * int(reported.split()[1])) < 1 << 20


@pytest.mark.parametrize(
    ("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)], ids=["native", "not"]
)
def test_the_roofline_multiplies_in_a_native_type(
    config: Config,
    cpu: Machine,
    monkeypatch: pytest.MonkeyPatch,
    native: bool,
    expected: torch.dtype,
) -> None:
    original, types = torch.mm, set()

    def watched(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        types.add(left.dtype)
        return original(left.float(), right.float(), out=out.float())

    monkeypatch.setattr(torch, "mm", watched)
    monkeypatch.setattr("sepcnn.benchmark.roofline.multiplies_bfloat16", lambda device: native)
    half = Machine(cpu.device, "bfloat16", cpu.threads)
    roofline(summarize(config.graph(3)), half, images=100.0, seconds=0.01)
    assert types == {expected}
