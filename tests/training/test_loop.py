"""The loop: what it yields, what it leaves in the state, and that it is a function of the state."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from sepcnn.backends import machine
from sepcnn.backends.machine import Machine
from sepcnn.config import config as config_module
from sepcnn.config.config import Config
from sepcnn.config.loading import load_config
from sepcnn.data.dataset import Dataset
from sepcnn.data.progress import no_progress
from sepcnn.training import checkpoint, loop, session
from sepcnn.training.records import EpochRecord, StepRecord
from sepcnn.training.run_folder import Run
from sepcnn.training.state import FIRST_BAD_STEP, IMAGES, State
from sepcnn.training.state import new_state as state_of
from tests.runs import write_config

STEPS = 8
"""127 training images in batches of 16; the last batch holds 15"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_config(tmp_path, epochs=2, optimizer="{Adam: 0.02}"))


@pytest.fixture
def dataset(config: Config) -> Dataset:
    return config.open_data()


@pytest.fixture
def cpu() -> Machine:
    return machine.choose_machine("cpu", "float32")


def new_state(config: Config) -> State:
    return state_of(config, config.graph(3), torch.device("cpu"))


def test_a_record_after_every_step_and_every_epoch(
    config: Config, dataset: Dataset, cpu: Machine
) -> None:
    records = list(loop.train(config, dataset, cpu, new_state(config)))
    kinds = [type(record) for record in records]
    assert kinds == 2 * [*(STEPS * [StepRecord]), EpochRecord]
    steps = [record for record in records if isinstance(record, StepRecord)]
    assert [record.step for record in steps] == list(range(1, 2 * STEPS + 1))
    assert [record.epoch for record in steps] == STEPS * [1] + STEPS * [2]


def test_the_state_is_complete_at_every_yield(
    config: Config, dataset: Dataset, cpu: Machine, tmp_path: Path
) -> None:
    """Going on from a copy taken at any yield ends as the run itself does."""
    reference = new_state(config)
    list(loop.train(config, dataset, cpu, reference))
    facts = dataset.summary()
    for moment in (1, 3, STEPS, STEPS + 1, STEPS + 4):
        state = new_state(config)
        for _ in islice(loop.train(config, dataset, cpu, state), moment):
            pass
        path = tmp_path / f"{moment}.safetensors"
        checkpoint.save(path, config, facts, cpu.facts(), state)
        resumed = checkpoint.read(path).state(config, cpu.device)
        list(loop.train(config, dataset, cpu, resumed))
        for name, tensor in resumed.tensors().items():
            assert torch.equal(tensor, reference.tensors()[name]), (moment, name)
        ours, theirs = ([(r.train, r.val) for r in s.epochs] for s in (resumed, reference))
        assert ours == theirs


def test_an_epochs_end_without_validation_is_made_up_for(
    config: Config, dataset: Dataset, cpu: Machine
) -> None:
    state = new_state(config)
    for _ in islice(loop.train(config, dataset, cpu, state), STEPS):
        pass
    assert state.step == STEPS
    assert state.epochs == []
    record = next(loop.train(config, dataset, cpu, state))
    assert isinstance(record, EpochRecord)
    assert record.val is not None
    assert record.learning_rate == 0.02


def test_the_time_of_an_epoch_leaves_out_saving(
    config: Config,
    dataset: Dataset,
    cpu: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoint, "save", lambda *_: time.sleep(0.5))
    state = new_state(config)
    run = Run(tmp_path, config, dataset.summary(), cpu, FileLock(tmp_path / ".lock"))
    start = time.perf_counter()
    for record in loop.train(config, dataset, cpu, state):
        if isinstance(record, EpochRecord):
            assert 0 < record.seconds <= time.perf_counter() - start - 0.5
            return
        if record.step == 3:
            run.save(state)


def test_running_sums_are_those_of_the_epoch(
    config: Config, dataset: Dataset, cpu: Machine
) -> None:
    state = new_state(config)
    records = loop.train(config, dataset, cpu, state)
    next(records)
    assert state.sums[IMAGES] == 16
    for _ in range(STEPS - 1):
        next(records)
    assert state.sums[IMAGES] == 127
    assert isinstance(next(records), EpochRecord)
    assert state.sums[IMAGES] == 0
    assert state.sums[FIRST_BAD_STEP] == 0


