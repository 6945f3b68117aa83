"""The number of threads of a resumed run: another one only if no bit of the run depends on it."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import torch

from sepcnn.backends.machine import Machine, use_threads
from sepcnn.config.config import Config
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.training import loop
from sepcnn.training.checkpoint import Checkpoint
from sepcnn.training.evaluation import logits_of
from sepcnn.training.state import State
from sepcnn.training.step import TrainingStep


def choose_threads(
    available: int, machine: Machine, stored: Checkpoint, config: Config, dataset: Dataset
) -> Machine:
    """Return ``machine`` with ``available`` threads if the run stays the same to the last bit.

    The kernels of `sepcnn.backends.native` add up in the same order for any number of threads,
    torch's own operations do not. So both numbers take steps from the same state, on batches of
    all sizes of the run, and the results are compared. Steps with progressive resizing, whose
    images change in size, are not compared.
    """
    sizes = config.data.progressive_resizing
    if available == machine.threads or machine.device.type != "cpu" or sizes is not None:
        return machine
    before, now = (
        trial(
            replace(machine, threads=count), stored.state(config, machine.device), config, dataset
        )
        for count in (machine.threads, available)
    )
    chosen = replace(machine, threads=available) if before == now else machine
    use_threads(chosen.threads)
    return chosen


def trial(machine: Machine, state: State, config: Config, dataset: Dataset) -> str:
    """Take a step on a full and on the last batch, evaluate a batch, and hash all results."""
    use_threads(machine.threads)
    steps = loop.steps_per_epoch(config, dataset.train)
    step = TrainingStep(config, machine, steps)
    size, count = config.train.batch_size, len(dataset.train)
    full = torch.arange(min(size, count))
    last = torch.arange((steps - 1) * size, count)
    for indices in (full, last):
        batch = dataset.train.read(indices)
        step.take(state, batch, step.learning_rate(state.step))
    logits, _ = logits_of(state.model, InMemorySplit(batch.images, batch.labels))
    digest = hashlib.blake2b(logits.numpy().tobytes())
    for tensor in state.tensors().values():
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()
