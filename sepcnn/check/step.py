"""Check that training fits into memory, try a few steps, and estimate the duration of the run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import torch

from sepcnn.backends.machine import free_memory, memory_exhausted
from sepcnn.check.base import CheckContext, Finding, images
from sepcnn.config.config import Config
from sepcnn.data.batch import centre_crop
from sepcnn.data.dataset import Dataset, InMemorySplit
from sepcnn.errors import InputError, SepcnnError
from sepcnn.training import loop
from sepcnn.training.records import StepRecord
from sepcnn.training.state import FIRST_BAD_STEP, IMAGES, LOSS, check_finite, check_loss, new_state
from sepcnn.wording import counted

MEMORY_SHARE = 0.8
"""fraction of the free memory above which a step is reported"""
WARM_UP, TIMED_STEPS, TIMED_SECONDS = 3, 20, 5.0
"""numbers of untimed and of timed steps, and the seconds after which no further step begins"""


def memory(context: CheckContext) -> Iterator[Finding]:
    """Report a step that needs most or more than the free memory."""
    needed, free = context.memory_needed, free_memory(context.machine.device)
    if free is not None and needed > MEMORY_SHARE * free:
        where = " on the GPU" if context.machine.device.type == "cuda" else ""
        message = (
            f"a training step on {images(context.batch_images)} needs about "
            f"{byte_count(needed)} of memory; {byte_count(free)}{where} is free"
        )
        size = max(1, int(context.batch_images * MEMORY_SHARE * free / needed) // 2 * 2)
        hint = f"use train.batch_size: {size}, a smaller input_shape, or fewer filters"
        yield Finding("memory", "error" if needed > free else "warning", message, hint)


def training_steps(context: CheckContext) -> Iterator[Finding]:
    """Train a temporary model for a few steps on real batches and report the result.

    Does nothing if the data has problems or the memory is too small.
    """
    free = free_memory(context.machine.device)
    if (
        context.dataset is None
        or context.problems
        or (free is not None and context.memory_needed > free)
    ):
        return
    try:
        loss, seconds = try_steps(context, context.dataset)
    except Exception as problem:
        error = problem if isinstance(problem, SepcnnError) else memory_exhausted(problem)
        if error is None:
            raise
        hint = error.hint or "try a lower learning rate, and a Rescaling as first layer"
        yield Finding("step", "error", f"a training step fails: {error.message}", hint)
        return
    yield Finding("step", "note", *report(context, context.dataset, loss, seconds))


def try_steps(context: CheckContext, dataset: Dataset) -> tuple[float, float]:
    """Return the first step's loss and the typical seconds of a step. Errors: `SepcnnError`."""
    config, machine = trial_config(context.config), context.machine
    dataset = replace(dataset, val=None, test=None)
    state = new_state(config, config.graph(len(dataset.class_names)), machine.device)
    if not state.model.trained_weights():
        raise InputError(
            "no layer has weights to train", "add a Dense layer, or remove trainable: false"
        )
    loop.adapt(config, sample_images(context, dataset), state)
    records = loop.train(config, dataset, machine, state)
    loss, times = math.nan, []
    begin = time.perf_counter()
    start = begin
    for record in records:  # over several epochs: a small set has only a step or two in each
        if not isinstance(record, StepRecord):
            start = time.perf_counter()
            continue
        check_loss(state.sums[FIRST_BAD_STEP].item())  # waits for the device
        times.append(time.perf_counter() - start)
        if state.step == 1:
            loss = (state.sums[LOSS] / state.sums[IMAGES]).item()
        late = len(times) > 1 and time.perf_counter() - begin > TIMED_SECONDS
        if late or len(times) == WARM_UP + TIMED_STEPS:
            break
        start = time.perf_counter()
    check_finite(state, state.tensors())
    return loss, typical(times)


def typical(seconds: Sequence[float]) -> float:
    """Return the median after the warm-up steps; if there are no others, the shortest time."""
    return median(seconds[WARM_UP:]) if len(seconds) > WARM_UP else min(seconds)


def trial_config(config: Config) -> Config:
    """Return the config without progressive resizing and early stopping.

    The first steps of progressive resizing need less time and memory than the last. Early stopping
    could end the trial.
    """
    data = config.data.model_copy(update={"progressive_resizing": None})
    train = config.train.model_copy(update={"early_stopping": None})
    return config.model_copy(update={"data": data, "train": train})


def sample_images(context: CheckContext, dataset: Dataset) -> Dataset:
    """Return evenly spaced training images, one batch, to adapt Normalization layers to."""
    indices = torch.linspace(0, len(dataset.train) - 1, context.batch_images).long()
    batch = dataset.train.read(indices)
    cropped = centre_crop(batch.images, context.config.model.input_shape[:2])
    return Dataset(
        dataset.class_names, InMemorySplit(cropped.cpu(), batch.labels.cpu()), None, None
    )


def report(context: CheckContext, dataset: Dataset, loss: float, seconds: float) -> tuple[str, str]:
    """Return the message and hint: the measured step, and an estimate for the whole run."""
    steps, epochs = steps_per_epoch(context, dataset), context.config.train.epochs
    whole = seconds * steps * epochs
    qualifier = "at most" if context.config.data.progressive_resizing else "about"
    return (
        f"a training step on {images(context.batch_images)} works: loss {loss:.2f}, "
        f"{seconds:.2g} s, about {byte_count(context.memory_needed)} of memory",
        f"{counted(epochs, 'epoch')} of {counted(steps, 'step')} "
        f"{'takes' if epochs == 1 else 'take'} {qualifier} {rounded_duration(whole)} on "
        f"{context.machine.describe()}",
    )


def steps_per_epoch(context: CheckContext, dataset: Dataset) -> int:
    return loop.steps_per_epoch(context.config, dataset.train)


def rounded_duration(seconds: float) -> str:
    """Return a rounded duration: runs on the same machine differ by more than the rounding."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds > 20 else 0)):.0f} s"
    if seconds < 5400:
        minutes = round(seconds / 60)
        return f"{minutes if minutes < 20 else 5 * round(minutes / 5)} minutes"
    return f"{seconds / 3600:.{int(seconds < 36000)}f} hours"


def byte_count(count: float) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