def test_each_image_is_seen_once_an_epoch(config: Config, dataset: Dataset, cpu: Machine) -> None:
    seen: list[torch.Tensor] = []
    read = dataset.train.read

    def watched(indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(indices)
        return read(indices)

    dataset.train.read = watched  # type: ignore[method-assign]
    dataset.train.to = lambda device: dataset.train  # type: ignore[method-assign]
    list(loop.train(config, dataset, cpu, new_state(config)))
    first, second = torch.cat(seen[:STEPS]), torch.cat(seen[STEPS:])
    assert torch.equal(first.sort().values, torch.arange(127))
    assert torch.equal(second.sort().values, torch.arange(127))
    assert not torch.equal(first, second)


def test_training_leaves_torchs_own_randomness_alone(
    config: Config, dataset: Dataset, cpu: Machine
) -> None:
    before = torch.get_rng_state()
    list(loop.train(config, dataset, cpu, new_state(config)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_decides(tmp_path: Path, cpu: Machine, seed: int) -> None:
    path = write_config(tmp_path, epochs=1)
    runs = []
    for other in (0, seed):
        config = load_config(path, [f"train.seed={other}"])
        state = new_state(config)
        list(loop.train(config, config.open_data(), cpu, state))
        runs.append(state.model.state_dict()["dense.weight"])
    assert torch.equal(*runs) == (seed == 0)


def test_a_loss_that_is_not_finite_is_remembered(
    config: Config, dataset: Dataset, cpu: Machine
) -> None:
    state = new_state(config)
    records = loop.train(config, dataset, cpu, state)
    next(records)
    with torch.no_grad():
        state.model.get_parameter("dense.bias").fill_(float("nan"))
    for _ in range(3):
        next(records)
    assert state.sums[FIRST_BAD_STEP] == 2


def test_stopping_early_waits_for_patience(tmp_path: Path, cpu: Machine) -> None:
    config = load_config(write_config(tmp_path, epochs=9), ["train.early_stopping.patience=2"])
    stopping = config.train.early_stopping
    state = new_state(config)
    template = next(
        record
        for record in loop.train(config, config.open_data(), cpu, new_state(config))
        if isinstance(record, EpochRecord)
    )
    verdicts = []
    for epoch, accuracy in enumerate([0.5, 0.7, 0.6, 0.65], start=1):
        assert template.val is not None
        val = replace(template.val, accuracy=accuracy)
        state.epochs.append(replace(template, epoch=epoch, val=val))
        verdicts.append(loop.stops_early(stopping, state))
    assert verdicts == [False, False, False, True]


def test_normalization_takes_its_statistics_from_the_training_images(
    config: Config, dataset: Dataset
) -> None:
    with_normalization = load_config(
        Path(config.origin.name),  # type: ignore[union-attr]
        ["model.layers[0]=Normalization"],
    )
    state = new_state(with_normalization)
    loop.adapt(with_normalization, dataset, state)
    pixels = dataset.train.read(torch.arange(127)).images.double()
    layer = state.model.get_submodule("normalization")
    mean, variance = pixels.mean(dim=(0, 1, 2)), pixels.var(dim=(0, 1, 2), correction=0)
    torch.testing.assert_close(layer.mean.double(), mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(layer.variance.double(), variance, rtol=1e-6, atol=0)


@pytest.mark.exhaustive
@pytest.mark.skipif(sys.platform == "win32", reason="memory is read from POSIX accounting")
def test_memory_is_flat_over_epochs(tmp_path: Path, cpu: Machine) -> None:
    import resource

    config = load_config(write_config(tmp_path, epochs=60))
    peaks = []
    for record in loop.train(config, config.open_data(), cpu, new_state(config)):
        if isinstance(record, EpochRecord):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    grown = peaks[-1] - peaks[20]
    assert grown * (1 if sys.platform == "darwin" else 1024) < 2**23


def test_a_run_expands_its_layers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, made = config_module.make_graph, list[int | None]()

    def make_graph(layers: Any, shape: Any, classes: int | None) -> Any:
        made.append(classes)
        return original(layers, shape, classes)

    monkeypatch.setattr(config_module, "make_graph", make_graph)
    config_module._graph.cache_clear()
    path = write_config(tmp_path, epochs=1)
    session.start(path, tmp_path / "run", (), lambda text: None, no_progress).run.lock.release()
    assert made == [None, 3]  # before and after the data gave the number of classes
