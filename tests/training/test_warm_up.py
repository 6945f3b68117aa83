"""Moving statistics that cannot warm up are predicted, and validation at chance is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sepcnn.config.loading import load_config
from sepcnn.training.records import EpochRecord, Scores
from sepcnn.training.warm_up import (
    ChanceLevel,
    ColdStatistics,
    cold_statistics,
    constant_accuracy,
    fitting_momentum,
)
from tests.cold import write_cold_config


def cold(
    folder: Path, normalization: str, *overrides: str, steps: int = 12
) -> ColdStatistics | None:
    config = load_config(write_cold_config(folder, normalization), overrides)
    return cold_statistics(config.graph(10), config.train, steps)


def test_a_short_run_keeps_its_initial_statistics(tmp_path: Path) -> None:
    found = cold(tmp_path, "{momentum: 0.99}")
    assert found is not None
    assert found.share == pytest.approx(0.99**120)
    assert found.message == (
        "after 120 steps the moving statistics of 'batch_normalization' still have 30 % of their "
        "initial values (0.99^120): evaluation, which uses them, will be worse than training"
    )
    assert found.hint == ("use BatchNormalization: {momentum: 0.96}, since 0.01^(1/120) = 0.9624")


@pytest.mark.parametrize(
    ("normalization", "steps", "is_cold"),
    [
        ("{momentum: 0.96}", 12, False),
        ("{momentum: 0.99}", 39, False),  # 2.0 % of 390 steps
        ("{momentum: 0.99}", 38, True),
        ("{momentum: 1}", 10**6, True),
        ("{momentum: 0}", 1, False),
        ("{momentum: 0.99, trainable: false}", 12, False),
        ("{momentum: 0.99, renorm: true}", 12, False),
        ("{momentum: 0.99, renorm: true, renorm_momentum: 0.9}", 12, True),
        ("{momentum: 0.9, renorm: true, renorm_momentum: 0.99}", 12, False),
    ],
)
def test_which_layers_are_reported(
    tmp_path: Path, normalization: str, steps: int, is_cold: bool
) -> None:
    assert (cold(tmp_path, normalization, steps=steps) is not None) is is_cold


def test_early_stopping_may_end_the_run_before_the_statistics_are_warm(tmp_path: Path) -> None:
    long = "train.epochs=100"
    assert cold(tmp_path, "{momentum: 0.99}", long) is None
    found = cold(tmp_path, "{momentum: 0.99}", long, "train.early_stopping.patience=9")
    assert found is not None
    assert found.message.startswith("after 120 steps, when early stopping may end the run, the ")


def test_the_coldest_layer_is_named(tmp_path: Path) -> None:
    change = "model.layers[5]={BatchNormalization: {momentum: 0.999}}"
    found = cold(tmp_path, "{momentum: 0.99}", change)
    assert found is not None
    assert (found.layer, found.momentum) == ("batch_normalization_1", 0.999)


def test_a_run_that_is_too_short_for_moving_statistics(tmp_path: Path) -> None:
    found = cold(tmp_path, "{momentum: 0.99}", "train.epochs=1")
    assert found is not None
    assert found.hint == (
        "train for at least 21 steps with BatchNormalization: {momentum: 0.8}, "
        "or use smaller batches: more steps per epoch"
    )


@pytest.mark.parametrize("steps", [1, 2, 7, 21, 100, 120, 459, 1000, 12345, 10**6])
def test_the_suggested_momentum_fits_and_is_short(steps: int) -> None:
    momentum = fitting_momentum(steps)
    assert 0 <= momentum**steps <= 0.01 + 1e-12
    assert float(f"{momentum:g}") == pytest.approx(momentum, abs=1e-9)
    assert len(f"{momentum:g}") <= 8


CHANCE = ChanceLevel(train=0.16, val=0.16)
RECORD = EpochRecord(1, 12, Scores(1.0, 0.44), Scores(2.3, 0.10), 0.01, 1.0, 192.0)


def history(*accuracies: tuple[float, float]) -> list[EpochRecord]:
    return [
        replace(RECORD, epoch=n, train=Scores(1.0, train), val=Scores(1.0, val))
        for n, (train, val) in enumerate(accuracies, start=1)
    ]


@pytest.mark.parametrize(
    ("accuracies", "noticed"),
    [
        pytest.param([(0.44, 0.1)], False, id="one epoch of several"),
        pytest.param([(0.44, 0.1), (0.5, 0.1)], True, id="two epochs"),
        pytest.param([(0.44, 0.1), (0.5, 0.1), (0.6, 0.1)], False, id="noticed before"),
        pytest.param([(0.2, 0.1), (0.2, 0.1)], False, id="training at chance as well"),
        pytest.param([(0.44, 0.1), (0.5, 0.3)], False, id="validation improves"),
        pytest.param([(0.5, 0.3), (0.5, 0.1), (0.5, 0.1)], True, id="falls to chance"),
        pytest.param([(0.1, 0.1), (0.1, 0.1), (0.1, 0.1), (0.5, 0.1)], True, id="last epoch"),
    ],
)
def test_validation_that_stays_at_chance_is_noticed_once(
    accuracies: list[tuple[float, float]], noticed: bool
) -> None:
    assert CHANCE.begins_to_be_stuck(history(*accuracies), epochs=4) is noticed


def test_without_validation_images_nothing_is_noticed() -> None:
    assert not CHANCE.is_stuck(replace(RECORD, val=None))


def test_chance_is_the_accuracy_of_the_most_frequent_class() -> None:
    """A model that always predicts a class of 90 % of the images has learnt nothing."""
    labels = torch.tensor([0] * 90 + [1] * 10)
    assert constant_accuracy(labels) == pytest.approx(0.9 + 2 * (0.9 * 0.1 / 100) ** 0.5)
