"""Moving statistics are re-estimated exactly, and measuring their effect changes nothing."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from sepcnn.backends import machine
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.dataset import Dataset
from sepcnn.nn.layers.normalization import BatchNormalizationModule
from sepcnn.training import loop
from sepcnn.training.evaluation import score, to_input
from sepcnn.training.moving_statistics import (
    compare_statistics,
    equal_parts,
    is_affected,
    recalibrate,
)
from sepcnn.training.state import State, new_state
from tests.cold import write_cold_config

Trained = tuple[Config, Dataset, State]


def prepare(folder: Path, normalization: str = "{momentum: 0.99}", **train: object) -> Trained:
    config = load_config(write_cold_config(folder, normalization, **train))
    return config, config.open_data(), new_state(config, config.graph(10), torch.device("cpu"))


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A finished run of 120 steps with momentum 0.99."""
    config, dataset, state = prepare(tmp_path_factory.mktemp("cold"))
    list(loop.train(config, dataset, machine.choose_machine("cpu", "float32"), state))
    assert state.step == 120
    return config, dataset, state


def test_a_run_at_chance_reaches_its_training_accuracy_after_recalibration(cold: Trained) -> None:
    config, dataset, state = cold
    last = state.epochs[-1]
    assert last.val is not None
    assert last.val.accuracy < 0.2
    assert last.train.accuracy > 0.6
    net = copy.deepcopy(state.model)
    assert recalibrate(net, dataset.train, config) == 192
    assert dataset.val is not None
    assert score(net, dataset.val, config.train.loss).accuracy > last.train.accuracy - 0.1
    assert all(
        torch.equal(weight, state.model.get_parameter(name))
        for name, weight in net.named_parameters()
    )


def test_the_gap_is_measured_on_training_images_and_changes_nothing(cold: Trained) -> None:
    config, dataset, state = cold
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    random = torch.get_rng_state()
    state.model.train()
    compared = compare_statistics(state.model, dataset.train, config)
    assert compared.images == 192
    assert compared.moving < 0.2
    assert compared.batch > 0.6
    assert state.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_statistics_are_the_mean_and_variance_over_all_images(tmp_path: Path) -> None:
    """Of the first layer, whose input does not depend on the batch: exactly."""
    config, dataset, state = prepare(tmp_path)
    recalibrate(state.model, dataset.train, config)
    images = to_input(dataset.train.read(torch.arange(192)).images) / 255
    with torch.no_grad():
        outputs = state.model.layer_module("conv2d")(images).double()
    first = state.model.layer_module("batch_normalization")
    assert isinstance(first, BatchNormalizationModule)
    mean, variance = outputs.mean((0, 2, 3)), outputs.var((0, 2, 3), correction=0)
    torch.testing.assert_close(first.moving_mean.double(), mean, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(first.moving_variance.double(), variance, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    "normalization", ["{trainable: false}", "{renorm: true}", "{renorm: true, momentum: 0.9}"]
)
def test_layers_that_train_with_moving_statistics_are_left_alone(
    tmp_path: Path, normalization: str
) -> None:
    config, dataset, state = prepare(tmp_path, normalization)
    assert not is_affected(state.model)
    before = copy.deepcopy(state.model.state_dict())
    recalibrate(state.model, dataset.train, config)
    compared = compare_statistics(state.model, dataset.train, config)
    assert compared.moving == compared.batch
    assert all(torch.equal(before[k], v) for k, v in state.model.state_dict().items())


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_batches_have_nearly_equal_sizes(count: int) -> None:
    parts = equal_parts(torch.arange(count), 256)
    assert torch.equal(torch.cat(list(parts)), torch.arange(count))
    sizes = {len(part) for part in parts}
    assert max(sizes) <= 256
    assert max(sizes) - min(sizes) <= 1
