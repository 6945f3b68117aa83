"""Whether a step of training fits into memory and goes well, and how long the run will take."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

import torch

from sepcnn.backends.machine import free_memory, memory_exhausted
from sepcnn.check.base import Finding, Subject, images
from sepcnn.config.config import Config
from sepcnn.data.batch import fit
from sepcnn.data.dataset import Dataset, Resident
from sepcnn.errors import InputError, SepcnnError
from sepcnn.nn.layers.convolution import SeparableConv2D
from sepcnn.nn.summary import summarize
from sepcnn.training import loop
from sepcnn.training.records import StepRecord
from sepcnn.training.state import FIRST_BAD_STEP, IMAGES, LOSS, check_finite, check_loss, new_state
from sepcnn.wording import counted

TIGHT = 0.8
"""share of the free memory from which something else may need it"""
WARM_UP, TIMED_STEPS, TIMED_SECONDS = 3, 20, 5.0
"""steps that find memory and the fastest kernels, those timed after them, and when all is enough"""
BYTES_A_FLOAT = 4


def memory(subject: Subject) -> Iterator[Finding]:
    """The estimate beside what is free."""
    needed, free = memory_needed(subject), free_memory(subject.machine.device)
    if free is not None and needed > TIGHT * free:
        where = " of the GPU" if subject.machine.device.type == "cuda" else ""
        message = (
            f"a step on {images(batch_length(subject))} needs about {gibibytes(needed)} of memory, "
            f"and {gibibytes(free)}{where} are free"
        )
        size = max(1, int(batch_length(subject) * TIGHT * free / needed) // 2 * 2)
        hint = f"use train.batch_size: {size}, a smaller input_shape, or fewer filters"
        yield Finding("memory", "error" if needed > free else "warning", message, hint)


def memory_needed(subject: Subject) -> int:
    """Bytes of a training step, to within a half: weights, gradients, the optimizer's memory, and
    what the layers make of a batch, once on the way forward and once on the way back.
    """
    summary = summarize(subject.graph)
    trained = summary.total("trainable_params")
    slots = len(subject.config.train.optimizer.slot_names())
    weights = BYTES_A_FLOAT * (summary.total("params") + trained * (1 + slots))
    values = math.prod(subject.graph.input_shape)
    for leaf in subject.graph.leaves:
        values += math.prod(leaf.shape)
        if isinstance(leaf.layer, SeparableConv2D):  # between its two convolutions
            channels = leaf.input_shapes[0][2] * leaf.layer.depth_multiplier
            values += leaf.shape[0] * leaf.shape[1] * channels
    width = BYTES_A_FLOAT if subject.machine.precision == "float32" else BYTES_A_FLOAT // 2
    return weights + 2 * values * width * batch_length(subject)


def batch_length(subject: Subject) -> int:
    size = subject.config.train.batch_size
    return min(size, len(subject.dataset.train)) if subject.dataset else size


def one_step(subject: Subject) -> Iterator[Finding]:
    """A few real steps forward and back, on a real batch, of a net that is thrown away."""
    free = free_memory(subject.machine.device)
    if (
        subject.dataset is None
        or subject.problems
        or (free is not None and memory_needed(subject) > free)
    ):
        return
    try:
        first, seconds = try_steps(subject, subject.dataset)
    except Exception as problem:
        told = problem if isinstance(problem, SepcnnError) else memory_exhausted(problem)
        if told is None:
            raise
        hint = told.hint or "try a lower learning rate, and a Rescaling as first layer"
        yield Finding("step", "error", f"a step of training fails: {told.message}", hint)
        return
    yield Finding("step", "note", *report(subject, subject.dataset, first, seconds))


def try_steps(subject: Subject, dataset: Dataset) -> tuple[float, float]:
    """The loss of the first step and the usual seconds of a later one. Errors: `SepcnnError`."""
    config, hardware = as_tried(subject.config), subject.machine
    dataset = replace(dataset, val=None, test=None)
    state = new_state(config, config.graph(len(dataset.class_names)), hardware.device)
    if not state.model.trained_weights():
        raise InputError("no layer has weights to train", "add a Dense, or let a layer train")
    loop.adapt(config, sample(subject, dataset), state)
    records = loop.train(config, dataset, hardware, state)
    loss, times = math.nan, []
    begin = time.perf_counter()
    start = begin
    for record in records:  # epoch after epoch: a small set has but a step or two in each
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
    return loss, usual(times)


def usual(seconds: Sequence[float]) -> float:
    """The median of the steps after the warm-up; where time was short, the quickest."""
    return median(seconds[WARM_UP:]) if len(seconds) > WARM_UP else min(seconds)


def as_tried(config: Config) -> Config:
    """Without progressive resizing, whose first steps need less memory and time than the last, and
    without early stopping, which goes by epochs.
    """
    data = config.data.model_copy(update={"progressive_resizing": None})
    train = config.train.model_copy(update={"early_stopping": None})
    return config.model_copy(update={"data": data, "train": train})


def sample(subject: Subject, dataset: Dataset) -> Dataset:
    """A few images, whose statistics are enough to try."""
    indices = torch.linspace(0, len(dataset.train) - 1, batch_length(subject)).long()
    batch = dataset.train.read(indices)
    middle = fit(batch.images, subject.config.model.input_shape[:2])
    return Dataset(dataset.class_names, Resident(middle.cpu(), batch.labels.cpu()), None, None)


def report(subject: Subject, dataset: Dataset, loss: float, seconds: float) -> tuple[str, str]:
    """What a step gave and takes, and what the whole run will."""
    steps, epochs = steps_an_epoch(subject, dataset), subject.config.train.epochs
    whole = seconds * steps * epochs
    about = "at most" if subject.config.data.progressive_resizing else "about"
    return (
        f"a step forward and back on {images(batch_length(subject))} works: loss {loss:.2f}, "
        f"{seconds:.2g} s, about {gibibytes(memory_needed(subject))}",
        f"{counted(epochs, 'epoch')} of {counted(steps, 'step')} "
        f"{'takes' if epochs == 1 else 'take'} {about} {minutes(whole)} on "
        f"{subject.machine.describe()}",
    )


def steps_an_epoch(subject: Subject, dataset: Dataset) -> int:
    return loop.steps_per_epoch(subject.config, dataset.train)


def minutes(seconds: float) -> str:
    """Rounded: two machines, or two hours of one, differ by more than the rest."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds > 20 else 0)):.0f} s"
    if seconds < 5400:
        found = round(seconds / 60)
        return f"{found if found < 20 else 5 * round(found / 5)} minutes"
    return f"{seconds / 3600:.{int(seconds < 36000)}f} hours"


def gibibytes(count: float) -> str:
    return f"{count / 2**20:.0f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
