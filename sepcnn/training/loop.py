"""The training loop: a generator that yields after every step and every epoch.

The state is complete at every yield, so the caller may save it, show it, or stop for ever.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import torch

from sepcnn import randomness
from sepcnn.backends.machine import Machine
from sepcnn.config.config import Config
from sepcnn.config.sections import EarlyStopping, Train
from sepcnn.data.class_balance import BALANCED, resolve_class_weights
from sepcnn.data.dataset import Dataset, Split
from sepcnn.nn.layers.scaling import NormalizationModule
from sepcnn.training.evaluation import batch_size, score
from sepcnn.training.records import EpochRecord, Scores, StepRecord
from sepcnn.training.state import FIRST_BAD_STEP, State, check_loss
from sepcnn.training.step import TrainingStep
from sepcnn.world import World


def train(
    config: Config,
    dataset: Dataset,
    machine: Machine,
    state: State,
    world: World | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Iterator[StepRecord | EpochRecord]:
    """Train from the position of ``state`` to the end of the run.

    ``tell`` is called with notes for the user. Errors: `DivergedError` at the end of an epoch with
    a loss that is not finite.
    """
    world = world or World()
    options = config.train
    images = dataset.train.to(machine.device)
    validation = dataset.val.to(machine.device) if dataset.val else None
    weights = resolve_class_weights(options.class_weights, dataset.class_names, images.labels)
    step = TrainingStep(config, machine, steps_per_epoch(config, images), weights, tell)

    for epoch in range(len(state.epochs), options.epochs):
        if stops_early(options.early_stopping, state):
            return
        first_step, start, waiting = state.step, time.perf_counter(), 0.0
        state.saving = 0.0

        for indices in remaining_batches(config, images, epoch, state.step):
            learning_rate = step.learning_rate(state.step)
            reading = time.perf_counter()
            batch = images.read(indices)
            waiting += time.perf_counter() - reading
            step.take(state, batch, learning_rate)
            yield StepRecord(epoch + 1, state.step, learning_rate)

        # A run that was killed during validation resumes here: no batch remains.
        train_scores = running_scores(state, world)
        seconds = time.perf_counter() - start - state.saving
        trained = min((state.step - first_step) * options.batch_size, len(images))
        record = EpochRecord(
            epoch=epoch + 1,
            step=state.step,
            train=train_scores,
            val=score(state.model, validation, options.loss) if validation else None,
            learning_rate=step.learning_rate(state.step - 1),
            seconds=seconds,
            images_per_second=trained / seconds if trained else 0.0,
            waiting=waiting / seconds if trained else 0.0,
        )
        state.epochs.append(record)
        state.sums[:FIRST_BAD_STEP] = 0
        yield record


def steps_per_epoch(config: Config, images: Split) -> int:
    return math.ceil(len(images) / config.train.batch_size)


def remaining_batches(
    config: Config, images: Split, epoch: int, step: int
) -> Iterator[torch.Tensor]:
    """The indices, int64 [n], of each batch of ``epoch`` that follows ``step`` completed steps."""
    order = epoch_order(config.train, epoch, images.labels)
    # Copied once per epoch: a copy in each step could wait for the steps before it.
    order = order.to(images.indices_on)
    steps, size = steps_per_epoch(config, images), config.train.batch_size
    for first in range((step - epoch * steps) * size, len(order), size):
        yield order[first : first + size]


def epoch_order(options: Train, epoch: int, labels: torch.Tensor) -> torch.Tensor:
    """The indices of the training images in the order of one epoch: int64 [N]."""
    if options.sampling == BALANCED:
        return randomness.balanced_order(options.seed, epoch, labels)
    return randomness.order(options.seed, epoch, len(labels))


def running_scores(state: State, world: World) -> Scores:
    """Means over the epoch so far. Waits for the device. Errors: `DivergedError`."""
    loss, correct, count, first_bad_step = world.sum(state.sums).tolist()
    check_loss(first_bad_step)
    return Scores(loss / max(count, 1), correct / max(count, 1))


def stops_early(early_stopping: EarlyStopping | None, state: State) -> bool:
    """Whether ``patience`` epochs have passed since the best one."""
    if early_stopping is None or state.best is None:
        return False
    return len(state.epochs) - state.best.epoch >= early_stopping.patience


@torch.no_grad()
def adapt(config: Config, dataset: Dataset, state: State) -> None:
    """Set the statistics of Normalization layers that have none to those of the training images."""
    modules = [m for m in state.model.modules() if isinstance(m, NormalizationModule) and m.adapts]
    if not modules:
        return
    total = torch.zeros(config.model.input_shape[2], dtype=torch.float64)
    squares, count = total.clone(), 0
    for indices in torch.arange(len(dataset.train)).split(batch_size(config.model.input_shape)):
        pixels = dataset.train.read(indices).images.double().flatten(0, 2)
        total += pixels.sum(0)
        squares += pixels.square().sum(0)
        count += len(pixels)
    mean = total / count
    for module in modules:
        module.adapt(mean, squares / count - mean.square(), count)
